package server

import "html/template"

// userCodePage, "device", asks for the code that a device shows, in the field user_code.
type userCodePage struct {
	page
	Action    string
	Code      string // as it was typed, or came in the address
	Alert     string
	AlertArgs []any
}

// Attr is what its one field says of itself: see attrs.
func (d userCodePage) Attr(field string) template.HTMLAttr {
	return attrs(d.Alert, field, d.Code, field+"-hint", true)
}

// deviceAskPage, "deviceask", shows what a device asks for, and has two buttons named action: allow and disown.
type deviceAskPage struct {
	page
	Action string
	Code   string // which the person compares with the device's
	App    string
	Name   string // whom the device would be signed in as
	Scopes []scopeRow
	Asked  string
	IP     string // where from
	Agent  string // by what program, in two words at most
}

// scopeRow is one thing that an application gets. Kind is profile, email, phone, groups, offline_access or other, which has a Name.
type scopeRow struct {
	Kind string
	Name string
}

// connectedRow is an application that keeps what a person gave it. Its form posts to /account/connected/ID.
type connectedRow struct {
	ID     string
	App    string
	Device bool // on a device that the person allowed; else in a browser
	Scopes []scopeRow
	Since  string
	Used   string // "" not known
}

// deviceDonePage, "devicedone", says what was decided.
type deviceDonePage struct {
	page
	Refused  bool
	SignedIn bool // the browser is, still
}
