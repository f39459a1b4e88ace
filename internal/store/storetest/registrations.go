package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
)

// registrations: an initial access token is good for so many clients in its time, whoever comes, and what registered itself changes itself until an
// administrator takes over.
func registrations(t *testing.T, e Engine) {
	url, clock := e.New(t), NewClock()
	open := func() *store.DB { return OpenWith(t, url, store.Options{Sealer: Ring(t), Now: clock.Now}) }
	db := open()
	bounds := store.Bounds{By: "r1", Name: "tools", Scopes: []string{"openid"}, GrantTypes: []string{"authorization_code"}, Groups: []string{"staff"}, MinimumACR: "phr", PKCEOptional: true}
	begun := db.Now()
	Change(t, db, func(tx *store.Tx) error {
		one := tx.AddRegistrationToken(store.RegistrationToken{Bounds: bounds, Uses: 3, Expires: begun.Add(time.Hour)}, []byte("mac 1"))
		two := tx.AddRegistrationToken(store.RegistrationToken{Bounds: store.Bounds{By: "r2"}, Uses: 1, Expires: begun.Add(time.Hour)}, []byte("mac 2"))
		return errors.Join(one, two, Event(tx, "x"))
	})
	good := func(mac string) (r store.RegistrationToken, err error) {
		err = db.View(context.Background(), func(tx *store.Tx) (err error) { r, err = tx.RegistrationToken([]byte(mac)); return err })
		return r, err
	}
	r, err := good("mac 1")
	if err != nil || r.By != "r1" || r.Name != "tools" || !slices.Equal(r.Groups, bounds.Groups) || r.MinimumACR != "phr" || !r.PKCEOptional || r.Uses != 3 || r.Used != 0 ||
		!r.Created.Equal(begun) || !r.Expires.Equal(begun.Add(time.Hour)) {
		t.Errorf("read back %+v (%v)", r, err)
	}
	if _, err := good("mac 3"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("one that never was gave %v", err)
	}
	use := func(tx *store.Tx) error {
		_, err := tx.UseRegistrationToken([]byte("mac 1"))
		if errors.Is(err, store.ErrNotFound) {
			err = store.ErrConflict
		}
		return errors.Join(err, Event(tx, "x"))
	}
	if wins := Race(t, 12, []*store.DB{db, open()}, func(tx *store.Tx) error { _, err := tx.RegistrationToken([]byte("mac 1")); return err }, use); wins != 3 {
		t.Errorf("a token for 3 clients was good for %d of 12", wins)
	}
	if _, err := good("mac 1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("one that is used up gave %v", err)
	}
	clock.Add(time.Hour)
	if _, err := good("mac 2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("one out of time gave %v", err)
	}
	dynamic(t, db, bounds)
	left := func(after time.Duration, want ...string) {
		t.Helper()
		clock.Add(after)
		var ids []string
		Change(t, db, func(tx *store.Tx) error { _, err := tx.Sweep(); return errors.Join(err, Event(tx, "x")) })
		View(t, db, func(tx *store.Tx) error {
			return tx.RegistrationTokens(func(r store.RegistrationToken) error { ids = append(ids, r.By); return nil })
		})
		if !slices.Equal(ids, want) {
			t.Errorf("the tokens are %v, want %v", ids, want)
		}
	}
	left(0, "r1", "r2")
	Change(t, db, func(tx *store.Tx) error { tx.RevokeRegistrationToken("r2"); return Event(tx, "x") })
	left(30*24*time.Hour-time.Minute, "r1")
	left(2 * time.Minute)
}

// dynamic: the registration of a client that registered itself.
func dynamic(t *testing.T, db *store.DB, bounds store.Bounds) {
	t.Helper()
	app := func(name string) client.Client { return client.Client{ID: "self", Name: name} }
	add := func(tx *store.Tx) error {
		return errors.Join(tx.AddDynamic(app("one"), []byte("secret"), store.Dynamic{Token: []byte("mine"), Bounds: bounds}), Event(tx, "x"))
	}
	Change(t, db, add)
	if err := db.Change(context.Background(), Origin, add); !errors.Is(err, store.ErrTaken) {
		t.Errorf("an id that is in use gave %v", err)
	}
	put := func(token, name string, secret []byte) error {
		return db.Change(context.Background(), Origin, func(tx *store.Tx) error {
			if _, err := tx.HoldDynamic("self", []byte(token)); err != nil {
				return err
			}
			return errors.Join(tx.PutDynamic(app(name), secret), Event(tx, "x"))
		})
	}
	is := func(what, name, secret string, managed bool) {
		t.Helper()
		View(t, db, func(tx *store.Tx) error {
			c, err := tx.ClientByID("self")
			if err != nil || c.Name != name || string(c.Secret) != secret || (c.Dynamic != nil) != managed || managed && (c.Dynamic.Bounds.By != "r1" || string(c.Dynamic.Token) != "mine") {
				t.Errorf("%s: the client is %+v (%v)", what, c, err)
			}
			return nil
		})
	}
	is("registered", "one", "secret", true)
	for _, c := range []struct {
		token, name string
		secret      []byte
		want        error
		is          string
	}{{"mine", "two", nil, nil, "secret"}, {"another", "three", nil, store.ErrNotFound, "secret"}, {"", "three", nil, store.ErrNotFound, "secret"}, {"mine", "two", []byte("new"), nil, "new"}, {"mine", "two", []byte{}, nil, ""}} {
		if err := put(c.token, c.name, c.secret); !errors.Is(err, c.want) {
			t.Errorf("a change by %q gave %v, want %v", c.token, err, c.want)
		}
		is("a change by "+c.token, "two", c.is, true)
	}
	Change(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.PutClient(app("taken over"), nil), tx.Record(audit.Event{Kind: audit.ClientChanged}))
	})
	for _, token := range []string{"mine", ""} {
		if err := put(token, "back", nil); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("after an administrator took over, %q gave %v", token, err)
		}
	}
	is("taken over", "taken over", "", false)
}

// putClient registers c, or changes its registration.
func putClient(tx *store.Tx, c client.Client, secret []byte) error {
	if _, err := tx.ClientByID(c.ID); err != nil {
		return tx.AddClient(c, secret)
	}
	return tx.PutClient(c, secret)
}

// origins: where a browser application is at home is known on every instance soon after it is registered, and forgotten with it.
func origins(t *testing.T, e Engine) {
	url := e.New(t)
	a, b := Open(t, url), Open(t, url)
	a.Watch()
	ask := func(db *store.DB, origin string) bool {
		t.Helper()
		known, err := db.BrowserOrigin(context.Background(), origin)
		if err != nil {
			t.Fatal(err)
		}
		return known
	}
	put := func(method string) {
		t.Helper()
		Change(t, b, func(tx *store.Tx) error {
			c := client.Client{ID: "spa", AuthMethod: method, RedirectURIs: []string{"https://Spa.example:443/callback", "https://two.example:8443/"}}
			return errors.Join(putClient(tx, c, nil), Event(tx, "x"))
		})
	}
	if ask(a, "https://spa.example") {
		t.Error("an origin is known before anything is registered")
	}
	put(client.AuthNone)
	soon(t, func() bool { return ask(a, "https://spa.example") && ask(a, "https://two.example:8443") })
	for _, origin := range []string{"https://two.example", "http://spa.example", "https://spa.example:443", "https://spa.example/", "null", ""} {
		if ask(a, origin) || ask(b, origin) {
			t.Errorf("CS-03: %q is known", origin)
		}
	}
	if !ask(b, "https://spa.example") {
		t.Error("an instance that caches nothing does not know it")
	}
	reads, _ := a.Trips()
	for range 50 {
		ask(a, "https://nobody.example")
	}
	if after, _ := a.Trips(); after-reads > 5 {
		t.Errorf("50 questions cost %d trips", after-reads)
	}
	put(client.AuthBasic)
	soon(t, func() bool { return !ask(a, "https://spa.example") })
}
