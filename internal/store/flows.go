package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/user"
)

// Flow is a sign-in under way with what is kept beside its state.
type Flow struct {
	flow.Flow
	Browser []byte // SHA-256 of the cookie of the browser that began it
	Request string // opaque: what to come back to
	Pending string // otpauth URI under enrolment; proves nothing
	Session user.SessionID
	UsedAt  time.Time // when it was exchanged
}

// SignIn is a flow and the person it is about, as one read gives them.
type SignIn struct {
	Flow   Flow
	Person *Person // nil: nobody by that name
}

// CreateFlow stores a new flow.
func (t *Tx) CreateFlow(f Flow) error {
	state, err := json.Marshal(f.Flow)
	if err != nil {
		return err
	}
	t.add(`insert into flows (id, version, browser, state, request, user_id, pending, session_id, used_at, expires_at)
values ($1, $2, $3, $4, $5, $8, $6, '', 0, $7)`, f.ID, int64(f.Version), f.Browser, string(state), f.Request, []byte{}, micros(f.Expires), string(f.Person))
	return nil
}

// AdvanceFlow writes f over its state at version was, which the row must still have (ErrConflict). It writes Pending too.
func (t *Tx) AdvanceFlow(f Flow, was int) error {
	state, err := json.Marshal(f.Flow)
	if err != nil {
		return err
	}
	pending := []byte{}
	if f.Pending != "" {
		if pending, err = t.seal(f.Person, "pending", []byte(f.Pending)); err != nil {
			return err
		}
	}
	t.must(`update flows set version = $3, state = $4, user_id = $5, pending = $6, session_id = $7 where id = $1 and version = $2`,
		f.ID, int64(was), int64(f.Version), string(state), string(f.Person), pending, string(f.Session))
	return nil
}

// MoveBrowser ties every sign-in that is under way in one browser to a new secret of it.
func (t *Tx) MoveBrowser(was, is []byte) {
	t.do("update flows set browser = $2 where browser = $1 and used_at = 0", was, is)
}

// UseFlow spends a finished flow; it must be unspent (ErrConflict).
func (t *Tx) UseFlow(id string) {
	t.must("update flows set used_at = $2 where id = $1 and used_at = 0", id, micros(t.now))
}

const flowColumns = "w.id, w.version, w.browser, w.state, w.request, w.pending, w.session_id, w.used_at"

type flowScan struct {
	id, state, request, session string
	version, used               int64
	browser, pending            []byte
}

func (f *flowScan) dest() []any {
	return []any{&f.id, &f.version, &f.browser, &f.state, &f.request, &f.pending, &f.session, &f.used}
}

func (f *flowScan) flow() (Flow, error) {
	out := Flow{Browser: f.browser, Request: f.request, Session: user.SessionID(f.session), UsedAt: instant(f.used)}
	if err := json.Unmarshal([]byte(f.state), &out.Flow); err != nil {
		return out, fmt.Errorf("store: flow %s is damaged: %w", f.id, err)
	}
	out.ID, out.Version = f.id, int(f.version)
	return out, nil
}

// SignInByName reads flow id together with the person it is about, or, while it is about nobody yet, the person whom login
// (a user name or mail address) names.
func (t *Tx) SignInByName(id, login string) (SignIn, error) {
	return t.signIn("case when w.user_id <> '' then w.user_id else "+byLogin+" end", user.Fold(login), id)
}

// SignInByID reads flow id together with the person it is about.
func (t *Tx) SignInByID(id string) (SignIn, error) {
	return t.signIn("case when $1 = '' then w.user_id else '' end", "", id)
}

// signIn reads in one trip; who is an SQL expression over $1 that gives the person's id.
func (t *Tx) signIn(who, arg, id string) (SignIn, error) {
	var f flowScan
	var p personScan
	err := t.row(append(f.dest(), p.dest()...), "select "+flowColumns+", "+personColumns+
		" from flows w left join users u on u.id = "+who+" "+totpJoin+" where w.id = $2", arg, id)
	if err != nil {
		return SignIn{}, err
	}
	var s SignIn
	if s.Flow, err = f.flow(); err != nil {
		return s, err
	}
	if s.Person, err = p.person(t); err != nil || s.Person == nil {
		return s, err
	}
	if len(f.pending) > 0 && s.Flow.Person == s.Person.ID {
		pending, err := t.unseal(s.Person.key, "pending", f.pending)
		s.Flow.Pending = string(pending)
		return s, err
	}
	return s, nil
}

// Sweep deletes what is long over, at most 1000 rows of each kind, and says how many. It asks twice: what a rival lets count again in between, Postgres
// would otherwise delete all the same.
func (t *Tx) Sweep() (int64, error) {
	var gone int64
	day := 24 * time.Hour
	for _, s := range []struct {
		table, key, when string
		before           time.Duration
	}{
		{"flows", "id", "expires_at", time.Hour},
		{"pushed", "id", "expires_at", 20 * time.Minute}, // a sign-in takes up to flow.Life
		{"attempts", "lane", "until", time.Hour},
		{"links", "token", "expires_at", day},
		{"sessions", "id", "expires_at", day},
		{"grants", "id", "not exists (select 1 from sessions s where s.id = grants.session_id and s.ended_at = 0) and expires_at", day}, // see tellApplications
		{"device_grants", "id", "expires_at", time.Hour},
		{"challenges", "scope", "expires_at", time.Hour},
		{"devices", "id", "expires_at", day},
		{"used", "id", "expires_at", 0},
		{"outbox", "id", "expires_at", 0},
		{"registration_tokens", "id", "expires_at", 30 * day},
		{"trials", "client_id || ' ' || user_id || ' ' || fault", "state <> 'judged' and expires_at", day}, // what nobody judged
	} {
		err := t.rows(func(scanner) error { gone++; return nil }, "delete from "+s.table+" where "+s.key+" in (select "+s.key+" from "+
			s.table+" where "+s.when+" < $1 limit 1000) and "+s.when+" < $1 returning 1", micros(t.now.Add(-s.before)))
		if err != nil {
			return gone, err
		}
	}
	return gone, nil
}
