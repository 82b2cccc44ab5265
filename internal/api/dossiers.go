package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"postern/internal/reputation"
	"postern/internal/user"
)

// Dossier joins what is known of the listings of one target by one operator of lists.
type Dossier struct {
	ID       string     `json:"id"`
	Target   string     `json:"target"`
	Runs     string     `json:"operator" doc:"Who runs the lists"`
	List     string     `json:"list" doc:"The list with the most weight"`
	Customer string     `json:"customer,omitempty"`
	Weight   int        `json:"weight"`
	State    string     `json:"state" enum:"open,mending,requested,clean,closed"`
	Opened   time.Time  `json:"opened"`
	Changed  time.Time  `json:"changed"`
	Listed   time.Time  `json:"listed" doc:"Beginning of the listing that lasts or was last"`
	Clean    *time.Time `json:"clean,omitempty" doc:"Since when not listed; absent: it is"`
	Times    int        `json:"times" doc:"How often it was listed"`
	Gathered *time.Time `json:"gathered,omitempty" doc:"When the evidence was; absent: not yet"`
	// Former is the dossier of an earlier listing of the same target and operator, which was clean for thirty days before this one; Later that of the next one.
	Former string `json:"former,omitempty"`
	Later  string `json:"later,omitempty"`

	Causes    []DossierCause       `json:"causes,omitempty" doc:"The likeliest first"`
	Listings  []Listing            `json:"listings,omitempty" doc:"Of one dossier only, like all that follows"`
	Checklist []DossierStep        `json:"checklist,omitempty"`
	Evidence  *reputation.Evidence `json:"evidence,omitempty"`
	Acts      []DossierAct         `json:"acts,omitempty" doc:"The newest first"`
}

// DossierCause is a likely cause.
type DossierCause struct {
	Code       string          `json:"code" doc:"Stable"`
	Name       string          `json:"name"`
	Means      string          `json:"means"`
	Likelihood string          `json:"likelihood" enum:"likely,possible,unlikely,unknown"`
	Points     int             `json:"points"`
	Reasons    []DossierReason `json:"reasons,omitempty"`
	Missing    []string        `json:"missing,omitempty" doc:"Parts of the evidence that are not known and would tell"`
}

// DossierReason is one piece of evidence for a cause, or against it.
type DossierReason struct {
	Code   string `json:"code"`
	Points int    `json:"points"`
	Text   string `json:"text"`
}

// DossierStep is one thing to do.
type DossierStep struct {
	Code string     `json:"code"`
	What string     `json:"what"`
	How  string     `json:"how"`
	Who  string     `json:"who" enum:"operator,customer,network"`
	For  []string   `json:"for,omitempty" doc:"Causes that it mends"`
	Done bool       `json:"done"`
	At   *time.Time `json:"at,omitempty"`
	By   string     `json:"by,omitempty"`
	Note string     `json:"note,omitempty"`
}

// DossierAct is one line of a dossier's history.
type DossierAct struct {
	At    time.Time `json:"at"`
	Act   string    `json:"act"`
	Actor string    `json:"actor"`
	Step  string    `json:"step,omitempty"`
	From  string    `json:"from,omitempty"`
	To    string    `json:"to,omitempty"`
	Text  string    `json:"text,omitempty"`
}

// Dossiers are dossiers, those that changed last first.
type Dossiers struct {
	Dossiers []Dossier `json:"dossiers" nullable:"false"`
	Next     string    `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (d Dossiers) nextPage() string { return d.Next }

// DossierRequest is the prepared request for removal. The gateway sends it to nobody.
type DossierRequest struct {
	Language string       `json:"language"`
	Subject  string       `json:"subject"`
	Body     string       `json:"body"`
	Warnings []string     `json:"warnings" nullable:"false" doc:"Reasons not to ask yet"`
	Ways     []DossierWay `json:"ways" nullable:"false"`
}

// DossierWay is the way off one list.
type DossierWay struct {
	List   string `json:"list"`
	Zone   string `json:"zone"`
	Way    string `json:"way" enum:"self,form,expires,owner,none"`
	Lookup string `json:"lookup_url,omitempty"`
	URL    string `json:"url,omitempty"`

	Language string   `json:"language,omitempty"`
	Fields   []string `json:"fields,omitempty"`
}

// OpenDossier names the listing that gets a dossier.
type OpenDossier struct {
	Listing string `json:"listing" minLength:"1" maxLength:"64"`
}

// DossierNote is a note to write down.
type DossierNote struct {
	Text string `json:"text" minLength:"1" maxLength:"4000"`
}

// DossierTick says that a step is done, or not after all.
type DossierTick struct {
	Step string `json:"step" minLength:"1" maxLength:"64"`
	Done bool   `json:"done"`
	Note string `json:"note,omitempty" maxLength:"1000" doc:"What was done"`
}

// DossierMove changes a dossier's state.
type DossierMove struct {
	State string `json:"state" enum:"open,mending,requested,clean,closed"`
	Note  string `json:"note,omitempty" maxLength:"1000" doc:"Needed to close while still listed"`
}

// addDossiers registers what is done about listings.
func (s *server) addDossiers() {
	const one = "/v1/dossiers/{dossier}"
	read, act := gateway(user.GatewayRead), gateway(user.GatewayOperate)
	add(s, http.MethodGet, "/v1/dossiers", "list-dossiers", "Dossiers of listings: causes, what to do, how it stands", read, s.listDossiers)
	add(s, http.MethodPost, "/v1/dossiers", "open-dossier", "Open a dossier for a listing that has none", act.as("dossier.open").anew(), s.openDossier)
	add(s, http.MethodGet, one, "show-dossier", "One dossier with its evidence, checklist and history", read, s.showDossier)
	add(s, http.MethodGet, one+"/request", "dossier-request", "The request for removal, prepared for a person to send", read, s.dossierRequest)
	add(s, http.MethodPost, one+"/notes", "note-dossier", "Write a note into a dossier", act.as("dossier.note"), s.noteDossier)
	add(s, http.MethodPost, one+"/steps", "tick-dossier", "Say that a step of the checklist is done, or not after all", act.as("dossier.step").anew(), s.tickDossier)
	add(s, http.MethodPost, one+"/state", "move-dossier", "Change a dossier's state", act.as("dossier.move").anew(), s.moveDossier)
	add(s, http.MethodPost, one+"/refresh", "refresh-dossier", "Gather the evidence anew", act.as("dossier.refresh").anew(), s.refreshDossier)
}

type dossiersIn struct {
	State  string `query:"state" enum:",open,mending,requested,clean,closed"`
	Target string `query:"target" maxLength:"255"`
	InLanguage
	Paging
}

func (s *server) listDossiers(ctx context.Context, in *dossiersIn) (*body[Dossiers], error) {
	w, err := s.watch()
	if err != nil {
		return nil, err
	}
	q := reputation.DossierQuery{Target: in.Target, Cursor: in.Cursor, Limit: min(in.Limit, 200)}
	if in.State != "" {
		q.States = []reputation.State{reputation.State(in.State)}
	}
	x, err := w.Dossiers(ctx, q)
	if err != nil {
		return nil, s.watchFailed(err)
	}
	out := Dossiers{Dossiers: []Dossier{}, Next: x.Next}
	for _, d := range x.Dossiers {
		out.Dossiers = append(out.Dossiers, s.dossierOf(d, in.Lang))
	}
	return &body[Dossiers]{out}, nil
}

func (s *server) dossierOf(d reputation.Dossier, lang string) Dossier {
	text := func(key string, args map[string]any) string { return s.texts.Text(lang, "reputation."+key, args) }
	out := Dossier{ID: d.ID, Target: d.Target, Runs: d.Operator, List: d.List, Customer: d.Customer, Weight: d.Weight, State: string(d.State), Opened: d.Opened, Changed: d.Changed, Listed: d.Listed,
		Clean: when(d.Clean), Times: d.Times, Gathered: when(d.Gathered), Former: d.Former, Later: d.Later}
	for _, c := range d.Causes {
		x := DossierCause{Code: c.Code, Name: text("cause."+c.Code+".name", nil), Means: text("cause."+c.Code+".means", nil), Likelihood: string(c.Likelihood), Points: c.Points, Missing: c.Missing}
		for _, r := range c.Reasons {
			x.Reasons = append(x.Reasons, DossierReason{Code: r.Code, Points: r.Points, Text: text("reason."+r.Code, r.Args)})
		}
		out.Causes = append(out.Causes, x)
	}
	for _, l := range d.Listings {
		out.Listings = append(out.Listings, listingOf(l))
	}
	for _, x := range d.Checklist {
		out.Checklist = append(out.Checklist, DossierStep{Code: x.Code, What: text("step."+x.Code+".what", nil), How: text("step."+x.Code+".how", nil), Who: string(x.Who), For: x.Causes, Done: x.Done, At: when(x.At), By: x.By, Note: x.Note})
	}
	for _, a := range d.Acts {
		out.Acts = append(out.Acts, DossierAct{At: a.At, Act: string(a.Kind), Actor: a.Actor, Step: a.Step, From: string(a.From), To: string(a.To), Text: a.Text})
	}
	return out
}

type dossierIn struct {
	Dossier string `path:"dossier" maxLength:"64"`
	InLanguage
}

func (s *server) showDossier(ctx context.Context, in *dossierIn) (*body[Dossier], error) {
	w, err := s.watch()
	if err != nil {
		return nil, err
	}
	d, err := w.Dossier(ctx, in.Dossier)
	if err != nil {
		return nil, s.watchFailed(err)
	}
	out := s.dossierOf(d, in.Lang)
	if !d.Gathered.IsZero() {
		out.Evidence = &d.Evidence
	}
	return &body[Dossier]{out}, nil
}

func (s *server) dossierRequest(ctx context.Context, in *dossierIn) (*body[DossierRequest], error) {
	w, err := s.watch()
	if err != nil {
		return nil, err
	}
	r, err := w.Request(ctx, in.Dossier, in.Lang)
	if err != nil {
		return nil, s.watchFailed(err)
	}
	out := DossierRequest{Language: r.Language, Subject: r.Subject, Body: r.Body, Warnings: []string{}, Ways: []DossierWay{}}
	for _, x := range r.Warnings {
		out.Warnings = append(out.Warnings, s.texts.Text(in.Lang, "reputation.warning."+x.Code, x.Args))
	}
	for _, x := range r.Ways {
		way := DossierWay{List: x.List, Zone: x.Zone, Way: string(x.Way), Lookup: x.Lookup, URL: x.URL, Language: x.Lang}
		for _, f := range x.Fields {
			way.Fields = append(way.Fields, string(f))
		}
		out.Ways = append(out.Ways, way)
	}
	return &body[DossierRequest]{out}, nil
}

func (s *server) openDossier(ctx context.Context, in *bodyOf[OpenDossier]) (*body[Dossier], error) {
	w, err := s.watch()
	if err != nil {
		return nil, err
	}
	about(ctx, in.Body.Listing, "")
	id, err := w.Open(ctx, in.Body.Listing, actor(ctx))
	if err != nil {
		return nil, s.watchFailed(err)
	}
	return s.showDossier(ctx, &dossierIn{Dossier: id, InLanguage: InLanguage{"en"}})
}

// onDossier does an act on a dossier and answers with it.
func (s *server) onDossier(ctx context.Context, id string, act func(w *reputation.Watch) error) (*body[Dossier], error) {
	w, err := s.watch()
	if err != nil {
		return nil, err
	}
	if err := act(w); err != nil {
		return nil, s.watchFailed(err)
	}
	return s.showDossier(ctx, &dossierIn{Dossier: id, InLanguage: InLanguage{"en"}})
}

type dossierBody[T any] struct {
	Dossier string `path:"dossier" maxLength:"64"`
	Body    T
}

func (s *server) noteDossier(ctx context.Context, in *dossierBody[DossierNote]) (*body[Dossier], error) {
	return s.onDossier(ctx, in.Dossier, func(w *reputation.Watch) error { return w.Note(ctx, in.Dossier, actor(ctx), in.Body.Text) })
}

func (s *server) tickDossier(ctx context.Context, in *dossierBody[DossierTick]) (*body[Dossier], error) {
	return s.onDossier(ctx, in.Dossier, func(w *reputation.Watch) error {
		return w.Tick(ctx, in.Dossier, in.Body.Step, in.Body.Done, actor(ctx), in.Body.Note)
	})
}

func (s *server) moveDossier(ctx context.Context, in *dossierBody[DossierMove]) (*body[Dossier], error) {
	return s.onDossier(ctx, in.Dossier, func(w *reputation.Watch) error {
		return w.Move(ctx, in.Dossier, reputation.State(in.Body.State), actor(ctx), in.Body.Note)
	})
}

type dossierOnly struct {
	Dossier string `path:"dossier" maxLength:"64"`
}

func (s *server) refreshDossier(ctx context.Context, in *dossierOnly) (*body[Dossier], error) {
	return s.onDossier(ctx, in.Dossier, func(w *reputation.Watch) error { return w.Refresh(ctx, in.Dossier) })
}

// Dossiers returns the first page of dossiers in a state; "" is all.
func (c *Client) Dossiers(ctx context.Context, state, lang string) (Dossiers, error) {
	return get[Dossiers](ctx, c, "/v1/dossiers", values("state", state, "lang", lang, "limit", "200"))
}

// Dossier returns one dossier.
func (c *Client) Dossier(ctx context.Context, id, lang string) (Dossier, error) {
	return get[Dossier](ctx, c, "/v1/dossiers/"+url.PathEscape(id), values("lang", lang))
}
