package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/user"
	"postern/internal/visitor"
)

// ServeHTTP answers on the operator's socket.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := a.s
	s.serve(w, r, func(http.ResponseWriter, *http.Request) (user.Principal, error) { return socketPrincipal(r), nil })
}

var operatorName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// socketPrincipal is who asks on the operator's socket: who may open it may do everything, and says his name.
func socketPrincipal(r *http.Request) user.Principal {
	name := r.Header.Get(OperatorHeader)
	if !operatorName.MatchString(name) {
		name = "unknown"
	}
	return user.Principal{ID: name, Name: name, Role: user.Operator, Rights: user.Rights()}
}

// Web returns the handler for programs with tokens and for people who read the documentation. Its paths begin with the path of
// Options.BaseURL and /api, or with /api alone.
func (a *API) Web() http.Handler {
	s := a.s
	under := http.StripPrefix(s.prefix+"/api", http.HandlerFunc(s.web))
	bare := http.StripPrefix("/api", http.HandlerFunc(s.web))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visitor.Secure(w.Header(), policy, s.https)
		if s.prefix != "" && strings.HasPrefix(r.URL.Path, s.prefix+"/") {
			under.ServeHTTP(w, r)
			return
		}
		bare.ServeHTTP(w, r)
	})
}

// policy is what browsers may load for the documentation.
const policy = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// web answers what came over HTTP, with the path below /api.
func (s *server) web(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "" {
		http.Redirect(w, r, s.prefix+"/api/", http.StatusMovedPermanently)
		return
	}
	if !strings.HasPrefix(r.URL.Path, "/v1/") {
		if wait := s.strangers.Take(visitor.Network(visitor.Address(r)), s.o.Now()).Wait; wait > 0 {
			s.busy(w, r, wait)
			return
		}
		s.documents(w, r)
		return
	}
	s.serve(w, r, s.authenticate)
}

// authenticate finds who sent a request over HTTP. Cookies prove nothing here.
func (s *server) authenticate(w http.ResponseWriter, r *http.Request) (user.Principal, error) {
	ip := visitor.Address(r)
	secret, err := bearer(r.Header.Values("Authorization"))
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="postern"`)
		if wait := s.strangers.Take(visitor.Network(ip), s.o.Now()).Wait; wait > 0 {
			w.Header().Set("Retry-After", seconds(wait))
			return user.Principal{}, problem(http.StatusTooManyRequests, "too-many-requests", "too many requests without a token from your network; wait, and send one")
		}
		return user.Principal{}, because(http.StatusUnauthorized, "no-token", err)
	}
	who, err := s.o.Users.Bearer(r.Context(), secret, ip)
	switch {
	case errors.Is(err, user.ErrThrottled):
		w.Header().Set("Retry-After", "60")
		return user.Principal{}, problem(http.StatusTooManyRequests, "too-many-failures", "too many wrong tokens came from your network, so this one was not looked at; wait a minute, and check the token")
	case errors.Is(err, user.ErrDenied):
		w.Header().Set("WWW-Authenticate", `Bearer realm="postern", error="invalid_token"`)
		return user.Principal{}, problem(http.StatusUnauthorized, "bad-token", "the token is unknown, has expired or was revoked; make a new one on the page Tokens, or with POST /v1/tokens")
	case err != nil:
		s.o.Logger.Error("token cannot be checked", "error", err)
		return user.Principal{}, problem(http.StatusServiceUnavailable, "internal", "tokens cannot be checked now; try again in a minute")
	}
	return who, nil
}

// mostToken bounds the secret of a token, in bytes.
const mostToken = 200

// bearer returns the token of the Authorization fields (RFC 6750 2.1). The error says what to send.
func bearer(fields []string) (string, error) {
	const help = "send the field Authorization: Bearer pst_…, with a token of the page Tokens; cookies count for nothing here"
	switch len(fields) {
	case 0:
		return "", say(help)
	case 1:
	default:
		return "", say("there are several Authorization fields; send one")
	}
	scheme, secret, ok := strings.Cut(fields[0], " ")
	secret = strings.TrimLeft(secret, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", say(help)
	}
	if len(secret) > mostToken || !strings.HasPrefix(secret, "pst_") || strings.ContainsFunc(secret, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", say("what follows Bearer is no token: one begins with pst_ and has letters, digits, - and _ only")
	}
	return secret, nil
}

// serve is the way of every request: which operation, who asks, how often, whether he may, whether it was asked before, then the act, and
// what is written down of it.
func (s *server) serve(w http.ResponseWriter, r *http.Request, identify func(http.ResponseWriter, *http.Request) (user.Principal, error)) {
	w.Header().Set("Cache-Control", "no-store")
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	if escaped := r.URL.EscapedPath(); path.Clean(escaped) != escaped {
		s.nothingHere(w, r)
		return
	}
	_, pattern := s.mux.Handler(r)
	if r.URL.Path == "/openapi.json" && r.Method == http.MethodGet { // on the socket
		s.document(w, r)
		return
	}
	op := s.operations[pattern]
	if op == nil {
		s.nothingHere(w, r)
		return
	}
	who, err := identify(w, r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	c := &call{who: who, op: op, w: w, r: r}
	r = r.WithContext(context.WithValue(ctx, callKey{}, c))
	c.r = r
	c.entry = user.Entry{Actor: who.Actor(), Name: who.Name, Customer: who.Customer, Act: op.act, IP: visitor.Address(r)}
	if !s.mayAsk(w, r, who) {
		return
	}
	out := &watched{ResponseWriter: w}
	defer func() { s.note(ctx, c, out.status) }()
	if err := s.entitled(c); err != nil {
		c.failed(err)
		s.refuse(out, r, err)
		return
	}
	most := op.body
	if r.ContentLength > most {
		out.Header().Set("Connection", "close")
		s.refuse(out, r, tooLarge(most))
		return
	}
	r.Body = http.MaxBytesReader(out, r.Body, most+1)
	if most > maxSmall && (r.ContentLength > maxSmall || r.ContentLength < 0) {
		select {
		case s.large <- struct{}{}:
			defer func() { <-s.large }()
		case <-ctx.Done():
			s.refuse(out, r, problem(http.StatusServiceUnavailable, "later", "too many large requests are under way; "+repeatIt))
			return
		}
	}
	s.repeated(out, r, c, s.mux)
}

func tooLarge(most int64) error {
	return problem(http.StatusRequestEntityTooLarge, "too-large", "the request is too large: its body may have %d bytes", most)
}

// entitled checks that the principal may use an operation at all.
func (s *server) entitled(c *call) error {
	a, who := c.op.access, c.who
	switch {
	case a.gateway && !who.Gateway():
		return problem(http.StatusForbidden, "gateway-only", "this concerns the whole gateway: it needs a token of an operator, with the right %s", a.right)
	case !slices.Contains(who.Rights, a.right):
		return problem(http.StatusForbidden, "no-right", "the token lacks the right %s; make one that has it, if your role does", a.right)
	}
	return nil
}

// mayAsk counts a request of a principal and says in the answer how many are left. The operator's socket has no limit.
func (s *server) mayAsk(w http.ResponseWriter, r *http.Request, who user.Principal) bool {
	if !who.Token {
		return true
	}
	got := s.asked.Take(who.ID, s.o.Now())
	h := w.Header()
	// draft-ietf-httpapi-ratelimit-headers-09: the policy, then what is left of it.
	h.Set("RateLimit-Policy", fmt.Sprintf(`"token";q=%d;w=%d`, s.asked.Most(), int(s.asked.Window().Seconds())))
	h.Set("RateLimit", fmt.Sprintf(`"token";r=%d;t=%s`, got.Left, seconds(got.Reset)))
	if got.Wait > 0 {
		s.busy(w, r, got.Wait)
		return false
	}
	return true
}

func (s *server) busy(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	w.Header().Set("Retry-After", seconds(wait))
	s.refuse(w, r, problem(http.StatusTooManyRequests, "too-many-requests", "too many requests; wait %s seconds (Retry-After), then go on", seconds(wait)))
}

// seconds writes a duration in whole seconds, rounded up.
func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }

// watched remembers the status of an answer.
type watched struct {
	http.ResponseWriter
	status int
}

func (w *watched) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// note writes an act into the audit log, done or refused. The act is over by then: a log that cannot be written is told to the operator's.
func (s *server) note(ctx context.Context, c *call, status int) {
	if c.op.act == "" || c.before || s.o.Users == nil {
		return
	}
	e := c.entry
	if e.Subject == "" {
		e.Subject = c.named()
	}
	e.Subject, e.Text = clip(e.Subject, 500), clip(e.Text, 450)
	e.Failed = status == 0 || status >= http.StatusBadRequest
	if err := s.o.Users.Note(context.WithoutCancel(ctx), e); err != nil {
		s.o.Logger.Error("audit log not written", "act", e.Act, "actor", e.Actor, "subject", e.Subject, "error", err)
	}
}

// named is what the path names.
func (c *call) named() string {
	var out []string
	for _, part := range strings.Split(c.op.Path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			out = append(out, c.r.PathValue(strings.TrimSuffix(name, "}")))
		}
	}
	return strings.Join(out, " ")
}

// nothingHere answers what no endpoint does.
func (s *server) nothingHere(w http.ResponseWriter, r *http.Request) {
	if allowed := s.methods(r); allowed != "" && path.Clean(r.URL.EscapedPath()) == r.URL.EscapedPath() {
		w.Header().Set("Allow", allowed)
		s.refuse(w, r, problem(http.StatusMethodNotAllowed, "no-such-method", "%s takes %s only", clip(r.URL.Path, 100), allowed))
		return
	}
	s.refuse(w, r, problem(http.StatusNotFound, "no-such-endpoint", "nothing answers %s %s; /openapi.json lists the endpoints", clip(r.Method, 20), clip(r.URL.Path, 100)))
}

// methods are those that a path takes; "" for a path that is none of ours.
func (s *server) methods(r *http.Request) string {
	var out []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		x := r.Clone(r.Context())
		x.Method = m
		if _, pattern := s.mux.Handler(x); s.operations[pattern] != nil {
			out = append(out, m)
		}
	}
	return strings.Join(out, ", ")
}
