package portal

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/delivery"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/provider"
	"postern/internal/shaping"
	"postern/internal/user"
)

// laneRoutes are the operator's pages about lanes: what is in force, and pausing.
func (s *site) laneRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	look, act := gateway(user.GatewayRead), gateway(user.GatewayOperate)
	return []route{
		{method: get, path: "/o/lanes", access: look, do: s.opLaneList},
		{method: get, path: "/o/lanes/{lane}", access: look, do: s.opLanePage},
		{method: post, path: "/o/lanes/pause", access: act, act: "lane.pause", do: s.opPause},
		{method: post, path: "/o/lanes/lift", access: act, act: "lane.lift", do: s.opLift},
		{method: post, path: "/o/lanes/retry", access: act, act: "lane.retry", do: s.opHurry},
	}
}

// The lengths of a pause that the page offers, in minutes.
var opPauses = []int{30, 120, 480, 1440, 4320, 10080}

// opReaction is something in force on a lane, or that was.
type opReaction struct {
	page
	ID       string
	Kind     string
	Lane     string
	LaneURL  string
	Why      string
	Evidence string
	Rule     string
	Whom     string // whose mail it stops when that is less than everybody's
	Effect   string // what it does
	By       string
	Since    opMoment
	Ends     opMoment
	Ended    opMoment
	EndedBy  string
	Lift     *button
}

// opReactionOf puts what is in force into words.
func (v *visit) opReactionOf(r shaping.Reaction, back string) opReaction {
	p := v.page
	x := opReaction{page: p, ID: r.ID, Kind: p.opText("shaping.kind."+string(r.Kind), nil), Lane: p.opLaneTitle(r.Lane.String()), LaneURL: p.URL(opLanePath(r.Lane.String())), Why: p.opWhy(r.Why),
		Evidence: clean(r.Evidence, 1000), Rule: clean(r.Rule, 100), By: v.opActor(r.By), Since: p.opWhen(r.Started), Ends: p.opWhen(r.Ends), Ended: p.opWhen(r.Ended)}
	if r.Kind == shaping.Operator {
		x.Evidence = "" // it is what the reason says already
	}
	var effect []string
	switch {
	case r.BulkOnly:
		effect = append(effect, p.T("lanes.effect.bulk"))
	case opStops(r) || r.Kind == shaping.Pause:
		effect = append(effect, p.T("lanes.effect.stops"))
	}
	if r.Factor > 0 && r.Factor < 1 {
		effect = append(effect, p.T("lanes.effect.factor", "Percent", int(r.Factor*100+0.5)))
	}
	if r.Rate > 0 {
		effect = append(effect, p.T("lanes.effect.rate", "Rate", r.Rate))
	}
	if r.Connections > 0 {
		effect = append(effect, p.T("lanes.effect.connections", "Count", r.Connections))
	}
	if r.Probe {
		effect = append(effect, p.T("lanes.effect.probe"))
	}
	x.Effect = strings.Join(effect, " ")
	switch r.Scope {
	case shaping.OfSender, shaping.OfStream, shaping.OfRoute:
		x.Whom = p.T("lanes.scope."+string(r.Scope), "Target", clean(r.Target, 200), "Customer", p.opCustomer(r.Customer))
	default:
		if r.Customer != "" {
			x.Whom = p.T("lanes.scope.customer", "Customer", p.opCustomer(r.Customer))
		}
	}
	if !r.Ended.IsZero() {
		x.EndedBy = v.opEnded(r.EndedBy)
	} else if v.who.May(user.GatewayOperate, "") {
		x.Lift = &button{URL: p.URL("/o/lanes/lift"), Label: p.T("lanes.lift"), Class: "second small", Sure: p.T("lanes.lift.sure"), Values: map[string]string{"id": r.ID, "back": back}}
	}
	return x
}

// opActor is who did something, for people: his name where he is a user.
func (v *visit) opActor(by string) string {
	if by == "" || by == "rule" {
		return v.page.T("lanes.by.rule")
	}
	if v.names == nil {
		v.names = map[string]string{}
	}
	return v.s.whoDid(v, v.names, by)
}

// opEnded tells how something in force ended.
func (v *visit) opEnded(by string) string {
	p := v.page
	_, lifted := strings.CutPrefix(by, "operator:")
	key := "shaping.ended." + by
	if lifted {
		key = "shaping.ended.operator"
	}
	if !p.site.o.Catalog.Has(key) {
		return clean(by, 100)
	}
	text := p.opText(key, nil)
	if lifted {
		text += " (" + v.opActor(by) + ")"
	}
	return text
}

// opLaneListPage is all lanes.
type opLaneListPage struct {
	page
	Lanes   []opTopLane
	InForce []opReaction
	MayAct  bool
	Pause   []field
	Do      string // address of the act
}

// opLaneList lists the lanes and what is in force.
func (s *site) opLaneList(v *visit) {
	lanes, err := s.opLanes(v)
	if err != nil {
		v.broken("lanes not read", err)
		return
	}
	s.opShowLanes(v, lanes, http.StatusOK, "", "")
}

func (s *site) opShowLanes(v *visit, lanes []opTopLane, status int, name, fault string) {
	const most = 300
	p := v.page
	d := opLaneListPage{page: p, Lanes: lanes[:min(len(lanes), most)], MayAct: v.who.May(user.GatewayOperate, ""), Do: p.URL("/o/lanes/pause")}
	d.Title = p.T("lanes.title")
	for _, r := range s.o.Delivery.InForce() {
		if len(d.InForce) < most {
			d.InForce = append(d.InForce, v.opReactionOf(r, "/o/lanes"))
		}
	}
	d.Pause = append(s.opPauseWhat(v, lanes), v.opPauseFields()...)
	for i := range d.Pause {
		if d.Pause[i].Name == name {
			d.Pause[i].Fault = fault
		}
	}
	v.show(status, "op-lanes.html", d)
}

// opPauseWhat asks which lanes are to stand still: the receivers that are known or have work, and our addresses; all of either.
func (s *site) opPauseWhat(v *visit, lanes []opTopLane) []field {
	const mostUnknown = 100
	p := v.page
	receiver, address := v.r.PostFormValue("receiver"), v.r.PostFormValue("address")
	if lane := strings.TrimSpace(v.r.PostFormValue("lane")); lane != "" && receiver == "" {
		if k, err := shaping.ParseKey(lane); err == nil && k.Egress.IsValid() {
			receiver, address = k.Provider, k.Egress.String()
		}
	}
	var known, unknown []option
	for _, x := range s.o.Knowledge().Providers() {
		known = append(known, option{x.Name, p.receiver(x), x.Name == receiver})
	}
	seen := map[string]bool{}
	for _, l := range lanes {
		if k, err := shaping.ParseKey(l.Lane); err == nil && s.o.Knowledge().Provider(k.Provider) == nil && k.Provider != shaping.AnyReceiver && !seen[k.Provider] && len(unknown) < mostUnknown {
			seen[k.Provider] = true
			unknown = append(unknown, option{k.Provider, p.opProviderTitle(k.Provider), k.Provider == receiver})
		}
	}
	for _, list := range [][]option{known, unknown} {
		slices.SortStableFunc(list, func(a, b option) int { return strings.Compare(strings.ToLower(a.Label), strings.ToLower(b.Label)) })
	}
	ours := []option{{"", p.T("lanes.address.all"), address == ""}}
	for _, ip := range s.o.Accounts.Addresses() {
		ours = append(ours, option{ip.String(), ip.String(), ip.String() == address})
	}
	first := []option{{"", p.T("lanes.receiver.choose"), receiver == ""}, {shaping.AnyReceiver, p.T("lanes.any"), receiver == shaping.AnyReceiver}}
	return []field{
		{Name: "receiver", Label: p.T("lanes.field.receiver"), Hint: p.T("lanes.field.receiver.hint"), Type: "select", Options: slices.Concat(first, known, unknown), Required: true},
		{Name: "address", Label: p.T("lanes.field.address"), Type: "select", Options: ours},
	}
}

// opPauseFields ask how long a lane is to stand still, and why.
func (v *visit) opPauseFields() []field {
	p := v.page
	var lengths []option
	for _, m := range opPauses {
		lengths = append(lengths, option{strconv.Itoa(m), locale.Duration(p.Lang, time.Duration(m)*time.Minute), v.r.PostFormValue("minutes") == strconv.Itoa(m)})
	}
	return []field{
		{Name: "minutes", Label: p.T("lanes.field.minutes"), Type: "select", Options: lengths},
		{Name: "reason", Label: p.T("lanes.field.reason"), Hint: p.T("lanes.field.reason.hint"), Value: clean(v.r.PostFormValue("reason"), 200), Most: 200, Required: true},
	}
}

// opLaneDetail is one lane.
type opLaneDetail struct {
	page
	Name     string
	Heading  string
	State    string // stands, slow, free
	Word     string
	About    string // what is known of the receiver
	Lane     opTopLane
	InForce  []opReaction
	History  []opReaction
	Limits   []opLimit
	Sources  []opAbout
	Parked   []opTopCustomer
	Answers  []opFactRow
	WarmUp   []string
	Floor    string
	ListURL  string
	MayAct   bool
	Pause    []field
	PauseURL string
	Retry    *button
}

// opLimit is a limit that counts on a lane, with how much of it is used and where it comes from.
type opLimit struct{ Name, Limit, Used, Source string }

// opLanePage shows one lane.
func (s *site) opLanePage(v *visit) {
	name := v.r.PathValue("lane")
	k, err := shaping.ParseKey(name)
	if err != nil || k.String() != name || len(name) > 400 {
		v.missing()
		return
	}
	s.opShowLane(v, k, http.StatusOK, "")
}

func (s *site) opShowLane(v *visit, k shaping.Key, status int, fault string) {
	const mostHistory, mostInForce = 50, 100
	p, name := v.page, k.String()
	lanes, err := s.opLanes(v)
	if err != nil {
		v.broken("lanes not read", err)
		return
	}
	d := opLaneDetail{page: p, Name: clean(name, 400), Heading: p.opLaneTitle(name), State: "free", Word: p.T("lanes.state.free"), ListURL: p.URL("/o/queue", "lane", name),
		MayAct: v.who.May(user.GatewayOperate, ""), Pause: v.opPauseFields(), PauseURL: p.URL("/o/lanes/pause")}
	d.Title = p.T("lanes.lane_title", "Lane", d.Heading)
	if fault != "" {
		d.Pause[1].Fault = fault
	}
	var info shaping.LaneInfo
	for _, l := range s.o.Delivery.Lanes() {
		if l.Lane == name {
			info = l
		}
	}
	for _, l := range lanes {
		if l.Lane == name {
			d.Lane = l
		}
	}
	switch {
	case d.Lane.Stands:
		d.State, d.Word = "stands", d.Lane.Word
	case d.Lane.Slow:
		d.State, d.Word = "slow", d.Lane.Word
	}
	for _, r := range info.InForce {
		if len(d.InForce) < mostInForce {
			d.InForce = append(d.InForce, v.opReactionOf(r, opLanePath(name)))
		}
	}
	history, err := s.o.Delivery.History(v.r.Context(), name, mostHistory)
	if err != nil {
		v.broken("history of a lane not read", err)
		return
	}
	for _, r := range history {
		d.History = append(d.History, v.opReactionOf(r, ""))
	}
	s.opLaneLimits(&d, info, s.o.Knowledge().Provider(k.Provider))
	s.opLaneWarmUp(&d, k)
	if err := s.opLaneMail(v, &d, k); err != nil {
		v.broken("lane's mail not read", err)
		return
	}
	if d.MayAct && d.Lane.parked > 0 {
		d.Retry = &button{URL: p.URL("/o/lanes/retry"), Label: p.T("lanes.retry"), Class: "second", Sure: p.T("lanes.retry.sure", "Count", d.Lane.parked), Values: map[string]string{"lane": name}}
	}
	v.show(status, "op-lane.html", d)
}

// opLaneLimits are the limits that count now, and where they come from.
func (s *site) opLaneLimits(d *opLaneDetail, l shaping.LaneInfo, known *provider.Provider) {
	p := d.page
	if known != nil {
		d.About = clean(known.About[p.Lang], 600)
		for _, x := range known.Sources[:min(len(known.Sources), 10)] {
			a := opAbout{Name: clean(x.Read, 20), Value: clean(x.What, 300)}
			if strings.HasPrefix(x.Address, "https://") {
				a.URL = x.Address
			}
			d.Sources = append(d.Sources, a)
		}
	}
	source := func(key string) string {
		switch {
		case known == nil:
			return p.T("lanes.source.unknown")
		case slices.Contains(known.Careful, key):
			return p.T("lanes.source.careful")
		}
		return p.T("lanes.source.known", "Name", p.receiver(known))
	}
	add := func(name, limit, used, from string) { d.Limits = append(d.Limits, opLimit{name, limit, used, from}) }
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	if known != nil && l.Waiting+l.Busy+l.Connections+l.Today == 0 { // a lane at rest does not know its receiver's limits yet
		x := known.Limits
		l.Limit, l.Rate, l.PerHour, l.PerDay, l.PerConnection, l.PerMessage = x.Connections, float64(x.PerMinute), x.PerHour, x.PerDay, x.PerConnection, x.PerMessage
	}
	if l.Limit > 0 {
		add(p.T("lanes.limit.connections"), number(l.Limit), number(l.Connections), source("limits.connections"))
	}
	if l.Rate > 0 {
		add(p.T("lanes.limit.minute"), locale.Number(p.Lang, l.Rate), number(l.Sent), source("limits.per_minute"))
	}
	if l.PerHour > 0 {
		add(p.T("lanes.limit.hour"), number(l.PerHour), number(l.UsedHour), source("limits.per_hour"))
	}
	if l.PerDay > 0 {
		add(p.T("lanes.limit.day"), number(l.PerDay), number(l.UsedDay), source("limits.per_day"))
	}
	if l.PerConnection > 0 {
		add(p.T("lanes.limit.per_connection"), number(l.PerConnection), "", source("limits.per_connection"))
	}
	if l.PerMessage > 0 {
		add(p.T("lanes.limit.per_message"), number(l.PerMessage), "", source("limits.per_message"))
	}
}

// opLaneWarmUp is how far the warm-up of the lane's address has come towards its receiver.
func (s *site) opLaneWarmUp(d *opLaneDetail, k shaping.Key) {
	p := d.page
	for _, pool := range s.o.Delivery.Pools() {
		for _, e := range pool.Egress {
			if e.IP != k.Egress.String() {
				continue
			}
			for _, w := range e.WarmUps {
				if w.Provider == k.Provider {
					d.WarmUp = append(d.WarmUp, p.opWarmUp(w))
				}
			}
			for _, f := range e.Floors {
				if f.Provider == k.Provider {
					d.Floor = p.T("addresses.floor", "Name", clean(f.Title, 100), "Floor", f.Floor, "Count", f.Low)
				}
			}
		}
	}
}

// opWarmUp is how far a warm-up has come, in a sentence.
func (p page) opWarmUp(w shaping.WarmUpInfo) string {
	text := p.T("addresses.warm.towards", "Name", clean(w.Title, 100), "Step", min(w.Step+1, w.Steps), "Steps", w.Steps, "Used", w.Used, "Allowed", w.Allowed)
	if w.Held {
		text += " " + p.T("addresses.warm.again")
	}
	return text
}

// opLaneMail is whose mail waits for the lane, and what the receiver answered last.
func (s *site) opLaneMail(v *visit, d *opLaneDetail, k shaping.Key) error {
	const mostCustomers, mostAnswers, looked = 20, 10, 300
	p := d.page
	backlogs, err := s.o.Spool.Backlogs(v.r.Context())
	if err != nil {
		return err
	}
	for _, b := range backlogs {
		if b.Lane != k.String() || len(d.Parked) == mostCustomers {
			continue
		}
		x := opTopCustomer{Name: p.opCustomer(b.Customer), Parked: locale.Number(p.Lang, float64(b.Recipients)), Oldest: p.opWhen(b.Oldest)}
		if b.Customer != "" {
			x.URL, x.ListURL = p.URL("/o/customers/"+b.Customer), p.URL("/o/queue", "customer", b.Customer, "lane", b.Lane)
		}
		d.Parked = append(d.Parked, x)
	}
	found, err := s.o.Journal.Look(v.r.Context(), journal.Query{Kinds: []journal.Kind{journal.Delivered, journal.Deferred, journal.Bounced}, Since: s.o.Now().Add(-24 * time.Hour), Limit: looked})
	if err != nil {
		return err
	}
	for _, f := range found.Facts {
		if len(d.Answers) < mostAnswers && (f.Lane == k.String() || f.Provider == k.Provider && f.EgressIP == k.Egress) {
			d.Answers = append(d.Answers, v.opFactRowOf(f))
		}
	}
	return nil
}

// opPause lets nothing leave on a lane for a while; a receiver's name alone stands for all its lanes.
func (s *site) opPause(v *visit) {
	p := v.page
	name, reason := strings.TrimSpace(v.r.PostFormValue("lane")), clean(v.r.PostFormValue("reason"), 200)
	if name == "" { // of the list's form
		name = strings.TrimSpace(v.r.PostFormValue("receiver") + " " + v.r.PostFormValue("address"))
		if v.r.PostFormValue("receiver") == "" {
			name = ""
		}
	}
	v.about(clean(name, 400), reason)
	minutes, err := strconv.Atoi(v.r.PostFormValue("minutes"))
	k, wrong := shaping.ParseKey(name)
	fault, text := "", ""
	switch {
	case wrong != nil || name == "" || len(name) > 400:
		fault, text = "receiver", p.T("lanes.fault.lane")
	case err != nil || !slices.Contains(opPauses, minutes):
		fault, text = "minutes", p.T("lanes.fault.minutes")
	case reason == "":
		fault, text = "reason", p.T("lanes.fault.reason")
	}
	if fault != "" {
		s.opPauseFault(v, fault, text)
		return
	}
	until := s.o.Now().Add(time.Duration(minutes) * time.Minute)
	made, err := s.o.Delivery.PauseLane(v.r.Context(), k, until, reason, v.who.Actor())
	if unknown := (*delivery.UnknownLane)(nil); errors.As(err, &unknown) {
		fault, text = "receiver", p.T("lanes.fault.receiver", "Name", clean(unknown.Name, 100))
		if unknown.Address {
			fault, text = "address", p.T("lanes.fault.address", "Name", clean(unknown.Name, 100))
		}
		if len(unknown.Near) > 0 {
			text += " " + p.T("lanes.fault.near", "Names", clean(strings.Join(unknown.Near, ", "), 300))
		}
		s.opPauseFault(v, fault, text)
		return
	}
	if err != nil {
		v.broken("lane not paused", err)
		return
	}
	to := opLanePath(made[0].Lane.String())
	if len(made) > 1 {
		to = "/o/lanes"
	}
	v.done(to, "lanes.done.pause", "Count", len(made), "Name", p.opLaneTitle(name), "When", p.date(until))
}

// opPauseFault shows the form again, with what is wrong in it.
func (s *site) opPauseFault(v *visit, fault, text string) {
	lanes, err := s.opLanes(v)
	if err != nil {
		v.broken("lanes not read", err)
		return
	}
	s.opShowLanes(v, lanes, http.StatusUnprocessableEntity, fault, text)
}

// opLift ends what is in force.
func (s *site) opLift(v *visit) {
	id, back := v.r.PostFormValue("id"), v.opBack("/o/lanes")
	v.about(clean(id, 60), "")
	r, err := s.o.Delivery.Lift(v.r.Context(), id, v.who.Actor())
	if errors.Is(err, shaping.ErrNotFound) {
		v.opRefused(http.StatusConflict, v.page.T("lanes.fault.over"), back)
		return
	}
	v.about(r.Lane.String(), string(r.Kind))
	if err != nil {
		v.broken("not lifted", err)
		return
	}
	v.done(back, "lanes.done.lift", "Name", v.page.opLaneTitle(r.Lane.String()))
}

// opHurry brings forward what waits for a lane.
func (s *site) opHurry(v *visit) {
	name := v.r.PostFormValue("lane")
	v.about(clean(name, 400), "")
	k, err := shaping.ParseKey(name)
	if err != nil || name == "" || k.String() != name {
		v.missing()
		return
	}
	n, err := s.o.Delivery.BringForward(v.r.Context(), k, v.who.Actor())
	if err != nil {
		v.broken("lane's mail not brought forward", err)
		return
	}
	v.entry.Text = fmt.Sprintf("%d recipients", n)
	v.done(opLanePath(name), "lanes.done.retry", "Count", n)
}
