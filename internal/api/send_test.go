package api_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern/internal/api"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/suppression"
	"postern/internal/user"
)

// sent reads the answer of a request to send that must have been taken.
func sent(t *testing.T, a said) api.Sent {
	t.Helper()
	var out api.Sent
	if a.status != 200 || json.Unmarshal([]byte(a.text), &out) != nil {
		t.Fatalf("%d %s", a.status, a.text)
	}
	return out
}

// stored returns a message of the spool with its text.
func (g *gateway) stored(t *testing.T, id mail.QueueID) (spool.Work, string) {
	t.Helper()
	w, err := g.Spool().Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	body, err := g.Spool().Body(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return w, string(body)
}

const letter = `"from":{"address":"anna@shop.example","name":"Anna"},"subject":"Your order","text":"Hello Bob, it is ready.\n"`

func TestSend(t *testing.T) {
	t.Parallel()
	g := start(t)
	token := g.token(t, user.CustomerAdmin, "shop")
	out := sent(t, g.over(t, "POST", "/v1/send", token, `{`+letter+`,"to":[{"address":"bob@remote.example","name":"Bob"}],"bcc":[{"address":"carl@remote.example"}],
		"headers":{"List-Unsubscribe":"<https://shop.example/u>"},"attachments":[{"name":"a.txt","type":"text/plain","content":"aGVsbG8="}]}`))
	if len(out.Messages) != 1 || len(out.Refused) != 0 || !slices.Equal(out.Messages[0].Recipients, []string{"bob@remote.example", "carl@remote.example"}) {
		t.Fatalf("%+v", out)
	}
	w, text := g.stored(t, out.Messages[0].ID)
	if w.Customer != "shop" || !strings.HasPrefix(w.Credential, "token:") || w.Envelope.ReversePath.String() != "anna@shop.example" || len(w.Recipients) != 2 || w.ClientIP.String() != "203.0.113.7" {
		t.Errorf("%+v", w)
	}
	for _, part := range []string{`From: "Anna" <anna@shop.example>`, `To: "Bob" <bob@remote.example>`, "Subject: Your order", "List-Unsubscribe: <https://shop.example/u>", "filename=a.txt", "Hello Bob", "by mx.example.org (Postern) with HTTP"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing:\n%s", part, text)
		}
	}
	if strings.Contains(text, "carl") {
		t.Error("the blind copy is shown")
	}
	// The raw form: the bytes that came, with what the submission door adds.
	raw := base64.StdEncoding.EncodeToString([]byte("From: anna@shop.example\nTo: bob@remote.example\nSubject: raw\n\nHello\n"))
	out = sent(t, g.over(t, "POST", "/v1/send", token, `{"return_path":"bounce@shop.example","to":[{"address":"bob@remote.example"}],"raw":"`+raw+`"}`))
	w, text = g.stored(t, out.Messages[0].ID)
	if w.Envelope.ReversePath.String() != "bounce@shop.example" || !strings.Contains(text, "\r\nSubject: raw\r\n") || !strings.Contains(text, "\r\nMessage-ID: ") {
		t.Errorf("%+v\n%s", w.Envelope, text)
	}
}

// TestSendToEach: who has values of his own gets a message of his own, with nobody else in it.
func TestSendToEach(t *testing.T) {
	t.Parallel()
	g := start(t)
	token := g.token(t, user.CustomerAdmin, "shop")
	request := `{"from":{"address":"anna@shop.example"},"subject":"{{what}} for {{name}}","text":"Hello {{name}}\n","html":"<p>Hello {{name}}</p>","substitutions":{"what":"News"},
		"to":[{"address":"bob@remote.example","substitutions":{"name":"Bob <3"}},{"address":"zoe@remote.example","substitutions":{"name":"Zoé","what":"Mail"}}]}`
	out := sent(t, g.over(t, "POST", "/v1/send", token, request, "Idempotency-Key", "one"))
	if len(out.Messages) != 2 {
		t.Fatalf("%+v", out)
	}
	for i, want := range [][]string{{"Subject: News for Bob <3", "Bob &lt;3", "bob@remote.example"}, {"Subject: =?utf-8?q?Mail_for_Zo=C3=A9?=", "Zo=C3=A9", "zoe@remote.example"}} {
		_, text := g.stored(t, out.Messages[i].ID)
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%q is missing:\n%s", part, text)
			}
		}
		if other := []string{"zoe@", "bob@"}[i]; strings.Contains(text, other) {
			t.Errorf("message %d shows %s", i, other)
		}
	}
	// The same key: nothing is sent twice.
	again := sent(t, g.over(t, "POST", "/v1/send", token, request, "Idempotency-Key", "one"))
	if again.Messages[0].ID != out.Messages[0].ID || again.Messages[1].ID != out.Messages[1].ID {
		t.Errorf("sent twice: %+v %+v", out, again)
	}
	if works, _, err := g.Spool().List(t.Context(), spool.Filter{Limit: 10}); err != nil || len(works) != 2 {
		t.Errorf("%d messages in the spool, %v", len(works), err)
	}
}

// TestSendLaws: what SMTP refuses is refused; the request says what, where and what to do, and nothing is stored.
func TestSendLaws(t *testing.T) {
	t.Parallel()
	g := start(t)
	token, reader, operator := g.token(t, user.CustomerAdmin, "shop"), g.token(t, user.CustomerReader, "shop"), g.token(t, user.Operator, "")
	a, err := suppression.ParseAddress("gone@remote.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Suppression().Add(t.Context(), suppression.Entry{Customer: "shop", Address: a, Reason: suppression.UnknownUser, By: "rule"}); err != nil {
		t.Fatal(err)
	}
	to := `,"to":[{"address":"bob@remote.example"}]`
	for _, tc := range []struct {
		name, token, request string
		status               int
		word, says           string
	}{
		{"a reader", reader, `{` + letter + to + `}`, 403, "no-right", "mail:send"},
		{"another's customer", token, `{"customer":"bakery",` + letter + to + `}`, 404, "no-such-customer", ""},
		{"an operator says for whom", operator, `{` + letter + to + `}`, 422, "invalid", "say whose mail it is"},
		{"another's name", token, `{"from":{"address":"ceo@bank.example"},"text":"x"` + to + `}`, 422, "refused", "bank.example"},
		{"another's return path", token, `{"return_path":"x@bank.example",` + letter + to + `}`, 422, "refused", "bank.example"},
		{"nobody", token, `{` + letter + `,"to":[]}`, 422, "", ""},
		{"no address", token, `{` + letter + `,"to":[{"address":"bob"}]}`, 422, "invalid", "body.to[0].address"},
		{"a header in the subject", token, `{"from":{"address":"anna@shop.example"},"subject":"a\r\nBcc: x@y.example","text":"x"` + to + `}`, 422, "invalid", "body.subject: holds a line end"},
		{"a header in a name", token, `{"from":{"address":"anna@shop.example","name":"a\nb"},"text":"x"` + to + `}`, 422, "invalid", "body.from"},
		{"a forged field", token, `{` + letter + `,"headers":{"DKIM-Signature":"v=1"}` + to + `}`, 422, "invalid", "body.headers.DKIM-Signature"},
		{"no value", token, `{"from":{"address":"anna@shop.example"},"text":"Dear {{name}}","to":[{"address":"bob@remote.example","substitutions":{"x":"y"}}]}`, 422, "invalid", "{{name}} has no value"},
		{"raw and parts", token, `{` + letter + `,"raw":"eA=="` + to + `}`, 422, "invalid", "body.raw"},
		{"raw without return path", token, `{"raw":"eA=="` + to + `}`, 422, "invalid", "body.return_path"},
		{"bare carriage return", token, `{"return_path":"anna@shop.example","raw":"` + base64.StdEncoding.EncodeToString([]byte("From: anna@shop.example\r\n\r\na\rb\r\n")) + `"` + to + `}`, 422, "refused", "carriage return"},
		{"all suppressed", token, `{` + letter + `,"to":[{"address":"gone@remote.example"}]}`, 422, "refused", "no such recipient"},
		{"copies of separate messages", token, `{` + letter + `,"separate":true,"cc":[{"address":"c@remote.example"}]` + to + `}`, 422, "invalid", "cc and bcc"},
		{"unknown field", token, `{` + letter + `,"priority":1` + to + `}`, 422, "", "priority"},
		{"too large", token, `{"from":{"address":"anna@shop.example"},"text":"` + strings.Repeat("x", 3<<20) + `"` + to + `}`, 413, "too-large", "2097152 at most"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := g.over(t, "POST", "/v1/send", tc.token, tc.request)
			if got.status != tc.status || tc.word != "" && got.word() != tc.word || !strings.Contains(got.text, tc.says) {
				t.Errorf("%d %s", got.status, got.text)
			}
		})
	}
	if works, _, err := g.Spool().List(t.Context(), spool.Filter{Limit: 10}); err != nil || len(works) != 0 {
		t.Errorf("%d messages are stored, %v", len(works), err)
	}
	if err := g.Accounts().SetSuspended(t.Context(), "shop", true); err != nil {
		t.Fatal(err)
	}
	if got := g.over(t, "POST", "/v1/send", token, `{`+letter+to+`}`); got.status != 422 || got.word() != "refused" || !strings.Contains(got.text, "suspended") {
		t.Errorf("of a suspended customer: %d %s", got.status, got.text)
	}
}

// TestSendBatch: each message is taken or refused by itself; a fault of form concerns the whole request.
func TestSendBatch(t *testing.T) {
	t.Parallel()
	g := start(t)
	token := g.token(t, user.CustomerAdmin, "shop")
	one := `{` + letter + `,"to":[{"address":"bob@remote.example"}]}`
	forged := `{"from":{"address":"ceo@bank.example"},"text":"x","to":[{"address":"bob@remote.example"}]}`
	out := sent(t, g.over(t, "POST", "/v1/send/batch", token, `{"messages":[`+one+`,`+forged+`,`+one+`]}`))
	if len(out.Messages) != 2 || len(out.Refused) != 1 || out.Refused[0].Message != 1 || out.Refused[0].Code != 550 || !slices.Equal(out.Refused[0].Recipients, []string{"bob@remote.example"}) || out.Refused[0].Later {
		t.Fatalf("%+v", out)
	}
	bad := g.over(t, "POST", "/v1/send/batch", token, `{"messages":[`+one+`,{"from":{"address":"anna@shop.example"},"to":[{"address":"bob@remote.example"}]}]}`)
	if bad.status != 422 || !strings.Contains(bad.text, "body.messages[1].text") {
		t.Errorf("%d %s", bad.status, bad.text)
	}
	var many []string
	for i := range 1001 {
		many = append(many, fmt.Sprintf(`{"address":"b%d@remote.example"}`, i))
	}
	if got := g.over(t, "POST", "/v1/send", token, `{`+letter+`,"bcc":[`+many[1000]+`],"to":[`+strings.Join(many[:1000], ",")+`]}`); got.status != 422 || !strings.Contains(got.text, "more than 1000 recipients") {
		t.Errorf("%d %s", got.status, clipped(got.text))
	}
	if works, _, err := g.Spool().List(t.Context(), spool.Filter{Limit: 10}); err != nil || len(works) != 2 {
		t.Errorf("%d messages are stored, %v", len(works), err)
	}
	if err := g.Journal().Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	facts, _, err := g.Journal().Search(t.Context(), journal.Query{Kinds: []journal.Kind{journal.Accepted}, Customer: "shop"})
	if err != nil || len(facts) != 2 {
		t.Errorf("%d facts, %v", len(facts), err)
	}
	lines, err := g.users.Entries(t.Context(), user.EntryQuery{Customer: "shop"})
	if err != nil || len(lines.Entries) != 3 || lines.Entries[2].Act != "message.send" || lines.Entries[2].Text != "2 taken, 1 refused" || !strings.Contains(lines.Entries[2].Subject, string(out.Messages[0].ID)) {
		t.Errorf("%+v %v", lines.Entries, err)
	}
}

// TestSendHeld: a message above the threshold is stored, and the answer says why and where to look.
func TestSendHeld(t *testing.T) {
	t.Parallel()
	g := start(t)
	token := g.token(t, user.CustomerAdmin, "shop")
	if err := g.Accounts().SetPoints(t.Context(), "shop", map[string]float64{"MISSING_SUBJECT": 9}, "operator:alice"); err != nil {
		t.Fatal(err)
	}
	out := sent(t, g.over(t, "POST", "/v1/send", token, `{"from":{"address":"anna@shop.example"},"text":"x","to":[{"address":"bob@remote.example"}]}`))
	m := out.Messages[0]
	if m.State != api.Held || m.Score < 9 || !strings.Contains(m.Link, "/m/") || !slices.ContainsFunc(m.Hits, func(h api.Hit) bool { return h.Test == "MISSING_SUBJECT" && h.Points == 9 }) {
		t.Fatalf("%+v", m)
	}
	if w, _ := g.stored(t, m.ID); !w.Held {
		t.Error("it is not held")
	}
}

func clipped(s string) string { return s[:min(len(s), 300)] }
