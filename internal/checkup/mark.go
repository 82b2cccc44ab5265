package checkup

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of the evidence document.
const (
	mostMark  = 1 << 20 // bytes
	mostChain = 10      // certificates
	mostParts = 64      // elements of one sequence of the logotype extension
)

// What makes a certificate one of a mark (RFC 9399; VMC requirements 1.7 of the Authindicators Working Group, read 2026-11).
var (
	oidBrand    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 31} // id-kp-BrandIndicatorforMessageIdentification
	oidLogotype = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 12}
)

// Errors of evidence documents.
var (
	errNoMark     = errors.New("it holds no certificate")
	errManyMarks  = errors.New("it holds more than 10 certificates")
	errNoLogotype = errors.New("no logo is embedded")
)

// parseMarks reads an evidence document: PEM, the certificate of the mark first.
func parseMarks(file []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, file = pem.Decode(file); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if len(out) == mostChain {
			return nil, errManyMarks
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errNoMark
	}
	return out, nil
}

// markFault is a rule that an evidence document breaks: the code below "bimi.", and what was found.
type markFault struct {
	code  string
	found string
}

// judgeMark holds an evidence document against the names that the record serves and the logo that it names; nil: there is no logo to compare with.
func judgeMark(chain []*x509.Certificate, names []string, logo []byte, now time.Time) []markFault {
	leaf := chain[0]
	var out []markFault
	add := func(code, found string) { out = append(out, markFault{code, clip(printable(found), 300)}) }
	switch left := leaf.NotAfter.Sub(now); {
	case now.Before(leaf.NotBefore):
		add("mark-early", leaf.NotBefore.UTC().Format(time.DateOnly))
	case left <= 0:
		add("mark-expired", leaf.NotAfter.UTC().Format(time.DateOnly))
	case left < soon:
		add("mark-soon", leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	if !slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return containsFold(names, strings.TrimSuffix(n, ".")) }) {
		add("mark-name", strings.Join(leaf.DNSNames[:min(len(leaf.DNSNames), 10)], ", "))
	}
	if !slices.ContainsFunc(leaf.UnknownExtKeyUsage, oidBrand.Equal) {
		add("mark-purpose", "")
	}
	switch embedded, err := embeddedLogo(leaf); {
	case err != nil:
		add("mark-no-logo", reason(err))
	case logo != nil && !bytes.Equal(embedded, logo):
		add("mark-other-logo", "")
	}
	if err := linked(chain, now); err != nil {
		add("mark-chain", reason(err))
	}
	return out
}

// linked checks that each certificate is signed by the next, which may sign and has not expired. Whether the last is trusted is not known here.
func linked(chain []*x509.Certificate, now time.Time) error {
	for i, c := range chain[:len(chain)-1] {
		above := chain[i+1]
		if err := c.CheckSignatureFrom(above); err != nil {
			return err
		}
		if now.After(above.NotAfter) {
			return fmt.Errorf("%s has expired", above.Subject.CommonName)
		}
	}
	if last := chain[len(chain)-1]; len(chain) == 1 && !bytes.Equal(last.RawIssuer, last.RawSubject) {
		return errors.New("the certificates between this one and its root are missing")
	}
	return nil
}

// embeddedLogo is the logo in a certificate, unpacked: the first picture of the subject's logotype (RFC 9399 4), given as a data URI.
func embeddedLogo(c *x509.Certificate) ([]byte, error) {
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidLogotype) {
			continue
		}
		uri := logotypeURI(e.Value)
		kind, data, ok := strings.Cut(uri, ",")
		kind = strings.ToLower(kind)
		if !ok || !strings.HasPrefix(kind, "data:image/svg+xml") || !strings.HasSuffix(kind, ";base64") {
			return nil, errNoLogotype
		}
		file, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return nil, fmt.Errorf("the embedded logo cannot be read: %w", err)
		}
		return unpacked(file)
	}
	return nil, errNoLogotype
}

// logotypeURI goes down to the first address of the subject's logo: LogotypeExtn, subjectLogo [2], direct [0], image, imageDetails, logotypeURI.
func logotypeURI(der []byte) string {
	subject, ok := childOf(der, func(v asn1.RawValue) bool { return v.Class == asn1.ClassContextSpecific && v.Tag == 2 }, true)
	if !ok {
		return ""
	}
	var direct asn1.RawValue
	if _, err := asn1.Unmarshal(subject.Bytes, &direct); err != nil || direct.Class != asn1.ClassContextSpecific || direct.Tag != 0 {
		return ""
	}
	sequence := func(v asn1.RawValue) bool { return v.Class == asn1.ClassUniversal && v.Tag == asn1.TagSequence }
	at := direct
	for range 3 { // image, its first element, imageDetails
		if at, ok = childOf(at.Bytes, sequence, false); !ok {
			return ""
		}
	}
	parts := partsOf(at.Bytes)
	if len(parts) < 3 || !sequence(parts[2]) {
		return ""
	}
	uris := partsOf(parts[2].Bytes)
	if len(uris) == 0 || uris[0].Tag != asn1.TagIA5String {
		return ""
	}
	return string(uris[0].Bytes)
}

// childOf is the first part of a sequence that fits. With whole, der is the sequence itself and not its content.
func childOf(der []byte, fits func(asn1.RawValue) bool, whole bool) (asn1.RawValue, bool) {
	if whole {
		var outer asn1.RawValue
		if _, err := asn1.Unmarshal(der, &outer); err != nil {
			return asn1.RawValue{}, false
		}
		der = outer.Bytes
	}
	for _, v := range partsOf(der) {
		if fits(v) {
			return v, true
		}
	}
	return asn1.RawValue{}, false
}

// partsOf are the elements that follow each other in a content.
func partsOf(der []byte) []asn1.RawValue {
	var out []asn1.RawValue
	for len(der) > 0 && len(out) < mostParts {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			break
		}
		out, der = append(out, v), rest
	}
	return out
}
