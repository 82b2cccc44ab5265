package postmaster

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/locale"
	"postern/internal/report"
	"postern/internal/store"
)

// Figures of what is told.
const (
	tellDays      = 7                  // figures older than that tell nothing about now
	expiresSoon   = 7 * 24 * time.Hour // before a permission ends
	patience      = 24 * time.Hour     // of fetching that fails for a reason that may pass
	emptyPatience = 72 * time.Hour     // of answers that there is nothing: that may be true
	maxTold       = 50                 // addresses or domains of one kind
)

// tell raises what an operator must know and clears what has ended.
func (p *Postmaster) tell(ctx context.Context) error {
	want := map[string]Alarm{}
	count := map[string]int{}
	put := func(a Alarm) {
		kind, _, _ := strings.Cut(a.Key, " ")
		if count[kind]++; count[kind] <= maxTold {
			want[a.Key] = a
		}
	}
	if err := p.tellSNDS(ctx, put); err != nil {
		return err
	}
	if err := p.tellGoogle(ctx, put); err != nil {
		return err
	}
	sources, err := p.Sources(ctx)
	if err != nil {
		return err
	}
	for _, s := range sources {
		p.tellSource(s, put)
	}
	standing := map[string]bool{}
	if p.o.Standing != nil {
		for _, key := range p.o.Standing() {
			if strings.HasPrefix(key, "snds.") || strings.HasPrefix(key, "gmail.") {
				standing[key] = true
			}
		}
	}
	p.mu.Lock()
	for key := range p.told {
		standing[key] = true
	}
	p.told = map[string]bool{}
	for key := range want {
		p.told[key] = true
	}
	p.mu.Unlock()
	for key := range standing {
		if _, still := want[key]; !still {
			p.o.Clear(key)
		}
	}
	for _, a := range want {
		p.o.Raise(a)
	}
	return nil
}

// tellSNDS looks at the last known day of each address.
func (p *Postmaster) tellSNDS(ctx context.Context, put func(Alarm)) error {
	today := dayOf(p.o.Now())
	var last map[netip.Addr]int64
	var cells map[netip.Addr]Cell
	var states []State
	err := wrap(p.db.Read(ctx, func(tx *store.Tx) error {
		last, cells = map[netip.Addr]int64{}, map[netip.Addr]Cell{}
		days, err := sheetsOf(tx, today-tellDays, today+1)
		var rows []heatRow
		for i := 0; i < len(days) && err == nil; i++ {
			rows, err = days[i].rows(tx, rows)
			for _, r := range rows {
				if r.day > last[r.ip] {
					last[r.ip], cells[r.ip] = r.day, Cell{}
				}
				cells[r.ip] = cells[r.ip].with(r)
			}
		}
		if err == nil {
			states, err = scanStates(tx.Query(sqlStates))
		}
		return err
	}))
	if err != nil {
		return err
	}
	addresses := make([]netip.Addr, 0, len(cells))
	for ip := range cells {
		addresses = append(addresses, ip)
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	for _, ip := range addresses {
		c, day := cells[ip], timeOf(last[ip])
		args := func() map[string]string {
			out := map[string]string{"IP": ip.String()}
			sayDay(out, "Day", day)
			return out
		}
		if c.Colour == report.SNDSRed {
			put(Alarm{Key: "snds.red " + ip.String(), Code: "snds-red", Since: day, Args: args()})
		}
		if c.Traps.Value > 0 {
			x := Alarm{Key: "snds.traps " + ip.String(), Code: "snds-traps", Since: day, Args: args()}
			x.Args["Count"] = strconv.FormatInt(c.Traps.Value, 10)
			put(x)
		}
		if c.Complaint.Known && !c.Complaint.Below && c.Complaint.Percent >= p.o.Bounds.Complaints {
			x := Alarm{Key: "snds.complaints " + ip.String(), Code: "snds-complaints", Since: day, Args: args()}
			sayRate(x.Args, "Rate", c.Complaint.Percent)
			sayRate(x.Args, "Bound", p.o.Bounds.Complaints)
			put(x)
		}
	}
	for _, s := range states {
		name := s.First.String()
		if s.First != s.Last {
			name += "-" + s.Last.String()
		}
		put(Alarm{Key: "snds.state " + name + " " + string(s.State), Code: "snds-" + string(s.State), Critical: s.State == report.SNDSBlocked, Since: s.Since,
			Args: map[string]string{"Range": name, "Reason": s.Reason}})
	}
	return nil
}

// demandNames are the words for Google's demands.
func (p *Postmaster) demandNames(lang string, names []string) string {
	words := make([]string, len(names))
	for i, name := range names {
		if p.o.Demand != nil {
			words[i] = p.o.Demand(lang, name)
		}
		if words[i] == "" {
			words[i] = strings.ReplaceAll(name, "_", " ")
		}
	}
	return strings.Join(words, ", ")
}

// sayDay puts a day into the arguments of an alarm, in both languages.
func sayDay(args map[string]string, name string, day time.Time) {
	args[name], args[name+".fr"] = locale.Day(locale.English, day.UTC()), locale.Day(locale.French, day.UTC())
}

// sayRate puts a share into the arguments of an alarm, in both languages, in the few digits that it needs.
func sayRate(args map[string]string, name string, percent float64) {
	text := strconv.FormatFloat(float64(int64(percent*1000+.5))/1000, 'f', -1, 64)
	args[name], args[name+".fr"] = text, strings.Replace(text, ".", ",", 1)
}

// tellGoogle looks at the last known day of each domain.
func (p *Postmaster) tellGoogle(ctx context.Context, put func(Alarm)) error {
	now := p.o.Now()
	figures, err := p.Figures(ctx, "", now.AddDate(0, 0, -tellDays), now.AddDate(0, 0, 1))
	if err != nil {
		return err
	}
	last := map[string]Figure{}
	for _, f := range figures {
		if f.Metric == Spam {
			last[f.Domain] = f
		}
	}
	for domain, f := range last {
		percent := f.Value * 100
		if percent < p.o.Bounds.SpamWarning {
			continue
		}
		x := Alarm{Key: "gmail.spam " + domain, Code: "gmail-spam", Critical: percent >= p.o.Bounds.SpamCritical, Since: f.Day, Args: map[string]string{"Domain": domain}}
		sayDay(x.Args, "Day", f.Day)
		sayRate(x.Args, "Rate", percent)
		put(x)
	}
	demands, err := p.Demands(ctx, "")
	if err != nil {
		return err
	}
	open := map[string][]string{}
	since := map[string]time.Time{}
	for _, d := range demands {
		if d.State == NeedsWork && now.Sub(d.Seen) < tellDays*24*time.Hour {
			open[d.Domain] = append(open[d.Domain], d.Name)
			if since[d.Domain].IsZero() || d.Since.Before(since[d.Domain]) {
				since[d.Domain] = d.Since
			}
		}
	}
	for domain, names := range open {
		x := Alarm{Key: "gmail.demands " + domain, Code: "gmail-demands", Since: since[domain], Args: map[string]string{"Domain": domain}}
		x.Args["Demands"], x.Args["Demands.fr"] = p.demandNames(locale.English, names), p.demandNames(locale.French, names)
		put(x)
	}
	return nil
}

// tellSource looks at how a way in fares.
func (p *Postmaster) tellSource(s Source, put func(Alarm)) {
	now := p.o.Now()
	if s.Waiting {
		return
	}
	if !s.Expires.IsZero() && s.Expires.Sub(now) < expiresSoon {
		x := Alarm{Key: "snds.access " + s.Name, Code: "snds-access", Critical: !s.Expires.After(now), Args: map[string]string{"Name": s.Name}}
		sayDay(x.Args, "Until", s.Expires)
		put(x)
	}
	wait := patience
	switch s.Fault {
	case "":
		return
	case FaultSignedOut, FaultKey, FaultFolder:
		wait = 0
	case FaultNothing:
		wait = emptyPatience
	}
	if now.Sub(s.Failing) >= wait {
		put(Alarm{Key: "snds.fetch " + s.Name, Code: "snds-fetch", Since: s.Failing, Args: map[string]string{"Name": s.Name, "Fault": string(s.Fault)}})
	}
}

// Empty reports whether nothing was ever imported or fetched from SNDS.
func (p *Postmaster) Empty(ctx context.Context) (empty bool, err error) {
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		rows := tx.Query(sqlAny)
		empty = !rows.Next()
		rows.Close()
		return rows.Err()
	})
	return empty, wrap(err)
}
