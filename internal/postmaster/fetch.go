package postmaster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"postern/internal/report"
)

// Bounds of fetching.
const (
	fetchTime = 5 * time.Minute // of all questions to one source
	askTime   = time.Minute     // of one question
)

// answer is what a provider sent.
type answer struct {
	status int
	kind   string // media type
	body   []byte
}

// ask sends one question. The errors of net/http hold the address, and so the key: only their kind leaves this function.
func (p *Postmaster) ask(ctx context.Context, method, address, bearer string, body []byte) (answer, Fault) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil || req.URL.Scheme != "https" || req.URL.Host == "" {
		return answer{}, FaultKey
	}
	req.Header.Set("User-Agent", "Postern")
	req.Header.Set("Accept", "application/json, text/csv, */*;q=0.5")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := p.o.HTTP.Do(req)
	if err != nil {
		return answer{}, FaultUnreachable
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(res.Body, report.MaxSNDS+1))
	switch {
	case err != nil:
		return answer{}, FaultUnreachable
	case len(data) > report.MaxSNDS:
		return answer{}, FaultLarge
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return answer{status: res.StatusCode, kind: kind, body: data}, ""
}

// page reports whether an answer is for people: a sign-in page comes with status 200, too.
func (a answer) page() bool {
	start := bytes.ToLower(bytes.TrimSpace(a.body[:min(len(a.body), 200)]))
	return a.kind == "text/html" || a.kind == "application/xhtml+xml" || bytes.HasPrefix(start, []byte("<!doctype")) || bytes.HasPrefix(start, []byte("<html"))
}

// fault is what is wrong with an answer; "" for one with figures.
func (a answer) fault() Fault {
	switch {
	case a.status == http.StatusOK && a.page():
		return FaultSignedOut
	case a.status == http.StatusOK, a.status == http.StatusNoContent:
		return ""
	case a.status == http.StatusUnauthorized:
		return FaultSignedOut
	case a.status == http.StatusForbidden:
		return FaultForbidden
	case a.status == http.StatusNotFound:
		return FaultNothing
	case a.status == http.StatusBadRequest:
		return FaultMalformed
	case a.status == http.StatusTooManyRequests || a.status >= 500:
		return FaultBusy
	case a.status >= 300 && a.status <= 399:
		return FaultSignedOut // to the sign-in, which is the only place the service sends programs to
	}
	return FaultUnexpected
}

// fetchLink asks a link for figures or states.
func (p *Postmaster) fetchLink(ctx context.Context, w way) (rows int, fault Fault) {
	a, fault := p.ask(ctx, http.MethodGet, w.link.URL, "", nil)
	if fault == "" {
		fault = a.fault()
	}
	if fault != "" {
		return 0, fault
	}
	url := strings.ToLower(w.link.URL)
	return p.absorb(ctx, a.body, w.name, strings.Contains(url, "ipstatus") || strings.Contains(url, "report/status"))
}

// absorb keeps what an answer holds. states says that it is a report of abnormal addresses, which may name none.
func (p *Postmaster) absorb(ctx context.Context, body []byte, source string, states bool) (rows int, fault Fault) {
	s, err := report.ReadSNDS(body)
	switch {
	case errors.Is(err, report.ErrSNDSPage):
		return 0, FaultSignedOut
	case errors.Is(err, report.ErrSNDSLarge):
		return 0, FaultLarge
	case err != nil:
		return 0, FaultUnreadable
	}
	if s.Shape == report.SNDSNothing && states {
		s.Shape = report.SNDSStatusJSON
	}
	rows = len(s.Rows) + len(s.Status)
	if rows == 0 && len(s.Bad) > 0 {
		return 0, FaultUnreadable // a report of which nothing is understood ends no state
	}
	if isStates := s.Shape == report.SNDSStatusCSV || s.Shape == report.SNDSStatusJSON; isStates && len(s.Bad) > 0 {
		p.log.Warn("postmaster: some ranges of a report could not be read", "source", source, "rows", len(s.Bad)+s.BadMore)
	} else if len(s.Bad) > 0 {
		p.log.Warn("postmaster: some rows could not be read", "source", source, "rows", len(s.Bad)+s.BadMore)
	}
	var out Imported
	if err := p.keep(ctx, s, source, source, &out); err != nil {
		p.complain(ctx, "what "+source+" answered", err)
		return 0, FaultInternal
	}
	return rows, ""
}

// lookBack is how many days are asked for: the figures of a day come later, and are completed.
const lookBack = 3

// fetchSNDS asks the interface of 2026: GET /api/report/data/{yyyy-MM-dd} and GET /api/report/status/ip (third-party programs' sources, read 2026-11).
// 404 says that the permission has ended or that there is nothing, without telling which: nothing is known then.
func (p *Postmaster) fetchSNDS(ctx context.Context) (rows int, fault Fault) {
	today := p.o.Now().UTC()
	paths := []string{"/api/report/status/ip"}
	for i := range lookBack {
		paths = append(paths, "/api/report/data/"+today.AddDate(0, 0, -1-i).Format(time.DateOnly))
	}
	answered := false
	for i, path := range paths {
		a, bad := p.askMicrosoft(ctx, strings.TrimSuffix(p.o.Microsoft.Base, "/")+path)
		if bad == "" {
			bad = a.fault()
		}
		if bad == "" {
			var n int
			if n, bad = p.absorb(ctx, a.body, SourceSNDS, i == 0); bad == "" {
				rows, answered = rows+n, true
				continue
			}
		}
		if fault == "" || fault == FaultNothing {
			fault = bad
		}
		if bad != FaultNothing {
			break // the same would be said to the next question
		}
	}
	if answered && fault == FaultNothing {
		fault = "" // the permission is good: there is nothing of some days
	}
	return rows, fault
}

// askMicrosoft asks with the account's permission, and once more with a fresh one when that is refused.
func (p *Postmaster) askMicrosoft(ctx context.Context, address string) (answer, Fault) {
	for again := range 2 {
		bearer, fault := p.microsoftToken(ctx, again > 0)
		if fault != "" {
			return answer{}, fault
		}
		a, fault := p.ask(ctx, http.MethodGet, address, bearer, nil)
		if fault != "" || a.status != http.StatusUnauthorized || again > 0 {
			return a, fault
		}
	}
	return answer{}, FaultSignedOut
}
