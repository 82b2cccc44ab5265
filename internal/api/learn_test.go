package api_test

import (
	"fmt"
	"testing"

	"postern/internal/api"
	"postern/internal/learn"
	"postern/internal/mail"
)

func TestLearn(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	lesson := func(class string, from, n int) [][]byte {
		var out [][]byte
		for i := range n {
			out = append(out, fmt.Appendf(nil, "Message-ID: <%s.%d@x.example>\r\n\r\nword%s\r\n", class, from+i, class))
		}
		return out
	}
	for _, tc := range []struct {
		name string
		r    api.LearnRequest
		want api.Learned
	}{
		{"spam for all", api.LearnRequest{Class: "spam", Messages: lesson("spam", 0, 199)}, api.Learned{Changed: 199, Spam: 199, Need: 200}},
		{"again, and more", api.LearnRequest{Class: "spam", Messages: lesson("spam", 198, 2)}, api.Learned{Changed: 1, Known: 1, Spam: 200, Need: 200}},
		{"ham of a customer", api.LearnRequest{Class: "ham", Customer: "shop", Messages: lesson("ham", 0, 200)}, api.Learned{Changed: 200, Ham: 200, Need: 200, Enough: true}},
		{"forget", api.LearnRequest{Class: "forget", Customer: "shop", Messages: lesson("ham", 0, 1)}, api.Learned{Changed: 1, Ham: 199, Need: 200}},
	} {
		got, err := g.client.Learn(ctx, tc.r)
		if err != nil || got != tc.want {
			t.Errorf("%s: %+v, want %+v (%v)", tc.name, got, tc.want, err)
		}
	}
	large := append([]byte("Message-ID: <large@x.example>\r\n\r\n"), make([]byte, 3<<20)...)
	if got, err := g.client.Learn(ctx, api.LearnRequest{Class: "spam", Messages: [][]byte{large}}); err != nil || got.Changed != 1 {
		t.Errorf("3 MiB: %+v %v", got, err)
	}
	for name, tc := range map[string]struct {
		r    api.LearnRequest
		kind string
	}{
		"class":    {api.LearnRequest{Class: "maybe", Messages: lesson("a", 0, 1)}, ""},
		"customer": {api.LearnRequest{Class: "ham", Customer: "nobody", Messages: lesson("a", 0, 1)}, "no-such-customer"},
		"empty":    {api.LearnRequest{Class: "ham"}, ""},
		"no mail":  {api.LearnRequest{Class: "ham", Messages: [][]byte{[]byte("\r\n")}}, "invalid"},
		"too many": {api.LearnRequest{Class: "ham", Messages: lesson("a", 0, 201)}, ""},
	} {
		_, err := g.client.Learn(ctx, tc.r)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if k := kind(t, err); tc.kind != "" && k != tc.kind {
			t.Errorf("%s: %s", name, k)
		}
	}
	if _, err := g.client.AddCustomer(ctx, api.Customer{ID: "gone"}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.client.Learn(ctx, api.LearnRequest{Class: "ham", Customer: "gone", Messages: lesson("b", 0, 1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.client.DeleteCustomer(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	if _, ham, err := g.Learn().Totals(ctx, "gone"); ham != 0 || err != nil {
		t.Errorf("a customer who is gone leaves experience: %d %v", ham, err)
	}
	r, err := g.Learn().Classify(ctx, learn.Base, mail.Parse([]byte("\r\nwordspam\r\n"), mail.DefaultLimits()))
	if err != nil || r.Measured {
		t.Errorf("a customer's ham answers for all: %+v %v", r, err)
	}
}

// TestLearnComplaints: of a feedback report the message it is about is learned, the same as if that had been given.
func TestLearnComplaints(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	const inner = "From: offers@x.example\r\nMessage-ID: <inner@x.example>\r\nSubject: Earn money\r\n\r\ncheapest lottery\r\n"
	report := "From: abuse@isp.example\r\nMessage-ID: <report@isp.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n" +
		"--b\r\n\r\nThis is an abuse report.\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" + inner + "--b--\r\n"
	for _, tc := range []struct {
		text    string
		changed int
	}{{report, 1}, {inner, 0}, {report, 0}} {
		got, err := g.client.Learn(ctx, api.LearnRequest{Class: "spam", Messages: [][]byte{[]byte(tc.text)}})
		if err != nil || got.Changed != tc.changed || got.Spam != 1 {
			t.Errorf("%.40q: %+v %v", tc.text, got, err)
		}
	}
}
