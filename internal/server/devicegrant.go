package server

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/oidc"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/words"
)

// deviceGrantRoutes are where a device without a browser asks, and where a person says yes or no (RFC 8628 §3.1, §3.3).
func (s *Server) deviceGrantRoutes() {
	s.mux.HandleFunc("POST "+oidc.PathDeviceAuth, s.protocol(s.OIDC.DeviceAuthorization))
	s.mux.HandleFunc("GET "+oidc.PathDevice, s.noHead(s.showDevicePage))
	s.mux.HandleFunc("POST "+oidc.PathDevice, s.form(s.own(s.postUserCode)))
}

// devicePage is the address of the page with a code, as verification_uri_complete has it, or without one.
func devicePage(code string) string {
	if code == "" {
		return oidc.PathDevice
	}
	return oidc.PathDevice + "?" + url.Values{"user_code": {oidc.ShownUserCode(code)}}.Encode()
}

// forDevice reports whether the sign-in leads back to the page of devices.
func (e errand) forDevice() bool { return strings.HasPrefix(e.Return, oidc.PathDevice) }

// showDevicePage asks for a code, or shows what one asks for, to who is signed in. What a person did is told to anybody: it says nothing.
func (s *Server) showDevicePage(w http.ResponseWriter, r *http.Request) {
	done := r.URL.Query().Get("done")
	if done != "allowed" && done != "refused" {
		s.own(s.showUserCode)(w, r)
		return
	}
	s.pages.render(w, http.StatusOK, "devicedone", deviceDonePage{page: s.page(w, r, ""), Refused: done == "refused", SignedIn: cookie(r, s.names.session) != ""})
}

func (s *Server) showUserCode(w http.ResponseWriter, r *http.Request, me account.Self) {
	code := oidc.UserCode(r.URL.Query().Get("user_code"))
	if code == "" {
		s.codePage(w, r, me, "", "")
		return
	}
	d, why, err := s.OIDC.Device(r.Context(), deviceOrigin(me), deviceVisitor(me), code, true)
	if why == audit.Delayed && err == nil {
		s.codePage(w, r, me, oidc.ShownUserCode(code), "") // not looked at: the person sends it by a button
		return
	}
	s.deviceAnswer(w, r, me, d, why, err, "")
}

// postUserCode takes a typed code, and the decision about it.
func (s *Server) postUserCode(w http.ResponseWriter, r *http.Request, me account.Self) {
	code := oidc.UserCode(r.PostForm.Get("user_code"))
	ctx, o, v := r.Context(), deviceOrigin(me), deviceVisitor(me)
	switch r.PostForm.Get("action") {
	case "allow":
		d, why, err := s.OIDC.ApproveDevice(ctx, o, v, code, func(t *store.Tx, d oidc.DeviceRequest) error {
			return s.Account.TellDevice(t, me.Person, d.Client.Name, d.IP)
		})
		s.Account.Notify.Wake()
		s.deviceAnswer(w, r, me, d, why, err, "allowed")
	case "disown":
		d, why, err := s.OIDC.RefuseDevice(ctx, o, v, code)
		s.deviceAnswer(w, r, me, d, why, err, "refused")
	default:
		d, why, err := s.OIDC.Device(ctx, o, v, code, false)
		s.deviceAnswer(w, r, me, d, why, err, "")
	}
}

func deviceVisitor(me account.Self) oidc.Visitor {
	return oidc.Visitor{Session: me.Session, Person: me.Person}
}

func deviceOrigin(me account.Self) audit.Origin {
	o := me.Origin
	o.Actor = string(me.Person.ID)
	return o
}

// deviceAnswer shows a request, or says that it was decided, if it could be. done names what was decided.
func (s *Server) deviceAnswer(w http.ResponseWriter, r *http.Request, me account.Self, d oidc.DeviceRequest, why audit.Reason, err error, done string) {
	switch {
	case err != nil:
		s.fail(w, r, err)
	case why == audit.Delayed:
		s.codePage(w, r, me, "", "alert.delayed", "minutes", 60)
	case why == audit.NotAllowed:
		s.leaveKiosk(w, d.Kiosk(deviceVisitor(me)))
		s.problem(w, r, http.StatusForbidden, "not_allowed", "")
	case why != "":
		typed := r.FormValue("user_code")
		if len(typed) > maxUserCode {
			typed = ""
		}
		s.codePage(w, r, me, typed, "alert.user_code")
	case d.SignIn != nil:
		s.beforeDevice(w, r, me, d)
	case done != "":
		s.leaveKiosk(w, d.Kiosk(deviceVisitor(me)))
		seeOther(w, r, oidc.PathDevice+"?done="+done)
	default:
		s.askPage(w, r, me, d)
	}
}

// beforeDevice has a person prove what the application needs, and comes back with the code.
func (s *Server) beforeDevice(w http.ResponseWriter, r *http.Request, me account.Self, d oidc.DeviceRequest) {
	e := errand{Return: devicePage(oidc.UserCode(d.Code)), Client: d.Client.Name, Hint: d.SignIn.Hint, Again: true}
	switch flow.Decide(d.SignIn.Needs, &me.Session, s.DB.Now()) {
	case flow.StepUp, flow.Unlock:
		e.Session, e.Person = &me.Session, me.Person
	}
	s.begin(w, r, d.SignIn.Needs, e)
}

// maxUserCode is how much of what was typed is shown again.
const maxUserCode = 40

// codePage asks for a code, with an alert about the last one.
func (s *Server) codePage(w http.ResponseWriter, r *http.Request, me account.Self, code, alert string, args ...any) {
	page := userCodePage{page: s.page(w, r, me.Person.Locale), Action: oidc.PathDevice, Code: code, Alert: alert, AlertArgs: args}
	page.OtherURL = otherLanguage(&url.URL{Path: oidc.PathDevice}, page.OtherLang())
	s.pages.render(w, http.StatusOK, "device", page)
}

// askPage shows what a device asks for.
func (s *Server) askPage(w http.ResponseWriter, r *http.Request, me account.Self, d oidc.DeviceRequest) {
	page := deviceAskPage{page: s.page(w, r, me.Person.Locale), Action: oidc.PathDevice, Code: d.Code, App: d.Client.Name, Name: me.Person.Username,
		Asked: minute(d.Asked), IP: d.IP, Agent: words.Agent(d.Agent), Scopes: scopeRows(d.Scopes, d.Client)}
	if me.Person.Name != "" {
		page.Name = me.Person.Name
	}
	page.OtherURL = otherLanguage(&url.URL{Path: oidc.PathDevice, RawQuery: url.Values{"user_code": {d.Code}}.Encode()}, page.OtherLang())
	s.pages.render(w, http.StatusOK, "deviceask", page)
}

// scopeRows are the scopes of a client as people read them.
func scopeRows(scopes []string, c *store.Client) []scopeRow {
	var rows []scopeRow
	for _, scope := range scopes {
		switch scope {
		case "openid": // says who the person is, which is what signing in is
		case "profile", "email", "phone", "groups":
			rows = append(rows, scopeRow{Kind: scope})
		case "offline_access":
			if c.Grant(client.GrantRefresh) {
				rows = append(rows, scopeRow{Kind: scope})
			}
		default:
			rows = append(rows, scopeRow{Kind: "other", Name: scope})
		}
	}
	return rows
}
