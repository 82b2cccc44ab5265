package portal

// field is one input of a form; template "field" shows it with label, hint and fault.
type field struct {
	Name     string
	Label    string
	Hint     string
	Fault    string // why what was typed was refused
	Value    string
	Type     string   // text (default), password, email, number, date, file, checkbox, textarea, select
	Options  []option // of a select
	Required bool
	Checked  bool   // of a checkbox
	Complete string // autocomplete token, such as "current-password" or "one-time-code"
	Most     int    // characters; 0: no bound shown
	Rows     int    // of a textarea
	Mono     bool   // monospaced: addresses, records
	Focus    bool
}

// option is one choice of a select.
type option struct {
	Value, Label string
	Chosen       bool
}

// button is an act with one button; template "act" shows it as a form. With Sure, it asks in a fold first.
type button struct {
	URL    string
	Label  string
	Class  string // "", second, danger
	Sure   string // what will happen, asked before; "": no fold
	Hint   string
	Values map[string]string // sent along
}

// pager leads through a list: template "pager". Empty addresses are not shown.
type pager struct {
	First, Next string // addresses
}
