package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"postern/internal/reputation"
	"postern/internal/user"
)

// Reputation is the watch over blocklists in a few figures.
type Reputation struct {
	Egress        int            `json:"egress" doc:"Addresses that mail leaves from"`
	EgressListed  int            `json:"egress_listed" doc:"Of them: on a list that counts"`
	Domains       int            `json:"domains"`
	DomainsListed int            `json:"domains_listed"`
	Ranged        int            `json:"ranged" doc:"Addresses of the ranges that are gone through once a day"`
	RangedListed  int            `json:"ranged_listed"`
	Unlooked      int            `json:"unlooked" doc:"Addresses and domains that were not looked at in time: they are not known to be clean"`
	Worst         int            `json:"worst" doc:"Weight of the worst listing of what is ours, 0..5"`
	Dossiers      map[string]int `json:"dossiers" doc:"How many by state"`
	Lists         int            `json:"lists"`
	ListsUsable   int            `json:"lists_usable" doc:"Of them: asked"`
}

// WatchedTarget is an address or a domain that is watched.
type WatchedTarget struct {
	Target   string        `json:"target"`
	Kind     string        `json:"kind" enum:"ip,domain"`
	Roles    []string      `json:"roles" nullable:"false"`
	Customer string        `json:"customer,omitempty" doc:"Whose domain; absent: the gateway's"`
	Checked  *time.Time    `json:"checked,omitempty" doc:"Last look; absent: none yet, so nothing is known"`
	Next     *time.Time    `json:"next,omitempty"`
	Weight   int           `json:"weight" doc:"The worst listing, 0..5"`
	Listings int           `json:"listings" doc:"Lists that have it and count"`
	Unknown  int           `json:"unknown" doc:"Lists that gave no answer at the last look"`
	Lists    []WatchedList `json:"lists,omitempty" doc:"What each list says; of one target only"`
	Days     []WatchedDay  `json:"days,omitempty" doc:"The last 90 days; of one target only"`
}

// OnList is which list says something, and what.
type OnList struct {
	Zone   string   `json:"zone"`
	List   string   `json:"list"`
	Runs   string   `json:"operator" doc:"Who runs the list"`
	Weight int      `json:"weight"`
	Names  []string `json:"names,omitempty"`
	Reason string   `json:"reason,omitempty" doc:"The list's own words"`
}

// WatchedList is what one list says of a target.
type WatchedList struct {
	OnList
	State string     `json:"state" enum:"listed,clean,unknown,disabled"`
	Since *time.Time `json:"since,omitempty"`
	Codes []string   `json:"codes,omitempty"`
}

// WatchedDay is one day of a target.
type WatchedDay struct {
	Day      string `json:"day" doc:"UTC, 2006-01-02"`
	Measured bool   `json:"measured" doc:"false: nobody was asked; the figures say nothing"`
	Weight   int    `json:"weight"`
	Lists    int    `json:"lists"`
	Unknown  int    `json:"unknown"`
}

// WatchedTargets are targets.
type WatchedTargets struct {
	Targets []WatchedTarget `json:"targets" nullable:"false"`
	Next    string          `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (t WatchedTargets) nextPage() string { return t.Next }

// WatchEvent is one change.
type WatchEvent struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Target string    `json:"target"`
	Event  string    `json:"event" enum:"listed,delisted,changed,unwatched"`
	OnList
	Dossier string `json:"dossier,omitempty"`
}

// WatchEvents are changes, the newest first.
type WatchEvents struct {
	Events []WatchEvent `json:"events" nullable:"false"`
	Next   string       `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (e WatchEvents) nextPage() string { return e.Next }

// Listing is one stay on one list.
type Listing struct {
	ID     string `json:"id"`
	Target string `json:"target"`
	OnList
	Own      bool       `json:"own" doc:"Of a sending address or a domain of ours; else of an address of a range"`
	Customer string     `json:"customer,omitempty"`
	Since    time.Time  `json:"since"`
	Answered time.Time  `json:"answered" doc:"Last answer of the list about it"`
	Until    *time.Time `json:"until,omitempty" doc:"Absent: it lasts"`
	Dossier  string     `json:"dossier,omitempty"`
}

// Listings are stays on lists, the newest first.
type Listings struct {
	Listings []Listing `json:"listings" nullable:"false"`
	Next     string    `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (l Listings) nextPage() string { return l.Next }

// addReputation registers the watch over blocklists.
func (s *server) addReputation() {
	read, act := gateway(user.GatewayRead), gateway(user.GatewayOperate)
	add(s, http.MethodGet, "/v1/reputation", "reputation", "What blocklists say of us, in a few figures", read, s.reputationSummary)
	add(s, http.MethodGet, "/v1/reputation/targets", "list-watched", "Addresses and domains that are watched", over(user.SetupRead), s.listWatched)
	add(s, http.MethodGet, "/v1/reputation/targets/{target}", "show-watched", "What each list says of one address or domain, and said in the last 90 days", over(user.SetupRead), s.showWatched)
	add(s, http.MethodPost, "/v1/reputation/targets/{target}/look", "look-watched", "Ask all lists about one target now", act.as("reputation.look").anew(), s.lookWatched)
	add(s, http.MethodGet, "/v1/reputation/listings", "list-listings", "Stays on blocklists", read, s.listListings)
	add(s, http.MethodGet, "/v1/reputation/events", "list-listing-events", "What changed on blocklists", read, s.listWatchEvents)
	s.addDossiers()
}

// watch is the room, or why there is none.
func (s *server) watch() (*reputation.Watch, error) {
	if s.o.Reputation == nil {
		return nil, problem(http.StatusConflict, "off", "this gateway watches no blocklists (reputation.enabled)")
	}
	return s.o.Reputation, nil
}

// watchFailed turns an error of the room into a problem.
func (s *server) watchFailed(err error) error {
	switch {
	case errors.Is(err, reputation.ErrNotFound):
		return problem(http.StatusNotFound, "not-found", "there is no such thing; the list tells what there is")
	case errors.Is(err, reputation.ErrInvalid):
		return because(http.StatusUnprocessableEntity, "invalid", plain(err))
	}
	return s.fail(err)
}

func (s *server) reputationSummary(ctx context.Context, _ *none) (*body[Reputation], error) {
	w, err := s.watch()
	if err != nil {
		return nil, err
	}
	x, err := w.Summary(ctx)
	if err != nil {
		return nil, s.watchFailed(err)
	}
	out := Reputation{Egress: x.Egress, EgressListed: x.EgressListed, Domains: x.Domains, DomainsListed: x.DomainsListed, Ranged: x.Ranged, RangedListed: x.RangedListed, Unlooked: x.Unlooked, Worst: x.Worst,
		Dossiers: map[string]int{}, Lists: x.Zones, ListsUsable: x.ZonesUsable}
	for state, n := range x.Dossiers {
		out.Dossiers[string(state)] = n
	}
	return &body[Reputation]{out}, nil
}

type watchedIn struct {
	ForCustomer
	Role   string `query:"role" enum:",egress,sending,return-path,host,extra,range"`
	Listed bool   `query:"listed" doc:"Only those on a list that counts"`
	Text   string `query:"text" maxLength:"253" doc:"Part of the name"`
	Paging
}

func (s *server) listWatched(ctx context.Context, in *watchedIn) (*body[WatchedTargets], error) {
	w, err := s.watch()
	if err != nil {
		return nil, err
	}
	x, err := w.Targets(ctx, reputation.TargetQuery{Role: reputation.Role(in.Role), Customer: in.Customer, Listed: in.Listed, Text: in.Text, Cursor: in.Cursor, Limit: min(in.Limit, 500)})
	if err != nil {
		return nil, s.watchFailed(err)
	}
	out := WatchedTargets{Targets: []WatchedTarget{}, Next: x.Next}
	for _, t := range x.Targets {
		out.Targets = append(out.Targets, watchedTarget(t))
	}
	return &body[WatchedTargets]{out}, nil
}

// when is a time that may be missing.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func watchedTarget(t reputation.Target) WatchedTarget {
	out := WatchedTarget{Target: t.Name, Kind: string(t.Kind), Roles: []string{}, Customer: t.Customer, Checked: when(t.Checked), Next: when(t.Next), Weight: t.Weight, Listings: t.Lists, Unknown: t.Unknown}
	for _, r := range t.Roles {
		out.Roles = append(out.Roles, string(r))
	}
	for _, z := range t.Zones {
		out.Lists = append(out.Lists, WatchedList{OnList: OnList{z.Zone, z.List, z.Operator, z.Weight, z.Names, z.Reason}, State: string(z.State), Since: when(z.Since), Codes: z.Codes})
	}
	return out
}

type watchedOne struct {
	Target string `path:"target" maxLength:"255"`
}

func (in *watchedOne) owner(ctx context.Context, s *server) (string, bool, error) {
	w, err := s.watch()
	if err != nil {
		return "", false, err
	}
	t, err := w.Target(ctx, in.name())
	if errors.Is(err, reputation.ErrNotFound) {
		return "", false, nil
	}
	return t.Customer, err == nil, err
}

func (in *watchedOne) kind() string { return "not-found" }

// name is the target as it is called: an IPv6 address comes escaped.
func (in *watchedOne) name() string {
	if name, err := url.PathUnescape(in.Target); err == nil {
		return name
	}
	return in.Target
}

func (s *server) showWatched(ctx context.Context, in *watchedOne) (*body[WatchedTarget], error) {
	w, err := s.watch()
	if err != nil {
		return nil, err
	}
	t, err := w.Target(ctx, in.name())
	if err != nil {
		return nil, s.watchFailed(err)
	}
	out := watchedTarget(t)
	now := s.o.Now()
	days, err := w.History(ctx, t.Name, now.AddDate(0, 0, -90), now)
	if err != nil {
		return nil, s.watchFailed(err)
	}
	for _, d := range days {
		out.Days = append(out.Days, WatchedDay{Day: d.Day.UTC().Format(time.DateOnly), Measured: d.Looked, Weight: d.Weight, Lists: d.Lists, Unknown: d.Unknown})
	}
	return &body[WatchedTarget]{out}, nil
}

func (s *server) lookWatched(ctx context.Context, in *watchedOne) (*body[WatchedTarget], error) {
	w, err := s.watch()
	if err != nil {
		return nil, err
	}
	about(ctx, in.name(), "")
	if err := s.mayLook(ctx); err != nil {
		return nil, err
	}
	if err := w.LookNow(ctx, in.name()); err != nil {
		return nil, s.watchFailed(err)
	}
	return s.showWatched(ctx, in)
}

type listingsIn struct {
	Target string `query:"target" maxLength:"255"`
	Open   bool   `query:"open" doc:"Only those that last"`
	Own    bool   `query:"own" doc:"Only sending addresses and domains of ours"`
	Within string `query:"within" maxLength:"60" doc:"Only addresses of a network; it needs open"`
	Weight int    `query:"weight" minimum:"0" maximum:"5" doc:"At least"`
	Paging
}

func (s *server) listListings(ctx context.Context, in *listingsIn) (*body[Listings], error) {
	w, err := s.watch()
	if err != nil {
		return nil, err
	}
	x, err := w.Listings(ctx, reputation.ListingQuery{Target: in.Target, Open: in.Open, Own: in.Own, Within: in.Within, Weight: in.Weight, Cursor: in.Cursor, Limit: min(in.Limit, 500)})
	if err != nil {
		return nil, s.watchFailed(err)
	}
	out := Listings{Listings: []Listing{}, Next: x.Next}
	for _, l := range x.Listings {
		out.Listings = append(out.Listings, listingOf(l))
	}
	return &body[Listings]{out}, nil
}

func listingOf(l reputation.Listing) Listing {
	return Listing{ID: l.ID, Target: l.Target, OnList: OnList{l.Zone, l.List, l.Operator, l.Weight, slices.Clone(l.Names), l.Reason}, Own: l.Own, Customer: l.Customer, Since: l.Since,
		Answered: l.Answered, Until: when(l.Until), Dossier: l.Dossier}
}

type watchEventsIn struct {
	Target string `query:"target" maxLength:"255"`
	Paging
}

func (s *server) listWatchEvents(ctx context.Context, in *watchEventsIn) (*body[WatchEvents], error) {
	w, err := s.watch()
	if err != nil {
		return nil, err
	}
	x, err := w.Events(ctx, in.Target, in.Cursor, min(in.Limit, 500))
	if err != nil {
		return nil, s.watchFailed(err)
	}
	out := WatchEvents{Events: []WatchEvent{}, Next: x.Next}
	for _, e := range x.Events {
		out.Events = append(out.Events, WatchEvent{ID: e.ID, At: e.At, Target: e.Target, Event: string(e.Kind), OnList: OnList{e.Zone, e.List, e.Operator, e.Weight, e.Names, e.Text}, Dossier: e.Dossier})
	}
	return &body[WatchEvents]{out}, nil
}

// Reputation returns the watch in a few figures.
func (c *Client) Reputation(ctx context.Context) (Reputation, error) {
	return get[Reputation](ctx, c, "/v1/reputation", nil)
}

// Watched returns targets that are watched, the first page.
func (c *Client) Watched(ctx context.Context, listed bool) (WatchedTargets, error) {
	q := url.Values{"limit": {"500"}}
	if listed {
		q.Set("listed", "true")
	}
	return get[WatchedTargets](ctx, c, "/v1/reputation/targets", q)
}

// WatchedTarget returns one target with what each list says.
func (c *Client) WatchedTarget(ctx context.Context, name string) (WatchedTarget, error) {
	return get[WatchedTarget](ctx, c, "/v1/reputation/targets/"+url.PathEscape(name), nil)
}

// LookWatched asks all lists about a target now.
func (c *Client) LookWatched(ctx context.Context, name string) (WatchedTarget, error) {
	return send[WatchedTarget](ctx, c, http.MethodPost, "/v1/reputation/targets/"+url.PathEscape(name)+"/look", nil)
}
