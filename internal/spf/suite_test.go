package spf_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/spf"
)

// deviations are cases of the suite that we answer differently, with the reason.
var deviations = map[string]string{}

// suite is one document of rfc7208-tests.yml.
type suite struct {
	Description string           `yaml:"description"`
	Tests       map[string]check `yaml:"tests"`
	ZoneData    map[string][]any `yaml:"zonedata"`
}

// check is one case.
type check struct {
	Helo        string `yaml:"helo"`
	Host        string `yaml:"host"`
	MailFrom    string `yaml:"mailfrom"`
	Result      any    `yaml:"result"` // a word or a list of words
	Explanation string `yaml:"explanation"`
}

// TestRFC7208Suite runs every case of the test suite of RFC 7208.
func TestRFC7208Suite(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/rfc7208-tests.yml")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var s suite
		if err := decoder.Decode(&s); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		zone := newZone(t, s.ZoneData)
		for name, c := range s.Tests {
			cases++
			t.Run(s.Description+"/"+name, func(t *testing.T) {
				t.Parallel()
				if why, ok := deviations[name]; ok {
					t.Skip(why)
				}
				c.run(t, zone)
			})
		}
	}
	if cases != 203 {
		t.Errorf("%d cases run, the suite has 203", cases)
	}
}

func (c check) run(t *testing.T, zone zone) {
	q := spf.Query{IP: netip.MustParseAddr(c.Host), Hello: c.Helo}
	if at := strings.LastIndexByte(c.MailFrom, '@'); at >= 0 {
		q.ReversePath = mail.Address{Local: c.MailFrom[:at], Domain: mail.Domain(c.MailFrom[at+1:])}
	}
	var want []string
	switch r := c.Result.(type) {
	case string:
		want = []string{r}
	case []any:
		for _, one := range r {
			want = append(want, one.(string))
		}
	}
	got := spf.Check(t.Context(), zone, q)
	if !slices.Contains(want, string(got.Result)) {
		t.Errorf("%s for %s at %s, want %s\nrecord %q, mechanism %q, error %v", got.Result, c.MailFrom, c.Host, want, got.Record, got.Mechanism, got.Err)
	}
	explanation := c.Explanation
	if explanation == "DEFAULT" {
		explanation = ""
	}
	if got.Result == spf.Fail && c.Explanation != "" && got.Explanation != explanation {
		t.Errorf("explanation %q, want %q", got.Explanation, explanation)
	}
	if (got.Result == spf.Pass || got.Result == spf.Fail || got.Result == spf.SoftFail) && (got.Mechanism == "" || got.Record == "") {
		t.Errorf("%s without evidence: record %q, mechanism %q", got.Result, got.Record, got.Mechanism)
	}
	if (got.Result == spf.PermError || got.Result == spf.TempError || got.Result == spf.None) != (got.Err != nil) {
		t.Errorf("%s with error %v", got.Result, got.Err)
	}
}

// zone answers from a suite's zonedata.
type zone map[string]*node

type node struct {
	records map[dns.Type][]dns.Record
	cname   string
	timeout bool // types without a record time out
}

// newZone reads zonedata: for each name a list of "TIMEOUT" and of {type: value}. A
// record of the old type SPF stands for TXT as well, unless the name has TXT.
func newZone(t *testing.T, data map[string][]any) zone {
	z := zone{}
	for name, items := range data {
		n := &node{records: map[dns.Type][]dns.Record{}}
		z[strings.ToLower(name)] = n
		var old []dns.Record
		hasTXT := false
		for _, item := range items {
			if item == "TIMEOUT" {
				n.timeout = true
				continue
			}
			for typ, value := range item.(map[string]any) {
				switch typ {
				case "SPF":
					old = append(old, dns.Record{Type: dns.TypeTXT, Text: joined(value)})
				case "TXT":
					hasTXT = true
					if value != "NONE" {
						n.add(dns.Record{Type: dns.TypeTXT, Text: joined(value)})
					}
				case "A":
					n.add(dns.Record{Type: dns.TypeA, IP: netip.MustParseAddr(value.(string))})
				case "AAAA":
					n.add(dns.Record{Type: dns.TypeAAAA, IP: netip.MustParseAddr(value.(string))})
				case "MX":
					pair := value.([]any)
					n.add(dns.Record{Type: dns.TypeMX, Host: strings.ToLower(pair[1].(string)), Pref: uint16(pair[0].(uint64))})
				case "PTR":
					n.add(dns.Record{Type: dns.TypePTR, Host: strings.ToLower(value.(string))})
				case "CNAME":
					n.cname = strings.ToLower(value.(string))
				default:
					t.Fatalf("%s: record type %s", name, typ)
				}
			}
		}
		if !hasTXT {
			n.records[dns.TypeTXT] = append(n.records[dns.TypeTXT], old...)
		}
	}
	return z
}

func (n *node) add(r dns.Record) { n.records[r.Type] = append(n.records[r.Type], r) }

// joined joins the strings of a TXT record.
func joined(value any) string {
	list, ok := value.([]any)
	if !ok {
		return value.(string)
	}
	text := ""
	for _, part := range list {
		text += part.(string)
	}
	return text
}

// Query implements dns.Resolver.
func (z zone) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for range 8 {
		for label := range strings.SplitSeq(name, ".") {
			if label == "" || len(label) > 63 {
				return dns.Answer{Status: dns.Nothing, NXDomain: true, Err: dns.ErrName}
			}
		}
		n := z[name]
		switch {
		case ctx.Err() != nil:
			return dns.Answer{Status: dns.TryLater, Err: ctx.Err()}
		case n == nil:
			return dns.Answer{Status: dns.Nothing, NXDomain: true}
		case n.cname != "":
			name = n.cname
			continue
		case len(n.records[typ]) > 0:
			return dns.Answer{Status: dns.Found, Records: n.records[typ]}
		case n.timeout:
			return dns.Answer{Status: dns.TryLater, Err: dns.ErrTimeout}
		}
		return dns.Answer{Status: dns.Nothing}
	}
	return dns.Answer{Status: dns.TryLater, Err: dns.ErrServFail}
}
