package portal

import (
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"

	"postern/internal/checkup"
	"postern/internal/locale"
	"postern/internal/reputation"
)

// dossierSender is one customer's part in the traffic.
type dossierSender struct {
	Name, URL string
	Cells     []dossierCell
	Why       string // why he stands out
	Logins    []dossierSender
	Examples  []opLink
}

type dossierCell struct{ Label, Value string }

// dossierNeighbour is a listed address of the same network.
type dossierNeighbour struct {
	Address, URL string
	Lists        string
	Dossier      string // address of its own
}

// dossierEvidence puts what was gathered on the page.
func (p page) dossierEvidence(d *dossierPage, v *visit, x reputation.Dossier) {
	e := x.Evidence
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	for _, m := range e.Missing {
		d.Missing = append(d.Missing, p.rt("part."+m.Part, nil))
	}
	if e.Senders.Known {
		d.SendersAbout = p.T("dossier.senders_about", "Messages", number(e.Senders.All.Messages), "Customers", number(e.Senders.Customers), "From", p.date(e.From), "To", p.date(e.To))
	}
	for _, x := range e.Senders.Senders {
		row := dossierSender{Name: p.ownerName(x.Customer), Cells: p.dossierTally(x.Tally, x.Fault, x.Strangers)}
		if x.Customer != "" {
			row.URL = p.URL("/o/customers/" + x.Customer)
		}
		var why []string
		for _, w := range x.StandsOut {
			why = append(why, p.rt("stands."+w, nil))
		}
		row.Why = strings.Join(why, ", ")
		for _, l := range x.Credentials {
			name := clean(l.Label, 100)
			if name == "" {
				name = clean(l.Credential, 100)
			}
			if name == "" {
				name = p.T("dossier.no_credential")
			}
			login := dossierSender{Name: name, Cells: p.dossierTally(l.Tally, l.Fault, l.Strangers), Why: p.T("dossier.login_from", "Count", l.Addresses)}
			for _, id := range l.Examples {
				login.Examples = append(login.Examples, opLink{Name: id, URL: p.URL("/o/messages/" + url.PathEscape(id))})
			}
			row.Logins = append(row.Logins, login)
		}
		d.Senders = append(d.Senders, row)
	}
	for _, a := range e.Answers {
		d.Answers = append(d.Answers, dossierCell{p.T("dossier.answer", "Provider", clean(a.Provider, 100), "Count", a.Count, "Last", p.date(a.Last)), clean(a.Text, 300)})
	}
	for _, day := range e.SNDS {
		colour := p.T("dossier.snds.unknown")
		if day.Colour != "" {
			colour = p.T("dossier.snds." + strings.ToLower(clean(day.Colour, 10)))
		}
		text := colour
		if day.Complaints >= 0 {
			text += " · " + p.T("dossier.snds.complaints", "Rate", locale.Number(p.Lang, day.Complaints*100))
		}
		if day.Traps > 0 {
			text += " · " + p.T("dossier.snds.traps", "Count", day.Traps)
		}
		d.SNDS = append(d.SNDS, dossierCell{p.stepName("day", day.Day), text})
	}
	if n := e.Neighbours; n.Network != "" {
		key := "dossier.neighbours_own"
		if n.Ranged {
			key = "dossier.neighbours"
		}
		d.Neighbours = p.T(key, "Network", n.Network, "Looked", number(n.Looked), "Listed", number(n.Listed), "Same", number(n.Same), "Ours", number(n.Ours))
		d.Own, d.Others = p.dossierNeighbours(n.Own), p.dossierNeighbours(n.Others)
	}
	for _, t := range e.Traps {
		about := p.rt("trap."+string(t.Source), map[string]any{"From": clean(t.From, 100), "Count": number(t.Count)})
		if !t.Last.IsZero() {
			about += " · " + p.date(t.Last)
		}
		d.Traps = append(d.Traps, dossierCell{about, clean(t.Text, 300)})
	}
	for _, f := range e.Findings {
		if f.State == string(checkup.Fine) || !aboutSending[checkup.Group(f.Group)] {
			continue
		}
		d.Findings = append(d.Findings, v.s.findingView(v, "", checkup.Finding{Group: checkup.Group(f.Group), Code: f.Code, State: checkup.State(f.State), Subject: f.Subject, Args: maps.Clone(f.Args)}, false, "f"))
	}
}

func (p page) dossierNeighbours(all []reputation.Neighbour) (out []dossierNeighbour) {
	for _, x := range all {
		row := dossierNeighbour{Address: x.Address, URL: p.URL("/o/reputation/target/" + url.PathEscape(x.Address)), Lists: clean(strings.Join(x.Lists, ", "), 300)}
		if x.Dossier != "" {
			row.Dossier = p.URL("/o/dossiers/" + url.PathEscape(x.Dossier))
		}
		out = append(out, row)
	}
	return out
}

// aboutSending are the groups of a check-up in which causes of listings show.
var aboutSending = map[checkup.Group]bool{checkup.SPF: true, checkup.DKIM: true, checkup.DMARC: true, checkup.Egress: true, checkup.Reverse: true, checkup.Range: true, checkup.Server: true, checkup.Exists: true, checkup.MX: true}

// dossierTally are figures of mail as cells.
func (p page) dossierTally(t reputation.Tally, fault float64, s reputation.Strangers) []dossierCell {
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	cells := []dossierCell{{p.T("dossier.tally.messages"), number(t.Messages)}, {p.T("dossier.tally.invalid"), number(t.Invalid)}, {p.T("dossier.tally.refused"), number(t.Refused)}, {p.T("dossier.tally.complaints"), number(t.Complaints)},
		{p.T("dossier.tally.high"), number(t.High)}, {p.T("dossier.tally.strangers"), p.dossierStrangers(s)}, {p.T("dossier.tally.fault"), p.part(fault)}}
	if t.Traps > 0 {
		cells = slices.Insert(cells, 4, dossierCell{p.T("dossier.tally.traps"), number(t.Traps)})
	}
	return cells
}

// part is a part of a whole, in percent.
func (p page) part(x float64) string { return locale.Number(p.Lang, math.Round(x*100)) + " %" }

// dossierStrangers says how much of the mail went to whom the customer never wrote before, against what is usual.
func (p page) dossierStrangers(s reputation.Strangers) string {
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	switch {
	case !s.Known:
		return p.T("dossier.strangers.unknown")
	case s.Usual < 0:
		return p.T("dossier.strangers.new", "Share", p.part(s.Share()), "First", number(s.First), "Of", number(s.Recipients))
	}
	return p.T("dossier.strangers.known", "Share", p.part(s.Share()), "First", number(s.First), "Of", number(s.Recipients), "Usual", p.part(s.Usual))
}
