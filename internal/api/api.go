// Package api is everything that can be seen and done, over HTTP and JSON: for the operator on a local socket, which the command line
// uses, and for programs with tokens on the web listener. It holds the client of the socket, too.
//
// # Who may do what
//
// Every operation is registered with the right it asks (package user), over one customer or over the gateway; New refuses one that does not
// say. On the socket, whoever can open it is an operator under the name in the header Postern-Operator: the socket's file mode is the guard
// (package app). Over HTTP a request carries Authorization: Bearer pst_…; cookies prove nothing. Principals of a customer reach operations
// about a customer only, and only their own: what they name is narrowed in one place, and another's is answered like what is not there.
//
// # Acts
//
// Every act leaves a line in the audit log, also when it was refused, and its fact in the journal, with its author. A request with an
// Idempotency-Key is done once: its answer is kept for 24 hours. Requests of a token are counted, and answers tell how many are left.
//
// # Pages
//
// Below /api: the documentation for people, /api/openapi.json made from this code, and the endpoints under /api/v1.
//
// What it does not: it decides nothing about mail. Held mail goes through intake.Desk, the rest through the ledgers.
//
// # How it fails
//
// Every error is an RFC 9457 problem (application/problem+json) whose type is a stable word, "urn:postern:problem:WORD", and whose detail
// says what to do, in French or English as ?lang= or Accept-Language ask. Request bodies end at 64 KiB where nothing else is said (messages to learn at 24 MiB), requests at one minute. Passwords
// and tokens appear in the one answer that makes them, private keys in none, and neither in a log.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"postern/internal/account"
	"postern/internal/aggregate"
	"postern/internal/alarm"
	"postern/internal/checkup"
	"postern/internal/delivery"
	"postern/internal/dnsbl"
	"postern/internal/feedback"
	"postern/internal/filter"
	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/learn"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/postmaster"
	"postern/internal/reputation"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/suppression"
	"postern/internal/user"
	"postern/internal/visitor"
	"postern/internal/webhook"
)

// Limits of one request.
const (
	maxBody     = 64 << 10
	maxSmall    = 1 << 20 // longer requests wait for their turn
	maxLarge    = 8       // of them are read at a time
	requestTime = time.Minute
)

// OperatorHeader names the person or program behind a request on the operator's socket.
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

	Webhooks    *webhook.Webhooks      // nil: there are none
	Blocklists  *dnsbl.Panel           // nil: none is asked
	Suppression *suppression.Ledger    // nil: there is no list of addresses that are not written to
	Postmaster  *postmaster.Postmaster // nil: no figures of providers are kept

	// Users prove tokens and keep the audit log. nil: nobody has a token, so only the operator's socket is answered, and acts leave no line.
	Users *user.Ledger
	// Settings are the configuration in force, without secrets. nil: none is told.
	Settings   func() []Setting
	Advisor    *checkup.Advisor  // nil: no domain is looked at
	Checker    *checkup.Checker  // nil: no check-up is made
	Reputation *reputation.Watch // nil: nothing is watched
	// SelfService lets customers of the database add domains that they prove.
	SelfService bool
	// Names asks DNS about an address that mail leaves from, which says hello in EHLO. nil: it is not asked.
	Names func(ctx context.Context, ip netip.Addr, hello string) EgressNames
	// DB keeps the answers of requests with an Idempotency-Key; opened with store.MainSchema. nil: such requests are refused.
	DB      *store.DB
	BaseURL string // of the pages as seen from outside; the API is below it at /api
	// Requests bounds those of one token in a minute. 0: 1,200.
	Requests int

	Reports       *aggregate.Ledger // what receivers report about domains; nil: nothing is kept
	ReportAddress string            // where DMARC reports are taken; "": nowhere

	// Submit takes mail in. nil: this gateway takes none over HTTP.
	Submit func(context.Context, intake.Injection) (intake.Receipt, error)
	// MessageBytes bounds a message that is sent. 0: the request's own bound.
	MessageBytes int64
	// Hostname is the gateway's name, in the Message-ID of mail that is sent.
	Hostname string
	// Link returns the address of a message's page. nil: none is told.
	Link func(mail.QueueID) string
}

// API is the room. Its own ServeHTTP answers on the operator's socket, Web for everybody else. It is safe for concurrent use.
type API struct{ s *server }

// server answers the requests.
type server struct {
	o       Options
	texts   *locale.Catalog // Options.Catalog, or one of its own
	twin    *locale.Twin    // the French of what the document says
	phrases *locale.Twin    // the French of problems, of what was done, and of errors of rooms
	started time.Time
	prefix  string // path of BaseURL without a final slash
	https   bool

	mux        *http.ServeMux
	api        huma.API
	operations map[string]*operation // by the pattern of their route
	order      []*operation          // as registered
	group      string                // of the operations that are being registered

	customers sync.Mutex                     // reading settings, comparing their tag and replacing them
	asked     *visitor.Limiter[string]       // requests by token
	strangers *visitor.Limiter[netip.Prefix] // requests without a token, by network
	checks    *visitor.Limiter[string]       // looks at DNS, by principal
	answers   *answers
	large     chan struct{} // requests with much to read: memory is bounded by their number
	site      site          // the documentation
}

// New checks the options and registers every operation.
func New(o Options) (*API, error) {
	if o.Spool == nil || o.Journal == nil || o.Accounts == nil || o.Desk == nil || o.Delivery == nil {
		return nil, errors.New("api: a room is missing from the options")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &server{o: o, texts: o.Catalog, started: o.Now(), operations: map[string]*operation{}}
	if s.texts == nil {
		var err error
		if s.texts, err = locale.New(); err != nil {
			return nil, fmt.Errorf("api: %w", err)
		}
	}
	if o.Requests <= 0 {
		o.Requests = 1200
	}
	var err error
	if s.twin, err = locale.NewTwin("api"); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if s.phrases, err = locale.NewTwin("problem"); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s.asked, s.checks = visitor.NewLimiter[string](o.Requests, time.Minute), visitor.NewLimiter[string](30, time.Minute)
	s.strangers = visitor.NewLimiter[netip.Prefix](120, time.Minute)
	s.large = make(chan struct{}, maxLarge)
	s.answers = &answers{db: o.DB, now: o.Now}
	if o.BaseURL != "" {
		u, err := url.Parse(o.BaseURL)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("api: base address %q is no address of a web site", o.BaseURL)
		}
		s.prefix, s.https = strings.TrimRight(u.Path, "/"), u.Scheme == "https"
	}
	s.mux = http.NewServeMux()
	s.api = humago.New(s.mux, description(o, s.localize))
	s.register()
	for _, op := range s.order {
		if op.problem != nil {
			return nil, fmt.Errorf("api: %w", op.problem)
		}
	}
	return &API{s}, s.writePages()
}

// Run forgets answers that are kept no more, until ctx ends.
func (a *API) Run(ctx context.Context) error { return a.s.answers.run(ctx, a.s.o.Logger) }

// description is the head of the OpenAPI document. The documentation pages of the library are off: they load scripts from elsewhere.
func description(o Options, localize huma.Transformer) huma.Config {
	c := huma.DefaultConfig("Postern", o.Version)
	c.Info.Description = "Everything that the pages of the gateway do, for programs. Requests carry a token (Authorization: Bearer pst_…). Errors are problem documents " +
		"(RFC 9457). Times are RFC 3339. Lists have pages: limit, cursor, next. POST, PUT and DELETE take an Idempotency-Key."
	c.DocsPath, c.SchemasPath, c.OpenAPIPath, c.CreateHooks = "", "", "", nil
	c.Components.Schemas = newSchemas()
	c.Transformers = append(c.Transformers, localize)
	if o.BaseURL != "" {
		c.Servers = []*huma.Server{{URL: strings.TrimRight(o.BaseURL, "/") + "/api"}}
	} else {
		c.Servers = []*huma.Server{{URL: "/api"}}
	}
	c.Components.Parameters = map[string]*huma.Param{"language": {Name: "Accept-Language", In: "header", Schema: &huma.Schema{Type: huma.TypeString, Examples: []any{"fr"}},
		Description: "In which language problems, and what was done, are told: en or fr, the one that suits best (RFC 9110 12.5.4); English without it. The answer says it in Content-Language"}}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer",
		Description: "A token of the page Tokens: pst_… What it may do is the rights it was made with."}}
	return c
}

// section begins a group of operations.
func (s *server) section(name string) { s.group = name }

// register puts every endpoint under its path.
func (s *server) register() {
	for _, x := range []struct {
		group string
		add   func()
	}{
		{"Sending", s.addSend}, {"Messages", s.addMessages}, {"Figures", s.addFigures}, {"Customers", s.addCustomers}, {"Credentials", s.addCredentials}, {"Domains", s.addDomains}, {"Reputation", s.addReputation}, {"Suppression", s.addSuppression}, {"Reports", s.addReports}, {"Providers' figures", s.addSignals},
		{"Tests and lists", s.addTuning}, {"Learning", s.addLearn}, {"Webhooks", s.addWebhooks}, {"Users and tokens", s.addUsers}, {"Gateway", s.addGateway}, {"Alarms", s.addAlarms}, {"Blocklists", s.addBlocklists},
	} {
		s.section(x.group)
		x.add()
	}
}

// body is the shape in which the library wants answers.
type body[T any] struct{ Body T }

func (b *body[T]) nextPage() string {
	if p, ok := any(b.Body).(paged); ok {
		return p.nextPage()
	}
	return ""
}

// bodyOf is an input that is a body and nothing else.
type bodyOf[T any] struct{ Body T }

// customerBody is an input whose body says which customer it is about.
type customerBody[T any, P interface {
	*T
	scoped
}] struct{ Body T }

func (in *customerBody[T, P]) scope() *string { return P(&in.Body).scope() }

// none is the input of endpoints that take nothing.
type none struct{}

// ForCustomer is the part of an input that says whose things are meant.
type ForCustomer struct {
	Customer string `query:"customer" maxLength:"64" doc:"Only this customer's. A token of a customer sees its own in any case"`
}

func (f *ForCustomer) scope() *string { return &f.Customer }

// Done says that an act was done, in words.
type Done struct {
	Text  string `json:"text" doc:"What was done"`
	Count int    `json:"count,omitempty" doc:"How many it concerned"`
	told  sentence
}

// done says that an act was done. The format is a literal, as in problem.
func done(format string, args ...any) *body[Done] {
	return &body[Done]{Done{Text: fmt.Sprintf(format, args...), told: sentence{format, args}}}
}
