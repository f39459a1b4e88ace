package server_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

const agent = "CanaryBrowser/7 (of alice)"

// journey is everything that happens in a day: it leaves the events that it says, and gives every secret that was seen.
func journey(t *testing.T, a *attack) (want []string, secrets []string) {
	b := a.Browser(t)
	b.Header.Set("User-Agent", agent)
	a.clock.Add(time.Minute)
	p := b.Follow(b.Get(authorizeURL("conf")))
	note := func(words ...string) { a.clock.Add(time.Second); want = append(want, words...) }
	note("flow.begun//conf")
	p = b.Fill(p, "username", "alice", "password", wrong)
	note("login.failed/wrong_password/conf")
	p = b.Fill(p, "username", "nobody-at-all", "password", "typed-a-Password-here")
	note("login.failed/unknown_user/conf")
	p = b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
	note("login.proved//conf")
	p = b.Fill(p, "code", "000000")
	note("login.failed/wrong_code/conf")
	otp := servertest.Code(t, servertest.TOTP, a.Clock())
	p = b.Fill(p, "code", otp)
	note("login.proved//conf", "login.succeeded//conf", "session.started//conf")
	code := mustCode(t, b.Follow(p))
	note("code.issued//conf")
	tokens := a.tokens(t, "conf", code)
	note("token.issued//conf")
	second := object(t, a.refresh(t, "conf", tokens["refresh_token"].(string)))
	note("token.refreshed//conf")
	a.post(t, "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", "Basic "+"Y29uZjp3cm9uZw==")
	note("token.refused/wrong_secret/conf")
	a.refresh(t, "conf", tokens["refresh_token"].(string))
	note("token.replayed/replayed/conf")
	b.Get(authorizeURL("unknown"))
	note("authorize.refused/unknown_client/")
	third := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))
	note("code.issued//conf", "token.issued//conf")
	a.post(t, "/revoke", url.Values{"token": {third["access_token"].(string)}}, "Authorization", basic("conf"))
	note("token.revoked//conf")
	b.Fill(b.Get("/logout"))
	note("session.ended/logout/")
	return want, []string{code, otp, tokens["access_token"].(string), tokens["refresh_token"].(string), tokens["id_token"].(string), second["refresh_token"].(string),
		third["access_token"].(string), servertest.Password, wrong, "typed-a-Password-here", servertest.Secret, "JBSWY3DPEHPK3PXP", b.Cookie("portvakt-browser"), verifier}
}

// TestTrail (AU-01): one event for each thing that matters, in order, each saying who, what, for which application, in
// which session and from where.
func TestTrail(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		before := len(a.Events(t))
		want, _ := journey(t, a)
		events := a.Events(t)[before:]
		var got []string
		for _, e := range events {
			got = append(got, fmt.Sprintf("%s/%s/%s", e.Kind, e.Reason, e.Client))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("AU-01: the trail says\n%s\nand should say\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		alice, _, err := a.Admin.User(background, "alice")
		ok(t, err)
		inSession := []audit.Kind{audit.LoginSucceeded, audit.SessionStarted, audit.SessionEnded, audit.CodeIssued, audit.TokenIssued, audit.TokenRefreshed, audit.TokenReplayed, audit.TokenRevoked}
		session := ""
		for _, e := range events {
			if e.IP != "127.0.0.1" || e.Request == "" || e.Agent == "" || e.At.IsZero() {
				t.Errorf("AU-01: %s lacks where it came from: %+v", e.Kind, e)
			}
			stranger := e.Kind == audit.FlowBegun || e.Reason == audit.UnknownUser || e.Reason == audit.WrongSecret
			if e.Subject != string(alice.ID) && !stranger {
				t.Errorf("AU-01: %s/%s is about %q", e.Kind, e.Reason, e.Subject)
			}
			if slices.Contains(inSession, e.Kind) && e.Session == "" {
				t.Errorf("AU-01: %s names no session", e.Kind)
			}
			if session == "" {
				session = e.Session
			}
			if e.Session != "" && e.Session != session {
				t.Errorf("AU-01: %s names another session", e.Kind)
			}
			if (e.Kind == audit.LoginSucceeded || e.Kind == audit.SessionEnded || e.Kind == audit.CodeIssued) && e.Actor != string(alice.ID) {
				t.Errorf("AU-01: the actor of %s is %q", e.Kind, e.Actor)
			}
		}
		stranger := a.Browser(t)
		pages := stranger.Get(stranger.Get("/account").Location) // the first answer only sets the cookie
		a.clock.Add(time.Second)
		if last := a.Events(t); last[len(last)-1].Request != pages.Header.Get("X-Request-Id") {
			t.Error("AU-01: the request id of the answer is not that of the trail")
		}
	})
}

// open opens the site's database a second time.
func (a *attack) open(t testing.TB, url string) *sql.DB {
	t.Helper()
	var db *sql.DB
	if path, lite := strings.CutPrefix(url, "sqlite:"); lite {
		var err error
		db, err = sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
		ok(t, err)
	} else {
		config, err := pgx.ParseConfig(url)
		ok(t, err)
		db = stdlib.OpenDB(*config)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestNothingInClear (CR-06, AU-05, IN-03): neither rows nor log hold what was secret or is personal.
func TestNothingInClear(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			log := &lines{}
			address := e.New(t)
			a := newAttack(t, address, servertest.Options{Log: log})
			_, secrets := journey(t, a)
			link := a.link(t, "reset", "alice", time.Hour)
			a.Browser(t).Get(link)
			half := a.Browser(t)
			hint := a.tokens(t, "conf", mustCode(t, a.signIn(t, "mallory", servertest.OtherTOTP).Get(authorizeURL("conf"))))["id_token"].(string)
			secrets = append(secrets, hint, a.pushed(t, "conf", "id_token_hint", hint), a.pushed(t, "other", "client_secret", servertest.Secret)) // PA-04
			secrets = append(secrets, strings.TrimPrefix(link, "/link/"), proved(t, half, "newcomer").Key(t))
			sets := map[string]string{"log": log.String()}
			db := a.open(t, address)
			for _, table := range []string{"users", "factors", "flows", "sessions", "clients", "grants", "pushed", "attempts", "links", "events", "month_keys", "instance"} {
				sets["table "+table] = dump(t, db, table)
			}
			personal := map[string][]string{"table events": {"127.0.0.1", "alice", "Åkerblom", "Canary", "+4670", "nobody-at-all"}, "table sessions": {"127.0.0.1", "Canary"},
				"table users": {"+4670", "0701740605"}, "table attempts": {"127.0.0.1"}, "table flows": {"127.0.0.1", "alice"}, "log": {"alice", "127.0.0.1", "nobody-at-all"}}
			for where, text := range sets {
				for _, s := range append(slices.Clone(secrets), personal[where]...) {
					if s != "" && strings.Contains(text, s) {
						t.Errorf("CR-06: the %s holds %.40q in clear", where, s)
					}
				}
			}
		})
	}
}

func dump(t testing.TB, db *sql.DB, table string) string {
	t.Helper()
	rows, err := db.Query("select * from " + table)
	ok(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	ok(t, err)
	var b strings.Builder
	for rows.Next() {
		values, dest := make([]any, len(columns)), make([]any, len(columns))
		for i := range dest {
			dest[i] = &values[i]
		}
		ok(t, rows.Scan(dest...))
		for _, v := range values {
			if raw, isBytes := v.([]byte); isBytes {
				v = string(raw)
			}
			fmt.Fprint(&b, v, "\n")
		}
	}
	return b.String()
}

// TestUnwritableTrail (AU-04): what cannot be written down does not happen, and nobody is told that they were wrong.
func TestUnwritableTrail(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			address := e.New(t)
			a := newAttack(t, address, servertest.Options{})
			b := a.signIn(t, "mallory", servertest.OtherTOTP)
			code := mustCode(t, b.Get(authorizeURL("conf")))
			old := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))
			alice, newcomer := a.Browser(t), a.Browser(t)
			step := proved(t, alice, "alice")
			first := start(t, newcomer)
			link := a.link(t, "reset", "newcomer", time.Hour)
			linkPage := newcomer.Get(link)
			db := a.open(t, address)
			rename := func(from, to string) {
				_, err := db.Exec("alter table " + from + " rename to " + to)
				ok(t, err)
			}
			fresh := a.Browser(t)
			hop := fresh.Get("/account")
			rename("events", "events_away")
			for what, p := range map[string]*servertest.Page{
				"authorize": b.Get(authorizeURL("conf")), "sign-in": fresh.Get(hop.Location), "refusal": a.Browser(t).Get(authorizeURL("conf", "prompt", "none")),
				"stranger": a.Browser(t).Get("/authorize?client_id=x"), "code": alice.Fill(step, "code", servertest.Code(t, servertest.TOTP, a.Clock())),
				"wrong code": alice.Fill(step, "code", "000000"), "password": newcomer.Fill(first, "username", "newcomer", "password", servertest.Password),
				"wrong password": newcomer.Fill(first, "username", "newcomer", "password", wrong),
				"token":          a.post(t, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {servertest.Redirect}, "code_verifier": {verifier}}, "Authorization", basic("conf")),
				"refresh":        a.refresh(t, "conf", old["refresh_token"].(string)), "own": a.post(t, "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basic("conf")),
				"wrong secret": a.post(t, "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basic("conf")+"x"),
				"revoke":       a.post(t, "/revoke", url.Values{"token": {old["access_token"].(string)}}, "Authorization", basic("conf")), "sign-out": b.Fill(b.Get("/logout")),
				"link": newcomer.Fill(linkPage, "password", another, "repeat", another),
			} {
				if p.Status < 500 || response(t, p) != nil || strings.Contains(p.Body, "access_token") {
					t.Errorf("AU-04: %s got %d %s without a trail", what, p.Status, p.Location)
				}
				quiet(t, p)
			}
			rename("events_away", "events")
			if in(alice) || in(newcomer) || !in(b) {
				t.Errorf("AU-04: signed in without a trail: %v %v; still signed in: %v", in(alice), in(newcomer), in(b))
			}
			a.tokens(t, "conf", code)
			if p := a.refresh(t, "conf", old["refresh_token"].(string)); p.Status != http.StatusOK {
				t.Errorf("AU-04: the refresh token was used up without a trail: %d %s", p.Status, p.Body)
			}
			if p := alice.Fill(alice.Get(step.URL.Path), "code", servertest.Code(t, servertest.TOTP, a.Clock())); p.Status != http.StatusSeeOther {
				t.Errorf("AU-04: the code was used up without a trail: %d %q", p.Status, p.Alert())
			}
			if p := newcomer.Get(link); p.Status != http.StatusOK {
				t.Errorf("AU-04: the link was used up without a trail: %d", p.Status)
			}
		})
	}
}
