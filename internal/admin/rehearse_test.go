package admin

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

var whole = Site{Texts: true, Passkeys: true}

// found lists what a rehearsal says of anybody, as "place count: names".
func found(r *Rehearsal) []string {
	var out []string
	var walk func(at string, v reflect.Value)
	walk = func(at string, v reflect.Value) {
		if w, ok := v.Interface().(Whom); ok {
			if w.Count > 0 {
				out = append(out, fmt.Sprintf("%s %d: %s", at, w.Count, strings.Join(w.People, " ")))
			}
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
				walk(strings.TrimPrefix(at+"."+name, "."), v.Field(i))
			}
		case reflect.Slice:
			for i := range v.Len() {
				if a, ok := v.Index(i).Interface().(Application); ok {
					walk("app "+a.ID, v.Index(i))
				}
			}
		}
	}
	walk("", reflect.ValueOf(*r))
	slices.Sort(out)
	return out
}

// office is a service with people of every kind, and its clock. Nobody has to have a second factor; a browser is remembered for 30 days.
//
//	anna  password and soft token; a session used 20 minutes ago; a remembered browser of 10 days ago, with a sign-in by it
//	bo    password alone, 200 days old; a session that he has just used, two sign-ins to the wiki
//	carl  password and a Swedish number, which he used for the wiki a minute ago
//	dora  a passkey, which she used for the vault 40 days ago
//	eve   as bo, but disabled
func office(t *testing.T, url string) (*Service, *storetest.Clock) {
	clock := storetest.NewClock()
	s := open(t, url)
	s.db = storetest.OpenWith(t, url, store.Options{Sealer: storetest.Ring(t), Now: clock.Now})
	apply(t, s, `
groups: [staff]
users: [{username: anna, groups: [staff]}, {username: bo}, {username: carl}, {username: dora}, {username: eve}]
clients:
  - {client_id: wiki, client_name: The wiki, token_endpoint_auth_method: none, redirect_uris: [http://127.0.0.1/]}
  - {client_id: vault, token_endpoint_auth_method: none, redirect_uris: [http://127.0.0.1/], minimum_acr: phr}
  - {client_id: unseen, token_endpoint_auth_method: none, redirect_uris: [http://127.0.0.1/], allowed_groups: [staff]}
policies: {factors: {required: false, remember_device: 30d}}`)
	id := map[string]user.ID{}
	if err := s.Users(context.Background(), func(p *store.Person) error { id[p.Username] = p.ID; return nil }); err != nil {
		t.Fatal(err)
	}
	at := func(name string, fn func(*store.Tx) error) {
		storetest.Change(t, s.db, func(tx *store.Tx) error { return errors.Join(fn(tx), storetest.Event(tx, id[name])) })
	}
	signIn := func(name string, app client.ID, acr user.ACR, proved ...string) {
		at(name, func(tx *store.Tx) error {
			f := map[string]string{"flow": store.NewID(tx.Now())}
			for _, m := range proved {
				f["method"] = m
				if err := tx.Record(audit.Event{Kind: audit.LoginProved, Subject: string(id[name]), Client: string(app), Detail: f}); err != nil {
					return err
				}
			}
			return tx.Record(audit.Event{Kind: audit.LoginSucceeded, Subject: string(id[name]), Client: string(app), Detail: map[string]string{"flow": f["flow"], "acr": string(acr)}})
		})
	}
	session := func(name string, proved ...user.Method) {
		at(name, func(tx *store.Tx) error {
			sid := store.NewID(tx.Now())
			return tx.CreateSession(user.Session{ID: user.SessionID(sid), User: id[name], Proved: proved, AuthTime: tx.Now(), ExpiresAt: tx.Now().Add(12 * time.Hour)}, []byte(sid))
		})
	}
	at("bo", func(tx *store.Tx) error { return tx.SetPassword(id["bo"], "", "$x", "", "") })
	at("eve", func(tx *store.Tx) error {
		tx.SetDisabled(id["eve"], true)
		return tx.SetPassword(id["eve"], "", "$x", "", "")
	})
	clock.Add(160 * 24 * time.Hour)
	at("anna", func(tx *store.Tx) error {
		return errors.Join(tx.SetPassword(id["anna"], "", "$x", "", ""), tx.AddFactor(store.Factor{User: id["anna"], Kind: user.FactorTOTP, Secret: "x"}))
	})
	at("carl", func(tx *store.Tx) error {
		return errors.Join(tx.SetPassword(id["carl"], "", "$x", "", ""), tx.AddFactor(store.Factor{User: id["carl"], Kind: user.FactorSMS, Secret: "+46701740605"}))
	})
	at("dora", func(tx *store.Tx) error {
		return tx.AddFactor(store.Factor{User: id["dora"], Kind: user.FactorPasskey, Secret: "{}", Handle: []byte("h")})
	})
	signIn("dora", "vault", user.ACRPhR, "swk")
	clock.Add(30 * 24 * time.Hour)
	at("anna", func(tx *store.Tx) error {
		return tx.AddDevice(store.Device{User: id["anna"], Stamp: "x", ExpiresAt: tx.Now().Add(30 * 24 * time.Hour)}, []byte("device"))
	})
	clock.Add(10*24*time.Hour - 20*time.Minute)
	signIn("anna", "", user.ACR1FA, "pwd", "device")
	signIn("eve", "wiki", user.ACR1FA, "pwd")
	session("anna", user.MethodPassword, user.MethodOTP)
	clock.Add(19 * time.Minute)
	signIn("carl", "wiki", user.ACR2FA, "pwd", "sms")
	signIn("bo", "wiki", user.ACR1FA, "pwd")
	signIn("bo", "wiki", user.ACR1FA, "pwd")
	clock.Add(time.Minute)
	session("bo", user.MethodPassword)
	return s, clock
}

// TestRehearse: each rule finds whom it stops or burdens, and nobody else. before is set first.
func TestRehearse(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			s, _ := office(t, e.New(t))
			for _, tt := range []struct {
				before, args string
				days         int
				want         string
			}{
				{"", "factors.required=false session.idle=8h", 30, ""},
				{"", "factors.required=true", 30, "app wiki.asked 2: bo; app wiki.set_up 1: bo; factors.set_up 1: bo; sessions.ended 1: bo"},
				{"", "factors.allowed=[totp,webauthn]", 30, "app wiki.asked 1: carl; app wiki.set_up 1: carl; factors.disallowed 1: carl"},
				{"", "factors.allowed=[totp,sms]", 30, "app vault.shut 4: anna bo carl dora; app wiki.shut 1: dora; factors.shut 1: dora"},
				{"", "factors.allowed=[totp,sms]", 90, "app vault.refused 1: dora; app vault.shut 4: anna bo carl dora; app wiki.shut 1: dora; factors.shut 1: dora"},
				{"", "factors.minimum=phr", 30, "app .asked 1: anna; app unseen.set_up 1: anna; app wiki.asked 3: bo carl; app wiki.set_up 3: anna bo carl; " +
					"browsers.forgotten 1: anna; factors.minimum 2: anna carl; factors.set_up 1: bo; sessions.ended 2: anna bo"},
				{"", "factors.groups.staff.minimum=phr", 30, "app .asked 1: anna; app unseen.set_up 1: anna; app wiki.set_up 1: anna; " +
					"browsers.forgotten 1: anna; factors.minimum 1: anna; sessions.ended 1: anna"},
				{"", "sms.countries=[NO]", 30, "app vault.shut 1: carl; app wiki.refused 1: carl; app wiki.shut 1: carl; factors.shut 1: carl"},
				{"", "factors.remember_device=11d", 30, ""},
				{"", "factors.remember_device=7d", 30, "browsers.forgotten 1: anna"},
				{"", "factors.remember_device=0d", 30, "app .asked 1: anna; browsers.forgotten 1: anna"},
				{"", "password.min_length=14", 30, "passwords.perhaps 3: anna bo carl"},
				{"", "password.words=[portvakt]", 30, "passwords.perhaps 3: anna bo carl"},
				{"", "password.groups.staff.min_classes=3", 30, "passwords.perhaps 1: anna"},
				{"", "password.max_age=90d", 30, "passwords.must 1: bo"},
				{"", "password.max_age=40d", 30, "passwords.must 3: anna bo carl"},
				{"", "session.lock_after=15m", 30, "sessions.locked 1: anna"},
				{"", "session.idle=10m", 30, "sessions.ended 1: anna; sessions.shortened 1: bo"},
				{"", "session.idle=4h", 30, "sessions.shortened 2: anna bo"},
				{"", "session.groups.staff.kiosk=true", 30, "sessions.kiosk 1: anna"},
				{"", "lockout.attempts=3 session.absolute=10h sms.per_day=5 password.history=3", 30, ""},
				{"session.idle=10m", "session.idle=8h", 30, "sessions.freed 1: anna"},
				{"session.lock_after=15m", "session.lock_after=0d", 30, "sessions.freed 1: anna"},
				{"factors.required=true", "factors.required=false", 30, "factors.freed 1: bo; sessions.freed 1: bo"},
				{"password.max_age=90d password.min_length=16", "password.max_age=0d", 30, "passwords.freed 1: bo"},
				{"password.min_length=16", "password.min_length=12 password.blocklist=false", 30, ""}, // of nobody is anything known
				{"factors.remember_device=7d", "factors.remember_device=30d", 30, "browsers.freed 1: anna"},
			} {
				p, err := s.Policy(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				var back []string // what undoes before
				set(t, s, strings.Fields(tt.before)...)
				for _, r := range strings.Fields(tt.before) {
					key, _, _ := strings.Cut(r, "=")
					for _, was := range p.Rules() {
						if was.Key == key {
							back = append(back, key+"="+policy.Text(was.Value))
						}
					}
				}
				r, err := s.Rehearse(context.Background(), storetest.Origin, proposal(t, strings.Fields(tt.args)...), tt.days, whole)
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(found(r), "; "); got != tt.want {
					t.Errorf("%s %s, %d days:\n got %s\nwant %s", tt.before, tt.args, tt.days, got, tt.want)
				}
				set(t, s, back...)
			}
		})
	}
}

// TestRehearseCounts: who is in the same case already is counted and not named; what nothing can be told of is named.
func TestRehearseCounts(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			s, _ := office(t, e.New(t))
			rehearse := func(site Site, args ...string) *Rehearsal {
				t.Helper()
				r, err := s.Rehearse(context.Background(), storetest.Origin, proposal(t, args...), 90, site)
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			set(t, s, "factors.required=true", "password.max_age=180d")
			r := rehearse(whole, "lockout.attempts=3", "session.absolute=10h", "password.groups.staff.history=3", "session.idle=1h")
			if r.People != 4 || r.Days != 90 || r.Factors.Ready != 3 || r.Factors.SetUp.Already != 1 || r.Passwords.Must.Already != 1 || r.Passwords.Perhaps.Already != 2 ||
				r.Sessions.Alive != 1 || r.Browsers.Remembered != 1 || r.Passwords.Good != 0 {
				t.Errorf("%+v", r)
			}
			if want := []string{"password.groups.staff.history", "lockout.attempts", "session.absolute"}; !slices.Equal(r.Later, want) || len(r.Changes) != 4 {
				t.Errorf("of %q nothing is told", r.Later)
			}
			if r = rehearse(Site{Passkeys: true}, "session.idle=1h"); r.Factors.SetUp.Already != 2 {
				t.Errorf("without text messages a number that was never used is no factor: %+v", r.Factors)
			}
			if r = rehearse(Site{}, "factors.minimum=phr"); r.Factors.Shut.Count != 3 || r.Factors.Ready != 1 {
				t.Errorf("where no passkey can be set up nobody but dora comes in: %+v", r.Factors)
			}
			for _, tt := range []struct{ args, want string }{
				{"password.min_length=7", "out of bounds"}, {"password.min=7", "there is no rule"}, {"factors.groups.boss.required=true", `there is no group "boss"`},
			} {
				if _, err := s.Rehearse(context.Background(), storetest.Origin, proposal(t, tt.args), 30, whole); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: %v", tt.args, err)
				}
			}
		})
	}
}

// TestRehearseDays: sign-ins of the days that are asked for count, to the minute.
func TestRehearseDays(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			s, clock := office(t, e.New(t))
			clock.Add(30*24*time.Hour - 20*time.Minute) // anna's by a remembered browser is 30 days old
			for _, want := range []int{1, 0} {
				r, err := s.Rehearse(context.Background(), storetest.Origin, proposal(t, "factors.remember_device=0d", "factors.required=true"), 30, whole)
				if err != nil {
					t.Fatal(err)
				}
				asked := map[string]int{}
				for _, a := range r.Applications {
					asked[a.ID] = a.Asked.Count
				}
				if asked[""] != want || asked["wiki"] != 2 {
					t.Errorf("asked for more: %v", asked)
				}
				clock.Add(time.Minute)
			}
		})
	}
}

// TestRehearseReads: a rehearsal leaves the database as it was, but for one event that says who read; one that is refused leaves none.
func TestRehearseReads(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			url := e.New(t)
			s, _ := office(t, url)
			before := contents(t, url)
			if _, err := s.Rehearse(context.Background(), storetest.Origin, proposal(t, "password.min_length=7"), 30, whole); err == nil {
				t.Error("a policy out of bounds was rehearsed")
			}
			if after := contents(t, url); !slices.Equal(before, after) {
				t.Errorf("a refused rehearsal wrote %q", added(before, after))
			}
			if _, err := s.Rehearse(context.Background(), storetest.Origin, proposal(t, "factors.minimum=phr", "session.idle=1m"), 90, whole); err != nil {
				t.Fatal(err)
			}
			more := added(before, contents(t, url))
			if len(more) != 1 || !strings.HasPrefix(more[0], "events ") || !strings.Contains(more[0], "personal.read") || !strings.Contains(more[0], "policy rehearse") ||
				len(added(contents(t, url), before)) != 0 {
				t.Errorf("it wrote %q", more)
			}
			storetest.View(t, s.db, func(tx *store.Tx) error {
				return tx.Events(store.EventFilter{Kinds: []audit.Kind{audit.PersonalRead}}, func(e audit.Event) error {
					if e.Actor != storetest.Origin.Actor || e.Detail["days"] != "90" {
						t.Errorf("%+v", e)
					}
					return nil
				})
			})
		})
	}
}

// contents lists every row of every table.
func contents(t *testing.T, url string) []string {
	t.Helper()
	driver, address, tables := "pgx", url, "select tablename from pg_tables where schemaname = current_schema()"
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, address, tables = "sqlite", path, "select name from sqlite_master where type = 'table'"
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out []string
	for _, name := range rowsOf(t, db, tables) {
		for _, row := range rowsOf(t, db, `select * from "`+name+`"`) {
			out = append(out, name+" "+row)
		}
	}
	if len(out) < 20 {
		t.Fatalf("the whole database is %q", out)
	}
	slices.Sort(out)
	return out
}

func rowsOf(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		cells := make([]any, len(columns))
		for i := range cells {
			cells[i] = new(sql.NullString)
		}
		if err := rows.Scan(cells...); err != nil {
			t.Fatal(err)
		}
		words := make([]string, len(cells))
		for i, c := range cells {
			words[i] = c.(*sql.NullString).String
		}
		out = append(out, strings.Join(words, " "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// added lists what after has more than before; both are sorted.
func added(before, after []string) []string {
	left := map[string]int{}
	for _, b := range before {
		left[b]++
	}
	var more []string
	for _, a := range after {
		if left[a]--; left[a] < 0 {
			more = append(more, a)
		}
	}
	return more
}
