package oidc

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
)

const (
	logoutEvery   = time.Second     // how often the outbox is looked at
	logoutCalls   = 32              // applications called at once
	logoutBatch   = 8               // logouts of one application that are claimed at once
	logoutLease   = time.Minute     // more than a batch takes
	logoutLife    = 2 * time.Minute // of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4)
	logoutBackoff = 5 * time.Second // after the first failure, then twice as long each time
	logoutLongest = time.Hour
)

// logoutClaims are those of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4). There is never a nonce.
type logoutClaims struct {
	Issuer   string              `json:"iss"`
	Subject  string              `json:"sub"`
	Audience client.ID           `json:"aud"`
	Issued   int64               `json:"iat"`
	Expires  int64               `json:"exp"`
	ID       string              `json:"jti"`
	Events   map[string]struct{} `json:"events"`
	Session  string              `json:"sid"`
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// TellApplications sends logout tokens for sessions that were ended or locked (OpenID Connect Back-Channel Logout 1.0) until ctx ends. Several
// instances may: each logout is claimed by one. One application is called by one goroutine and waits on its own account, so that a slow or
// dead one holds up no other. What became of each logout is on record.
func (p *Provider) TellApplications(ctx context.Context) {
	tick := time.NewTicker(logoutEvery)
	defer tick.Stop()
	var all sync.WaitGroup
	defer all.Wait()
	done := make(chan client.ID)
	busy := map[client.ID]bool{}
	for {
		for _, id := range p.due(ctx, len(busy)+logoutCalls) {
			if busy[id] || len(busy) == logoutCalls {
				continue
			}
			busy[id] = true
			all.Go(func() {
				p.tellApplication(ctx, id)
				select {
				case done <- id:
				case <-ctx.Done():
				}
			})
		}
		select {
		case <-ctx.Done():
			return
		case id := <-done:
			delete(busy, id)
		case <-tick.C:
		}
	}
}

func (p *Provider) due(ctx context.Context, n int) (due []client.ID) {
	err := p.db.View(ctx, func(t *store.Tx) (err error) { due, err = t.LogoutsDue(n); return err })
	if err != nil && ctx.Err() == nil {
		p.log.Warn("logouts cannot be read; they wait", "error", err)
	}
	return due
}

// tellApplication works off what is due at one application, until nothing is or it cannot be reached.
func (p *Provider) tellApplication(ctx context.Context, id client.ID) {
	for ctx.Err() == nil {
		c, err := p.db.Client(ctx, id)
		var batch []store.Logout
		if err == nil || errors.Is(err, store.ErrNotFound) {
			err = p.db.Housekeep(ctx, func(t *store.Tx) (err error) { batch, err = t.ClaimLogouts(id, logoutBatch, logoutLease); return err })
		}
		for i, l := range batch {
			if err != nil {
				break
			}
			var reached bool
			reached, err = p.tellOne(ctx, c, l)
			if err == nil && !reached {
				err = p.db.Housekeep(ctx, func(t *store.Tx) error { t.PutOffLogouts(id, batch[i:], backoff(l.Tries)); return nil })
				batch = nil
				break
			}
		}
		if err != nil && ctx.Err() == nil {
			p.log.Error("what became of a logout is not on record; it may come twice", "client", string(id), "error", err)
		}
		if err != nil || len(batch) < logoutBatch {
			return
		}
	}
}

// backoff is how long an application is left alone after so many tries.
func backoff(tries int) time.Duration {
	return min(logoutBackoff<<min(max(tries-1, 0), 10), logoutLongest)
}

// tellOne sends one logout token, and writes down what became of it. False if the application could not be reached: then its other logouts
// wait as well. An application that refuses one is asked again for that one. c is nil if it was removed.
func (p *Provider) tellOne(ctx context.Context, c *store.Client, l store.Logout) (reached bool, err error) {
	event := audit.Event{Kind: audit.LogoutSent, Subject: string(l.User), Client: string(l.Client), Session: string(l.Session), Detail: map[string]string{"tries": strconv.Itoa(l.Tries)}}
	over := func() error {
		return p.db.Change(ctx, audit.Origin{}, func(t *store.Tx) error { t.DropLogout(l); return t.Record(event) })
	}
	if c == nil || c.BackchannelLogoutURI == "" {
		return true, p.db.Housekeep(ctx, func(t *store.Tx) error { t.DropLogout(l); return nil })
	}
	token, err := p.logoutToken(c, l)
	if err != nil {
		return true, err
	}
	status, fault := p.fetch.PostForm(ctx, c.BackchannelLogoutURI, p.reach(c), url.Values{"logout_token": {token}})
	switch {
	case ctx.Err() != nil:
		return true, nil // another instance, or the next start, claims it when the lease is over
	case fault == nil && status < 300:
		return true, over()
	}
	p.log.Warn("an application was not told of a logout", "client", string(l.Client), "try", l.Tries, "status", status, "error", fault)
	if p.db.Now().Add(backoff(l.Tries)).After(l.Expires) {
		event.Kind, event.Outcome, event.Reason, event.Detail["status"] = audit.LogoutFailed, audit.Failure, audit.Outage, strconv.Itoa(status) // 0: no answer
		return true, over()
	}
	if fault == nil && status < 500 && status != http.StatusTooManyRequests {
		return true, p.db.Housekeep(ctx, func(t *store.Tx) error { t.PutOffLogout(l, backoff(l.Tries)); return nil })
	}
	return false, nil
}

func (p *Provider) logoutToken(c *store.Client, l store.Logout) (string, error) {
	now := p.db.Now()
	body, err := json.Marshal(logoutClaims{Issuer: p.issuer, Subject: p.subjectFor(c, l.User), Audience: c.ID, Issued: now.Unix(), Expires: now.Add(logoutLife).Unix(),
		ID: rand.Text(), Events: map[string]struct{}{logoutEvent: {}}, Session: p.sessionFor(c, l.Session)})
	if err != nil {
		return "", err
	}
	return p.ring.Sign(c.SigningAlg, "logout+jwt", body)
}
