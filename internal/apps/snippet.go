package apps

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/portvakt/portvakt/internal/client"
)

// Snippet is how an application is written down in one stack, with its own values and without its secret.
type Snippet struct {
	Stack string // its word in an address
	Name  string // what the stack calls itself
	File  string // where the text goes
	Fits  bool   // the stack can be such a client: a client registered like that is not refused for what the text leaves out
	Text  string
}

// stacks in the order in which they are shown. docs/connect/try.sh runs what is printed for each.
var stacks = [...]struct {
	stack, name, file string
	can               string // of what a registration may ask for: public, secret, dpop, push
	text              string
}{
	{"go", "Go: go-oidc", "main.go", "public secret", snippetGo},
	{"spring", "Java: Spring Boot", "application.yml", "public secret", snippetSpring},
	{"oauth2-proxy", "oauth2-proxy", "oauth2-proxy.cfg", "secret", snippetProxy},
	{"apache", "Apache: mod_auth_openidc", "oidc.conf", "secret", snippetApache},
	{"node", "Node: openid-client 6", "oidc.mjs", "public secret dpop push", snippetNode},
	{"browser", "oidc-client-ts", "oidc.ts", "public dpop", snippetBrowser},
}

// Stack reports whether a word is that of a stack.
func Stack(word string) bool {
	for _, k := range stacks {
		if k.stack == word {
			return true
		}
	}
	return false
}

// asked is what a registration asks of a stack, in the words of stacks. No stack has all that one may ask for.
func asked(c *client.Client) []string {
	words := []string{"key"}
	switch {
	case c.Public():
		words[0] = "public"
	case c.HasSecret():
		words[0] = "secret"
	}
	if c.DPoPBound {
		words = append(words, "dpop")
	}
	if c.RequirePAR {
		words = append(words, "push")
	}
	if c.RequireSigned {
		words = append(words, "signed")
	}
	return words
}

// values are what a snippet is filled with.
type values struct {
	Issuer, ID, Redirect, PostLogout, Scope, Alg, Method string
	Scopes                                               []string
	Secret, Post, Plain                                  bool // has a secret; sends it in the body; the issuer has no TLS
	DPoP, Push                                           bool // binds its tokens to a key (RFC 9449); pushes its requests (RFC 9126)
}

// Snippets gives every one. They differ in nothing but the stack.
func (s *Service) Snippets(c client.Client) ([]Snippet, error) {
	v := values{Issuer: s.issuer, ID: string(c.ID), Scope: c.Scope, Scopes: c.Scopes(), Alg: c.SigningAlg, Method: c.AuthMethod, Secret: !c.Public(),
		DPoP: c.DPoPBound, Push: c.RequirePAR, Post: c.AuthMethod == client.AuthPost, Plain: strings.HasPrefix(s.issuer, "http:"), Redirect: "https://app.example/callback"}
	if len(c.RedirectURIs) > 0 {
		v.Redirect = c.RedirectURIs[0]
	}
	if len(c.PostLogoutRedirectURIs) > 0 {
		v.PostLogout = c.PostLogoutRedirectURIs[0]
	}
	out := make([]Snippet, len(stacks))
	for i, k := range stacks {
		t, err := template.New(k.stack).Funcs(template.FuncMap{"q": strconv.Quote, "list": list}).Parse(k.text)
		if err != nil {
			return nil, fmt.Errorf("apps: the snippet for %s: %w", k.stack, err)
		}
		var text bytes.Buffer
		if err := t.Execute(&text, v); err != nil {
			return nil, fmt.Errorf("apps: the snippet for %s: %w", k.stack, err)
		}
		can := strings.Fields(k.can)
		lacks := slices.ContainsFunc(asked(&c), func(word string) bool { return !slices.Contains(can, word) })
		out[i] = Snippet{k.stack, k.name, k.file, !lacks && c.Grant(client.GrantCode), strings.TrimSpace(text.String())}
	}
	return out, nil
}

// list quotes words, with commas between.
func list(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return strings.Join(quoted, ", ")
}

const snippetGo = `
// go get github.com/coreos/go-oidc/v3/oidc golang.org/x/oauth2
provider, err := oidc.NewProvider(ctx, {{q .Issuer}})
if err != nil {
	return err
}
{{- if .Post}}
endpoint := provider.Endpoint()
endpoint.AuthStyle = oauth2.AuthStyleInParams
{{- end}}
config := oauth2.Config{
	ClientID:     {{q .ID}},
{{- if .Secret}}
	ClientSecret: os.Getenv("OIDC_CLIENT_SECRET"),
{{- end}}
	Endpoint:     {{if .Post}}endpoint{{else}}provider.Endpoint(){{end}},
	RedirectURL:  {{q .Redirect}},
	Scopes:       []string{ {{- list .Scopes -}} },
}

// To sign in. Keep the three in the browser's session.
state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
http.Redirect(w, r, config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), http.StatusSeeOther)

// At the redirect URI. Each of these checks keeps an attacker out.
q := r.URL.Query()
if q.Get("state") != state || q.Get("iss") != {{q .Issuer}} {
	return errors.New("not the answer to our request")
}
token, err := config.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(verifier))
if err != nil {
	return err
}
raw, _ := token.Extra("id_token").(string)
idToken, err := provider.Verifier(&oidc.Config{ClientID: config.ClientID, SupportedSigningAlgs: []string{ {{- q .Alg -}} }}).Verify(ctx, raw)
if err != nil {
	return err
}
if idToken.Nonce != nonce {
	return errors.New("not the answer to our request")
}
// idToken.Subject names the person for ever.
`

const snippetSpring = `
spring:
  security:
    oauth2:
      client:
        registration:
          portvakt:
            client-id: {{q .ID}}
{{- if .Secret}}
            client-secret: ${OIDC_CLIENT_SECRET}
{{- end}}
            client-authentication-method: {{.Method}}
            authorization-grant-type: authorization_code
            # Its path has to be the one that Spring listens to: /login/oauth2/code/portvakt unless it is changed there.
            redirect-uri: {{q .Redirect}}
            scope: [{{list .Scopes}}]
        provider:
          portvakt:
            issuer-uri: {{q .Issuer}}
            user-name-attribute: sub
# PKCE of clients with a secret is switched on in code before Spring Security 7:
# OAuth2AuthorizationRequestCustomizers.withPkce()
{{- if ne .Alg "RS256"}}
# The ID tokens are signed with {{.Alg}}: OidcIdTokenDecoderFactory.setJwsAlgorithmResolver(registration -> SignatureAlgorithm.from("{{.Alg}}"))
{{- end}}
`

const snippetProxy = `
provider = "oidc"
oidc_issuer_url = {{q .Issuer}}
client_id = {{q .ID}}
client_secret_file = "/run/secrets/oidc_client_secret"
# Its path has to be /oauth2/callback, unless proxy_prefix says otherwise.
redirect_url = {{q .Redirect}}
scope = {{q .Scope}}
code_challenge_method = "S256"
email_domains = ["*"]
# In the environment: OAUTH2_PROXY_COOKIE_SECRET, of 32 random bytes.
`

const snippetApache = `
OIDCProviderMetadataURL {{q (print .Issuer "/.well-known/openid-configuration")}}
OIDCClientID {{q .ID}}
OIDCClientSecret "${OIDC_CLIENT_SECRET}"
OIDCProviderTokenEndpointAuth {{.Method}}
OIDCIDTokenSignedResponseAlg {{.Alg}}
# An address below a protected Location that has no content of its own.
OIDCRedirectURI {{q .Redirect}}
OIDCScope {{q .Scope}}
OIDCPKCEMethod S256
OIDCCryptoPassphrase "${OIDC_CRYPTO_PASSPHRASE}"

<Location "/">
	AuthType openid-connect
	Require valid-user
</Location>
`

const snippetNode = `
import * as oidc from "openid-client";

const config = await oidc.discovery(
  new URL({{q .Issuer}}),
  {{q .ID}},
  { id_token_signed_response_alg: {{q .Alg}} },
  {{if not .Secret}}oidc.None(){{else if .Post}}oidc.ClientSecretPost(process.env.OIDC_CLIENT_SECRET){{else}}oidc.ClientSecretBasic(process.env.OIDC_CLIENT_SECRET){{end}},
{{- if .Plain}}
  { execute: [oidc.allowInsecureRequests] }, // http, on this machine alone
{{- end}}
);

// To sign in. Keep the three in the browser's session, and send the browser to the address.
const verifier = oidc.randomPKCECodeVerifier();
const state = oidc.randomState();
const nonce = oidc.randomNonce();
const address = {{if .Push}}await oidc.buildAuthorizationUrlWithPAR{{else}}oidc.buildAuthorizationUrl{{end}}(config, {
  redirect_uri: {{q .Redirect}},
  scope: {{q .Scope}},
  state,
  nonce,
  code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
});

// At the redirect URI, with the address that the browser came to.
{{- if .DPoP}}
// The tokens are bound to this key: keep it beside them, for every use of them.
const dpop = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair("ES256"));
{{- end}}
const tokens = await oidc.authorizationCodeGrant(config, new URL(cameTo), {
  pkceCodeVerifier: verifier,
  expectedState: state,
  expectedNonce: nonce,
}{{if .DPoP}}, undefined, { DPoP: dpop }{{end}});
// tokens.claims().sub names the person for ever.
`

const snippetBrowser = `
import { UserManager{{if .DPoP}}, IndexedDbDPoPStore{{end}} } from "oidc-client-ts";

const manager = new UserManager({
  authority: {{q .Issuer}},
  client_id: {{q .ID}},
  redirect_uri: {{q .Redirect}},
{{- if .PostLogout}}
  post_logout_redirect_uri: {{q .PostLogout}},
{{- end}}
  scope: {{q .Scope}},
{{- if .DPoP}}
  dpop: { bind_authorization_code: true, store: new IndexedDbDPoPStore() },
{{- end}}
});

// To sign in.
await manager.signinRedirect();

// At the redirect URI. user.profile.sub names the person for ever.
const user = await manager.signinRedirectCallback();
`
