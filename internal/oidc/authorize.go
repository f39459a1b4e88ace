package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Visitor is who sits at the browser: nobody, if Person is nil. Session is then empty.
type Visitor struct {
	Session user.Session
	Person  *store.Person
}

// Resumed is a finished sign-in that comes back to the authorization endpoint, with what it was begun for. Without Flow it
// cannot be exchanged any more: then the request is a new one, for the same person if it named one.
type Resumed struct {
	Flow   string
	Needs  flow.Needs
	Pushed []byte // as SignIn gave it

	Cancelled bool // the person gave up
}

// Answer is what the authorization endpoint decided; exactly one field is set.
type Answer struct {
	Response *Response // goes to the application
	SignIn   *SignIn   // the person is asked first
	Problem  *Problem  // is shown here: no application can be told
}

// Response goes to the application's redirect URI.
type Response struct {
	Redirect string
	FormPost bool       // response_mode=form_post, else the query
	Kiosk    bool       // the browser is to keep nothing of the sign-in
	Params   url.Values // with iss, always (RFC 9207)
}

// Location is the redirect of a response in the query.
func (r *Response) Location() string {
	u, err := url.Parse(r.Redirect)
	if err != nil {
		return r.Redirect
	}
	q := u.Query()
	for k, v := range r.Params {
		q[k] = v
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// SignIn asks for a sign-in.
type SignIn struct {
	Needs  flow.Needs
	Client *store.Client
	Origin string     // where the browser goes afterwards, for the page's form-action
	Hint   string     // login_hint
	Query  url.Values // the request, as it is to come back: without hints, which are tokens; their subject is among the needs
	Pushed []byte     // names the pushed request that it is; nil: it was none
}

// Problem names a page: unknown_client, bad_redirect, no_redirect, bad_request or not_allowed. Detail is for the developer.
type Problem struct {
	Name   string
	Detail string
	Client *store.Client // if known
	Kiosk  bool          // the browser is to keep nothing of the sign-in
}

// Authorize answers an authorization request (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2). query is its parameters; for
// a resumed one they are as the flow kept them.
func (p *Provider) Authorize(ctx context.Context, o audit.Origin, query url.Values, v Visitor, resumed *Resumed) (Answer, error) {
	ctx, u := p.begin(ctx, o)
	a := &asked{unit: u, query: query, visitor: v}
	if problem, err := a.addressee(ctx, resumed); err != nil || problem != nil {
		return a.problem(ctx, problem, err)
	}
	if err := a.parse(); err != nil {
		return a.refuse(ctx, err)
	}
	switch {
	case resumed == nil:
	case resumed.Cancelled:
		a.reason = audit.Cancelled
		return a.refuse(ctx, fosite.ErrAccessDenied.WithHint("The person gave up signing in."))
	case resumed.Flow != "":
		a.needs, a.flow = resumed.Needs, resumed.Flow
	default:
		a.needs.Subject = resumed.Needs.Subject
	}
	var session *user.Session
	if v.Person != nil {
		session = &v.Session
	}
	switch decision := flow.Decide(a.needs, session, u.now); {
	case decision == flow.Proceed:
	case a.prompt.none && decision == flow.StepUp:
		return a.refuse(ctx, fosite.ErrInteractionRequired.WithHint("The session is not strong enough; the person must be asked."))
	case a.prompt.none && decision == flow.Unlock:
		return a.refuse(ctx, fosite.ErrInteractionRequired.WithHint("The session is locked; the person must be asked."))
	case a.prompt.none:
		u.reason = audit.LoginRequired
		return a.refuse(ctx, fosite.ErrLoginRequired.WithHint("The person must sign in."))
	default:
		a.query.Del("id_token_hint")
		return Answer{SignIn: &SignIn{Needs: a.needs, Client: u.client, Origin: client.Origin(a.redirect), Hint: a.query.Get("login_hint"),
			Query: a.query, Pushed: a.pushed}}, nil
	}
	if !u.client.AllowedFor(v.Person.Groups) {
		u.reason = audit.NotAllowed
		if a.prompt.none {
			return a.refuse(ctx, fosite.ErrAccessDenied.WithHint("The person may not use this application."))
		}
		return a.problem(ctx, &Problem{Name: "not_allowed", Client: u.client, Kiosk: u.client.Kiosk}, nil)
	}
	return a.grant(ctx)
}

// asked is one authorization request under way.
type asked struct {
	*unit
	query    url.Values
	visitor  Visitor
	redirect string
	formPost bool
	prompt   prompt
	claims   claimsAsked
	needs    flow.Needs
	flow     string
	pushed   []byte // names the pushed request that query came of
	direct   bool   // query came by the browser, as it is
	flaw     error  // of the request as a whole, found before it was known whom to tell
	differs  string // the client.Difference of a redirect URI that is not registered
}

// addressee finds out whom an answer may be sent to. Until it has, errors are shown here (RFC 6749 §4.1.2.1).
func (a *asked) addressee(ctx context.Context, resumed *Resumed) (*Problem, error) {
	for _, name := range []string{"client_id", "request_uri", "request"} {
		if len(a.query[name]) > 1 {
			return &Problem{Name: "bad_request", Detail: name + " is given more than once"}, nil
		}
	}
	id := client.ID(a.query.Get("client_id"))
	c, err := a.p.db.Client(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		a.reason = audit.UnknownClient
		return &Problem{Name: "unknown_client", Detail: "no client is registered with this client_id"}, nil
	}
	if err != nil {
		return nil, err
	}
	a.client = c
	switch {
	case resumed != nil:
		a.pushed = resumed.Pushed
	case strings.HasPrefix(a.query.Get("request_uri"), pushedPrefix):
		if problem, err := a.pull(ctx); err != nil || problem != nil {
			return problem, err
		}
	default:
		a.direct = true
		a.openObject(ctx)
	}
	return a.returnAddress(), nil
}

// returnAddress checks the redirect_uri; nil: it is good.
func (a *asked) returnAddress() *Problem {
	if len(a.query["redirect_uri"]) > 1 {
		return &Problem{Name: "bad_request", Detail: "redirect_uri is given more than once"}
	}
	a.redirect = a.query.Get("redirect_uri")
	if a.redirect != "" && a.client.MatchRedirect(a.redirect) {
		return nil
	}
	differs, nearest := a.client.NearRedirect(a.redirect)
	a.differs = differs.String()
	name := "bad_redirect"
	if differs.Kind == client.NearMissing {
		name = "no_redirect"
	}
	return &Problem{Name: name, Detail: redirectDetail(differs, a.redirect, nearest), Client: a.client}
}

// grant issues a code: through fosite, which checks the request once more, then the grant's row and the event in one
// write, then the answer.
func (a *asked) grant(ctx context.Context) (Answer, error) {
	s := a.visitor.Session
	a.data = grantData{Scope: joinScopes(dedupe(a.query.Get("scope"))), Redirect: a.redirect, Challenge: a.query.Get("code_challenge"),
		Nonce: a.query.Get("nonce"), AuthTime: s.AuthTime.Unix(), Proved: s.Proved, Resources: a.audience, Key: a.query.Get("dpop_jkt"),
		InID: allowed(a.claims.idToken, a.client), InInfo: allowed(a.claims.userInfo, a.client)}
	until := a.now.Add(codeLife)
	a.fresh = &store.Grant{ID: store.NewID(a.now), Client: a.client.ID, User: s.User, Session: s.ID, Data: a.data.encode(), CodeUntil: until, Expires: until}
	ar, err := a.p.fosite.NewAuthorizeRequest(ctx, &http.Request{Method: http.MethodGet, URL: &url.URL{}, Form: a.known()})
	if err == nil {
		for _, scope := range ar.GetRequestedScopes() {
			ar.GrantScope(scope)
		}
		var resp fosite.AuthorizeResponder
		if resp, err = a.p.fosite.NewAuthorizeResponse(ctx, ar, &session{subject: string(s.User)}); err == nil {
			return a.issue(ctx, resp.GetParameters().Get("code"))
		}
	}
	return a.refuse(ctx, err)
}

// known is the request as fosite needs to see it: what it knows, and a state long enough for its taste. The real state
// goes from the query to the response untouched, and may be missing.
func (a *asked) known() url.Values {
	form := url.Values{"state": {"kept-by-portvakt"}}
	for _, name := range []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "code_challenge", "code_challenge_method"} {
		if v, ok := a.query[name]; ok {
			form[name] = v
		}
	}
	return form
}

func (a *asked) issue(ctx context.Context, code string) (Answer, error) {
	s := a.visitor.Session
	err := a.p.db.Change(ctx, a.origin, func(t *store.Tx) error {
		if s.Stale(a.now) {
			t.TouchSession(s.ID)
		}
		if a.flow != "" {
			t.UseFlow(a.flow)
		}
		if a.pushed != nil {
			t.UsePushed(a.pushed, flow.Life)
		}
		if err := a.trial(t); err != nil {
			return err
		}
		t.CreateGrant(*a.fresh)
		return t.Record(audit.Event{Kind: audit.CodeIssued, Actor: string(s.User), Subject: string(s.User), Client: string(a.client.ID),
			Session: string(s.ID), Detail: a.released()})
	})
	if errors.Is(err, store.ErrConflict) && a.pushed != nil { // it is spent in one change with its sign-in
		a.reason = audit.Replayed
		return a.refuse(ctx, errRequestURI)
	}
	if err != nil {
		return Answer{}, err
	}
	out := a.respond(url.Values{"code": {code}})
	a.spoil(out.Response)
	out.Response.Kiosk = a.kiosk()
	return out, nil
}

// released says what the application gets with its code.
func (a *asked) released() map[string]string {
	out := map[string]string{"grant": a.fresh.ID, "scope": a.data.Scope}
	if single := strings.Fields(a.data.InID + " " + a.data.InInfo); len(single) > 0 {
		out["claims"] = joinScopes(slices.Compact(slices.Sorted(slices.Values(single))))
	}
	if len(a.data.Resources) > 0 {
		out["resources"] = joinScopes(a.data.Resources)
	}
	return out
}

// kiosk reports whether the browser is to keep nothing of the sign-in.
func (a *asked) kiosk() bool { return a.client.Kiosk || a.visitor.Session.Kiosk }

// respond completes a response with state and iss (RFC 9207).
func (a *asked) respond(params url.Values) Answer {
	if state := a.query.Get("state"); state != "" {
		params.Set("state", state)
	}
	params.Set("iss", a.p.issuer)
	return Answer{Response: &Response{Redirect: a.redirect, FormPost: a.formPost, Params: params}}
}

// refuse tells the application no. The refusal is on record before it is told.
func (a *asked) refuse(ctx context.Context, err error) (Answer, error) {
	if a.fault != nil {
		return Answer{}, a.fault
	}
	code := publicError(err)
	if err := a.recordRefused(ctx, code, keptHint(err)); err != nil {
		return Answer{}, err
	}
	out := a.respond(url.Values{"error": {code}, "error_description": {describe(err)}})
	out.Response.Kiosk = a.visitor.Session.Kiosk
	return out, nil
}

// problem shows the refusal here. The refusal is on record before it is shown.
func (a *asked) problem(ctx context.Context, problem *Problem, err error) (Answer, error) {
	if err == nil {
		err = a.recordRefused(ctx, problem.Name, problem.Detail)
	}
	if err != nil {
		return Answer{}, err
	}
	problem.Kiosk = problem.Kiosk || a.visitor.Session.Kiosk
	return Answer{Problem: problem}, nil
}

// recordRefused writes the event of a refusal, with what helps the application's owner to mend it and nothing of what the request held.
func (a *asked) recordRefused(ctx context.Context, code, hint string) error {
	e := audit.Event{Kind: audit.AuthorizeRefused, Outcome: audit.Refused, Reason: a.reason, Detail: map[string]string{"error": code}}
	if e.Reason == "" {
		e.Reason = audit.BadRequest
	}
	switch {
	case a.differs != "": // its hint shows ends of addresses
		e.Detail["redirect"] = a.differs
	case hint != "":
		e.Detail["hint"] = hint
	}
	if a.client != nil {
		e.Client = string(a.client.ID)
	}
	a.certified(&e)
	if a.visitor.Person != nil {
		e.Subject, e.Session = string(a.visitor.Session.User), string(a.visitor.Session.ID)
	}
	return a.p.db.Change(ctx, a.origin, func(t *store.Tx) error { return t.Record(e) })
}

// after gives the earliest auth_time that max_age seconds allow; zero if max_age is not asked for.
func after(now time.Time, maxAge int64) time.Time {
	if maxAge < 0 {
		return time.Time{}
	}
	return now.Add(-time.Duration(maxAge) * time.Second)
}
