package tlspolicy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/store"
)

// Times of the reports.
const (
	settleTime   = 15 * time.Minute   // after midnight: the counts of other nodes come in
	jitter       = 4 * time.Hour      // RFC 8460 4.1: "a random delay of up to four hours"
	reportFor    = 24 * time.Hour     // RFC 8460 5.5: an attempt that fails is repeated for a day
	keepResults  = 3                  // days; a domain whose record could not be asked for that long gets no report
	keepReports  = 7 * 24 * time.Hour // so that none is sent twice
	takenFor     = 10 * time.Minute   // one node sends it; another tries again after this
	reportsAtAll = 5000               // reports made, and sent, in one round
)

// dayDomain names what one report is about.
type dayDomain struct {
	day    int64
	domain mail.Domain
}

// Report makes the reports of the days before now's (UTC) for the domains that want them, and sends those that are due. Run calls it. The
// reports that cannot be made or sent now stay for the next call.
func (b *Book) Report(ctx context.Context) error {
	if b.o.DB == nil {
		return nil
	}
	now := b.o.Now()
	if err := b.sweep(ctx, now); err != nil {
		return err
	}
	var todo []dayDomain
	err := b.o.DB.Read(ctx, func(tx *store.Tx) error {
		todo = nil
		rows := tx.Query(sqlDomains, day(now), reportsAtAll)
		for rows.Next() {
			var x dayDomain
			var name string
			if err := rows.Scan(&x.day, &name); err != nil {
				return err
			}
			x.domain = mail.Domain(name)
			todo = append(todo, x)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("TLS reports: %w", err)
	}
	for _, x := range todo {
		if err := b.makeReport(ctx, x, now); err != nil {
			return fmt.Errorf("TLS report about %s: %w", x.domain, err)
		}
	}
	return b.sendReports(ctx, now)
}

// sweep forgets what is too old.
func (b *Book) sweep(ctx context.Context, now time.Time) error {
	return b.o.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(sqlOldResults, day(now)-keepResults); err != nil {
			return err
		}
		_, err := tx.Exec(sqlOldReports, micros(now.Add(-keepReports)))
		return err
	})
}

// makeReport turns a day's results into a report, or drops them when the domain wants none.
func (b *Book) makeReport(ctx context.Context, x dayDomain, now time.Time) error {
	var uris []string
	if b.tune.Load().Reports && b.o.Submitter != "" {
		a := dns.TXT(ctx, b.o.Resolver, "_smtp._tls."+string(x.domain))
		if a.Status == dns.TryLater {
			return nil // asked again in the next round
		}
		var texts []string
		for _, r := range a.Records {
			texts = append(texts, r.Text)
		}
		var err error
		if uris, err = ParseRPTRecord(texts); errors.Is(err, ErrInvalidRPT) {
			b.o.Logger.Info("no TLS report: the domain's record cannot be read", "rcpt_domain", x.domain, "error", err)
		}
	}
	if len(uris) == 0 {
		return b.o.DB.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(sqlDropResults, x.day, string(x.domain))
			return err
		})
	}
	r, err := b.gather(ctx, x)
	if err != nil {
		return err
	}
	body, err := r.Pack()
	if err != nil {
		return err
	}
	where, err := json.Marshal(uris)
	if err != nil {
		return err
	}
	return b.o.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(sqlMade, x.day, string(x.domain), r.ID, string(where), body, micros(now), micros(now)); err != nil {
			return err
		}
		_, err := tx.Exec(sqlDropResults, x.day, string(x.domain))
		return err
	})
}

// gather reads a day's results of one domain.
func (b *Book) gather(ctx context.Context, x dayDomain) (r Report, err error) {
	sum := sha256.Sum256([]byte(b.o.Submitter + "\x00" + string(x.domain) + "\x00" + strconv.FormatInt(x.day, 10)))
	r = Report{Organization: b.o.Organization, Contact: b.o.Contact,
		ID:        dayStart(x.day).Format("2006-01-02") + "." + hex.EncodeToString(sum[:8]) + "@" + b.o.Submitter,
		DateRange: DateRange{dayStart(x.day), dayStart(x.day + 1).Add(-time.Second)}}
	err = b.o.DB.Read(ctx, func(tx *store.Tx) error {
		r.Policies = nil
		last := ""
		rows := tx.Query(sqlResults, x.day, string(x.domain))
		for rows.Next() {
			var key string
			var text []byte
			var d FailureDetail
			if err := rows.Scan(&key, &d.Type, &d.SendingIP, &d.MX, &d.ReceivingIP, &d.Reason, &text, &d.Sessions); err != nil {
				return err
			}
			if key != last || len(r.Policies) == 0 {
				var p PolicyResult
				if err := json.Unmarshal(text, &p.Policy); err != nil {
					return err
				}
				r.Policies = append(r.Policies, p)
				last = key
			}
			p := &r.Policies[len(r.Policies)-1]
			if d.Type == "" {
				p.Summary.Successful += d.Sessions
				continue
			}
			p.Summary.Failed += d.Sessions
			if len(p.Failures) < maxFailures {
				p.Failures = append(p.Failures, d)
			}
		}
		return rows.Err()
	})
	return r, err
}

// madeReport is a row of tlspolicy_report.
type madeReport struct {
	dayDomain
	id    string
	uris  []string
	body  []byte
	tries int
	made  time.Time
}

// sendReports sends what is due.
func (b *Book) sendReports(ctx context.Context, now time.Time) error {
	var ready []madeReport
	err := b.o.DB.Read(ctx, func(tx *store.Tx) error {
		ready = nil
		rows := tx.Query(sqlReady, micros(now), reportsAtAll)
		for rows.Next() {
			var m madeReport
			var name, uris string
			if err := rows.Scan(&m.day, &name, &m.id, &uris, &m.body, &m.tries, &m.made); err != nil {
				return err
			}
			m.domain = mail.Domain(name)
			if err := json.Unmarshal([]byte(uris), &m.uris); err != nil {
				return err
			}
			ready = append(ready, m)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("TLS reports: %w", err)
	}
	for _, m := range ready {
		if ctx.Err() != nil {
			return nil
		}
		if err := b.sendReport(ctx, m, now); err != nil {
			return fmt.Errorf("TLS report about %s: %w", m.domain, err)
		}
	}
	return nil
}

// sendReport sends one report to the addresses that have not had it, unless another node is at it.
func (b *Book) sendReport(ctx context.Context, m madeReport, now time.Time) error {
	var taken int64
	err := b.o.DB.Write(ctx, func(tx *store.Tx) (err error) {
		taken, err = tx.Exec(sqlTake, micros(now.Add(takenFor)), m.day, string(m.domain), micros(now))
		return err
	})
	if err != nil || taken == 0 {
		return err
	}
	var left []string
	var last error
	for _, u := range m.uris {
		if err := b.sendTo(ctx, u, m); err != nil {
			left = append(left, u)
			last = err
		}
	}
	m.tries++
	next, words := int64(0), ""
	if last != nil {
		words = printable(last.Error())
		pause := min(5*time.Minute<<min(m.tries-1, 6), 4*time.Hour)
		if now.Add(pause).Sub(m.made) < reportFor {
			next = micros(now.Add(pause))
		}
		b.o.Logger.Info("TLS report not delivered", "rcpt_domain", m.domain, "tries", m.tries, "given_up", next == 0, "error", last)
	}
	where, err := json.Marshal(slices.Concat([]string{}, left))
	if err != nil {
		return err
	}
	return b.o.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(sqlTried, string(where), m.tries, next, words, m.day, string(m.domain))
		return err
	})
}

// sendTo sends a report to one address.
func (b *Book) sendTo(ctx context.Context, uri string, m madeReport) error {
	if to := reportTo(uri); !to.IsNull() {
		if b.o.Send == nil {
			return errors.New("no way to send mail")
		}
		// RFC 8460 5.1, 5.3: the form of file name and subject.
		name := fmt.Sprintf("%s!%s!%d!%d!001.json.gz", b.o.Submitter, m.domain, dayStart(m.day).Unix(), dayStart(m.day+1).Unix()-1)
		subject := fmt.Sprintf("Report Domain: %s Submitter: %s Report-ID: <%s>", m.domain, b.o.Submitter, m.id)
		return b.o.Send(ctx, to, subject, name, m.body, string(m.domain))
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, reportURL(uri), bytes.NewReader(m.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/tlsrpt+gzip")
	req.Header.Set("User-Agent", "Postern")
	res, err := b.client.Do(req)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("%s answers %d", uri, res.StatusCode)
	}
	return nil
}

// Run refreshes policies, writes counts and sends reports until ctx ends; then it writes the counts of the last minute.
func (b *Book) Run(ctx context.Context) error {
	if b.o.DB == nil {
		return nil
	}
	delay := settleTime + rand.N(jitter)
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	var refreshed, reported time.Time
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			if err := b.Flush(last); err != nil {
				b.o.Logger.Warn("TLS statistics of the last minute are lost", "error", err)
			}
			return nil
		case <-minute.C:
		}
		now := b.o.Now()
		if err := b.Flush(ctx); err != nil && ctx.Err() == nil {
			b.o.Logger.Warn("TLS statistics not written; tried again in a minute", "error", err)
		}
		if now.Sub(refreshed) >= time.Hour {
			b.Refresh(ctx)
			refreshed = now
		}
		if now.Sub(dayStart(day(now))) >= delay && now.Sub(reported) >= 5*time.Minute {
			if err := b.Report(ctx); err != nil && ctx.Err() == nil {
				b.o.Logger.Warn("TLS reports not made; tried again in five minutes", "error", err)
			}
			reported = now
		}
	}
}
