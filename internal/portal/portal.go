// Package portal is the pages that people see: those of a customer, those of the operator, one's own account, public pages that explain, and the page
// of one held or refused message, which a notice links to and which opens without signing in.
//
// # How a page comes about
//
// Each page or act is a route (route.go) that declares what it asks of its visitor: nothing, to be signed in, a right over the customer whom the path
// names, or a right over the gateway (package user). The frame (visit.go) finds out who asks, looks the customer up, compares, and answers 404 for what is
// another's exactly as for what is not there; only then the page is made. Acts are POST. What they did or were refused goes into the audit log, written
// by the frame; an act that worked leads to a page (303) that says so once. GET and HEAD change nothing: mail scanners open every link they see.
// What a page shows is read from the ledgers and from intake.Desk, delivery, shaping and checkup; figures come counted from the journal, lists in pages
// with a cursor, so that a page costs the same with a million facts.
//
// # The page of a message
//
// GET /m/TOKEN shows one message and no other: what state it is in, why, what would change that, and what became of it since.
// The token (package notice, Links) holds a queue ID, an end and a MAC; the page shows the verdict and a few header fields, never the message's text.
// Those who are signed in see the same page below /c/CUSTOMER/messages, and there the text too, as plain text and on demand.
//
// # What protects it
//
// No act needs JavaScript; the few scripts (passkeys, live view) are ours, and only their pages allow them. Nothing is loaded from elsewhere, and the
// Content-Security-Policy allows nothing else. Text from mail, DNS and people passes html/template and clean, which takes out control and direction
// characters. Requests are limited per client network, and per user behind the sign-in, in bounded memory; bodies by their route. A request that another
// site makes a browser send is refused (http.CrossOriginProtection), so is an act with a session's
// cookie that names neither Origin nor Sec-Fetch-Site, and cookies are SameSite. A session that ends is out with the next request.
//
// The web server before the portal, which speaks HTTPS, must set X-Forwarded-For: its last entry is believed when the
// connection comes from loopback. Without it all visitors share one limit. BaseURL may have a path; requests are understood
// with and without it.
//
// # Language
//
// The visitor's, who chose it with his account; of a message link the customer's; else what Accept-Language asks. ?lang=fr overrides and is kept in links and
// forms. Times are of the visitor's zone. The sentences are in locale/texts/portal*.LANG.yaml.
//
// # How it fails
//
// New fails when a room is missing or BaseURL is no address. A page that cannot be shown answers 500 with a sentence and
// logs the reason; nothing is changed by showing pages.
package portal

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/aggregate"
	"postern/internal/alarm"
	"postern/internal/checkup"
	"postern/internal/delivery"
	"postern/internal/filter"
	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/learn"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/postmaster"
	"postern/internal/provider"
	"postern/internal/reputation"
	"postern/internal/spool"
	"postern/internal/suppression"
	"postern/internal/user"
	"postern/internal/visitor"
	"postern/internal/webhook"
)

// Options is what New needs. Desk, Catalog and Links are required.
type Options struct {
	Desk     *intake.Desk
	Catalog  *locale.Catalog
	Links    *notice.Links
	BaseURL  string // as seen from outside; its scheme decides about HSTS, its path begins every link
	Hostname string // the gateway's name, on every page
	Logger   *slog.Logger
	Now      func() time.Time // default time.Now; times are shown in its zone

	// What the pages behind the sign-in show. Without Users there are none of them; with Users, all others are required but where it says so.
	Users         *user.Ledger
	SSO           *user.OIDC // the operators' identity provider; nil: none
	Accounts      *account.Ledger
	Journal       *journal.Journal
	Spool         *spool.Spool
	Delivery      *delivery.Delivery
	Filter        *filter.Filter
	Suppression   *suppression.Ledger
	Alarms        *alarm.Alarms              // nil: none stand
	Knowledge     func() *provider.Knowledge // the receivers that are known now
	Advisor       *checkup.Advisor
	Checker       *checkup.Checker  // looks at anything from outside
	PublicChecker *checkup.Checker  // the same for anybody, who learns nothing of what the gateway knows; nil: there is no such page
	ProbeOwn      bool              // where customers check domains of theirs, Checker connects to the mail servers
	Reputation    *reputation.Watch // nil: nothing is watched
	Webhooks      *webhook.Webhooks
	Postmaster    *postmaster.Postmaster // nil: nothing is known of what providers publish
	Ways          Ways                   // how mail comes in
	Reports       *aggregate.Ledger      // what receivers report about domains; nil: nothing is kept
	ReportAddress string                 // where DMARC reports are taken; "": nowhere

	// Reference finds one of our references in a text, such as that of a return address in a pasted bounce. nil: not looked for.
	Reference func(text []byte) (mail.QueueID, bool)
	Learn     *learn.Ledger                                                      // nil: nothing is learned
	Names     func(ctx context.Context, ip netip.Addr, hello string) EgressNames // what DNS says of an address that mail leaves from; nil: not shown
	Settings  func() []Setting                                                   // the configuration in force, in the order of its documentation; nil: not shown
	Reload    func() error                                                       // reads the configuration again; nil: refused
	Version   string

	// Forget drops what is remembered of DNS names whose owner has just shown what he changed there; nil: nothing is remembered.
	Forget func(names ...string)
}

// Ways are the doors that senders are told of.
type Ways struct {
	Submission  int  // port with STARTTLS and a login; 0: closed
	Submissions int  // port with TLS from the first byte and a login; 0: closed
	Relay       int  // port for known networks; 0: closed
	SelfService bool // customers of the database may add domains that they prove
}

// Bounds of requests.
const (
	maxQuestion = 1000     // characters of a question to the operator
	maxBody     = 16 << 10 // bytes of a request: a question of maxQuestion characters, percent-encoded, is 12 KB at most
	actTime     = 45 * time.Second
)

// policy is what browsers may load for our pages, and where they may send forms.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

//go:embed templates static
var files embed.FS

// site is the handler's state: fixed after New but for the limits.
type site struct {
	o         Options
	templates *template.Template
	prefix    string // path of BaseURL without a final slash
	https     bool
	tests     map[string]filter.Test
	keys      *locale.Twin // what keys of the configuration mean, in French
	assets    map[string]asset
	style     string // path of the style sheet, with its hash
	icon      string
	scripts   map[string]string              // paths of scripts, with their hashes, by file name
	views     *visitor.Limiter[netip.Prefix] // all requests of networks whose users are unknown
	acts      *visitor.Limiter[netip.Prefix] // their POST
	known     *visitor.Limiter[string]       // all requests of a user who is signed in
	bodies    map[string]int64               // bytes of a request, by the pattern of its route; others: maxBody
	mux       *http.ServeMux
	checks    domainChecks
	checked   checkups
	public    *publicCheckups
	probes    *visitor.Limiter[string] // connections to mail servers for customers
	live      liveDesk                 // who watches traffic as it happens
	started   time.Time                // when New was called
}

// asset is a file served as it is, under a name that holds its hash: it may be kept for ever.
type asset struct {
	kind string
	data []byte
}

// New returns the handler of all pages.
func New(o Options) (http.Handler, error) {
	if o.Desk == nil || o.Catalog == nil || o.Links == nil {
		return nil, errors.New("portal: a room is missing from the options")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &site{o: o, started: o.Now(), tests: make(map[string]filter.Test), assets: make(map[string]asset),
		views: visitor.NewLimiter[netip.Prefix](40, 40*time.Second), acts: visitor.NewLimiter[netip.Prefix](10, 30*time.Second),
		known: visitor.NewLimiter[string](300, 30*time.Second), probes: visitor.NewLimiter[string](probeBurst, time.Minute), public: newPublicCheckups(), bodies: make(map[string]int64), scripts: make(map[string]string)}
	for _, t := range filter.Tests() {
		s.tests[t.Name] = t
	}
	origin := ""
	if o.BaseURL != "" {
		u, err := url.Parse(o.BaseURL)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("portal: base address %q is no address of a web site", o.BaseURL)
		}
		s.prefix, s.https, origin = strings.TrimRight(u.Path, "/"), u.Scheme == "https", u.Scheme+"://"+u.Host
	}
	var err error
	if s.keys, err = locale.NewTwin("config"); err != nil {
		return nil, fmt.Errorf("portal: %w", err)
	}
	pair := func(page *messagePage, h hit) any {
		return struct {
			Page *messagePage
			Hit  hit
		}{page, h}
	}
	if s.templates, err = template.New("").Funcs(template.FuncMap{"domainsIn": inPage, "pair": pair, "beside": beside}).ParseFS(files, "templates/*.html"); err != nil {
		return nil, fmt.Errorf("portal: %w", err)
	}
	if s.style, err = s.asset("style.css", "text/css; charset=utf-8"); err != nil {
		return nil, err
	}
	if s.icon, err = s.asset("icon.svg", "image/svg+xml"); err != nil {
		return nil, err
	}
	scripts, err := files.ReadDir("static")
	if err != nil {
		return nil, fmt.Errorf("portal: %w", err)
	}
	for _, f := range scripts {
		if strings.HasSuffix(f.Name(), ".js") {
			if s.scripts[f.Name()], err = s.asset(f.Name(), "text/javascript; charset=utf-8"); err != nil {
				return nil, err
			}
		}
	}
	return s.handler(origin)
}

// asset takes in a static file and returns its path.
func (s *site) asset(name, kind string) (string, error) {
	data, err := files.ReadFile("static/" + name)
	if err != nil {
		return "", fmt.Errorf("portal: %w", err)
	}
	sum := sha256.Sum256(data)
	base, ext, _ := strings.Cut(name, ".")
	path := "/static/" + base + "-" + hex.EncodeToString(sum[:8]) + "." + ext
	s.assets[path] = asset{kind, data}
	return path, nil
}

// handler joins routes and guards, outermost first: headers, prefix, size, rate, origin.
func (s *site) handler(origin string) (http.Handler, error) {
	mux := http.NewServeMux()
	s.mux = mux
	for _, rt := range s.routes() {
		mux.HandleFunc(rt.pattern(), s.guarded(rt))
		if rt.body > 0 {
			s.bodies[rt.pattern()] = rt.body
		}
	}
	mux.HandleFunc("GET /{$}", s.start)
	mux.HandleFunc("GET /m/{token}", s.message)
	mux.HandleFunc("GET /m/{token}/{act}", s.back)
	mux.HandleFunc("POST /m/{token}/{act}", s.act)
	mux.HandleFunc("GET /static/{name}", s.static)
	mux.HandleFunc("GET /robots.txt", robots)
	mux.HandleFunc("GET /favicon.ico", s.favicon)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, http.StatusNotFound, "page") })

	foreign := http.NewCrossOriginProtection()
	if origin != "" {
		if err := foreign.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("portal: base address: %w", err)
		}
	}
	foreign.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, http.StatusForbidden, "foreign")
	}))
	return s.headers(s.unprefixed(s.bounded(s.identified(s.limited(s.spoken(foreign.Handler(mux))))))), nil
}

// headers sets what every answer carries.
func (s *site) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visitor.Secure(w.Header(), policy, s.https)
		next.ServeHTTP(w, r)
	})
}

// unprefixed takes BaseURL's path off, if the web server before us left it on.
func (s *site) unprefixed(next http.Handler) http.Handler {
	if s.prefix == "" {
		return next
	}
	stripped := http.StripPrefix(s.prefix, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, s.prefix+"/") {
			stripped.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// spoken refuses acts of somebody who is signed in when his client does not say from where they come: CrossOriginProtection takes such a request for
// one of no browser, but a browser too old to say so sends the session's cookie with what another site made it send. Programs have the API and tokens.
func (s *site) spoken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		acts := r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
		if _, known := signedIn(r); known && acts && r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" {
			s.fail(w, r, http.StatusForbidden, "foreign")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bounded refuses requests that announce too much and cuts those that send it unannounced.
func (s *site) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most := int64(maxBody)
		if _, pattern := s.mux.Handler(r); s.bodies[pattern] > 0 {
			most = s.bodies[pattern]
		}
		if r.ContentLength > most {
			w.Header().Set("Connection", "close")
			s.fail(w, r, http.StatusRequestEntityTooLarge, "large")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		next.ServeHTTP(w, r)
	})
}

// limited bounds how often one client network asks, and how often it acts.
func (s *site) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := s.assets[r.URL.Path]; ok {
			next.ServeHTTP(w, r)
			return
		}
		now, client := s.o.Now(), visitor.Network(visitor.Address(r))
		if x, ok := signedIn(r); ok {
			if wait := s.known.Take(x.who.ID, now).Wait; wait > 0 {
				s.busy(w, r, wait)
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		wait := s.views.Take(client, now).Wait
		if wait == 0 && r.Method != http.MethodGet && r.Method != http.MethodHead {
			wait = s.acts.Take(client, now).Wait
		}
		if wait > 0 {
			s.busy(w, r, wait)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *site) static(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets[r.URL.Path]
	if !ok {
		s.fail(w, r, http.StatusNotFound, "page")
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.data)
}

// favicon answers browsers that ask without having read a page.
func (s *site) favicon(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func robots(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("User-agent: *\nDisallow: /\n"))
}
