package aggregate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/report"
	"postern/internal/store"
)

// meta is how a report came.
type meta struct {
	received            time.Time
	how, sender, signed string
	proof               Proof
	author              string
}

// refusal says why a report is not taken where reports without proof are refused.
func (m *meta) refusal() string {
	switch m.proof {
	case ProofMismatch:
		return "the mail is authenticated as " + m.author + ", which is not the reporter that the report names (reports.unauthenticated: refuse)"
	case ProofUnknown:
		return "the DNS did not say whether the mail is authenticated (reports.unauthenticated: refuse)"
	}
	return "the mail is not authenticated (reports.unauthenticated: refuse)"
}

// Sum counts messages.
type Sum struct {
	Messages    int64
	Passed      int64 // DMARC: one of the two passed and is aligned
	DKIM, SPF   int64 // of them each
	Quarantined int64
	Rejected    int64
}

func (s *Sum) add(o Sum) {
	s.Messages += o.Messages
	s.Passed += o.Passed
	s.DKIM += o.DKIM
	s.SPF += o.SPF
	s.Quarantined += o.Quarantined
	s.Rejected += o.Rejected
}

func (s *Sum) times(n int64) Sum {
	return Sum{s.Messages * n, s.Passed * n, s.DKIM * n, s.SPF * n, s.Quarantined * n, s.Rejected * n}
}

// Part is what of a sum reports say whose mail is not authenticated.
type Part struct{ Messages, Passed int64 }

func (p *Part) add(o Part) {
	p.Messages += o.Messages
	p.Passed += o.Passed
}

// less is a sum without a part of it. Only messages and those that passed are told apart.
func (s Sum) less(p Part) Sum {
	s.Messages -= p.Messages
	s.Passed -= p.Passed
	return s
}

// sumOf counts n messages of a record.
func sumOf(r *report.AggregateRecord, n int64) Sum {
	s := Sum{Messages: n}
	if r.Passed() {
		s.Passed = n
	}
	if r.DKIM == "pass" {
		s.DKIM = n
	}
	if r.SPF == "pass" {
		s.SPF = n
	}
	switch r.Disposition {
	case "quarantine":
		s.Quarantined = n
	case "reject":
		s.Rejected = n
	}
	return s
}

// rowKey is what makes rows alike.
type rowKey struct {
	disposition, dkim, spf, headerFrom, envelopeFrom, signer, selector, signature, path, pathResult, reason string
}

// unit is one source on one day.
type unit struct {
	source    string
	day       int64
	sum       Sum
	forwarded int64
	rows      map[rowKey]int64
}

// Bounds of the rows of one report.
const (
	maxRows  = 20_000 // with all detail; what goes beyond is summed without
	rowBatch = 300    // rows written in one transaction
)

// maxSpread is how many days one report may be about.
const maxSpread = 31

// reportKey identifies a report.
func reportKey(kind report.Kind, reporter, id, domain string, begin, end time.Time) string {
	if id == "" { // some leave it out: then a receiver's report about the same time is the same
		id = fmt.Sprint(begin.Unix(), end.Unix())
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{string(kind), strings.ToLower(reporter), id, domain}, "\x00")))
	return hex.EncodeToString(sum[:])
}

// shares are the days that a time covers, with the part of it that lies in each. Days that it hardly touches are left out.
func shares(begin, end time.Time) (days []int64, parts []float64) {
	first, last := dayOf(begin), dayOf(end)
	if last-first >= maxSpread {
		last = first + maxSpread - 1
	}
	whole := end.Sub(begin).Seconds() + 1
	for d := first; d <= last; d++ {
		from, to := max(begin.Unix(), d*24*3600), min(end.Unix()+1, (d+1)*24*3600)
		part := float64(to-from) / whole
		if to-from < 3600 && part < .2 {
			continue
		}
		days, parts = append(days, d), append(parts, part)
	}
	if len(days) == 0 {
		days, parts = []int64{first}, []float64{1}
	}
	return days, parts
}

// spread divides n by shares into whole numbers whose sum is n.
func spread(n int64, parts []float64) []int64 {
	out := make([]int64, len(parts))
	if len(parts) == 1 {
		out[0] = n
		return out
	}
	total := 0.0
	for _, p := range parts {
		total += p
	}
	left := n
	for i, p := range parts {
		out[i] = int64(float64(n) * p / total)
		left -= out[i]
	}
	order := make([]int, len(parts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(parts[b], parts[a]) })
	for i := 0; left > 0; i = (i + 1) % len(order) {
		out[order[i]]++
		left--
	}
	return out
}

// sorted sums a report's records up by source and day.
func sorted(a *report.Aggregate) (units []*unit, days []int64, byDay map[int64]*Sum) {
	days, parts := shares(a.Begin, a.End)
	byDay = map[int64]*Sum{}
	for _, d := range days {
		byDay[d] = &Sum{}
	}
	type place struct {
		source string
		day    int64
	}
	found := map[place]*unit{}
	sources := map[string]bool{}
	rows := 0
	for i := range a.Records {
		r := &a.Records[i]
		source := ""
		if r.Source.IsValid() {
			source = r.Source.String()
			if !sources[source] && len(sources) >= MaxSources {
				source = ""
			}
		}
		sources[source] = true
		key, forwarded := keyOf(r)
		for k, n := range spread(r.Count, parts) {
			if n == 0 && k > 0 {
				continue
			}
			p := place{source, days[k]}
			u := found[p]
			if u == nil {
				u = &unit{source: source, day: days[k], rows: map[rowKey]int64{}}
				found[p] = u
			}
			s := sumOf(r, n)
			u.sum.add(s)
			byDay[days[k]].add(s)
			if forwarded {
				u.forwarded += n
			}
			if _, known := u.rows[key]; !known {
				if rows++; rows > maxRows {
					key = rowKey{disposition: key.disposition, dkim: key.dkim, spf: key.spf}
				}
			}
			u.rows[key] += n
		}
	}
	units = slices.SortedFunc(maps.Values(found), func(a, b *unit) int { return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.day, b.day)) })
	return units, days, byDay
}

// keyOf is a record in few words: the signature and the path that tell most.
func keyOf(r *report.AggregateRecord) (k rowKey, forwarded bool) {
	k = rowKey{disposition: clip(r.Disposition, 20), dkim: clip(r.DKIM, 20), spf: clip(r.SPF, 20), headerFrom: clip(r.HeaderFrom, 253), envelopeFrom: clip(r.EnvelopeFrom, 253)}
	best := -1
	for i, s := range r.Signatures {
		rank := 0
		if s.Result == "pass" {
			rank = 1
		}
		if near(s.Domain, r.HeaderFrom) {
			rank += 2
		}
		if rank > best {
			best = rank
			k.signer, k.selector, k.signature = clip(r.Signatures[i].Domain, 253), clip(s.Selector, 100), clip(s.Result, 20)
		}
	}
	for _, p := range r.Paths {
		if k.path == "" || p.Scope != "helo" && p.Result == "pass" {
			k.path, k.pathResult = clip(p.Domain, 253), clip(p.Result, 20)
		}
	}
	if k.envelopeFrom == "" {
		k.envelopeFrom = k.path
	}
	for _, x := range r.Reasons {
		if k.reason == "" {
			k.reason = clip(x.Type, 40)
		}
		switch x.Type {
		case "forwarded", "trusted_forwarder", "mailing_list":
			forwarded = true
		}
	}
	return k, forwarded
}

// near reports whether one domain is the other, or below it.
func near(a, b string) bool {
	return a == b || strings.HasSuffix(a, "."+b) || strings.HasSuffix(b, "."+a)
}

// addAggregate sums a report up. It may be called again after it was interrupted: it goes on where it was. known: it counted before.
func (l *Ledger) addAggregate(ctx context.Context, x *report.Recognised, m meta) (stored, known bool, err error) {
	a := x.Aggregate
	domain := a.Policy.Domain
	key := reportKey(report.KindAggregate, a.Reporter, a.ID, domain, a.Begin, a.End)
	units, days, byDay := sorted(a)
	e := entryOf(key, contentOf(units), m)
	done, err := l.beginReport(ctx, &e, x, m, func(tx *store.Tx) error {
		w := e.weight
		for _, d := range days {
			s := byDay[d].times(w.all)
			if _, err := tx.Exec(sqlAddDay, domain, d, clip(a.Reporter, 300), s.Messages, s.Passed, s.DKIM, s.SPF, s.Quarantined, s.Rejected, w.unproven*byDay[d].Messages, w.unproven*byDay[d].Passed, w.proven()); err != nil {
				return err
			}
		}
		policy, err := json.Marshal(a.Policy)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(sqlDomainDMARC, micros(a.End), micros(a.End), micros(a.Begin), micros(a.Begin), w.all, w.unproven, domain); err != nil {
			return err
		}
		sql := sqlDomainPolicy
		if w.unproven > 0 {
			sql = sqlDomainGuess
		}
		_, err = tx.Exec(sql, string(policy), micros(a.End), domain, micros(a.End))
		return err
	})
	if err != nil || done < 0 {
		return false, err == nil, err
	}
	for done < len(units) {
		next, rows := done, 0
		for next < len(units) && (rows == 0 || rows+len(units[next].rows) < rowBatch) {
			rows += len(units[next].rows) + 1
			next++
		}
		if err := l.addUnits(ctx, &e, domain, units[done:next], done, next); err != nil {
			return false, false, err
		}
		done = next
	}
	return true, false, l.endReport(ctx, &e, domain, done)
}

// beginReport writes the report's own row and what belongs to it, once. It returns how many units are summed already; -1: all.
func (l *Ledger) beginReport(ctx context.Context, e *entry, x *report.Recognised, m meta, also func(*store.Tx) error) (done int, err error) {
	domain, reporter, id, email, begin, end := "", "", "", "", time.Time{}, time.Time{}
	var messages, passed int64
	switch {
	case x.Aggregate != nil:
		a := x.Aggregate
		domain, reporter, id, email, begin, end = a.Policy.Domain, a.Reporter, a.ID, a.Email, a.Begin, a.End
		messages, passed, _, _ = a.Messages()
	case x.TLS != nil:
		t := x.TLS
		reporter, id, email, begin, end = t.Organization, t.ID, t.Contact, t.Begin, t.End
		ok, failed := t.Sessions()
		messages, passed = ok+failed, ok
		for _, p := range t.Policies {
			if domain == "" {
				domain = p.Domain
			}
		}
	}
	reporter = clip(reporter, 300)
	warned, err := json.Marshal(x.Warnings)
	if err != nil {
		return 0, err
	}
	unsigned, anyWarned := int64(0), int64(0)
	if m.signed == "" {
		unsigned = 1
	}
	if len(x.Warnings) > 0 {
		anyWarned = 1
	}
	err = l.db.Write(ctx, func(tx *store.Tx) error {
		var found bool
		var err error
		if done, found, err = e.place(tx); err != nil || found {
			return err
		}
		if _, err := tx.Exec(sqlAddReport, e.key, string(x.Kind), domain, reporter, clip(id, 300), clip(email, 300), micros(begin), micros(end), micros(m.received), m.how, m.sender, m.signed,
			messages, passed, string(warned), "", 0, string(m.proof), clip(m.author, 253), e.content); err != nil {
			return err
		}
		if _, err := tx.Exec(sqlDomain, domain, reversed(domain), 0, 0); err != nil {
			return err
		}
		if _, err := tx.Exec(sqlReporter, reporter, clip(email, 300), micros(m.received), micros(m.received), e.weight.all, e.weight.all*anyWarned, e.weight.all*unsigned, e.weight.unproven); err != nil {
			return err
		}
		return also(tx)
	})
	return done, err
}

func (l *Ledger) addUnits(ctx context.Context, e *entry, domain string, units []*unit, from, to int) error {
	return l.db.Write(ctx, func(tx *store.Tx) error {
		if n, err := tx.Exec(sqlGoOn, to, e.key, from); err != nil || n == 0 {
			if err == nil {
				err = fmt.Errorf("report %s: somebody else sums it up", e.key)
			}
			return err
		}
		for _, u := range units {
			w, s := e.weight, u.sum.times(e.weight.all)
			if _, err := tx.Exec(sqlAddSource, domain, u.day, u.source, s.Messages, s.Passed, s.DKIM, s.SPF, s.Quarantined, s.Rejected, w.all*u.forwarded,
				w.unproven*u.sum.Messages, w.unproven*u.sum.Passed, w.unproven*u.forwarded); err != nil {
				return err
			}
			if u.source != "" {
				if _, err := tx.Exec(sqlAddName, u.source); err != nil {
					return err
				}
			}
			for k, n := range u.rows {
				if _, err := tx.Exec(sqlAddRow, domain, u.source, u.day, k.disposition, k.dkim, k.spf, k.headerFrom, k.envelopeFrom, k.signer, k.selector, k.signature, k.path, k.pathResult, k.reason, w.all*n, w.unproven*n); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (l *Ledger) endReport(ctx context.Context, e *entry, domain string, from int) error {
	return l.db.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(sqlGoOn, -1, e.key, from); err != nil {
			return err
		}
		if err := e.replace(tx); err != nil {
			return err
		}
		_, err := tx.Exec(sqlLook, micros(l.o.Now()), domain)
		return err
	})
}

// addTLS sums a TLS report up, of each domain that is owned.
func (l *Ledger) addTLS(ctx context.Context, x *report.Recognised, m meta, own func(mail.Domain) bool) (stored, known bool, domains []string, err error) {
	t := x.TLS
	mine := *t
	mine.Policies = nil
	for _, p := range t.Policies {
		if owns(own, p.Domain) {
			p.Domain = canonical(p.Domain)
			mine.Policies = append(mine.Policies, p)
			if !slices.Contains(domains, p.Domain) {
				domains = append(domains, p.Domain)
			}
		}
	}
	if len(domains) == 0 {
		return false, false, nil, nil
	}
	slices.Sort(domains)
	y := *x
	y.TLS = &mine
	key := reportKey(report.KindTLS, t.Organization, t.ID, strings.Join(domains, " "), t.Begin, t.End)
	days, _ := shares(t.Begin, t.End)
	day := days[0] // RFC 8460 4.1: a report is about one day, UTC
	reporter := clip(t.Organization, 300)
	text, err := json.Marshal(mine.Policies)
	if err != nil {
		return false, false, nil, err
	}
	sum := sha256.Sum256(fmt.Appendf(text, "%d", day))
	e := entryOf(key, hex.EncodeToString(sum[:]), m)
	done, err := l.beginReport(ctx, &e, &y, m, func(tx *store.Tx) error {
		w := e.weight
		for _, d := range domains {
			if _, err := tx.Exec(sqlDomain, d, reversed(d), 0, 0); err != nil {
				return err
			}
			if _, err := tx.Exec(sqlDomainTLS, micros(t.End), micros(t.End), d); err != nil {
				return err
			}
			if _, err := tx.Exec(sqlLook, micros(l.o.Now()), d); err != nil {
				return err
			}
		}
		for _, p := range mine.Policies {
			if _, err := tx.Exec(sqlAddTLS, p.Domain, day, reporter, clip(p.Type, 60), w.all*p.Successful, w.all*p.Failed, w.unproven*p.Successful, w.unproven*p.Failed, w.proven()); err != nil {
				return err
			}
			for i, f := range p.Failures {
				if i == 200 {
					break // a report with more kinds of failure than this tells nobody more
				}
				if _, err := tx.Exec(sqlAddTLSFailure, p.Domain, day, clip(f.Type, 60), clip(f.MX, 253), clip(f.ReceivingIP, 60), clip(f.Reason, 300), w.all*f.Sessions, w.unproven*f.Sessions); err != nil {
					return err
				}
			}
		}
		if err := e.replace(tx); err != nil {
			return err
		}
		_, err := tx.Exec(sqlGoOn, -1, e.key, 0)
		return err
	})
	return err == nil && done == 0, err == nil && done < 0, domains, err
}

// addFailure keeps a failure report without the persons in it.
func (l *Ledger) addFailure(ctx context.Context, x *report.Recognised, m meta, domain string) (stored, known bool, err error) {
	f := x.Feedback
	sum := sha256.Sum256([]byte(strings.Join([]string{domain, f.SourceText, f.Original.MessageID, f.AuthFailure, f.Arrival.UTC().String(), m.sender}, "\x00")))
	results := make([]string, 0, len(f.Results))
	for _, r := range f.Results {
		results = append(results, redacted(r))
	}
	id := hex.EncodeToString(sum[:])
	err = l.db.Write(ctx, func(tx *store.Tx) error {
		var n int64
		if err := tx.QueryRow(`SELECT count(*) FROM aggregate_failure WHERE id = ?`, id).Scan(&n); err != nil {
			return err
		}
		if known = n > 0; known {
			if m.proof.Counts() {
				_, err := tx.Exec(sqlFailureProof, string(m.proof), id)
				return err
			}
			return nil
		}
		if _, err := tx.Exec(sqlDomain, domain, reversed(domain), 0, 0); err != nil {
			return err
		}
		if _, err := tx.Exec(sqlDomainFailed, domain); err != nil {
			return err
		}
		signer, selector := signerOf(f)
		if _, err := tx.Exec(sqlAddFailure, id, domain, micros(m.received), micros(f.Arrival), clip(f.SourceText, 100), clip(domainIn(m.sender), 253), clip(f.AuthFailure, 60), clip(f.Delivery, 60),
			clip(domainIn(f.MailFrom), 253), clip(f.From(), 253), signer, selector, clip(strings.Join(results, "\n"), 4000), clip(headerOf(f), 8000), string(m.proof)); err != nil {
			return err
		}
		if f.Source.IsValid() {
			if _, err := tx.Exec(sqlAddName, f.Source.String()); err != nil {
				return err
			}
		}
		_, err := tx.Exec(sqlTooManyFailures, domain, MaxFailures)
		return err
	})
	return err == nil && !known, err == nil && known, err
}
