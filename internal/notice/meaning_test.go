package notice_test

import (
	"strconv"
	"strings"
	"testing"

	"postern/internal/locale"
	"postern/internal/notice"
	"postern/internal/spool"
)

// TestMeaning: what servers say, and what we tell the sender it means. A line without a host is our own finding.
func TestMeaning(t *testing.T) {
	t.Parallel()
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, tc := range []struct{ want, host, reply string }{
		{"user_unknown", "h", "550 5.1.1 The email account that you tried to reach does not exist."},
		{"user_unknown", "h", "550 - Requested action not taken: mailbox unavailable"},
		{"user_unknown", "h", "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302)"},
		{"user_unknown", "h", "550 5.7.1 <x@y>: Recipient address rejected: User unknown in virtual mailbox table"},
		{"user_unknown", "h", "550 5.1.0 Address rejected"},
		{"mailbox_disabled", "h", "554 5.2.1 The email account that you tried to reach is inactive."},
		{"mailbox_disabled", "h", "554 - delivery error: dd This user doesn't have an account, mailbox disabled"},
		{"mailbox_full", "h", "452 4.2.2 The recipient's inbox is out of storage space."},
		{"mailbox_full", "h", "552 - user over quota"},
		{"moved", "h", "551 5.1.6 User has moved, try x@y"},
		{"domain_unknown", "", "550 5.1.2 Domain dest.example does not exist (DNS: NXDOMAIN)"},
		{"null_mx", "", "556 5.1.10 Domain dest.example takes no mail (null MX)"},
		{"sender_refused", "h", "550 5.1.8 Sender domain does not exist"},
		{"sender_refused", "h", "553 - Sender address rejected: Domain not found"},
		{"permission", "h", "550 5.7.124 RESOLVER.RST.SenderNotInAllowedSendersList; not in allowed-senders list"},
		{"greylisted", "h", "450 4.7.1 <x@y>: Recipient address rejected: Greylisted, see http://postgrey.example"},
		{"slowed", "h", "421 4.7.28 Our system has detected an unusual rate of unsolicited mail"},
		{"slowed", "h", "450 4.2.1 The user you are trying to contact is receiving mail too quickly."},
		{"slowed", "h", "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume"},
		{"reputation", "h", "550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus"},
		{"reputation", "h", "550 5.7.606 Access denied, banned sending IP [192.0.2.1]"},
		{"reputation", "h", "550 5.7.25 The IP address sending this message does not have a PTR record"},
		{"reputation", "h", "550 5.2.0 OFR_999 [999] refused, reputation"},
		{"authentication", "h", "550 5.7.26 Unauthenticated email from shop.example is not accepted due to domain's DMARC policy."},
		{"authentication", "h", "550 5.7.515 Access denied, sending domain does not meet the required authentication level."},
		{"spam", "h", "554 5.7.1 Message looks like spam"},
		{"virus", "h", "554 5.7.1 Virus found: Eicar"},
		{"policy", "h", "554 5.7.1 Message rejected by local policy"},
		{"policy", "h", "550 5.7.1 No"},
		{"too_large", "h", "552 5.3.4 Message size exceeds fixed limit"},
		{"too_many_recipients", "h", "452 4.5.3 Too many recipients"},
		{"content_form", "h", "554 5.6.0 Malformed MIME"},
		{"international_address", "h", "553 5.6.7 SMTPUTF8 required"},
		{"tls", "h", "530 5.7.10 Must issue a STARTTLS command first"},
		{"tls", "h", "530 - Must issue a STARTTLS command first"},
		{"loop", "", "554 5.4.6 Mail for dest.example loops back to this gateway"},
		{"suppressed", "", "550 5.7.1 Not sent: this address has been suppressed since 2026-11-02 (unknown-user)"},
		{"expired", "h", "550 5.4.7 Delivery expired"},
		{"receiver_full", "h", "452 4.3.1 Insufficient system storage"},
		{"receiver_trouble", "h", "451 4.3.0 Temporary lookup failure"},
		{"receiver_trouble", "h", "421 - Service not available"},
		{"unreachable", "", "451 4.4.1 connect to mx.dest.example port 25: connection refused"},
		{"connection_lost", "h", "451 4.4.2 EOF"},
		{"dns_trouble", "", "451 4.4.3 MX of dest.example: timeout"},
		{"relay_denied", "h", "554 5.7.1 <x@y>: Relay access denied"},
		{"protocol", "h", "501 5.5.4 Syntax error"},
		{"protocol", "h", "503 - Bad sequence of commands"},
		{"our_trouble", "", "451 4.3.0 local trouble: disk"},
		{"our_trouble", "", "451 4.4.4 The smarthost relay.example has no address"},
		{"temporary", "h", "450 - Not now"},
		{"permanent", "h", "554 - No"},
		{"permanent", "h", "554 9.9.9.9 \x00\xff"},
		{"permanent", "", "0 - "},
	} {
		t.Run(tc.reply, func(t *testing.T) {
			parts := strings.SplitN(tc.reply, " ", 3)
			r := spool.Recipient{Text: parts[2], Host: tc.host}
			r.Code, _ = strconv.Atoi(parts[0])
			if parts[1] != "-" {
				r.Enhanced = parts[1]
			}
			got := notice.Meaning(r)
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			for _, key := range []string{"notice.why." + got + ".means", "notice.why." + got + ".act"} {
				if !catalog.Has(key) {
					t.Errorf("no text %s", key)
				}
			}
		})
		seen[tc.want] = true
	}
	for _, key := range catalog.Keys() {
		if rest, ok := strings.CutPrefix(key, "notice.why."); ok {
			if why, _, _ := strings.Cut(rest, "."); !seen[why] {
				t.Errorf("no reply above means %s", why)
			}
		}
	}
}
