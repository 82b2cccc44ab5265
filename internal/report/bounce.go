package report

import (
	"errors"
	"strings"

	"postern/internal/mail"
)

// ErrNoBounce says that a message tells the fate of no other message: it is
// neither a bounce nor an automatic answer nor a complaint.
var ErrNoBounce = errors.New("this is no bounce, no automatic answer and no complaint")

// BounceKind is what a message that came back wants to say.
type BounceKind string

// The kinds.
const (
	BounceFailed    BounceKind = "failed"     // given up
	BounceDelayed   BounceKind = "delayed"    // still trying
	BounceDelivered BounceKind = "delivered"  // delivered, relayed or expanded
	BounceAutoReply BounceKind = "auto-reply" // a person's mailbox answered by itself: away, or "we have received your message" (RFC 3834)
	BounceChallenge BounceKind = "challenge"  // the sender is asked to prove that he is a person before the message is delivered
	BounceComplaint BounceKind = "complaint"  // a recipient called the message spam (RFC 5965 and its relatives)
)

// Bounds of what ReadBounce reads. What lies beyond is left out.
const (
	maxBounceText  = 128 << 10 // bytes of the text for people
	maxBounceLines = 4000      // lines of it
	maxSaid        = 4 << 10   // bytes kept of what was said about one recipient
	maxNested      = 3         // bounces inside bounces
)

// Bounce is what a message that came back says.
type Bounce struct {
	Kind         BounceKind
	ReportingMTA string // host that reports, "" when it does not say
	Text         string // the text for people before the returned message, UTF-8, at most 128 KiB
	Lead         string // what of Text stands before the first recipient
	Recipients   []BounceRecipient
	Original     Original
	// Feedback is the type of a complaint (RFC 5965 7.3: "abuse", "fraud", …), "" for other kinds.
	Feedback string
	// Structured reports whether the fate was told in a form made for machines (RFC 3464, RFC 5965, JSON); otherwise it was found in a text.
	Structured bool
}

// BounceRecipient is the fate of one recipient, as far as the bounce tells it.
type BounceRecipient struct {
	Address  mail.Address // null when what stands there is no address
	Text     string       // the address as found
	Original string       // the address as the sender wrote it, when it is another one and told
	Action   string       // Failed, Delayed, Delivered, Relayed, Expanded; "" not told
	Status   string       // RFC 3463; "" not told anywhere
	Reply    int          // SMTP reply code; 0 not told
	Phase    string       // "connect", "ehlo", "tls", "mail", "rcpt", "data", "end"; "" not told
	// Diagnostic is what the refusing server said, and Explained what the reporting one says about it in its own words.
	Diagnostic string
	Explained  string
	Type       string // of the diagnostic, lower case: "smtp", "x-unix"…; "" not told
	RemoteMTA  string // host that answered; "" not told
	Sorted     string // under what the reporting system files it, in its own words; "" not told
}

// Original is the returned message, as much of it as came back.
type Original struct {
	Header      mail.Header // nil: nothing came back
	MessageID   string      // with its angle brackets
	ReversePath string      // from Return-Path; "" not told or null
	From        string
	To          string
	Subject     string
}

// ReadBounce reads what a message that came back says: delivery status
// notifications (RFC 3464, RFC 6533), complaints (RFC 5965), notices as JSON,
// automatic answers (RFC 3834), and the texts that mail systems write for
// people. It is tolerant of every deviation that leaves the meaning clear, and
// does not guess beyond it.
//
// Time and memory are linear in the size of the message; recipients beyond 1000,
// text beyond 128 KiB and bounces nested deeper than three are left out. The
// error is [ErrNoBounce].
func ReadBounce(m *mail.Message) (Bounce, error) {
	return readBounce(m, 0)
}

// bounceReader gathers what the parts of one message say.
type bounceReader struct {
	m       *mail.Message
	depth   int
	dsn     DSN
	lines   []string // of the texts for people, up to the returned message
	after   string   // what stands in the text from the returned message on
	inner   []*mail.Part
	origin  *mail.Part // part with the returned message or its header
	arf     *mail.Part
	html    *mail.Part // the first text for people in HTML
	sender  string     // address that the bounce is sent to: it is no failed recipient
	statusN int        // delivery status parts
	out     Bounce
}

func readBounce(m *mail.Message, depth int) (Bounce, error) {
	r := &bounceReader{m: m, depth: depth}
	if boxes, _ := mail.ParseMailboxes(m.Header.Get("To")); len(boxes) == 1 {
		r.sender = strings.ToLower(boxes[0].Address.String())
	}
	r.collect()
	r.readOriginal()
	switch {
	case r.complaint(), r.notice():
		return r.out, nil
	}
	origin := r.origins()
	if len(r.dsn.Recipients) == 0 && origin == person {
		if kind, ok := r.automatic(); ok {
			r.out.Kind = kind
			return r.out, nil
		}
		return r.out, ErrNoBounce
	}
	t := readText(r.lines, r.sender)
	r.out.Text, r.out.Lead = t.whole, t.lead
	r.out.ReportingMTA = r.dsn.ReportingMTA
	if len(r.dsn.Recipients) > 0 {
		r.out.Structured = true
		r.fromStatus(&t)
	} else {
		r.fromText(&t)
	}
	r.kind(&t)
	if len(r.out.Recipients) == 0 || !r.out.Structured && t.weak {
		if b, ok := r.nested(); ok {
			return b, nil
		}
	}
	if len(r.out.Recipients) == 0 {
		r.fromOriginal(&t)
	}
	switch {
	case len(r.out.Recipients) == 0,
		!r.out.Structured && origin == unsure && !t.failure:
		if kind, ok := r.automatic(); ok {
			r.out = Bounce{Kind: kind, Text: t.whole, Recipients: r.out.Recipients[:0], Original: r.out.Original}
			r.answerer()
			return r.out, nil
		}
		return r.out, ErrNoBounce
	}
	return r.out, nil
}

// nested reads a bounce that somebody forwarded: inside an attached message, or pasted into the text.
func (r *bounceReader) nested() (Bounce, bool) {
	if r.depth >= maxNested {
		return Bounce{}, false
	}
	for _, p := range r.inner {
		if b, err := readBounce(mail.Parse(p.Decoded(), mail.Limits{}), r.depth+1); err == nil && b.Kind != BounceAutoReply && b.Kind != BounceChallenge {
			return b, true
		}
	}
	if strings.Contains(r.after, ":") {
		if b, err := readBounce(mail.Parse([]byte(r.after), mail.Limits{}), r.depth+1); err == nil && b.Kind != BounceAutoReply && b.Kind != BounceChallenge {
			return b, true
		}
	}
	return Bounce{}, false
}

// kind tells what the whole says from what was done to the recipients.
func (r *bounceReader) kind(t *textRead) {
	n := map[string]int{}
	for i := range r.out.Recipients {
		x := &r.out.Recipients[i]
		if x.Action == "" {
			switch {
			case t.delayed:
				x.Action = Delayed
			case strings.HasPrefix(x.Status, "2."):
				x.Action = Delivered
			}
		}
		n[x.Action]++
	}
	all := len(r.out.Recipients)
	switch {
	case all > 0 && n[Delayed] == all:
		r.out.Kind = BounceDelayed
	case all > 0 && n[Delivered]+n[Relayed]+n[Expanded] == all:
		r.out.Kind = BounceDelivered
	default:
		r.out.Kind = BounceFailed
		for i := range r.out.Recipients {
			first(&r.out.Recipients[i].Action, Failed)
		}
	}
}
