package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"postern/internal/store"
)

// Figures of repeated requests.
const (
	answerKept  = 24 * time.Hour
	mostAnswers = 10_000    // keys of one principal that are kept at a time
	mostAnswer  = 64 << 10  // bytes of an answer that is kept
	mostKey     = 255       // bytes of an Idempotency-Key
	forgetEvery = time.Hour // how often old answers are removed
)

// underWay is how long an act may take: after that nobody will write down its end any more.
const underWay = requestTime + 30*time.Second

// answers keeps what requests with an Idempotency-Key were answered (draft-ietf-httpapi-idempotency-key-header-06).
type answers struct {
	db  *store.DB
	now func() time.Time
}

// kept is a request of before.
type kept struct {
	request []byte
	made    time.Time
	status  int
	whole   bool
	kind    string
	tag     string
	answer  []byte
}

// What begin found.
const (
	freshRequest = iota // first of its kind: do it
	knownAnswer         // it was done: kept has the answer
	otherRequest        // the key belongs to another request
	busyRequest         // the same request is being done
	lostRequest         // it was begun, and nobody knows how it ended
	fullOfKeys          // the principal has too many keys
)

const answerColumns = `request, made, status, whole, kind, tag, answer`

// begin notes that a request begins, or says what is known of it. again: it may be done a second time.
func (a *answers) begin(ctx context.Context, key, actor string, request []byte, again bool) (found int, k kept, err error) {
	now := a.now().UTC()
	err = a.db.Write(ctx, func(t *store.Tx) error {
		found, k = freshRequest, kept{}
		rows := t.Query(`SELECT `+answerColumns+` FROM api_answer WHERE key = ? FOR UPDATE`, key)
		there := false
		for rows.Next() {
			there = true
			if err := rows.Scan(&k.request, &k.made, &k.status, &k.whole, &k.kind, &k.tag, &k.answer); err != nil {
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if there && now.Sub(k.made) < answerKept {
			switch {
			case subtle.ConstantTimeCompare(k.request, request) == 0:
				found = otherRequest
			case k.status != 0:
				found = knownAnswer
			case now.Sub(k.made) < underWay:
				found = busyRequest
			case !again:
				found = lostRequest
			}
			if found != freshRequest {
				return nil
			}
		}
		if there {
			if _, err := t.Exec(`DELETE FROM api_answer WHERE key = ?`, key); err != nil {
				return err
			}
		}
		var n int
		if err := t.QueryRow(`SELECT COUNT(*) FROM api_answer WHERE actor = ? AND made > ?`, actor, now.Add(-answerKept)).Scan(&n); err != nil {
			return err
		}
		if n >= mostAnswers {
			found = fullOfKeys
			return nil
		}
		_, err := t.Exec(`INSERT INTO api_answer (key, actor, `+answerColumns+`) VALUES (?,?,?,?,?,?,?,?,?)`, key, actor, request, now, 0, false, "", "", []byte{})
		return err
	})
	if errors.Is(err, store.ErrConflict) {
		return busyRequest, kept{}, nil // another node was faster
	}
	return found, k, err
}

// end writes down how a request ended. What was refused did nothing: its key is free again.
func (a *answers) end(ctx context.Context, key string, k kept) error {
	return a.db.Write(ctx, func(t *store.Tx) error {
		if k.status/100 != 2 {
			_, err := t.Exec(`DELETE FROM api_answer WHERE key = ?`, key)
			return err
		}
		_, err := t.Exec(`UPDATE api_answer SET status = ?, whole = ?, kind = ?, tag = ?, answer = ? WHERE key = ?`, k.status, k.whole, k.kind, k.tag, k.answer, key)
		return err
	})
}

// run removes old answers until ctx ends.
func (a *answers) run(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		if a.db != nil {
			if err := a.forget(ctx); err != nil && ctx.Err() == nil {
				log.Warn("old answers of repeated requests stay", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// forget removes answers that are kept no more, some at a time, so that others may write in between.
func (a *answers) forget(ctx context.Context) error {
	for {
		var n int64
		err := a.db.Write(ctx, func(t *store.Tx) (err error) {
			n, err = t.Exec(`DELETE FROM api_answer WHERE key IN (SELECT key FROM api_answer WHERE made <= ? ORDER BY made LIMIT 1000)`, a.now().UTC().Add(-answerKept))
			return err
		})
		if err != nil || n < 1000 {
			return err
		}
	}
}

// idempotencyKey reads the field Idempotency-Key: a string in quotes (RFC 9651 3.3.3), or the same without quotes. "": there is none.
func idempotencyKey(fields []string) (string, error) {
	if len(fields) == 0 {
		return "", nil
	}
	if len(fields) > 1 {
		return "", say("there are several Idempotency-Key fields; send one")
	}
	text := strings.Trim(fields[0], " ")
	if inner, ok := strings.CutPrefix(text, `"`); ok {
		if inner, ok = strings.CutSuffix(inner, `"`); !ok {
			return "", say("the Idempotency-Key begins with a quote and does not end with one")
		}
		text = inner
	}
	if text == "" || len(text) > mostKey {
		return "", say("an Idempotency-Key has 1 to %d characters", mostKey)
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' || c == ',' || c == ';' {
			return "", say("an Idempotency-Key has visible characters of ASCII, but none of \" \\ , ; and no space; a random UUID is a good one")
		}
	}
	return text, nil
}

// repeated does a request, once only when it has an Idempotency-Key.
func (s *server) repeated(w http.ResponseWriter, r *http.Request, c *call, next http.Handler) {
	fields := r.Header.Values("Idempotency-Key")
	if len(fields) == 0 || r.Method == http.MethodGet || r.Method == http.MethodHead {
		next.ServeHTTP(w, r)
		return
	}
	name, err := idempotencyKey(fields)
	switch {
	case err != nil:
		s.refuse(w, r, because(http.StatusUnprocessableEntity, "bad-idempotency-key", err))
		return
	case s.o.DB == nil:
		s.refuse(w, r, problem(http.StatusUnprocessableEntity, "bad-idempotency-key", "this gateway keeps no answers; leave the Idempotency-Key out"))
		return
	}
	content, err := io.ReadAll(r.Body)
	if err != nil || int64(len(content)) > c.op.body {
		w.Header().Set("Connection", "close")
		s.refuse(w, r, tooLarge(c.op.body))
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(content))
	key, request := digest(c.who.Actor(), name), digest(r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(content))
	c.seed = hex.EncodeToString(key)
	found, k, err := s.answers.begin(r.Context(), c.seed, c.who.Actor(), request, c.op.again || r.Method != http.MethodPost)
	switch {
	case err != nil:
		s.refuse(w, r, s.fail(fmt.Errorf("the Idempotency-Key could not be written down, so nothing was done: %w", err)))
	case found != freshRequest:
		c.before = true
		s.answerBefore(w, r, found, k)
	default:
		s.firstTime(w, r, c, next)
	}
}

// firstTime does a request and keeps its answer.
func (s *server) firstTime(w http.ResponseWriter, r *http.Request, c *call, next http.Handler) {
	copied := &copied{ResponseWriter: w, most: mostAnswer}
	next.ServeHTTP(copied, r)
	k := kept{status: copied.status, kind: w.Header().Get("Content-Type"), tag: w.Header().Get("ETag")}
	if k.whole = !c.op.secret && !copied.cut; k.whole {
		k.answer = copied.text.Bytes()
	}
	if err := s.answers.end(context.WithoutCancel(r.Context()), c.seed, k); err != nil {
		s.o.Logger.Error("the answer of a request with an Idempotency-Key was not written down", "operation", c.op.OperationID, "actor", c.who.Actor(), "error", err)
	}
}

// answerBefore answers a request of which something is known.
func (s *server) answerBefore(w http.ResponseWriter, r *http.Request, found int, k kept) {
	switch found {
	case otherRequest:
		s.refuse(w, r, problem(http.StatusUnprocessableEntity, "key-reused", "this Idempotency-Key was sent with another request before; make a new key for each request, and repeat a request unchanged"))
	case busyRequest:
		w.Header().Set("Retry-After", "2")
		s.refuse(w, r, problem(http.StatusConflict, "under-way", "a request with this Idempotency-Key is being done; wait, then repeat it"))
	case lostRequest:
		s.refuse(w, r, problem(http.StatusConflict, "outcome-unknown", "a request with this Idempotency-Key was begun, and the gateway stopped before its end; look whether it was done, then send it with a new key if it was not"))
	case fullOfKeys:
		w.Header().Set("Retry-After", "3600")
		s.refuse(w, r, problem(http.StatusTooManyRequests, "too-many-keys", "%d Idempotency-Keys were sent in 24 hours, which is all that is kept; go on without keys, or later", mostAnswers))
	default:
		if !k.whole {
			s.refuse(w, r, problem(http.StatusConflict, "done-before", "the request was done before, and its answer was not kept, because it holds a secret or is large; the list shows what was made"))
			return
		}
		w.Header().Set("Content-Type", k.kind)
		w.Header().Set("Idempotent-Replayed", "true")
		if k.tag != "" {
			w.Header().Set("ETag", k.tag)
		}
		w.WriteHeader(k.status)
		_, _ = w.Write(k.answer)
	}
}

// digest is a hash of texts, each with its length.
func digest(texts ...string) []byte {
	h := sha256.New()
	for _, x := range texts {
		fmt.Fprintf(h, "%d:", len(x))
		h.Write([]byte(x))
	}
	return h.Sum(nil)
}

// copied keeps what passes through it.
type copied struct {
	http.ResponseWriter
	status int
	most   int
	text   bytes.Buffer
	cut    bool
}

// WriteHeader notes the status.
func (c *copied) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

// Write keeps what is written while there is room.
func (c *copied) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	if c.text.Len()+len(p) > c.most {
		c.cut = true
	} else if !c.cut {
		c.text.Write(p)
	}
	return c.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (c *copied) Unwrap() http.ResponseWriter { return c.ResponseWriter }
