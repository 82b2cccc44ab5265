package portal

import (
	"errors"
	"net/http"
	"regexp"
	"slices"

	"postern/internal/user"
)

// signPage is a page with one form about signing in.
type signPage struct {
	page
	Heading string
	Lede    []string
	Action  string
	Again   bool // a proof by passkey sends the form, too
	Hidden  []hiddenField
	Fields  []field
	Account string // whose password it is, for the browser's keeper of passwords; "": a field says it
	Button  string // "": there is nothing to send
	Passkey *passkeyPlace
	Links   []signLink
	Bad     bool // it is bad news
}

// hiddenField is a field that nobody sees.
type hiddenField struct{ Name, Value string }

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

// signPage begins a page about signing in.
func (v *visit) signPage(heading, action string) signPage {
	p := signPage{page: v.page, Heading: heading, Action: v.page.URL(action)}
	p.Title = heading
	return p
}

// wrong makes the page say what was wrong.
func (p *signPage) wrong(text string) {
	p.Banner, p.Title = &banner{"bad", text}, p.T("error.title", "Heading", p.Heading)
}

// read reads the visit's form; what it cannot read it answers, and returns false.
func (v *visit) read() bool {
	v.status = v.s.readForm(v.w, v.r)
	return v.status == 0
}

// fresh reports whether the visitor proved lately who he is.
func (v *visit) fresh() bool { return v.s.o.Users.Fresh(v.session, user.FreshFor) }

// proofField is the field in which a form that is sent again carries the proof.
const proofField = "proof"

// notCarried are fields that a form which is sent again does not carry along: secrets do not stand in pages.
var notCarried = []string{proofField, "account", "password", "again", "old", "code"}

// sixDigits is what a code of an app looks like. Passwords are longer.
var sixDigits = regexp.MustCompile(`^\s*\d{3}[ -]?\d{3}\s*$`)

// proved reports whether the visitor proved lately who he is, or does so with this form. Else it answers with the question for a proof, whose form
// is the one that came, with the proof added: nothing typed is lost, and nothing is done before. The form must have been read.
func (v *visit) proved() bool {
	if v.fresh() {
		return true
	}
	typed := v.r.PostForm.Get(proofField)
	if typed == "" {
		v.entry.Act = "" // nothing was tried yet
		v.askProof(http.StatusForbidden, v.r.URL.Path, v.carried(), "")
		return false
	}
	return v.takeProof(typed, v.r.URL.Path, v.carried())
}

// takeProof looks at a proof; if it is not one, it answers with the question again.
func (v *visit) takeProof(typed, action string, carried []hiddenField) bool {
	var err error
	if sixDigits.MatchString(typed) {
		err = v.s.o.Users.ProveCode(v.r.Context(), v.who.ID, v.session.ID, typed)
	} else {
		err = v.s.o.Users.Prove(v.r.Context(), v.who.ID, v.session.ID, typed, addressOf(v.r))
	}
	switch {
	case errors.Is(err, user.ErrDenied), errors.Is(err, user.ErrNotFound):
		v.entry.Act = "prove"
		v.askProof(http.StatusUnprocessableEntity, action, carried, v.page.T("sign.prove.refused"))
	case errors.Is(err, user.ErrThrottled):
		v.entry.Act = "prove"
		v.askProof(http.StatusTooManyRequests, action, carried, v.throttled(""))
	case err != nil:
		v.broken("proof not looked at", err)
	}
	return err == nil
}

// carried is the form that came, but for what must not stand in a page.
func (v *visit) carried() []hiddenField {
	var out []hiddenField
	for name, values := range v.r.PostForm {
		if slices.Contains(notCarried, name) {
			continue
		}
		for _, x := range values {
			out = append(out, hiddenField{name, x})
		}
	}
	return out
}

// askProof answers with the question for a proof.
func (v *visit) askProof(status int, action string, carried []hiddenField, wrong string) {
	u, err := v.s.o.Users.User(v.r.Context(), v.who.ID)
	if err != nil {
		v.broken("user not read", err)
		return
	}
	p := v.signPage(v.page.T("sign.prove.heading"), action)
	p.page.Path = "" // the address of an act has no other language to switch to
	p.Lede = []string{p.T("sign.prove.lede", "Valid", user.FreshFor)}
	p.Hidden, p.Again = carried, true
	if u.Password {
		f := field{Name: proofField, Label: p.T("sign.prove.password"), Type: "password", Required: true, Most: 800, Complete: "current-password", Focus: true}
		if u.TOTP {
			f.Label = p.T("sign.prove.proof")
		}
		p.Fields, p.Button, p.Account = []field{f}, p.T("sign.prove.button"), clean(u.Address.String(), 254)
	}
	if u.Passkeys > 0 {
		if p.Passkey = v.passkeyAsked("/prove/passkey", p.T("sign.prove.passkey"), p.T("sign.passkey.hint")); p.Passkey != nil {
			p.page.Scripts = v.page.Scripts
		}
	}
	if !u.Password && p.Passkey == nil {
		p.Lede = append(p.Lede, p.T("sign.prove.none"))
	}
	if wrong != "" {
		p.wrong(wrong)
	}
	v.show(status, "sign.form", p)
}

func (s *site) prove(v *visit) {
	if v.fresh() {
		v.onward()
		return
	}
	v.askProof(http.StatusOK, "/prove", []hiddenField{{"next", v.next()}}, "")
}

// proveNow looks at a proof and leads back to what needs it.
func (s *site) proveNow(v *visit) {
	if !v.read() {
		return
	}
	v.about(v.who.Name, "")
	if v.fresh() || v.takeProof(v.r.PostForm.Get(proofField), "/prove", []hiddenField{{"next", v.next()}}) {
		if v.next() == "" {
			v.redirect("/me")
			return
		}
		v.done(v.next(), "sign.done.prove")
	}
}
