package portal

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"postern/internal/aggregate"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/user"
)

// unreadRoutes are the acts on what came in as a report and does not count: the operator's.
func (s *site) unreadRoutes() []route {
	operate := gateway(user.GatewayOperate)
	return []route{
		{method: http.MethodGet, path: "/o/reports/{unread}/file", access: operate, do: s.unreadFile},
		{method: http.MethodPost, path: "/o/reports/again", access: operate, act: "report.again", do: s.unreadAgain},
		{method: http.MethodPost, path: "/o/reports/drop", access: operate, act: "report.drop", do: s.reportDrop},
	}
}

type unreadRow struct {
	When, From, Size, Why string
	File                  string // URL of its bytes; "": they are not kept, or the visitor may not
	Acts                  []button
}

func (p page) unreadRow(v *visit, x *aggregate.Unread) unreadRow {
	row := unreadRow{When: p.date(x.Received), From: clean(x.Sender, 100), Size: locale.Bytes(p.Lang, x.Size), Why: clean(v.s.o.Reports.Why(p.Lang, x.Why), 300)}
	if x.Foreign {
		row.Why = p.T("reports.foreign", "Domain", clean(x.Why, 253))
	}
	if !v.reportWrites() {
		return row
	}
	id := map[string]string{"id": x.ID}
	if x.Kept {
		row.File = p.URL("/o/reports/" + x.ID + "/file")
		row.Acts = append(row.Acts, button{URL: p.URL("/o/reports/again"), Label: p.T("reports.again"), Class: "second small", Values: id})
	}
	row.Acts = append(row.Acts, button{URL: p.URL("/o/reports/drop"), Label: p.T("reports.drop"), Class: "second small", Values: id})
	return row
}

// unreadFile sends the bytes of a report that could not be read.
func (s *site) unreadFile(v *visit) {
	if s.o.Reports == nil {
		v.missing()
		return
	}
	id := v.r.PathValue("unread")
	switch raw, err := s.o.Reports.UnreadBody(v.r.Context(), id); {
	case errors.Is(err, aggregate.ErrNotFound):
		v.missing()
	case err != nil:
		v.broken("report not read", err)
	default:
		v.attachment("report-"+clean(id, 40)+".bin", raw)
	}
}

// attachment sends a file that came from outside. No browser is to show it, and if one does, nothing in it may run or load.
func (v *visit) attachment(name string, raw []byte) {
	h := v.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	h.Set("Content-Length", strconv.Itoa(len(raw)))
	v.status = http.StatusOK
	_, _ = bytes.NewReader(raw).WriteTo(v.w)
}

// unreadAgain reads one of them again, or all.
func (s *site) unreadAgain(v *visit) {
	if s.o.Reports == nil {
		v.missing()
		return
	}
	id, ctx := v.r.PostFormValue("id"), v.r.Context()
	v.about(clean(cmpOr(id, "all"), 64), "")
	if id == "" {
		n, err := s.o.Reports.AgainAll(ctx)
		if err != nil {
			v.broken("reports not read again", err)
			return
		}
		v.done("/o/reports", "reports.again.all", "Count", n)
		return
	}
	got, err := s.o.Reports.Again(ctx, id)
	switch {
	case errors.Is(err, aggregate.ErrNotFound):
		v.missing()
	case err != nil:
		v.broken("report not read again", err)
	case got.Stored+got.Duplicates > 0:
		v.about(clean(id, 64), strings.Join(got.Domains, " "))
		v.done("/o/reports", "reports.done", "Stored", got.Stored, "Known", got.Duplicates)
	default:
		v.done("/o/reports", "reports.again.still")
	}
}

func (s *site) reportDrop(v *visit) {
	id := v.r.PostFormValue("id")
	v.about(clean(id, 64), "")
	if s.o.Reports == nil || s.o.Reports.Drop(v.r.Context(), id) != nil {
		v.missing()
		return
	}
	v.done("/o/reports", "reports.dropped")
}

// reportTrouble is something that reports tell and that the domain's owner should look at.
type reportTrouble struct{ Title, Text, Since string }

// reportTroubles are those of a domain, in the reader's words.
func (s *site) reportTroubles(v *visit, d mail.Domain) (out []reportTrouble, err error) {
	all, err := s.o.Reports.Troubles(v.r.Context(), d)
	p := v.page
	for _, t := range all {
		pairs := []any{}
		for name, value := range t.Args {
			switch f, err := strconv.ParseFloat(value, 64); {
			case err == nil && (name == "Share" || name == "Usual"):
				pairs = append(pairs, name, locale.Number(p.Lang, f))
			case err == nil:
				pairs = append(pairs, name, p.count(f))
			default:
				pairs = append(pairs, name, clean(value, 500))
			}
		}
		out = append(out, reportTrouble{p.T("reports.trouble."+t.Code+".title", pairs...), p.T("reports.trouble."+t.Code+".text", pairs...), p.date(t.Since)})
	}
	return out, err
}
