package dmarc_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"postern/internal/dmarc"
	"postern/internal/dns"
)

// counting notes the names that are asked for, in order.
type counting struct {
	dns.Resolver
	names []string
}

// Query implements dns.Resolver for one goroutine.
func (c *counting) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	c.names = append(c.names, name)
	return c.Resolver.Query(ctx, name, typ)
}

func TestParseRecord(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		p, sp, np  string
		rua        int
		warnings   int
	}{
		{"all tags", "v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=r; fo=1:d; rua=mailto:a@b.example,https://c.example/r; ruf=mailto:d@b.example; psd=u; t=n", "reject", "quarantine", "none", 2, 0},
		{"np defaults to sp", "v=DMARC1;p=none;sp=reject", "none", "reject", "reject", 0, 0},
		{"no tags but the version", "v=DMARC1", "none", "none", "none", 0, 1},
		{"bad alignment is relaxed", "v=DMARC1; p=none; adkim=x; aspf=strict", "none", "none", "none", 0, 2},
		{"size limit in the address", "v=DMARC1; p=none; rua=mailto:a@b.example!10m", "none", "none", "none", 1, 1},
		{"addresses that are none", "v=DMARC1; p=none; rua=a@b.example, mailto:nobody", "none", "none", "none", 0, 2},
		{"tag twice", "v=DMARC1; p=reject; p=none", "reject", "reject", "reject", 0, 1},
		{"not name=value", "v=DMARC1; p=reject; hello", "reject", "reject", "reject", 0, 1},
		{"bad failure options", "v=DMARC1; p=reject; fo=9", "reject", "reject", "reject", 0, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p, err := dmarc.ParseRecord(tc.text)
			if err != nil || p.P != tc.p || p.SP != tc.sp || p.NP != tc.np || len(p.RUA) != tc.rua || len(p.Warnings) != tc.warnings {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
	for _, text := range []string{"", "v=DMARC1; p=x", "v=DMARC1; p=none; sp=x", "v=DMARC10; p=none", "DMARC1; p=none", " v=DMARC1; p=none",
		"v=DMARC1; p=none;" + strings.Repeat(" ", 20000)} {
		if _, err := dmarc.ParseRecord(text); !errors.Is(err, dmarc.ErrBadRecord) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, seed := range []string{"v=DMARC1; p=reject; rua=mailto:a@b.example!10m,https://x; psd=y; t=y", "v=DMARC1;;p=;=;sp", "V = DMARC1 ; P = none",
		"v=DMARC1; p=none; fo=0:1:d:s; adkim=s; pct=50", "v=DMARC1; p=\x00\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := dmarc.ParseRecord(text)
		if (err == nil) != p.Found {
			t.Fatalf("found %t with error %v", p.Found, err)
		}
		if err != nil {
			return
		}
		for _, handling := range []string{p.P, p.SP, p.NP} {
			if handling != "none" && handling != "quarantine" && handling != "reject" {
				t.Fatalf("handling %q in %q", handling, text)
			}
		}
		again, err := dmarc.ParseRecord(p.Record)
		if err != nil || again.P != p.P || again.PSD != p.PSD {
			t.Fatalf("not the same when read again: %v", err)
		}
	})
}
