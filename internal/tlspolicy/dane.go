package tlspolicy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"postern/internal/dns"
)

// Certificate usages, selectors and matching types that count in mail (RFC 7672 3.1, RFC 7671).
const (
	usageTA = 2 // DANE-TA: the record names an authority that the chain must lead to
	usageEE = 3 // DANE-EE: the record names the server's own certificate or key

	selectCert = 0
	selectSPKI = 1

	matchFull   = 0
	matchSHA256 = 1
	matchSHA512 = 2
)

// TLSA is one record that a connection can be checked with.
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// ParseTLSA reads the data of a TLSA record (RFC 6698 2.1). The error says why no connection of mail can be checked with it: unusable records are
// passed over (RFC 7672 3.1). PKIX-TA and PKIX-EE are among them: which authorities both sides trust is not agreed in mail (3.1.3).
func ParseTLSA(data []byte) (TLSA, error) {
	if len(data) < 4 {
		return TLSA{}, fmt.Errorf("TLSA record of %d bytes", len(data))
	}
	t := TLSA{data[0], data[1], data[2], data[3:]}
	switch t.Usage {
	case usageTA, usageEE:
	case 0, 1:
		return t, fmt.Errorf("certificate usage %d (PKIX) does not serve mail", t.Usage)
	default:
		return t, fmt.Errorf("certificate usage %d is not known", t.Usage)
	}
	if t.Selector != selectCert && t.Selector != selectSPKI {
		return t, fmt.Errorf("selector %d is not known", t.Selector)
	}
	var err error
	switch {
	case t.Matching == matchSHA256 && len(t.Data) == sha256.Size, t.Matching == matchSHA512 && len(t.Data) == sha512.Size:
	case t.Matching == matchSHA256 || t.Matching == matchSHA512:
		err = fmt.Errorf("digest of %d bytes", len(t.Data))
	case t.Matching != matchFull:
		err = fmt.Errorf("matching type %d is not known", t.Matching)
	case t.Selector == selectCert:
		_, err = x509.ParseCertificate(t.Data)
	default:
		_, err = x509.ParsePKIXPublicKey(t.Data)
	}
	return t, err
}

// String is the record as zone files have it, a long value cut.
func (t TLSA) String() string {
	data := hex.EncodeToString(t.Data)
	if len(data) > 2*sha512.Size {
		data = data[:2*sha512.Size] + "..."
	}
	return strconv.Itoa(int(t.Usage)) + " " + strconv.Itoa(int(t.Selector)) + " " + strconv.Itoa(int(t.Matching)) + " " + data
}

// matches reports whether the record names this certificate or its key.
func (t TLSA) matches(c *x509.Certificate) bool {
	have := c.Raw
	if t.Selector == selectSPKI {
		have = c.RawSubjectPublicKeyInfo
	}
	switch t.Matching {
	case matchSHA256:
		sum := sha256.Sum256(have)
		return bytes.Equal(sum[:], t.Data)
	case matchSHA512:
		sum := sha512.Sum512(have)
		return bytes.Equal(sum[:], t.Data)
	}
	return bytes.Equal(have, t.Data)
}

// danePolicy is what DNS says about one exchanger.
type danePolicy struct {
	base     string   // TLSA base domain: the name asked in the handshake, and one the certificate may have
	names    []string // that a certificate under a DANE-TA authority may have (RFC 7672 3.2.2)
	usable   []TLSA   // empty: TLS is needed, and nothing can be checked
	unusable []string // why the others do not serve
	all      []string // every record, for the reports
}

// dane looks for the TLSA records of an exchanger. They count only when DNSSEC vouches for the way there: the MX answer, the addresses or
// the alias that leads to them, and the records themselves (RFC 7672 2.1, 2.2). deferred is set when they may exist and cannot be had: to
// go on without would let an attacker who suppresses the answer have his way (2.1.2).
func (b *Book) dane(ctx context.Context, q Question) (p *danePolicy, deferred string) {
	if !q.Authentic || !dns.HostName(q.Exchanger) {
		return nil, ""
	}
	host := strings.ToLower(strings.TrimSuffix(q.Exchanger, "."))
	bases, deferred := b.bases(ctx, host, q)
	for _, base := range bases {
		name := "_" + strconv.Itoa(b.o.Port) + "._tcp." + base
		a := b.o.Resolver.Query(ctx, name, dns.TypeTLSA)
		switch {
		case a.Status == dns.TryLater:
			return nil, fmt.Sprintf("the TLSA records of %s cannot be had: %v", name, a.Err)
		case a.Status != dns.Found || !a.Authentic:
			continue
		}
		p := &danePolicy{base: base, names: []string{base}}
		for _, n := range append(bases, host, string(q.Domain)) {
			if n != base && n != "" {
				p.names = append(p.names, n)
			}
		}
		for _, r := range a.Records {
			t, err := ParseTLSA(r.Data)
			if p.all = append(p.all, t.String()); err != nil {
				p.unusable = append(p.unusable, err.Error())
				continue
			}
			p.usable = append(p.usable, t)
		}
		return p, ""
	}
	return nil, deferred
}

// bases are the names whose TLSA records count, the best first (RFC 7672 2.2.2, 2.2.3). An exchanger that is an alias is first looked for under
// the name that the alias leads to, then under its own; when only the alias itself is signed, under its own alone.
func (b *Book) bases(ctx context.Context, host string, q Question) (names []string, deferred string) {
	typ := dns.TypeA
	if q.Addr.IsValid() && !q.Addr.Unmap().Is4() {
		typ = dns.TypeAAAA
	}
	last := host
	a := b.o.Resolver.Query(ctx, host, typ)
	if a.Status == dns.Found && a.Records[0].Name != "" {
		last = a.Records[0].Name
	}
	switch {
	case q.AddrSigned && last != host && a.Authentic:
		return []string{last, host}, ""
	case q.AddrSigned:
		return []string{host}, ""
	case last == host:
		return nil, "" // its zone is not signed
	}
	switch a := b.o.Resolver.Query(ctx, host, dns.TypeCNAME); {
	case a.Status == dns.Found && a.Authentic:
		return []string{host}, ""
	case a.Status == dns.TryLater:
		return nil, fmt.Sprintf("whether %s is a signed alias cannot be known: %v", host, a.Err)
	}
	return nil, ""
}

// RecordFor is the record that names a certificate's key by its SHA-256 digest: 3 1 1, which outlives a renewal that keeps the key (RFC 7671 5.1).
func RecordFor(c *x509.Certificate) TLSA {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return TLSA{usageEE, selectSPKI, matchSHA256, sum[:]}
}
