package oidc_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	stock "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/portvakt/portvakt/internal/oidc"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

const television = "clients:\n  - {client_id: tv, client_name: Meeting room, token_endpoint_auth_method: none, id_token_signed_response_alg: ES256, " +
	`grant_types: ["urn:ietf:params:oauth:grant-type:device_code", refresh_token], scope: openid profile offline_access}` + "\n"

// onPending calls what follows the first answer that says to wait.
type onPending struct {
	once sync.Once
	then func()
}

// RoundTrip implements http.RoundTripper.
func (o *onPending) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusBadRequest {
		o.once.Do(o.then)
	}
	return resp, err
}

// TestStockDevice: a device as its developer would write it with x/oauth2, which finds everything by discovery and polls until the person has
// pressed the button.
func TestStockDevice(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			s := servertest.New(t, e.New(t), servertest.Options{})
			s.ApplyFile(t, television)
			b := signedIn(t, s)
			p, err := stock.NewProvider(context.Background(), s.URL)
			if err != nil {
				t.Fatal(err)
			}
			conf := &oauth2.Config{ClientID: "tv", Endpoint: p.Endpoint(), Scopes: []string{"openid", "profile", "offline_access"}}
			conf.Endpoint.AuthStyle = oauth2.AuthStyleInParams
			if conf.Endpoint.DeviceAuthURL != s.URL+"/device_authorization" {
				t.Fatalf("RFC 8628 §4: discovery names %q", conf.Endpoint.DeviceAuthURL)
			}
			pressed := &onPending{}
			ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: pressed})
			asked, err := conf.DeviceAuth(ctx)
			if err != nil {
				t.Fatal(err)
			}
			pressed.then = func() { b.Press(b.Follow(b.Get(asked.VerificationURIComplete)), "action", "allow") }
			asked.Interval = 1 // a device that does as it is told waits 5 s; this one comes too soon, and is served all the same once it may be
			token, err := conf.DeviceAccessToken(ctx, asked)
			if err != nil {
				t.Fatal(err)
			}
			checkToken(t, p, conf, token, "ES256", "")
			refreshed, err := conf.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
			if err != nil {
				t.Fatal(err)
			}
			checkToken(t, p, conf, refreshed, "ES256", "")
		})
	}
}

// TestUserCode: what people type, and what cannot be a code.
func TestUserCode(t *testing.T) {
	for typed, want := range map[string]string{
		"BCDF-GHJK": "BCDFGHJK", "bcdfghjk": "BCDFGHJK", " bcdf – ghjk.": "BCDFGHJK", "B C D F G H J K": "BCDFGHJK", "bcdf_ghjk\n": "BCDFGHJK", "WXZV-TSRQ": "WXZVTSRQ",
		"": "", "BCDF-GHJ": "", "BCDF-GHJKL": "", "ACDF-GHJK": "", "BCDF-GHJ0": "", "BCDF-GHJY": "", strings.Repeat("B", 65): "", strings.Repeat("-", 60) + "BCDF": "",
	} {
		if got := oidc.UserCode(typed); got != want {
			t.Errorf("UserCode(%q) = %q, want %q", typed, got, want)
		}
		if shown := oidc.ShownUserCode(want); want != "" && oidc.UserCode(shown) != want {
			t.Errorf("%q is shown as %q", want, shown)
		}
	}
}

// TestDeviceWrites: what a device costs in trips that write: 2 to ask (the request with its limits, the commit), 2 to be told to wait, 1 to get
// tokens, as with a code.
func TestDeviceWrites(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			s := newBench(t, e, "tv")
			s.site.ApplyFile(t, television)
			form := url.Values{"client_id": {"tv"}, "scope": {"openid"}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}}
			var asked struct {
				Device string `json:"device_code"`
				User   string `json:"user_code"`
			}
			writes := func(op func()) int64 {
				_, before := s.site.DB.Trips()
				op()
				_, after := s.site.DB.Trips()
				return after - before
			}
			ask := func() {
				if err := json.Unmarshal(s.do(t, http.MethodPost, "/device_authorization", form).Body.Bytes(), &asked); err != nil {
					t.Fatal(err)
				}
			}
			poll := func() { s.do(t, http.MethodPost, "/token", form) }
			got := []int64{writes(ask)}
			form.Set("device_code", asked.Device)
			got = append(got, writes(poll), writes(poll))
			b := s.browser(t)
			b.Press(b.Follow(b.Get("/device?user_code="+asked.User)), "action", "allow")
			if got = append(got, writes(poll)); !slices.Equal(got, []int64{2, 2, 2, 1}) {
				t.Errorf("%v writes to ask, to wait twice and to get tokens", got)
			}
		})
	}
}

// browser is the one that is signed in.
func (b *bench) browser(t testing.TB) *servertest.Browser {
	t.Helper()
	out := b.site.Browser(t)
	for pair := range strings.SplitSeq(b.cookie, "; ") {
		name, value, _ := strings.Cut(pair, "=")
		out.SetCookie(name, value)
	}
	return out
}
