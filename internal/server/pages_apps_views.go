package server

// appsPage, "apps", lists the applications that a person looks after.
type appsPage struct {
	page
	Apps []appRow
}

// appRow is one of them.
type appRow struct {
	Name string
	ID   string
}

// appPage, "app", is one application for its owner: what went wrong with it, how to write it down, and how it is registered.
type appPage struct {
	page
	ID        string
	Name      string
	Test      bool // registered for trials
	Troubles  []troubleRow
	More      bool // there was more than is told
	Stacks    []stackRow
	File      string // where the snippet goes
	Snippet   string
	Misfit    bool // the stack is not made for such a client
	Settings  []settingRow
	Endpoints []param
}

// troubleRow is one thing that went wrong: the text "trouble." + Kind, with Args.
type troubleRow struct {
	Kind    string
	Args    []any
	Hint    string // what the application was told, in English
	Count   int
	Last    string
	Request string
}

// stackRow is a link to the snippet for one stack.
type stackRow struct {
	Stack string
	Name  string
	This  bool
}

// settingRow is one line of a registration: the label "setting." + Kind, a text with Args, and values as they are registered.
type settingRow struct {
	Kind   string
	State  string // key of a text, or ""
	Args   []any
	Values []string
}

// provePage, "prove", plays the bad provider against a test client. Its buttons are named action (begin, in, out, stop, logout), beside the hidden field fault.
type provePage struct {
	page
	ID       string
	Name     string
	Action   string
	Alert    string
	Test     bool   // the client may be tried
	Kind     string // the fault that is not judged yet, or ""
	State    string // armed or taken
	Upcoming string // the first fault that was never judged, or ""
	Judged   int
	Lists    []faultList
}

// faultList is faults of one sort. Its buttons are named action, with the value Send.
type faultList struct {
	Title  string
	Lead   string
	Send   string
	Faults []faultRow
}

// AlertArgs are those of its alert, which has none.
func (d provePage) AlertArgs() []any { return nil }

// faultRow is one fault, with the texts "fault." + Kind and its .why.
type faultRow struct {
	Kind  string
	State string // refused, went_on, let_in, unclear, or "" where it was not judged
	Tried string
}
