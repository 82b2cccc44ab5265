package report

import (
	"errors"
	"net/netip"
	"strings"
	"time"
)

// Aggregate is a DMARC aggregate report: what one receiver saw of mail in one domain's name within some time (RFC 7489 appendix C, RFC 9990).
type Aggregate struct {
	Namespace string // of the XML; "" in most reports by RFC 7489
	Version   string
	Reporter  string // org_name
	Email     string
	Contact   string // extra_contact_info
	Generator string // RFC 9990
	ID        string
	Begin     time.Time // zero: not told anywhere
	End       time.Time // the last second
	Errors    []string  // what went wrong on the receiver's side, in his words
	Policy    PublishedPolicy
	Records   []AggregateRecord

	times string // begin and end as they stand there
}

// PublishedPolicy is the policy that the receiver found. Values are in lower case; "" is not told.
type PublishedPolicy struct {
	Domain           string // lower case
	ADKIM, ASPF      string // "r", "s"
	P, SP, NP        string // "none", "quarantine", "reject"
	Percent          string // pct of RFC 7489
	Testing          string // "y", "n" (RFC 9990)
	Discovery        string // "psl", "treewalk" (RFC 9990)
	FailureReporting string // fo
}

// AggregateRecord counts messages that were alike.
type AggregateRecord struct {
	Source       netip.Addr // invalid: what stands there is no address
	SourceText   string
	Count        int64
	Disposition  string // "none", "quarantine", "reject", "pass" (RFC 9990), "" not told
	DKIM, SPF    string // aligned: "pass", "fail", "" not told
	Reasons      []OverrideReason
	HeaderFrom   string // domains in lower case
	EnvelopeFrom string // "" null or not told
	EnvelopeTo   string
	Signatures   []DKIMResult
	Paths        []SPFResult
}

// OverrideReason says why a receiver did something else than the policy.
type OverrideReason struct{ Type, Comment string }

// DKIMResult is one signature's.
type DKIMResult struct{ Domain, Selector, Result, Remark string }

// SPFResult is that of a domain; Scope is "mfrom", "helo" or "".
type SPFResult struct{ Domain, Scope, Result, Remark string }

// Passed reports whether a message of the record passed DMARC.
func (r *AggregateRecord) Passed() bool { return r.DKIM == "pass" || r.SPF == "pass" }

// Messages sums the report up.
func (a *Aggregate) Messages() (all, passed, dkim, spf int64) {
	for i := range a.Records {
		r := &a.Records[i]
		all += r.Count
		if r.Passed() {
			passed += r.Count
		}
		if r.DKIM == "pass" {
			dkim += r.Count
		}
		if r.SPF == "pass" {
			spf += r.Count
		}
	}
	return all, passed, dkim, spf
}

// Bounds of one record. RFC 9990 3.1.1.10 lets a receiver report at most a hundred signatures.
const (
	maxSignatures = 100
	maxPaths      = 20
	maxReasons    = 20
	maxCount      = int64(1) << 50 // messages of one record
)

// errResults refuses what takes much more memory than bytes.
var errResults = refusedf("more than %d signatures and other results, as no receiver sends", maxResults)

// aggregateReader fills an Aggregate from XML.
type aggregateReader struct {
	x      *xmlReader
	w      *warnings
	room   *room
	out    Aggregate
	record *AggregateRecord
	rows   int // of the record
	begin  string
	end    string
	seen   map[string]bool   // elements of the head that may be there once
	intern map[string]string // texts that occur again and again
	ended  bool
}

// readAggregate reads a DMARC report. The error is ErrNoReport, wraps ErrRefused, or is the reader's.
func readAggregate(x *xmlReader, left *room) (*Aggregate, error) {
	a := &aggregateReader{x: x, w: x.w, room: left, seen: map[string]bool{}, intern: map[string]string{}}
	x.space = ""
	feedback, elements, skipped := false, 0, 0
	for !a.ended {
		kind, name, value, err := a.x.next()
		switch {
		case errors.Is(err, errNotXML):
			return nil, ErrNoReport
		case err != nil && feedback:
			return nil, err
		case err != nil:
			return nil, err
		}
		if kind == xmlEnd {
			break
		}
		if skipped > 0 {
			if len(x.stack) < skipped {
				skipped = 0
			}
			continue
		}
		if !feedback {
			if elements++; elements > 50 {
				return nil, ErrNoReport
			}
			feedback = kind == xmlOpen && name == "feedback"
			continue
		}
		switch {
		case kind == xmlOpen && (name == "extension" || name == "extensions"):
			skipped = len(x.stack) // RFC 9990 3.1.1.5: what others add may be called as our elements are
		case kind == xmlOpen:
			err = a.open(name)
		default:
			err = a.closed(name, value)
		}
		if err != nil {
			return nil, err
		}
	}
	if !feedback {
		return nil, ErrNoReport
	}
	if !a.ended {
		if a.record != nil || len(a.out.Records) == 0 {
			return nil, refusedf("the report ends in the middle: %d records were read", len(a.out.Records))
		}
		a.w.add(WarnTruncated, "")
	}
	a.out.Namespace = a.x.space
	return &a.out, a.check()
}

// parent is the innermost open element.
func (a *aggregateReader) parent(up int) string {
	if n := len(a.x.stack) - 1 - up; n >= 0 {
		return a.x.stack[n]
	}
	return ""
}

func (a *aggregateReader) open(name string) error {
	switch outer := a.parent(1); {
	case name == "record":
		if a.room.records--; a.room.records < 0 {
			return refusedf("more records than are read of one file (%d here); no receiver sends so many", len(a.out.Records))
		}
		if a.record != nil { // the one before was not closed
			a.w.add(WarnNesting, "record")
			a.finish(a.record)
			a.out.Records = append(a.out.Records, *a.record)
		}
		a.record, a.rows = &AggregateRecord{}, 0
	case a.record == nil:
	case name == "row":
		if a.rows++; a.rows > 1 {
			return refusedf("record %d has two rows, and RFC 9990 allows one: which addresses and counts belong to its results is not told", len(a.out.Records)+1)
		}
	case outer == "auth_results" && name == "dkim":
		if !a.room.result() {
			return errResults
		}
		if len(a.record.Signatures) >= maxSignatures {
			a.w.add(WarnTooMany, "dkim")
			a.record.Signatures[maxSignatures-1] = DKIMResult{}
			return nil
		}
		a.record.Signatures = append(a.record.Signatures, DKIMResult{})
	case outer == "auth_results" && name == "spf":
		if !a.room.result() {
			return errResults
		}
		if len(a.record.Paths) >= maxPaths {
			a.w.add(WarnTooMany, "spf")
			a.record.Paths[maxPaths-1] = SPFResult{}
			return nil
		}
		a.record.Paths = append(a.record.Paths, SPFResult{})
	case outer == "policy_evaluated" && name == "reason":
		if !a.room.result() {
			return errResults
		}
		if len(a.record.Reasons) < maxReasons {
			a.record.Reasons = append(a.record.Reasons, OverrideReason{})
		}
	}
	return nil
}

func (a *aggregateReader) closed(name, value string) error {
	switch name {
	case "feedback":
		a.ended = true
		return nil
	case "record":
		if a.record == nil {
			return nil
		}
		a.finish(a.record)
		a.out.Records = append(a.out.Records, *a.record)
		a.record = nil
		return nil
	case "report_metadata", "policy_published", "date_range", "row", "identifiers", "auth_results", "policy_evaluated":
		return nil
	}
	outer := a.parent(0)
	if a.record == nil {
		a.head(outer, name, value)
		return nil
	}
	r := a.record
	switch outer {
	case "row", "policy_evaluated", "identifiers", "reason":
		a.row(r, outer, name, value)
	case "dkim", "spf":
		a.result(r, outer, name, value)
	case "auth_results":
		if name != "dkim" && name != "spf" {
			a.w.add(WarnExtra, name)
		}
	default:
		a.w.add(WarnExtra, name)
	}
	return nil
}

// head reads what stands before the records.
func (a *aggregateReader) head(outer, name, value string) {
	o := &a.out
	fields := map[string]map[string]*string{
		"report_metadata": {"org_name": &o.Reporter, "email": &o.Email, "extra_contact_info": &o.Contact, "report_id": &o.ID, "generator": &o.Generator},
		"date_range":      {"begin": &a.begin, "end": &a.end},
		"policy_published": {"domain": &o.Policy.Domain, "adkim": &o.Policy.ADKIM, "aspf": &o.Policy.ASPF, "p": &o.Policy.P, "sp": &o.Policy.SP, "np": &o.Policy.NP,
			"pct": &o.Policy.Percent, "testing": &o.Policy.Testing, "t": &o.Policy.Testing, "discovery_method": &o.Policy.Discovery, "fo": &o.Policy.FailureReporting},
		"feedback": {"version": &o.Version},
	}
	if outer == "report_metadata" && name == "error" {
		if value != "" && len(o.Errors) < 20 {
			o.Errors = append(o.Errors, clipped(value, maxRemark))
		}
		return
	}
	field := fields[outer][name]
	switch {
	case field == nil:
		a.w.add(WarnExtra, name)
		return
	case a.seen[outer+"/"+name]:
		a.w.add(WarnRepeated, name)
		return
	}
	a.seen[outer+"/"+name] = true
	if *field = clipped(value, maxName); outer == "policy_published" {
		if *field = strings.ToLower(*field); name == "domain" {
			*field = strings.TrimSuffix(*field, ".")
		}
	}
}

// row reads what was seen and done.
func (a *aggregateReader) row(r *AggregateRecord, outer, name, value string) {
	switch outer + "/" + name {
	case "row/source_ip":
		a.source(r, value)
	case "row/count":
		n, ok := number(value)
		if !ok {
			a.w.add(WarnNumber, value)
		}
		r.Count = n
	case "policy_evaluated/disposition":
		r.Disposition = a.word(value, "none", "quarantine", "reject", "pass")
	case "policy_evaluated/dkim":
		r.DKIM = a.word(value, "pass", "fail")
	case "policy_evaluated/spf":
		r.SPF = a.word(value, "pass", "fail")
	case "policy_evaluated/reason":
		if n := len(r.Reasons); n > 0 && r.Reasons[n-1].Type == "" {
			if a.w.add(WarnEmptyReason, ""); r.Reasons[n-1].Comment == "" {
				r.Reasons = r.Reasons[:n-1]
			}
		}
	case "reason/type":
		if n := len(r.Reasons); n > 0 {
			r.Reasons[n-1].Type = a.kept(lowerTrim(value), 60)
		}
	case "reason/comment":
		if n := len(r.Reasons); n > 0 {
			r.Reasons[n-1].Comment = a.kept(value, maxRemark)
		}
	case "identifiers/header_from":
		r.HeaderFrom = a.domain(value)
	case "identifiers/envelope_from":
		r.EnvelopeFrom = a.domain(value)
	case "identifiers/envelope_to":
		r.EnvelopeTo = a.domain(value)
	default:
		a.w.add(WarnExtra, name)
	}
}

func (a *aggregateReader) source(r *AggregateRecord, value string) {
	r.SourceText = a.kept(value, 100)
	ip, _ := looseAddress(value)
	if !ip.IsValid() {
		a.w.add(WarnAddress, value)
		return
	}
	r.Source = ip
	r.SourceText = r.Source.String()
}

// result reads one result of DKIM or SPF.
func (a *aggregateReader) result(r *AggregateRecord, outer, name, value string) {
	if outer == "dkim" && len(r.Signatures) > 0 {
		s := &r.Signatures[len(r.Signatures)-1]
		switch name {
		case "domain":
			s.Domain = a.domain(value)
		case "selector":
			s.Selector = a.kept(lowerTrim(value), 100)
		case "result":
			s.Result = a.word(value, "none", "pass", "fail", "policy", "neutral", "temperror", "permerror")
		case "human_result":
			s.Remark = a.kept(value, maxRemark)
		default:
			a.w.add(WarnExtra, name)
		}
		return
	}
	if outer == "spf" && len(r.Paths) > 0 {
		s := &r.Paths[len(r.Paths)-1]
		switch name {
		case "domain":
			s.Domain = a.domain(value)
		case "scope":
			s.Scope = a.word(value, "mfrom", "helo")
		case "result":
			s.Result = a.word(value, "none", "neutral", "pass", "fail", "softfail", "temperror", "permerror")
		case "human_result":
			s.Remark = a.kept(value, maxRemark)
		default:
			a.w.add(WarnExtra, name)
		}
	}
}

// formerWords are values of drafts and of programs that never changed, with what they mean now.
var formerWords = map[string]string{"hardfail": "fail", "error": "temperror", "unknown": "permerror", "sender": "mfrom", "mailfrom": "mfrom", "mail_from": "mfrom", "ehlo": "helo", "reject ": "reject"}

// word reads a keyword.
func (a *aggregateReader) word(value string, allowed ...string) string {
	value = strings.TrimSpace(value)
	low := strings.ToLower(value)
	for _, w := range allowed {
		if low == w {
			if value != w {
				a.w.add(WarnCase, value)
			}
			return w
		}
	}
	if now := formerWords[low]; now != "" {
		for _, w := range allowed {
			if now == w {
				a.w.add(WarnValue, value)
				return w
			}
		}
	}
	if low == "" {
		return ""
	}
	a.w.add(WarnValue, value)
	return a.kept(low, 30)
}

// domain reads a domain; of an address what stands behind the "@".
func (a *aggregateReader) domain(value string) string {
	value = strings.Trim(strings.ToLower(strings.TrimSpace(value)), "<>\"'")
	if i := strings.LastIndexByte(value, '@'); i >= 0 {
		value = value[i+1:]
	}
	return a.kept(strings.TrimSuffix(value, "."), maxName)
}

// kept is a text once in memory, however often it occurs.
func (a *aggregateReader) kept(s string, n int) string {
	s = clipped(s, n)
	if same, ok := a.intern[s]; ok {
		return same
	}
	if len(a.intern) < 50_000 {
		a.intern[s] = s
	}
	return s
}

// finish looks at a whole record.
func (a *aggregateReader) finish(r *AggregateRecord) {
	if r.SourceText == "" {
		a.w.add(WarnMissing, "source_ip")
	}
	if r.DKIM != "pass" && r.DKIM != "fail" {
		if r.DKIM == "" {
			a.w.add(WarnMissing, "policy_evaluated/dkim")
		}
		r.DKIM = notPass(r.DKIM)
	}
	if r.SPF != "pass" && r.SPF != "fail" {
		if r.SPF == "" {
			a.w.add(WarnMissing, "policy_evaluated/spf")
		}
		r.SPF = notPass(r.SPF)
	}
	if r.Disposition == "" {
		a.w.add(WarnMissing, "disposition")
	}
	if r.HeaderFrom == "" {
		a.w.add(WarnMissing, "header_from")
	}
}

// notPass is what a result means that is neither: "none" and the like did not pass, "" is not told.
func notPass(s string) string {
	if s == "" {
		return ""
	}
	return "fail"
}

// check completes the head.
func (a *aggregateReader) check() error {
	o := &a.out
	for _, x := range []struct{ name, value string }{{"org_name", o.Reporter}, {"report_id", o.ID}, {"policy_published/p", o.Policy.P}} {
		if x.value == "" {
			a.w.add(WarnMissing, x.name)
		}
	}
	o.Begin, o.End = moment(a.begin), moment(a.end)
	o.times = strings.TrimSpace(clipped(a.begin, 40) + " " + clipped(a.end, 40))
	if o.Policy.Domain == "" {
		for i := range o.Records {
			if o.Records[i].HeaderFrom != "" {
				o.Policy.Domain = o.Records[i].HeaderFrom
				a.w.add(WarnUnpackedName, o.Policy.Domain)
				break
			}
		}
	}
	if len(o.Records) == 0 {
		a.w.add(WarnMissing, "record")
	}
	return nil
}

// named fills in what the report leaves out and its file's name tells, and holds the two against each other.
func (a *Aggregate) named(name string, w *warnings) {
	n, ok := parseName(name)
	if ok {
		fill := func(field *string, value, what string) {
			if *field == "" && value != "" {
				*field = value
				w.add(WarnFromName, what)
			}
		}
		fill(&a.Reporter, n.Receiver, "org_name")
		fill(&a.Policy.Domain, n.Domain, "domain")
		if a.Policy.Domain != n.Domain {
			w.add(WarnName, n.Domain)
		}
	}
	switch {
	case a.Begin.IsZero() || a.End.IsZero():
		if a.Begin, a.End = wholeDay(a.Begin, a.End); ok {
			a.Begin, a.End = n.Begin, n.End
		}
		w.add(WarnNoRange, "")
	case a.End.Before(a.Begin):
		a.Begin, a.End = a.End, a.Begin
		w.add(WarnNoRange, "")
	}
	if a.End.Sub(a.Begin) > 25*time.Hour {
		w.add(WarnRange, a.End.Sub(a.Begin).Round(time.Hour).String())
	}
}
