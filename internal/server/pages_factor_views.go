package server

import (
	"html/template"

	"github.com/portvakt/portvakt/internal/passwords"
)

// second is what every page that asks for a second factor has.
type second struct {
	Action    string
	Version   int
	App       string
	Alert     string
	AlertArgs []any
	Ways      []string // the other ways, as data-factor: totp, sms, webauthn, recovery; a button each, name "way", posted to Action with the version
	Locked    bool     // it unlocks a session: the person is named, and can sign out instead
	Remember  int      // days that this browser may be remembered for, a checkbox named remember with the value 1; 0: not offered
	CancelURL string
}

// Attr is what the one field of a second factor says of itself: see attrs.
func (d second) Attr(field string) template.HTMLAttr {
	return attrs(d.Alert, field, "", field+"-hint", true)
}

// unlockPage, "unlock", asks for the password of the person whose session is locked, in the field password.
type unlockPage struct {
	page
	second
	Username string
}

// Attr is what its one field says of itself: see attrs.
func (d unlockPage) Attr(field string) template.HTMLAttr { return attrs(d.Alert, field, "", "", true) }

// browserPage, "browser", is where the link in a mail about guesses leads: its button makes this browser one of the person's own.
type browserPage struct {
	page
	Action   string
	Username string
}

// renewPage, "renew", asks for a password in the place of one that policy takes no more, twice, as password and repeat.
type renewPage struct {
	page
	second
	Username string
	Hint     passwords.Hint
}

// New is what the fields of a new password need.
func (d renewPage) New() newPassword {
	return newPassword{page: d.page, Hint: d.Hint, Alert: d.Alert, Focus: true}
}

// smsPage, "sms", asks for the code of a text message. The field is named code. Two more buttons of forms of their own, named
// action: resend, and disown ("this was not me"). Without a mark, or where State is full, there is no code to wait for and no field.
type smsPage struct {
	page
	second
	Number    string // masked
	Mark      string // the same two letters that stand in the message
	State     string // sending, sent, failed, full, kept
	StatusURL string // answers {"state":"…"}; the page asks it while sending, and loads itself anew if that becomes failed or full
}

// Told is the page with the alert that is told on it: see told.
func (d smsPage) Told() smsPage {
	d.Alert = told(d.Alert, d.State, d.Waits())
	return d
}

// Waits reports whether there is a code to wait for.
func (d smsPage) Waits() bool { return d.Mark != "" && d.State != "full" }

// Lead is the key of what the page says about the message.
func (d smsPage) Lead() string { return lead(d.State) }

// told is the alert of a page that waits for a texted code: what is said of a wrong code is said of this one, and where there is
// nothing else to say, what became of the message.
func told(alert, state string, waits bool) string {
	wrong := alert == "alert.code" || alert == "alert.code_used"
	switch {
	case (alert == "" || wrong) && state == "full":
		return "alert.sms_full"
	case (alert == "" || wrong) && !waits:
		return "alert.sms_none"
	case alert == "alert.code":
		return "alert.code_sms"
	case alert == "alert.code_used":
		return "alert.code_sms_used"
	case alert == "" && state == "failed":
		return "alert.sms_failed"
	case alert == "" && state == "kept":
		return "alert.sms_kept"
	}
	return alert
}

func lead(state string) string {
	switch state {
	case "sending", "failed":
		return "sms." + state
	}
	return "sms.sent"
}

// passkeyPage, "passkey", asks for a passkey as second factor. Its script fills the hidden field passkey and sends the form.
type passkeyPage struct {
	page
	second
	Options string // of navigator.credentials.get, as JSON
}

// Start is "now" if the page asks for the passkey by itself. It does not after a fault, nor where the person has something to tick first.
func (d passkeyPage) Start() string {
	if d.Alert != "" || d.Remember > 0 {
		return ""
	}
	return "now"
}

// recoveryPage, "recovery", asks for a recovery code in the field recovery.
type recoveryPage struct {
	page
	second
}

// enrolPasskeyPage, "enrolpasskey", sets up a passkey, at sign-in (Ways: other kinds) or on /account. Its script fills the hidden field passkey;
// the field name takes the person's own word for it.
type enrolPasskeyPage struct {
	page
	second
	Options string // of navigator.credentials.create, as JSON
	Name    string // proposed
}

// Attr is what the name says of itself: see attrs. It does not take the focus: there is more to read above it.
func (d enrolPasskeyPage) Attr(field string) template.HTMLAttr {
	return attrs(d.Alert, field, d.Name, field+"-hint", false)
}

// homePage, "home", is /account: who is signed in, with what, and what they may change.
type homePage struct {
	page
	Name          string
	Username      string
	Email         string
	Methods       []string // keys: method.password, method.totp, method.sms, method.webauthn, method.recovery, method.device
	Since         string   // formatted in the page's language
	Applications  []app
	Owner         bool // of applications: links to /apps
	Factors       []factorRow
	Add           []string // kinds that may be added: totp, sms, webauthn; links to /account/add/KIND
	RecoveryLeft  int      // unused recovery codes; a button posts to /account/recovery for new ones
	Devices       []deviceRow
	Sessions      []seatRow
	Connected     []connectedRow
	Notice        string // key of a text that says what was just done; "" none
	Alert         string
	AlertArgs     []any
	SignOutAction string
}

// factorRow is one factor. Its forms post to /account/factors/ID with action: remove, rename (with name), allow.
type factorRow struct {
	ID      string
	Kind    string // totp, sms, webauthn
	Name    string // the person's own word, or a masked number
	Added   string
	Used    string // "" never
	Stopped bool
	Allow   bool // the stop may still be taken back
}

// deviceRow is a remembered browser. Its form posts to /account/devices/ID; ID "all" forgets every one.
type deviceRow struct {
	ID      string
	Agent   string
	Used    string
	Expires string
}

// app is an application to go to; without a URL it is only named.
type app struct {
	Name string
	URL  string
}

// addNumberPage, "addnumber", asks for a number in the field phone (autocomplete tel), and then, with Mark, for the code sent to it.
// Its buttons named action are resend, and restart (another number).
type addNumberPage struct {
	page
	second
	Replaces  bool // the person has a number, which this one takes the place of
	Phone     string
	Number    string // masked; "" while the number is asked for
	Mark      string
	State     string
	StatusURL string // see smsPage; "" asks nothing
}

// Told is the page with the alert that is told on it: see told.
func (d addNumberPage) Told() addNumberPage {
	d.Alert = told(d.Alert, d.State, d.Waits())
	return d
}

// Waits reports whether there is a code to wait for.
func (d addNumberPage) Waits() bool { return d.Number != "" && d.Mark != "" && d.State != "full" }

// Lead is the key of what the page says about the message.
func (d addNumberPage) Lead() string { return lead(d.State) }

// Attr is what a field says of itself: see attrs.
func (d addNumberPage) Attr(field string) template.HTMLAttr {
	return attrs(d.Alert, field, d.Phone, field+"-hint", true)
}

// codesPage, "codes", shows new recovery codes, once.
type codesPage struct {
	page
	Codes   []string
	DoneURL string
}

// stopPage, "stop", is for a lost phone, on /account: which factors are on it (checkboxes named factor). Sessions elsewhere end in any case.
type stopPage struct {
	page
	Action    string
	Factors   []factorRow
	Alert     string
	AlertArgs []any
	CancelURL string
}

// lostPage, "lost", is the same for who cannot sign in: a user name in username and a recovery code in recovery stop every factor and session. Done says that it
// is done, if the two were right; the page says the same if they were not.
type lostPage struct {
	page
	Action    string
	Alert     string
	AlertArgs []any
	Username  string
	Done      bool
	SignInURL string
}

// Attr is what a field says of itself: see attrs.
func (d lostPage) Attr(field string) template.HTMLAttr {
	value := ""
	if field == "username" {
		value = d.Username
	}
	return attrs(d.Alert, field, value, "", field == "username")
}
