package reputation

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/checkup"
	"postern/internal/dnsbl"
	"postern/internal/mail"
	"postern/internal/store"
)

// When evidence is gathered.
const (
	gatherClaim = 10 * time.Minute // a dossier that a node took and did not finish is free again after
	gatherEvery = 6 * time.Hour    // as long as the target is listed
	gatherMost  = 2 * time.Minute  // for one dossier
	maxFindings = 80
)

// gatherDue gathers for all dossiers whose time has come.
func (w *Watch) gatherDue(ctx context.Context) error {
	for range 1000 {
		d, found, err := w.claimDossier(ctx)
		if err != nil {
			return fmt.Errorf("reputation: gather: %w", err)
		}
		if !found {
			return nil
		}
		if err := w.gatherOne(ctx, d); err != nil {
			return fmt.Errorf("reputation: gather for dossier %s: %w", d.ID, err)
		}
	}
	return nil
}

func (w *Watch) claimDossier(ctx context.Context) (d Dossier, found bool, err error) {
	now := w.o.Now()
	err = w.db.Write(ctx, func(tx *store.Tx) error {
		all, err := queryDossiers(tx, `look > 0 AND look <= ? ORDER BY look LIMIT 1 FOR UPDATE SKIP LOCKED`, now)
		if found = len(all) > 0; err != nil || !found {
			return err
		}
		d = all[0]
		_, err = tx.Exec(`UPDATE reputation_dossier SET look = ? WHERE id = ?`, now.Add(gatherClaim), d.ID)
		return err
	})
	return d, found, err
}

// gatherOne gathers the evidence of one dossier, judges it and writes it down.
func (w *Watch) gatherOne(ctx context.Context, d Dossier) error {
	began := w.o.Now()
	within, cancel := context.WithTimeout(ctx, gatherMost)
	e, err := w.gather(within, d)
	cancel()
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	causes := Rank(d.Kind, e)
	evidence, err := json.Marshal(e)
	if err != nil {
		return err
	}
	ranked, err := json.Marshal(causes)
	if err != nil {
		return err
	}
	w.counts.gathered.Add(1)
	return w.change(ctx, d.ID, func(tx *store.Tx, now time.Time, d Dossier, _ *aftermath) error {
		look := time.Time{}
		if d.State.lasts() {
			look = now.Add(gatherEvery)
		}
		if d.look.After(began) && d.look.Before(began.Add(gatherClaim)) {
			look = d.look // asked for anew meanwhile
		}
		if _, err := tx.Exec(`UPDATE reputation_dossier SET gathered = ?, look = ?, evidence = ?, causes = ? WHERE id = ?`, e.At, look, evidence, ranked, d.ID); err != nil {
			return err
		}
		before, after := likeliest(d.Causes), likeliest(causes)
		if before == after {
			return nil
		}
		return insertAct(tx, now, Act{Dossier: d.ID, Kind: GatheredNow, Actor: ByRule, Text: strings.TrimSpace(before + " " + after)})
	})
}

// likeliest is the code of the cause that speaks for itself; "" none.
func likeliest(causes []Cause) string {
	if len(causes) > 0 && (causes[0].Likelihood == Likely || causes[0].Likelihood == Possible) {
		return causes[0].Code
	}
	return ""
}

// gather asks everybody who may know something. Only trouble with our own database is an error: everything else is a part that is missing.
func (w *Watch) gather(ctx context.Context, d Dossier) (e Evidence, err error) {
	now := w.o.Now()
	e = Evidence{At: now, From: d.Listed.Add(-w.o.Window), To: now}
	if most := d.Listed.Add(w.o.Window / 2); e.To.After(most) {
		e.To = most
	}
	miss := func(part string, err error) {
		e.Missing = append(e.Missing, Missing{Part: part, Why: bound(err.Error(), maxReason)})
	}
	if e.Listings, err = w.listedAs(ctx, d); err != nil {
		return e, err
	}
	var zones []string
	for _, l := range e.Listings {
		zones = append(zones, l.Zone)
	}
	unacquainted, err := w.gatherSenders(ctx, d, zones, now, &e)
	if err != nil {
		miss("senders", err)
	}
	if unacquainted != nil {
		miss("strangers", unacquainted)
	}
	if d.Kind == IP {
		if err := w.gatherNeighbours(ctx, d, now, &e.Neighbours); err != nil {
			miss("neighbours", err)
		}
		if err := w.gatherSNDS(ctx, d, &e); err != nil {
			miss("snds", err)
		}
		if from := w.egressOf(d.Target); len(from) > 0 {
			e.Warm = from[0].Warm
		}
	}
	if err := w.gatherFindings(ctx, d, &e); err != nil {
		miss("check", err)
	}
	e.Traps = append(listedTraps(e), e.Traps...)
	return e, nil
}

// gatherSenders reads the journal around the listing, and, later on, of the last day. unacquainted: why it is not known whom senders wrote to before.
func (w *Watch) gatherSenders(ctx context.Context, d Dossier, zones []string, now time.Time, e *Evidence) (unacquainted, err error) {
	if w.o.Journal == nil {
		return nil, errNotHere
	}
	r, err := w.readSenders(ctx, d, zones, e.From, e.To)
	if err != nil {
		return nil, err
	}
	e.Senders, unacquainted = r.senders(ctx, e.From, e.To)
	e.Answers, e.Traps = r.shown(), r.trapsShown()
	e.Recent, e.RecentKnown = e.Senders.All, true
	if now.Sub(d.Listed) < 6*time.Hour {
		return unacquainted, nil
	}
	r, err = w.readSenders(ctx, d, zones, now.Add(-24*time.Hour), now)
	if err != nil {
		e.RecentKnown = false
		return unacquainted, err
	}
	e.Recent = Tally{}
	for _, c := range r.by {
		e.Recent.plus(c.tally)
	}
	return unacquainted, nil
}

type sentinel string

func (s sentinel) Error() string { return string(s) }

// errNotHere: the gateway has no such source.
const errNotHere = sentinel("not set up")

// listedAs is what the lists say: those that have the target, or the last that had it.
func (w *Watch) listedAs(ctx context.Context, d Dossier) (out []ListedAs, err error) {
	var listings []Listing
	err = w.db.Read(ctx, func(tx *store.Tx) (err error) {
		listings, err = queryListings(tx, `dossier = ? AND (until = 0 OR until >= ?) ORDER BY id DESC LIMIT 50`, d.ID, d.Listed)
		return err
	})
	if err != nil {
		return nil, err
	}
	lists := w.lists()
	slices.SortFunc(listings, byWeight)
	for _, l := range listings {
		x := ListedAs{Zone: l.Zone, List: l.List, Weight: l.Weight, Wide: l.Wide, Names: l.Names, Reason: l.Reason, Since: l.Since}
		if list, known := lists[l.Zone]; known {
			x.What, x.Lookup, x.Traps = list.What, list.LookupURL, list.Traps
			for _, c := range list.Codes {
				if slices.Contains(l.Names, strings.ReplaceAll(c.Name, " ", "-")) && !slices.Contains(x.Means, c.Meaning) {
					x.Means = append(x.Means, c.Meaning)
				}
			}
		}
		out = append(out, x)
	}
	return out, nil
}

// lists are the lists of the panel by zone.
func (w *Watch) lists() map[string]dnsbl.List {
	out := map[string]dnsbl.List{}
	for _, z := range w.o.Panel.Zones() {
		out[z.List.Zone] = z.List
	}
	return out
}

// gatherNeighbours finds the listings in the network of an address.
func (w *Watch) gatherNeighbours(ctx context.Context, d Dossier, now time.Time, n *Neighbours) error {
	n.Network = blockOf(d.Target)
	_, _, self := slotOf(d.Target)
	block := blockPrefix(parseIP(d.Target))
	n.Ranged = slices.ContainsFunc(w.o.Ranges, func(r netip.Prefix) bool { return r.Bits() <= block.Bits() && r.Overlaps(block) })
	return w.db.Read(ctx, func(tx *store.Tx) error {
		rows := tx.Query(`SELECT marks FROM reputation_day WHERE block = ? AND day >= ?`, n.Network, dayNumber(now)-1)
		looked := map[int]bool{}
		for rows.Next() {
			var b []byte
			if err := rows.Scan(&b); err != nil {
				return err
			}
			for slot := range 256 {
				if readMark(b, slot).answered > 0 && slot != self {
					looked[slot] = true
				}
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		n.Looked = len(looked)
		open, err := queryListings(tx, `block = ? AND until = 0 AND weight > 0 AND wide = 0 AND target <> ? ORDER BY id LIMIT 5000`, n.Network, d.Target)
		n.fill(open, d.Operator)
		return err
	})
}

// neighboursShown bounds the neighbours of either kind that are named.
const neighboursShown = 16

// fill sorts the listings of other addresses by whose they are.
func (n *Neighbours) fill(open []Listing, operator string) {
	own, others := map[string]*Neighbour{}, map[string]*Neighbour{}
	for _, l := range open {
		all := others
		if l.Own {
			all = own
		}
		x := all[l.Target]
		if x == nil {
			x = &Neighbour{Address: l.Target}
			all[l.Target] = x
		}
		if !slices.Contains(x.Lists, l.List) {
			x.Lists = append(x.Lists, l.List)
		}
		x.Same = x.Same || l.Operator == operator
		x.Dossier = cmp.Or(x.Dossier, l.Dossier)
	}
	sorted := func(all map[string]*Neighbour) (out []Neighbour, same int) {
		for _, x := range all {
			out = append(out, *x)
			same += btoi(x.Same)
		}
		slices.SortFunc(out, func(a, b Neighbour) int {
			return cmp.Or(cmp.Compare(btoi(b.Same), btoi(a.Same)), parseIP(a.Address).Compare(parseIP(b.Address)))
		})
		return out[:min(len(out), neighboursShown)], same
	}
	n.Listed = len(own) + len(others)
	var theirs int
	n.Own, n.Ours = sorted(own)
	n.Others, theirs = sorted(others)
	n.Same = n.Ours + theirs
}

// gatherSNDS asks for Microsoft's figures of the week before and since.
func (w *Watch) gatherSNDS(ctx context.Context, d Dossier, e *Evidence) (err error) {
	if w.o.SNDS == nil {
		return errNotHere
	}
	e.SNDS, err = w.o.SNDS(ctx, parseIP(d.Target), d.Listed.AddDate(0, 0, -7), e.At)
	if err == nil && len(e.SNDS) > 40 {
		e.SNDS = e.SNDS[len(e.SNDS)-40:]
	}
	return err
}

// egressOf is what the pools say of an address; none when no mail leaves from it.
func (w *Watch) egressOf(target string) (out []account.Egress) {
	if w.o.Accounts == nil {
		return nil
	}
	ip := parseIP(target)
	for _, p := range w.o.Accounts.Pools() {
		for _, e := range p.Egress {
			if e.IP.Unmap() == ip {
				out = append(out, e)
			}
		}
	}
	return out
}

// gatherFindings looks at the target as receivers do.
func (w *Watch) gatherFindings(ctx context.Context, d Dossier, e *Evidence) error {
	if w.o.Check == nil {
		return errNotHere
	}
	t := checkup.Target{Kind: checkup.OfIP, IP: parseIP(d.Target)}
	if d.Kind == Domain {
		t = checkup.Target{Kind: checkup.OfDomain, Domain: mail.Domain(d.Target)}
	}
	report, err := w.o.Check(ctx, t, checkup.Ask{})
	if err != nil {
		return err
	}
	e.Measured = map[string]bool{}
	rank := []checkup.State{checkup.Problem, checkup.Advice, checkup.Unknown, checkup.Fine}
	findings := slices.Clone(report.Findings)
	slices.SortStableFunc(findings, func(a, b checkup.Finding) int {
		return cmp.Compare(slices.Index(rank, a.State), slices.Index(rank, b.State))
	})
	for _, f := range findings {
		if f.State != checkup.Unknown {
			e.Measured[string(f.Group)] = true
		}
		if len(e.Findings) == maxFindings {
			continue
		}
		x := FindingEvidence{Group: string(f.Group), Code: f.Code, State: string(f.State), Subject: bound(f.Subject, 300)}
		if f.State != checkup.Fine || f.Group == checkup.Reverse { // a request names the reverse name
			x.Args = plain(f.Args)
		}
		e.Findings = append(e.Findings, x)
	}
	return nil
}

// plain are the arguments of a text as JSON keeps them; those that it cannot keep, or that are long, are left out.
func plain(args map[string]any) map[string]any {
	out := make(map[string]any, len(args))
	for k, v := range args {
		if b, err := json.Marshal(v); err == nil && len(b) < 1000 {
			out[k] = v
		}
	}
	return out
}

func decodeCauses(b []byte) (causes []Cause) {
	if len(b) > 0 {
		_ = json.Unmarshal(b, &causes) // written by us; what cannot be read is gathered anew
	}
	return causes
}

func decodeEvidence(b []byte) (e Evidence) {
	if d := json.NewDecoder(bytes.NewReader(b)); len(b) > 0 {
		_ = d.Decode(&e)
	}
	return e
}
