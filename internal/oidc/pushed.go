package oidc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// A pushed request (RFC 9126) can be begun for a minute and is spent when its code is issued, so that a page may be loaded anew until
// then. Its row names it by a hash: who reads the database can begin nothing.
const (
	pushedLife   = 60 * time.Second
	pushedPrefix = "urn:ietf:params:oauth:request_uri:"
	pushedBytes  = 32       // of chance
	pushedMost   = 24 << 10 // bytes of a request, form-encoded: strangers can have those of public clients kept
)

// pushedData is a pushed request as its row keeps it.
type pushedData struct {
	Query   string  `json:"q"`           // form-encoded; without what authenticated the client, and without hints, which are tokens
	Subject user.ID `json:"s,omitempty"` // the person whom it is about, if it names one
}

// pushResponse is RFC 9126 §2.2.
type pushResponse struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"`
}

// Push answers the pushed authorization request endpoint (RFC 9126 §2). Everything that can be checked of the request before a person is
// asked is checked here.
func (p *Provider) Push(w http.ResponseWriter, r *http.Request, o audit.Origin) {
	ctx, u := p.begin(r.Context(), o)
	a := &asked{unit: u}
	uri, err := a.push(ctx, w, r)
	if err == nil {
		writeJSON(w, http.StatusCreated, pushResponse{uri, int64(pushedLife.Seconds())})
		return
	}
	if u.fault == nil {
		u.fault = a.recordRefused(ctx, publicError(err), keptHint(err))
	}
	if u.fault != nil {
		p.writeFault(w, u.fault)
		return
	}
	writeError(w, err)
}

// push reads, checks and keeps a request, and gives its request_uri.
func (a *asked) push(ctx context.Context, w http.ResponseWriter, r *http.Request) (string, error) {
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return "", fosite.ErrInvalidRequest.WithHint("The parameters go into the body; the address has none (RFC 9126 §2.1).")
	}
	if err := postForm(r, "resource"); err != nil {
		return "", err
	}
	if _, err := a.p.authenticate(ctx, r, r.PostForm); err != nil {
		return "", err
	}
	if err := a.fromElsewhere(ctx, r); err != nil {
		return "", err
	}
	if id := r.PostForm.Get("client_id"); id != "" && id != string(a.client.ID) {
		a.reason = audit.WrongClient
		return "", fosite.ErrInvalidRequest.WithHint("The client_id is not that of the client that authenticated.")
	}
	a.query = pushable(r.PostForm)
	a.query.Set("client_id", string(a.client.ID))
	if a.query.Has("request_uri") { // RFC 9126 §2.1
		return "", fosite.ErrInvalidRequest.WithHint("A pushed request cannot have a request_uri.")
	}
	a.openObject(ctx)
	if err := a.pushedKey(w, r); err != nil {
		return "", err
	}
	problem := a.returnAddress()
	switch {
	case a.flaw != nil:
		return "", a.flaw
	case problem != nil:
		return "", fosite.ErrInvalidRequest.WithHint(problem.Detail)
	}
	if err := a.parse(); err != nil {
		return "", err
	}
	return a.keep(ctx)
}

// pushedKey binds the code to the key of a DPoP proof that comes with the request (RFC 9449 §10.1).
func (a *asked) pushedKey(w http.ResponseWriter, r *http.Request) error {
	if err := a.proof(w, r, PathPush, ""); err != nil || a.key == (thumbprint{}) {
		return err
	}
	if named := a.query.Get("dpop_jkt"); named != "" && named != a.key.String() {
		return errProof.WithHint("The parameter dpop_jkt names another key than that of the DPoP proof.")
	}
	a.query.Set("dpop_jkt", a.key.String())
	return nil
}

// pushable is a form without what authenticated the client: that is not part of the request, and secret.
func pushable(form url.Values) url.Values {
	out := url.Values{}
	for name, values := range form {
		switch name {
		case "client_secret", "client_assertion", "client_assertion_type":
		default:
			out[name] = values
		}
	}
	return out
}

// keep stores the request. Nobody audits that: nothing follows from it until it is begun.
func (a *asked) keep(ctx context.Context) (string, error) {
	a.query.Del("id_token_hint") // its subject is among the needs
	query := a.query.Encode()
	if len(query) > pushedMost {
		return "", fosite.ErrInvalidRequest.WithHintf("The request is longer than %d bytes, form-encoded.", pushedMost)
	}
	data, err := json.Marshal(pushedData{query, a.needs.Subject})
	if err != nil {
		return "", err
	}
	var secret [pushedBytes]byte
	_, _ = rand.Read(secret[:]) // it never fails
	text := base64.RawURLEncoding.EncodeToString(secret[:])
	row := store.Pushed{ID: pushedID(text), Client: a.client.ID, Data: string(data), Expires: a.now.Add(pushedLife)}
	err = a.p.db.Housekeep(ctx, func(t *store.Tx) error {
		a.take(t, pushRoom, (len(data)+1023)>>10)
		t.CreatePushed(row)
		return a.spend(t)
	})
	if errors.Is(err, store.ErrConflict) {
		a.reason = audit.Delayed
		return "", errPushRoom
	}
	if err != nil {
		return "", a.spent(err)
	}
	return pushedPrefix + text, nil
}

func pushedID(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// pull puts the pushed request in the place of the query that names it (RFC 9126 §4). Beside client_id and request_uri nothing of the query
// counts (RFC 9101 §6.3). What is wrong with a request whose client is known to have pushed it is told to that client, the rest here.
func (a *asked) pull(ctx context.Context) (*Problem, error) {
	text := strings.TrimPrefix(a.query.Get("request_uri"), pushedPrefix)
	var row store.Pushed
	err := store.ErrNotFound
	if base64.RawURLEncoding.DecodedLen(len(text)) == pushedBytes {
		err = a.p.db.View(ctx, func(t *store.Tx) (err error) { row, err = t.PushedByID(pushedID(text)); return err })
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		a.reason = audit.Expired // or never pushed: its row is gone
	case err != nil:
		return nil, err
	case row.Client != a.client.ID:
		a.reason = audit.WrongClient
	}
	if a.reason != "" {
		return &Problem{Name: "stale_request", Detail: errRequestURI.DescriptionField, Client: a.client}, nil
	}
	twice := a.query.Has("request")
	var data pushedData
	if err = json.Unmarshal([]byte(row.Data), &data); err == nil {
		a.query, err = url.ParseQuery(data.Query)
	}
	if err != nil {
		return nil, fmt.Errorf("oidc: a pushed request is damaged: %w", err)
	}
	a.pushed, a.needs.Subject = row.ID, data.Subject
	switch {
	case twice: // RFC 9101 §5
		a.flaw = errTwoObjects
	case !row.Used.IsZero():
		a.reason, a.flaw = audit.Replayed, errRequestURI
	case !a.now.Before(row.Expires):
		a.reason, a.flaw = audit.Expired, errRequestURI
	}
	return nil, nil
}
