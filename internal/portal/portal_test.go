package portal_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
)

var untranslated = regexp.MustCompile(`portal\.[a-z_]+\.|test\.[A-Z_]+\.|\{\{|%!|>\?<`)

// expect checks a page for texts that must and, with a leading "!", must not stand in it.
func expect(t *testing.T, page string, want ...string) {
	t.Helper()
	for _, w := range want {
		if not, ok := strings.CutPrefix(w, "!"); ok && strings.Contains(page, not) {
			t.Errorf("the page holds %q\n%s", not, page)
		} else if !ok && !strings.Contains(page, w) {
			t.Errorf("the page lacks %q\n%s", w, page)
		}
	}
	if m := untranslated.FindString(page); m != "" {
		t.Errorf("the page holds a text that is missing in the catalogue: %q", m)
	}
}

// TestHeldToDelivered is the way a sender goes: read, mend, test again, delivered.
func TestHeldToDelivered(t *testing.T) {
	t.Parallel()
	g := start(t)
	id := g.hold(t, "Your order 4711")
	at := g.link(id)
	page := g.get(t, at)
	expect(t, page, `lang="en"`, ">Held<", "has not been sent", "Your order 4711", "SPF_FAIL", "192.0.2.7", "Test the message again", "Release the message", "Ask the operator",
		"Delete the message for good", "the message would leave", "news@shop.example.test", "127.0.0.1", string(id), "!secret text", "<title>Held: Your order 4711</title>")
	expect(t, g.get(t, at+"?lang=fr"), `lang="fr"`, ">Retenu<", "Contrôler à nouveau le message", at+"/retest?lang=fr", "!Release the message")

	page = g.must(t, at+"/retest", nil)
	expect(t, page, ">Held<", "still above 3", `role="alert"`, "Tested again: score")
	if a := g.ask(t, "POST", at+"/retest", url.Values{}); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("tested twice in a moment: %d", a.status)
	} else {
		expect(t, a.body, "tested a moment ago", "<title>Error: Held")
	}
	if err := g.dns.Set(zone(mended)); err != nil {
		t.Fatal(err)
	}
	var a answer
	waitFor(t, "the pause between tests", func() bool {
		a = g.ask(t, "POST", at+"/retest?lang=fr", url.Values{})
		if a.status == http.StatusTooManyRequests {
			time.Sleep(2 * time.Second)
		}
		return a.status == http.StatusSeeOther
	})
	expect(t, g.get(t, a.header.Get("Location")), `lang="fr"`, "Le message est libéré", "Contrôlé à nouveau 2 fois", "Libéré par la passerelle")
	<-g.mx.come
	waitFor(t, "the page of the delivered message", func() bool { return strings.Contains(g.get(t, at), ">Delivered<") })
	page = g.get(t, at)
	expect(t, page, "accepted by the recipient", "Accepted by mx.example.test", "!<form", "!<button", "!as received")
}

// TestActs: release, ask and delete do what they say, once, and not to what is no longer held.
func TestActs(t *testing.T) {
	t.Parallel()
	g := start(t)

	at := g.link(g.hold(t, "to release"))
	expect(t, g.must(t, at+"/release", nil), "You released the message", "Released from this page")
	<-g.mx.come
	waitFor(t, "delivery", func() bool { return strings.Contains(g.get(t, at), ">Delivered<") })
	if a := g.ask(t, "POST", at+"/release", url.Values{}); a.status != http.StatusConflict {
		t.Errorf("released twice: %d", a.status)
	} else {
		expect(t, a.body, "no longer held", ">Delivered<")
	}

	g.ip = "203.0.113.2"
	at = g.link(g.hold(t, "to ask about"))
	if a := g.ask(t, "POST", at+"/ask", url.Values{"question": {"  "}}); a.status != http.StatusUnprocessableEntity {
		t.Errorf("empty question: %d", a.status)
	}
	if a := g.ask(t, "POST", at+"/ask", url.Values{"question": {strings.Repeat("é", 1001)}}); a.status != http.StatusUnprocessableEntity || strings.Count(a.body, "é") < 1001 {
		t.Errorf("long question: %d, or what was typed is lost", a.status)
	}
	expect(t, g.must(t, at+"/ask", url.Values{"question": {strings.Repeat("é", 999) + "?"}}), "Your question was sent", "The operator was asked", "!<textarea")
	if a := g.ask(t, "POST", at+"/ask", url.Values{"question": {"again"}}); a.status != http.StatusConflict {
		t.Errorf("asked twice: %d", a.status)
	}

	g.ip = "203.0.113.3"
	expect(t, g.must(t, at+"/drop", nil), "The message was deleted", ">Deleted<", "Deleted from this page", "!<form")
	expect(t, g.get(t, at+"?done=release"), "!You released")
	expect(t, g.get(t, at+"?done=drop&lang=fr"), "Le message est supprimé")
}

func verdict(hits ...filter.Hit) filter.Verdict {
	v := filter.Verdict{Threshold: 3, Hits: hits, At: time.Now()}
	for _, h := range hits {
		v.Raw += h.Points
	}
	v.Score = min(15, max(0, v.Raw))
	v.Held = v.Score > 3
	return v
}

// TestPolicy: who may not release is told why, in his language, and the act is refused as well.
func TestPolicy(t *testing.T) {
	t.Parallel()
	g := start(t)
	heavy := verdict(filter.Hit{Test: "GTUBE", Points: 100}, filter.Hit{Test: "SPF_PASS", Points: -0.001})
	light := verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5})
	for _, tc := range []struct {
		name string
		id   mail.QueueID
		want []string
	}{
		{"ceiling", g.put(t, spool.Message{Subject: "a"}, heavy), []string{"You cannot release it yourself: senders may do so up to a score of 8", "!Release the message", "mend it in your application"}},
		{"policy", g.put(t, spool.Message{Subject: "b", Customer: "boutique"}, light), []string{`lang="fr"`, "votre contrat", "!Libérer le message", "sera supprimé le "}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			expect(t, g.get(t, g.link(tc.id)), tc.want...)
			if a := g.ask(t, "POST", g.link(tc.id)+"/release", url.Values{}); a.status != http.StatusForbidden {
				t.Errorf("release: %d", a.status)
			}
			if w, err := g.Spool().Get(t.Context(), tc.id); err != nil || !w.Held {
				t.Errorf("no longer held: %v", err)
			}
		})
	}
}

// TestStates: every state has its word and sentence in both languages, and buttons only while the message is held.
func TestStates(t *testing.T) {
	t.Parallel()
	g := start(t)
	next := time.Now().Add(time.Hour)
	for i, tc := range []struct {
		name   string
		facts  []journal.Fact
		en, fr string
	}{
		{"rejected", []journal.Fact{{Kind: journal.Rejected, Code: 550}}, "not kept here", ">Bloqué<"},
		{"queued", []journal.Fact{{Kind: journal.Accepted}}, ">Queued<", ">En file<"},
		{"deferred", []journal.Fact{{Kind: journal.Accepted}, {Kind: journal.Attempt}, {Kind: journal.Deferred, Recipient: "a@b.test", NextAt: next, Text: "4.7.1 later"}}, "The next try is on", "Prochain essai le "},
		{"delivered", []journal.Fact{{Kind: journal.Recovered}, {Kind: journal.Accepted}, {Kind: journal.Delivered, Recipient: "a@b.test"}}, "accepted by the recipient", ">Remis<"},
		{"bounced", []journal.Fact{{Kind: journal.Held}, {Kind: journal.Released, Actor: "operator:zoe"}, {Kind: journal.Bounced, Text: "5.1.1 who?"}, {Kind: journal.DSN}}, ">Rejected<", "Rejeté définitivement"},
		{"partly", []journal.Fact{{Kind: journal.Accepted}, {Kind: journal.Bounced, Recipient: "a@b.test"}, {Kind: journal.Delivered, Recipient: "c@b.test"}}, "for 1 of 2 recipients", ">Remis en partie<"},
		{"dropped", []journal.Fact{{Kind: journal.Held}, {Kind: journal.Notified, Recipient: "a@b.test"}, {Kind: journal.Dropped, Actor: "operator:zoe"}}, "Deleted by the operator", ">Supprimé<"},
		{"expired hold", []journal.Fact{{Kind: journal.Held}, {Kind: journal.Expired}}, "Nobody decided in time", ">Expiré<"},
		{"expired delivery", []journal.Fact{{Kind: journal.Accepted}, {Kind: journal.Expired, Attempt: 9}}, "never accepted this message", "Abandonné"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g.ip = fmt.Sprintf("203.0.113.%d", 10+i)
			id := mail.NewQueueID(time.Now())
			for i := range tc.facts {
				tc.facts[i].QueueID, tc.facts[i].Customer, tc.facts[i].Subject = id, "shop", "Hello"
			}
			if err := g.Journal().Append(t.Context(), tc.facts...); err != nil {
				t.Fatal(err)
			}
			expect(t, g.get(t, g.link(id)), tc.en, "!<form", "!zoe", "!received by the recipient")
			expect(t, g.get(t, g.link(id)+"?lang=fr"), tc.fr, "!<form", "!zoe")
			if a := g.ask(t, "POST", g.link(id)+"/drop", url.Values{}); a.status != http.StatusConflict {
				t.Errorf("drop: %d", a.status)
			}
		})
	}
}

// TestReadingChangesNothing fetches everything a mail scanner could follow.
func TestReadingChangesNothing(t *testing.T) {
	t.Parallel()
	g := start(t)
	id := g.hold(t, "scanned")
	if err := g.Journal().Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := g.link(id)
	before, err := g.Journal().Trace(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		path, _, _ = strings.Cut(path, "#")
		if seen[path] || !strings.HasPrefix(path, "/") {
			return
		}
		seen[path] = true
		for i, method := range []string{"HEAD", "GET", "OPTIONS"} {
			g.ip = fmt.Sprintf("203.0.113.%d", 3*len(seen)%240+i) // limits would hide pages from this test
			a := g.ask(t, method, path, nil)
			if a.status >= 500 {
				t.Errorf("%s %s: %d", method, path, a.status)
			}
			if to := a.header.Get("Location"); to != "" {
				visit(to)
			}
			for _, m := range regexp.MustCompile(`(?:href|action|src)="([^"]*)"`).FindAllStringSubmatch(a.body, -1) {
				visit(strings.ReplaceAll(m[1], "&amp;", "&"))
			}
		}
	}
	visit(at)
	for _, act := range []string{"retest", "release", "drop", "ask"} {
		if !seen[at+"/"+act] {
			t.Errorf("the address of %s was not tried", act)
		}
	}
	after, err := g.Journal().Trace(t.Context(), id)
	if err != nil || len(after) != len(before) {
		t.Errorf("facts before %d, after %d (%v)", len(before), len(after), err)
	}
	if w, err := g.Spool().Get(t.Context(), id); err != nil || !w.Held {
		t.Errorf("the message is no longer held: %v", err)
	}
}

func deferrals(id mail.QueueID, n int) []journal.Fact {
	out := make([]journal.Fact, n)
	for i := range out {
		out[i] = journal.Fact{Kind: journal.Deferred, QueueID: id, Customer: "shop", Recipient: fmt.Sprintf("r%d@receiver.example.test", i), Text: "4.2.0 later"}
	}
	return out
}

// TestPlan: what is enough to mend is said in numbers that add up, and only what the sender can mend is asked of him.
func TestPlan(t *testing.T) {
	t.Parallel()
	g := start(t)
	spf, dkim, rdns := filter.Hit{Test: "SPF_FAIL", Points: 3.5}, filter.Hit{Test: "DKIM_INVALID", Points: 1.5}, filter.Hit{Test: "RDNS_NONE", Points: 2.4}
	for i, tc := range []struct {
		name string
		v    filter.Verdict
		want []string
	}{
		{"one of two", verdict(spf, dkim), []string{"The score then falls to 1.5", "score 3.5, the message would still be held", "score 1.5, the message would leave", "3 or less is enough"}},
		{"exactly the threshold", verdict(spf, filter.Hit{Test: "MISSING_DATE", Points: 3}), []string{"The score then falls to 3,"}},
		{"a hair above", verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.001}), []string{"<strong>3.001</strong>", "threshold 3<"}},
		{"operator's part", verdict(filter.Hit{Test: "RDNS_NONE", Points: 4}, dkim), []string{"brings the score down to 4, still above 3"}},
		{"operator alone", verdict(rdns, filter.Hit{Test: "EGRESS_LISTED", Points: 1.5}), []string{"Only the operator can mend what stopped this message"}},
		{"in the message itself", verdict(filter.Hit{Test: "HTML_TITLE_SUBJ_DIFF", Points: 3.2}), []string{"Testing it again is not enough", "mend it in your application and send the message again"}},
		{"set aside by a person", verdict(dkim), []string{"The operator of this gateway set it aside", "!What is enough"}},
		{"a test of another version", verdict(filter.Hit{Test: "NO_SUCH_TEST", Points: 4, Evidence: []string{"found"}}), []string{"NO_SUCH_TEST", "found", "!What it means"}},
		{"beyond the scale", verdict(filter.Hit{Test: "GTUBE", Points: 100}), []string{"<strong>15</strong>", `width="100.00%"`}},
		{"never tested", filter.Verdict{}, []string{"set aside before it could be tested", "There is no test result", "!<svg class"}},
		{"nothing found", verdict(filter.Hit{Test: "HTML_MESSAGE", Points: 0.001}, filter.Hit{Test: "SPF_PASS", Points: -0.001}), []string{"No test counts against this message", "Good signs"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g.ip = fmt.Sprintf("203.0.113.%d", i)
			expect(t, g.get(t, g.link(g.put(t, spool.Message{Subject: "x"}, tc.v))), tc.want...)
		})
	}
}
