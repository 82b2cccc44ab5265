package postmaster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"postern/internal/store"
)

// Metric is what Gmail says of a domain and day, as a share from 0 to 1.
type Metric string

// The metrics. Those that begin with "loop " are the share of one feedback loop (the last part of Feedback-ID), which is named behind.
const (
	Spam       Metric = "spam"         // mail that its readers marked as spam, of what reached their inboxes
	SPFPassed  Metric = "spf"          // mail that passed SPF
	DKIMPassed Metric = "dkim"         // mail that passed DKIM
	DMARCPass  Metric = "dmarc"        // mail that passed DMARC
	TLSIn      Metric = "tls"          // mail that reached Gmail with TLS
	Refused    Metric = "errors"       // mail that Gmail refused for good
	Delayed    Metric = "errors later" // mail that Gmail refused for now
	loopPrefix        = "loop "
)

// Metrics returns the metrics in the order in which they are shown.
func Metrics() []Metric {
	return []Metric{Spam, SPFPassed, DKIMPassed, DMARCPass, TLSIn, Refused, Delayed}
}

// googleMetrics are the questions (Gmail Postmaster Tools API v2, domains.domainStats.query, read 2026-11).
var googleMetrics = map[Metric]googleMetric{
	Spam:       {"SPAM_RATE", ""},
	SPFPassed:  {"AUTH_SUCCESS_RATE", `auth_type = "spf"`},
	DKIMPassed: {"AUTH_SUCCESS_RATE", `auth_type = "dkim"`},
	DMARCPass:  {"AUTH_SUCCESS_RATE", `auth_type = "dmarc"`},
	TLSIn:      {"TLS_ENCRYPTION_RATE", `traffic_direction = "inbound"`},
	Refused:    {"DELIVERY_ERROR_RATE", `error_type = "reject"`},
	Delayed:    {"DELIVERY_ERROR_RATE", `error_type = "temp_fail"`},
}

type googleMetric struct{ standard, filter string }

// Bounds of what Google is asked and of what it answers.
const (
	googleDays    = 30   // asked for each time: figures come a day or two later, and are corrected
	maxDomains    = 2000 // of one account
	maxLoops      = 20   // feedback loops of a domain
	maxPages      = 50   // of one list
	maxLatest     = 500  // domains of one page of ours
	googleBase    = "https://gmailpostmastertools.googleapis.com"
	googleTokens  = "https://oauth2.googleapis.com/token"
	maxGoogleBody = 1 << 20
)

// GoogleBase is the address of the interface.
func GoogleBase() string { return googleBase }

// googleScopes are what is asked for: reading figures, and the list of domains.
var googleScopes = []string{"https://www.googleapis.com/auth/postmaster.traffic.readonly", "https://www.googleapis.com/auth/postmaster.domain"}

// Figure is one metric of one domain and day.
type Figure struct {
	Domain string
	Day    time.Time
	Metric Metric
	Value  float64
}

// Demand is one of what Gmail demands of senders, and whether a domain keeps it.
type Demand struct {
	Domain string
	Name   string // Google's word in lower case: "spf", "dmarc_alignment", "one_click_unsubscribe"
	State  DemandState
	Reason string // Google's word in lower case; "": none
	Since  time.Time
	Seen   time.Time
}

// DemandState is whether a demand is kept.
type DemandState string

// The states of demands.
const (
	Compliant    DemandState = "compliant"
	NeedsWork    DemandState = "needs-work"
	DemandSilent DemandState = "unknown"
)

// Figures returns what is known of a span of days, of one domain or of all of them, by domain and day.
func (p *Postmaster) Figures(ctx context.Context, domain string, from, to time.Time) (all []Figure, err error) {
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		if domain != "" {
			all, err = scanFigures(tx.Query(sqlFiguresOf, domain, dayOf(from), dayOf(to)))
			return err
		}
		all, err = scanFigures(tx.Query(sqlFigures, dayOf(from), dayOf(to)))
		return err
	})
	return all, wrap(err)
}

func scanFigures(rows *store.Rows) (all []Figure, err error) {
	for rows.Next() {
		var f Figure
		var day int64
		if err := rows.Scan(&f.Domain, &day, (*string)(&f.Metric), &f.Value); err != nil {
			return nil, err
		}
		f.Day = timeOf(day)
		all = append(all, f)
	}
	return all, rows.Err()
}

// Said is what Gmail says of a domain: the last figure of each metric in a span of days but those of feedback loops, and what it demands.
type Said struct {
	Last    map[Metric]Figure
	Demands []Demand
}

// Latest returns what Gmail says of some domains, at most 500.
func (p *Postmaster) Latest(ctx context.Context, domains []string, from, to time.Time) (all map[string]Said, err error) {
	if len(domains) > maxLatest {
		return nil, fmt.Errorf("postmaster: %d domains at once; at most %d", len(domains), maxLatest)
	}
	if len(domains) == 0 {
		return nil, nil
	}
	args := make([]any, len(domains))
	for i, d := range domains {
		args[i] = d
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(domains)), ", ")
	var figures []Figure
	var demands []Demand
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		if figures, err = scanFigures(tx.Query(fmt.Sprintf(sqlFiguresOfAll, marks), slices.Concat(args, []any{dayOf(from), dayOf(to)})...)); err != nil {
			return err
		}
		demands, err = scanDemands(tx.Query(fmt.Sprintf(sqlDemandsOfAll, marks), args...))
		return err
	})
	all = map[string]Said{}
	for _, d := range domains {
		all[d] = Said{Last: map[Metric]Figure{}}
	}
	for _, f := range figures {
		all[f.Domain].Last[f.Metric] = f
	}
	for _, d := range demands {
		x := all[d.Domain]
		x.Demands = append(x.Demands, d)
		all[d.Domain] = x
	}
	return all, wrap(err)
}

// Domains returns the domains of which Gmail has ever said something, by name.
func (p *Postmaster) Domains(ctx context.Context) (all []string, err error) {
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		all = nil
		rows := tx.Query(sqlDomains)
		for rows.Next() {
			var d string
			if err := rows.Scan(&d); err != nil {
				return err
			}
			all = append(all, d)
		}
		return rows.Err()
	})
	return all, wrap(err)
}

// Demands returns what is known of Gmail's demands, of one domain or of all of them, by domain.
func (p *Postmaster) Demands(ctx context.Context, domain string) (all []Demand, err error) {
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		if domain != "" {
			all, err = scanDemands(tx.Query(sqlDemandsOf, domain))
			return err
		}
		all, err = scanDemands(tx.Query(sqlDemands))
		return err
	})
	return all, wrap(err)
}

func scanDemands(rows *store.Rows) (all []Demand, err error) {
	for rows.Next() {
		var d Demand
		if err := rows.Scan(&d.Domain, &d.Name, (*string)(&d.State), &d.Reason, &d.Since, &d.Seen); err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, rows.Err()
}

// fetchGoogle asks for the domains and what is said of each. One domain that cannot be read does not keep the others from it.
func (p *Postmaster) fetchGoogle(ctx context.Context) (rows int, fault Fault) {
	domains := p.o.Google.Domains
	if len(domains) == 0 {
		if domains, fault = p.googleDomains(ctx); fault != "" {
			return 0, fault
		}
	}
	worked := len(domains) == 0
	for _, d := range domains {
		n, bad := p.googleDomain(ctx, d)
		if rows += n; bad == "" {
			worked = true
			continue
		}
		if fault == "" {
			fault = bad
		}
		if bad != FaultNothing && bad != FaultForbidden && bad != FaultMalformed {
			return rows, bad // the next domain would hear the same
		}
	}
	if worked && (fault == FaultNothing || fault == FaultForbidden) {
		fault = "" // the permission is good; those domains are others'
	}
	return rows, fault
}

var domainName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_.-]{0,250}[a-z0-9])?$`)

// googleDomains lists the domains that the account may see and that are verified.
func (p *Postmaster) googleDomains(ctx context.Context) (all []string, fault Fault) {
	cursor := ""
	for range maxPages {
		var page struct {
			Domains []struct {
				Name       string `json:"name"`
				Permission string `json:"permission"`
				Verified   string `json:"verificationState"`
			} `json:"domains"`
			Next string `json:"nextPageToken"`
		}
		path := "/v2/domains?pageSize=200"
		if cursor != "" {
			path += "&pageToken=" + url.QueryEscape(cursor)
		}
		if fault = p.askGoogle(ctx, http.MethodGet, path, nil, &page); fault != "" {
			return nil, fault
		}
		for _, d := range page.Domains {
			name := strings.ToLower(strings.TrimPrefix(d.Name, "domains/"))
			if domainName.MatchString(name) && d.Permission != "NONE" && d.Verified != "UNVERIFIED" && len(all) < maxDomains {
				all = append(all, name)
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	slices.Sort(all)
	return slices.Compact(all), ""
}

// googleDomain reads one domain's demands and figures.
func (p *Postmaster) googleDomain(ctx context.Context, domain string) (rows int, fault Fault) {
	if !domainName.MatchString(domain) {
		return 0, FaultMalformed
	}
	demands, fault := p.googleDemands(ctx, domain)
	if fault != "" && fault != FaultNothing {
		return 0, fault
	}
	ask := make(map[string]googleMetric, len(googleMetrics)+1)
	for m, q := range googleMetrics {
		ask[string(m)] = q
	}
	ask["loops"] = googleMetric{"FEEDBACK_LOOP_ID", ""}
	figures, loops, bad := p.googleStats(ctx, domain, ask)
	if bad == FaultMalformed { // one metric that it does not know any more must not take the others along
		figures, loops = nil, nil
		for name, q := range ask {
			f, l, one := p.googleStats(ctx, domain, map[string]googleMetric{name: q})
			if one == "" {
				figures, loops, bad = append(figures, f...), append(loops, l...), ""
			}
		}
	}
	if bad != "" {
		return 0, bad
	}
	slices.Sort(loops)
	if loops = slices.Compact(loops); len(loops) > 0 {
		ask = map[string]googleMetric{}
		for _, id := range loops[:min(len(loops), maxLoops)] {
			ask[loopPrefix+id] = googleMetric{"FEEDBACK_LOOP_SPAM_RATE", `feedback_loop_id = "` + id + `"`}
		}
		if more, _, bad := p.googleStats(ctx, domain, ask); bad == "" {
			figures = append(figures, more...)
		}
	}
	if err := p.keepGoogle(ctx, domain, figures, demands); err != nil {
		p.complain(ctx, "what Gmail says of a domain", err)
		return 0, FaultInternal
	}
	return len(figures) + len(demands), ""
}

// PutGmail keeps what Gmail says of a domain that did not come through its interface.
func (p *Postmaster) PutGmail(ctx context.Context, domain string, figures []Figure, demands []Demand) error {
	if !domainName.MatchString(domain) {
		return fmt.Errorf("postmaster: %q is no domain", domain)
	}
	return wrap(p.keepGoogle(ctx, domain, slices.Clone(figures), demands))
}

// keepGoogle writes down what was read. What was not said stays as it is.
func (p *Postmaster) keepGoogle(ctx context.Context, domain string, figures []Figure, demands []Demand) error {
	now := micros(p.o.Now())
	slices.SortFunc(figures, func(a, b Figure) int {
		return cmp.Or(a.Day.Compare(b.Day), strings.Compare(string(a.Metric), string(b.Metric)))
	})
	return p.db.Write(ctx, func(tx *store.Tx) error {
		for _, f := range figures {
			if _, err := tx.Exec(sqlPutFigure, domain, dayOf(f.Day), string(f.Metric), f.Value, now); err != nil {
				return err
			}
		}
		for _, d := range demands {
			if _, err := tx.Exec(sqlPutDemand, domain, d.Name, string(d.State), d.Reason, now, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// googleStats asks for metrics of a domain, by names of ours, for the last days.
func (p *Postmaster) googleStats(ctx context.Context, domain string, ask map[string]googleMetric) (figures []Figure, loops []string, fault Fault) {
	type date struct {
		Year  int `json:"year"`
		Month int `json:"month"`
		Day   int `json:"day"`
	}
	dateOf := func(t time.Time) date { return date{t.Year(), int(t.Month()), t.Day()} }
	names := map[string]string{} // their name of a question must be plain; ours may hold anything
	definitions := []map[string]any{}
	for i, name := range slices.Sorted(maps.Keys(ask)) {
		key := "m" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		names[key] = name
		d := map[string]any{"name": key, "baseMetric": map[string]string{"standardMetric": ask[name].standard}}
		if ask[name].filter != "" {
			d["filter"] = ask[name].filter
		}
		definitions = append(definitions, d)
	}
	today := p.o.Now().UTC()
	question := map[string]any{"metricDefinitions": definitions, "aggregationGranularity": "DAILY", "pageSize": 200,
		"timeQuery": map[string]any{"dateRanges": map[string]any{"dateRanges": []any{map[string]any{"start": dateOf(today.AddDate(0, 0, -googleDays)), "end": dateOf(today)}}}}}
	for range maxPages {
		body, err := json.Marshal(question)
		if err != nil {
			return nil, nil, FaultInternal
		}
		var page struct {
			Stats []struct {
				Metric string `json:"metric"`
				Date   date   `json:"date"`
				Value  struct {
					Float  *float64 `json:"floatValue"`
					Double *float64 `json:"doubleValue"`
					List   struct {
						Values []string `json:"values"`
					} `json:"stringList"`
				} `json:"value"`
			} `json:"domainStats"`
			Next string `json:"nextPageToken"`
		}
		if fault = p.askGoogle(ctx, http.MethodPost, "/v2/domains/"+domain+"/domainStats:query", body, &page); fault != "" {
			return nil, nil, fault
		}
		for _, s := range page.Stats {
			name, known := names[s.Metric]
			day := time.Date(s.Date.Year, time.Month(s.Date.Month), s.Date.Day, 0, 0, 0, 0, time.UTC)
			if !known || dateOf(day) != s.Date || day.Year() < 2015 || day.After(today.AddDate(0, 0, 1)) {
				continue
			}
			if name == "loops" {
				for _, id := range s.Value.List.Values {
					if len(id) <= 100 && loopID.MatchString(id) && len(loops) < 1000 {
						loops = append(loops, id)
					}
				}
				continue
			}
			value := cmp.Or(s.Value.Float, s.Value.Double)
			if value == nil || math.IsNaN(*value) || *value < 0 || *value > 1 {
				continue // a day without a value is not known
			}
			figures = append(figures, Figure{domain, day, Metric(name), *value})
		}
		if page.Next == "" || len(figures) > 5000 {
			break
		}
		question["pageToken"] = page.Next
	}
	return figures, loops, ""
}

var loopID = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)

// googleDemands reads what of Gmail's demands a domain keeps (domains.getComplianceStatus, read 2026-11).
func (p *Postmaster) googleDemands(ctx context.Context, domain string) (all []Demand, fault Fault) {
	type status struct {
		Status string `json:"status"`
	}
	type verdict struct {
		Status status `json:"status"`
		State  status `json:"state"`
		Reason string `json:"reason"`
	}
	type data struct {
		Rows []struct {
			Requirement string `json:"requirement"`
			Status      status `json:"status"`
		} `json:"rowData"`
		OneClick *verdict `json:"oneClickUnsubscribeVerdict"`
		Honor    *verdict `json:"honorUnsubscribeVerdict"`
	}
	var got struct {
		Whole data  `json:"complianceData"`
		Sub   *data `json:"subdomainComplianceData"`
	}
	if fault = p.askGoogle(ctx, http.MethodGet, "/v2/domains/"+domain+"/complianceStatus", nil, &got); fault != "" {
		return nil, fault
	}
	d := got.Whole
	if got.Sub != nil && len(got.Sub.Rows) > 0 {
		d = *got.Sub
	}
	put := func(name, state, reason string) {
		name, reason = strings.ToLower(name), strings.ToLower(reason)
		if !word.MatchString(name) || reason != "" && !word.MatchString(reason) || len(all) > 50 {
			return
		}
		if strings.HasSuffix(reason, "unspecified") {
			reason = ""
		}
		x := Demand{Domain: domain, Name: name, State: DemandSilent, Reason: reason}
		switch state {
		case "COMPLIANT":
			x.State, x.Reason = Compliant, ""
		case "NEEDS_WORK":
			x.State = NeedsWork
		}
		if i := slices.IndexFunc(all, func(o Demand) bool { return o.Name == name }); i >= 0 {
			all[i] = x
			return
		}
		all = append(all, x)
	}
	for _, r := range d.Rows {
		put(r.Requirement, r.Status.Status, "")
	}
	if v := d.OneClick; v != nil {
		put("one_click_unsubscribe", cmp.Or(v.Status.Status, v.State.Status), v.Reason)
	}
	if v := d.Honor; v != nil {
		put("honor_unsubscribe", cmp.Or(v.Status.Status, v.State.Status), v.Reason)
	}
	return all, ""
}

var word = regexp.MustCompile(`^[a-z][a-z0-9_]{0,60}$`)

// askGoogle sends one question and reads its answer into a value; once more with a fresh permission when that is refused.
func (p *Postmaster) askGoogle(ctx context.Context, method, path string, body []byte, into any) Fault {
	for again := range 2 {
		bearer, fault := p.googleToken(ctx, again > 0)
		if fault != "" {
			return fault
		}
		a, fault := p.ask(ctx, method, strings.TrimSuffix(p.o.Google.Base, "/")+path, bearer, body)
		if fault == "" && a.status == http.StatusUnauthorized && again == 0 {
			continue
		}
		if fault == "" {
			fault = a.fault()
		}
		switch {
		case fault != "":
			return fault
		case len(a.body) > maxGoogleBody:
			return FaultLarge
		case json.Unmarshal(a.body, into) != nil:
			return FaultUnreadable
		}
		return ""
	}
	return FaultSignedOut
}

// googleToken returns a permission: of the service account, signed with its key (RFC 7523), or of a person's refresh token.
func (p *Postmaster) googleToken(ctx context.Context, fresh bool) (bearer string, fault Fault) {
	p.mu.Lock()
	had := p.access[SourceGoogle]
	p.mu.Unlock()
	if !fresh && had.value != "" && had.until.Sub(p.o.Now()) > 5*time.Minute {
		return had.value, ""
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, p.o.HTTP), askTime)
	defer cancel()
	source, err := p.googleSource(ctx)
	if err != nil {
		return "", FaultKey
	}
	t, err := source.Token()
	var refused *oauth2.RetrieveError
	switch {
	case err != nil && errors.As(err, &refused):
		return "", tokenFault(err)
	case err != nil && strings.Contains(err.Error(), "private key"):
		return "", FaultKey
	case err != nil:
		return "", FaultUnreachable
	}
	p.remember(SourceGoogle, t)
	return t.AccessToken, ""
}

func (p *Postmaster) googleSource(ctx context.Context) (oauth2.TokenSource, error) {
	g := p.o.Google
	if len(g.Key) == 0 {
		c := oauth2.Config{ClientID: g.ClientID, ClientSecret: g.ClientSecret, Endpoint: oauth2.Endpoint{TokenURL: cmp.Or(g.Token, googleTokens), AuthStyle: oauth2.AuthStyleInParams}}
		return c.TokenSource(ctx, &oauth2.Token{RefreshToken: g.Refresh}), nil
	}
	key, err := readKey(g.Key)
	if err != nil {
		return nil, err
	}
	c := jwt.Config{Email: key.Email, PrivateKey: []byte(key.Private), PrivateKeyID: key.ID, Scopes: googleScopes, TokenURL: cmp.Or(g.Token, key.Tokens, googleTokens)}
	return c.TokenSource(ctx), nil
}

// googleKey is the file that Google gives for a service account.
type googleKey struct {
	Type    string `json:"type"`
	Email   string `json:"client_email"`
	Private string `json:"private_key"`
	ID      string `json:"private_key_id"`
	Tokens  string `json:"token_uri"`
}

func readKey(data []byte) (k googleKey, err error) {
	if err := json.Unmarshal(data, &k); err != nil || k.Type != "service_account" || k.Email == "" || k.Private == "" {
		return k, errors.New("postmaster: this is no key of a service account (JSON with type, client_email and private_key)")
	}
	return k, nil
}

// CheckKey says whether bytes are a service account's key.
func CheckKey(data []byte) error {
	_, err := readKey(data)
	return err
}
