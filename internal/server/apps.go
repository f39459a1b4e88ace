package server

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/apps"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/oidc"
	"github.com/portvakt/portvakt/internal/user"
)

// appRoutes are what the owners of applications see of them.
func (s *Server) appRoutes() {
	s.mux.HandleFunc("GET /apps", s.noHead(s.own(s.showApps)))
	s.mux.HandleFunc("GET /apps/{client}", s.noHead(s.own(s.showApp)))
	s.mux.HandleFunc("GET /apps/{client}/prove", s.noHead(s.own(s.showProve)))
	s.mux.HandleFunc("POST /apps/{client}/prove", s.form(s.own(s.postProve)))
}

func asks(me account.Self) apps.Who { return apps.Who{Person: me.Person.ID, Session: me.Session} }

func (s *Server) showApps(w http.ResponseWriter, r *http.Request, me account.Self) {
	mine, err := s.Apps.List(r.Context(), asks(me))
	if err != nil {
		s.notShown(w, r, me, err)
		return
	}
	page := appsPage{page: s.page(w, r, me.Person.Locale)}
	page.OtherURL = otherLanguage(r.URL, page.OtherLang())
	for _, c := range mine {
		page.Apps = append(page.Apps, appRow{Name: c.Name, ID: string(c.ID)})
	}
	s.pages.render(w, http.StatusOK, "apps", page)
}

func (s *Server) showApp(w http.ResponseWriter, r *http.Request, me account.Self) {
	a, err := s.Apps.App(r.Context(), asks(me), client.ID(r.PathValue("client")))
	if err != nil {
		s.notShown(w, r, me, err)
		return
	}
	page := appPage{page: s.page(w, r, me.Person.Locale), ID: string(a.ID), Name: a.Name, More: a.More, Settings: settingRows(a, s.DB.Now()),
		Test: a.Test, Endpoints: s.endpoints(a.Client.Client), Troubles: troubleRows(a.Troubles)}
	page.OtherURL = otherLanguage(r.URL, page.OtherLang())
	all, err := s.Apps.Snippets(a.Client.Client)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page.choose(all, r.URL.Query().Get("for"))
	s.pages.render(w, http.StatusOK, "app", page)
}

// choose puts one snippet on the page: the one that is asked for, else the first that fits.
func (d *appPage) choose(all []apps.Snippet, stack string) {
	chosen := -1
	for i, one := range all {
		d.Stacks = append(d.Stacks, stackRow{Stack: one.Stack, Name: one.Name})
		if one.Stack == stack {
			chosen = i
		}
	}
	for i := 0; chosen < 0; i++ {
		if i == len(all) {
			chosen = 0
		} else if all[i].Fits {
			chosen = i
		}
	}
	d.Stacks[chosen].This = true
	d.File, d.Snippet, d.Misfit = all[chosen].File, all[chosen].Text, !all[chosen].Fits
}

// notShown answers who may not see an application. One that is another's and one that is nobody's read the same (threats EN-01).
func (s *Server) notShown(w http.ResponseWriter, r *http.Request, me account.Self, err error) {
	switch {
	case errors.Is(err, apps.ErrNotYours):
		s.problem(w, r, http.StatusNotFound, "not_found", "")
	case errors.Is(err, apps.ErrWeak):
		s.begin(w, r, flow.Needs{Subject: me.Person.ID, ACR: user.ACR2FA}, errand{Return: returnTo(r), Again: true, Hint: me.Person.Username, Session: &me.Session, Person: me.Person})
	default:
		s.fail(w, r, err)
	}
}

func troubleRows(all []apps.Trouble) []troubleRow {
	rows := make([]troubleRow, len(all))
	for i, t := range all {
		rows[i] = troubleRow{Kind: t.Cause, Args: t.Args, Hint: t.Hint, Count: t.Count, Last: minute(t.Last), Request: t.Request}
	}
	return rows
}

// endpoints are those of discovery that such a client needs.
func (s *Server) endpoints(c client.Client) []param {
	at := func(name, path string) param {
		return param{name, strings.TrimSuffix(s.Issuer.String(), "/") + path}
	}
	out := []param{{"issuer", strings.TrimSuffix(s.Issuer.String(), "/")}, at("discovery", oidc.PathDiscovery)}
	if c.Grant(client.GrantCode) {
		out = append(out, at("authorization_endpoint", oidc.PathAuthorize), at("pushed_authorization_request_endpoint", oidc.PathPush))
	}
	if c.Grant(client.GrantDevice) {
		out = append(out, at("device_authorization_endpoint", oidc.PathDeviceAuth))
	}
	return append(out, at("token_endpoint", oidc.PathToken), at("userinfo_endpoint", oidc.PathUserInfo), at("jwks_uri", oidc.PathJWKS), at("end_session_endpoint", oidc.PathLogout))
}

// settingRows are a registration in plain words.
func settingRows(a apps.App, now time.Time) []settingRow {
	c := &a.Client.Client
	rows := []settingRow{{Kind: "id", Values: []string{string(c.ID)}}, {Kind: "auth", State: "auth." + c.AuthMethod}}
	if now.Before(a.OldUntil) {
		rows = append(rows, settingRow{Kind: "old_secret", State: "says.old_secret", Args: []any{"time", minute(a.OldUntil)}})
	}
	list := func(kind string, values []string, none string) {
		row := settingRow{Kind: kind, Values: values}
		if len(values) == 0 {
			row.State = none
		}
		if len(values) > 0 || none != "" {
			rows = append(rows, row)
		}
	}
	one := func(uri string) []string { return strings.Fields(uri) }
	for _, n := range c.CertificateNames() {
		list("certificate", []string{n.Field, n.Value}, "")
	}
	list("redirect", c.RedirectURIs, "")
	list("postlogout", c.PostLogoutRedirectURIs, "")
	list("backchannel", one(c.BackchannelLogoutURI), "says.no_backchannel")
	list("frontchannel", one(c.FrontchannelLogoutURI), "")
	list("policy", one(c.PolicyURI), "")
	list("terms", one(c.TermsURI), "")
	list("grants", c.GrantTypes, "")
	list("scope", c.Scopes(), "")
	list("resources", c.Resources, "")
	for _, says := range []struct {
		kind, yes, no string
		is            bool
	}{
		{"pkce", "says.pkce", "says.no_pkce", c.PKCE()},
		{"pushed", "says.pushed", "", c.RequirePAR},
		{"signed", "says.signed_request", "", c.RequireSigned},
		{"dpop", "says.dpop", "", c.DPoPBound},
		{"access", "says.jwt", "says.opaque", c.AccessTokenFormat == client.FormatJWT},
	} {
		if key := map[bool]string{true: says.yes, false: says.no}[says.is]; key != "" {
			rows = append(rows, settingRow{Kind: says.kind, State: key})
		}
	}
	if c.Grant(client.GrantRefresh) {
		rows = append(rows, settingRow{Kind: "refresh", State: map[bool]string{true: "says.rotates", false: "says.stays"}[c.Rotates()]})
	}
	rows = append(rows, settingRow{Kind: "idtoken", State: "says.signed", Args: []any{"alg", c.SigningAlg}}, settingRow{Kind: "acr", State: acrSays(c.MinimumACR)})
	list("groups", c.AllowedGroups, "says.everybody")
	return append(rows, settingRow{Kind: "changed", Values: []string{minute(a.Updated)}})
}

func acrSays(acr string) string {
	switch user.ACR(acr) {
	case user.ACR2FA:
		return "says.acr_2fa"
	case user.ACRPhR:
		return "says.acr_phr"
	}
	return "says.acr_any"
}
