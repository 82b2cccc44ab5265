package tlspolicy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Result is what came of one connection, for TLS-RPT. Failure is one of RFC 8460 4.3's result types; "" success.
type Result struct {
	Question
	Policy  Policy
	At      time.Time
	Egress  netip.Addr
	Failure string
	Detail  string
}

// Bounds of what is counted. Beyond them the numbers stay right and the particulars are left out, or, when there are too many domains, a
// domain has no report of that day.
const (
	maxTally  = 50000 // rows in memory between two flushes
	perDomain = 100   // failures told apart in one policy of one domain between two flushes
	maxReason = 200   // bytes of words for one failure
)

// rowKey tells counts apart; it is the key of tlspolicy_result.
type rowKey struct {
	day                                                int64
	domain                                             mail.Domain
	policyKey, failure, egress, exchanger, addr, words string
}

// tally is what was counted since the last flush, guarded by Book.mu.
type tally struct {
	counts   map[rowKey]int64
	policies map[string][]byte // JSON of ReportedPolicy, by key
	apart    map[string]int    // failures told apart, by domain and policy
	lost     int64             // sessions that found no room
}

func (t *tally) clear() {
	*t = tally{counts: map[rowKey]int64{}, policies: map[string][]byte{}, apart: map[string]int{}}
}

func (t *tally) add(k rowKey, p ReportedPolicy, n int64) {
	text, err := json.Marshal(p)
	if err != nil {
		return
	}
	sum := sha256.Sum256(text)
	k.policyKey = hex.EncodeToString(sum[:8])
	if _, known := t.counts[k]; !known && k.failure != "" {
		group := string(k.domain) + " " + k.policyKey
		if t.apart[group] >= perDomain {
			k.egress, k.exchanger, k.addr, k.words = "", "", "", ""
		} else {
			t.apart[group]++
		}
	}
	if _, known := t.counts[k]; !known && len(t.counts) >= maxTally {
		t.lost += n
		return
	}
	t.counts[k] += n
	t.policies[k.policyKey] = text
}

// Record counts a result. It does not wait. Sessions of messages with "TLS-Required: No" are not counted: they did not keep to the domain's policy,
// and among them are the reports themselves (RFC 8460 3).
func (b *Book) Record(r Result) {
	if _, literal := r.Domain.Literal(); b.o.DB == nil || literal || r.TLSOptional || r.Policy.Mode == None {
		return
	}
	if r.At.IsZero() {
		r.At = b.o.Now()
	}
	f := r.Policy.facts
	if f == nil {
		f = &facts{}
	}
	k := rowKey{day: day(r.At), domain: r.Domain}
	if r.Failure != "" {
		k.failure, k.exchanger, k.words = r.Failure, r.Exchanger, printable(r.Detail)
		if r.Egress.IsValid() {
			k.egress = r.Egress.String()
		}
		if r.Addr.IsValid() {
			k.addr = r.Addr.String()
		}
	}
	p := ReportedPolicy{Type: "no-policy-found", Domain: string(r.Domain)}
	switch {
	case f.dane != nil && (len(f.dane.usable) > 0 || f.sts == nil):
		p = ReportedPolicy{Type: "tlsa", Strings: f.dane.all, Domain: f.dane.base, MXHost: []string{r.Exchanger}}
	case r.Policy.Source == SourceDANE:
		p = ReportedPolicy{Type: "tlsa", Domain: r.Exchanger, MXHost: []string{r.Exchanger}}
	case f.sts != nil && f.sts.Mode != STSNone:
		p = ReportedPolicy{Type: "sts", Strings: f.sts.lines(), Domain: string(r.Domain), MXHost: f.sts.MX}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tally.add(k, p, 1)
	if p.Type == "tlsa" && p.Domain != string(r.Domain) {
		// RFC 8460 1.1: the policy domain of DANE is the TLSA base domain, which has its own report; the recipients' domain learns of it too.
		k.domain = mail.Domain(p.Domain)
		b.tally.add(k, p, 1)
	}
	if f.stsFailure != "" {
		b.tally.add(rowKey{day: day(r.At), domain: r.Domain, failure: f.stsFailure, words: printable(f.stsDetail)}, ReportedPolicy{Type: "sts", Domain: string(r.Domain)}, 1)
	}
}

// day is the day of a moment in UTC, days since 1970.
func day(t time.Time) int64 { return t.Unix() / (24 * 3600) }

// dayStart is the first moment of a day.
func dayStart(d int64) time.Time { return time.Unix(d*24*3600, 0).UTC() }

// printable makes words from outside harmless and short.
func printable(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == 0xfffd {
			return ' '
		}
		return c
	}, s)
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "")
	}
	return s
}

// flushRows is how many rows go into one transaction: others' writes wait behind it.
const flushRows = 500

// Flush writes what was counted to the table. What cannot be written is counted on. Run calls it every minute and at the end.
func (b *Book) Flush(ctx context.Context) error {
	if b.o.DB == nil {
		return nil
	}
	b.mu.Lock()
	t := b.tally
	b.tally.clear()
	b.mu.Unlock()
	if t.lost > 0 {
		b.o.Logger.Warn("too many domains for the TLS statistics of this minute", "sessions_not_counted", t.lost)
	}
	keys := make([]rowKey, 0, len(t.counts))
	for k := range t.counts {
		keys = append(keys, k)
	}
	for len(keys) > 0 {
		n := min(len(keys), flushRows)
		err := b.o.DB.Write(ctx, func(tx *store.Tx) error {
			for _, k := range keys[:n] {
				if _, err := tx.Exec(sqlCount, k.day, string(k.domain), k.policyKey, k.failure, k.egress, k.exchanger, k.addr, k.words, t.policies[k.policyKey], t.counts[k]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.putBack(t, keys)
			return err
		}
		keys = keys[n:]
	}
	return nil
}

// putBack counts again what could not be written.
func (b *Book) putBack(t tally, keys []rowKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range keys {
		if len(b.tally.counts) >= maxTally {
			b.tally.lost += t.counts[k]
			continue
		}
		b.tally.counts[k] += t.counts[k]
		b.tally.policies[k.policyKey] = t.policies[k.policyKey]
	}
}
