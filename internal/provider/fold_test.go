package provider_test

import (
	"encoding/base64"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"testing"

	"postern/internal/provider"
)

// everyLine calls do for each test line of each rule.
func everyLine(k *provider.Knowledge, do func(name string, r *provider.Rule, line string)) {
	for _, p := range k.Providers() {
		for _, r := range p.Rules {
			for _, line := range r.Tests {
				do(p.Name, r, line)
			}
		}
	}
	for _, r := range k.Any() {
		for _, line := range r.Tests {
			do("", r, line)
		}
	}
}

// latin1 writes a text in ISO 8859-1; ok is false when it has other characters, or no accents at all.
func latin1(s string) (out string, ok bool) {
	var b []byte
	for _, r := range s {
		if r > 0xff {
			return "", false
		}
		ok = ok || r > 0x7f
		b = append(b, byte(r))
	}
	return string(b), ok
}

// mangled is UTF-8 taken for Latin-1 and encoded once more.
func mangled(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// TestPermutations: however servers and relays wrap, repeat, shout or encode an answer, it reaches the same rule.
func TestPermutations(t *testing.T) {
	t.Parallel()
	k := load(t)
	lines, tried := 0, 0
	everyLine(k, func(name string, r *provider.Rule, line string) {
		lines++
		q := r.Question(name, line)
		code := fmt.Sprint(q.Code)
		prefix := code + "-"
		if q.Enhanced != "" {
			prefix += q.Enhanced + " "
		}
		try := func(how, text string) {
			tried++
			a := q
			a.Text = text
			if got := k.Classify(a); got.Rule != r.ID {
				t.Errorf("%s: %s: %q reaches %q", r.ID, how, text, got.Rule)
			}
		}
		try("upper case", strings.ToUpper(q.Text))
		try("doubled spaces", strings.ReplaceAll(q.Text, " ", "   "))
		try("tabs", strings.ReplaceAll(q.Text, " ", "\t"))
		try("prefix in front", strings.TrimSuffix(prefix, " ")+" "+q.Text)
		try("space prefix in front", code+" "+q.Enhanced+" "+q.Text)
		for i := 1; i < len(q.Text); i++ {
			head, tail := q.Text[:i], q.Text[i:]
			switch {
			case tail[0] == ' ' || head[i-1] == ' ':
				for how, glue := range map[string]string{"folded": "\r\n ", "next line": "\n", "tab": "\r\n\t", "multi-line reply": "\r\n" + prefix, "multi-line reply joined by a space": " " + prefix, "code alone": "\n" + code + "-"} {
					try(how, strings.TrimRight(head, " ")+glue+strings.TrimLeft(tail, " "))
				}
			case !strings.ContainsAny(q.Text, "\n") && !strings.Contains(q.Text, prefix[:4]) && tail[0] < 0x80 && head[i-1] < 0x80:
				try("broken inside a word", head+"\r\n"+tail)
			}
		}
		if s, ok := latin1(q.Text); ok {
			try("latin-1", s)
			try("mojibake", mangled(q.Text))
		}
		var qp strings.Builder
		w := quotedprintable.NewWriter(&qp)
		_, _ = w.Write([]byte(strings.ReplaceAll(q.Text, "\n", " ") + " é"))
		_ = w.Close()
		try("quoted-printable", qp.String())
		try("encoded word", mime.QEncoding.Encode("utf-8", strings.ReplaceAll(q.Text, "\n", " ")+" é"))
		try("encoded word in base64", "=?UTF-8?B?"+base64.StdEncoding.EncodeToString([]byte(q.Text))+"?=")
		try("entities", strings.NewReplacer("<", "&lt;", ">", "&gt;", "'", "&#39;", "é", "&eacute;").Replace(q.Text))
	})
	if lines < 150 {
		t.Errorf("only %d test lines", lines)
	}
	t.Logf("%d lines, %d answers", lines, tried)
}

// TestNumbersOfOthers: addresses of machines and people in a text are neither status codes nor words.
func TestNumbersOfOthers(t *testing.T) {
	t.Parallel()
	k := load(t, folder(t, map[string]string{"lab.yaml": `
name: lab
title: Lab
about: {en: "A test.", fr: "Un essai."}
who: {mx: ["*.lab.test"]}
sources: [{what: "a test", read: 2026-11-22}]
answers:
  - {id: status, text: ["5.1.1"], category: userunknown, advice: userunknown, test: ["550 x 5.1.1 y"]}
  - {id: spam, text: ["spam"], category: spamdetected, advice: spamdetected, test: ["550 spam"]}
  - {id: host, text: ["host # blocked"], category: blocked, advice: blocked, test: ["550 host [192.0.2.1] blocked", "550 host #.#.#.# blocked", "550 host [2001:db8::25:1] blocked", "550 host 2001:DB8::1. blocked"]}
  - {id: person, text: ["mailbox @ is gone"], category: userunknown, advice: userunknown, test: ["550 Mailbox <a.b+c@example.org> is gone", "550 mailbox user@example.org is gone"]}
  - {id: suffix, text: ["*code42"], category: rejected, advice: rejected, test: ["550 xcode42"]}
  - {id: inner, text: ["*zorro*"], category: rejected, advice: rejected, test: ["550 azorrob"]}
  - {id: within, text: ["*mail*full*", "*容量*超*"], category: mailboxfull, advice: mailboxfull, test: ["550 yourmailboxisfullnow", "550 メール容量を超えました"]}
  - {id: pattern, text: ["re:\\bx\\d{3}y\\b"], category: rejected, advice: rejected, test: ["550 X123Y"]}
`}))
	for _, tc := range []struct{ name, text, rule string }{
		{"an address that contains a status", "550 rejected [1.5.1.1]", ""},
		{"an address behind a status", "550 5.7.1 1.5.1.1 rejected", ""},
		{"a status in a text", "550 rejected (5.1.1)", "lab/status"},
		{"a word in a mail address", "550 <spam@example.org>: rejected", ""},
		{"a word within a word", "550 antispamming", ""},
		{"the word", "550 looks like spam.", "lab/spam"},
		{"e-mail is email", "550 host 192.0.2.1, blocked", "lab/host"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := provider.Read(tc.text)
			a.Provider = "lab"
			if got := k.Classify(a); got.Rule != tc.rule && (tc.rule != "" || strings.HasPrefix(got.Rule, "lab/")) {
				t.Errorf("%q reaches %q, want %q", tc.text, got.Rule, tc.rule)
			}
		})
	}
}

// TestOwnTexts: what we say ourselves where no server answered is told by the codes alone, with and without the mark.
func TestOwnTexts(t *testing.T) {
	t.Parallel()
	k := load(t)
	for _, tc := range []struct {
		text, enhanced string
		code           int
		category       provider.Category
		permanent      bool
	}{
		{"connect to mx1.free.fr[192.0.2.1] port 25: Too many errors from your ip", "4.4.1", 451, provider.NetworkError, false},
		{"MX of spam.example: user unknown", "4.4.3", 451, provider.NetworkError, false},
		{"Domain user-unknown.example does not exist (DNS: NXDOMAIN)", "5.1.2", 550, provider.HostUnknown, true},
		{"Domain mailbox-full.example takes no mail (null MX)", "5.1.10", 556, provider.NotAccept, true},
		{"Mail for spamhaus.example loops back to this gateway", "5.4.6", 554, provider.NetworkError, false},
		{"The mail exchangers of x.example have no address", "4.4.4", 451, provider.NetworkError, false},
		{"Addresses of greylisting.example: timeout", "4.4.3", 451, provider.NetworkError, false},
	} {
		for _, own := range []bool{true, false} {
			for _, name := range []string{"", "free", "orange", "sfr"} {
				m := k.Classify(provider.Answer{Provider: name, Code: tc.code, Enhanced: tc.enhanced, Text: tc.text, Own: own})
				if m.Rule != "" || m.Category != tc.category || m.Permanent != tc.permanent || m.Do != (provider.Do{}) {
					t.Errorf("%q (own %v, %s): %+v", tc.text, own, name, m)
				}
			}
		}
	}
	if m := k.Classify(provider.Answer{Provider: "free", Code: 550, Text: "spam detected", Own: true}); m.Rule != "" {
		t.Errorf("a text of ours reached %s", m.Rule)
	}
}

// TestRead takes apart what people paste.
func TestRead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		line string
		want provider.Answer
	}{
		{"550 5.1.1 No such user", provider.Answer{Code: 550, Enhanced: "5.1.1", Text: "No such user"}},
		{"550-5.1.1 No such user", provider.Answer{Code: 550, Enhanced: "5.1.1", Text: "No such user"}},
		{"smtp; 450 4.2.1 later", provider.Answer{Code: 450, Enhanced: "4.2.1", Text: "later"}},
		{"host mx1.free.fr[192.0.2.1] said: 550 spam detected (in reply to end of DATA command)", provider.Answer{Code: 550, Text: "spam detected", Phase: "end"}},
		{"mx1.free.fr[192.0.2.1] said before any mail: 421 Too many spams", provider.Answer{Code: 421, Text: "Too many spams"}},
		{"spam detected", provider.Answer{Text: "spam detected"}},
		{"550", provider.Answer{Code: 550}},
		{"250 2.0.0 OK", provider.Answer{Code: 250, Enhanced: "2.0.0", Text: "OK"}},
		{"", provider.Answer{}},
	} {
		if got := provider.Read(tc.line); got != tc.want {
			t.Errorf("%q: %+v, want %+v", tc.line, got, tc.want)
		}
	}
}

// TestCodesAlone: what no rule looks at is told by status, code and phase.
func TestCodesAlone(t *testing.T) {
	t.Parallel()
	k := load(t)
	for _, tc := range []struct {
		code            int
		enhanced, phase string
		want            provider.Category
		party           provider.Party
		permanent       bool
	}{
		{550, "5.1.1", "rcpt", provider.UserUnknown, provider.OfRecipient, true},
		{450, "4.1.1", "rcpt", provider.UserUnknown, provider.OfRecipient, false},
		{0, "4.1.1", "", provider.UserUnknown, provider.OfRecipient, false},
		{0, "5.1.1", "", provider.UserUnknown, provider.OfRecipient, true},
		{552, "5.2.2", "rcpt", provider.MailboxFull, provider.OfRecipient, false},
		{552, "5.3.4", "mail", provider.MessageTooBig, provider.Message, false},
		{550, "5.7.25", "connect", provider.RequirePTR, provider.Config, false},
		{550, "5.7.26", "end", provider.AuthFailure, provider.Config, false},
		{550, "5.7.27", "mail", provider.NotAccept, provider.Config, false},
		{550, "5.7.30", "mail", provider.FailedStartTLS, provider.RecipientDomain, false},
		{556, "5.1.10", "", provider.NotAccept, provider.RecipientDomain, true},
		{556, "", "", provider.NotAccept, provider.RecipientDomain, true},
		{421, "", "connect", provider.SystemError, provider.OfProvider, false},
		{554, "", "connect", provider.Blocked, provider.SenderIP, false},
		{550, "", "rcpt", provider.Filtered, provider.OfRecipient, false},
		{550, "", "end", provider.PolicyViolation, provider.Message, false},
		{550, "5.0.0", "rcpt", provider.Filtered, provider.OfRecipient, false},
		{550, "5.9.9", "", provider.Undefined, provider.Nobody, false},
		{550, "", "", provider.Undefined, provider.Nobody, false},
		{0, "", "", provider.Undefined, provider.Nobody, false},
		{250, "2.0.0", "end", provider.Accepted, provider.Nobody, false},
	} {
		m := k.Classify(provider.Answer{Code: tc.code, Enhanced: tc.enhanced, Phase: tc.phase, Text: "zzz", Own: true})
		if m.Category != tc.want || m.Party != tc.party || m.Permanent != tc.permanent || m.Rule != "" {
			t.Errorf("%d %s in %s: %s, %s, permanent %v by %q", tc.code, tc.enhanced, tc.phase, m.Category, m.Party, m.Permanent, m.Rule)
		}
		if (m.Advice == nil) != (tc.want == provider.Undefined || tc.want == provider.Accepted) {
			t.Errorf("%d %s: advice %v", tc.code, tc.enhanced, m.Advice)
		}
	}
}
