package cli_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestTraceConversation: what came back about a message stands in its story, in words; and whatever somebody pastes of it leads there: the message as its
// recipient has it, the bounce with our return address in it, the notice to the sender.
func TestTraceConversation(t *testing.T) {
	t.Parallel()
	w := startWhole(t, "")
	id := string(w.send("ivy@there.example", "Offer one"))
	taken, path := w.mx.wait(t, "Subject: Offer one")
	if path.Domain != "bounce.shop.example" || !strings.Contains(string(taken), "X-Postern-Ref: ") {
		t.Fatalf("reverse path %s\n%s", path, taken)
	}
	report := "From: MAILER-DAEMON@mx.there.example\nTo: " + path.String() + "\nSubject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n" +
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: text/plain\n\nIt did not work.\n\n--b\n" +
		"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.there.example\n\nFinal-Recipient: rfc822; ivy@there.example\nAction: failed\nStatus: 5.1.1\n" +
		"Diagnostic-Code: smtp; 550 5.1.1 <ivy@there.example>: user unknown\n\n--b--\n"
	away := "From: Ivy <ivy@there.example>\nTo: " + path.String() + "\nSubject: Out of office: Offer one\nMessage-ID: <away@there.example>\nAuto-Submitted: auto-replied\n\nI am away.\n"
	complaint := "From: staff@hotmail.com\nTo: fbl@bounce.shop.example\nSubject: complaint\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n" +
		"--b\nContent-Type: text/plain\n\nThis is an abuse report.\n\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: x/1\nVersion: 1\n\n" +
		"--b\nContent-Type: text/rfc822-headers\n\nReturn-Path: <" + path.String() + ">\nSubject: Offer one\n\n\n--b--\n"
	for _, x := range []struct{ to, text string }{{path.String(), away}, {path.String(), report}, {"fbl@bounce.shop.example", complaint}} {
		if res := w.bring("bounces", "", x.to, x.text); res.Data.Code != 250 {
			t.Fatalf("%+v", res)
		}
	}
	if code, out, errs := w.run(t.Context(), "suppression", "show", "ivy@there.example"); code != 0 || !strings.Contains(out, "unknown-user") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if code, _, errs := w.run(t.Context(), "suppression", "lift", "ivy@there.example", "--customer", "shop", "--why", "she is back"); code != 0 {
		t.Error(errs)
	}
	notice, _ := w.mx.wait(t, "In-Reply-To: <Offer.one@shop.example>")

	out := w.says([]string{"trace", id}, "delivered", "auto-reply", "“Out of office: Offer one”, passed on to the sender", "given the automatic answer",
		"returned", "taken at first, then returned: mx.there.example: 550 5.1.1 <ivy@there.example>: user unknown", "complaint", "counts for nothing", "told that it came back",
		"listed", "not written to any more (unknown-user) until", "lifted", "written to again (it was unknown-user); she is back; by operator:alice")
	for _, bad := range []string{"550 5.1.1 550", "late-failed", "next attempt"} {
		if strings.Contains(flat(out), bad) {
			t.Errorf("%q in\n%s", bad, out)
		}
	}
	t.Logf("\n%s", out)
	for name, text := range map[string]string{"the message": string(taken), "its header in a mail": "Hello, what is this?\n\n> " + strings.ReplaceAll(string(taken), "\n", "\n> "),
		"the bounce": report, "the answer": away, "the notice": string(notice)} {
		w.input = text
		code, out, errs := w.run(t.Context(), "trace", "-")
		if code != 0 || !strings.Contains(out, id) || !strings.HasPrefix(out, "Found by ") {
			t.Errorf("%s: %d\n%s%s", name, code, out, errs)
		}
		if name == "the bounce" {
			t.Logf("\n%s", out)
		}
	}
	// What is forged, or of somebody else, leads nowhere by its reference.
	w.input = fmt.Sprintf("X-Postern-Ref: m-%s\n", strings.Repeat("a", 40))
	if code, out, _ := w.run(t.Context(), "trace", "-"); code != 1 {
		t.Errorf("forged: %d %s", code, out)
	}
}
