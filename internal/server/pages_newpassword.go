package server

import (
	"encoding/json"
	"html/template"

	"github.com/portvakt/portvakt/internal/passwords"
)

// newPassword is what the template "newpassword" takes: the fields password and repeat, and, where JavaScript runs, a bar and a sentence
// that say how good the password is while it is typed. It stands in a form, on a page of any kind; there is one on a page.
type newPassword struct {
	page
	Hint  passwords.Hint
	Alert string // of the page
	Focus bool   // the password has it
}

// Attr is what a field says of itself: see attrs.
func (d newPassword) Attr(field string) template.HTMLAttr {
	if field == "password" {
		return attrs(d.Alert, field, "", "password-hint", d.Focus)
	}
	return attrs(d.Alert, field, "", "", false)
}

// Words are those of the hint, as strength.js reads them.
func (d newPassword) Words() (string, error) {
	list, err := json.Marshal(append([]string{}, d.Hint.Words...))
	return string(list), err
}
