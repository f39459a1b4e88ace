package jose

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/portvakt/portvakt/internal/fetch"
)

// ErrUnreachable says that a client's keys could not be had from its jwks_uri, or not those that a token needs, so that
// nothing can be said about the token. It wraps what fetch said, or ErrKeys.
var ErrUnreachable = errors.New("jose: the client's key set could not be had")

const (
	maxSets     = 500              // key sets kept; one takes 2 KiB as a rule, 75 KiB at most
	freshMin    = time.Minute      // a set is good for at least this long, and asked for at most so often
	freshMax    = time.Hour        // and at most this long
	freshNormal = 10 * time.Minute // where its server does not say
	staleFor    = time.Hour        // after that, while its server cannot be reached
	retryAfter  = 10 * time.Second // when there is no good set
)

// Remote keeps the key sets that clients publish at their jwks_uri (RFC 7517 §5). It is safe for concurrent use.
//
// A set is kept as long as the max-age of its answer says, within 1 minute and 1 hour. A token with an unknown key asks
// anew, at most once a minute for a URL. One request is under way for a URL at a time, and it is not the caller's: who
// hangs up ends nobody else's. While the server fails, the last set is used for up to an hour past its time.
type Remote struct {
	get func(ctx context.Context, url string, reach fetch.Reach, limit int) (fetch.Answer, error)

	mu   sync.Mutex
	sets map[place]*remoteSet
}

// place is where a set comes from. The reach belongs to it: what one client may reach, another does not see.
type place struct {
	url   string
	reach fetch.Reach
}

type remoteSet struct {
	keys  *Keys         // nil until there are any
	fresh time.Time     // until then they are used without asking
	stale time.Time     // until then they are used when asking fails
	next  time.Time     // no request before
	err   error         // of the last request; nil when it brought keys
	busy  chan struct{} // of the request that is under way; nil when there is none
	used  time.Time
}

// NewRemote makes a Remote without any keys.
func NewRemote(c *fetch.Client) *Remote {
	return &Remote{get: c.Get, sets: map[place]*remoteSet{}}
}

// Verify is Keys.Verify with the keys at a jwks_uri. Errors are ErrToken or ErrUnreachable.
func (r *Remote) Verify(ctx context.Context, jwksURI string, reach fetch.Reach, token string, want Want) ([]byte, Header, error) {
	t, err := parseToken(token, want, false) // what is refused for its form makes no request
	if err != nil {
		return nil, Header{}, err
	}
	from := place{jwksURI, reach}
	keys, err := r.keys(ctx, from, nil)
	if err != nil {
		return nil, Header{}, err
	}
	claims, err := keys.verify(t)
	if errors.Is(err, errOtherKey) {
		newer, unreachable := r.keys(ctx, from, keys)
		if unreachable != nil {
			return nil, Header{}, unreachable
		}
		if newer != keys {
			claims, err = newer.verify(t)
		}
	}
	if err != nil {
		return nil, Header{}, err
	}
	return claims, t.Header, nil
}

// keys gives the set of a place, fetched if need be. With but, which has not sufficed, it gives a newer one if there is
// one to be had by now, and but itself if its server was asked lately.
func (r *Remote) keys(ctx context.Context, from place, but *Keys) (*Keys, error) {
	for {
		keys, busy, err := r.look(ctx, from, but)
		if busy == nil {
			return keys, err
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
		}
	}
}

// look answers keys at once, or with the request to wait for, which it begins if there is none.
func (r *Remote) look(ctx context.Context, from place, but *Keys) (*Keys, <-chan struct{}, error) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.set(from, now)
	switch {
	case s.keys != nil && s.keys != but && now.Before(s.fresh):
		return s.keys, nil, nil
	case s.busy != nil:
		return nil, s.busy, nil
	case !now.Before(s.next):
		s.busy = make(chan struct{})
		go r.fetch(context.WithoutCancel(ctx), from, s)
		return nil, s.busy, nil
	case s.keys == nil, but != nil && s.err != nil, !now.Before(s.stale):
		return nil, nil, s.err
	}
	return s.keys, nil, nil
}

// fetch makes one request, which takes at most the 5 seconds of fetch.
func (r *Remote) fetch(ctx context.Context, from place, s *remoteSet) {
	answer, err := r.get(ctx, from.url, from.reach, maxKeySet)
	var keys *Keys
	if err == nil {
		keys, err = ParseKeys(answer.Body)
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	close(s.busy)
	s.busy = nil
	if err != nil {
		s.err = fmt.Errorf("%w: %w", ErrUnreachable, err)
		if s.next = now.Add(retryAfter); now.Before(s.fresh) {
			s.next = now.Add(freshMin)
		}
		return
	}
	good := answer.MaxAge
	if good < 0 {
		good = freshNormal
	}
	s.keys, s.err = keys, nil
	s.fresh = now.Add(min(max(good, freshMin), freshMax))
	s.stale = s.fresh.Add(staleFor)
	s.next = now.Add(freshMin)
}

// set finds a place's, or makes one in place of the one that was used longest ago.
func (r *Remote) set(from place, now time.Time) *remoteSet {
	s := r.sets[from]
	if s == nil {
		if len(r.sets) >= maxSets {
			r.drop()
		}
		s = &remoteSet{}
		r.sets[from] = s
	}
	s.used = now
	return s
}

func (r *Remote) drop() {
	var oldest place
	var found *remoteSet
	for p, s := range r.sets {
		if s.busy == nil && (found == nil || s.used.Before(found.used)) {
			oldest, found = p, s
		}
	}
	if found != nil { // else 500 requests are under way; each ends within seconds
		delete(r.sets, oldest)
	}
}
