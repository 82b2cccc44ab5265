package dns

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// Inside the package: why a packet is not the answer, and what to do next.
var (
	errStray     = errors.New("packet for another question")
	errStrays    = errors.New("too many packets for other questions")
	errTruncated = errors.New("truncated answer")
	errCase      = errors.New("letter case of the question changed")
)

// accept is the message in raw when it answers q. Its errors are errStray (go on reading), errTruncated and errCase (ask again over
// TCP), or wrap ErrMalformed.
func accept(q *query, raw []byte, tcp bool) (*mdns.Msg, error) {
	const qr, opcode, tc = 0x80, 0x78, 0x02
	if len(raw) < 12 || raw[0] != q.wire[0] || raw[1] != q.wire[1] || raw[2]&qr == 0 || raw[2]&opcode != 0 {
		return nil, errStray
	}
	count := func(at int) int { return int(binary.BigEndian.Uint16(raw[at:])) }
	rcode := int(raw[3] & 0x0f)
	switch count(4) {
	case 1:
		if len(raw) < q.question {
			return nil, errStray
		}
		exact, folded := sameQuestion(q.wire[12:q.question], raw[12:q.question])
		switch {
		case !folded:
			return nil, errStray
		case !exact && !tcp:
			return nil, errCase
		case !exact:
			q.folded = true
		}
	case 0:
		// Some servers leave the question out of an error; that is never an answer about the name.
		if rcode == mdns.RcodeSuccess || rcode == mdns.RcodeNameError {
			return nil, fmt.Errorf("%w: no question in it", ErrMalformed)
		}
	default:
		return nil, fmt.Errorf("%w: %d questions in it", ErrMalformed, count(4))
	}
	if raw[2]&tc != 0 {
		if tcp {
			return nil, fmt.Errorf("%w: truncated over TCP", ErrMalformed)
		}
		return nil, errTruncated
	}
	m, err := unpack(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	// The codec forgives counts that promise more than there is; to us that would make a cut answer look like an empty one.
	if len(m.Answer) != count(6) || len(m.Ns) != count(8) || len(m.Extra) != count(10) {
		return nil, fmt.Errorf("%w: fewer records than announced", ErrMalformed)
	}
	return m, nil
}

// unpack keeps a fault of the codec on hostile bytes from ending the process.
func unpack(raw []byte) (m *mdns.Msg, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, fmt.Errorf("codec: %v", p)
		}
	}()
	m = new(mdns.Msg)
	return m, m.Unpack(raw)
}

// sameQuestion compares two question sections of one length in wire form, exactly and without regard to letter case.
func sameQuestion(a, b []byte) (exact, folded bool) {
	exact = true
	for i := range a {
		if a[i] == b[i] {
			continue
		}
		exact = false
		// Length bytes are below 64 and the type and class are not letters' affair: only letters may differ, by bit 0x20.
		if l := a[i] | 0x20; i >= len(a)-4 || a[i]^b[i] != 0x20 || l < 'a' || l > 'z' {
			return false, false
		}
	}
	return exact, true
}

// verdict is nil when m says something about the name: it has an answer, or denies one and may do so.
func verdict(m *mdns.Msg) error {
	ede, hasEDE := extendedError(m)
	switch m.Rcode {
	case mdns.RcodeSuccess, mdns.RcodeNameError:
	case mdns.RcodeServerFailure:
		// RFC 8914 4.6-4.13: the resolver tells that validation is what failed.
		if hasEDE && ede >= mdns.ExtendedErrorCodeDNSSECIndeterminate && ede <= mdns.ExtendedErrorCodeNSECMissing {
			return fmt.Errorf("%w: extended error %d", ErrBogus, ede)
		}
		return fmt.Errorf("%w: SERVFAIL", ErrServFail)
	case mdns.RcodeRefused, mdns.RcodeNotAuth:
		return fmt.Errorf("%w: %s", ErrRefused, mdns.RcodeToString[m.Rcode])
	default:
		return fmt.Errorf("%w: rcode %d", ErrServFail, m.Rcode)
	}
	records := 0
	for _, rr := range m.Answer {
		if rr.Header().Rrtype != mdns.TypeRRSIG {
			records++
		}
	}
	if records > maxRecords {
		return fmt.Errorf("%w: %d records, more than %d", ErrMalformed, records, maxRecords)
	}
	if records > 0 && m.Rcode == mdns.RcodeSuccess {
		return nil
	}
	if hasEDE {
		switch ede {
		case mdns.ExtendedErrorCodeForgedAnswer, mdns.ExtendedErrorCodeBlocked, mdns.ExtendedErrorCodeCensored,
			mdns.ExtendedErrorCodeFiltered, mdns.ExtendedErrorCodeProhibited:
			// RFC 8914 4.5, 4.16-4.19: the resolver hides the name; that says nothing about the name.
			return fmt.Errorf("%w: the resolver hides the name (extended error %d)", ErrRefused, ede)
		case mdns.ExtendedErrorCodeStaleAnswer, mdns.ExtendedErrorCodeStaleNXDOMAINAnswer:
			// RFC 8914 4.4, 4.20: the true servers were not reached.
			return fmt.Errorf("%w: stale denial", ErrServFail)
		}
	}
	if !m.Authoritative && !m.RecursionAvailable {
		return fmt.Errorf("%w: denial from a server that is neither authoritative nor recursive", ErrLame)
	}
	if m.Rcode == mdns.RcodeSuccess && records == 0 && isReferral(m) {
		return fmt.Errorf("%w: referral instead of an answer", ErrLame)
	}
	return nil
}

func extendedError(m *mdns.Msg) (code uint16, ok bool) {
	opt := m.IsEdns0()
	if opt == nil {
		return 0, false
	}
	for _, o := range opt.Option {
		if e, is := o.(*mdns.EDNS0_EDE); is {
			return e.InfoCode, true
		}
	}
	return 0, false
}

// isReferral: name servers without SOA (RFC 2308 2.2.1).
func isReferral(m *mdns.Msg) bool {
	ns := false
	for _, rr := range m.Ns {
		switch rr.Header().Rrtype {
		case mdns.TypeSOA:
			return false
		case mdns.TypeNS:
			ns = true
		}
	}
	return ns
}

// reply is a message that verdict let pass.
type reply struct {
	msg     *mdns.Msg
	trusted bool // the AD bit counts
}

// walk follows one question through the CNAMEs of one or several replies.
type walk struct {
	typ       Type
	seen      []string
	ttl       time.Duration
	authentic bool
	answer    Answer // valid after step said done
}

// step reads the reply to the question for name. Not done: the returned name is to be asked next.
func (w *walk) step(name string, r reply) (next string, done bool, err error) {
	w.authentic = w.authentic && r.trusted && r.msg.AuthenticatedData
	last, moved, err := w.follow(name, r.msg)
	if err != nil {
		return "", false, err
	}
	records, err := w.collect(last, r.msg)
	switch {
	case err != nil:
		return "", false, err
	case len(records) > 0 && r.msg.Rcode == mdns.RcodeNameError:
		return "", false, fmt.Errorf("%w: NXDOMAIN with records of the name", ErrMalformed)
	case len(records) > 0:
		w.answer = Answer{Status: Found, Records: records, Authentic: w.authentic, Authoritative: r.msg.Authoritative, TTL: w.ttl}
		return "", true, nil
	}
	ttl, denied := denial(r.msg, last)
	switch {
	case r.msg.Rcode == mdns.RcodeNameError:
		// RFC 6604 3: the code speaks of the last name of the chain.
	case moved && !denied:
		return last, false, nil // the server left the rest of the chain to us
	case !moved && foreign(r.msg):
		return "", false, fmt.Errorf("%w: records of other names only", ErrMalformed)
	}
	w.answer = Answer{Status: Nothing, NXDomain: r.msg.Rcode == mdns.RcodeNameError, Authentic: w.authentic, Authoritative: r.msg.Authoritative, TTL: min(w.ttl, ttl)}
	return "", true, nil
}

// follow goes along the CNAMEs that start at name.
func (w *walk) follow(name string, m *mdns.Msg) (last string, moved bool, err error) {
	for w.typ != TypeCNAME {
		var alias *mdns.CNAME
		for _, rr := range m.Answer {
			c, ok := rr.(*mdns.CNAME)
			if !ok || c.Hdr.Class != mdns.ClassINET || !strings.EqualFold(c.Hdr.Name, name) {
				continue
			}
			if alias != nil && !strings.EqualFold(alias.Target, c.Target) {
				return "", false, fmt.Errorf("%w: two CNAMEs at %s", ErrMalformed, name)
			}
			alias = c
		}
		if alias == nil {
			break
		}
		if alias.Target == "" {
			return "", false, fmt.Errorf("%w: CNAME without target", ErrMalformed)
		}
		if w.seen = append(w.seen, strings.ToLower(name)); len(w.seen) > maxChain {
			return "", false, fmt.Errorf("%w: more than %d CNAMEs", ErrMalformed, maxChain)
		}
		name, moved = strings.ToLower(alias.Target), true
		for _, s := range w.seen {
			if s == name {
				return "", false, fmt.Errorf("%w: CNAME loop at %s", ErrMalformed, name)
			}
		}
		w.ttl = min(w.ttl, ttlOf(alias.Hdr.Ttl))
	}
	return name, moved, nil
}

// collect is the records of the type asked for at name.
func (w *walk) collect(name string, m *mdns.Msg) ([]Record, error) {
	var records []Record
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Rrtype != uint16(w.typ) || h.Class != mdns.ClassINET || !strings.EqualFold(h.Name, name) {
			continue
		}
		rec, ok := record(rr)
		if !ok {
			return nil, fmt.Errorf("%w: %s record of %s breaks its format", ErrMalformed, w.typ, name)
		}
		records = append(records, rec)
		w.ttl = min(w.ttl, rec.TTL)
	}
	return records, nil
}

// denial is the negative TTL by the SOA of a zone that holds name (RFC 2308 5); false without such a SOA, then the TTL is zero.
func denial(m *mdns.Msg, name string) (time.Duration, bool) {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*mdns.SOA); ok && mdns.IsSubDomain(soa.Hdr.Name, name) {
			return min(ttlOf(soa.Hdr.Ttl), ttlOf(soa.Minttl)), true
		}
	}
	return 0, false
}

// foreign: the answer section holds something, and it was of no use.
func foreign(m *mdns.Msg) bool {
	for _, rr := range m.Answer {
		if t := rr.Header().Rrtype; t != mdns.TypeRRSIG {
			return true
		}
	}
	return false
}

// ttlOf is a TTL field as a duration. RFC 2181 8: a value with the highest bit set means zero.
func ttlOf(v uint32) time.Duration {
	if v > 1<<31-1 {
		return 0
	}
	return time.Duration(v) * time.Second
}

// record is rr in our form; false when it lacks what its type demands.
func record(rr mdns.RR) (Record, bool) {
	h := rr.Header()
	r := Record{Name: host(h.Name), Type: Type(h.Rrtype), TTL: ttlOf(h.Ttl)}
	if h.Rdlength == 0 {
		return r, false
	}
	switch v := rr.(type) {
	case *mdns.A:
		ip, ok := netip.AddrFromSlice(v.A.To4())
		r.IP = ip
		return r, ok
	case *mdns.AAAA:
		ip, ok := netip.AddrFromSlice(v.AAAA.To16())
		r.IP = ip
		return r, ok
	case *mdns.MX:
		r.Host, r.Pref = host(v.Mx), v.Preference
		return r, v.Mx != ""
	case *mdns.TXT:
		if len(v.Txt) == 1 {
			r.Text = unescape(v.Txt[0])
		} else {
			r.Text = unescape(strings.Join(v.Txt, ""))
		}
		return r, len(v.Txt) > 0
	case *mdns.PTR:
		r.Host = host(v.Ptr)
		return r, v.Ptr != ""
	case *mdns.CNAME:
		r.Host = host(v.Target)
		return r, v.Target != ""
	case *mdns.NS:
		r.Host = host(v.Ns)
		return r, v.Ns != ""
	case *mdns.SOA:
		r.Host = host(v.Ns)
		r.SOA = &SOA{Mailbox: host(v.Mbox), Serial: v.Serial, Refresh: ttlOf(v.Refresh), Retry: ttlOf(v.Retry), Expire: ttlOf(v.Expire), Minimum: ttlOf(v.Minttl)}
		return r, v.Ns != ""
	case *mdns.SPF:
		r.Text = unescape(strings.Join(v.Txt, ""))
		return r, len(v.Txt) > 0
	case *mdns.DS:
		digest, err := hex.DecodeString(v.Digest)
		r.Data = append([]byte{byte(v.KeyTag >> 8), byte(v.KeyTag), v.Algorithm, v.DigestType}, digest...)
		return r, err == nil && len(digest) > 0
	case *mdns.TLSA:
		data, err := hex.DecodeString(v.Certificate)
		r.Data = append([]byte{v.Usage, v.Selector, v.MatchingType}, data...)
		// Association data of no length would match nothing and hide that DANE is wanted.
		return r, err == nil && len(data) > 0
	case *mdns.CAA:
		r.Pref, r.Text = uint16(v.Flag), v.Tag+"="+unescape(v.Value)
		return r, v.Tag != ""
	}
	return r, true
}

// host is a name of the codec in our form: lower-case, no final dot, "" for the root.
func host(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// unescape turns the codec's master-file escapes (RFC 1035 5.1: \DDD, \X) back into bytes.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		if i+3 < len(s) && digit(s[i+1]) && digit(s[i+2]) && digit(s[i+3]) {
			b = append(b, byte(int(s[i+1]-'0')*100+int(s[i+2]-'0')*10+int(s[i+3]-'0')))
			i += 3
			continue
		}
		i++
		b = append(b, s[i])
	}
	return string(b)
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
