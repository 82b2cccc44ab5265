package config_test

import (
	"strings"
	"testing"
)

func TestServices(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "listen: {milter: '127.0.0.1:11332', spamd: ['[::1]:783', 'unix:/run/postern/spamd.sock', '192.0.2.1:783']}\n"+
		"milter: {customer: acme, action: reject, on_error: accept, too_large: tempfail}\nspamd: {networks: [198.51.100.0/24], language: fr}")
	if len(c.Warnings) > 0 {
		t.Error(c.Warnings)
	}
	var got []string
	for _, e := range append(c.Listen.Milter, c.Listen.Spamd...) {
		got = append(got, e.String())
		if e.Local() == strings.HasPrefix(e.String(), "192.") {
			t.Errorf("%s: local %v", e, e.Local())
		}
	}
	if s := strings.Join(got, " "); s != "127.0.0.1:11332 [::1]:783 unix:/run/postern/spamd.sock 192.0.2.1:783" {
		t.Error(s)
	}
	if c.Milter.Customer != "acme" || c.Milter.Action != "reject" || c.Milter.OnError != "accept" || c.Milter.TooLarge != "tempfail" || c.Spamd.Language != "fr" {
		t.Errorf("%+v %+v", c.Milter, c.Spamd)
	}
	off := mustParse(t, "")
	if len(off.Listen.Milter)+len(off.Listen.Spamd) > 0 || !off.Spamd.Learn || off.Milter.Action != "quarantine" {
		t.Errorf("without a word: %+v %+v %+v", off.Listen, off.Milter, off.Spamd)
	}
}

// TestWhoMayTeach: other machines only where that is written down.
func TestWhoMayTeach(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"": false, "spamd: {language: fr}": false, "spamd: {learn: true}": true, "spamd: {learn: false}": false} {
		if got := mustParse(t, text).SpamdLearnRemote(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestNoServiceForEverybody: a service without password is reached from outside only by networks that are named.
func TestNoServiceForEverybody(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"milter", "spamd"} {
		for _, at := range []string{"0.0.0.0:783", "'[::]:783'", "192.0.2.1:783", "10.0.0.1:783"} {
			for networks, fine := range map[string]bool{"[]": false, "[0.0.0.0/0]": false, "['::/0']": false, "[8.0.0.0/7]": false, "[192.0.2.0/24]": true} {
				_, err := parse(t, "listen: {"+name+": "+at+"}\n"+name+": {networks: "+networks+"}")
				if (err == nil) != fine {
					t.Errorf("%s on %s for %s: %v", name, at, networks, err)
				}
			}
		}
	}
	for text, want := range map[string]string{
		"milter: {customer: acme}": "milter: has no effect",
		"listen: {spamd: '127.0.0.1:783'}\nspamd: {networks: [192.0.2.0/24]}": "spamd.networks: has no effect",
	} {
		if c := mustParse(t, text); len(c.Warnings) != 1 || !strings.Contains(c.Warnings.Error(), want) {
			t.Errorf("%q: %v", text, c.Warnings)
		}
	}
	_, err := parse(t, "listen: {milter: 'unix:/run/a.sock', spamd: 'unix:/run/a.sock'}")
	if err == nil || !strings.Contains(err.Error(), "is taken by listen.milter") {
		t.Errorf("one file for two services: %v", err)
	}
}
