package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// sndsNames turns the names of columns and of JSON members, bare of all but letters and digits, into ours.
var sndsNames = map[string]string{
	"ip": "ip", "ipaddress": "ip",
	"activitystart": "start", "activitystartdate": "start", "activityperiodstart": "start", "starttime": "start",
	"activityend": "end", "activityenddate": "end", "activityperiodend": "end", "endtime": "end",
	"activityperiod": "period", "activity": "period",
	"rcptcommands": "rcpt", "rcptcommand": "rcpt", "rcpt": "rcpt",
	"datacommands": "data", "datacommand": "data",
	"messagerecipients": "recipients", "recipients": "recipients",
	"filterresult": "filter", "filterresults": "filter", "filter": "filter",
	"complaintrate": "complaint", "complaintrates": "complaint", "complaintpercent": "complaint",
	"trapstart": "trapstart", "trapperiodstart": "trapstart", "trapmessageperiodstart": "trapstart",
	"trapend": "trapend", "trapperiodend": "trapend", "trapmessageperiodend": "trapend",
	"trapperiod": "trapperiod", "trapmessageperiod": "trapperiod",
	"traphits": "traphits", "spamtraphits": "traphits", "trapmessages": "traphits", "trapcount": "traphits",
	"samplehelo": "helo", "helo": "helo", "ehlo": "helo",
	"jmrp1sender": "sender", "samplemailfrom": "sender", "mailfrom": "sender", "samplesender": "sender",
	"comments": "comments", "comment": "comments", "samplecomments": "comments",
	"beginningipaddress": "first", "beginningip": "first", "firstipaddress": "first", "firstip": "first", "startingipaddress": "first", "startip": "first",
	"endingipaddress": "last", "endingip": "last", "lastipaddress": "last", "lastip": "last", "endip": "last",
	"blocked": "blocked", "isblocked": "blocked",
	"reason": "reason", "blockreason": "reason", "details": "reason",
}

// bareName leaves the letters and digits of a name, in lower case: "Ip Address" and "ipAddress" are the same.
func bareName(name string) string {
	if len(name) > 60 {
		return ""
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, name)
}

// sndsValues reads the cells of one row; fault is the first thing wrong.
type sndsValues struct {
	of    map[string]string
	fault SNDSFault
}

func (v *sndsValues) wrong(field, code, value string) {
	if v.fault.Code == "" {
		v.fault = SNDSFault{Field: field, Code: code, Value: value}
	}
}

// cell is the text of a cell; what stands for nothing is "".
func (v *sndsValues) cell(name string) string {
	text := strings.TrimFunc(v.of[name], func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' })
	switch strings.ToLower(text) {
	case "-", "n/a", "na", "none", "null", "nil":
		return ""
	}
	return text
}

func (v *sndsValues) row() SNDSRow {
	x := SNDSRow{IP: v.ip("ip"), RCPT: v.number("rcpt"), DATA: v.number("data"), Recipients: v.number("recipients"), Complaint: v.rate(), TrapHits: v.number("traphits"),
		HELO: sndsText(v.cell("helo"), maxSNDSText), Sender: sndsText(v.cell("sender"), maxSNDSText), Comments: sndsText(v.cell("comments"), maxSNDSText)}
	x.Start, x.End = v.period("activity", "start", "end", "period")
	if x.Start.IsZero() {
		v.wrong("activity", "time", v.of["period"]+v.of["start"])
	}
	x.TrapStart, x.TrapEnd = v.period("trap", "trapstart", "trapend", "trapperiod")
	switch text := strings.ToLower(v.cell("filter")); SNDSColour(text) {
	case "", SNDSGreen, SNDSYellow, SNDSRed:
		x.Filter = SNDSColour(text)
	default:
		v.wrong("filter", "colour", text)
	}
	return x
}

func (v *sndsValues) status() SNDSStatus {
	x := SNDSStatus{First: v.ip("first"), Last: v.ip("last"), Reason: sndsText(v.cell("reason"), maxSNDSText)}
	if v.fault.Code == "" && (x.First.BitLen() != x.Last.BitLen() || x.Last.Less(x.First)) {
		v.wrong("ip", "range", v.of["first"]+" "+v.of["last"])
	}
	reason := strings.ToLower(x.Reason)
	switch strings.ToLower(v.cell("blocked")) {
	case "yes", "true", "1":
		x.State = SNDSBlocked
	case "no", "false", "0", "":
		switch {
		case strings.Contains(reason, "junk"):
			x.State = SNDSJunked
		case strings.Contains(reason, "bot") || strings.Contains(reason, "virus"):
			x.State = SNDSBot
		case reason != "":
			x.State = SNDSAbnormal
		case v.cell("blocked") == "":
			v.wrong("blocked", "answer", "")
		}
	default:
		v.wrong("blocked", "answer", v.of["blocked"])
	}
	return x
}

func (v *sndsValues) ip(name string) netip.Addr {
	text := v.cell(name)
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		v.wrong("ip", "ip", text)
		return netip.Addr{}
	}
	return ip.Unmap()
}

// number reads "14121" and "14,121". Nothing is not 0.
func (v *sndsValues) number(name string) SNDSNumber {
	text := v.cell(name)
	if text == "" {
		return SNDSNumber{}
	}
	digits := text
	if parts := strings.Split(text, ","); len(parts) > 1 && len(parts[0]) <= 3 {
		for _, p := range parts[1:] {
			if len(p) != 3 {
				parts = nil
				break
			}
		}
		digits = strings.Join(parts, "")
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > 1e12 {
		if name == "traphits" {
			name = "trap hits"
		}
		v.wrong(name, "number", text)
		return SNDSNumber{}
	}
	return SNDSNumber{int64(n), true}
}

// rate reads "0.3%", "< 0.1%", "<0.1%", "0.3". Nothing is not 0.
func (v *sndsValues) rate() (r SNDSRate) {
	text := v.cell("complaint")
	if text == "" {
		return r
	}
	number, below := strings.CutPrefix(text, "<")
	number = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(number), "%"))
	number = strings.Replace(number, ",", ".", 1)
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !(f >= 0 && f <= 100) || strings.ContainsAny(number, "xXpPeE_") {
		v.wrong("complaint", "rate", text)
		return r
	}
	return SNDSRate{f, below, true}
}

// period reads two times from two cells, or from one.
func (v *sndsValues) period(field, start, end, both string) (from, to time.Time) {
	first, last := v.cell(start), v.cell(end)
	if text := v.cell(both); text != "" && first == "" && last == "" {
		first, last = cutPeriod(text)
	}
	if from = v.time(field, first); last != "" {
		to = v.time(field, last)
	}
	if !to.IsZero() && to.Before(from) {
		v.wrong(field, "period", first+" "+last)
	}
	return from, to
}

// cutPeriod separates two times that stand in one field.
func cutPeriod(text string) (first, last string) {
	for _, between := range []string{" - ", " \u2013 ", " \u2014 ", " to ", " \u2192 ", "\u2013", ";", "|", "~"} {
		if a, b, ok := strings.Cut(text, between); ok {
			return a, b
		}
	}
	if a, b, ok := strings.Cut(text, "/"); ok && len(a) >= len("2006-01-02") && strings.Count(text, "/") == 1 { // ISO 8601 4.4
		return a, b
	}
	return text, ""
}

// sndsTimes are the forms of times. The first is that of the service's files, in American order.
var sndsTimes = []string{"1/2/2006 3:04 PM", "1/2/2006 3:04:05 PM", "1/2/2006 15:04", "1/2/2006 15:04:05", "1/2/2006", time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05",
	"2006-01-02 15:04", "2006-01-02 3:04 PM", "2006-01-02"}

func (v *sndsValues) time(field, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	if len(text) <= 60 {
		text := strings.ToUpper(strings.Join(strings.Fields(text), " ")) // Fields cuts at the narrow spaces that newer systems put before AM, too
		for _, form := range sndsTimes {
			if t, err := time.Parse(form, text); err == nil && t.Year() >= 1997 && t.Year() < 2200 {
				return t.UTC()
			}
		}
	}
	v.wrong(field, "time", text)
	return time.Time{}
}

// sndsText bounds a text of a row and makes one line of it.
func sndsText(s string, most int) string {
	s = strings.ToValidUTF8(s[:min(len(s), most)], "")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s))
}

// sndsWrappers are members under which the list of rows may lie.
var sndsWrappers = []string{"value", "items", "data", "results"}

// readSNDSJSON reads a list of objects, one object, or a list within an object.
func readSNDSJSON(data []byte) (SNDS, error) {
	list, err := sndsList(data, 3)
	if err != nil {
		return SNDS{}, err
	}
	if len(list) > maxSNDSRows {
		return SNDS{}, ErrSNDSLarge
	}
	s := SNDS{Shape: SNDSNothing}
	for i, raw := range list {
		of, ok := sndsObject(raw)
		if !ok {
			s.bad(SNDSFault{Line: i + 1, Code: "object"})
			continue
		}
		if s.Shape == SNDSNothing {
			_, first := of["first"]
			_, last := of["last"]
			if s.Shape = SNDSJSON; first && last {
				s.Shape = SNDSStatusJSON
			}
		}
		s.row(i+1, of)
	}
	if s.Shape == SNDSNothing && len(s.Bad) > 0 || s.Shape == SNDSJSON && len(s.Rows) == 0 && !sndsSpoken(list) {
		return SNDS{}, ErrNoSNDS
	}
	return s, nil
}

// sndsSpoken reports whether any object of a list has a member that SNDS uses for an address.
func sndsSpoken(list []json.RawMessage) bool {
	for _, raw := range list {
		if of, ok := sndsObject(raw); ok {
			if _, there := of["ip"]; there {
				return true
			}
		}
	}
	return false
}

// sndsList finds the list of rows, at most so many wrappers deep.
func sndsList(data []byte, deep int) ([]json.RawMessage, error) {
	data = bytes.TrimSpace(data)
	if len(data) > 0 && data[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, fmt.Errorf("%w: broken JSON", ErrNoSNDS)
		}
		return list, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, fmt.Errorf("%w: broken JSON", ErrNoSNDS)
	}
	for name := range object {
		if n := sndsNames[bareName(name)]; n == "ip" || n == "first" {
			return []json.RawMessage{data}, nil
		}
	}
	if deep > 1 {
		for _, name := range sndsWrappers {
			for member, inner := range object {
				if inner = bytes.TrimSpace(inner); strings.EqualFold(member, name) && len(inner) > 0 && (inner[0] == '[' || inner[0] == '{') {
					return sndsList(inner, deep-1)
				}
			}
		}
	}
	return nil, fmt.Errorf("%w: the JSON holds no list of rows", ErrNoSNDS)
}

// sndsObject reads the members of an object that SNDS uses.
func sndsObject(raw json.RawMessage) (of map[string]string, ok bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var members map[string]any
	if err := d.Decode(&members); err != nil || members == nil || len(members) > 100 {
		return nil, false
	}
	of = make(map[string]string, len(members))
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		if ours := sndsNames[bareName(name)]; ours != "" && of[ours] == "" {
			of[ours] = sndsMember(value)
		}
	}
	return of, true
}

// sndsMember writes the value of a member as a file would; a period may be an object of two times.
func sndsMember(value any) string {
	switch x := value.(type) {
	case string:
		return x[:min(len(x), maxSNDSLine)]
	case json.Number:
		return x.String()
	case bool:
		return strconv.FormatBool(x)
	case map[string]any:
		one := func(names ...string) string {
			for name, v := range x {
				for _, want := range names {
					if text, ok := v.(string); ok && strings.EqualFold(name, want) {
						return text
					}
				}
			}
			return ""
		}
		if from, to := one("start", "begin", "from"), one("end", "to"); from != "" {
			return from + " - " + to
		}
		return "{}"
	case []any:
		return "[]"
	}
	return ""
}
