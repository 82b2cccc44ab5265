package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/aggregate"
	"postern/internal/api"
	"postern/internal/locale"
	"postern/internal/report"
)

// reportFile is the documented output of report --json: one line for each file.
type reportFile struct {
	File    string         `json:"file"`
	Kind    string         `json:"kind"` // of the first report; none
	Error   string         `json:"error,omitempty"`
	Refused []string       `json:"refused,omitempty"`
	Reports []reportOfFile `json:"reports"`
}

// reportOfFile is one report; only what its kind has is there.
type reportOfFile struct {
	Kind     string          `json:"kind"`
	Name     string          `json:"name,omitempty"`
	Wrapped  []string        `json:"wrapped,omitempty"`
	Warnings []reportWarning `json:"warnings,omitempty"`
	DMARC    *reportDMARC    `json:"dmarc,omitempty"`
	TLS      *reportTLS      `json:"tls,omitempty"`
	Feedback *reportFeedback `json:"feedback,omitempty"`
	XARF     *reportXARF     `json:"xarf,omitempty"`
	SNDS     *reportSNDS     `json:"snds,omitempty"`
}

type reportWarning struct {
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`
	Count  int    `json:"count"`
}

type reportDMARC struct {
	Organization string             `json:"organization"`
	Email        string             `json:"email,omitempty"`
	Contact      string             `json:"contact,omitempty"`
	ReportID     string             `json:"report_id"`
	Namespace    string             `json:"namespace,omitempty"`
	Generator    string             `json:"generator,omitempty"`
	Begin        time.Time          `json:"begin"`
	End          time.Time          `json:"end"`
	Domain       string             `json:"domain"`
	Policy       reportPolicy       `json:"policy"`
	Messages     int64              `json:"messages"`
	Passed       int64              `json:"passed"`
	Failed       int64              `json:"failed"`
	DKIM         int64              `json:"dkim_passed"`
	SPF          int64              `json:"spf_passed"`
	Errors       []string           `json:"errors,omitempty"`
	Records      []reportDMARCEntry `json:"records"`
}

type reportPolicy struct {
	P         string `json:"p"`
	SP        string `json:"sp,omitempty"`
	NP        string `json:"np,omitempty"`
	ADKIM     string `json:"adkim,omitempty"`
	ASPF      string `json:"aspf,omitempty"`
	Percent   string `json:"pct,omitempty"`
	Testing   string `json:"testing,omitempty"`
	FO        string `json:"fo,omitempty"`
	Discovery string `json:"discovery_method,omitempty"`
}

type reportDMARCEntry struct {
	Source       string         `json:"source_ip"`
	Count        int64          `json:"count"`
	Disposition  string         `json:"disposition"`
	DKIM         string         `json:"dkim"`
	SPF          string         `json:"spf"`
	Reasons      []reportReason `json:"reasons,omitempty"`
	HeaderFrom   string         `json:"header_from"`
	EnvelopeFrom string         `json:"envelope_from,omitempty"`
	EnvelopeTo   string         `json:"envelope_to,omitempty"`
	Signatures   []reportResult `json:"auth_dkim,omitempty"`
	Paths        []reportResult `json:"auth_spf,omitempty"`
}

type reportReason struct {
	Type    string `json:"type"`
	Comment string `json:"comment,omitempty"`
}

type reportResult struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector,omitempty"`
	Scope    string `json:"scope,omitempty"`
	Result   string `json:"result"`
}

type reportTLS struct {
	Organization string            `json:"organization"`
	Contact      string            `json:"contact,omitempty"`
	ReportID     string            `json:"report_id"`
	Begin        time.Time         `json:"begin"`
	End          time.Time         `json:"end"`
	Successful   int64             `json:"successful"`
	Failed       int64             `json:"failed"`
	Policies     []reportTLSPolicy `json:"policies"`
}

type reportTLSPolicy struct {
	Type       string             `json:"type"`
	Domain     string             `json:"domain"`
	Strings    []string           `json:"policy,omitempty"`
	MX         []string           `json:"mx,omitempty"`
	Successful int64              `json:"successful"`
	Failed     int64              `json:"failed"`
	Failures   []reportTLSFailure `json:"failures,omitempty"`
}

type reportTLSFailure struct {
	Result      string `json:"result"`
	Sessions    int64  `json:"sessions"`
	SendingIP   string `json:"sending_ip,omitempty"`
	MX          string `json:"mx,omitempty"`
	ReceivingIP string `json:"receiving_ip,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Information string `json:"information,omitempty"`
}

type reportFeedback struct {
	Type        string    `json:"type"`
	UserAgent   string    `json:"user_agent,omitempty"`
	Version     string    `json:"version,omitempty"`
	Arrival     time.Time `json:"arrival,omitzero"`
	Source      string    `json:"source_ip,omitempty"`
	MailFrom    string    `json:"mail_from,omitempty"`
	Recipients  []string  `json:"recipients,omitempty"`
	Domains     []string  `json:"domains,omitempty"`
	URIs        []string  `json:"uris,omitempty"`
	Results     []string  `json:"authentication_results,omitempty"`
	AuthFailure string    `json:"auth_failure,omitempty"`
	Delivery    string    `json:"delivery_result,omitempty"`
	Alignment   string    `json:"identity_alignment,omitempty"`
	DKIMDomain  string    `json:"dkim_domain,omitempty"`
	Selector    string    `json:"dkim_selector,omitempty"`
	Incidents   int64     `json:"incidents"`
	From        string    `json:"from,omitempty"`
	Subject     string    `json:"subject,omitempty"`
	MessageID   string    `json:"message_id,omitempty"`
}

type reportXARF struct {
	Version  string    `json:"version"`
	ID       string    `json:"report_id,omitempty"`
	Category string    `json:"category,omitempty"`
	Type     string    `json:"type"`
	Known    bool      `json:"known"`
	Source   string    `json:"source"`
	Port     int       `json:"source_port,omitempty"`
	Time     time.Time `json:"time,omitzero"`
	Reporter string    `json:"reporter,omitempty"`
	Contact  string    `json:"contact,omitempty"`
	Observed string    `json:"evidence_source,omitempty"`
	MailFrom string    `json:"mail_from,omitempty"`
	Subject  string    `json:"subject,omitempty"`
	URL      string    `json:"url,omitempty"`
	Tags     []string  `json:"tags,omitempty"`
	Evidence int       `json:"evidence"`
}

type reportSNDS struct {
	Shape  string `json:"shape"`
	Rows   int    `json:"rows"`
	Status int    `json:"status_rows"`
	Bad    int    `json:"bad_rows"`
}

// reportInput is the most that is read of one file, in bytes.
var reportInput = report.DefaultReadLimits().Input

func (c *command) report() *cobra.Command {
	language, all := locale.English, false
	cmd := &cobra.Command{Use: "report FILE...|FOLDER...|-", Short: "Say what reports of receivers mean: DMARC, TLS, failures, complaints, abuse", Args: several("files with reports, folders of them, or - for standard input"),
		Long: "Recognise and explain what receivers and others report: DMARC aggregate reports (RFC 7489, RFC 9990), failure reports (RFC 6591, RFC 9991), TLS reports (RFC 8460),\n" +
			"complaints (RFC 5965, JMRP), abuse in the X-ARF and XARF forms, SNDS files; as they are, in gzip, zip or mail. No gateway is needed. Hostile files are refused.\n" +
			"Exit code 1 when something is no report or was refused.\n\n" +
			"--json prints one line for each file: {\"file\",\"kind\",\"error\",\"refused\",\"reports\":[{\"kind\",\"name\",\"wrapped\",\"warnings\":[{\"code\",\"detail\",\"count\"}],\n" +
			"\"dmarc\"|\"tls\"|\"feedback\"|\"xarf\"|\"snds\":{…}}]}. kind is dmarc, failure, tls, complaint, jmrp, xarf, snds or none. Of dmarc: organization, report_id, begin, end, domain,\n" +
			"policy, messages, passed, failed, dkim_passed, spf_passed, records.",
		Example: "  postern report google.com\\!example.org\\!1793491200\\!1793577599.zip\n  postern report --lang fr reports/\n  postern report --json *.eml\n  postern report import reports/*.zip"}
	languageFlag(cmd, &language, "explanations")
	cmd.Flags().BoolVar(&all, "all", false, "show every row of long reports")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return c.runReport(args, language, all)
	}
	cmd.AddCommand(c.reportImport())
	return c.jsonFlag(cmd)
}

func (c *command) runReport(args []string, language string, all bool) error {
	catalog, err := locale.New()
	if err != nil {
		return err
	}
	reasons, err := aggregate.NewReasons()
	if err != nil {
		return err
	}
	files, err := messageFiles(args)
	if err != nil {
		return err
	}
	bad, failed := false, false
	for i, name := range files {
		raw, err := c.reportBytes(name)
		if err != nil && raw == nil {
			c.warn("%v", err)
			failed = true
			continue
		}
		out, read := reportFile{File: name, Kind: "none", Reports: []reportOfFile{}}, report.Reading{}
		if err == nil {
			out, read = readReports(name, raw)
		} else {
			out.Error = err.Error()
		}
		bad = bad || out.Error != "" || len(out.Refused) > 0
		if c.json {
			if err := c.object(out); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			_, _ = fmt.Fprintln(c.Stdout)
		}
		p := reportPrinter{c: c, catalog: catalog, lang: language, all: all, reasons: reasons}
		if err := p.file(out, read); err != nil {
			return err
		}
	}
	switch {
	case failed:
		return errSaid
	case bad:
		return errBad
	}
	return nil
}

// reportBytes reads a file. Of one that is too long the error comes with bytes: it can be told in the answer.
func (c *command) reportBytes(name string) ([]byte, error) {
	in := c.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	if in == nil {
		return nil, errors.New("-: there is no standard input")
	}
	raw, err := io.ReadAll(io.LimitReader(in, reportInput+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case int64(len(raw)) > reportInput:
		return raw[:0:0], fmt.Errorf("%w: it is longer than %s, the most that is read", report.ErrRefused, size(reportInput))
	case raw == nil:
		raw = []byte{}
	}
	return raw, nil
}

// readReports recognises what a file holds.
func readReports(name string, raw []byte) (reportFile, report.Reading) {
	out := reportFile{File: name, Kind: "none", Reports: []reportOfFile{}}
	read, err := report.Read(raw, name, report.ReadLimits{})
	if errors.Is(err, report.ErrNoReport) && report.LooksLikeSNDS(raw) {
		if s, err := report.ReadSNDS(raw); err == nil && len(s.Rows)+len(s.Status) > 0 {
			out.Kind = "snds"
			out.Reports = append(out.Reports, reportOfFile{Kind: "snds", SNDS: &reportSNDS{string(s.Shape), len(s.Rows), len(s.Status), len(s.Bad) + s.BadMore}})
			return out, read
		}
	}
	if err != nil {
		out.Error = err.Error()
	} else {
		for _, e := range read.Refused {
			out.Refused = append(out.Refused, e.Error())
		}
	}
	for i := range read.Reports {
		out.Reports = append(out.Reports, reportJSON(&read.Reports[i]))
	}
	if len(out.Reports) > 0 {
		out.Kind = out.Reports[0].Kind
	}
	return out, read
}

func reportJSON(x *report.Recognised) reportOfFile {
	out := reportOfFile{Kind: string(x.Kind), Name: x.Name, Wrapped: x.Path}
	for _, w := range x.Warnings {
		out.Warnings = append(out.Warnings, reportWarning{w.Code, w.Detail, w.Count})
	}
	switch {
	case x.Aggregate != nil:
		out.DMARC = dmarcJSON(x.Aggregate)
	case x.TLS != nil:
		t := x.TLS
		y := &reportTLS{Organization: t.Organization, Contact: t.Contact, ReportID: t.ID, Begin: t.Begin, End: t.End, Policies: []reportTLSPolicy{}}
		y.Successful, y.Failed = t.Sessions()
		for _, p := range t.Policies {
			q := reportTLSPolicy{Type: p.Type, Domain: p.Domain, Strings: p.Strings, MX: p.MXHosts, Successful: p.Successful, Failed: p.Failed}
			for _, f := range p.Failures {
				q.Failures = append(q.Failures, reportTLSFailure{f.Type, f.Sessions, f.SendingIP, f.MX, f.ReceivingIP, f.Reason, f.Information})
			}
			y.Policies = append(y.Policies, q)
		}
		out.TLS = y
	case x.Feedback != nil:
		f := x.Feedback
		out.Feedback = &reportFeedback{Type: f.Type, UserAgent: f.UserAgent, Version: f.Version, Arrival: f.Arrival, Source: f.SourceText, MailFrom: f.MailFrom, Recipients: f.Recipients, Domains: f.Domains,
			URIs: f.URIs, Results: f.Results, AuthFailure: f.AuthFailure, Delivery: f.Delivery, Alignment: f.Alignment, DKIMDomain: f.DKIMDomain, Selector: f.Selector, Incidents: f.Incidents,
			From: f.Original.From, Subject: f.Original.Subject, MessageID: f.Original.MessageID}
	case x.XARF != nil:
		r := x.XARF
		out.XARF = &reportXARF{r.Version, r.ID, r.Category, r.Type, r.Known, r.Source, r.SourcePort, r.Time, r.Reporter, r.Contact, r.Observed, r.MailFrom, r.Subject, r.URL, r.Tags, len(r.Evidence)}
	}
	return out
}

func dmarcJSON(a *report.Aggregate) *reportDMARC {
	p := a.Policy
	out := &reportDMARC{Organization: a.Reporter, Email: a.Email, Contact: a.Contact, ReportID: a.ID, Namespace: a.Namespace, Generator: a.Generator, Begin: a.Begin, End: a.End, Domain: p.Domain,
		Policy: reportPolicy{p.P, p.SP, p.NP, p.ADKIM, p.ASPF, p.Percent, p.Testing, p.FailureReporting, p.Discovery}, Errors: a.Errors, Records: make([]reportDMARCEntry, 0, len(a.Records))}
	out.Messages, out.Passed, out.DKIM, out.SPF = a.Messages()
	out.Failed = out.Messages - out.Passed
	for i := range a.Records {
		r := &a.Records[i]
		e := reportDMARCEntry{Source: r.SourceText, Count: r.Count, Disposition: r.Disposition, DKIM: r.DKIM, SPF: r.SPF, HeaderFrom: r.HeaderFrom, EnvelopeFrom: r.EnvelopeFrom, EnvelopeTo: r.EnvelopeTo}
		for _, x := range r.Reasons {
			e.Reasons = append(e.Reasons, reportReason(x))
		}
		for _, s := range r.Signatures {
			e.Signatures = append(e.Signatures, reportResult{Domain: s.Domain, Selector: s.Selector, Result: s.Result})
		}
		for _, s := range r.Paths {
			e.Paths = append(e.Paths, reportResult{Domain: s.Domain, Scope: s.Scope, Result: s.Result})
		}
		out.Records = append(out.Records, e)
	}
	return out
}

func (c *command) reportImport() *cobra.Command {
	cmd := &cobra.Command{Use: "import FILE...|FOLDER...|-", Short: "Bring reports into the running gateway", Args: several("files with reports, folders of them, or - for standard input"),
		Long: "Bring reports into the running gateway, as if they had come by mail. What came before counts once. Reports about domains that nobody has here are refused.\n" +
			"Exit code 1 when something was not taken.",
		Example: "  postern report import reports/*.zip"}
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		files, err := messageFiles(args)
		if err != nil {
			return err
		}
		bad := false
		for _, name := range files {
			raw, err := c.reportBytes(name)
			var got api.ReportImported
			if err == nil {
				got, err = server.ImportReport(ctx, api.ReportImport{Name: name, Data: raw})
			}
			if err != nil {
				c.warn("%s: %s", clean(name), strings.TrimSpace(err.Error()))
				bad = true
				continue
			}
			bad = bad || got.Fault != ""
			if c.json {
				if err := c.object(struct {
					File string `json:"file"`
					api.ReportImported
				}{name, got}); err != nil {
					return err
				}
				continue
			}
			text := fmt.Sprintf("%s, %s", count(got.Stored, "new report"), count(got.Duplicates, "known one"))
			if len(got.Domains) > 0 {
				text += " about " + strings.Join(got.Domains, ", ")
			}
			if len(got.Others) > 0 {
				text += "; not kept: " + strings.Join(got.Others, ", ")
			}
			if got.Fault != "" {
				text += "; " + c.paint(red, clean(got.Fault))
			}
			if err := c.say("%s: %s", c.paint(bold, clean(name)), text); err != nil {
				return err
			}
		}
		if bad {
			return errBad
		}
		return nil
	})
	return c.jsonFlag(cmd)
}
