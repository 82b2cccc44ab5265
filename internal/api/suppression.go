package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/suppression"
	"postern/internal/user"
)

// Suppressed is an address, or a whole domain, that is not written to.
type Suppressed struct {
	Address  string       `json:"address" doc:"A whole domain is written @example.org"`
	Customer string       `json:"customer,omitempty" doc:"Who does not write to it; absent: nobody does"`
	Reason   string       `json:"reason" enum:"mailbox-full,suspended,unwilling,unknown-user,no-mail,complaint,unsubscribed,operator,sender"`
	Since    time.Time    `json:"since"`
	Until    time.Time    `json:"until,omitzero" doc:"When it ends; absent: when it is lifted"`
	By       string       `json:"by" doc:"rule, recipient, operator:NAME or sender:NAME"`
	Note     string       `json:"note,omitempty"`
	Hits     int          `json:"hits" doc:"Recipients that were not written to because of it"`
	LastHit  time.Time    `json:"last_hit,omitzero"`
	QueueID  mail.QueueID `json:"queue_id,omitempty" doc:"The message whose answer stands behind it"`
	Heard    time.Time    `json:"heard,omitzero" doc:"When that answer came"`
	Code     int          `json:"code,omitempty"`
	Enhanced string       `json:"enhanced,omitempty"`
	Answer   string       `json:"answer,omitempty"`
	Host     string       `json:"host,omitempty" doc:"Who said it"`
	Provider string       `json:"provider,omitempty"`
	Rule     string       `json:"rule,omitempty" doc:"Which rule understood the answer"`
	Phase    string       `json:"phase,omitempty"`
	Ended    bool         `json:"ended,omitempty" doc:"It counts no more"`
	Name     string       `json:"name,omitempty" doc:"The reason in words"`
	Explain  string       `json:"explain,omitempty"`
	Fix      string       `json:"fix,omitempty" doc:"What can be done"`
}

// SuppressionLift is an entry that was taken off.
type SuppressionLift struct {
	Address  string       `json:"address"`
	Customer string       `json:"customer,omitempty"`
	Reason   string       `json:"reason"`
	Since    time.Time    `json:"since"`
	MadeBy   string       `json:"made_by"`
	At       time.Time    `json:"at" doc:"When it was lifted"`
	By       string       `json:"by"`
	Why      string       `json:"why,omitempty"`
	QueueID  mail.QueueID `json:"queue_id,omitempty"`
	Answer   string       `json:"answer,omitempty"`
	Rule     string       `json:"rule,omitempty"`
}

// SuppressedList is one page of the list.
type SuppressedList struct {
	Entries []Suppressed      `json:"entries" nullable:"false"`
	Lifts   []SuppressionLift `json:"lifts,omitempty" doc:"Only when one address is shown: what was taken off before, the newest first"`
	Next    string            `json:"next,omitempty" doc:"Cursor of the following page"`
}

func (l SuppressedList) nextPage() string { return l.Next }
func (l SuppressionCSV) nextPage() string { return l.Next }

// SuppressRequest puts an address on the list.
type SuppressRequest struct {
	Customer string    `json:"customer,omitempty" maxLength:"64" doc:"Who does not write to it; absent: nobody does"`
	Address  string    `json:"address" maxLength:"400" doc:"An address, or @example.org for a whole domain"`
	Reason   string    `json:"reason,omitempty" enum:"mailbox-full,suspended,unwilling,unknown-user,no-mail,complaint,unsubscribed,operator,sender" doc:"Default: operator, of a customer's token sender"`
	Until    time.Time `json:"until,omitzero" doc:"When it ends; absent: as long as the reason says"`
	Note     string    `json:"note,omitempty" maxLength:"200"`
}

// LiftRequest takes an address off the list.
type LiftRequest struct {
	Customer string `json:"customer,omitempty" maxLength:"64" doc:"Whose entry; absent: the one for everybody"`
	Address  string `json:"address" maxLength:"400"`
	All      bool   `json:"all,omitempty" doc:"The entries of all customers and the one for everybody"`
	Why      string `json:"why,omitempty" maxLength:"200" doc:"For the audit"`
}

// ImportRequest adds entries in CSV.
type ImportRequest struct {
	CSV      string `json:"csv" maxLength:"60000" doc:"Rows with the names of the columns first, at most 60,000 bytes"`
	Customer string `json:"customer,omitempty" maxLength:"64" doc:"Whose they are where a row does not say; a row that says another customer is a fault"`
	Reason   string `json:"reason,omitempty" enum:"mailbox-full,suspended,unwilling,unknown-user,no-mail,complaint,unsubscribed,operator,sender" doc:"Where a row does not say; default operator"`
	Check    bool   `json:"check,omitempty" doc:"Only say what is wrong"`
	Line     int    `json:"line,omitempty" minimum:"0" doc:"Number of the first line, for errors"`
}

// SuppressionQuery selects entries. Zero fields do not restrict.
type SuppressionQuery struct {
	Customer string `query:"customer" maxLength:"64" doc:"What counts for this customer: his own entries and everybody's"`
	Own      bool   `query:"own" doc:"Only his own; without customer only everybody's"`
	Domain   string `query:"domain" maxLength:"255"`
	Reason   string `query:"reason" enum:"mailbox-full,suspended,unwilling,unknown-user,no-mail,complaint,unsubscribed,operator,sender"`
	Provider string `query:"provider" maxLength:"100"`
	Rule     string `query:"rule" maxLength:"100"`
	Ended    bool   `query:"ended" doc:"Also what counts no more; such entries are kept for a week"`
	Limit    int    `query:"limit" minimum:"0" maximum:"5000" doc:"Entries of one page; default 100"`
	Cursor   string `query:"cursor" maxLength:"2000"`
	Language string `query:"language" enum:"en,fr" doc:"Of the words; default en"`
}

func (q *SuppressionQuery) scope() *string { return &q.Customer }
func (r *SuppressRequest) scope() *string  { return &r.Customer }
func (r *LiftRequest) scope() *string      { return &r.Customer }
func (r *ImportRequest) scope() *string    { return &r.Customer }

// addSuppression registers the list of addresses that are not written to.
func (s *server) addSuppression() {
	get, post := http.MethodGet, http.MethodPost
	read, write := over(user.ListsRead), over(user.ListsWrite)
	add(s, get, "/v1/suppression", "list-suppressed", "Addresses that are not written to, the newest first", read, s.listSuppressed)
	add(s, get, "/v1/suppression/show", "show-suppressed", "Everything about one address, and what was lifted before", read, s.showSuppressed)
	add(s, post, "/v1/suppression", "suppress", "Put an address on the list", write.as("suppression.add").anew(), s.suppress)
	add(s, post, "/v1/suppression/lift", "lift-suppressed", "Take an address off the list; the same evidence does not bring it back", write.as("suppression.lift").anew(), s.liftSuppressed)
	add(s, post, "/v1/suppression/import", "import-suppressed", "Add entries in CSV, all of them or none", write.as("suppression.import").anew(), s.importSuppressed)
	add(s, get, "/v1/suppression/export", "export-suppressed", "One page of the list in CSV", read, s.exportSuppressed)
}

// suppressions is the ledger, for a request about a customer, "" about everybody.
func (s *server) suppressions(customer string) (*suppression.Ledger, error) {
	if s.o.Suppression == nil {
		return nil, problem(http.StatusConflict, "off", "this gateway keeps no list of addresses that are not written to")
	}
	return s.o.Suppression, s.scope(customer)
}

// addressIn is suppressions for a request about one address.
func (s *server) addressIn(customer, address string) (*suppression.Ledger, mail.Address, error) {
	l, err := s.suppressions(customer)
	if err != nil {
		return nil, mail.Address{}, err
	}
	a, err := suppression.ParseAddress(address)
	if err != nil {
		return nil, a, s.listFail(err)
	}
	return l, a, nil
}

// visible returns what of the entries of an address a principal may see: a customer his own, and that nobody writes there, without the mail of
// others that led to it.
func visible(who user.Principal, all []suppression.Entry) []suppression.Entry {
	if who.Gateway() {
		return all
	}
	var out []suppression.Entry
	for _, e := range all {
		switch e.Customer {
		case who.Customer:
			out = append(out, e)
		case "":
			e.By, e.Note, e.Hits, e.LastHit, e.Evidence = "", "", 0, time.Time{}, suppression.Evidence{}
			out = append(out, e)
		}
	}
	return out
}

// listFail turns an error of the ledger into a problem.
func (s *server) listFail(err error) error {
	text := foreign(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "suppression: ", ""), "not accepted: "))
	switch {
	case errors.Is(err, suppression.ErrInvalid):
		return because(http.StatusUnprocessableEntity, "invalid", text)
	case errors.Is(err, suppression.ErrNotFound):
		return because(http.StatusNotFound, "not-found", text)
	case errors.Is(err, suppression.ErrLifted):
		return problem(http.StatusConflict, "lifted", "an entry was taken off after this evidence was heard; put it back in your own name")
	case errors.Is(err, suppression.ErrTooMany):
		return problem(http.StatusConflict, "full", "the list holds %d addresses, which is all it takes; lift some first", suppression.MaxEntries)
	}
	return s.fail(err)
}

func (s *server) suppressed(e suppression.Entry, lang string) Suppressed {
	v := e.Evidence
	out := Suppressed{Address: suppression.FormatAddress(e.Address), Customer: e.Customer, Reason: string(e.Reason), Since: e.Since, Until: e.Until, By: e.By, Note: e.Note, Hits: e.Hits,
		LastHit: e.LastHit, QueueID: v.QueueID, Heard: v.At, Code: v.Code, Enhanced: v.Enhanced, Answer: v.Text, Host: v.Host, Provider: v.Provider, Rule: v.Rule, Phase: v.Phase,
		Ended: !e.Until.IsZero() && !s.o.Now().Before(e.Until)}
	if c := s.o.Catalog; c != nil {
		if lang == "" {
			lang = locale.English
		}
		key := "suppression.reason." + out.Reason
		out.Name, out.Explain, out.Fix = c.Text(lang, key+".name", nil), c.Text(lang, key+".explain", nil), c.Text(lang, key+".fix", nil)
	}
	return out
}

func (q SuppressionQuery) read() (suppression.Query, error) {
	out := suppression.Query{Customer: q.Customer, Own: q.Own, Reason: suppression.Reason(q.Reason), Provider: q.Provider, Rule: q.Rule, Ended: q.Ended, Limit: q.Limit, Cursor: q.Cursor}
	if q.Domain != "" {
		d, err := mail.ParseDomain(strings.TrimPrefix(q.Domain, "@"))
		if err != nil {
			return out, invalid("domain: %q is none", clip(q.Domain, 80))
		}
		out.Domain = d
	}
	return out, nil
}

// suppressedPage reads one page of the list: of a customer who asks himself his own entries only.
func (s *server) suppressedPage(ctx context.Context, in *SuppressionQuery) ([]suppression.Entry, string, error) {
	l, err := s.suppressions(in.Customer)
	if err != nil {
		return nil, "", err
	}
	q, err := in.read()
	if err != nil {
		return nil, "", err
	}
	if !principal(ctx).Gateway() {
		q.Own = true
	}
	all, next, err := l.List(ctx, q)
	if err != nil {
		return nil, "", s.listFail(err)
	}
	return all, next, nil
}

func (s *server) listSuppressed(ctx context.Context, in *SuppressionQuery) (*body[SuppressedList], error) {
	all, next, err := s.suppressedPage(ctx, in)
	if err != nil {
		return nil, err
	}
	out := SuppressedList{Entries: []Suppressed{}, Next: next}
	for _, e := range all {
		out.Entries = append(out.Entries, s.suppressed(e, in.Language))
	}
	return &body[SuppressedList]{out}, nil
}

type suppressedIn struct {
	ForCustomer
	Address  string `query:"address" required:"true" maxLength:"400" doc:"An address, or @example.org"`
	Language string `query:"language" enum:"en,fr" doc:"Of the words; default en"`
}

func (s *server) showSuppressed(ctx context.Context, in *suppressedIn) (*body[SuppressedList], error) {
	const mostLifts = 50
	l, a, err := s.addressIn(in.Customer, in.Address)
	if err != nil {
		return nil, err
	}
	all, err := l.Find(ctx, a)
	if err != nil {
		return nil, s.listFail(err)
	}
	lifts, err := l.Lifts(ctx, a, mostLifts)
	if err != nil {
		return nil, s.listFail(err)
	}
	out := SuppressedList{Entries: []Suppressed{}}
	for _, e := range visible(principal(ctx), all) {
		if in.Customer != "" && e.Customer != "" && e.Customer != in.Customer {
			continue
		}
		out.Entries = append(out.Entries, s.suppressed(e, in.Language))
	}
	for _, x := range lifts {
		e := x.Entry
		if in.Customer != "" && e.Customer != in.Customer {
			continue
		}
		out.Lifts = append(out.Lifts, SuppressionLift{Address: suppression.FormatAddress(e.Address), Customer: e.Customer, Reason: string(e.Reason), Since: e.Since, MadeBy: e.By, At: x.At,
			By: x.By, Why: x.Why, QueueID: e.Evidence.QueueID, Answer: e.Evidence.Text, Rule: e.Evidence.Rule})
	}
	return &body[SuppressedList]{out}, nil
}

func (s *server) suppress(ctx context.Context, in *customerBody[SuppressRequest, *SuppressRequest]) (*body[Done], error) {
	r := in.Body
	about(ctx, r.Address, r.Note)
	l, a, err := s.addressIn(r.Customer, r.Address)
	if err != nil {
		return nil, err
	}
	if !r.Until.IsZero() && !r.Until.After(s.o.Now()) {
		return nil, invalid("until: %s is past", r.Until.Format(time.RFC3339))
	}
	reason := suppression.Reason(r.Reason)
	if reason == "" {
		reason = ownReason(ctx)
	}
	kept, err := s.operatorsEntries(ctx, l, r.Customer, a)
	if err != nil {
		return nil, err
	}
	if kept[a] {
		return done("%s: %s is on the list already, and the operator of the gateway put it there", forWhom(r.Customer), suppression.FormatAddress(a)), nil
	}
	if reason == suppression.ByOperator && !principal(ctx).Gateway() {
		reason = suppression.BySender
	}
	e := suppression.Entry{Customer: r.Customer, Address: a, Reason: reason, Until: r.Until, By: listActor(ctx), Note: r.Note}
	changed, err := l.AddAll(ctx, []suppression.Entry{e})
	if err != nil {
		return nil, s.listFail(err)
	}
	if changed == 0 {
		return done("%s: %s is on the list already, for a reason as strong", forWhom(r.Customer), suppression.FormatAddress(a)), nil
	}
	f := journal.Fact{Kind: journal.Listed, At: s.o.Now(), Customer: r.Customer, Recipient: suppression.FormatAddress(a), Text: string(reason) + ": " + r.Note, NextAt: r.Until, Actor: actor(ctx)}
	if err := s.wrote(ctx, f); err != nil {
		return nil, err
	}
	out := done("%s: %s is not written to from now on", forWhom(r.Customer), suppression.FormatAddress(a))
	out.Body.Count = changed
	return out, nil
}

// ownReason is why an address is on the list when nothing is said.
func ownReason(ctx context.Context) suppression.Reason {
	if principal(ctx).Gateway() {
		return suppression.ByOperator
	}
	return suppression.BySender
}

// listActor is who answers for an entry: an operator or a sender, whether he came himself or with a token.
func listActor(ctx context.Context) string {
	if who := principal(ctx); !who.Gateway() {
		return "sender:" + who.ID
	}
	return "operator:" + principal(ctx).ID
}

// operatorsEntries are entries of an address that a customer's principal leaves alone: an operator put them there.
func (s *server) operatorsEntries(ctx context.Context, l *suppression.Ledger, customer string, a mail.Address) (map[mail.Address]bool, error) {
	if principal(ctx).Gateway() {
		return nil, nil
	}
	kept, err := l.Guarded(ctx, customer, a)
	if err != nil {
		return nil, s.listFail(err)
	}
	return kept, nil
}

// wrote puts what was done into the journal.
func (s *server) wrote(ctx context.Context, facts ...journal.Fact) error {
	if err := s.o.Journal.Append(ctx, facts...); err != nil {
		return s.fail(fmt.Errorf("it is done, but the journal did not take it: %w", err))
	}
	return nil
}

func (s *server) liftSuppressed(ctx context.Context, in *customerBody[LiftRequest, *LiftRequest]) (*body[Done], error) {
	r := in.Body
	about(ctx, r.Address, r.Why)
	if r.All && r.Customer != "" {
		return nil, invalid("all: leave customer out, or all")
	}
	l, a, err := s.addressIn(r.Customer, r.Address)
	if err != nil {
		return nil, err
	}
	entries, err := l.Find(ctx, a)
	if err != nil {
		return nil, s.listFail(err)
	}
	var mine, others []suppression.Entry
	for _, e := range visible(principal(ctx), entries) {
		switch {
		case e.Address != a: // the whole domain's
			others = append(others, e)
		case r.All || e.Customer == r.Customer:
			mine = append(mine, e)
		default:
			others = append(others, e)
		}
	}
	if len(mine) == 0 {
		if len(others) > 0 {
			return nil, problem(http.StatusNotFound, "not-found", "%s: %s is not on the list; there is %s: name that with customer or address, or use all",
				forWhom(r.Customer), suppression.FormatAddress(a), where(others))
		}
		return nil, problem(http.StatusNotFound, "not-found", "%s: %s is not on the list", forWhom(r.Customer), suppression.FormatAddress(a))
	}
	kept, err := s.operatorsEntries(ctx, l, r.Customer, a)
	if err != nil {
		return nil, err
	}
	if kept[a] {
		return nil, problem(http.StatusForbidden, "operators-entry", "the operator of the gateway put this address on your list, and only he takes it off; ask him, and say why")
	}
	var facts []journal.Fact
	for _, e := range mine {
		if _, err := l.LiftBecause(ctx, e.Customer, a, listActor(ctx), r.Why); err != nil && !errors.Is(err, suppression.ErrNotFound) {
			return nil, s.listFail(err)
		}
		facts = append(facts, journal.Fact{Kind: journal.Lifted, At: s.o.Now(), QueueID: e.Evidence.QueueID, Customer: e.Customer, Recipient: suppression.FormatAddress(a),
			Text: string(e.Reason) + ": " + r.Why, Actor: actor(ctx)})
	}
	if err := s.wrote(ctx, facts...); err != nil {
		return nil, err
	}
	what := say("%s is written to again", suppression.FormatAddress(a))
	if !r.All {
		what = say("%s: %s is written to again", forWhom(r.Customer), suppression.FormatAddress(a))
	}
	out := done("%s", what)
	if len(others) > 0 {
		out = done("%s; but there is %s", what, where(others))
	}
	out.Body.Count = len(mine)
	return out, nil
}

// where names entries that are not meant.
func where(entries []suppression.Entry) sentence {
	var all []sentence
	for _, e := range entries {
		who := say("%s for everybody", suppression.FormatAddress(e.Address))
		if e.Customer != "" {
			who = say("%s for %s", suppression.FormatAddress(e.Address), e.Customer)
		}
		all = append(all, who)
	}
	return few(all)
}

func (s *server) importSuppressed(ctx context.Context, in *customerBody[ImportRequest, *ImportRequest]) (*body[Done], error) {
	r := in.Body
	about(ctx, "file", "")
	l, err := s.suppressions(r.Customer)
	if err != nil {
		return nil, err
	}
	how := suppression.Import{Sender: !principal(ctx).Gateway(), Known: s.scope, Check: r.Check,
		Defaults: suppression.Defaults{Customer: r.Customer, Reason: ownReason(ctx), By: listActor(ctx), Line: r.Line, Fixed: r.Customer != ""}}
	if r.Reason != "" {
		how.Reason = suppression.Reason(r.Reason)
	}
	got, err := l.Import(ctx, strings.NewReader(r.CSV), how)
	if err != nil {
		return nil, s.listFail(err)
	}
	if r.Check {
		out := done("%d rows can be taken", got.Rows)
		out.Body.Count = got.Rows
		return out, nil
	}
	about(ctx, "file", got.String())
	f := journal.Fact{Kind: journal.Listed, At: s.o.Now(), Customer: r.Customer, Text: got.String(), Actor: actor(ctx)}
	if err := s.wrote(ctx, f); err != nil {
		return nil, err
	}
	out := done("%d of %d rows were new, stronger or longer", got.Changed, got.Rows)
	out.Body.Count = got.Changed
	return out, nil
}

// SuppressionCSV is one page of the list.
type SuppressionCSV struct {
	CSV  string `json:"csv" doc:"Rows; the first page begins with the names of the columns"`
	Next string `json:"next,omitempty" doc:"Cursor of the following page"`
}

func (s *server) exportSuppressed(ctx context.Context, in *SuppressionQuery) (*body[SuppressionCSV], error) {
	all, next, err := s.suppressedPage(ctx, in)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := suppression.WriteCSV(&b, all, in.Cursor == ""); err != nil {
		return nil, s.fail(err)
	}
	return &body[SuppressionCSV]{SuppressionCSV{CSV: b.String(), Next: next}}, nil
}

// values is the query as the client sends it.
func (q SuppressionQuery) values() url.Values {
	v := values("customer", q.Customer, "domain", q.Domain, "reason", q.Reason, "provider", q.Provider, "rule", q.Rule, "cursor", q.Cursor, "language", q.Language)
	for name, on := range map[string]bool{"own": q.Own, "ended": q.Ended} {
		if on {
			v.Set(name, "true")
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// Suppressed returns one page of the addresses that are not written to.
func (c *Client) Suppressed(ctx context.Context, q SuppressionQuery) (SuppressedList, error) {
	return get[SuppressedList](ctx, c, "/v1/suppression", q.values())
}

// SuppressedAddress returns everything about one address.
func (c *Client) SuppressedAddress(ctx context.Context, address, language string) (SuppressedList, error) {
	return get[SuppressedList](ctx, c, "/v1/suppression/show", values("address", address, "language", language))
}

// Suppress puts an address on the list.
func (c *Client) Suppress(ctx context.Context, r SuppressRequest) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, "/v1/suppression", r)
}

// LiftSuppressed takes an address off the list.
func (c *Client) LiftSuppressed(ctx context.Context, r LiftRequest) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, "/v1/suppression/lift", r)
}

// ImportSuppressed adds entries in CSV.
func (c *Client) ImportSuppressed(ctx context.Context, r ImportRequest) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, "/v1/suppression/import", r)
}

// ExportSuppressed returns one page of the list in CSV.
func (c *Client) ExportSuppressed(ctx context.Context, q SuppressionQuery) (SuppressionCSV, error) {
	return get[SuppressionCSV](ctx, c, "/v1/suppression/export", q.values())
}
