package provider_test

import (
	"testing"

	"postern/internal/provider"
)

var sink provider.Meaning

// BenchmarkClassify is one answer: a short one that a provider's rule knows, a long one in two lines, and one that nobody knows.
func BenchmarkClassify(b *testing.B) {
	k := load(b)
	for name, a := range map[string]provider.Answer{
		"orange":  {Provider: "orange", Phase: "rcpt", Code: 550, Enhanced: "5.1.1", Text: "<u@orange.fr> Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]"},
		"google":  {Provider: "google", Phase: "end", Code: 421, Enhanced: "4.7.0", Text: "[192.0.2.1      15] Our system has detected an unusual rate of\n4.7.0 unsolicited mail originating from your IP address. To protect our\n4.7.0 users from spam, mail sent from your IP address has been temporarily\n4.7.0 rate limited. Please visit\n4.7.0  https://support.google.com/mail/?p=UnsolicitedRateLimitError to\n4.7.0 review our Bulk Email Senders Guidelines. 4fb4d7f45d1cf-5cc"},
		"any":     {Phase: "rcpt", Code: 550, Enhanced: "5.1.1", Text: "<u@example.org>: Recipient address rejected: User unknown in virtual mailbox table"},
		"nothing": {Provider: "free", Phase: "end", Code: 550, Text: "administrative prohibition xq-17, see the page of our department of correspondence for what that is"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink = k.Classify(a)
			}
		})
	}
}

func BenchmarkBehind(b *testing.B) {
	k := load(b)
	hosts := []string{"gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com", "alt2.gmail-smtp-in.l.google.com", "alt3.gmail-smtp-in.l.google.com", "alt4.gmail-smtp-in.l.google.com"}
	b.ReportAllocs()
	for b.Loop() {
		_ = k.Behind("gmail.com", hosts)
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		load(b)
	}
}
