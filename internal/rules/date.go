package rules

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	dayFirst   = regexp.MustCompile(`(?i) (\d+) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (\d{2,4}) `)
	monthFirst = regexp.MustCompile(`(?i) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(\d+) \d+:\d+:\d+ (\d{4}) `)
	clockTime  = regexp.MustCompile(` (\d?\d):(\d\d)(?::(\d\d))? `)
	numericTZ  = regexp.MustCompile(` ([-+])(\d\d)(\d\d) `)
	namedTZ    = regexp.MustCompile(`\b([A-Z]{2,4}(?:-DST)?)\b`)
)

// zones are the names of time zones that old mail uses, in hours times 100 as in dates.
var zones = map[string]int{"UT": 0, "UTC": 0, "GMT": 0, "EST": -500, "EDT": -400, "CST": -600, "CDT": -500, "MST": -700, "MDT": -600,
	"PST": -800, "PDT": -700, "HST": -1000, "AKST": -900, "AKDT": -800, "HADT": -900, "HAST": -1000, "WET": 0, "WEST": 100, "CET": 100,
	"CEST": 200, "MET": 100, "MEST": 200, "EET": 200, "EEST": 300, "BST": 100, "IST": 530, "JST": 900, "KST": 900, "MSK": 300, "MSD": 400,
	"NZST": 1200, "NZDT": 1300, "AEST": 1000, "AEDT": 1100, "SGT": 800, "HKT": 800, "SST": 800, "MEZ": 100, "MESZ": 200}

const months = "janfebmaraprmayjunjulaugsepoctnovdec"

// parseDate reads a date as leniently as SpamAssassin does: parts that are out of range are brought into it. Seconds since 1970.
func parseDate(s string) (int64, bool) {
	s = " " + strings.Join(strings.Fields(strings.ReplaceAll(s, ",", " ")), " ") + " "
	day, month, year := "", "", ""
	if m := dayFirst.FindStringSubmatch(s); m != nil {
		day, month, year = m[1], m[2], m[3]
		s = strings.Replace(s, m[0], " ", 1)
	} else if m := monthFirst.FindStringSubmatch(s); m != nil {
		month, day, year = m[1], m[2], m[3]
		s = strings.Replace(s, m[0], " ", 1) // with the time of day, which counts as midnight
	} else {
		return 0, false
	}
	y, _ := strconv.Atoi(year)
	switch {
	case len(year) == 2 && y < 50:
		y += 2000
	case len(year) != 4:
		y += 1900
	}
	mon := strings.Index(months, strings.ToLower(month))/3 + 1
	d := min(atoi(day), 1000)
	var hour, minute, second int
	if m := clockTime.FindStringSubmatch(s); m != nil {
		hour, minute, second = min(atoi(m[1]), 23), min(atoi(m[2]), 59), min(atoi(m[3]), 59)
		s = strings.Replace(s, m[0], " ", 1)
	}
	offset := 0
	if m := numericTZ.FindStringSubmatch(s); m != nil {
		offset = (atoi(m[2])*60 + atoi(m[3])) * 60
		if m[1] == "-" {
			offset = -offset
		}
	} else if m := namedTZ.FindStringSubmatch(s); m != nil {
		z := zones[strings.TrimSuffix(m[1], "-DST")]
		offset = (z/100*60 + z%100) * 60
	}
	y = min(max(y, 1970), 2037)
	if last := time.Date(y, time.Month(mon)+1, 0, 0, 0, 0, 0, time.UTC).Day(); d > last {
		d = 1
		mon++
	}
	t := time.Date(y, time.Month(mon), max(d, 1), hour, minute, second, 0, time.UTC).Unix() - int64(offset)
	return max(t, 0), true
}
