package server

import (
	"net/http"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/oidc"
	"github.com/portvakt/portvakt/internal/user"
	"github.com/portvakt/portvakt/internal/words"
)

// home is a person's own page.
func (s *Server) home(w http.ResponseWriter, r *http.Request, me account.Self) {
	all, err := s.Account.Overview(r.Context(), me.Person)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page := homePage{page: s.page(w, r, me.Person.Locale), Name: me.Person.Name, Username: me.Person.Username, Email: me.Person.Email,
		Methods: methodKeys(me.Session.Proved), Since: minute(me.Session.AuthTime), Factors: factorRows(all.Factors),
		RecoveryLeft: all.RecoveryLeft, SignOutAction: oidc.PathLogout}
	if page.Sessions, err = s.seats(r, me); err != nil {
		s.fail(w, r, err)
		return
	}
	if page.Connected, err = s.connections(r, me); err != nil {
		s.fail(w, r, err)
		return
	}
	if page.Owner, err = s.Apps.Has(r.Context(), me.Person.ID); err != nil {
		s.fail(w, r, err)
		return
	}
	page.Notice, page.Alert = toldBy(r)
	for _, kind := range all.Add {
		page.Add = append(page.Add, string(kind))
	}
	for _, d := range all.Devices {
		page.Devices = append(page.Devices, deviceRow{ID: d.ID, Agent: words.Agent(d.Agent), Used: minute(d.UsedAt), Expires: day(d.ExpiresAt)})
	}
	s.pages.render(w, http.StatusOK, "home", page)
}

func factorRows(all []account.Factor) []factorRow {
	rows := make([]factorRow, len(all))
	for i, f := range all {
		rows[i] = factorRow{ID: f.ID, Kind: string(f.Kind), Name: f.Name, Added: day(f.Added), Used: minute(f.Used), Stopped: f.Stopped, Allow: f.Allow}
	}
	return rows
}

func methodKeys(proved []user.Method) []string {
	var keys []string
	for _, m := range proved {
		switch m {
		case user.MethodPassword:
			keys = append(keys, "method.password")
		case user.MethodOTP:
			keys = append(keys, "method.totp")
		case user.MethodSMS:
			keys = append(keys, "method.sms")
		case user.MethodSoftKey, user.MethodHardKey:
			keys = append(keys, "method.webauthn")
		case user.MethodRecovery:
			keys = append(keys, "method.recovery")
		case user.MethodDevice:
			keys = append(keys, "method.device")
		}
	}
	return keys
}

// minute and day write an instant as pages do; "" for none.
func minute(t time.Time) string { return local(t, "2006-01-02 15:04") }
func day(t time.Time) string    { return local(t, "2006-01-02") }

func local(t time.Time, layout string) string {
	if t.IsZero() {
		return ""
	}
	return t.In(time.Local).Format(layout)
}
