package report

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNoReport says that nothing in the input is a report that is known here.
var ErrNoReport = errors.New("this is no report that is known here")

// ErrRefused says that an input is a report, or says so, and is not read because reading it would do harm or because it is broken beyond
// understanding; the wrapping text says what was found.
var ErrRefused = errors.New("report refused")

// Kind is what a report is.
type Kind string

// The kinds that Read recognises.
const (
	KindAggregate Kind = "dmarc"     // DMARC aggregate report (RFC 7489 7.2, RFC 9990)
	KindFailure   Kind = "failure"   // a message that failed authentication (RFC 6591, RFC 9991)
	KindTLS       Kind = "tls"       // TLS report (RFC 8460)
	KindComplaint Kind = "complaint" // a recipient's complaint (RFC 5965)
	KindJMRP      Kind = "jmrp"      // a complaint in the form of Microsoft's Junk Mail Reporting Program before it wrote RFC 5965
	KindXARF      Kind = "xarf"      // abuse reported in the X-ARF or XARF format
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{KindAggregate, KindFailure, KindTLS, KindComplaint, KindJMRP, KindXARF}
}

// Recognised is one report. Exactly one of the pointers is set, that of its Kind: complaints and failures both have Feedback.
type Recognised struct {
	Kind      Kind
	Name      string   // file name that it travelled under; "": none
	Path      []string // what it was wrapped in, the outermost first: "mail", "zip", "gzip"
	Aggregate *Aggregate
	Feedback  *Feedback
	TLS       *TLSReport
	XARF      *XARF
	Warnings  []Warning
}

// Warning is something about a report that departs from its standard and was understood all the same.
type Warning struct {
	Code   string // stable, one of WarningCodes
	Detail string // of its first occurrence: the value, the name; at most 200 bytes, may be empty
	Count  int    // occurrences
}

// Reading is what Read made of an input.
type Reading struct {
	Reports []Recognised
	Refused []error // of parts that say they are reports and were not read; each wraps ErrRefused
	From    string  // header From of the mail that brought them, "" without mail
	Subject string  // its Subject
}

// ReadLimits bounds what Read takes. Zero fields mean the default.
type ReadLimits struct {
	Input    int64 // bytes of the input; 32 MiB
	Unpacked int64 // bytes that all archives of an input may unfold to; 64 MiB
	Ratio    int64 // how many times its size an archive may unfold to beyond its first MiB; 200
	Entries  int   // files in a zip; 100
	Records  int   // of all DMARC reports of an input; 200,000
	JSON     int64 // bytes of a report in JSON, unpacked; 16 MiB
}

// Further bounds, of what reports have no reason to exceed.
const (
	maxWraps    = 4         // archives and mails around a report
	maxReports  = 1000      // reports of one input
	maxWarnings = 40        // different ones of one report
	maxName     = 300       // bytes of a name, an identifier, a domain
	maxRemark   = 500       // bytes of a text for people
	maxObjects  = 100_000   // objects and lists of a report in JSON
	maxElements = 2_000_000 // values of a report in JSON
	maxDepth    = 32        // nesting of XML and JSON
	maxResults  = 1_000_000 // signatures, paths and reasons of all DMARC reports of an input
)

func (l ReadLimits) filled() ReadLimits {
	set := func(field *int64, def int64) {
		if *field <= 0 {
			*field = def
		}
	}
	set(&l.Input, 32<<20)
	set(&l.Unpacked, 64<<20)
	set(&l.Ratio, 200)
	set(&l.JSON, 16<<20)
	if l.Entries <= 0 {
		l.Entries = 100
	}
	if l.Records <= 0 {
		l.Records = 200_000
	}
	return l
}

// DefaultReadLimits returns the limits that zero fields stand for.
func DefaultReadLimits() ReadLimits { return ReadLimits{}.filled() }

// Read recognises and reads a report in whatever it travels: as it is, in gzip or zip (several in one), in a mail with any encoding and whatever content
// type, forwarded or not. What is a report is told from its bytes, never from its name or type. name is the file's, "" when it has none: DMARC's file
// names (RFC 7489 7.2.1.1) fill in what a report leaves out.
//
// The error is ErrNoReport when nothing was recognised, or wraps ErrRefused when all that was recognised was refused. Time is linear in what is
// unpacked, memory bounded by the limits; a document type declaration, an entity, an archive in an archive's archive and anything beyond the limits is
// refused, never followed.
func Read(raw []byte, name string, l ReadLimits) (Reading, error) {
	r := &reader{limits: l.filled()}
	r.left, r.room = r.limits.Unpacked, room{r.limits.Records, maxResults}
	if int64(len(raw)) > r.limits.Input {
		return r.out, refusedf("the input has more than %s, the most that is read", bytesText(r.limits.Input))
	}
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	r.read(raw, clipped(name, maxName), nil)
	switch {
	case len(r.out.Reports) > 0:
		return r.out, nil
	case len(r.out.Refused) > 0:
		return r.out, r.out.Refused[0]
	}
	return r.out, ErrNoReport
}

// reader is one input while it is read.
type reader struct {
	limits ReadLimits
	left   int64 // bytes that archives may still unfold to
	room   room
	out    Reading
}

// room is what DMARC reports may still hold: bytes alone do not bound the memory that they take.
type room struct{ records, results int }

// result takes one from what is left.
func (r *room) result() bool { r.results--; return r.results >= 0 }

func refusedf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// bytesText writes a size as people read it.
func bytesText(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

func (r *reader) refuse(err error) {
	if len(r.out.Refused) < 20 {
		r.out.Refused = append(r.out.Refused, err)
	}
}

func (r *reader) add(x Recognised) {
	if len(r.out.Reports) >= maxReports {
		r.refuse(refusedf("more than %d reports in one input", maxReports))
		return
	}
	r.out.Reports = append(r.out.Reports, x)
}

// warnings gathers the warnings of one report.
type warnings struct{ list []Warning }

func (w *warnings) add(code, detail string) {
	for i := range w.list {
		if w.list[i].Code == code {
			w.list[i].Count++
			return
		}
	}
	if len(w.list) < maxWarnings {
		w.list = append(w.list, Warning{code, clipped(detail, 200), 1})
	}
}

// The codes of warnings.
const (
	WarnEncoding     = "encoding"      // bytes that are not in the declared encoding were replaced
	WarnTruncated    = "truncated"     // the document or archive ends early; what it says is complete
	WarnNesting      = "nesting"       // end tags do not match; read as nested
	WarnStray        = "stray-text"    // text where the format has none
	WarnExtra        = "extra-element" // elements that the format does not know
	WarnRepeated     = "repeated"      // an element again that may be there once: the first counts
	WarnCase         = "value-case"    // a value in other letters than the format's
	WarnValue        = "value-unknown" // a value that the format does not know
	WarnMissing      = "value-missing" // something is missing that the format demands
	WarnNumber       = "number"        // a number that is none, or negative
	WarnTooMany      = "too-many"      // more of something than is kept
	WarnRange        = "range"         // the time is longer than a day
	WarnNoRange      = "range-missing" // the time is missing or turned round; taken from elsewhere
	WarnEmptyReason  = "reason-empty"  // a reason for an override without a type
	WarnName         = "name-differs"  // the file's name says another domain or time than the report
	WarnFromName     = "from-name"     // taken from the file's name because the report lacks it
	WarnTrailing     = "trailing"      // bytes after the end of the archive
	WarnChecksum     = "checksum"      // the archive's checksum is wrong; the report in it is complete
	WarnNoMachine    = "no-machine"    // there is no part for machines; read from the text
	WarnAddress      = "address"       // a source that is no IP address; the record is left out of the sums by source
	WarnDate         = "date"          // a date that cannot be read
	WarnEvidence     = "evidence-hash" // evidence whose checksum is wrong
	WarnUnpackedName = "no-domain"     // the domain is told by the records or the file's name only
)

// WarningCodes returns the codes of all warnings.
func WarningCodes() []string {
	return []string{WarnEncoding, WarnTruncated, WarnNesting, WarnStray, WarnExtra, WarnRepeated, WarnCase, WarnValue, WarnMissing, WarnNumber, WarnTooMany, WarnRange, WarnNoRange,
		WarnEmptyReason, WarnName, WarnFromName, WarnTrailing, WarnChecksum, WarnNoMachine, WarnAddress, WarnDate, WarnEvidence, WarnUnpackedName}
}

// clipped returns s as valid UTF-8 without control characters, at most n bytes long.
func clipped(s string, n int) string {
	if len(s) > 4*n {
		s = s[:4*n]
	}
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(strings.TrimSpace(s), "\uFFFD"))
	return strings.TrimSpace(cut(s, n))
}

// lowerTrim is a keyword as the formats write it.
func lowerTrim(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// plausible bounds times of reports: what lies outside is a mistake or an attack.
func plausible(t time.Time) bool { return t.Year() >= 2000 && t.Year() < 2100 }
