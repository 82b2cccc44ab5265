package portal

import (
	"encoding/csv"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"postern/internal/suppression"
)

// mostFaults bounds the faults of a file that are told.
const mostFaults = 20

func queryEscape(s string) string { return url.QueryEscape(s) }

// csvFile reads an uploaded list and for what reason its addresses are not written to. When ok is false the answer is written.
func (v *visit) csvFile() (text []byte, reason suppression.Reason, ok bool) {
	reason = suppression.BySender
	parts, err := v.r.MultipartReader()
	fail := func(err error) {
		status, kind := http.StatusBadRequest, "form"
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			status, kind = http.StatusRequestEntityTooLarge, "file"
			v.w.Header().Set("Connection", "close")
		}
		v.status = status
		v.s.fail(v.w, v.r, status, kind)
	}
	if err != nil {
		fail(err)
		return nil, "", false
	}
	for fields := 0; fields < 10; fields++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fail(err)
			return nil, "", false
		}
		data, err := io.ReadAll(io.LimitReader(part, suppression.MaxCSV+1))
		if err != nil {
			fail(err)
			return nil, "", false
		}
		switch part.FormName() {
		case "file":
			text = data
		case "for":
			if r := suppression.Reason(data); slices.Contains(personalReasons, r) {
				reason = r
			}
		}
	}
	return text, reason, true
}

// sendList sends what a query finds as a file. shown may change what is told of its entries.
func (v *visit) sendList(q suppression.Query, name string, shown func([]suppression.Entry)) {
	h, to, begun := v.w.Header(), http.NewResponseController(v.w), false
	err := v.s.o.Suppression.Export(v.r.Context(), v.w, q, func(entries []suppression.Entry) {
		_ = to.SetWriteDeadline(time.Now().Add(30 * time.Second)) // the server's own is meant for pages
		if !begun {
			begun, v.status = true, http.StatusOK
			h.Set("Content-Type", "text/csv; charset=utf-8")
			h.Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
		}
		if shown != nil {
			shown(entries)
		}
	})
	switch {
	case err == nil, errors.Is(err, suppression.ErrUnread):
	case !begun:
		v.broken("suppression list not exported", err)
	default:
		v.s.o.Logger.Error("export of the suppression list broken off", "customer", v.customer.ID, "error", err)
		_ = to.SetWriteDeadline(time.Unix(1, 0)) // the file must not look complete
	}
}

// csvFaults tells what is wrong with a file, row by row, in the reader's language.
func (p page) csvFaults(err error) []string {
	var out []string
	var tell func(error)
	tell = func(err error) {
		var row *suppression.RowError
		var form *csv.ParseError
		switch joined, many := err.(interface{ Unwrap() []error }); {
		case len(out) == mostFaults:
		case errors.As(err, &row) && !many:
			key := "lists.import.row.whole"
			if row.Column != "" {
				key = "lists.import.row.column"
				if k := "lists.import.row." + row.Column; p.site.o.Catalog.Has("portal." + k) {
					key = k
				}
			}
			out = append(out, p.T(key, "Line", row.Line, "Column", row.Column, "Value", clean(row.Value, 80)))
		case many && !errors.As(err, &form):
			for _, e := range joined.Unwrap() {
				tell(e)
			}
		case errors.As(err, &form):
			out = append(out, p.T("lists.import.row.form", "Line", form.Line))
		case errors.Is(err, suppression.ErrTooMany):
			out = append(out, p.T("lists.fault.full"))
		default:
			out = append(out, p.T("lists.import.fault.head"))
		}
	}
	tell(err)
	return slices.Compact(out)
}
