package oidc_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// bounds are those of a registration token as the command line makes one.
func bounds(change ...func(*store.RegistrationToken)) store.RegistrationToken {
	r := store.RegistrationToken{Uses: 100, Bounds: store.Bounds{Name: "test", Scopes: []string{"openid", "profile", "offline_access"},
		GrantTypes: []string{client.GrantCode, client.GrantRefresh}}}
	for _, c := range change {
		c(&r)
	}
	return r
}

// initial is a fresh initial access token.
func (s *refusals) initial(t testing.TB, change ...func(*store.RegistrationToken)) string {
	t.Helper()
	_, token, err := s.Admin.MakeRegistrationToken(context.Background(), audit.Origin{Actor: "test"}, bounds(change...), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

const plainMetadata = `{"client_name":"Self","redirect_uris":["` + servertest.Redirect + `"],"grant_types":["authorization_code","refresh_token"],"id_token_signed_response_alg":"ES256"}`

// send is a request of a client about itself.
func (s *refusals) send(t testing.TB, method, address, token, body string, header ...string) *servertest.Page {
	t.Helper()
	all := append([]string{"Body", body, "Content-Type", "application/json"}, header...)
	if token != "" {
		all = append(all, "Authorization", "Bearer "+token)
	}
	return s.call(t, method, strings.TrimPrefix(address, s.URL), nil, all...)
}

// enrolled is a client that registered itself.
type enrolled struct {
	ID      string   `json:"client_id"`
	Secret  string   `json:"client_secret"`
	Expires *int64   `json:"client_secret_expires_at"`
	Issued  int64    `json:"client_id_issued_at"`
	Token   string   `json:"registration_access_token"`
	URI     string   `json:"registration_client_uri"`
	Scope   string   `json:"scope"`
	Types   []string `json:"response_types"`
	Groups  []string `json:"allowed_groups"`
	PKCE    *bool    `json:"require_pkce"`
}

func (s *refusals) enrol(t testing.TB, token, body string) enrolled {
	t.Helper()
	p := s.send(t, http.MethodPost, "/register", token, body)
	if p.Status != http.StatusCreated || p.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("registration: %d %v %s", p.Status, p.Header, p.Body)
	}
	return readEnrolled(t, p)
}

func readEnrolled(t testing.TB, p *servertest.Page) enrolled {
	t.Helper()
	var e enrolled
	if err := json.Unmarshal([]byte(p.Body), &e); err != nil {
		t.Fatalf("%d %s: %v", p.Status, p.Body, err)
	}
	return e
}

// signIn gets tokens for a client as it is registered now.
func (s *refusals) signIn(t testing.TB, e enrolled) map[string]string {
	t.Helper()
	var code string
	for end := time.Now().Add(30 * time.Second); code == ""; time.Sleep(20 * time.Millisecond) { // a change is known everywhere within half a second
		code = sent(t, s.authorize(with(e.ID, "scope", "openid profile offline_access"))).Get("code")
		if time.Now().After(end) {
			t.Fatal("no code")
		}
	}
	p := s.call(t, http.MethodPost, "/token", codeForm(code), "Authorization", basicOf(e.ID, e.Secret))
	if p.Status != http.StatusOK {
		t.Fatalf("token: %d %s", p.Status, p.Body)
	}
	return words(t, p)
}

// TestRegistration: a client registers itself, signs somebody in, reads, replaces and ends its registration (RFC 7591, RFC 7592).
func TestRegistration(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		initial := s.initial(t)
		e := s.enrol(t, initial, plainMetadata)
		if e.Secret == "" || e.Expires == nil || *e.Expires != 0 || e.Issued != s.Clock().Unix() || e.URI != s.URL+"/register/"+e.ID || e.Token == "" ||
			e.Scope != "openid profile offline_access" || !slices.Equal(e.Types, []string{"code"}) || strings.Contains(e.ID, "Self") {
			t.Errorf("the answer is %+v", e)
		}
		tokens := s.signIn(t, e)
		p := s.send(t, http.MethodGet, e.URI, e.Token, "")
		got := readEnrolled(t, p)
		if p.Status != http.StatusOK || got.Secret != "" || got.Token != e.Token || got.URI != e.URI || got.Issued != e.Issued {
			t.Errorf("reading gave %d %s", p.Status, p.Body)
		}
		said := object(t, p) // and is sent back with a change, as RFC 7592 §2.2 has it
		said["client_name"], said["client_secret"] = "Another", e.Secret
		p = s.send(t, http.MethodPut, e.URI, e.Token, string(must(json.Marshal(said))))
		if p.Status != http.StatusOK || object(t, p)["client_name"] != "Another" || readEnrolled(t, p).Secret != "" {
			t.Fatalf("replacing gave %d %s", p.Status, p.Body)
		}
		if w := s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+tokens["access_token"]); w.Status != http.StatusOK {
			t.Errorf("a change ended a token: %d", w.Status)
		}
		s.changesMethod(t, e)
		if p := s.send(t, http.MethodDelete, e.URI, e.Token, ""); p.Status != http.StatusNoContent || p.Body != "" {
			t.Errorf("ending gave %d %s", p.Status, p.Body)
		}
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			refused(t, "RFC 7592 §2: a removed client's token, "+method, s.send(t, method, e.URI, e.Token, plainMetadata), "invalid_token")
		}
		refused(t, "a removed client's access token", s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+tokens["access_token"]), "invalid_token")
		var kinds []string
		for _, event := range s.Events(t, audit.RegTokenMade, audit.ClientCreated, audit.ClientChanged, audit.ClientRemoved) {
			if event.Client == e.ID || event.Kind == audit.RegTokenMade {
				kinds = append(kinds, string(event.Kind))
			}
		}
		if want := "registration_token.created client.created client.changed client.changed client.changed client.removed"; strings.Join(kinds, " ") != want {
			t.Errorf("on record: %v", kinds)
		}
		storetest.View(t, s.DB, func(tx *store.Tx) error {
			return tx.RegistrationTokens(func(r store.RegistrationToken) error {
				if r.Used != 1 {
					t.Errorf("the token counts %d uses", r.Used)
				}
				return nil
			})
		})
	})
}

// changesMethod: a client that gives up its secret has none, and gets another when it wants one again.
func (s *refusals) changesMethod(t *testing.T, e enrolled) {
	t.Helper()
	put := func(method string) enrolled {
		t.Helper()
		p := s.send(t, http.MethodPut, e.URI, e.Token, `{"client_id":"`+e.ID+`","token_endpoint_auth_method":"`+method+`",`+plainMetadata[1:])
		if p.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", method, p.Status, p.Body)
		}
		return readEnrolled(t, p)
	}
	if got := put("none"); got.Secret != "" {
		t.Errorf("a public client got a secret")
	}
	got := put("client_secret_basic")
	if got.Secret == "" || got.Secret == e.Secret {
		t.Errorf("the new secret is %q", got.Secret)
	}
	if tokens := s.signIn(t, got); tokens["id_token"] == "" {
		t.Errorf("the new secret gave %v", tokens)
	}
	s.clock.Add(time.Second)
	refused(t, "RFC 7592 §2.2: the secret before", s.call(t, http.MethodPost, "/token", codeForm("pvc_x"), "Authorization", basicOf(e.ID, e.Secret)), "invalid_client")
}

// TestRegistrationTokens (AD-06): nobody registers without an initial access token that is good now, and it is good for as many as it says.
func TestRegistrationTokens(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		post := func(token string) *servertest.Page {
			return s.send(t, http.MethodPost, "/register", token, plainMetadata)
		}
		one := s.initial(t, func(r *store.RegistrationToken) { r.Uses = 1 })
		refused(t, "AD-06: a registration that is refused uses nothing", s.send(t, http.MethodPost, "/register", one, `{}`), "invalid_redirect_uri")
		e := s.enrol(t, one, plainMetadata)
		old := s.initial(t)
		id, revoked, err := s.Admin.MakeRegistrationToken(context.Background(), audit.Origin{Actor: "test"}, bounds(), time.Hour)
		if err == nil {
			err = s.Admin.RevokeRegistrationToken(context.Background(), audit.Origin{Actor: "test"}, id)
		}
		if err != nil {
			t.Fatal(err)
		}
		for what, token := range map[string]string{"used up": one, "of a client": e.Token, "nobody's": "pvi_x", "a secret": e.Secret, "revoked": revoked, "none": ""} {
			refused(t, "AD-06: a token that is "+what, post(token), "invalid_token")
		}
		for what, header := range map[string][]string{"by Basic": {"Authorization", basicOf("x", old)}, "by DPoP": {"Authorization", "DPoP " + old}} {
			refused(t, "AD-06: a token "+what, s.send(t, http.MethodPost, "/register", "", plainMetadata, header...), "invalid_token")
		}
		refused(t, "AD-06: a token in the address", s.send(t, http.MethodPost, "/register?access_token="+old, "", plainMetadata), "invalid_token")
		s.enrol(t, old, plainMetadata)
		s.clock.Add(time.Hour)
		refused(t, "AD-06: an expired token", post(old), "invalid_token")
		if len(s.Events(t, audit.ClientRefused)) < 5 {
			t.Error("refusals are not on record")
		}
	})
}

// TestRegistrationRefused (AD-06, RU-03, RU-05, SF-01): what an administrator could not register, what goes beyond the token, and what is not
// one JSON object.
func TestRegistrationRefused(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	s.apply(t, signs("x", set(t, newSigner(t, "ES256").public())))
	token := s.initial(t, func(r *store.RegistrationToken) { r.Groups = []string{"staff"}; r.MinimumACR = "urn:portvakt:acr:2fa" })
	before := len(s.Events(t, audit.ClientCreated))
	uri := `"redirect_uris":["` + servertest.Redirect + `"]`
	meta, redirect := "invalid_client_metadata", "invalid_redirect_uri"
	for body, want := range map[string]string{
		`{"redirect_uris":["javascript:alert(1)"]}`:                redirect,
		`{"redirect_uris":["JaVaScRiPt://x/%0aalert(1)"]}`:         redirect,
		`{"redirect_uris":["data:text/html,x"]}`:                   redirect,
		`{"redirect_uris":["http://app.example/cb"]}`:              redirect,
		`{"redirect_uris":["https://app.example/cb#f"]}`:           redirect,
		`{"redirect_uris":["https://*.example/cb"]}`:               redirect,
		`{"redirect_uris":["https://app.example/../cb"]}`:          redirect,
		`{"redirect_uris":["com.example.app:/cb"]}`:                redirect,
		`{"redirect_uris":[]}`:                                     redirect,
		`{}`:                                                       redirect,
		`{"redirect_uris":"` + servertest.Redirect + `"}`:          meta,
		`{"redirect_uris":[1]}`:                                    meta,
		`{"redirect_uris":{"0":"x"}}`:                              meta,
		`{` + uri + `,"client_name":7}`:                            meta,
		`{` + uri + `,"client_name":"a\u0000b"}`:                   meta,
		`{` + uri + `,"scope":["openid"]}`:                         meta,
		`{` + uri + `,"require_pkce":"no"}`:                        meta,
		`{` + uri + `,"jwks":"x"}`:                                 meta,
		`{` + uri + `,"jwks":{"keys":[]}}`:                         meta,
		`{` + uri + `,"jwks":{"keys":[{"kty":"oct","k":"AAAA"}]}}`: meta,
		`{` + uri + `,` + uri + `}`:                                meta,
		`{` + uri + `,"jwks":{"keys":[],"keys":[]}}`:               meta,
		`[` + uri[len(`"redirect_uris":`):] + `]`:                  meta,
		`{` + uri + `}{}`:                                          meta,
		`{` + uri:                                                  meta,
		"{" + uri + `,"client_name":"` + "\xff" + `"}`:             meta,
		``:     meta,
		`null`: meta,
		`{` + uri + `,"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`:                      meta,
		`{` + uri + `,"x":"` + strings.Repeat("x", 1<<20) + `"}`:                                               meta,
		`{` + uri + `,"response_types":["id_token"]}`:                                                          meta,
		`{` + uri + `,"response_types":["code","code id_token"]}`:                                              meta,
		`{` + uri + `,"grant_types":["implicit"]}`:                                                             meta,
		`{` + uri + `,"grant_types":["client_credentials"]}`:                                                   meta,
		`{` + uri + `,"grant_types":["urn:ietf:params:oauth:grant-type:device_code"]}`:                         meta,
		`{` + uri + `,"grant_types":["authorization_code","` + exchange + `"],"token_exchange_from":["conf"]}`: meta,
		`{` + uri + `,"scope":"openid portvakt.admin"}`:                                                        meta,
		`{` + uri + `,"scope":"openid api"}`:                                                                   meta,
		`{` + uri + `,"allowed_groups":["admins"]}`:                                                            meta,
		`{` + uri + `,"allowed_groups":["staff","admins"]}`:                                                    meta,
		`{` + uri + `,"minimum_acr":"urn:portvakt:acr:1fa"}`:                                                   meta,
		`{` + uri + `,"minimum_acr":"phrh"}`:                                                                   meta,
		`{` + uri + `,"require_pkce":false}`:                                                                   meta,
		`{` + uri + `,"kiosk":true}`:                                                                           meta,
		`{` + uri + `,"resource_server":true}`:                                                                 meta,
		`{` + uri + `,"resources":["https://api.example/"]}`:                                                   meta,
		`{` + uri + `,"privacy":{"purpose":"x"}}`:                                                              meta,
		`{` + uri + `,"require_consent":true}`:                                                                 meta,
		`{` + uri + `,"token_endpoint_auth_method":"client_secret_jwt"}`:                                       meta,
		`{` + uri + `,"token_endpoint_auth_method":"private_key_jwt"}`:                                         meta,
		`{` + uri + `,"id_token_signed_response_alg":"none"}`:                                                  meta,
		`{` + uri + `,"userinfo_signed_response_alg":"HS256"}`:                                                 meta,
		`{` + uri + `,"id_token_encrypted_response_alg":"RSA-OAEP"}`:                                           meta,
		`{` + uri + `,"default_max_age":60}`:                                                                   meta,
		`{` + uri + `,"subject_type":"x"}`:                                                                     meta,
		`{"redirect_uris":["https://a.example/","https://b.example/"],"subject_type":"pairwise"}`:              meta,
		`{` + uri + `,"subject_type":"pairwise","backchannel_logout_uri":"https://other.example/out"}`:         meta,
		`{` + uri + `,"software_statement":"eyJ"}`:                                                             "invalid_software_statement",
	} {
		refused(t, "AD-06, RU-05: "+body[:min(len(body), 150)], s.send(t, http.MethodPost, "/register", token, body), want)
	}
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/json; charset=utf-16", "application/json; a=b; charset=utf-8"} {
		refused(t, "AD-06: Content-Type "+media, s.send(t, http.MethodPost, "/register", token, plainMetadata, "Content-Type", media), meta)
	}
	if n := len(s.Events(t, audit.ClientCreated)); n != before {
		t.Errorf("AD-06: %d clients were registered", n-before)
	}
	e := s.enrol(t, token, `{`+uri+`,"client_id":"x","client_secret":"chosen","client_id_issued_at":1,"unknown":{"a":[1]},"kiosk":false,"allowed_groups":["staff"],"logo_uri":"http://169.254.169.254/","Scope":"portvakt.admin","managed_by":"x","dynamic":null}`)
	if e.ID == "x" || e.Secret == "chosen" || !slices.Equal(e.Groups, []string{"staff"}) || e.Scope != "openid profile offline_access" {
		t.Errorf("AD-06: the registration is %+v", e)
	}
	if p := s.send(t, http.MethodGet, e.URI, e.Token, ""); strings.Contains(p.Body, "unknown") || strings.Contains(p.Body, "169.254") || object(t, p)["minimum_acr"] != "urn:portvakt:acr:2fa" {
		t.Errorf("AD-06: kept: %s", p.Body)
	}
}

// TestRegistrationOfAnother (AD-06): a registration access token is for its own client alone, and gives it no more than it came with.
func TestRegistrationOfAnother(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		initial := s.initial(t)
		a, b := s.enrol(t, initial, plainMetadata), s.enrol(t, initial, plainMetadata)
		full := func(id, more string) string { return `{"client_id":"` + id + `",` + more + plainMetadata[1:] }
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			for what, address := range map[string]string{"of another": b.URI, "of an administrator's": "/register/conf", "of nobody": "/register/nobody", "of a path": "/register/" + a.ID + "%2f..%2f" + b.ID,
				"of a dot": "/register/%2e", "of a null": "/register/" + a.ID + "%00"} {
				refused(t, "AD-06: "+method+" "+what, s.send(t, method, address, a.Token, full(b.ID, "")), "invalid_token")
			}
			for what, token := range map[string]string{"initial": initial, "empty": "", "secret": a.Secret, "longer": a.Token + "x"} {
				refused(t, "AD-06: "+method+" with a token that is "+what, s.send(t, method, a.URI, token, full(a.ID, "")), "invalid_token")
			}
		}
		for what, body := range map[string]string{"another's id": full(b.ID, ""), "no id": plainMetadata, "an id that is no text": `{"client_id":["` + a.ID + `"],` + plainMetadata[1:],
			"a chosen secret": full(a.ID, `"client_secret":"chosen-by-me-long-enough",`), "another's secret": full(a.ID, `"client_secret":"`+b.Secret+`",`),
			"a secret that is no text": full(a.ID, `"client_secret":1,`), "more scopes": full(a.ID, `"scope":"openid api",`),
			"a secret of nothing": full(a.ID, `"client_secret":"",`), "no PKCE": full(a.ID, `"require_pkce":false,`), "groups": full(a.ID, `"allowed_groups":["admins"],`)} {
			refused(t, "AD-06: a change with "+what, s.send(t, http.MethodPut, a.URI, a.Token, body), "invalid_client_metadata")
		}
		for _, e := range []enrolled{a, b} {
			if p := s.send(t, http.MethodGet, e.URI, e.Token, ""); p.Status != http.StatusOK || !strings.Contains(p.Body, `"client_name":"Self"`) {
				t.Errorf("AD-06: a refusal changed something: %d %s", p.Status, p.Body)
			}
		}
		s.apply(t, "client_id: "+a.ID+", client_secret: "+servertest.Secret+", "+registered)
		refused(t, "AD-06: a client that an administrator took over", s.send(t, http.MethodPut, a.URI, a.Token, full(a.ID, "")), "invalid_token")
	})
}

// TestRegistrationPKCE: where its token says so, a client with a secret may do without PKCE; a public one never.
func TestRegistrationPKCE(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	token := s.initial(t, func(r *store.RegistrationToken) { r.PKCEOptional = true })
	if e := s.enrol(t, token, plainMetadata); e.PKCE == nil || *e.PKCE {
		t.Errorf("require_pkce is %v", e.PKCE)
	}
	if e := s.enrol(t, token, `{"token_endpoint_auth_method":"none",`+plainMetadata[1:]); e.PKCE != nil || e.Secret != "" || e.Expires != nil {
		t.Errorf("a public client got %+v", e)
	}
}

// TestRegistrationSSRF (SF-01): what a client names is called only where everybody can reach it: not this machine, not the house, not the metadata
// service of a cloud. The service is not in development here.
func TestRegistrationSSRF(t *testing.T) {
	t.Parallel()
	calls := 0
	inside := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		_, _ = w.Write([]byte(`["` + servertest.Redirect + `"]`))
	}))
	t.Cleanup(inside.Close)
	clock := storetest.NewClock()
	site := servertest.New(t, storetest.SQLite(t), servertest.Options{Clock: clock.Now, Issuer: "https://login.example"})
	s := &refusals{site, clock, nil}
	token := s.initial(t)
	port := inside.URL[strings.LastIndex(inside.URL, ":"):]
	for _, member := range []string{"sector_identifier_uri", "jwks_uri", "backchannel_logout_uri"} {
		for _, address := range []string{"https://169.254.169.254/latest/meta-data", "https://localhost" + port + "/", "https://127.0.0.1" + port + "/", "https://LOCALHOST./", "http://localhost" + port + "/",
			"https://[::1]" + port + "/", "https://10.0.0.1/", "https://192.168.1.1/", "https://[fd00::1]/", "https://[::ffff:7f00:1]/", "https://100.100.100.200/", "http://app.example/", "file:///etc/passwd",
			"https://0.0.0.0/", "https://2130706433/", "https://u:p@app.example/", "gopher://app.example/"} {
			p := s.send(t, http.MethodPost, "/register", token, `{"`+member+`":"`+address+`",`+plainMetadata[1:])
			refused(t, "SF-01: "+member+" "+address, p, "invalid_client_metadata")
		}
	}
	p := s.send(t, http.MethodPost, "/register", token, `{"sector_identifier_uri":"https://sector.invalid/",`+plainMetadata[1:])
	refused(t, "SF-01: a name that leads nowhere", p, "invalid_client_metadata")
	if calls != 0 {
		t.Errorf("SF-01: %d calls to this machine", calls)
	}
	by := newSigner(t, "ES256")
	e := s.enrol(t, token, `{"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://keys.invalid/",`+plainMetadata[1:])
	if p := s.call(t, http.MethodPost, "/par", asserted(s.assertion(t, by, e.ID, "aud", "https://login.example"), "response_type", "code")); p.Status != http.StatusServiceUnavailable {
		t.Errorf("SF-01: keys that cannot be had gave %d %s", p.Status, p.Body)
	}
}

// TestSector: the document at the sector identifier URI must hold every redirect URI (OpenID Connect Dynamic Client Registration 1.0 §5).
func TestSector(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	answer := ""
	sector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(sector.Close)
	token := s.initial(t)
	body := func(path string) string {
		return `{"subject_type":"pairwise","sector_identifier_uri":"` + sector.URL + path + `","redirect_uris":["` + servertest.Redirect + `","https://b.example/"]}`
	}
	for what, text := range map[string]string{"one is missing": `["` + servertest.Redirect + `"]`, "empty": `[]`, "an object": `{"redirect_uris":["` + servertest.Redirect + `","https://b.example/"]}`,
		"no JSON": `<html>`, "mixed": `["` + servertest.Redirect + `","https://b.example/",7]`, "too long": `["` + strings.Repeat("x", 64<<10) + `"]`,
		"almost": `["` + servertest.Redirect + `","https://b.example"]`} {
		answer = text
		refused(t, "the document is "+what, s.send(t, http.MethodPost, "/register", token, body("/")), "invalid_client_metadata")
	}
	answer = `["https://b.example/","https://c.example/","` + servertest.Redirect + `"]`
	refused(t, "a redirect", s.send(t, http.MethodPost, "/register", token, body("/elsewhere")), "invalid_client_metadata")
	s.enrol(t, token, body("/"))
}

// TestForeignSector: who registers with the redirect URI, or the sector document, of somebody else gets no name of that sector: not by a device, which
// needs no redirect, and not by a logout token.
func TestForeignSector(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	victim := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`["` + servertest.Redirect + `"]`))
	}))
	t.Cleanup(victim.Close)
	token := s.initial(t, func(r *store.RegistrationToken) { r.GrantTypes = append(r.GrantTypes, client.GrantDevice) })
	device, own := `"grant_types":["authorization_code","`+client.GrantDevice+`"]`, `"redirect_uris":["`+servertest.Redirect+`"]`
	for _, body := range []string{device + `,` + own, `"grant_types":["` + client.GrantDevice + `"],"sector_identifier_uri":"` + victim.URL + `"`,
		own + `,"backchannel_logout_uri":"https://app.example:8443/out"`, own + `,"backchannel_logout_uri":"https://evil.example/out","sector_identifier_uri":"` + victim.URL + `"`} {
		refused(t, "AD-06: "+body, s.send(t, http.MethodPost, "/register", token, `{"subject_type":"pairwise",`+body+`}`), "invalid_client_metadata")
	}
	s.enrol(t, token, `{"subject_type":"pairwise",`+own+`,"backchannel_logout_uri":"https://app.example/out"}`)
}
