package rules_test

import (
	"strings"
	"testing"

	"postern/internal/mail"
	"postern/internal/rules"
)

// TestReceived: the form of each common server is read; what speaks of no hop is left out; what cannot be read is counted.
func TestReceived(t *testing.T) {
	t.Parallel()
	s, _ := rules.Parse([]rules.File{{Name: "x.cf", Text: []byte("header A X-Spam-Relays-External =~ /x/\nheader B X-Spam-Relays-Internal =~ /x/\nheader C eval:check_relays_unparseable()\n")}}, rules.Options{})
	const date = "; Sat, 21 Nov 2026 10:00:00 +0000"
	for _, tc := range []struct{ name, field, external, internal string }{
		{"Postfix", "from mx.a.example (mail.a.example [192.0.2.1])\n\tby gw.b.example (Postfix) with ESMTPS id 4AB12\n\tfor <c@b.example>" + date, "ip=192.0.2.1 rdns=mail.a.example helo=mx.a.example by=gw.b.example ident= envfrom= intl=0 id=4AB12 auth= ", ""},
		{"Postfix, no name", "from mx.a.example (unknown [192.0.2.1]) by gw.b.example (Postfix) with ESMTP id 4AB12" + date, "ip=192.0.2.1 rdns= helo=mx.a.example by=gw.b.example ", ""},
		{"Postfix, authenticated", "from pc (host.a.example [192.0.2.1]) (Authenticated sender: c) by gw.b.example (Postfix) with ESMTPSA id 4AB12" + date, "", "ip=192.0.2.1 rdns=host.a.example helo=pc by=gw.b.example ident= envfrom= intl=1 id=4AB12 auth=ESMTPSA "},
		{"our own", "from mx.a.example ([192.0.2.1])\n\tby gw.b.example (Postern) with ESMTP id abc123\n\tfor <c@b.example>" + date, "ip=192.0.2.1 rdns= helo=mx.a.example by=gw.b.example ident= envfrom= intl=0 id=abc123 ", ""},
		{"IPv6", "from mx.a.example (mail.a.example [IPv6:2001:db8::1]) by gw.b.example (Postfix) with ESMTP id 1" + date, "ip=2001:db8::1 rdns=mail.a.example ", ""},
		{"Exim", "from mail.a.example ([192.0.2.1] helo=mx.a.example)\n by gw.b.example with esmtp (Exim 4.96) (envelope-from <d@a.example>) id 1rABC-0001" + date, "ip=192.0.2.1 rdns=mail.a.example helo=mx.a.example by=gw.b.example ident= envfrom=d@a.example ", ""},
		{"Exim, no name", "from [192.0.2.1] (helo=mx.a.example) by gw.b.example with esmtp (Exim 4.96) id 1" + date, "ip=192.0.2.1 rdns= helo=mx.a.example by=gw.b.example ", ""},
		{"Exim, local", "from c by gw.b.example with local (Exim 4.96) id 1" + date, "", ""},
		{"Sendmail", "from mx.a.example (IDENT:root@mail.a.example [192.0.2.1] (may be forged)) by gw.b.example (8.17.1/8.17.1) with ESMTP id 3AL" + date, "ip=192.0.2.1 rdns=mail.a.example helo=mx.a.example by=gw.b.example ident=root ", ""},
		{"Sendmail, no name", "from mx.a.example ([192.0.2.1]) by gw.b.example (8.17.1/8.17.1) with ESMTP id 3AL" + date, "ip=192.0.2.1 rdns= helo=mx.a.example by=gw.b.example ", ""},
		{"qmail", "from unknown (HELO mx.a.example) (c@192.0.2.1) by gw.b.example with SMTP" + date, "ip=192.0.2.1 rdns= helo=mx.a.example by=gw.b.example ident=c ", ""},
		{"qmail, named", "from mail.a.example (192.0.2.1) by gw.b.example with SMTP" + date, "ip=192.0.2.1 rdns=mail.a.example helo=mail.a.example by=gw.b.example ", ""},
		{"qmail, internal", "(qmail 123 invoked from network)" + date, "", ""},
		{"Exchange", "from EX1.a.example (192.0.2.1) by EX2.b.example (198.51.100.1) with mapi id 15.1.2507.6" + date, "ip=192.0.2.1 rdns= helo=EX1.a.example by=EX2.b.example ", ""},
		{"Microsoft SMTPSVC", "from mx.a.example ([192.0.2.1]) by gw.b.example with Microsoft SMTPSVC(6.0.3790.4675)" + date, "ip=192.0.2.1 rdns= helo=mx.a.example by=gw.b.example ", ""},
		{"private", "from pc.lan (pc.lan [192.168.1.2]) by gw.b.example (Postfix) with ESMTP id 1" + date, "", "ip=192.168.1.2 rdns=pc.lan helo=pc.lan "},
		{"brackets cannot be forged", "from a]b (c[d [192.0.2.1]) by gw.b.example (Postfix) with ESMTP id 1" + date, "ip=192.0.2.1 rdns=c!d helo=a!b by=gw.b.example ", ""},
		{"not readable", "from somewhere over the rainbow" + date, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v := rules.NewView(mail.Parse([]byte("Received: "+tc.field+"\nSubject: x\n\nx\n"), mail.DefaultLimits()), rules.ViewOptions{})
			h := s.Texts(v).Headers
			for spec, want := range map[string]string{"X-Spam-Relays-External": tc.external, "X-Spam-Relays-Internal": tc.internal} {
				if got := h[spec]; !strings.HasPrefix(strings.TrimPrefix(got, "[ "), want) || (want == "") != (got == "") {
					t.Errorf("%s: %q, want %q", spec, got, want)
				}
			}
			r := s.Run(v, rules.RunOptions{})
			if got := len(r.Hits) > 0 && r.Hits[len(r.Hits)-1].Rule == "C"; got != (tc.name == "not readable") {
				t.Errorf("unparseable: %v", got)
			}
		})
	}
}

// TestViewOptions: what the next server would write on top comes first, and a known envelope counts.
func TestViewOptions(t *testing.T) {
	t.Parallel()
	s, _ := rules.Parse([]rules.File{{Name: "x.cf", Text: []byte("header A X-Spam-Relays-External =~ /^\\[ ip=198\\.51\\.100\\.7 rdns=out\\.example /\nheader B EnvelopeFrom =~ /^bounce\\@out\\.example$/\n")}}, rules.Options{})
	v := rules.NewView(mail.Parse([]byte("Received: from a (b [192.0.2.1]) by c (Postfix) with SMTP id 1; x\nReturn-Path: <other@a.example>\n\nx"), mail.DefaultLimits()),
		rules.ViewOptions{Received: "from out.example (out.example [198.51.100.7]) by localhost (Postern) with ESMTP", HasEnvelope: true, ReversePath: "bounce@out.example"})
	if r := s.Run(v, rules.RunOptions{}); len(r.Hits) != 2 {
		t.Errorf("%+v", r)
	}
}
