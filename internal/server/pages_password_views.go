package server

import (
	"html/template"

	"github.com/portvakt/portvakt/internal/passwords"
)

// seatRow is a session. Its form posts to /account/sessions/ID, where "others" ends every one but the present.
type seatRow struct {
	ID     string
	Agent  string
	IP     string
	Since  string
	Used   string
	This   bool
	Locked bool
}

// changePasswordPage, "changepassword", is /account/password: the present password in current, and the new one twice, as password and repeat.
type changePasswordPage struct {
	page
	Action    string
	Username  string
	None      bool // there is no password: the page says what to do instead
	Alert     string
	AlertArgs []any
	Hint      passwords.Hint
	CancelURL string
}

// Attr is what a field says of itself: see attrs. The focus goes to what has to be mended; no password is shown again, so that is mostly the first.
func (d changePasswordPage) Attr(field string) template.HTMLAttr {
	return attrs(d.Alert, field, "", "", true)
}

// New is what the fields of the new password need. What is wrong with them does not take the focus: the present one has to be typed again.
func (d changePasswordPage) New() newPassword {
	return newPassword{page: d.page, Hint: d.Hint, Alert: d.Alert}
}

// forgotPage, "forgot", asks for a user name or mail address in the field username. Done says that a mail is on its way if there is such a
// person, and says the same if there is none. Off says that no mail is sent here, and whom to ask.
type forgotPage struct {
	page
	Action    string
	Alert     string
	AlertArgs []any
	Done      bool
	Off       bool
	SignInURL string
}

// Attr is what the field says of itself: see attrs.
func (d forgotPage) Attr(field string) template.HTMLAttr {
	return attrs(d.Alert, field, "", field+"-hint", true)
}
