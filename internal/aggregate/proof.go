package aggregate

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/dkim"
	"postern/internal/dmarc"
	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/report"
	"postern/internal/spf"
	"postern/internal/store"
)

// Proof says whether somebody vouches that a report is its reporter's.
type Proof string

// The states.
const (
	ProofBefore   Proof = ""                // it came before this was looked at; it counts
	ProofGiven    Proof = "given"           // a person or a program with a token brought it in
	ProofPassed   Proof = "authenticated"   // SPF or DKIM vouch for the author's domain of the mail, and that is the reporter's
	ProofFailed   Proof = "unauthenticated" // neither does, or the mail has no single author
	ProofMismatch Proof = "mismatch"        // they vouch for somebody else than the reporter that the report names
	ProofUnknown  Proof = "unknown"         // the DNS gave no answer, again and again
)

// Proofs returns all that reports are given now.
func Proofs() []Proof {
	return []Proof{ProofGiven, ProofPassed, ProofFailed, ProofMismatch, ProofUnknown}
}

// Counts reports whether what the report says counts in advice and alarms by default.
func (p Proof) Counts() bool { return p == ProofBefore || p == ProofGiven || p == ProofPassed }

// Unproven is what is done with reports whose mail is not authenticated.
type Unproven string

// The ways.
const (
	UnprovenShow   Unproven = "show"   // their figures are shown apart, and count neither in advice nor in alarms
	UnprovenCount  Unproven = "count"  // they count like all others
	UnprovenRefuse Unproven = "refuse" // they are not summed, and wait with those that could not be read
)

// Bounds of judging.
const (
	judgeFor     = 10 * time.Second // one mail
	undecidedFor = 6 * time.Hour    // that a report waits for the DNS before it is taken as it is
	againAfter   = 5 * time.Minute  // the DNS is asked again, then after twice as long each time
	maxUndecided = 500              // reports that wait for the DNS: a forger's domain may never answer
	judgesAtOnce = 4
)

// verdict is what was found out about the mail that brought a report.
type verdict struct {
	proof  Proof  // ProofPassed: somebody vouches for author; whether that is the reporter is not looked at yet
	author string // domain of From
	signed string // domains whose signatures verify
}

// vouched asks who vouches for a mail. undecided: the DNS gave no answer on which it depends; the verdict is ProofUnknown then.
func (l *Ledger) vouched(ctx context.Context, a *Arrival) (v verdict, undecided bool) {
	if a.How != howMail {
		v.proof = ProofGiven
		if l.o.Resolver == nil || isBare(a.Raw) {
			return v, false
		}
		if head := headOf(a.Raw); head.Has("From") {
			v.signed, _, _ = l.signatures(ctx, head, a.Raw)
		}
		return v, false
	}
	if l.o.Resolver == nil {
		return verdict{proof: ProofUnknown}, false
	}
	ctx, cancel := context.WithTimeout(ctx, judgeFor)
	defer cancel()
	v.proof = ProofFailed
	head := headOf(a.Raw)
	author, ok := authorOf(head)
	if !ok {
		return v, false
	}
	v.author = string(author)
	signed, passes, later := l.signatures(ctx, head, a.Raw)
	v.signed = signed
	path := mail.Domain("")
	switch s := spf.Check(ctx, l.o.Resolver, spf.Query{IP: a.ClientIP, Hello: a.Hello, ReversePath: a.ReversePath}); s.Result {
	case spf.Pass:
		path, _ = mail.ParseDomain(s.Domain)
	case spf.TempError:
		later = true
	}
	switch aligned, open := l.aligned(ctx, author, path, passes); {
	case aligned:
		v.proof = ProofPassed
	case later || open:
		v.proof, undecided = ProofUnknown, true
	}
	return v, undecided
}

// aligned reports whether one of the domains that passed is in alignment with the author's. A domain without a policy is held to relaxed alignment. open: the DNS did not say.
func (l *Ledger) aligned(ctx context.Context, author, path mail.Domain, signers []mail.Domain) (aligned, open bool) {
	out := dmarc.Evaluate(ctx, l.o.Resolver, author, path, signers)
	switch out.Result {
	case dmarc.Pass:
		return true, false
	case dmarc.TempError:
		return false, path != "" || len(signers) > 0
	case dmarc.None:
	default:
		return false, false
	}
	org, status := dmarc.OrganizationalDomain(ctx, l.o.Resolver, author)
	for _, d := range append([]mail.Domain{path}, signers...) {
		if d == "" {
			continue
		}
		other, told := dmarc.OrganizationalDomain(ctx, l.o.Resolver, d)
		if d == author || status != dns.TryLater && told != dns.TryLater && other == org {
			return true, false
		}
		open = open || status == dns.TryLater || told == dns.TryLater
	}
	return false, open
}

// signatures are the domains whose signatures of a mail verify, whole and in earnest. later: the key of another was not to be had.
func (l *Ledger) signatures(ctx context.Context, head mail.Header, raw []byte) (names string, passes []mail.Domain, later bool) {
	verify := dkim.Verify
	if head.Has("TLS-Report-Domain") { // every report about TLS says so (RFC 8460 5.3)
		verify = dkim.VerifyTLSReport
	}
	var all []string
	for _, s := range verify(ctx, l.o.Resolver, raw, l.o.Now()) {
		switch {
		case s.Status == dkim.StatusTempError:
			later = true
		case s.Status == dkim.StatusPass && !s.Testing && s.BodyLength < 0:
			passes = append(passes, s.Domain)
			all = append(all, string(s.Domain))
		}
	}
	return clip(strings.Join(all, " "), 300), passes, later
}

// headBytes are the bytes of a mail in which its header is looked for.
const headBytes = 256 << 10

// isBare reports whether a file is a report without a mail around it.
func isBare(raw []byte) bool { return len(raw) == 0 || raw[0] == '<' || raw[0] == '{' }

// headOf is the header of a mail.
func headOf(raw []byte) mail.Header {
	return mail.Parse(raw[:min(len(raw), headBytes)], mail.Limits{Parts: 1, Depth: 1}).Header
}

// authorOf is the domain of the one author of a mail (RFC 9989 wants exactly one).
func authorOf(head mail.Header) (mail.Domain, bool) {
	fields := head.All("From")
	if len(fields) != 1 {
		return "", false
	}
	boxes, ok := mail.ParseMailboxes(fields[0].Value())
	if !ok || len(boxes) != 1 {
		return "", false
	}
	d := boxes[0].Address.Domain
	return d, d != ""
}

// of says what a verdict about a mail means for one report in it: only the reporter himself can vouch for it.
func (v *verdict) of(x *report.Recognised) Proof {
	if v.proof != ProofPassed {
		return v.proof
	}
	fine := true
	switch {
	case x.Aggregate != nil:
		fine = fitsReporter(v.author, x.Aggregate.Reporter, x.Aggregate.Email)
	case x.TLS != nil:
		fine = fitsReporter(v.author, x.TLS.Organization, x.TLS.Contact)
	}
	if !fine {
		return ProofMismatch
	}
	return ProofPassed
}

// fitsReporter reports whether the author of a mail is the reporter that the report in it names: his address is of the same organization, and so is his name where it is a
// domain. A domain where anybody gets a mailbox vouches for nobody's report.
func fitsReporter(author, name, email string) bool {
	if mail.FreeMail(mail.Domain(author)) {
		return false
	}
	fits, named := false, false
	if d := domainIn(email); d != "" {
		fits = sameReporter(author, d)
		named = true
	}
	if d, err := mail.ParseDomain(strings.TrimSpace(name)); err == nil && strings.Contains(string(d), ".") {
		same := sameReporter(author, string(d))
		fits = same && (fits || !named)
	}
	return fits
}

// reporters are domains of one owner who reports under several of them (samples of their reports, read 2026-11).
var reporters = [][]string{
	{"google.com", "gmail.com", "googlemail.com"},
	{"microsoft.com", "outlook.com", "hotmail.com", "live.com"},
	{"yahoo.com", "yahooinc.com", "yahoo-inc.com", "aol.com"},
	{"gmx.net", "gmx.de", "gmx.com", "web.de", "mail.com", "1und1.de", "kundenserver.de"},
	{"orange.fr", "wanadoo.fr"},
	{"amazon.com", "amazonses.com", "amazonaws.com"},
	{"fastmail.com", "fastmaildmarc.com", "messagingengine.com"},
	{"zoho.com", "zohomail.com", "zohocorp.com"},
}

func sameReporter(a, b string) bool {
	a, b = Registrable(a), Registrable(b)
	return a == b || slices.ContainsFunc(reporters, func(group []string) bool { return slices.Contains(group, a) && slices.Contains(group, b) })
}

// discount is the part of unproven figures that is taken off what counts: all or nothing.
func (l *Ledger) discount() int64 {
	if l.o.Unproven == UnprovenCount {
		return 0
	}
	return 1
}

// undecided goes on asking the DNS about reports that wait for its answer, until ctx ends.
func (l *Ledger) undecided(ctx context.Context) {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		if err := l.JudgeAgain(ctx); err != nil && ctx.Err() == nil {
			l.o.Logger.Warn("reports that wait for the DNS were not looked at; tried again in a minute", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-minute.C:
		}
	}
}

// JudgeAgain judges the reports anew whose authentication the DNS left open, and whose turn it is. Run calls it.
func (l *Ledger) JudgeAgain(ctx context.Context) error {
	errs := make([]error, judgesAtOnce)
	var wait sync.WaitGroup
	for i := range judgesAtOnce {
		wait.Go(func() {
			for ctx.Err() == nil {
				more, err := l.judgeOneAgain(ctx)
				if errs[i] = err; err != nil || !more {
					return
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (l *Ledger) judgeOneAgain(ctx context.Context) (more bool, err error) {
	now := l.o.Now()
	var x waiting
	err = l.db.Write(ctx, func(tx *store.Tx) error {
		more, x = false, waiting{}
		err := x.scan(tx.QueryRow(sqlNextWaiting, stateUndecided, micros(now)))
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		more = true
		_, err = tx.Exec(sqlClaim, micros(now.Add(claimFor)), x.id)
		return err
	})
	if err != nil || !more {
		return false, err
	}
	v, open := l.vouched(ctx, &x.Arrival)
	if ctx.Err() != nil {
		return false, nil
	}
	state, next := stateWaiting, int64(0)
	if age := now.Sub(x.received); open && age < undecidedFor {
		state, next = stateUndecided, micros(now.Add(max(againAfter, age)))
	}
	err = l.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(sqlJudged, state, next, string(v.proof), v.author, v.signed, x.id)
		return err
	})
	if state == stateWaiting {
		l.nudge()
	}
	return true, err
}

// addressOf reads a reverse path as it was kept.
func addressOf(s string) mail.Address {
	a, _ := mail.ParseAddress(s)
	return a
}

func clientOf(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}
