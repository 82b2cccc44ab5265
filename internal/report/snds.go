package report

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// SNDSShape is a form in which Microsoft's Smart Network Data Services give figures of IP addresses.
type SNDSShape string

// The shapes. Until June 2026 both files had no header and came from /snds/data.aspx and /snds/ipStatus.aspx; since then they have one or not, and
// the interface answers JSON whose names come from those who read it, not from a page of Microsoft's (read 2026-11).
const (
	SNDSNothing    SNDSShape = "nothing"     // no row, and nothing that would tell which shape it was
	SNDSLegacyCSV  SNDSShape = "legacy-csv"  // 14 columns: activity and trap periods in two columns each, sample HELO
	SNDSCSV        SNDSShape = "csv"         // 11 columns: periods in one column each, no HELO; or whatever a header names
	SNDSJSON       SNDSShape = "json"        // a list of objects, or one under value, items, data or results
	SNDSStatusCSV  SNDSShape = "status-csv"  // first address, last address, blocked, reason
	SNDSStatusJSON SNDSShape = "status-json" // the same as objects
)

// SNDSColour is what Microsoft's filter made of the mail of a period.
type SNDSColour string

// The colours (share of the mail that the filter took for spam).
const (
	SNDSGreen  SNDSColour = "green"  // below 10 %
	SNDSYellow SNDSColour = "yellow" // 10 % to 90 %
	SNDSRed    SNDSColour = "red"    // above 90 %
)

// SNDSState is what Microsoft does with the mail of an address now.
type SNDSState string

// The states.
const (
	SNDSBlocked  SNDSState = "blocked"  // refused
	SNDSJunked   SNDSState = "junked"   // put into the folder of unwanted mail
	SNDSBot      SNDSState = "bot"      // behaves like an infected machine
	SNDSAbnormal SNDSState = "abnormal" // reported for another reason
)

// SNDSNumber is a number of things, or that nothing is said about it, which is not 0.
type SNDSNumber struct {
	Value int64
	Known bool
}

// SNDSRate is complaints for each hundred recipients.
type SNDSRate struct {
	Percent float64 // 0 to 100
	Below   bool    // the rate is below Percent, which is all that is said ("< 0.1%")
	Known   bool
}

// SNDSRow is what one address did in one period. Times are kept as they stand, as UTC: SNDS names no zone with them.
type SNDSRow struct {
	Line       int // of the file, from 1; of JSON the place in the list
	IP         netip.Addr
	Start, End time.Time // of the activity; End is zero where only one time is given
	RCPT       SNDSNumber
	DATA       SNDSNumber
	Recipients SNDSNumber // valid ones, of messages
	Filter     SNDSColour // "": not said
	Complaint  SNDSRate
	TrapStart  time.Time // zero: not said
	TrapEnd    time.Time
	TrapHits   SNDSNumber
	HELO       string // a sample; "" since 2026
	Sender     string // a sample of MAIL FROM, or what the column JMR P1 Sender holds
	Comments   string
}

// Day is the day a row counts for: that in which the middle of its period lies, or of a period of more than two days its last one.
func (r SNDSRow) Day() time.Time {
	at := r.Start
	if !r.End.IsZero() {
		if length := r.End.Sub(r.Start); length <= 48*time.Hour {
			at = r.Start.Add(length / 2)
		} else {
			at = r.End.Add(-time.Minute)
		}
	}
	return at.Truncate(24 * time.Hour)
}

// SNDSStatus is what is done with the mail of a range of addresses. Addresses that are in no range are not reported as abnormal.
type SNDSStatus struct {
	Line        int
	First, Last netip.Addr // the same kind, First <= Last
	State       SNDSState
	Reason      string // as Microsoft says it
}

// Has reports whether an address is in the range.
func (s SNDSStatus) Has(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.BitLen() == s.First.BitLen() && s.First.Compare(ip) <= 0 && ip.Compare(s.Last) <= 0
}

// SNDSFault is a row that could not be read.
type SNDSFault struct {
	Line  int    // of the file, from 1; of JSON the place in the list
	Field string // "ip", "activity", "rcpt", "data", "recipients", "filter", "complaint", "trap", "trap hits", "blocked"; "": the row as a whole
	Code  string // "columns", "quote", "long", "object", "ip", "time", "period", "number", "rate", "colour", "answer", "range"
	Value string // what stood there, at most 60 bytes
}

// Error says where and what.
func (f SNDSFault) Error() string {
	what := map[string]string{
		"columns": "has another number of columns than this form of SNDS file", "quote": "has a quotation mark that is not closed, or text behind a closed one",
		"long": "is too long", "object": "is no object", "ip": "is no address of a machine", "time": "is no time; expected like 9/29/2026 8:07 AM or 2026-09-29T08:07:00Z",
		"period": "ends before it begins", "number": "is no number from 0 to 1000000000000", "rate": "is no rate; expected like 0.3% or < 0.1%",
		"colour": "is no colour; expected GREEN, YELLOW or RED", "answer": "is neither Yes, True, No nor False", "range": "is no range: the last address comes before the first, or is of another kind",
	}[f.Code]
	if f.Field == "" {
		return fmt.Sprintf("line %d: the row %s", f.Line, what)
	}
	return fmt.Sprintf("line %d: %s: %q %s", f.Line, f.Field, f.Value, what)
}

// SNDS is what a file or an answer holds.
type SNDS struct {
	Shape   SNDSShape
	Rows    []SNDSRow
	Status  []SNDSStatus
	Bad     []SNDSFault // rows that were left out, at most 1000 of them
	BadMore int         // beyond those
}

// Bounds of ReadSNDS.
const (
	MaxSNDS = 16 << 20 // bytes

	maxSNDSRows   = 200_000
	maxSNDSFaults = 1000
	maxSNDSLine   = 8192
	maxSNDSText   = 300
)

// Why bytes are no SNDS figures.
var (
	// ErrSNDSPage: a web page. With an answer of the service: the sign-in page; the key, link or sign-in is not valid any more.
	ErrSNDSPage = errors.New("a web page instead of SNDS figures: the sign-in, link or key has expired")
	// ErrNoSNDS: nothing that SNDS sends.
	ErrNoSNDS = errors.New("no SNDS figures")
	// ErrSNDSLarge: more than MaxSNDS bytes, or too many rows.
	ErrSNDSLarge = fmt.Errorf("more than %d MB or %d rows; split the file", MaxSNDS>>20, maxSNDSRows)
)

// ReadSNDS reads figures or states in any shape. Rows that cannot be read are told one by one and left out; the others count. The errors are for what
// is no SNDS at all: ErrSNDSPage, ErrNoSNDS, ErrSNDSLarge. Nothing at all is no error: the shape is SNDSNothing, and nothing is known.
func ReadSNDS(data []byte) (SNDS, error) {
	if len(data) > MaxSNDS {
		return SNDS{}, ErrSNDSLarge
	}
	data = plainText(data)
	first := bytes.TrimSpace(data)
	switch {
	case len(first) == 0:
		return SNDS{Shape: SNDSNothing}, nil
	case first[0] == '<':
		return SNDS{}, ErrSNDSPage
	case first[0] == '[' || first[0] == '{':
		return readSNDSJSON(first)
	}
	return readSNDSCSV(data)
}

// LooksLikeSNDS reports whether bytes are SNDS figures or states rather than any other kind of report: ReadSNDS will find at least one good row.
func LooksLikeSNDS(data []byte) bool {
	s, err := ReadSNDS(data)
	return err == nil && len(s.Rows)+len(s.Status) > 0
}

// plainText takes byte order marks away and turns UTF-16, in which spreadsheets save, into UTF-8.
func plainText(data []byte) []byte {
	if rest, ok := bytes.CutPrefix(data, []byte("\xef\xbb\xbf")); ok {
		return rest
	}
	if len(data) < 2 || !(data[0] == 0xff && data[1] == 0xfe || data[0] == 0xfe && data[1] == 0xff) {
		return data
	}
	little := data[0] == 0xff
	units := make([]uint16, 0, len(data)/2)
	for i := 2; i+1 < len(data); i += 2 {
		lo, hi := data[i], data[i+1]
		if !little {
			lo, hi = hi, lo
		}
		units = append(units, uint16(lo)|uint16(hi)<<8)
	}
	out := make([]byte, 0, len(units))
	for _, r := range utf16.Decode(units) {
		out = utf8.AppendRune(out, r)
	}
	return out
}

// bad notes a row that is left out.
func (s *SNDS) bad(f SNDSFault) {
	f.Value = sndsText(f.Value, 60)
	if len(s.Bad) < maxSNDSFaults {
		s.Bad = append(s.Bad, f)
		return
	}
	s.BadMore++
}

// legacyColumns, newColumns and statusColumns are the files without header, by their names in sndsNames.
var (
	legacyColumns = []string{"ip", "start", "end", "rcpt", "data", "recipients", "filter", "complaint", "trapstart", "trapend", "traphits", "helo", "sender", "comments"}
	newColumns    = []string{"ip", "period", "rcpt", "data", "recipients", "filter", "complaint", "trapperiod", "traphits", "sender", "comments"}
	statusColumns = []string{"first", "last", "blocked", "reason"}
)

// readSNDSCSV reads lines one by one, so that a broken one does not take others with it: SNDS has no line ends within fields.
func readSNDSCSV(data []byte) (SNDS, error) {
	var s SNDS
	var columns []string
	separator, rows := byte(0), 0
	for number := 1; len(data) > 0; number++ {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		data = rest
		line = bytes.TrimRight(line, "\r")
		if len(bytes.Trim(line, " \t,;")) == 0 {
			continue
		}
		if rows++; rows > maxSNDSRows {
			return SNDS{}, ErrSNDSLarge
		}
		if len(line) > maxSNDSLine {
			s.bad(SNDSFault{Line: number, Code: "long"})
			continue
		}
		if separator == 0 {
			separator = separatorOf(line)
		}
		cells, ok := splitSNDS(string(line), separator)
		if !ok {
			s.bad(SNDSFault{Line: number, Code: "quote"})
			continue
		}
		if columns == nil {
			named := false
			if columns, named = columnsOf(cells); named {
				s.Shape = sndsShapeOf(columns)
				continue
			}
			if columns == nil {
				s.bad(SNDSFault{Line: number, Code: "columns"})
				continue
			}
			s.Shape = sndsShapeOf(columns)
		}
		s.take(number, columns, cells)
	}
	if columns == nil {
		return SNDS{}, ErrNoSNDS
	}
	return s, nil
}

// take reads one row of a file.
func (s *SNDS) take(number int, columns, cells []string) {
	for len(cells) > len(columns) && strings.TrimSpace(cells[len(cells)-1]) == "" {
		cells = cells[:len(cells)-1]
	}
	least := len(columns) - 2 // programs leave empty cells at the end away
	if s.Shape == SNDSStatusCSV {
		least = 3
		if n := len(columns); len(cells) > n && columns[n-1] == "reason" { // the reason is a sentence, and not always quoted
			cells = append(cells[:n-1:n-1], strings.Join(cells[n-1:], ","))
		}
	}
	if len(cells) > len(columns) || len(cells) < least {
		s.bad(SNDSFault{Line: number, Code: "columns"})
		return
	}
	of := make(map[string]string, len(cells))
	for i, cell := range cells {
		if columns[i] != "" {
			of[columns[i]] = cell
		}
	}
	s.row(number, of)
}

// row reads one row, whose cells have their names, and keeps it or says why not.
func (s *SNDS) row(number int, of map[string]string) {
	v := sndsValues{of: of}
	if s.Shape == SNDSStatusCSV || s.Shape == SNDSStatusJSON {
		x := v.status()
		if x.Line = number; v.fault.Code != "" {
			v.fault.Line = number
			s.bad(v.fault)
			return
		}
		if x.State != "" {
			s.Status = append(s.Status, x)
		}
		return
	}
	x := v.row()
	if x.Line = number; v.fault.Code != "" {
		v.fault.Line = number
		s.bad(v.fault)
		return
	}
	s.Rows = append(s.Rows, x)
}

// columnsOf finds out what the columns of a file are, by the names in its first row or by that row's form. nil: neither tells.
func columnsOf(cells []string) (columns []string, named bool) {
	known := map[string]bool{}
	for _, cell := range cells {
		name := sndsNames[bareName(cell)]
		if known[name] {
			name = "" // a column that is named twice counts once
		}
		known[name] = true
		columns = append(columns, name)
	}
	delete(known, "")
	if known["ip"] && len(known) > 2 || known["first"] && known["last"] && len(known) > 2 {
		return columns, true
	}
	last := len(cells)
	for last > 0 && strings.TrimSpace(cells[last-1]) == "" {
		last--
	}
	isIP := func(i int) bool {
		_, err := netip.ParseAddr(strings.TrimSpace(cells[i]))
		return err == nil
	}
	switch {
	case len(cells) < 3:
		return nil, false
	case len(cells) >= 3 && last <= len(statusColumns) && isIP(0) && isIP(1):
		return statusColumns, false
	case len(cells) >= len(legacyColumns)-2 && last <= len(legacyColumns):
		return legacyColumns, false
	case len(cells) >= len(newColumns)-2 && last <= len(newColumns):
		return newColumns, false
	}
	return nil, false
}

func sndsShapeOf(columns []string) SNDSShape {
	has := func(name string) bool {
		for _, c := range columns {
			if c == name {
				return true
			}
		}
		return false
	}
	switch {
	case has("first") && has("last"):
		return SNDSStatusCSV
	case has("start") && has("helo"):
		return SNDSLegacyCSV
	}
	return SNDSCSV
}

// separatorOf is the character between cells: a comma, or what spreadsheets of other countries save.
func separatorOf(line []byte) byte {
	best, most := byte(','), bytes.Count(line, []byte(","))
	for _, c := range []byte{';', '\t'} {
		if n := bytes.Count(line, []byte{c}); n > most {
			best, most = c, n
		}
	}
	return best
}

// splitSNDS cuts a line into cells. Cells may be quoted, quotation marks within are doubled (RFC 4180); those within plain cells are text.
func splitSNDS(line string, separator byte) (cells []string, ok bool) {
	for {
		if !strings.HasPrefix(line, `"`) {
			cell, rest, more := strings.Cut(line, string(separator))
			cells = append(cells, cell)
			if !more {
				return cells, true
			}
			line = rest
			continue
		}
		var b strings.Builder
		line = line[1:]
		for {
			text, rest, closed := strings.Cut(line, `"`)
			if !closed {
				return nil, false
			}
			b.WriteString(text)
			if line = rest; !strings.HasPrefix(line, `"`) {
				break
			}
			b.WriteByte('"')
			line = line[1:]
		}
		cells = append(cells, b.String())
		switch {
		case line == "":
			return cells, true
		case line[0] != separator:
			return nil, false
		}
		line = line[1:]
	}
}
