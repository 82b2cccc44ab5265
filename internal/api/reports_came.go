package api

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"postern/internal/aggregate"
	"postern/internal/mail"
	"postern/internal/user"
)

// ReportTrouble is something that reports tell and that somebody should look at.
type ReportTrouble struct {
	Code  string            `json:"code" enum:"reports-source,reports-share,reports-tls" doc:"reports-source: new senders that nobody knows. reports-share: the domain's own mail passes less than usual. reports-tls: TLS sessions fail"`
	Since time.Time         `json:"since"`
	Args  map[string]string `json:"args" doc:"The figures, by name"`
}

// ReportFailure is a message that failed authentication, without the persons in it.
type ReportFailure struct {
	ID       string    `json:"id"`
	Received time.Time `json:"received"`
	Arrived  time.Time `json:"arrived,omitzero" doc:"When the receiver got the message"`
	IP       string    `json:"ip,omitempty" doc:"Where the message came from"`
	Reporter string    `json:"reporter,omitempty" doc:"Domain that reported"`
	Failure  string    `json:"failure,omitempty" doc:"What failed: dmarc, spf, dkim, bodyhash, signature, revoked"`
	Delivery string    `json:"delivery,omitempty" doc:"What became of it: delivered, spam, policy, reject, other"`
	Author   string    `json:"author,omitempty" doc:"Domain of the author (From)"`
	Path     string    `json:"path,omitempty" doc:"Domain of the reverse path"`
	Signer   string    `json:"signer,omitempty" doc:"Domain of its signature"`
	Selector string    `json:"selector,omitempty"`
	Results  []string  `json:"results,omitempty" doc:"Authentication-Results; addresses without their local parts"`
	Header   string    `json:"header,omitempty" doc:"Header fields that say how it travelled; no recipient, no subject"`
	Proof    string    `json:"proof,omitempty" enum:"given,authenticated,unauthenticated,unknown" doc:"Whether the mail that brought it is authenticated; see proof of a report"`
}

// ReportFailures are the failure reports about a domain.
type ReportFailures struct {
	Failures []ReportFailure `json:"failures" nullable:"false" doc:"The newest first. They are kept for 14 days, at most 200 of a domain"`
}

// ReportReceiver is one that reports.
type ReportReceiver struct {
	Name     string    `json:"name"`
	Email    string    `json:"email,omitempty" doc:"Where the receiver can be asked"`
	First    time.Time `json:"first" doc:"When the first report came"`
	Last     time.Time `json:"last" doc:"When the newest one came"`
	Reports  int64     `json:"reports"`
	Warned   int64     `json:"warned" doc:"Reports that depart from the standard"`
	Unsigned int64     `json:"unsigned" doc:"Reports that no valid signature came with"`
	Unproven int64     `json:"unauthenticated" doc:"Reports whose mail is not authenticated as this receiver's"`
}

// ReportReceivers are those that report.
type ReportReceivers struct {
	Receivers []ReportReceiver `json:"receivers" nullable:"false" doc:"Who reported last first"`
}

// ReportUnreadFile is what came in, as it came.
type ReportUnreadFile struct {
	Data []byte `json:"data" doc:"The bytes in base64, at most 1 MiB. They come from outside: do not open them where they could run"`
}

type reportFailuresIn struct {
	DomainRef
	Limit int `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

type reportReceiversIn struct {
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

// addReportsCame registers failure reports, receivers, and what could not be read.
func (s *server) addReportsCame() {
	get, see, operate := http.MethodGet, gateway(user.GatewayRead), gateway(user.GatewayOperate)
	add(s, get, "/v1/reports/domains/{domain}/failures", "list-report-failures", "Messages in a domain's name that failed authentication, as receivers report them", over(user.MailRead), s.listReportFailures)
	add(s, get, "/v1/reports/receivers", "list-report-receivers", "Who reports about the gateway's domains, and when last", see, s.listReportReceivers)
	add(s, get, "/v1/reports/unread", "list-unread-reports", "What came in as a report and could not be read, or is about nobody's domain", see, s.listUnreadReports)
	add(s, get, "/v1/reports/unread/{id}/file", "show-unread-report", "The bytes of one that could not be read", operate, s.showUnreadReport)
	add(s, http.MethodPost, "/v1/reports/unread/{id}/again", "read-report-again", "Read one of them again, as after an upgrade", operate.as("report.again"), s.readReportAgain)
	add(s, http.MethodDelete, "/v1/reports/unread/{id}", "drop-unread-report", "Forget one of them", operate.as("report.drop"), s.dropUnreadReport)
}

func (s *server) listReportFailures(ctx context.Context, in *reportFailuresIn) (*body[ReportFailures], error) {
	l, d, err := s.reportsOn(in.Domain)
	if err != nil {
		return nil, err
	}
	all, err := l.Failures(ctx, d, cmp.Or(in.Limit, 50))
	if err != nil {
		return nil, s.reportFail(err)
	}
	out := ReportFailures{Failures: []ReportFailure{}}
	for _, f := range all {
		out.Failures = append(out.Failures, ReportFailure{ID: f.ID, Received: f.Received, Arrived: f.Arrived, IP: f.Source, Reporter: f.Reporter, Failure: f.Failure, Delivery: f.Delivery, Author: f.Author, Path: f.Path,
			Signer: f.Signer, Selector: f.Selector, Results: f.Results, Header: f.Header, Proof: string(f.Proof)})
	}
	return &body[ReportFailures]{out}, nil
}

func (s *server) listReportReceivers(ctx context.Context, in *reportReceiversIn) (*body[ReportReceivers], error) {
	l, err := s.reports()
	if err != nil {
		return nil, err
	}
	all, err := l.Receivers(ctx, cmp.Or(in.Limit, 200))
	if err != nil {
		return nil, s.reportFail(err)
	}
	out := ReportReceivers{Receivers: []ReportReceiver{}}
	for _, r := range all {
		out.Receivers = append(out.Receivers, ReportReceiver(r))
	}
	return &body[ReportReceivers]{out}, nil
}

// reportTroubles are what stands of a domain.
func reportTroubles(ctx context.Context, l *aggregate.Ledger, d mail.Domain) ([]ReportTrouble, error) {
	all, err := l.Troubles(ctx, d)
	out := []ReportTrouble{}
	for _, t := range all {
		out = append(out, ReportTrouble{t.Code, t.Since, t.Args})
	}
	return out, err
}

func (s *server) showUnreadReport(ctx context.Context, in *unreadRef) (*body[ReportUnreadFile], error) {
	l, err := s.reports()
	if err != nil {
		return nil, err
	}
	raw, err := l.UnreadBody(ctx, in.ID)
	if err != nil {
		return nil, s.reportFail(err)
	}
	return &body[ReportUnreadFile]{ReportUnreadFile{raw}}, nil
}

func (s *server) readReportAgain(ctx context.Context, in *unreadRef) (*body[ReportImported], error) {
	l, err := s.reports()
	if err != nil {
		return nil, err
	}
	about(ctx, clip(in.ID, 64), "")
	got, err := l.Again(ctx, in.ID)
	if err != nil {
		return nil, s.reportFail(err)
	}
	about(ctx, clip(in.ID, 64), strings.Join(got.Domains, " "))
	return &body[ReportImported]{reportImported(l, reader(ctx), got)}, nil
}
