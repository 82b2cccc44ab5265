package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/internal/aggregate"
	"postern/internal/locale"
	"postern/internal/report"
)

// reportRows is how many rows of a report are shown.
const reportRows = 40

// reportPrinter shows reports to a person.
type reportPrinter struct {
	c       *command
	catalog *locale.Catalog
	lang    string
	all     bool
	reasons *aggregate.Reasons
}

// why is the reason of a refusal in the reader's language.
func (p *reportPrinter) why(refusal string) string {
	return p.reasons.In(p.lang, strings.TrimPrefix(refusal, report.ErrRefused.Error()+": "))
}

func (p *reportPrinter) text(key string, pairs ...any) string {
	return p.catalog.Text(p.lang, "report."+key, locale.Args(pairs...))
}

func (p *reportPrinter) number(n int64) string { return locale.Number(p.lang, float64(n)) }

// line writes one line with looks.
func (p *reportPrinter) line(s style, text string) {
	for _, l := range strings.Split(strings.TrimSuffix(wrap(clean(text), "  ", p.c.columns), "\n"), "\n") {
		_, _ = fmt.Fprintln(p.c.Stdout, p.c.paint(s, l))
	}
}

func (p *reportPrinter) file(f reportFile, read report.Reading) error {
	_, err := fmt.Fprintf(p.c.Stdout, "%s: ", p.c.paint(bold, clean(f.File)))
	switch {
	case f.Kind == "snds":
		s := f.Reports[0].SNDS
		_, err = fmt.Fprintln(p.c.Stdout, p.text("snds", "Rows", p.number(int64(s.Rows)), "States", p.number(int64(s.Status)), "Bad", p.number(int64(s.Bad))))
		return err
	case f.Error != "" && strings.HasPrefix(f.Error, report.ErrRefused.Error()):
		_, err = fmt.Fprintln(p.c.Stdout, p.c.paint(red, p.text("refused", "Why", clean(p.why(f.Error)))))
		return err
	case f.Error != "":
		_, err = fmt.Fprintln(p.c.Stdout, p.c.paint(yellow, p.text("none")))
		return err
	}
	for i := range read.Reports {
		if i > 0 {
			_, _ = fmt.Fprintln(p.c.Stdout)
		}
		x := &read.Reports[i]
		switch {
		case x.Aggregate != nil:
			err = p.aggregate(x.Aggregate)
		case x.TLS != nil:
			err = p.tls(x.TLS)
		case x.Feedback != nil:
			err = p.feedback(x)
		case x.XARF != nil:
			err = p.xarf(x.XARF)
		}
		if err != nil {
			return err
		}
		for _, w := range x.Warnings {
			text := p.text("warning." + w.Code)
			if w.Detail != "" {
				text += p.text("detail", "Detail", w.Detail)
			}
			if w.Count > 1 {
				text += " (" + p.number(int64(w.Count)) + "×)"
			}
			p.line(yellow, "! "+text)
		}
	}
	for _, e := range f.Refused {
		p.line(red, "! "+p.text("refused", "Why", p.why(e)))
	}
	return nil
}

// span names the time of a report.
func (p *reportPrinter) span(begin, end time.Time) string {
	const layout = "2006-01-02 15:04"
	return begin.UTC().Format(layout) + " – " + end.UTC().Format(layout) + " UTC"
}

func (p *reportPrinter) share(part, all int64) string {
	if all == 0 {
		return "–"
	}
	return locale.Number(p.lang, float64(part*1000/all)/10) + "\u00a0%"
}

// verdictStyle is how the result of a check looks.
func verdictStyle(result string) style {
	switch result {
	case "pass":
		return green
	case "":
		return yellow
	}
	return red
}

func (p *reportPrinter) aggregate(a *report.Aggregate) error {
	_, _ = fmt.Fprintln(p.c.Stdout, clean(p.text("dmarc.title", "Reporter", a.Reporter, "Domain", a.Policy.Domain)))
	all, passed, dkim, spf := a.Messages()
	policy := "p=" + a.Policy.P
	for _, x := range []struct{ name, value, usual string }{{"sp", a.Policy.SP, a.Policy.P}, {"np", a.Policy.NP, ""}, {"pct", a.Policy.Percent, "100"}, {"t", a.Policy.Testing, "n"}} {
		if x.value != "" && x.value != x.usual {
			policy += " " + x.name + "=" + x.value
		}
	}
	p.line(dim, p.span(a.Begin, a.End)+" · "+policy+" · "+p.text("dmarc.id", "ID", a.ID))
	s := green
	if passed < all {
		s = yellow
	}
	p.line(s, p.text("dmarc.sum", "Messages", p.number(all), "Passed", p.number(passed), "Share", p.share(passed, all), "DKIM", p.number(dkim), "SPF", p.number(spf)))
	t := p.c.table(p.text("head.source"), p.text("head.messages"), p.text("head.done"), "DKIM", "SPF", p.text("head.from"), p.text("head.told"))
	rows := slices.Clone(a.Records)
	slices.SortStableFunc(rows, func(x, y report.AggregateRecord) int { return cmp.Compare(y.Count, x.Count) })
	more := 0
	if !p.all && len(rows) > reportRows {
		more = len(rows) - reportRows
		rows = rows[:reportRows]
	}
	failing := map[string]bool{}
	for i := range a.Records {
		if r := &a.Records[i]; !r.Passed() {
			failing[r.SourceText] = true
		}
	}
	for i := range rows {
		r := &rows[i]
		var told []string
		for _, s := range r.Signatures {
			told = append(told, "dkim="+s.Result+" "+s.Domain)
		}
		for _, s := range r.Paths {
			told = append(told, "spf="+s.Result+" "+s.Domain)
		}
		for _, x := range r.Reasons {
			told = append(told, x.Type)
		}
		done := style("")
		switch r.Disposition {
		case "quarantine":
			done = yellow
		case "reject":
			done = red
		}
		t.row(r.SourceText, cell{text: p.number(r.Count), right: true}, cell{text: p.text("done." + known(r.Disposition, "none", "quarantine", "reject", "pass")), style: done},
			cell{text: p.text("result." + known(r.DKIM, "pass", "fail")), style: verdictStyle(r.DKIM)}, cell{text: p.text("result." + known(r.SPF, "pass", "fail")), style: verdictStyle(r.SPF)}, r.HeaderFrom, strings.Join(told, ", "))
	}
	if err := t.print(p.c.Stdout); err != nil {
		return err
	}
	if more > 0 {
		p.line(dim, p.text("more", "Count", p.number(int64(more))))
	}
	for _, e := range a.Errors {
		p.line(yellow, p.text("dmarc.error", "Text", e))
	}
	key := "dmarc.fine"
	if all > passed {
		key = "dmarc.failing"
	} else if all == 0 {
		key = "dmarc.empty"
	}
	p.line("", p.text(key, "Failed", p.number(all-passed), "Sources", p.number(int64(len(failing))), "Domain", a.Policy.Domain))
	return nil
}

// known is a value that has a text, else "other"; "" is "unknown".
func known(value string, all ...string) string {
	switch {
	case value == "":
		return "unknown"
	case slices.Contains(all, value):
		return value
	}
	return "other"
}

func (p *reportPrinter) tls(x *report.TLSReport) error {
	var domains []string
	for _, q := range x.Policies {
		if !slices.Contains(domains, q.Domain) && len(domains) < 5 {
			domains = append(domains, q.Domain)
		}
	}
	_, _ = fmt.Fprintln(p.c.Stdout, clean(p.text("tls.title", "Reporter", x.Organization, "Domain", strings.Join(domains, ", "))))
	p.line(dim, p.span(x.Begin, x.End)+" · "+p.text("dmarc.id", "ID", x.ID))
	good, failed := x.Sessions()
	s := green
	if failed > 0 {
		s = red
	}
	p.line(s, p.text("tls.sum", "Successful", p.number(good), "Failed", p.number(failed), "Share", p.share(good, good+failed)))
	explained := map[string]bool{}
	var order []string
	for _, q := range x.Policies {
		p.line("", p.text("tls.policy", "Type", p.text("tls.type."+known(q.Type, "sts", "tlsa", "no-policy-found")), "Domain", q.Domain, "Successful", p.number(q.Successful), "Failed", p.number(q.Failed)))
		if len(q.Failures) == 0 {
			continue
		}
		t := p.c.table(p.text("head.result"), p.text("head.sessions"), "MX", p.text("head.receiving"), p.text("head.reason"))
		for i, f := range q.Failures {
			if i == reportRows && !p.all {
				t.note(dim, p.text("more", "Count", p.number(int64(len(q.Failures)-i))))
				break
			}
			t.row(cell{text: f.Type, style: red}, cell{text: p.number(f.Sessions), right: true}, f.MX, f.ReceivingIP, strings.TrimSpace(f.Reason+" "+f.Information))
			if k := known(f.Type, report.TLSResultTypes()...); !explained[k] {
				explained[k] = true
				order = append(order, k)
			}
		}
		if err := t.print(p.c.Stdout); err != nil {
			return err
		}
	}
	for _, k := range order {
		p.line("", k+": "+p.text("tls.result."+k))
	}
	return nil
}

func (p *reportPrinter) feedback(x *report.Recognised) error {
	f := x.Feedback
	_, _ = fmt.Fprintln(p.c.Stdout, clean(p.text("feedback.title."+string(x.Kind), "Type", f.Type, "Domain", f.From())))
	arrival := ""
	if !f.Arrival.IsZero() {
		arrival = f.Arrival.UTC().Format("2006-01-02 15:04 UTC")
	}
	failure := f.AuthFailure
	if failure != "" && slices.Contains([]string{"dmarc", "spf", "dkim", "bodyhash", "signature", "revoked", "adsp"}, failure) {
		failure += ": " + p.text("feedback.failure."+failure)
	}
	err := p.c.pairs(p.c.Stdout, p.text("feedback.source"), f.SourceText, p.text("feedback.arrival"), arrival, p.text("feedback.from"), f.Original.From, p.text("feedback.path"), f.MailFrom,
		p.text("feedback.to"), strings.Join(f.Recipients, ", "), p.text("feedback.subject"), f.Original.Subject, "Message-ID", f.Original.MessageID, p.text("feedback.failed"), failure,
		p.text("feedback.results"), strings.Join(f.Results, "; "), "DKIM", strings.TrimSpace(f.DKIMDomain+" "+f.Selector), p.text("feedback.delivery"), f.Delivery, p.text("feedback.agent"), f.UserAgent)
	if err != nil {
		return err
	}
	p.line("", p.text("feedback.means."+string(x.Kind)))
	return nil
}

func (p *reportPrinter) xarf(x *report.XARF) error {
	_, _ = fmt.Fprintln(p.c.Stdout, clean(p.text("xarf.title", "Version", x.Version, "Type", strings.Trim(x.Category+"/"+x.Type, "/"), "Source", x.Source)))
	at, source := "", x.Source
	if !x.Time.IsZero() {
		at = x.Time.UTC().Format("2006-01-02 15:04 UTC")
	}
	if x.SourcePort > 0 {
		source += fmt.Sprintf(" (%d)", x.SourcePort)
	}
	err := p.c.pairs(p.c.Stdout, p.text("feedback.source"), source, p.text("feedback.arrival"), at, p.text("xarf.reporter"), strings.TrimSpace(x.Reporter+" "+x.Contact), p.text("xarf.observed"), x.Observed,
		p.text("feedback.path"), x.MailFrom, p.text("feedback.subject"), x.Subject, "URL", x.URL, p.text("xarf.evidence"), p.number(int64(len(x.Evidence))))
	if err != nil {
		return err
	}
	p.line("", p.text("xarf.means."+known(x.Category, "messaging", "connection", "content", "copyright", "vulnerability", "infrastructure", "reputation")))
	return nil
}
