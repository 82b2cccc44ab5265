package dkim

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/mail"
)

// request is a DKIM-Signature field, read and found well formed: everything that
// can be known without the DNS.
type request struct {
	Signature
	raw           []byte // the field itself
	kind          string // key type that the algorithm needs
	relaxedHeader bool
	relaxedBody   bool
	bodyHash      []byte
	signature     []byte
}

// policyError is a refusal by our limits rather than by the standard.
type policyError struct{ reason string }

func (e policyError) Error() string { return e.reason }

// parseSignature reads a DKIM-Signature field (RFC 6376 3.5). On error the
// Signature part holds what could be read.
func parseSignature(raw []byte, now time.Time) (*request, error) {
	r := &request{raw: raw}
	r.BodyLength = -1
	if len(raw) > maxSignatureField {
		return r, fmt.Errorf("signature field longer than %d bytes", maxSignatureField)
	}
	_, value, _ := bytes.Cut(raw, []byte(":"))
	tags, err := parseTagList(string(value))
	if err != nil {
		return r, err
	}
	if v, _ := tags.get("v"); v != "1" {
		return r, fmt.Errorf("unsupported version v=%s", mail.Glimpse(v))
	}
	for _, name := range []string{"a", "b", "bh", "d", "h", "s"} {
		if v, ok := tags.get(name); !ok || stripFWS(v) == "" {
			return r, fmt.Errorf("required tag %s= missing", name)
		}
	}
	for _, read := range []func(tagList) error{r.readIdentity, r.readAlgorithm, r.readHeaders, r.readData} {
		if err := read(tags); err != nil {
			return r, err
		}
	}
	return r, r.readTimes(tags, now)
}

// readIdentity reads d=, s= and i=.
func (r *request) readIdentity(tags tagList) error {
	d, _ := tags.get("d")
	domain, err := mail.ParseDomain(stripFWS(d))
	if err != nil {
		return fmt.Errorf("d=%s is not a domain", mail.Glimpse(d))
	}
	if _, literal := domain.Literal(); literal {
		return fmt.Errorf("d=%s is not a domain", mail.Glimpse(d))
	}
	r.Domain = domain
	s, _ := tags.get("s")
	s = strings.ToLower(stripFWS(s))
	if !validSelector(s, domain) {
		return fmt.Errorf("s=%s is not a selector", mail.Glimpse(s))
	}
	r.Selector = s
	r.Identity = "@" + string(domain)
	i, ok := tags.get("i")
	if !ok {
		return nil
	}
	identity, err := decodeQP(i)
	if err != nil {
		return fmt.Errorf("i=: %w", err)
	}
	at := strings.LastIndexByte(identity, '@')
	if at < 0 || strings.IndexFunc(identity, badInValue) >= 0 {
		return fmt.Errorf("i=%s is not an identity", mail.Glimpse(identity))
	}
	within, err := mail.ParseDomain(identity[at+1:])
	if err != nil || within != domain && !strings.HasSuffix(string(within), "."+string(domain)) {
		return errors.New("i= is not within d=")
	}
	r.Identity = identity[:at+1] + string(within)
	return nil
}

// readAlgorithm reads a=, c= and q=.
func (r *request) readAlgorithm(tags tagList) error {
	a, _ := tags.get("a")
	r.Algorithm = strings.ToLower(a)
	if c, ok := tags.get("c"); ok {
		header, body, _ := strings.Cut(strings.ToLower(stripFWS(c)), "/")
		for _, one := range []struct {
			name    string
			relaxed *bool
		}{{header, &r.relaxedHeader}, {body, &r.relaxedBody}} {
			switch one.name {
			case "relaxed":
				*one.relaxed = true
			case "simple", "":
			default:
				return fmt.Errorf("unknown canonicalisation c=%s", mail.Glimpse(c))
			}
		}
	}
	if q, ok := tags.get("q"); ok && !listHas(q, "dns/txt") && !listHas(q, "dns") {
		return fmt.Errorf("unknown key query q=%s", mail.Glimpse(q))
	}
	switch r.Algorithm {
	case RSASHA256:
		r.kind = "rsa"
	case Ed25519SHA256:
		r.kind = "ed25519"
	case "rsa-sha1":
		return policyError{"rsa-sha1 is no longer accepted (RFC 8301 3.1)"}
	default:
		return fmt.Errorf("unknown algorithm a=%s", mail.Glimpse(a))
	}
	return nil
}

// readHeaders reads h=.
func (r *request) readHeaders(tags tagList) error {
	h, _ := tags.get("h")
	if n := strings.Count(h, ":") + 1; n > MaxSignedHeaders {
		return policyError{fmt.Sprintf("h= holds %d names, more than %d", n, MaxSignedHeaders)}
	}
	from := false
	for name := range strings.SplitSeq(h, ":") {
		name = strings.ToLower(strings.Trim(name, fws))
		if name == "" {
			return errors.New("h= holds an empty name")
		}
		from = from || name == "from"
		r.Headers = append(r.Headers, name)
	}
	if !from {
		return errors.New("field From is not signed")
	}
	return nil
}

// readData reads bh=, b= and l=.
func (r *request) readData(tags tagList) (err error) {
	bh, _ := tags.get("bh")
	if r.bodyHash, err = decodeBase64(bh); err != nil || len(r.bodyHash) != sha256.Size {
		return errors.New("bh= is not a SHA-256 value")
	}
	b, _ := tags.get("b")
	if r.signature, err = decodeBase64(b); err != nil {
		return errors.New("b= is not base64")
	}
	if l, ok := tags.get("l"); ok {
		if r.BodyLength, err = decimal(l); err != nil {
			r.BodyLength = -1
			return errors.New("l= is not a number")
		}
	}
	return nil
}

// readTimes reads t= and x=.
func (r *request) readTimes(tags tagList, now time.Time) error {
	var signed, expires int64
	t, hasT := tags.get("t")
	x, hasX := tags.get("x")
	var err error
	if hasT {
		if signed, err = decimal(t); err != nil {
			return errors.New("t= is not a time")
		}
	}
	if !hasX {
		return nil
	}
	if expires, err = decimal(x); err != nil {
		return errors.New("x= is not a time")
	}
	if hasT && expires <= signed {
		return errors.New("x= is not after t=")
	}
	r.Expired = now.Unix() > expires
	return nil
}

// validSelector reports whether s can be asked for below domain: labels of
// letters, digits, hyphens and underscores, within the DNS's lengths.
func validSelector(s string, domain mail.Domain) bool {
	if s == "" || len(s)+len("._domainkey.")+len(domain) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := 0; i < len(label); i++ {
			c := label[i]
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	return true
}

// withoutSignature returns the field with the value of b= removed, all else kept
// (RFC 6376 3.5, b=).
func withoutSignature(raw []byte) []byte {
	colon := bytes.IndexByte(raw, ':')
	out := make([]byte, 0, len(raw))
	out = append(out, raw[:colon+1]...)
	for rest := raw[colon+1:]; ; {
		spec, next, more := bytes.Cut(rest, []byte(";"))
		name, _, ok := bytes.Cut(spec, []byte("="))
		if ok && string(bytes.Trim(name, fws)) == "b" {
			out = append(append(out, name...), '=')
		} else {
			out = append(out, spec...)
		}
		if !more {
			return out
		}
		out = append(out, ';')
		rest = next
	}
}
