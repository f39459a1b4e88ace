package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	oidcclient "github.com/coreos/go-oidc/v3/oidc"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// leaver is an application that takes logout tokens: with care, or whatever comes.
type leaver struct {
	*attack
	careless atomic.Bool
	down     atomic.Bool
	calls    atomic.Int64
	seen     sync.Map // of jti
}

func (l *leaver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.calls.Add(1)
	switch token := r.FormValue("logout_token"); {
	case l.down.Load():
		w.WriteHeader(http.StatusBadGateway)
	case !l.careless.Load() && !l.good(token):
		w.WriteHeader(http.StatusBadRequest)
	}
}

// good is OpenID Connect Back-Channel Logout 1.0 §2.6.
func (l *leaver) good(token string) bool {
	provider, err := oidcclient.NewProvider(context.Background(), l.URL)
	if err != nil {
		return false
	}
	logout, err := provider.Verifier(&oidcclient.Config{ClientID: "leaver", Now: l.Clock}).Verify(context.Background(), token)
	if err != nil || logout.Nonce != "" {
		return false
	}
	var c struct {
		ID     string         `json:"jti"`
		Events map[string]any `json:"events"`
		SID    string         `json:"sid"`
	}
	if err := logout.Claims(&c); err != nil || c.SID == "" || c.Events["http://schemas.openid.net/event/backchannel-logout"] == nil {
		return false
	}
	_, again := l.seen.LoadOrStore(c.ID, true)
	return !again
}

// TestProveLogout (BL-01): each faulty logout token reaches the test client and no other; a sound one refuses it, and what a careless one takes is
// told.
func TestProveLogout(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		l := &leaver{attack: a}
		app := httptest.NewServer(l)
		t.Cleanup(app.Close)
		register := func(id, test string) string {
			return "  - {client_id: " + id + ", client_name: Leaver, client_secret: " + servertest.Secret + ", test: " + test + ", owners: [alice], id_token_signed_response_alg: ES256, redirect_uris: [\"" +
				servertest.Redirect + "\"], backchannel_logout_uri: \"" + app.URL + "/out\"}\n"
		}
		a.ApplyFile(t, "clients:\n"+register("leaver", "true")+register("staying", "false"))
		b := a.firefox(t, "alice", servertest.TOTP)
		press := func(id string, f client.Fault) string {
			_, form := shows(t, b.Get("/apps/leaver/prove"), `value="logout"`).FormWith(t, `value="logout"`)
			form.Set("fault", string(f))
			form.Set("action", "logout")
			return b.Follow(b.Post("/apps/"+id+"/prove", form)).Body
		}
		n := len(client.LogoutFaults())
		for i, f := range client.LogoutFaults() {
			if page := press("leaver", f); strings.Count(page, "Stopped it") != i+1 || strings.Contains(page, "Unclear") {
				t.Errorf("BL-01: %s: a sound client is told to have taken it", f)
			}
		}
		l.careless.Store(true)
		for i, f := range client.LogoutFaults() {
			if page := press("leaver", f); strings.Count(page, "Let it through") != i+1 {
				t.Errorf("BL-01: %s: a careless client is told to have stopped it", f)
			}
		}
		l.down.Store(true)
		if page := press("leaver", client.FaultLogoutNonce); strings.Count(page, "Unclear") != 1 {
			t.Error("no answer is taken for one")
		}
		if got := a.Events(t, audit.TrialJudged); len(got) != 2*n+1 || got[0].Detail["status"] != "400" {
			t.Errorf("%d verdicts on record", len(got))
		}
		calls := l.calls.Load()
		if press("staying", client.FaultLogoutNonce); l.calls.Load() != calls {
			t.Error("AC-01: a client in production got a faulty logout token")
		}
		if press("leaver", client.FaultNonce); len(a.Events(t, audit.TrialBegun)) != 2*n+1 || l.calls.Load() != calls {
			t.Error("a fault of a sign-in was sent as a logout token")
		}
	})
}
