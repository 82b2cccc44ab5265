package dnstest

import (
	"net"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// serve answers one question: count, hook, hold, order, zones; in this order.
func (s *Server) serve(w mdns.ResponseWriter, q *mdns.Msg) {
	if len(q.Question) != 1 {
		return
	}
	network := "tcp"
	if _, ok := w.RemoteAddr().(*net.UDPAddr); ok {
		network = "udp"
	}
	question := q.Question[0]
	name := strings.ToLower(question.Name)

	s.mu.Lock()
	s.total++
	s.counts[order{name, 0}]++
	s.counts[order{name, question.Qtype}]++
	hook, gate, mode, delay, data, secure, authority := s.hook, s.holds[name], s.mode(name, question.Qtype), s.delay(name), s.data, s.secure, s.authority
	s.mu.Unlock()

	if hook != nil {
		if r := hook(network, q); !r.Pass {
			switch {
			case r.Msg != nil:
				_ = w.WriteMsg(r.Msg) // the client sees a failed write as no answer
			case r.Raw != nil:
				_, _ = w.Write(r.Raw)
			}
			return
		}
	}
	if gate != nil {
		select {
		case <-gate:
		case <-s.closed:
			return
		}
	}
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-s.closed:
			return
		}
	}
	answer := data.answer
	if authority {
		answer = data.authoritative
	}
	raw := spoil(mode, network, q, data, answer, secure)
	if raw != nil {
		_, _ = w.Write(raw)
	}
}

// mode is the order for the question: the exact name first, then the nearest wildcard, then "*"; a type before all types.
func (s *Server) mode(name string, typ uint16) Mode {
	try := func(name string) (Mode, bool) {
		if m, ok := s.fails[order{name, typ}]; ok {
			return m, true
		}
		m, ok := s.fails[order{name, 0}]
		return m, ok
	}
	if m, ok := try(name); ok {
		return m
	}
	for off, end := mdns.NextLabel(name, 0); !end; off, end = mdns.NextLabel(name, off) {
		if m, ok := try("*." + name[off:]); ok {
			return m
		}
	}
	m, _ := try("*")
	return m
}

// delay is the order for the name: exact, then the nearest wildcard, then "*".
func (s *Server) delay(name string) time.Duration {
	if len(s.delays) == 0 {
		return 0
	}
	if d, ok := s.delays[name]; ok {
		return d
	}
	for off, end := mdns.NextLabel(name, 0); !end; off, end = mdns.NextLabel(name, off) {
		if d, ok := s.delays["*."+name[off:]]; ok {
			return d
		}
	}
	return s.delays["*"]
}

// spoil makes the packet that the mode asks for; nil is no answer.
func spoil(mode Mode, network string, q *mdns.Msg, data *zones, answer func(*mdns.Msg) *mdns.Msg, secure bool) []byte {
	switch mode {
	case Timeout:
		return nil
	case DropUDP:
		if network == "udp" {
			return nil
		}
	case ServFail:
		return pack(rcode(q, mdns.RcodeServerFailure), network, q)
	case Refused:
		return pack(rcode(q, mdns.RcodeRefused), network, q)
	case FormErr:
		return pack(rcode(q, mdns.RcodeFormatError), network, q)
	case NotImp:
		return pack(rcode(q, mdns.RcodeNotImplemented), network, q)
	case NXDomain:
		m := rcode(q, mdns.RcodeNameError)
		m.Ns = []mdns.RR{data.soa(strings.ToLower(q.Question[0].Name))}
		return pack(m, network, q)
	case Bogus:
		return pack(extended(rcode(q, mdns.RcodeServerFailure), mdns.ExtendedErrorCodeDNSBogus), network, q)
	case Filtered:
		return pack(extended(rcode(q, mdns.RcodeNameError), mdns.ExtendedErrorCodeFiltered), network, q)
	case NoEDNS:
		if q.IsEdns0() != nil {
			return pack(rcode(q, mdns.RcodeFormatError), network, q)
		}
	case Lame:
		return pack(referral(q), network, q)
	case Truncate, TruncateAlways:
		if network == "udp" || mode == TruncateAlways {
			m := rcode(q, mdns.RcodeSuccess)
			m.Truncated = true
			return pack(m, network, q)
		}
	}
	m := answer(q)
	m.AuthenticatedData = secure && mode != Unsigned
	switch mode {
	case WrongID:
		m.Id ^= 0x5a5a
	case LowerCase:
		m.Question[0].Name = strings.ToLower(m.Question[0].Name)
	case WrongQuestion:
		m.Question[0].Name = "wrong.invalid."
	}
	raw := pack(m, network, q)
	if mode == Malformed && raw != nil {
		// One answer record is announced; it ends after its type.
		raw = append(raw[:12:12], raw[12:questionEnd(raw)]...)
		copy(raw[6:12], []byte{0, 1, 0, 0, 0, 0})
		raw = append(raw, 0xc0, 12, 0, 1)
	}
	return raw
}

// questionEnd is where the question section of a packet of ours ends; the name in it is not compressed.
func questionEnd(raw []byte) int {
	off := 12
	for off < len(raw) && raw[off] != 0 {
		off += int(raw[off]) + 1
	}
	return min(off+5, len(raw))
}

func rcode(q *mdns.Msg, code int) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetRcode(q, code)
	m.Authoritative, m.RecursionAvailable = code == mdns.RcodeNameError, true
	if opt := q.IsEdns0(); opt != nil && code != mdns.RcodeFormatError {
		m.SetEdns0(1232, opt.Do())
	}
	return m
}

func extended(m *mdns.Msg, code uint16) *mdns.Msg {
	opt := m.IsEdns0()
	if opt == nil {
		m.SetEdns0(1232, false)
		opt = m.IsEdns0()
	}
	opt.Option = append(opt.Option, &mdns.EDNS0_EDE{InfoCode: code, ExtraText: "as ordered"})
	return m
}

func referral(q *mdns.Msg) *mdns.Msg {
	m := rcode(q, mdns.RcodeSuccess)
	m.Authoritative, m.RecursionAvailable = false, false
	m.Ns = []mdns.RR{&mdns.NS{
		Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeNS, Class: mdns.ClassINET, Ttl: 300},
		Ns:  "a.root-servers.invalid.",
	}}
	return m
}

// pack makes the bytes of m, cut to what the question allows over UDP.
func pack(m *mdns.Msg, network string, q *mdns.Msg) []byte {
	if network == "udp" {
		size := mdns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		m.Truncate(size)
	} else {
		m.Truncate(mdns.MaxMsgSize)
	}
	raw, err := m.Pack()
	if err != nil {
		return nil
	}
	return raw
}
