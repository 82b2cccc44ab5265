package portal

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"postern/internal/postmaster"
	"postern/internal/report"
)

// sndsExport writes the rows of the days that are shown, as CSV: all of them, a day at a time.
func (s *site) sndsExport(v *visit) {
	if s.o.Postmaster == nil {
		v.missing()
		return
	}
	days, _ := v.sndsSpan()
	now, to := s.o.Now(), http.NewResponseController(v.w)
	out := csv.NewWriter(v.w)
	for back := days - 1; back >= 0; back-- {
		day := now.AddDate(0, 0, -back)
		rows, err := s.o.Postmaster.Rows(v.r.Context(), day, day, sndsExported)
		switch begun := back < days-1; {
		case err != nil && !begun:
			v.broken("figures of SNDS not read", err)
			return
		case err != nil || len(rows) == sndsExported:
			s.o.Logger.Error("export of the figures of SNDS broken off", "day", day.UTC().Format(time.DateOnly), "rows", len(rows), "error", err)
			_ = to.SetWriteDeadline(time.Unix(1, 0)) // the file must not look complete
			return
		case !begun:
			v.status = http.StatusOK
			v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
			v.w.Header().Set("Content-Disposition", `attachment; filename="snds.csv"`)
			_ = out.Write([]string{"ip", "activity start", "activity end", "rcpt commands", "data commands", "message recipients", "filter result", "complaint rate", "trap start", "trap end", "trap hits",
				"helo", "sender", "comments", "source"})
		}
		_ = to.SetWriteDeadline(time.Now().Add(30 * time.Second)) // the server's own is meant for pages
		for _, r := range rows {
			_ = out.Write(sndsRecord(r))
		}
		if out.Flush(); out.Error() != nil {
			return // nobody reads it any more
		}
	}
}

// sndsRecord is a row of the file.
func sndsRecord(r postmaster.Row) []string {
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format("2006-01-02 15:04")
	}
	number := func(n report.SNDSNumber) string {
		if !n.Known {
			return ""
		}
		return strconv.FormatInt(n.Value, 10)
	}
	rate := ""
	if r.Complaint.Known {
		rate = strconv.FormatFloat(r.Complaint.Percent, 'f', -1, 64) + "%"
		if r.Complaint.Below {
			rate = "<\u00a0" + rate
		}
	}
	row := []string{r.IP.String(), stamp(r.Start), stamp(r.End), number(r.RCPT), number(r.DATA), number(r.Recipients), strings.ToUpper(string(r.Filter)), rate, stamp(r.TrapStart), stamp(r.TrapEnd),
		number(r.TrapHits), r.HELO, r.Sender, r.Comments, r.Source}
	for i := range row {
		row[i] = unformula(row[i])
	}
	return row
}

// unformula keeps a spreadsheet from computing a cell (OWASP, CSV injection, read 2026-11).
func unformula(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}
