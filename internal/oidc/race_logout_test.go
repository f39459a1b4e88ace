package oidc_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// logoutLook is how often each instance looks at the outbox.
const logoutLook = time.Second

// told is two applications that count the logout tokens that they get. Each is slow to answer the first: both instances look at the outbox meanwhile.
type told struct {
	web  *httptest.Server
	ids  []string
	slow map[string]*sync.Once // by path

	mu    sync.Mutex
	want  map[string]int // of each application and session: 1
	got   map[string]int
	jtis  map[string]bool
	wrong []string
}

func newTold(t *testing.T) *told {
	o := &told{ids: []string{"told-one", "told-two"}, want: map[string]int{}, got: map[string]int{}, jtis: map[string]bool{}, slow: map[string]*sync.Once{}}
	for _, id := range o.ids {
		o.slow["/"+id] = &sync.Once{}
	}
	o.web = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		token := r.FormValue("logout_token")
		o.slow[r.URL.Path].Do(func() { time.Sleep(logoutLook + logoutLook/4) })
		o.mu.Lock()
		defer o.mu.Unlock()
		if strings.Count(token, ".") != 2 {
			o.wrong = append(o.wrong, token)
			return
		}
		c := read2(t, token)
		if jti, _ := c["jti"].(string); "/"+fmt.Sprint(c["aud"]) != r.URL.Path || jti == "" || o.jtis[jti] {
			o.wrong = append(o.wrong, fmt.Sprint(r.URL, c))
		} else {
			o.jtis[jti] = true
		}
		o.got[fmt.Sprint(c["aud"], " ", c["sid"])]++
	}))
	t.Cleanup(o.web.Close)
	return o
}

// registrations are the applications', and a policy that lets newcomer in by password alone: a session a round needs no code that counts once.
func (o *told) registrations() string {
	var text string
	for _, id := range o.ids {
		text += "  - {client_id: " + id + ", client_secret: " + servertest.Secret + ", redirect_uris: [" + servertest.Redirect + "], id_token_signed_response_alg: ES256, scope: openid, backchannel_logout_uri: '" + o.web.URL + "/" + id + "'}\n"
	}
	return text + "policies: {factors: {required: false}}\n"
}

// logout: a session in which both applications took part is ended by all rivals at once.
func (c *contest) logout() {
	c.t.Helper()
	b := servertest.NewBrowser(c.t, c.urls[0])
	b.Follow(b.SignIn(b.Get("/account"), "newcomer", servertest.Password, ""))
	hint := ""
	for i, id := range c.told.ids {
		p := b.Get(c.urls[i%2] + "/authorize?" + with(id, "scope", "openid").Encode())
		status, body := postToken(c.t, c.urls[i%2], codeForm(arrive(c.t, p).Get("code")), id)
		if status != http.StatusOK {
			c.t.Fatalf("token: %d %v", status, body)
		}
		hint = body["id_token"].(string)
		c.told.mu.Lock()
		c.told.want[fmt.Sprint(id, " ", read2(c.t, hint)["sid"])] = 1
		c.told.mu.Unlock()
	}
	here, err := url.Parse(c.urls[0])
	if err != nil {
		c.t.Fatal(err)
	}
	var cookies []string
	for _, one := range b.Client.Jar.Cookies(here) {
		cookies = append(cookies, one.Name+"="+one.Value)
	}
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range c.rivals {
		all.Go(func() {
			alone := servertest.NewBrowser(c.t, c.urls[i%2]) // what is answered to one takes no cookie from another
			alone.Client.Transport = plain.Transport
			alone.Header.Set("Cookie", strings.Join(cookies, "; "))
			<-start
			p := alone.Get("/logout?id_token_hint=" + hint)
			for range 2 { // a busy machine
				if p.Status == http.StatusServiceUnavailable && os.Getenv("RACE") == "" {
					p = alone.Get("/logout?id_token_hint=" + hint)
				}
			}
			if p.Status != http.StatusSeeOther {
				c.t.Errorf("LO-05: a rival got %d %.200s", p.Status, p.Body)
			}
		})
	}
	close(start)
	all.Wait()
	if p := b.Get("/authorize?" + with(c.told.ids[0], "scope", "openid", "prompt", "none").Encode()); arrive(c.t, p).Get("error") != "login_required" {
		c.t.Errorf("LO-05: the session is not over: %s", p.Location)
	}
}

// once waits until nothing is left to be told, and checks that each application was told of each session, and once.
func (o *told) once(t *testing.T, dbURL string) {
	t.Helper()
	db := storetest.OpenWith(t, dbURL, store.Options{Sealer: storetest.Ring(t), Now: func() time.Time { return time.Now().Add(48 * time.Hour) }}) // what is leased is due by then
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var left []client.ID
		storetest.View(t, db, func(tx *store.Tx) (err error) { left, err = tx.LogoutsDue(10); return err })
		if len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("LO-05: two minutes later %v have not been told of everything", left)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !maps.Equal(o.got, o.want) || len(o.wrong) > 0 {
		t.Errorf("LO-05: the applications were told %v, want %v; and %v", o.got, o.want, o.wrong)
	}
}
