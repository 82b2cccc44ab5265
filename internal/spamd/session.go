package spamd

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/account"
	"postern/internal/filter"
	"postern/internal/learn"
)

// session is one connection: one request and its answer.
type session struct {
	server   *Server
	conn     net.Conn
	local    bool  // from this machine
	reserved int64 // of Server.inFlight

	mu       sync.Mutex // of what follows: Serve drains while the session works
	asking   bool       // its first byte is there
	draining bool
}

func (x *session) run(ctx context.Context) {
	limits := x.server.o.Limits
	in := bufio.NewReaderSize(x.conn, maxLine)
	q, err := x.await(in)
	if err != nil {
		x.refuse(err)
		return
	}
	x.server.o.Count(strings.ToLower(q.verb))
	switch q.verb {
	case verbPing:
		x.write([]byte("SPAMD/1.5 0 PONG\r\n"))
		return
	case verbSkip:
		return
	}
	set := *x.server.settings.Load()
	if err := x.mayTeach(q, set); err != nil {
		x.refuse(err)
		return
	}
	_ = x.conn.SetReadDeadline(time.Now().Add(limits.Message))
	raw, err := x.message(in, q)
	if err != nil {
		x.refuse(err)
		return
	}
	answer, err := x.answer(ctx, q, set, raw)
	if err != nil {
		x.refuse(err)
		return
	}
	x.write(answer)
}

// await reads the request's lines.
func (x *session) await(in *bufio.Reader) (request, error) {
	x.mu.Lock()
	if x.draining {
		x.mu.Unlock()
		return request{}, io.EOF
	}
	_ = x.conn.SetReadDeadline(time.Now().Add(x.server.o.Limits.Request))
	x.mu.Unlock()
	return readRequest(in, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.asking = true
	})
}

// Drain ends the wait for a request.
func (x *session) Drain() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.draining = true
	if !x.asking {
		_ = x.conn.SetReadDeadline(time.Now())
	}
}

// mayTeach refuses TELL where learning is not allowed, before the message is read.
func (x *session) mayTeach(q request, set Settings) error {
	switch {
	case q.verb != verbTell:
		return nil
	case x.server.o.Learn == nil || !set.Learn, !x.local && !set.LearnRemote:
		return &fault{exNoPerm, "learning is not allowed here (spamd.learn)"}
	}
	return nil
}

// message reads the message, inflated.
func (x *session) message(in *bufio.Reader, q request) ([]byte, error) {
	most := x.server.o.Limits.MessageBytes
	if q.length > most {
		return nil, tooLarge(most)
	}
	sent := in
	var body io.Reader = sent
	if q.length >= 0 {
		body = io.LimitReader(sent, q.length)
	}
	counted := &counter{r: body}
	raw, err := x.take(counted, most)
	if err == nil && q.length >= 0 && counted.n < q.length {
		return nil, &fault{exDataErr, fmt.Sprintf("the message ends after %d of %d bytes", counted.n, q.length)}
	}
	if err != nil || !q.compressed {
		return raw, err
	}
	inflate, err := zlib.NewReader(bytes.NewReader(raw))
	if err == nil {
		raw, err = x.take(inflate, most)
	}
	var known *fault
	if err != nil && !errors.As(err, &known) {
		return nil, &fault{exDataErr, "the compressed message cannot be read"}
	}
	return raw, err
}

func tooLarge(most int64) error {
	return &fault{exDataErr, fmt.Sprintf("the message is larger than %d bytes (limits.message_size)", most)}
}

// counter counts what was read.
type counter struct {
	r io.Reader
	n int64
}

// Read is io.Reader's.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// take reads to the end, at most so many bytes. Memory grows with what really comes, out of what all may use together.
func (x *session) take(r io.Reader, most int64) ([]byte, error) {
	var out []byte
	for {
		if len(out) == cap(out) {
			grow := int64(max(len(out), 16<<10))
			if x.server.inFlight.Add(grow) > x.server.o.Limits.InFlightBytes {
				x.server.inFlight.Add(-grow)
				return nil, &fault{exTempFail, "no memory left for messages (limits.in_flight); try again later"}
			}
			x.reserved += grow
			out = slices.Grow(out, int(grow))
		}
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case int64(len(out)) > most:
			return nil, tooLarge(most)
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		}
	}
}

// release gives the memory back.
func (x *session) release() {
	x.server.inFlight.Add(-x.reserved)
	x.reserved = 0
}

// refuse answers with a fault, and writes into the log what is the operator's to know.
func (x *session) refuse(err error) {
	var known *fault
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.mu.Lock()
		asking := x.asking
		x.mu.Unlock()
		if !asking {
			return
		}
		known = &fault{exTimeout, "the request came too slowly"}
	case !errors.As(err, &known):
		return // the connection broke
	}
	x.server.o.Count("error")
	x.server.o.Logger.Info("spamd: request refused", "code", known.code, "reason", known.text)
	x.write(refusal(known.code, known.text))
}

// write sends the answer and sees that it is read: closing while the client still sends would take it away again.
func (x *session) write(b []byte) {
	_ = x.conn.SetWriteDeadline(time.Now().Add(x.server.o.Limits.Answer))
	if _, err := x.conn.Write(b); err != nil {
		return
	}
	half, ok := x.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = x.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	_, _ = io.CopyN(io.Discard, x.conn, x.server.o.Limits.MessageBytes)
}

// customer says whose the message is.
func (x *session) customer(q request, set Settings) account.Customer {
	for _, id := range []string{q.user, set.Customer} {
		if c, ok := x.server.o.Accounts.Customer(id); ok {
			return c
		}
	}
	return account.Customer{Threshold: set.Threshold, Language: set.Language}
}

// answer does what the request asks.
func (x *session) answer(ctx context.Context, q request, set Settings, raw []byte) ([]byte, error) {
	customer := x.customer(q, set)
	m := newMessage(raw)
	if q.verb == verbTell {
		return x.tell(ctx, q, customer, m)
	}
	parsed := m.parse()
	now := x.server.o.Now()
	v, err := x.server.o.Filter.Run(ctx, filter.Input{Message: parsed, Envelope: envelope(parsed), Customer: customer,
		Egress: x.server.o.Accounts.Pool(customer.Pool).Egress, Now: now})
	if err != nil {
		switch {
		case errors.Is(err, filter.ErrUnscannable):
			return nil, &fault{exDataErr, "the message is larger than a scanner takes"}
		case errors.Is(err, filter.ErrUnscanned):
			return nil, &fault{exTempFail, "the message could not be scanned; try again later"}
		}
		x.server.o.Logger.Error("spamd: message not tested", "account", customer.ID, "error", err)
		return nil, &fault{exSoftware, "the message could not be tested"}
	}
	x.server.o.Tested(v)
	return x.server.verdict(q, customer.Language, m, v), nil
}

// Versions of the protocol from which an answer has a Content-length, and from which it may have more header lines beside that. Exim still
// asks as 1.2.
const (
	withLength = 1002
	withMore   = 1003
)

// verdict is the answer with a verdict, in the form of the client's version, as spamd 4.0 writes it.
func (s *Server) verdict(q request, language string, m message, v filter.Verdict) []byte {
	var body []byte
	switch q.verb {
	case verbSymbols:
		body = []byte(strings.Join(symbols(v), ","))
		if q.version < withMore {
			body = append(body, "\r\n"...)
		}
	case verbReport:
		body = s.report(language, v)
	case verbReportIfSpam:
		if v.Held {
			body = s.report(language, v)
		}
	case verbProcess:
		body = m.marked(s.fields(v))
	case verbHeaders:
		body = header(m.marked(s.fields(v)))
	}
	whole := q.verb == verbProcess || q.verb == verbHeaders // a message, not words about one
	head := []byte("SPAMD/1.1 0 EX_OK\r\n")
	if q.verb != verbCheck && (q.version >= withMore || whole && q.version >= withLength) {
		head = fmt.Appendf(head, "Content-length: %d\r\n", len(body))
	}
	if !whole || q.version >= withMore {
		score, threshold := points(v)
		head = fmt.Appendf(head, "Spam: %s ; %s / %s\r\n", spamWord(q, v), score, threshold)
	}
	if !whole || q.version >= withLength {
		head = append(head, "\r\n"...)
	}
	return append(head, body...)
}

// spamWord says yes or no in the word of the verb.
func spamWord(q request, v filter.Verdict) string {
	switch {
	case q.verb == verbReportIfSpam && v.Held:
		return "Yes"
	case q.verb == verbReportIfSpam:
		return "No"
	case v.Held:
		return "True"
	}
	return "False"
}

// tell learns or forgets the message.
func (x *session) tell(ctx context.Context, q request, c account.Customer, m message) ([]byte, error) {
	var n int
	var err error
	var done string
	switch {
	case q.set:
		class := learn.Ham
		if q.class == "spam" {
			class = learn.Spam
		}
		done = "DidSet: local\r\n"
		n, err = x.server.o.Learn.Learn(ctx, c.ID, class, m.parse())
	case q.remove:
		done = "DidRemove: local\r\n"
		n, err = x.server.o.Learn.Forget(ctx, c.ID, m.parse())
	}
	if err != nil {
		x.server.o.Logger.Error("spamd: message not learned", "account", c.ID, "error", err)
		return nil, &fault{exTempFail, "the message could not be learned; try again later"}
	}
	if n == 0 {
		done = "" // known as that already: clients say so
	}
	return []byte("SPAMD/1.1 0 EX_OK\r\n" + done + "Content-length: 0\r\n\r\n"), nil
}
