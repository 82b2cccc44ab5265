// Package dns is the one resolver of the house: every question that any room puts to the DNS goes through a Resolver of this package.
//
// An answer has exactly three states. Found: the records are here, complete. Nothing: a server that may say so has said that the name does
// not exist (NXDomain) or that it holds no record of the type asked for. TryLater: everything else, that is silence, SERVFAIL, REFUSED,
// DNSSEC failure, broken or contradictory packets, lame servers, loops, a limit reached. Trouble is never shown as Nothing: a caller may
// turn Nothing into a permanent failure, and must turn TryLater into a temporary one. Answer.Err then says why and wraps one of the
// sentinel errors (ErrTimeout, ErrServFail, ...).
//
// Client is the Resolver that asks real servers. It keeps a bounded cache (positive answers by their TTL, negative ones by RFC 2308,
// TryLater for five seconds), asks each question once however many callers wait for it, limits the questions in flight, goes round
// several servers, and follows CNAMEs (at most ten). Against forged answers it uses a random id, a new source port per question and
// random letter case (0x20), checks all three and repeats a truncated or suspicious answer over TCP. It validates no signatures itself:
// Answer.Authentic repeats the AD bit of a server that is trusted to have validated, which is one on loopback unless Options say more.
//
// The package does not do IDNA (names come as A-labels), does not use search lists (every name is absolute), and keeps no state on disk.
//
// Package dnstest beside it holds a server with zones from text, for tests and for the demonstration world.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Status is the state of an answer. The zero Status is TryLater, so that an Answer nobody filled in claims nothing.
type Status uint8

// The three states of an answer.
const (
	TryLater Status = iota // not known now: ask again later; never a reason for a permanent failure
	Found                  // at least one record of the type asked for
	Nothing                // confirmed: no such name, or no such record at the name
)

// String is the state in one word: "found", "nothing", "try later".
func (s Status) String() string {
	switch s {
	case Found:
		return "found"
	case Nothing:
		return "nothing"
	}
	return "try later"
}

// Type is a record type by its number in the IANA registry of DNS parameters.
type Type uint16

// The record types that the house asks for.
const (
	TypeA     Type = 1
	TypeNS    Type = 2
	TypeCNAME Type = 5
	TypeSOA   Type = 6
	TypePTR   Type = 12
	TypeMX    Type = 15
	TypeTXT   Type = 16
	TypeAAAA  Type = 28
	TypeDS    Type = 43
	TypeTLSA  Type = 52
	TypeSPF   Type = 99 // given up (RFC 7208 3.1); asked for only to see whether somebody publishes there what should be TXT
	TypeCAA   Type = 257
)

// Record is one record of an answer. Which fields are set depends on Type; the others are zero.
type Record struct {
	Name string        // owner, lower-case, no final dot; after a CNAME chain this is the last name of the chain
	Type Type          // type of the record; always the type asked for
	TTL  time.Duration // as the server gave it; what is left of it is Answer.TTL
	IP   netip.Addr    // A, AAAA
	// Host is the target of MX, PTR, CNAME and NS and the primary server of SOA: lower-case, no final dot, "" for the root, so that
	// MX with Host "" is the null MX of RFC 7505. Bytes that no host name has are in master-file escapes; see HostName.
	Host string
	Pref uint16 // MX preference, CAA flags
	Text string // TXT, SPF: the strings joined without space (RFC 7208 3.3), raw bytes; CAA: "tag=value"
	Data []byte // TLSA: usage, selector, matching type, association data (RFC 6698 2.1); DS: key tag (2 bytes), algorithm, digest type, digest
	SOA  *SOA   // SOA: what it says beside the primary server
}

// SOA is what a zone says of its copies (RFC 1035 3.3.13).
type SOA struct {
	Mailbox string // who looks after the zone, as a name: the first label is the local part
	Serial  uint32
	Refresh time.Duration // secondaries look for a new serial so often
	Retry   time.Duration // and again after that, when the primary did not answer
	Expire  time.Duration // after so long without the primary they stop answering
	Minimum time.Duration // answers without records may be kept so long (RFC 2308 4)
}

// Answer is what one question gave. Answers may be shared between callers: treat Records as read-only.
type Answer struct {
	Status   Status
	NXDomain bool     // with Nothing: the name does not exist at all (RFC 8020); false: it exists without such a record
	Records  []Record // with Found: all records of the type asked for, in the order of the server
	// Authoritative: the server holds the zone of the name itself (AA bit). Resolvers that keep answers do not set it; it means something only
	// with At.
	Authoritative bool
	Authentic     bool          // DNSSEC-validated by a server that we trust, over the whole chain (AD bit)
	TTL           time.Duration // how long the answer may still be used
	Err           error         // with TryLater: why, wraps one of the Err values; with Nothing: nil, or ErrName
}

// Why an answer is TryLater. Answer.Err wraps exactly one of them, but for ErrName, which comes with Nothing.
var (
	ErrTimeout   = errors.New("no answer in time")
	ErrServFail  = errors.New("server failure")
	ErrRefused   = errors.New("refused by the server")
	ErrBogus     = errors.New("DNSSEC validation failed")
	ErrMalformed = errors.New("malformed answer")
	ErrLame      = errors.New("lame server")
	ErrNetwork   = errors.New("server not reachable")
	ErrBusy      = errors.New("too many questions in flight")
	ErrBudget    = errors.New("budget of DNS questions used up")
	// ErrName: the name cannot be a DNS name (empty or too long label, more than 253 bytes, bytes outside printable ASCII). It comes
	// with Status Nothing and NXDomain, since no server could ever hold it, and no server was asked.
	ErrName = errors.New("not a possible DNS name")
)

// Resolver answers one question. It follows CNAMEs and never returns part of an answer. name is absolute with or without final dot, in
// A-labels. Query may be called from many goroutines; it returns at the latest when ctx ends, then with TryLater.
type Resolver interface {
	Query(ctx context.Context, name string, typ Type) Answer
}

// MX asks for the mail exchangers of domain, in the order of the server; the caller sorts by Pref. A null MX (RFC 7505) is Found
// with one record whose Host is "". Nothing means: no MX, the caller decides about the implicit MX (RFC 5321 5.1).
func MX(ctx context.Context, r Resolver, domain string) Answer {
	return r.Query(ctx, domain, TypeMX)
}

// TXT asks for the TXT records of name, each with its strings joined.
func TXT(ctx context.Context, r Resolver, name string) Answer {
	return r.Query(ctx, name, TypeTXT)
}

// PTR asks for the names of ip in the reverse tree. The names are not confirmed forward. An invalid ip gives Nothing with ErrName.
func PTR(ctx context.Context, r Resolver, ip netip.Addr) Answer {
	return r.Query(ctx, ReverseName(ip), TypePTR)
}

// Addrs asks for A and AAAA of host at the same time and returns both as one answer, A first. One of the two failing is TryLater only if
// the other found nothing; NXDomain needs both to say so.
func Addrs(ctx context.Context, r Resolver, host string) Answer {
	six := make(chan Answer, 1)
	go func() { six <- r.Query(ctx, host, TypeAAAA) }()
	four := r.Query(ctx, host, TypeA)
	return merge(four, <-six)
}

func merge(a, b Answer) Answer {
	switch {
	case a.Status == Found && b.Status == Found:
		records := make([]Record, 0, len(a.Records)+len(b.Records))
		records = append(append(records, a.Records...), b.Records...)
		return Answer{Status: Found, Records: records, Authentic: a.Authentic && b.Authentic, TTL: min(a.TTL, b.TTL)}
	case a.Status == Found:
		return a
	case b.Status == Found:
		return b
	case a.Status == TryLater:
		return a
	case b.Status == TryLater:
		return b
	}
	return Answer{Status: Nothing, NXDomain: a.NXDomain && b.NXDomain, Authentic: a.Authentic && b.Authentic, TTL: min(a.TTL, b.TTL), Err: a.Err}
}

// LeadsTo reports whether name has ip among its addresses: Found; Nothing, it has others or none; TryLater. It is the second half of
// a confirmed reverse name, PTR being the first (RFC 8601 3).
func LeadsTo(ctx context.Context, r Resolver, name string, ip netip.Addr) Status {
	a := Addrs(ctx, r, name)
	if a.Status != Found {
		return a.Status
	}
	for _, rec := range a.Records {
		if rec.IP.Unmap() == ip.Unmap() {
			return Found
		}
	}
	return Nothing
}

// Canary asks for something that exists for certain: the name servers of the root when zone is "", else the SOA of zone. nil: r may be
// believed. An error, wrapping a sentinel of this package: r is in trouble, and its denials of other names should not be made permanent
// either. A resolver that denies the canary gives ErrLame.
func Canary(ctx context.Context, r Resolver, zone string) error {
	name, typ := zone, TypeSOA
	if zone == "" {
		name, typ = ".", TypeNS
	}
	switch a := r.Query(ctx, name, typ); a.Status {
	case Found:
		return nil
	case Nothing:
		return fmt.Errorf("canary %s %s: %w: it is denied", name, typ, ErrLame)
	default:
		return fmt.Errorf("canary: %w", a.Err)
	}
}

// ReverseLabels is ip in reverse notation without a suffix, as block lists want it before their zone (RFC 5782 2.1, 2.4):
// "1.2.0.192" or 32 nibbles. IPv4-mapped IPv6 addresses count as IPv4; "" for the zero Addr.
func ReverseLabels(ip netip.Addr) string {
	ip = ip.Unmap()
	if ip.Is4() {
		b := ip.As4()
		buf := make([]byte, 0, 15)
		for i := 3; i >= 0; i-- {
			buf = strconv.AppendUint(buf, uint64(b[i]), 10)
			if i > 0 {
				buf = append(buf, '.')
			}
		}
		return string(buf)
	}
	if !ip.Is6() {
		return ""
	}
	const hex = "0123456789abcdef"
	b := ip.As16()
	buf := make([]byte, 0, 63)
	for i := 15; i >= 0; i-- {
		buf = append(buf, hex[b[i]&15], '.', hex[b[i]>>4])
		if i > 0 {
			buf = append(buf, '.')
		}
	}
	return string(buf)
}

// ReverseName is the name that holds the PTR record of ip: in-addr.arpa (RFC 1035 3.5) or ip6.arpa (RFC 3596 2.5). "" for the zero Addr.
func ReverseName(ip netip.Addr) string {
	labels := ReverseLabels(ip)
	switch {
	case labels == "":
		return ""
	case ip.Unmap().Is4():
		return labels + ".in-addr.arpa"
	}
	return labels + ".ip6.arpa"
}

// HostName reports whether s is a host name that one may connect to or print without care: labels of letters, digits, hyphens and
// underscores (underscores occur in real MX and PTR records), at least one label, lengths within RFC 1035 2.3.4.
func HostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	label := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0
}

// WithBudget is r for one message: it passes on the first `queries` questions and answers TryLater with ErrBudget to the others. Cached
// answers count too, so that the verdict about a message does not depend on what others asked before. Safe for many goroutines.
func WithBudget(r Resolver, queries int) Resolver {
	b := &budget{next: r, of: queries}
	b.left.Store(int64(queries))
	return b
}

type budget struct {
	next Resolver
	of   int
	left atomic.Int64
}

func (b *budget) Query(ctx context.Context, name string, typ Type) Answer {
	if b.left.Add(-1) < 0 {
		return Answer{Err: fmt.Errorf("%s: %w (%d questions)", name, ErrBudget, b.of)}
	}
	return b.next.Query(ctx, name, typ)
}
