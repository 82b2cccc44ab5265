package portal

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"postern/internal/postmaster"
	"postern/internal/report"
)

// sndsImport takes a file.
func (s *site) sndsImport(v *visit) {
	p := v.page
	v.about("file", "")
	if s.o.Postmaster == nil {
		v.missing()
		return
	}
	refused := func(key string) { s.showSNDS(v, http.StatusUnprocessableEntity, nil, p.T(key)) }
	file, head, err := v.r.FormFile("file")
	if err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			refused("snds.import.large")
			return
		}
		refused("snds.import.none")
		return
	}
	defer func() { _ = file.Close() }()
	v.about("file "+clean(head.Filename, 200), "")
	data, err := io.ReadAll(io.LimitReader(file, maxSNDSUpload+1))
	if err != nil || len(data) > maxSNDSUpload {
		refused("snds.import.large")
		return
	}
	did, err := s.o.Postmaster.Import(v.r.Context(), data, "upload by "+v.who.Actor())
	switch {
	case errors.Is(err, report.ErrSNDSPage):
		refused("snds.import.page")
		return
	case errors.Is(err, report.ErrSNDSLarge):
		refused("snds.import.large")
		return
	case errors.Is(err, report.ErrNoSNDS):
		refused("snds.import.other")
		return
	case errors.Is(err, postmaster.ErrNoRows):
		s.showSNDS(v, http.StatusUnprocessableEntity, p.sndsFaults(did), p.T("snds.import.empty"))
		return
	case err != nil:
		v.broken("a file of SNDS was not taken", err)
		return
	}
	v.entry.Text = fmt.Sprintf("%d rows, %d new, %d changed, %d left out", did.Read, did.New, did.Changed, len(did.Bad)+did.BadMore)
	done := p.T("snds.import.done", "Count", did.Read, "New", did.New, "Changed", did.Changed)
	if did.Shape == report.SNDSStatusCSV || did.Shape == report.SNDSStatusJSON {
		done = p.T("snds.import.states", "Count", did.Read, "Began", did.Began, "Ended", did.Ended)
	}
	if len(did.Bad) == 0 {
		v.say("/o/snds", done)
		return
	}
	v.page.Banner = &banner{"good", done}
	s.showSNDS(v, http.StatusOK, p.sndsFaults(did), "")
}

// sndsFaults tells rows that were left out one by one.
func (p page) sndsFaults(did postmaster.Imported) (out []string) {
	for i, b := range did.Bad {
		if i == sndsFaults {
			break
		}
		what := p.T("snds.row." + b.Code)
		if b.Field != "" {
			what = p.T("snds.row.field", "Field", p.T("snds.field."+strings.ReplaceAll(b.Field, " ", "_")), "Value", clean(b.Value, 60), "What", what)
		}
		out = append(out, p.T("snds.row.line", "Line", b.Line, "What", what))
	}
	if more := len(did.Bad) + did.BadMore - len(out); more > 0 {
		out = append(out, p.T("snds.row.more", "Count", more))
	}
	return out
}

// sndsFetch asks every source now.
func (s *site) sndsFetch(v *visit) {
	v.about("sources", "")
	if s.o.Postmaster == nil {
		v.missing()
		return
	}
	if err := s.o.Postmaster.Again(""); err != nil {
		v.opRefused(http.StatusConflict, v.page.T("snds.fetch.none"), "/o/snds")
		return
	}
	v.done("/o/snds", "snds.fetch.done")
}

// sndsConnectPage leads to Microsoft's sign-in and back.
type sndsConnectPage struct {
	page
	Leave  string // address of the sign-in; "": the person is back
	Local  bool   // what comes back is an address to paste
	Back   string
	Finish string
	Field  *field
	Hidden map[string]string
	Fault  string
}

// sndsConnect begins a sign-in. The link to Microsoft stands on the page: browsers let forms lead to this site only.
func (s *site) sndsConnect(v *visit) {
	v.about("snds", "")
	p := v.page
	if s.o.Postmaster == nil {
		v.missing()
		return
	}
	leave, _, err := s.o.Postmaster.Connect(v.r.Context(), v.who.Actor())
	if errors.Is(err, postmaster.ErrOff) {
		v.opRefused(http.StatusConflict, p.T("snds.connect.off"), "/o/snds")
		return
	}
	if err != nil {
		v.broken("sign-in with Microsoft not begun", err)
		return
	}
	c, err := s.o.Postmaster.Connection(v.r.Context())
	if err != nil {
		v.broken("connection of SNDS not read", err)
		return
	}
	s.showConnect(v, http.StatusOK, sndsConnectPage{Leave: leave, Local: c.Local})
}

func (s *site) showConnect(v *visit, status int, d sndsConnectPage) {
	p := v.page
	p.Title = p.T("snds.connect.title")
	d.page, d.Back, d.Finish = p, p.URL("/o/snds"), p.URL("/o/snds/finish")
	if d.Hidden == nil {
		d.Field = &field{Name: "address", Label: p.T("snds.connect.address"), Hint: p.T("snds.connect.address.hint"), Type: "text", Required: true, Complete: "off", Mono: true, Most: 6000, Fault: d.Fault}
	}
	v.show(status, "snds-connect.html", d)
}

// sndsCallback is where Microsoft leads back to. It changes nothing: the person confirms.
func (s *site) sndsCallback(v *visit) {
	if s.o.Postmaster == nil {
		v.missing()
		return
	}
	q := v.r.URL.Query()
	v.page.query = url.Values{} // the code is not kept in links
	if q.Get("error") != "" || q.Get("code") == "" || q.Get("state") == "" {
		v.opRefused(http.StatusUnprocessableEntity, v.page.T("snds.connect.refused"), "/o/snds")
		return
	}
	s.showConnect(v, http.StatusOK, sndsConnectPage{Hidden: map[string]string{"code": q.Get("code"), "state": q.Get("state")}})
}

// sndsFinish ends a sign-in with what came back: two fields, or the address that the browser was led to.
func (s *site) sndsFinish(v *visit) {
	v.about("snds", "")
	if s.o.Postmaster == nil {
		v.missing()
		return
	}
	code, state := v.r.PostFormValue("code"), v.r.PostFormValue("state")
	if address := strings.TrimSpace(v.r.PostFormValue("address")); address != "" {
		code, state = "", ""
		if u, err := url.Parse(address); err == nil {
			code, state = u.Query().Get("code"), u.Query().Get("state")
		}
	}
	err := s.o.Postmaster.Finish(v.r.Context(), state, code, v.who.Actor())
	switch {
	case errors.Is(err, postmaster.ErrOff):
		v.opRefused(http.StatusConflict, v.page.T("snds.connect.off"), "/o/snds")
	case errors.Is(err, postmaster.ErrSignIn):
		v.opRefused(http.StatusUnprocessableEntity, v.page.T("snds.connect.refused"), "/o/snds")
	case err != nil:
		v.broken("sign-in with Microsoft not finished", err)
	default:
		v.done("/o/snds", "snds.connect.done")
	}
}

// sndsDisconnect forgets the permission.
func (s *site) sndsDisconnect(v *visit) {
	v.about("snds", "")
	if s.o.Postmaster == nil {
		v.missing()
		return
	}
	if err := s.o.Postmaster.Disconnect(v.r.Context()); err != nil {
		v.broken("connection of SNDS not taken away", err)
		return
	}
	v.done("/o/snds", "snds.disconnect.done")
}
