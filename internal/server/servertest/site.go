// Package servertest gives tests the whole service: real database, real keys, real HTTP on loopback, and a browser
// without a screen that fills in the forms as a person would.
package servertest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/admin"
	"github.com/portvakt/portvakt/internal/apps"
	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/fetch"
	"github.com/portvakt/portvakt/internal/lockout"
	"github.com/portvakt/portvakt/internal/login"
	"github.com/portvakt/portvakt/internal/mtls"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/oidc"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/server"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// Site is one running instance.
type Site struct {
	URL    string
	DB     *store.DB
	OIDC   *oidc.Provider
	Admin  *admin.Service
	Server *server.Server
	Notify *notify.Service
	Clock  func() time.Time

	phone, post string // files that text messages and mail go to

	dbURL   string
	options Options
	all     *[]*Site // the instances on this database
}

// Options of a site. The zero value is good.
type Options struct {
	Clock    func() time.Time
	Apply    string // an apply file; empty: Sample
	Proxies  []netip.Prefix
	Issuers  *mtls.Authorities // of clients' certificates, which Proxies pass on in the header Cert
	Cert     string
	Timeout  time.Duration // of the database; zero: so long that no test is decided by it
	Issuer   string        // empty: where the site listens
	Hash     factor.Params // zero: cheap ones, for tests that are not about their strength
	Parallel int           // hashes at once; 0: 4
	Log      io.Writer     // gets every log line too
	SMS      sms.Config    // zero: off; "file" alone is a file that Texts reads
	NoMail   bool          // no mail goes out
	NoWatch  bool          // nothing is cached, and nothing reads but what was asked for

	messages string // the folder of the files that messages go to; empty: a new one
}

// Secret and Password are those of the sample data.
const (
	Secret    = "a-long-random-string-for-tests"
	Password  = "correct horse battery staple"
	TOTP      = "otpauth://totp/Portvakt:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Portvakt"
	OtherTOTP = "otpauth://totp/Portvakt:mallory?secret=KRSXG5CTMVRXEZLUKRSXG5CTMVRXEZLU&issuer=Portvakt"
	Redirect  = "https://app.example/callback"
)

// Sample has alice (soft token), mallory (another) and newcomer (no factor yet), and clients of each kind.
func Sample() string {
	users := `
groups: [staff, admins]
users:
  - {username: alice, name: Alice Åkerblom, email: alice@example.se, phone: "+46701740605", groups: [staff, admins], password: ` + Password + `, totp: "` + TOTP + `", locale: en}
  - {username: mallory, name: Mallory, email: mallory@example.se, groups: [staff], password: ` + Password + `, totp: "` + OtherTOTP + `"}
  - {username: newcomer, name: Newcomer, email: newcomer@example.se, groups: [staff], password: ` + Password + `}
clients:
  - client_id: pub
    client_name: Public
    token_endpoint_auth_method: none
    redirect_uris: [` + Redirect + `, "http://127.0.0.1/cb"]
    grant_types: [authorization_code, refresh_token]
    scope: openid profile offline_access
`
	for _, c := range []string{"conf, id_token_signed_response_alg: ES256", "rsa, id_token_signed_response_alg: RS256",
		"ed, id_token_signed_response_alg: EdDSA", "pss, id_token_signed_response_alg: PS256", "other, id_token_signed_response_alg: ES256, token_endpoint_auth_method: client_secret_post",
		"lax, require_pkce: false", "admins-only, allowed_groups: [admins]"} {
		users += "  - {client_id: " + c + ", client_secret: " + Secret + ", redirect_uris: [" + Redirect + `], post_logout_redirect_uris: ["https://app.example/bye"],
     grant_types: [authorization_code, refresh_token, client_credentials], scope: openid profile email phone groups offline_access api}
`
	}
	return users
}

// New runs a site on the database at dbURL.
func New(t testing.TB, dbURL string, o Options) *Site {
	t.Helper()
	ring := storetest.Ring(t)
	db := storetest.OpenWith(t, dbURL, store.Options{Sealer: ring, Now: o.Clock, Timeout: o.Timeout})
	hasher := o.hasher()
	http := httptest.NewUnstartedServer(nil)
	here := "http://localhost:" + strconv.Itoa(http.Listener.Addr().(*net.TCPAddr).Port) // passkeys need a name
	issuer := cmp.Or(o.Issuer, here)
	s := &Site{URL: here, DB: db, OIDC: oidc.New(oidc.Options{DB: db, Ring: ring, Issuer: issuer, Fetch: fetch.New(fetch.Options{}), Log: o.logger(t), Authorities: o.Issuers}), Clock: o.Clock, dbURL: dbURL, options: o}
	s.all = &[]*Site{s}
	if s.Clock == nil {
		s.Clock = time.Now
	}
	chosen := passwords.New(passwords.Options{DB: db, Hasher: hasher, Organisation: "Exempelbolaget"})
	s.Admin = admin.New(db, hasher, chosen, s.OIDC.SecretMAC)
	u, err := url.Parse(issuer)
	if err != nil {
		t.Fatal(err)
	}
	s.texts(t, u, ring, o)
	passkeys, err := factor.NewPasskeys(u.Hostname(), "Exempelbolaget", []string{u.Scheme + "://" + u.Host})
	if err != nil {
		t.Fatal(err)
	}
	s.Server, err = server.New(server.Options{Issuer: u, Brand: "Exempelbolaget", DB: db, OIDC: s.OIDC,
		Login: login.New(login.Options{DB: db, Hasher: hasher, Passwords: chosen, Lockout: lockout.New(ring.Secret("lane")), Issuer: "Exempelbolaget", Key: ring.Secret("lane"), Recovery: ring.Secret("recovery"),
			Passkeys: passkeys, Notify: s.Notify}),
		Account: account.New(account.Options{DB: db, Hasher: hasher, Passwords: chosen, Lockout: lockout.New(ring.Secret("lane")), Issuer: "Exempelbolaget", Notify: s.Notify, Passkeys: passkeys, Key: ring.Secret("recovery")}),
		Apps:    apps.New(db, issuer),
		FormKey: ring.Secret("form"), Proxies: o.Proxies, Cert: o.Cert, Log: o.logger(t),
		Ready: func(context.Context) map[string]string { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if o.Apply == "" {
		o.Apply = Sample()
	}
	s.ApplyFile(t, o.Apply)
	if !o.NoWatch {
		db.Watch()
	}
	http.Config = s.Server.HTTP()
	http.Start()
	t.Cleanup(http.Close)
	return s
}

// Second runs another instance beside s on the same database and keys. Cookies of one are good at the other, and the messages of
// both are in the same files.
func (s *Site) Second(t testing.TB) *Site {
	t.Helper()
	o := s.options
	o.messages = filepath.Dir(s.post)
	second := New(t, s.dbURL, o)
	*s.all = append(*s.all, second)
	second.all = s.all
	return second
}

// Settle waits until every instance works with the policy and the registrations that are stored: what they cached they look at twice a second.
func (s *Site) Settle(t testing.TB) {
	t.Helper()
	for _, one := range *s.all {
		for end := time.Now().Add(30 * time.Second); !one.settled(t); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("an instance goes on with an old policy or registration")
			}
		}
	}
}

func (s *Site) settled(t testing.TB) bool {
	t.Helper()
	var rules policy.Policy
	var clients []store.Client
	storetest.View(t, s.DB, func(tx *store.Tx) (err error) {
		clients = nil
		rules, err = tx.Policy()
		return errors.Join(err, tx.Clients(func(c store.Client) error { clients = append(clients, c); return nil }))
	})
	now, err := s.DB.Policy(t.Context())
	same := reflect.DeepEqual(rules, now)
	for _, stored := range clients {
		c, fault := s.DB.Client(t.Context(), stored.ID)
		same, err = same && fault == nil && reflect.DeepEqual(stored.Client, c.Client), errors.Join(err, fault)
	}
	if err != nil {
		t.Fatal(err)
	}
	return same
}

// Path is the file of a site on SQLite.
func (s *Site) Path() string { return strings.TrimPrefix(s.dbURL, "sqlite:") }

func (o Options) hasher() *factor.Hasher {
	p := o.Hash
	if p == (factor.Params{}) {
		p = factor.Params{MemoryKiB: 64, Time: 1}
	}
	return factor.NewHasher(p, cmp.Or(o.Parallel, 4))
}

func (o Options) logger(t testing.TB) *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	return slog.New(slog.NewTextHandler(io.MultiWriter(testWriter{t}, o.Log), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// ApplyFile applies an apply file.
func (s *Site) ApplyFile(t testing.TB, text string) {
	t.Helper()
	f, err := admin.ReadFile(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Admin.Apply(context.Background(), audit.Origin{Actor: "test"}, f, false); err != nil {
		t.Fatal(err)
	}
}

// Events gives the events of these kinds so far, oldest first.
func (s *Site) Events(t testing.TB, kinds ...audit.Kind) []audit.Event {
	t.Helper()
	var all []audit.Event
	storetest.View(t, s.DB, func(tx *store.Tx) error {
		return tx.Events(store.EventFilter{Kinds: kinds, Limit: 10000}, func(e audit.Event) error { all = append(all, e); return nil })
	})
	return all
}

// testWriter puts log lines into the test's own output, which shows if it fails.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

var _ io.Writer = testWriter{}
