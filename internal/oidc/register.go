package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/fetch"
	"github.com/portvakt/portvakt/internal/store"
)

const (
	sectorMost  = 64 << 10 // bytes of the document at a sector_identifier_uri
	sectorCalls = 8        // such documents asked for at once, by one instance
)

var (
	errNoRegistration = &fosite.RFC6749Error{ErrorField: "invalid_token", CodeField: http.StatusUnauthorized,
		DescriptionField: "The initial access token is not known, has expired, was revoked or is used up. An administrator makes one: portvakt client registration-token."}
	errNotManaged = &fosite.RFC6749Error{ErrorField: "invalid_token", CodeField: http.StatusUnauthorized,
		DescriptionField: "The registration access token is not that of this client, or the client does not manage itself any more."}
	errBusy = &fosite.RFC6749Error{ErrorField: "temporarily_unavailable", CodeField: http.StatusServiceUnavailable,
		DescriptionField: "Too many registrations wait for a sector_identifier_uri. Try again in a moment."}
)

// registered is a client information response (RFC 7591 §3.2.1, RFC 7592 §3).
type registered struct {
	client.Client
	ResponseTypes []string `json:"response_types"` // which a row leaves out
	SubjectType   string   `json:"subject_type"`   // so too
	Issued        int64    `json:"client_id_issued_at"`
	Secret        string   `json:"client_secret,omitempty"` // when it is new: only its MAC is kept
	Expires       *int64   `json:"client_secret_expires_at,omitempty"`
	Token         string   `json:"registration_access_token"`
	URI           string   `json:"registration_client_uri"`
}

func (p *Provider) registered(c client.Client, issued int64, secret, token string) registered {
	out := registered{Client: c, ResponseTypes: []string{}, SubjectType: client.SubjectPublic, Issued: issued, Secret: secret, Token: token, URI: p.issuer + PathRegister + "/" + string(c.ID)}
	if c.Grant(client.GrantCode) {
		out.ResponseTypes = []string{"code"}
	}
	if c.Pairwise() {
		out.SubjectType = client.SubjectPairwise
	}
	if secret != "" {
		out.Expires = new(int64) // 0: never
	}
	return out
}

// Register lets a client register itself (RFC 7591 §3, OpenID Connect Dynamic Client Registration 1.0 §3) with an initial access token, within
// the bounds of that. A registration that is refused uses nothing of the token.
func (p *Provider) Register(w http.ResponseWriter, r *http.Request, o audit.Origin) {
	token, ok := bearer(r)
	if !ok {
		w.Header()["Www-Authenticate"] = []string{`Bearer realm="portvakt"`}
		writeJSON(w, http.StatusUnauthorized, wireError{"invalid_token", "An initial access token is needed in the Authorization header."})
		return
	}
	out, err := p.register(r, o, p.SecretMAC(token))
	if err != nil {
		p.refuseRegistration(w, r, o, "", err)
		return
	}
	writeJSON(w, http.StatusCreated, out)
}

func (p *Provider) register(r *http.Request, o audit.Origin, mac []byte) (registered, error) {
	var none registered
	ctx := r.Context()
	var by store.RegistrationToken
	err := p.db.View(ctx, func(t *store.Tx) (err error) { by, err = t.RegistrationToken(mac); return err })
	if err != nil {
		return none, orRefused(err, errNoRegistration)
	}
	said, err := readMetadata(r)
	if err != nil {
		return none, err
	}
	c, err := said.client(client.ID(strings.ToLower(rand.Text())), by.Bounds)
	if err != nil {
		return none, err
	}
	own := "pvm_" + store.NewToken()
	row := store.Client{Client: c, Dynamic: &store.Dynamic{Token: p.SecretMAC(own), Bounds: by.Bounds}}
	if err := p.checkAddresses(ctx, &row); err != nil {
		return none, err
	}
	secret, secretMAC := p.newSecret(&c)
	var issued int64
	err = p.db.Change(ctx, o, func(t *store.Tx) error {
		issued = t.Now().Unix()
		if _, err := t.UseRegistrationToken(mac); err != nil {
			return err
		}
		if err := t.AddDynamic(c, secretMAC, *row.Dynamic); err != nil {
			return err
		}
		return t.Record(audit.Event{Kind: audit.ClientCreated, Actor: string(c.ID), Client: string(c.ID), Detail: map[string]string{"registration_token": by.By}})
	})
	return p.registered(c, issued, secret, own), orRefused(err, errNoRegistration)
}

// newSecret makes the secret of a client that has one, and its MAC.
func (p *Provider) newSecret(c *client.Client) (secret string, mac []byte) {
	if !c.HasSecret() {
		return "", []byte{}
	}
	secret = store.NewToken()
	return secret, p.SecretMAC(secret)
}

// orRefused tells a row that is not there, which is refused, from a fault.
func orRefused(err, refusal error) error {
	if errors.Is(err, store.ErrNotFound) {
		return refusal
	}
	return err
}

// ManageClient lets a client that registered itself read, replace and end its registration with its registration access token (RFC 7592).
func (p *Provider) ManageClient(w http.ResponseWriter, r *http.Request, o audit.Origin) {
	id := client.ID(r.PathValue("id"))
	token, ok := bearer(r)
	if !ok {
		w.Header()["Www-Authenticate"] = []string{`Bearer realm="portvakt"`}
		writeJSON(w, http.StatusUnauthorized, wireError{"invalid_token", "A registration access token is needed in the Authorization header."})
		return
	}
	c, err := p.managed(r.Context(), id, p.SecretMAC(token))
	var out registered
	switch {
	case err != nil:
	case r.Method == http.MethodPut:
		out, err = p.replace(r, o, c, token)
	case r.Method == http.MethodDelete:
		err = p.withdraw(r.Context(), o, c)
	default:
		out = p.registered(c.Client, c.Created.Unix(), "", token)
	}
	switch {
	case err != nil:
		p.refuseRegistration(w, r, o, id, err)
	case r.Method == http.MethodDelete:
		w.Header()["Cache-Control"] = noStore
		w.WriteHeader(http.StatusNoContent)
	default:
		writeJSON(w, http.StatusOK, out)
	}
}

// managed gives the client whose registration access token has this MAC, as it stands in its row.
func (p *Provider) managed(ctx context.Context, id client.ID, mac []byte) (store.Client, error) {
	var c store.Client
	if !id.Valid() {
		return c, errNotManaged
	}
	err := p.db.View(ctx, func(t *store.Tx) (err error) { c, err = t.ClientByID(id); return err })
	if err == nil && (c.Dynamic == nil || !hmac.Equal(c.Dynamic.Token, mac)) {
		err = errNotManaged
	}
	return c, orRefused(err, errNotManaged)
}

// replace puts what the client says now in the place of all that it said before (RFC 7592 §2.2), within the same bounds. Its tokens stay. It gets
// a secret if it had none and needs one, and loses the one that it has no more use for.
func (p *Provider) replace(r *http.Request, o audit.Origin, was store.Client, token string) (registered, error) {
	var none registered
	said, err := readMetadata(r)
	if err != nil {
		return none, err
	}
	id, isText := said.text("client_id")
	if !isText || id != string(was.ID) {
		return none, errMetadata.WithHint("client_id: must be that of the client that is changed (RFC 7592 §2.2).")
	}
	if secret, isText := said.text("client_secret"); said["client_secret"] != nil && (!isText || !p.rightSecret(&was, secret, p.db.Now())) {
		return none, errMetadata.WithHint("client_secret: is not the present one; a client does not choose its own (RFC 7592 §2.2).")
	}
	c, err := said.client(was.ID, was.Dynamic.Bounds)
	if err != nil {
		return none, err
	}
	if err := p.checkAddresses(r.Context(), &store.Client{Client: c, Dynamic: was.Dynamic}); err != nil {
		return none, err
	}
	secret, mac := p.newSecret(&c)
	given := ""
	err = p.db.Change(r.Context(), o, func(t *store.Tx) error {
		now, err := t.HoldDynamic(c.ID, was.Dynamic.Token)
		if err != nil {
			return err
		}
		put := mac
		if given = secret; secret != "" && len(now.Secret) > 0 {
			put, given = nil, "" // it keeps the one that it has
		}
		if err := t.PutDynamic(c, put); err != nil {
			return err
		}
		return t.Record(audit.Event{Kind: audit.ClientChanged, Actor: string(c.ID), Client: string(c.ID)})
	})
	p.db.Forget(c.ID)
	return p.registered(c, was.Created.Unix(), given, token), orRefused(err, errNotManaged)
}

// withdraw removes a client on its own request (RFC 7592 §2.3), with every token that it has.
func (p *Provider) withdraw(ctx context.Context, o audit.Origin, c store.Client) error {
	err := p.db.Change(ctx, o, func(t *store.Tx) error {
		if _, err := t.HoldDynamic(c.ID, c.Dynamic.Token); err != nil {
			return err
		}
		t.RemoveClient(c.ID)
		return t.Record(audit.Event{Kind: audit.ClientRemoved, Actor: string(c.ID), Client: string(c.ID)})
	})
	p.db.Forget(c.ID)
	return orRefused(err, errNotManaged)
}

// checkAddresses refuses addresses that this service would not call for a client, and asks for the document at its sector_identifier_uri. A client
// that wants to come by certificate has to be able to.
func (p *Provider) checkAddresses(ctx context.Context, c *store.Client) error {
	if c.AuthMethod == client.AuthTLS && p.issuers == nil {
		return errMetadata.WithHint("token_endpoint_auth_method: tls_client_auth is not available here; use private_key_jwt.")
	}
	for name, uri := range map[string]string{"jwks_uri": c.JWKSURI, "backchannel_logout_uri": c.BackchannelLogoutURI, "sector_identifier_uri": c.SectorURI} {
		if uri == "" {
			continue
		}
		if err := fetch.Check(uri, p.reach(c)); err != nil {
			return errMetadata.WithHint(name + ": " + strings.TrimPrefix(err.Error(), fetch.ErrRefused.Error()+": ") + ".")
		}
	}
	if c.SectorURI == "" {
		return nil
	}
	return p.checkSector(ctx, c)
}

// checkSector holds the redirect URIs of c against the document at its sector identifier URI, a JSON array that must have each of them (OpenID
// Connect Dynamic Client Registration 1.0 §5). What went wrong on the way stays here: who registers need not learn which names lead where.
func (p *Provider) checkSector(ctx context.Context, c *store.Client) error {
	select {
	case p.callers <- struct{}{}:
		defer func() { <-p.callers }()
	default:
		return errBusy
	}
	got, err := p.fetch.Get(ctx, c.SectorURI, p.reach(c), sectorMost)
	if err != nil {
		p.log.Info("a sector_identifier_uri cannot be had", "client", string(c.ID), "error", err)
		return errMetadata.WithHint("sector_identifier_uri: did not answer with status 200 and a document of at most 64 KiB within 5 seconds, or is not to be called; see that everybody can reach it.")
	}
	var listed []string
	if json.Unmarshal(got.Body, &listed) != nil {
		return errMetadata.WithHint("sector_identifier_uri: its document is not a JSON array of redirect URIs.")
	}
	for _, uri := range c.RedirectURIs {
		if !slices.Contains(listed, uri) {
			return errMetadata.WithHintf("redirect_uris %q: is not in the document at sector_identifier_uri; add it there.", uri)
		}
	}
	return nil
}

// bearer gives the token of the Authorization header (RFC 6750 §2.1), the only place where one counts here.
func bearer(r *http.Request) (string, bool) {
	all := r.Header.Values("Authorization")
	if len(all) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(all[0], " ")
	return token, strings.EqualFold(scheme, "Bearer") && token != "" && len(token) <= maxParameter
}

// refuseRegistration records a refusal and answers it; one that cannot be recorded is an outage.
func (p *Provider) refuseRegistration(w http.ResponseWriter, r *http.Request, o audit.Origin, id client.ID, err error) {
	var refusal *fosite.RFC6749Error
	if !errors.As(err, &refusal) {
		p.writeFault(w, err)
		return
	}
	if err == errBusy {
		writeError(w, err)
		return
	}
	event := audit.Event{Kind: audit.ClientRefused, Outcome: audit.Refused, Reason: audit.BadRequest, Detail: map[string]string{"error": publicError(err)}}
	if id.Valid() {
		event.Client = string(id)
	}
	if refusal.CodeField == http.StatusUnauthorized {
		event.Reason = audit.WrongSecret
	}
	if fault := p.db.Change(r.Context(), o, func(t *store.Tx) error { return t.Record(event) }); fault != nil {
		p.writeFault(w, fault)
		return
	}
	if refusal.CodeField == http.StatusUnauthorized {
		challenge(w, http.StatusUnauthorized, "Bearer", publicError(err), describe(err))
		return
	}
	writeError(w, err)
}
