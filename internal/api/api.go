// Package api is the operator's acts over HTTP and JSON on a local socket, and the client that the command line uses.
//
// Who may open the socket may do everything: there is no login, the socket's file mode is the guard (package app). Every act is
// written into the journal with its author, "operator:NAME", where NAME is what the client says of itself in the header
// Postern-Operator. The endpoints stand below /v1; /openapi.json describes them and is made from this code.
//
// What it does not: it decides nothing about mail. Held mail goes through intake.Desk, the rest through the ledgers.
//
// How it fails: every error is an RFC 9457 problem (application/problem+json) whose type is a stable word, "urn:postern:problem:WORD",
// and whose detail says what to do. Request bodies end at 64 KiB (messages to learn at 24 MiB), requests at one minute. Passwords appear in the one answer that makes
// them, private keys in none, and neither in a log.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"postern/internal/account"
	"postern/internal/alarm"
	"postern/internal/delivery"
	"postern/internal/feedback"
	"postern/internal/filter"
	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/learn"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/suppression"
)

// Limits of one request.
const (
	maxBody     = 64 << 10
	requestTime = time.Minute
)

// OperatorHeader names the person or program behind a request, for the journal.
const OperatorHeader = "Postern-Operator"

// Options is what New needs. Accounts, Desk, Delivery, Journal and Spool are required.
type Options struct {
	Accounts *account.Ledger
	Desk     *intake.Desk
	Delivery *delivery.Delivery
	Filter   *filter.Filter // nil: no refusals are told
	Journal  *journal.Journal
	Learn    *learn.Ledger // nil: nothing is learned
	Spool    *spool.Spool
	// Reference finds one of our references in a text that somebody pasted. nil: none is looked for.
	Reference func(text []byte) (mail.QueueID, bool)
	// Look says what a return address refers to. nil: there are none.
	Look    func(ctx context.Context, text string) (feedback.Made, error)
	Alarms  *alarm.Alarms   // nil: none stand
	Catalog *locale.Catalog // words of the tests; nil: names only. Explanations have theirs in any case
	Version string
	Reload  func() error // reads the configuration again; nil: refused
	Logger  *slog.Logger
	Now     func() time.Time

	Suppression *suppression.Ledger // nil: there is no list of addresses that are not written to
}

// server answers the requests.
type server struct {
	o       Options
	texts   *locale.Catalog // Options.Catalog, or one of its own
	started time.Time
}

// New returns the handler of the operator's socket.
func New(o Options) (http.Handler, error) {
	if o.Spool == nil || o.Journal == nil || o.Accounts == nil || o.Desk == nil || o.Delivery == nil {
		return nil, errors.New("api: a room is missing from the options")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &server{o: o, texts: o.Catalog, started: o.Now()}
	if s.texts == nil {
		var err error
		if s.texts, err = locale.New(); err != nil {
			return nil, fmt.Errorf("api: %w", err)
		}
	}
	mux := http.NewServeMux()
	s.register(humago.New(mux, description(o.Version)))
	mux.HandleFunc("/", nothingHere)
	return bounded(mux), nil
}

// description is the head of the OpenAPI document. The documentation pages of the library are off: they load scripts from elsewhere.
func description(version string) huma.Config {
	c := huma.DefaultConfig("Postern operator API", version)
	c.Info.Description = "What an operator does, over a local socket: see the queue, explain and trace messages, act on held mail, keep customers, " +
		"credentials and signing keys. Errors are problem documents (RFC 9457). Times are RFC 3339."
	c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", nil
	return c
}

// bounded gives every request its end.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTime)
		defer cancel()
		most := int64(maxBody)
		if r.URL.Path == learnPath || r.URL.Path == classifyPath {
			most = maxLessonBody
		}
		r.Body = http.MaxBytesReader(w, r.Body, most+1)
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// register puts every endpoint under its path.
func (s *server) register(a huma.API) {
	get, post, put, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	add(a, get, "/v1/status", "status", "How the gateway is", s.status)
	add(a, get, "/v1/lanes", "list-lanes", "Lanes that have work or something in force", s.lanes)
	add(a, post, "/v1/lanes/pause", "pause-lane", "Let nothing leave on a lane for a while", s.pauseLane)
	add(a, get, "/v1/reactions", "list-reactions", "What is in force on the lanes", s.reactions)
	add(a, get, "/v1/reactions/history", "reaction-history", "What was in force in the last 30 days and has ended", s.history)
	add(a, get, "/v1/pools", "list-pools", "Pools of addresses, warm-ups and floors", s.pools)
	add(a, post, "/v1/reactions/{id}/lift", "lift-reaction", "End what is in force now", s.liftReaction)
	add(a, post, "/v1/reload", "reload", "Read the configuration again", s.reload)

	add(a, get, "/v1/messages", "list-messages", "Messages in the spool, in the order of arrival", s.listMessages)
	add(a, get, "/v1/held", "list-held", "Messages that wait for a person", s.listHeld)
	add(a, get, "/v1/messages/{id}", "show-message", "One message with its recipients and verdict", s.showMessage)
	add(a, get, "/v1/messages/{id}/explain", "explain-message", "Why a message waits, and until when", s.explainMessage)
	add(a, get, "/v1/messages/{id}/trace", "trace-message", "The life of one message", s.traceMessage)
	add(a, post, "/v1/messages/{id}/retry", "retry-message", "Try a queued message now", s.retryMessage)
	add(a, post, "/v1/messages/{id}/hold", "hold-message", "Set a queued message aside", s.holdMessage)
	add(a, post, "/v1/messages/{id}/release", "release-message", "Let a held message go as it is", s.releaseMessage)
	add(a, post, "/v1/messages/{id}/drop", "drop-message", "Remove a message for good; its sender is not told", s.dropMessage)
	add(a, post, "/v1/messages/{id}/retest", "retest-message", "Test a held message again; it is released when it is no longer above the threshold", s.retestMessage)
	add(a, post, "/v1/retry", "retry-all", "Try every queued message now", s.retryAll)
	add(a, get, "/v1/trace", "search", "Facts about messages, the newest first", s.search)

	add(a, get, "/v1/customers", "list-customers", "Those who may send", s.listCustomers)
	add(a, post, "/v1/customers", "add-customer", "Add a customer", s.addCustomer)
	add(a, get, "/v1/customers/{id}", "show-customer", "One customer", s.showCustomer)
	add(a, put, "/v1/customers/{id}", "update-customer", "Replace a customer's settings", s.updateCustomer)
	add(a, del, "/v1/customers/{id}", "delete-customer", "Remove a customer with credentials", s.deleteCustomer)
	add(a, post, "/v1/customers/{id}/suspend", "suspend-customer", "Stop a customer's sending", s.suspendCustomer)
	add(a, post, "/v1/customers/{id}/resume", "resume-customer", "Let a suspended customer send again", s.resumeCustomer)
	add(a, get, "/v1/credentials", "list-credentials", "Credentials of all customers or of one", s.listCredentials)
	add(a, post, "/v1/credentials", "add-credential", "Make a user name and a password, shown this once", s.addCredential)
	add(a, del, "/v1/credentials/{user}", "revoke-credential", "End a credential at once", s.revokeCredential)

	s.addAlarms(a)
	s.addTop(a)
	s.addProblem(a)
	add(a, get, "/v1/return-address", "look-return-address", "What a return address refers to", s.lookReturnAddress)
	s.addLearn(a)
	s.addTuning(a)
	s.addSuppression(a)

	add(a, get, "/v1/dkim", "list-keys", "Signing keys", s.listKeys)
	add(a, post, "/v1/dkim", "add-key", "Make or take a signing key", s.addKey)
	add(a, post, "/v1/dkim/{domain}/{selector}/activate", "activate-key", "Sign with a key", s.activateKey)
	add(a, post, "/v1/dkim/{domain}/{selector}/retire", "retire-key", "Sign with a key no more", s.retireKey)
}

// body is the shape in which the library wants answers.
type body[T any] struct{ Body T }

// none is the input of endpoints that take nothing.
type none struct{}

// add registers one endpoint.
func add[I, O any](a huma.API, method, path, id, summary string, act func(context.Context, *I) (*O, error)) {
	huma.Register(a, huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, DefaultStatus: http.StatusOK,
		MaxBodyBytes: maxBody, Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity}}, act)
}

// By is the header that names who asks.
type By struct {
	Operator string `header:"Postern-Operator" maxLength:"64" doc:"Who asks: written into the journal as operator:NAME"`
}

var operatorName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// actor is the author of an act as the journal writes it.
func (b By) actor() string {
	if !operatorName.MatchString(b.Operator) {
		return "operator:unknown"
	}
	return "operator:" + b.Operator
}

// Done says that an act was done, in words.
type Done struct {
	Text  string `json:"text" doc:"What was done"`
	Count int    `json:"count,omitempty" doc:"How many it concerned"`
}

func done(format string, args ...any) *body[Done] {
	return &body[Done]{Done{Text: fmt.Sprintf(format, args...)}}
}
