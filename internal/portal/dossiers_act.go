package portal

import (
	"errors"
	"net/http"
	"net/url"

	"postern/internal/reputation"
)

// openDossier opens one for a listing that has none.
func (s *site) openDossier(v *visit) {
	if !v.read() {
		return
	}
	listing := clean(v.r.PostForm.Get("listing"), 64)
	v.about(listing, "")
	id, err := s.o.Reputation.Open(v.r.Context(), listing, v.who.Actor())
	switch {
	case errors.Is(err, reputation.ErrNotFound), errors.Is(err, reputation.ErrInvalid):
		v.missing()
	case err != nil:
		v.broken("dossier not opened", err)
	default:
		v.done("/o/dossiers/"+url.PathEscape(id), "dossier.did.opened")
	}
}

// changeDossier does an act on the dossier of the path and leads back to it.
func (s *site) changeDossier(v *visit, key string, act func(x reputation.Dossier) error) {
	if !v.read() {
		return
	}
	x, ok := s.dossierOf(v)
	if !ok {
		return
	}
	v.about(x.ID, x.Target)
	switch err := act(x); {
	case errors.Is(err, reputation.ErrNotFound):
		v.missing()
	case errors.Is(err, reputation.ErrInvalid):
		v.page.Banner = &banner{"bad", v.page.T("dossier.fault")}
		s.showDossier(v, http.StatusUnprocessableEntity, x, clean(v.r.PostForm.Get("text"), 2000), "")
	case err != nil:
		v.broken("dossier not changed", err)
	default:
		v.done("/o/dossiers/"+url.PathEscape(x.ID), key)
	}
}

func (s *site) noteDossier(v *visit) {
	s.changeDossier(v, "dossier.did.noted", func(x reputation.Dossier) error {
		return s.o.Reputation.Note(v.r.Context(), x.ID, v.who.Actor(), clean(v.r.PostForm.Get("text"), 2000))
	})
}

func (s *site) tickDossier(v *visit) {
	s.changeDossier(v, "dossier.did.step", func(x reputation.Dossier) error {
		form := v.r.PostForm
		return s.o.Reputation.Tick(v.r.Context(), x.ID, form.Get("step"), form.Get("done") == "yes", v.who.Actor(), clean(form.Get("note"), 1000))
	})
}

func (s *site) moveDossier(v *visit) {
	s.changeDossier(v, "dossier.did.moved", func(x reputation.Dossier) error {
		return s.o.Reputation.Move(v.r.Context(), x.ID, reputation.State(v.r.PostForm.Get("to")), v.who.Actor(), clean(v.r.PostForm.Get("note"), 1000))
	})
}

func (s *site) refreshDossier(v *visit) {
	s.changeDossier(v, "dossier.did.refreshed", func(x reputation.Dossier) error { return s.o.Reputation.Refresh(v.r.Context(), x.ID) })
}
