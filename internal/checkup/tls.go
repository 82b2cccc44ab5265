package checkup

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/dns"
	"postern/internal/tlspolicy"
)

// soon is how long before its end a certificate should have been renewed: programs that renew do so 30 days before.
const soon = 14 * 24 * time.Hour

// judgeTLS looks at the encryption of one port.
func (c *Checker) judgeTLS(d door, n named) []Finding {
	args := map[string]any{"IP": d.ip.String(), "Port": d.port}
	one := func(code string, s State) []Finding {
		return []Finding{{Group: TLS, Code: code, State: s, Subject: strconv.Itoa(d.port), Args: args, Evidence: []Question{d.question()}}}
	}
	if d.tls == nil {
		switch {
		case d.reach != doorOpen && d.tlsErr == nil:
			return nil
		case d.tlsErr != nil && timedOut(d.tlsErr):
			args["Why"] = reason(d.tlsErr)
			return one("tls.unknown", Unknown)
		case d.tlsErr != nil:
			args["Why"] = reason(d.tlsErr)
			return one("tls.handshake", Problem)
		case d.port == portRelay:
			return one("tls.none-relay", Advice)
		default:
			return one("tls.none", Problem)
		}
	}
	return append(c.judgeCertificate(d, n), judgeVersions(d)...)
}

// judgeVersions looks at the versions of TLS that a port speaks. At servers of others only the one is known that was agreed on, the highest of both.
func judgeVersions(d door) []Finding {
	var old, all, quiet []string
	modern := false
	for _, v := range tlsVersions {
		switch d.versions[v] {
		case doorOpen:
			all = append(all, tls.VersionName(v))
			if v < tls.VersionTLS12 {
				old = append(old, tls.VersionName(v))
			}
			modern = modern || v >= tls.VersionTLS12
		case doorSilent:
			quiet = append(quiet, tls.VersionName(v))
		}
	}
	if d.versions == nil {
		all, modern = []string{tls.VersionName(d.tls.Version)}, d.tls.Version >= tls.VersionTLS12
		if !modern {
			old = all
		}
	}
	f := Finding{Group: TLS, State: Fine, Code: "tls.versions", Subject: strconv.Itoa(d.port), Args: map[string]any{"IP": d.ip.String(), "Port": d.port,
		"Versions": strings.Join(all, ", "), "Old": strings.Join(old, ", "), "Suite": tls.CipherSuiteName(d.tls.CipherSuite)},
		Evidence: []Question{d.question()}}
	switch {
	case !modern:
		f.Code, f.State = "tls.only-old", Problem
	case len(old) > 0:
		f.Code, f.State = "tls.old", Advice
	case weak(d.tls.CipherSuite):
		f.Code, f.State = "tls.weak", Advice
	case d.versions == nil:
		f.Code = "tls.agreed"
	case len(quiet) > 0:
		f.Code, f.State, f.Optional = "tls.versions-unknown", Unknown, true
		f.Args["Quiet"] = strings.Join(quiet, ", ")
	}
	return []Finding{f}
}

// weak reports whether Go counts a suite among those that should not be used any more.
func weak(suite uint16) bool {
	return slices.ContainsFunc(tls.InsecureCipherSuites(), func(s *tls.CipherSuite) bool { return s.ID == suite })
}

// judgeCertificate looks at the certificate as a mail program does at 465 and 587: there a fault stops the sender. Between servers, on 25, few check it.
func (c *Checker) judgeCertificate(d door, n named) []Finding {
	chain := d.tls.PeerCertificates
	f := Finding{Group: TLS, Subject: strconv.Itoa(d.port), Evidence: []Question{d.question()}, Args: map[string]any{"IP": d.ip.String(), "Port": d.port}}
	grave := Problem
	if d.port == portRelay {
		grave = Advice
	}
	end := func(code string, s State) []Finding {
		f.Code, f.State = code, s
		return []Finding{f}
	}
	if len(chain) == 0 {
		return end("tls.no-certificate", Problem)
	}
	leaf := chain[0]
	left := leaf.NotAfter.Sub(c.o.Now())
	bits, kind := keySize(leaf)
	f.Args["Until"], f.Args["Days"], f.Args["Issuer"] = leaf.NotAfter.UTC(), int(left/(24*time.Hour)), orPhrase(clip(printable(leaf.Issuer.String()), 200), "no-name")
	f.Args["Certified"], f.Args["Key"], f.Args["Bits"] = orPhrase(clip(printable(certified(leaf)), 300), "no-name"), kind, bits
	f.Evidence[0].Values = append(f.Evidence[0].Values, fmt.Sprintf("certificate for %s, by %s, until %s, %s %d bits", clip(printable(certified(leaf)), 200), clip(printable(leaf.Issuer.String()), 200),
		leaf.NotAfter.UTC().Format(time.DateOnly), kind, bits))
	wanted := n.wanted(d)
	f.Args["Names"] = orPhrase(clip(strings.Join(wanted, ", "), 300), "no-name")
	worst := c.worstOf(chain, wanted)
	var failure *tlspolicy.VerifyError
	switch {
	case errors.As(worst, &failure) && failure.Failure == tlspolicy.CertExpired && left > 0:
		return end("tls.early", grave)
	case errors.As(worst, &failure) && failure.Failure == tlspolicy.CertExpired:
		return end("tls.expired", grave)
	case errors.As(worst, &failure) && failure.Failure == tlspolicy.HostMismatch:
		return end("tls.mismatch", grave)
	case worst != nil:
		f.Args["Why"] = reason(worst)
		return end("tls.untrusted", grave)
	case kind == "RSA" && bits < 2048 || kind == "ECDSA" && bits < 256:
		return end("tls.short-key", grave)
	case left < soon:
		return end("tls.soon", Advice)
	case len(wanted) == 0:
		return end("tls.nameless", Advice)
	}
	return end("tls.fine", Fine)
}

// wanted are the names that a certificate of this address may have: clients know it by one of them.
func (n named) wanted(d door) []string {
	out := slices.Clone(n.confirmed)
	for _, name := range []string{strings.ToLower(strings.TrimSuffix(n.hello, ".")), readBanner(d.greeting).name} {
		if hostName(name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out[:min(len(out), maxNames)]
}

// worstOf is nil when the chain is right for one of the names, else what is wrong with it. Without names the chain alone is judged.
func (c *Checker) worstOf(chain []*x509.Certificate, wanted []string) error {
	chain = chain[:min(len(chain), maxChain)]
	if len(wanted) == 0 {
		wanted = []string{certified(chain[0])}
	}
	var first error
	for _, name := range wanted {
		err := tlspolicy.VerifyChain(name, chain, c.o.Probes.RootCAs, c.o.Now())
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// maxChain bounds the certificates that are looked at.
const maxChain = 10

// certified is the first name that a certificate is for.
func certified(c *x509.Certificate) string {
	if len(c.DNSNames) > 0 {
		return c.DNSNames[0]
	}
	return c.Subject.CommonName
}

func keySize(c *x509.Certificate) (bits int, kind string) {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen(), "RSA"
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize, "ECDSA"
	case ed25519.PublicKey:
		return 256, "Ed25519"
	}
	return 0, c.PublicKeyAlgorithm.String()
}

// printable keeps a stranger's text within one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// judgeDANE holds the certificate against the TLSA records of the names that lead to the address (RFC 7672). Without DNSSEC they count for nothing.
func (c *Checker) judgeDANE(ctx context.Context, d door, n named) []Finding {
	if d.tls == nil {
		return nil
	}
	var out []Finding
	for _, name := range n.confirmed[:min(len(n.confirmed), 3)] {
		w := c.witness()
		a := w.Query(ctx, tlsaName(name, d.port), dns.TypeTLSA)
		if a.Status != dns.Found {
			continue // nobody has to have them; an answer that did not come is no news either
		}
		f, usable := readTLSA(a, w, name, d.port)
		f.Subject = strconv.Itoa(d.port)
		if f.Code, f.State = "dane.unusable", Problem; len(usable) > 0 {
			c.holdTLSA(&f, a.Authentic, usable, name, nil, &d)
		}
		out = append(out, f)
	}
	return out
}

// readTLSA are the records of an answer that serve for mail. The finding has all but its code; its Args say why the others do not serve.
func readTLSA(a dns.Answer, w *witness, host string, port int) (Finding, []tlspolicy.TLSA) {
	f := Finding{Group: TLS, Args: map[string]any{"Name": tlsaName(host, port), "Host": host, "Port": port, "Why": ""}}
	var usable []tlspolicy.TLSA
	var shown, why []string
	for _, r := range a.Records {
		t, err := tlspolicy.ParseTLSA(r.Data)
		if shown = append(shown, t.String()); err != nil {
			why = append(why, err.Error())
			continue
		}
		usable = append(usable, t)
	}
	f.Args["Why"] = clip(strings.Join(why, "; "), 300)
	if e := w.evidence(); len(e) > 0 {
		e[0].Values = shown[:min(len(shown), maxValues)]
		f.Evidence = e
	}
	return f, usable
}

// holdTLSA holds the certificate of a port against usable records of a name. others are names that a certificate under an authority of the records may
// have beside it.
func (c *Checker) holdTLSA(f *Finding, authentic bool, usable []tlspolicy.TLSA, name string, others []string, d *door) {
	chain := d.tls.PeerCertificates
	err := tlspolicy.VerifyTLSA(usable, name, others, chain[:min(len(chain), maxChain)], c.o.Now())
	switch {
	case err != nil && authentic:
		f.Code, f.State, f.Args["Why"] = "dane.mismatch", Problem, reason(err)
	case err != nil:
		f.Code, f.State, f.Args["Why"] = "dane.mismatch-unsigned", Advice, reason(err)
	case !authentic:
		f.Code, f.State, f.Optional = "dane.unsigned", Advice, true
	default:
		f.Code, f.State = "dane.fine", Fine
	}
	if err != nil {
		f.Records = tlsaRecord(tlsaName(name, d.port), chain)
	}
}

// tlsaRecord is the record that fits the certificate shown: its key, by SHA-256 (RFC 7672 3.1.1).
func tlsaRecord(at string, chain []*x509.Certificate) []Record {
	if len(chain) == 0 {
		return nil
	}
	return []Record{{Name: at, Type: "TLSA", Value: tlspolicy.RecordFor(chain[0]).String(), TTL: TTL}}
}
