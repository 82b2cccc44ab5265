package app_test

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// TestTLSDemanded: what a sender and the operator ask of TLS is kept from the door to the receiver, which has none.
func TestTLSDemanded(t *testing.T) {
	t.Parallel()
	a, r, _, _ := gateway(t, "  tls_rules: [{domain: strict.receiver.test, tls: encrypted}]\n"+customer)
	c, err := smtp.Dial(t.Context(), netip.MustParseAddrPort(a.Addresses("relay")), smtp.ClientOptions{Hostname: "web1.customer.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, offered := c.Extension("REQUIRETLS"); offered {
		t.Error("REQUIRETLS is announced in plain text")
	}
	if err := c.StartTLS(t.Context(), &tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	send := func(to, header string, require bool) mail.QueueID {
		t.Helper()
		env := mail.Envelope{ReversePath: address(t, "news@customer.test"), Recipients: []mail.Recipient{{Address: address(t, to)}}, RequireTLS: require}
		res, err := c.Send(t.Context(), env, []byte(strings.ReplaceAll(header+letter("Your order"), "\n", "\r\n")))
		if err != nil || res.Data.Code != 250 {
			t.Fatalf("%v: %+v", err, res)
		}
		return mail.QueueID(strings.Fields(strings.Join(res.Data.Lines, " "))[3])
	}
	ends := func(id mail.QueueID, kind journal.Kind, enhanced, text string) {
		t.Helper()
		waitFor(t, string(kind)+" "+text, func() bool {
			facts, err := a.Journal().Trace(t.Context(), id)
			for _, f := range facts {
				if err == nil && f.Kind == kind && f.Enhanced == enhanced && strings.Contains(f.Text, text) {
					return true
				}
			}
			return false
		})
	}
	ends(send("someone@receiver.test", "", true), journal.Bounced, "5.7.10", "does not offer TLS, and the sender (REQUIRETLS) demands it")
	ends(send("someone@strict.receiver.test", "", false), journal.Deferred, "4.7.5", "a rule of this gateway")
	ends(send("someone@strict.receiver.test", "TLS-Required: No\n", false), journal.Deferred, "4.7.5", "a rule of this gateway")
	send("someone@receiver.test", "", false)
	if got := r.next(t); got.env.RequireTLS {
		t.Error("REQUIRETLS stuck to another message")
	}
}
