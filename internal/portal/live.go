package portal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/internal/journal"
	"postern/internal/user"
)

// liveRoutes are the view of traffic as it happens: a page that shows the newest facts, and a stream of server-sent events that a script appends to it.
func (s *site) liveRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/o/live", access: gateway(user.GatewayRead), do: s.opLive},
		{method: http.MethodGet, path: "/o/live/stream", access: gateway(user.GatewayRead), do: s.opStream},
	}
}

// Bounds of the stream. A listener reads the journal once a turn, so that writing facts costs nothing for being watched.
const (
	liveListeners = 20               // streams at one time
	liveTurn      = time.Second      // between two looks at the journal
	liveBatch     = 100              // facts that one look takes; what is beyond is counted and left out
	liveBack      = 15 * time.Second // how late a fact may be written and still be seen
	liveTime      = 10 * time.Minute // length of a stream; the browser begins another
	liveWrite     = 10 * time.Second // a browser that takes nothing for so long is left
	liveBeat      = 15 * time.Second // an empty line that shows whether the browser is still there
)

// liveKinds are the kinds of facts that are shown.
var liveKinds = []journal.Kind{journal.Accepted, journal.Held, journal.Rejected, journal.Delivered, journal.Deferred, journal.Bounced, journal.Complaint}

// liveDesk counts the listeners and knows when the server ends.
type liveDesk struct {
	mu        sync.Mutex
	listeners int
	servers   map[*http.Server]chan struct{} // closed when that server ends
}

// enter counts a listener in; ok is false when there are too many. ended is closed when the server is told to stop.
func (l *liveDesk) enter(r *http.Request) (ended <-chan struct{}, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listeners >= liveListeners {
		return nil, false
	}
	l.listeners++
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	if server == nil {
		return nil, true
	}
	if l.servers == nil {
		l.servers = make(map[*http.Server]chan struct{})
	}
	c := l.servers[server]
	if c == nil {
		c = make(chan struct{})
		l.servers[server] = c
		server.RegisterOnShutdown(func() { close(c) })
	}
	return c, true
}

func (l *liveDesk) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listeners--
}

// opLivePage is the newest facts.
type opLivePage struct {
	page
	Fields []field
	Action string
	Table  opFacts
	Again  string // address of this page
}

// liveQuery reads the filter of the page and of the stream.
func (v *visit) liveQuery() journal.Query {
	q := v.r.URL.Query()
	out := journal.Query{Customer: strings.TrimSpace(q.Get("customer")), Kinds: liveKinds}
	if k := journal.Kind(q.Get("kind")); slices.Contains(liveKinds, k) {
		out.Kinds = []journal.Kind{k}
	}
	return out
}

// opLive shows the newest facts.
func (s *site) opLive(v *visit) {
	const rows = 50
	v.script("live.js")
	p, query := v.page, v.liveQuery()
	query.Limit = rows
	if query.Customer == "" && len(query.Kinds) == 1 {
		query.Since = s.o.Now().Add(-24 * time.Hour) // a rare kind is not looked for in all of the journal
	}
	found, err := s.o.Journal.Look(v.r.Context(), query)
	if err != nil {
		v.broken("journal not read", err)
		return
	}
	d := opLivePage{page: p, Table: opFacts{page: p}, Action: p.URL("/o/live")}
	d.Title = p.T("live.title")
	kinds := []option{{Value: "", Label: p.T("queue.any")}}
	chosen := ""
	if len(query.Kinds) == 1 {
		chosen = string(query.Kinds[0])
	}
	for _, k := range liveKinds {
		kinds = append(kinds, option{string(k), p.opKind(k), string(k) == chosen})
	}
	d.Fields = []field{{Name: "customer", Label: p.T("queue.field.customer"), Value: clean(query.Customer, 64)}, {Name: "kind", Label: p.T("search.field.kind"), Type: "select", Options: kinds}}
	after := int64(0)
	for _, f := range found.Facts {
		after = max(after, f.ID)
		row := v.opFactRowOf(f)
		row.At.Text = p.second(f.At)
		d.Table.Rows = append(d.Table.Rows, row)
	}
	d.Again = p.URL("/o/live", "customer", query.Customer, "kind", chosen)
	d.Table.Live = p.URL("/o/live/stream", "customer", query.Customer, "kind", chosen, "after", strconv.FormatInt(after, 10))
	v.show(http.StatusOK, "op-live.html", d)
}

// liveEvent is a fact as the script gets it: texts only.
type liveEvent struct {
	At       string `json:"at"`
	Word     string `json:"word"`
	Level    string `json:"level"`
	URL      string `json:"url"`
	Subject  string `json:"subject"`
	From     string `json:"from"`
	To       string `json:"to"`
	Customer string `json:"customer"`
	Text     string `json:"text"`
}

// opStream sends facts as they are written, until the session ends, the browser leaves, or its time is over.
func (s *site) opStream(v *visit) {
	ended, ok := s.live.enter(v.r)
	if !ok {
		v.w.Header().Set("Retry-After", "60")
		v.status = http.StatusServiceUnavailable
		http.Error(v.w, v.page.T("live.full"), http.StatusServiceUnavailable)
		return
	}
	defer s.live.leave()
	after, _ := strconv.ParseInt(v.r.URL.Query().Get("after"), 10, 64)
	if last, err := strconv.ParseInt(v.r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		after = max(after, last)
	}
	st := liveStream{v: v, to: http.NewResponseController(v.w), query: v.liveQuery(), after: after}
	st.query.Limit = liveBatch
	_ = st.to.SetReadDeadline(time.Now().Add(liveTime + liveWrite)) // the server's own is meant for requests that end soon
	v.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	v.w.Header().Set("X-Accel-Buffering", "no")
	v.w.WriteHeader(http.StatusOK)
	v.status = http.StatusOK
	if !st.send([]byte("retry: 3000\n\n")) {
		return
	}
	turn, end := time.NewTicker(liveTurn), time.NewTimer(liveTime)
	defer turn.Stop()
	defer end.Stop()
	for {
		if !st.look(v.r.Context()) {
			return
		}
		select {
		case <-v.r.Context().Done():
			return
		case <-ended:
			return
		case <-end.C:
			return
		case <-turn.C:
		}
	}
}

// liveStream is one listener.
type liveStream struct {
	v     *visit
	to    *http.ResponseController
	query journal.Query
	after int64 // Fact.ID of the newest that was seen
	sent  time.Time
}

// send writes to the browser; false when it takes no more.
func (l *liveStream) send(data []byte) bool {
	l.sent = time.Now()
	if err := l.to.SetWriteDeadline(l.sent.Add(liveWrite)); err != nil {
		return false
	}
	if _, err := l.v.w.Write(data); err != nil {
		return false
	}
	return l.to.Flush() == nil
}

// look sends what is new; false ends the stream.
func (l *liveStream) look(ctx context.Context) bool {
	s := l.v.s
	c, err := l.v.r.Cookie(s.cookie())
	if err != nil {
		return false
	}
	who, _, err := s.o.Users.Resume(ctx, c.Value, addressOf(l.v.r))
	if err != nil || !who.May(l.v.route.access.right, "") {
		return false
	}
	l.query.Since = s.o.Now().Add(-liveBack)
	found, err := s.o.Journal.Look(ctx, l.query)
	if err != nil {
		return false
	}
	facts := found.Facts
	slices.SortFunc(facts, func(a, b journal.Fact) int { return int(min(max(a.ID-b.ID, -1), 1)) })
	full := len(facts) == liveBatch && facts[0].ID > l.after
	var b bytes.Buffer
	if full && l.after > 0 {
		b.WriteString("event: dropped\ndata: 1\n\n")
	}
	for _, f := range facts {
		if f.ID <= l.after {
			continue
		}
		l.after = f.ID
		data, err := json.Marshal(l.event(f))
		if err != nil {
			return false
		}
		fmt.Fprintf(&b, "id: %d\nevent: fact\ndata: %s\n\n", f.ID, data)
	}
	if b.Len() == 0 {
		if time.Since(l.sent) < liveBeat {
			return true
		}
		b.WriteString(": still here\n\n")
	}
	return l.send(b.Bytes())
}

// second writes a moment to the second, with the day unless it is today's.
func (p page) second(t time.Time) string {
	t = t.In(p.location())
	text := t.Format(time.TimeOnly)
	if now := p.site.o.Now().In(p.location()); t.YearDay() != now.YearDay() || t.Year() != now.Year() {
		text = p.day(t) + " " + text
	}
	return text
}

// event is a fact as the script shows it.
func (l *liveStream) event(f journal.Fact) liveEvent {
	r := l.v.opFactRowOf(f)
	return liveEvent{At: l.v.page.second(f.At), Word: r.Word, Level: r.Level, URL: r.URL, Subject: r.Subject, From: r.From, To: r.To, Customer: r.Customer, Text: r.Text}
}
