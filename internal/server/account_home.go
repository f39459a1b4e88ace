package server

import (
	"net/http"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/oidc"
	"github.com/portvakt/portvakt/internal/user"
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
	page.Notice, page.Alert = toldBy(r)
	for _, kind := range all.Add {
		page.Add = append(page.Add, string(kind))
	}
	for _, d := range all.Devices {
		page.Devices = append(page.Devices, deviceRow{ID: d.ID, Agent: agentName(d.Agent), Used: minute(d.UsedAt), Expires: day(d.ExpiresAt)})
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

// agentName says in two words which browser a User-Agent is: "Firefox, Windows". Many browsers name others, so the order counts.
func agentName(agent string) string {
	find := func(marks ...string) string {
		for i := 0; i < len(marks); i += 2 {
			if strings.Contains(agent, marks[i]) {
				return marks[i+1]
			}
		}
		return ""
	}
	browser := find("Edg", "Edge", "OPR/", "Opera", "SamsungBrowser", "Samsung Internet", "Vivaldi", "Vivaldi", "FxiOS", "Firefox", "Firefox", "Firefox",
		"CriOS", "Chrome", "Chrome", "Chrome", "Safari", "Safari")
	system := find("iPhone", "iPhone", "iPad", "iPad", "Android", "Android", "CrOS", "ChromeOS", "Windows", "Windows", "Mac OS X", "macOS", "Linux", "Linux")
	switch {
	case browser != "" && system != "":
		return browser + ", " + system
	case browser+system != "":
		return browser + system
	}
	name, _, _ := strings.Cut(agent, "/")
	if name = strings.TrimSpace(name); name == "" || len(name) > 40 {
		return "–"
	}
	return name
}
