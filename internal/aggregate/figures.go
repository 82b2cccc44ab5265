package aggregate

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/report"
	"postern/internal/store"
)

// Domain is one that receivers report about.
type Domain struct {
	Domain   string
	First    time.Time // beginning of the oldest DMARC report; zero: only TLS or failure reports came
	Last     time.Time // end of the newest
	Reports  int64     // DMARC reports
	TLSLast  time.Time // end of the newest TLS report; zero: none came
	Failures int64     // failure reports that came
	Policy   report.PublishedPolicy
	Policied time.Time // when receivers saw that policy; zero: never
	Window   Sum       // of the days asked for, by all reports
	Unproven Part      // of Window: what reports say whose mail is not authenticated
	Known    int       // days of them that were reported
	Guessed  int       // of Known: by such reports alone
	Doubted  bool      // only such reports tell the policy
	Doubtful int64     // of Reports: those whose mail is not authenticated
	next     string
}

func scanDomain(rows *store.Rows) (d Domain, err error) {
	var policy string
	var proven int64
	if err := rows.Scan(&d.Domain, &d.next, &d.First, &d.Last, &d.Reports, &d.TLSLast, &d.Failures, &policy, &d.Policied, &proven, &d.Doubtful); err != nil {
		return d, err
	}
	d.Doubted = proven == 0
	if policy != "" {
		err = json.Unmarshal([]byte(policy), &d.Policy)
	}
	return d, err
}

// Domains lists domains with reports in the order of their labels from the end, with the sums of the days from..to. below: only these and what is
// below them; nil: all. after is the cursor of the page before; next that of the following, "" at the end.
func (l *Ledger) Domains(ctx context.Context, below []mail.Domain, from, to time.Time, after string, limit int) (out []Domain, next string, err error) {
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		out, next = nil, ""
		if below == nil {
			var err error
			if out, err = readDomains(tx.Query(sqlAllDomains, after, limit+1)); err != nil {
				return err
			}
		}
		seen := map[string]bool{}
		for _, d := range below {
			r := reversed(string(d))
			some, err := readDomains(tx.Query(sqlBelow, r, r+".", r+"/", after, limit+1))
			if err != nil {
				return err
			}
			for _, x := range some {
				if !seen[x.Domain] {
					seen[x.Domain] = true
					out = append(out, x)
				}
			}
		}
		slices.SortFunc(out, func(a, b Domain) int { return strings.Compare(a.next, b.next) })
		if len(out) > limit {
			out = out[:limit]
			next = out[limit-1].next
		}
		for i := range out {
			if err := out[i].window(tx, from, to); err != nil {
				return err
			}
		}
		return nil
	})
	return out, next, err
}

func readDomains(rows *store.Rows) (out []Domain, err error) {
	for rows.Next() {
		d, err := scanDomain(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

func (d *Domain) window(tx *store.Tx, from, to time.Time) error {
	return d.readDays(tx, dayOf(from), dayOf(to), func(int64, Day) {})
}

// readDays sums the reported days up, and calls with each of them.
func (d *Domain) readDays(tx *store.Tx, first, last int64, with func(day int64, x Day)) error {
	rows := tx.Query(sqlDays, d.Domain, first, last)
	for rows.Next() {
		var day, proven int64
		x := Day{Known: true}
		if err := rows.Scan(&day, &x.Messages, &x.Passed, &x.DKIM, &x.SPF, &x.Quarantined, &x.Rejected, &x.Unproven.Messages, &x.Unproven.Passed, &proven); err != nil {
			return err
		}
		x.Guessed = proven == 0
		d.Window.add(x.Sum)
		d.Unproven.add(x.Unproven)
		d.Known++
		if x.Guessed {
			d.Guessed++
		}
		with(day, x)
	}
	return rows.Err()
}

// Day is what all receivers reported about one day.
type Day struct {
	At    time.Time // its beginning, UTC
	Known bool      // some receiver reported it
	Sum
	Unproven Part // of it, by reports whose mail is not authenticated
	Guessed  bool // by such reports alone
}

// Reporter is what one receiver reported.
type Reporter struct {
	Name string
	Days int       // that he reported
	Last time.Time // the newest of them
	Sum
	Unproven Part // of it, by reports whose mail is not authenticated
}

// Overview is one domain within some days.
type Overview struct {
	Domain
	From, To  time.Time // first and last day, UTC
	Days      []Day     // each of them
	Reporters []Reporter
	Sources   []Source // the largest by what counts first, at most MaxListed
	CountsAll bool     // what is unproven counts in advice too: so the operator wants it
	More      bool     // there are more sources than that
	Recent    []Source // of the last Rules.BackWindow days, in the classes that they have in all
}

// MaxListed is how many sources and receivers an overview names.
const MaxListed = 300

// Overview reads one domain. ErrNotFound: no report came. Its slices are shared: they are not to be changed.
func (l *Ledger) Overview(ctx context.Context, d mail.Domain, from, to time.Time) (o Overview, err error) {
	first, last := dayOf(from), dayOf(to)
	if last-first > 400 {
		first = last - 400
	}
	var v version
	recalled := false
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		o = Overview{From: dayStart(first), To: dayStart(last)}
		some, err := readDomains(tx.Query(sqlOneDomain, string(d)))
		if err != nil {
			return err
		}
		if len(some) == 0 {
			return ErrNotFound
		}
		o.Domain = some[0]
		if v, err = o.version(tx, first, last); err != nil {
			return err
		}
		if before, ok := l.memory.recall(v, l.o.Now()); ok {
			o, recalled = before, true
			return nil
		}
		o.CountsAll = l.discount() == 0
		if err := o.readDays(tx, first, last); err != nil {
			return err
		}
		rows := tx.Query(sqlReports, string(d), first, last, l.discount(), MaxListed)
		for rows.Next() {
			var r Reporter
			var newest int64
			if err := rows.Scan(&r.Name, &r.Days, &newest, &r.Messages, &r.Passed, &r.DKIM, &r.SPF, &r.Quarantined, &r.Rejected, &r.Unproven.Messages, &r.Unproven.Passed); err != nil {
				return err
			}
			r.Last = dayStart(newest)
			o.Reporters = append(o.Reporters, r)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		own := l.own()
		if o.Sources, o.More, err = l.readSources(tx, o.Domain.Domain, first, last, own); err != nil {
			return err
		}
		recent := max(first, last-int64(DefaultRules().BackWindow)+1)
		if o.Recent, _, err = l.readSources(tx, o.Domain.Domain, recent, last, own); err != nil {
			return err
		}
		class := map[string]Class{}
		for i := range o.Sources {
			class[o.Sources[i].Text] = o.Sources[i].Class
		}
		for i := range o.Recent {
			if c := class[o.Recent[i].Text]; c != "" {
				o.Recent[i].Class = c
			}
		}
		return nil
	})
	if err == nil && !recalled {
		l.memory.keep(o, v, l.o.Now())
	}
	return o, err
}

func (o *Overview) readDays(tx *store.Tx, first, last int64) error {
	for d := first; d <= last; d++ {
		o.Days = append(o.Days, Day{At: dayStart(d)})
	}
	return o.Domain.readDays(tx, first, last, func(day int64, x Day) {
		x.At = dayStart(day)
		o.Days[day-first] = x
	})
}

// readSources reads who sent within some days, the largest by what counts first.
func (l *Ledger) readSources(tx *store.Tx, domain string, first, last int64, own map[netip.Addr]bool) (out []Source, more bool, err error) {
	discount := l.discount()
	rows := tx.Query(sqlSources, discount, domain, first, last, discount, MaxListed+1, domain)
	for rows.Next() {
		var s Source
		var newest int64
		if err := rows.Scan(&s.Text, &s.Days, &newest, &s.Messages, &s.Passed, &s.DKIM, &s.SPF, &s.Quarantined, &s.Rejected, &s.Forwarded, &s.Unproven.Messages, &s.Unproven.Passed, &s.forwarded, &s.Name, &s.Named, &s.Mark); err != nil {
			return nil, false, err
		}
		if len(out) == MaxListed {
			rows.Close()
			return out, true, nil
		}
		s.Last = dayStart(newest)
		s.all = discount == 0
		s.classify(own)
		out = append(out, s)
	}
	return out, false, rows.Err()
}

// own are our addresses.
func (l *Ledger) own() map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, ip := range l.o.Egress() {
		out[ip.Unmap()] = true
	}
	return out
}

// Row is what was reported of one source on one day, in all detail.
type Row struct {
	At                          time.Time
	Disposition, DKIM, SPF      string
	HeaderFrom, EnvelopeFrom    string
	Signer, Selector, Signature string // of the signature that tells most
	Path, PathResult            string // the domain whose SPF was asked
	Reason                      string
	Messages                    int64
	Unproven                    int64 // of them, by reports whose mail is not authenticated
}

// Rows lists what was reported of one source, the newest first. source "" is what has no address.
func (l *Ledger) Rows(ctx context.Context, d mail.Domain, source string, from, to time.Time, limit int) (out []Row, err error) {
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows := tx.Query(sqlRows, string(d), source, dayOf(from), dayOf(to), limit)
		for rows.Next() {
			var r Row
			var day int64
			if err := rows.Scan(&day, &r.Disposition, &r.DKIM, &r.SPF, &r.HeaderFrom, &r.EnvelopeFrom, &r.Signer, &r.Selector, &r.Signature, &r.Path, &r.PathResult, &r.Reason, &r.Messages, &r.Unproven); err != nil {
				return err
			}
			r.At = dayStart(day)
			out = append(out, r)
		}
		return rows.Err()
	})
	return out, err
}

// Selectors are the DKIM selectors with which mail of a domain was signed so that receivers could verify it, those of the most messages first, at most limit. DNS cannot
// list selectors: what traffic shows is the one way to learn them.
func (l *Ledger) Selectors(ctx context.Context, d mail.Domain, limit int) (out []string, err error) {
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows := tx.Query(sqlSelectors, string(d), string(d), limit)
		for rows.Next() {
			var selector string
			var messages int64
			if err := rows.Scan(&selector, &messages); err != nil {
				return err
			}
			out = append(out, selector)
		}
		return rows.Err()
	})
	return out, err
}

// Report is one that counts.
type Report struct {
	ID, Domain, Reporter, ReportID, Email string
	Kind                                  report.Kind
	Begin, End, Received                  time.Time
	How, Sender, Signed                   string // Signed: domains whose signatures of the mail verified; "": none, or no mail
	Messages, Passed                      int64  // of TLS reports: sessions
	Warnings                              []report.Warning
	Proof                                 Proof
	Author                                string // domain of the mail's author; "": no mail, or it was not looked at
}

// Reports lists reports, the newest first. d "": of all domains. after is the cursor of the page before.
func (l *Ledger) Reports(ctx context.Context, d mail.Domain, after string, limit int) (out []Report, next string, err error) {
	before, id := int64(1)<<62, ""
	if when, rest, ok := strings.Cut(after, "-"); ok {
		if t, err := time.Parse("20060102150405.000000", when); err == nil {
			before, id = micros(t), rest
		}
	}
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		out, next = nil, ""
		var rows *store.Rows
		if d == "" {
			rows = tx.Query(sqlListReports, before, before, id, limit+1)
		} else {
			rows = tx.Query(sqlReportsOf, string(d), before, before, id, limit+1)
		}
		for rows.Next() {
			var r Report
			var warned string
			if err := rows.Scan(&r.ID, &r.Kind, &r.Domain, &r.Reporter, &r.ReportID, &r.Email, &r.Begin, &r.End, &r.Received, &r.How, &r.Sender, &r.Signed, &r.Messages, &r.Passed, &warned, &r.Proof, &r.Author); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(warned), &r.Warnings); err != nil {
				return err
			}
			out = append(out, r)
		}
		return rows.Err()
	})
	if len(out) > limit {
		out = out[:limit]
		last := out[limit-1]
		next = last.Received.UTC().Format("20060102150405.000000") + "-" + last.ID
	}
	return out, next, err
}

// Receiver is one that reports.
type Receiver struct {
	Name, Email string
	First, Last time.Time // of what came
	Reports     int64
	Warned      int64 // reports that depart from the standard
	Unsigned    int64 // that no valid signature came with
	Unproven    int64 // whose mail is not authenticated as this receiver's
}

// Receivers lists who reports, the newest first.
func (l *Ledger) Receivers(ctx context.Context, limit int) (out []Receiver, err error) {
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows := tx.Query(sqlReporters, limit)
		for rows.Next() {
			var r Receiver
			if err := rows.Scan(&r.Name, &r.Email, &r.First, &r.Last, &r.Reports, &r.Warned, &r.Unsigned, &r.Unproven); err != nil {
				return err
			}
			out = append(out, r)
		}
		return rows.Err()
	})
	return out, err
}

// TLSDay is what senders reported about one day.
type TLSDay struct {
	At                 time.Time
	Known              bool
	Successful, Failed int64
	Unproven           int64 // sessions of both that reports tell whose mail is not authenticated
}

// TLSSender is what one sender reported under one policy.
type TLSSender struct {
	Name, Policy       string
	Successful, Failed int64
	Unproven           int64 // sessions of both that reports tell whose mail is not authenticated
	Last               time.Time
}

// TLSFailure is one way in which sessions failed.
type TLSFailure struct {
	Result, MX, IP, Reason string
	Sessions               int64
	Unproven               int64 // of them, by reports whose mail is not authenticated
	Last                   time.Time
}

// TLSOverview is what senders report about their sessions with a domain's servers.
type TLSOverview struct {
	Days               []TLSDay
	Known              int
	Successful, Failed int64
	Unproven           int64 // sessions of both that reports tell whose mail is not authenticated
	Senders            []TLSSender
	Failures           []TLSFailure
}

// TLS reads the TLS reports about one domain.
func (l *Ledger) TLS(ctx context.Context, d mail.Domain, from, to time.Time) (o TLSOverview, err error) {
	first, last := dayOf(from), dayOf(to)
	if last-first > 400 {
		first = last - 400
	}
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		o = TLSOverview{}
		for x := first; x <= last; x++ {
			o.Days = append(o.Days, TLSDay{At: dayStart(x)})
		}
		rows := tx.Query(sqlTLSDays, string(d), first, last)
		for rows.Next() {
			var day, good, bad, guessed, unproven int64
			if err := rows.Scan(&day, &good, &bad, &guessed, &unproven); err != nil {
				return err
			}
			x := &o.Days[day-first]
			x.Known, x.Successful, x.Failed, x.Unproven = true, good, bad, guessed+unproven
			o.Known++
			o.Unproven += x.Unproven
			o.Successful += good
			o.Failed += bad
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rows = tx.Query(sqlTLSReporters, string(d), first, last, MaxListed)
		for rows.Next() {
			var s TLSSender
			var day int64
			if err := rows.Scan(&s.Name, &s.Policy, &s.Successful, &s.Failed, &s.Unproven, &day); err != nil {
				return err
			}
			s.Last = dayStart(day)
			o.Senders = append(o.Senders, s)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rows = tx.Query(sqlTLSFailures, string(d), first, last, l.discount(), MaxListed)
		for rows.Next() {
			var f TLSFailure
			var day int64
			if err := rows.Scan(&f.Result, &f.MX, &f.IP, &f.Reason, &f.Sessions, &f.Unproven, &day); err != nil {
				return err
			}
			f.Last = dayStart(day)
			o.Failures = append(o.Failures, f)
		}
		return rows.Err()
	})
	return o, err
}

// Failure is a message that failed authentication, without the persons in it.
type Failure struct {
	ID                string
	Received, Arrived time.Time
	Source            string
	Reporter          string // domain that reported
	Failure, Delivery string
	Path, Author      string // domains of the reverse path and of the author
	Signer, Selector  string
	Results           []string // Authentication-Results, addresses without their local parts
	Header            string   // fields that say how it travelled
	Proof             Proof
}

// Failures lists the failure reports of a domain, the newest first.
func (l *Ledger) Failures(ctx context.Context, d mail.Domain, limit int) (out []Failure, err error) {
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows := tx.Query(sqlFailures, string(d), limit)
		for rows.Next() {
			var f Failure
			var results string
			if err := rows.Scan(&f.ID, &f.Received, &f.Arrived, &f.Source, &f.Reporter, &f.Failure, &f.Delivery, &f.Path, &f.Author, &f.Signer, &f.Selector, &results, &f.Header, &f.Proof); err != nil {
				return err
			}
			if results != "" {
				f.Results = strings.Split(results, "\n")
			}
			out = append(out, f)
		}
		return rows.Err()
	})
	return out, err
}

// Marks that a person gives a source.
const (
	MarkOwn     = "own"     // it sends for us
	MarkForeign = "foreign" // it does not
)

// Mark notes what a person says about a source; "" takes it back. ErrNotFound: no report names the source.
func (l *Ledger) Mark(ctx context.Context, d mail.Domain, source, mark, by string) error {
	if mark != "" && mark != MarkOwn && mark != MarkForeign {
		return errors.New("aggregate: a mark is own, foreign or empty")
	}
	err := l.db.Write(ctx, func(tx *store.Tx) error {
		var n int64
		if err := tx.QueryRow(sqlHasSource, string(d), source).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		if _, err := tx.Exec(sqlLook, micros(l.o.Now()), string(d)); err != nil {
			return err
		}
		if mark == "" {
			_, err := tx.Exec(sqlUnmark, string(d), source)
			return err
		}
		_, err := tx.Exec(sqlMark, string(d), source, mark, clip(by, 100), micros(l.o.Now()))
		return err
	})
	l.nudge()
	return err
}
