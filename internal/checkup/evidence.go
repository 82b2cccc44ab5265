package checkup

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"postern/internal/dns"
)

// memory asks each question once for a report, however many look at its answer.
type memory struct {
	next dns.Resolver
	mu   sync.Mutex
	all  map[asked]*answered
}

type asked struct {
	name string
	typ  dns.Type
}

type answered struct {
	done   chan struct{}
	answer dns.Answer // valid after done
}

func newMemory(next dns.Resolver) *memory { return &memory{next: next, all: map[asked]*answered{}} }

// Query is dns.Resolver.
func (m *memory) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	k := asked{strings.ToLower(strings.TrimSuffix(name, ".")), typ}
	m.mu.Lock()
	x, known := m.all[k]
	if !known {
		x = &answered{done: make(chan struct{})}
		m.all[k] = x
	}
	m.mu.Unlock()
	if !known {
		x.answer = m.next.Query(ctx, name, typ)
		close(x.done)
		return x.answer
	}
	select {
	case <-x.done:
		return x.answer
	case <-ctx.Done():
		return dns.Answer{Err: fmt.Errorf("%s %s: %w", k.name, k.typ, dns.ErrTimeout)}
	}
}

// witness writes down what is asked through it, for the evidence of a finding.
type witness struct {
	next dns.Resolver
	mu   sync.Mutex
	all  []Question
	seen map[asked]bool
}

// maxEvidence bounds the questions that a finding shows.
const maxEvidence = 40

func (l *look) witness() *witness { return &witness{next: l.known, seen: map[asked]bool{}} }

// Query is dns.Resolver.
func (w *witness) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	a := w.next.Query(ctx, name, typ)
	k := asked{strings.ToLower(strings.TrimSuffix(name, ".")), typ}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.seen[k] && len(w.all) < maxEvidence {
		w.seen[k] = true
		w.all = append(w.all, question(k, a))
	}
	return a
}

// note writes down what was asked in another way.
func (w *witness) note(q Question) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) < maxEvidence {
		w.all = append(w.all, q)
	}
}

// evidence is what was asked until now.
func (w *witness) evidence() []Question {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Question(nil), w.all...)
}

func question(k asked, a dns.Answer) Question {
	q := Question{Name: k.name, Type: k.typ.String(), Status: a.Status.String(), NoName: a.Status == dns.Nothing && a.NXDomain}
	for _, rec := range a.Records {
		if len(q.Values) == maxValues {
			break
		}
		q.Values = append(q.Values, clip(value(rec), maxValue))
	}
	if a.Status == dns.TryLater {
		q.Why = reason(a.Err)
	}
	return q
}

// value is a record's content in one line.
func value(r dns.Record) string {
	switch r.Type {
	case dns.TypeA, dns.TypeAAAA:
		return r.IP.String()
	case dns.TypeMX:
		return fmt.Sprintf("%d %s.", r.Pref, r.Host)
	case dns.TypeTXT, dns.TypeSPF:
		return r.Text
	case dns.TypeSOA:
		if r.SOA != nil {
			seconds := func(d time.Duration) int64 { return int64(d / time.Second) }
			return fmt.Sprintf("%s. %s. %d %d %d %d %d", r.Host, r.SOA.Mailbox, r.SOA.Serial, seconds(r.SOA.Refresh), seconds(r.SOA.Retry), seconds(r.SOA.Expire), seconds(r.SOA.Minimum))
		}
	case dns.TypeDS:
		if len(r.Data) > 4 {
			return fmt.Sprintf("%d %d %d %X", int(r.Data[0])<<8|int(r.Data[1]), r.Data[2], r.Data[3], r.Data[4:])
		}
	case dns.TypeTLSA:
		if len(r.Data) > 3 {
			return fmt.Sprintf("%d %d %d %x", r.Data[0], r.Data[1], r.Data[2], r.Data[3:])
		}
	case dns.TypeCAA:
		tag, text, _ := strings.Cut(r.Text, "=")
		return fmt.Sprintf("%d %s %q", r.Pref, tag, text)
	}
	return r.Host
}

// reason is why an answer did not come, in one clause.
func reason(err error) string {
	if err == nil {
		return "no answer"
	}
	return clip(strings.Join(strings.Fields(err.Error()), " "), 200)
}

// clip shortens text from outside.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// texts are the TXT records of a name that begin as wanted.
func texts(a dns.Answer, is func(string) bool) []string {
	var out []string
	for _, r := range a.Records {
		if is(r.Text) {
			out = append(out, r.Text)
		}
	}
	return out
}
