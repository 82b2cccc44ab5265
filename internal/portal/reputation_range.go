package portal

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/reputation"
)

// watchRound is how far the round through a range has come.
type watchRound struct {
	Range, URL   string
	Share        int // of a hundred
	Now, Last    string
	Listed       string
	UnknownShare string
}

func (p page) watchRound(r reputation.Round) watchRound {
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	out := watchRound{Range: r.Range.String(), URL: p.URL("/o/reputation/range", "network", r.Range.String()), Listed: number(max(r.Listed, r.Last.Listed))}
	if r.Size > 0 {
		out.Share = min(100, r.Position*100/r.Size)
	}
	out.Now = p.T("watch.round.now", "Done", number(r.Position), "Size", number(r.Size))
	if r.Last.Ended.IsZero() {
		out.Last = p.T("watch.round.none")
	} else {
		out.Last = p.T("watch.round.last", "When", p.date(r.Last.Ended), "Listed", number(r.Last.Listed), "Unknown", number(r.Last.Unknown))
	}
	return out
}

// watchCell is one address of a network on one day.
type watchCell struct {
	Address, URL string
	Word, Class  string
	Mark         string // told without colour
}

type watchRangePage struct {
	page
	Network  string
	Form     field
	Action   string
	Day      string
	Cells    []watchCell
	Listings []watchEvent
	Back     string
	Fault    string
	Marks    []watchCell // the legend
}

// watchedRange shows the addresses of one network of a range, and the listings in it.
func (s *site) watchedRange(v *visit) {
	p, text := v.page, v.r.URL.Query().Get("network")
	d := watchRangePage{page: p, Action: p.URL("/o/reputation/range"), Back: p.URL("/o/reputation"), Day: p.stepName(journal.Day, s.o.Now())}
	d.Title = p.T("watch.range")
	d.Form = field{Name: "network", Label: p.T("watch.range.network"), Hint: p.T("watch.range.hint"), Value: clean(text, 60), Mono: true, Most: 60, Complete: "off"}
	network, err := netip.ParsePrefix(strings.TrimSpace(text))
	if err != nil {
		if text != "" {
			d.Form.Fault = p.T("watch.range.fault")
		}
		v.show(http.StatusOK, "watch.range", d)
		return
	}
	network = network.Masked()
	d.Network = network.String()
	block := network
	if least := block.Addr().BitLen() - 8; block.Bits() < least {
		block = netip.PrefixFrom(block.Addr(), least) // the first 256 of them
	}
	days, err := s.o.Reputation.Block(v.r.Context(), block, s.o.Now())
	if err != nil && !errors.Is(err, reputation.ErrInvalid) && !errors.Is(err, reputation.ErrNotFound) {
		v.broken("watch not read", err)
		return
	}
	ip := block.Addr()
	for _, x := range days {
		c := p.watchCell(x)
		c.Address, c.URL = ip.String(), p.URL("/o/reputation/target/"+ip.String())
		d.Cells = append(d.Cells, c)
		ip = ip.Next()
	}
	for _, x := range []reputation.Day{{Looked: true}, {Looked: true, Lists: 1, Weight: 2}, {Looked: true, Lists: 1, Weight: 5}, {}} {
		d.Marks = append(d.Marks, p.watchCell(x))
	}
	listed, err := s.o.Reputation.Listings(v.r.Context(), reputation.ListingQuery{Within: network.String(), Open: true, Limit: watchRows})
	if err != nil && !errors.Is(err, reputation.ErrInvalid) {
		v.broken("watch not read", err)
		return
	}
	for _, l := range listed.Listings {
		d.Listings = append(d.Listings, p.watchEvent(reputation.Event{At: l.Since, Target: l.Target, Kind: reputation.Listed, List: l.List, Weight: l.Weight, Names: l.Names, Text: l.Reason, Dossier: l.Dossier}))
	}
	v.show(http.StatusOK, "watch.range", d)
}

// watchCell is what a day showed of an address, with a mark that needs no colour.
func (p page) watchCell(d reputation.Day) watchCell {
	switch {
	case !d.Looked:
		return watchCell{Word: p.T("watch.unlooked"), Mark: "?", Class: "none"}
	case d.Weight >= reputation.CriticalWeight:
		return watchCell{Word: p.T("watch.cell.grave"), Mark: "×", Class: "bad"}
	case d.Lists > 0:
		return watchCell{Word: p.T("watch.listed"), Mark: "/", Class: "slow"}
	}
	return watchCell{Word: p.T("watch.clean"), Mark: "·", Class: "good"}
}
