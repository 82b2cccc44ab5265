package portal_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/user"
)

// brief is the verdict of a message that passed.
func brief(points map[string]float64) []byte {
	return journal.EncodeBrief(1.3, 3, func(yield func(string, float64) bool) {
		for k, v := range points {
			if !yield(k, v) {
				return
			}
		}
	})
}

// sent writes the facts of some mail of a customer: messages over days, one a step, with what became of them.
func (g *gateway) sent(t *testing.T, customer string, days, perDay int) {
	t.Helper()
	var facts []journal.Fact
	now := time.Now()
	for d := range days {
		for i := range perDay {
			at := now.Add(-time.Duration(d)*24*time.Hour - time.Duration(i)*7*time.Minute)
			id := mail.NewQueueID(at)
			f := journal.Fact{At: at, Kind: journal.Accepted, QueueID: id, Customer: customer, Recipient: "a@there.example.test", HeaderFrom: "news@shop.example.test",
				Subject: fmt.Sprintf("Order %d", i), Score: 1.3, Detail: brief(map[string]float64{"SPF_PASS": -0.1, "MIME_HTML_ONLY": 1.3})}
			to := f
			to.Detail, to.Attempt, to.Provider, to.Kind = nil, 1, []string{"gmail", "orange", "default"}[i%3], journal.Delivered
			switch i % 10 {
			case 3:
				f.Kind = journal.Held
			case 5:
				late := to
				late.Kind = journal.Deferred
				facts = append(facts, late)
			case 7:
				to.Kind = journal.Bounced
			case 9:
				spam := to
				spam.Kind = journal.Complaint
				facts = append(facts, spam)
			}
			if facts = append(facts, f); f.Kind == journal.Accepted {
				facts = append(facts, to)
			}
		}
	}
	if err := g.Journal().Append(t.Context(), facts...); err != nil {
		t.Fatal(err)
	}
}

// TestFigurePages: overview, today and the pages of tests, in both languages, for those who may see them.
func TestFigurePages(t *testing.T) {
	t.Parallel()
	g := start(t)
	reader, operator, other := g.as(t, user.CustomerReader, "shop"), g.as(t, user.Operator, ""), g.as(t, user.CustomerAdmin, "boutique")

	expect(t, other.get(t, "/c/boutique"), "How to begin", "/c/boutique/domains", "/c/boutique/credentials")
	expect(t, other.get(t, "/c/boutique?lang=fr"), "Pour commencer")
	g.sent(t, "shop", 10, 40)
	g.hold(t, "Held for its tests")
	for _, days := range []string{"", "?days=1", "?days=30", "?days=90", "?days=12"} {
		page := reader.get(t, "/c/shop"+days)
		expect(t, page, "Messages taken", "Not delivered", "/c/shop/held", "One message is held", "<svg class=\"area\"", "<caption>Messages handed in</caption>", "Gmail")
		accessible(t, page)
	}
	page := reader.get(t, "/c/shop?lang=fr")
	expect(t, page, "Messages acceptés", "7 derniers jours", "Un message est retenu", "Résultats par fournisseur")
	accessible(t, page)
	if a := other.ask(t, "GET", "/c/shop", nil); a.status != 404 {
		t.Errorf("another customer's overview: %d", a.status)
	}
	for _, path := range []string{"/o", "/o/tests", "/o/tests/MIME_HTML_ONLY"} {
		if a := reader.ask(t, "GET", path, nil); a.status != 404 {
			t.Errorf("a customer's reader sees %s: %d", path, a.status)
		}
		for _, lang := range []string{"en", "fr"} {
			accessible(t, operator.get(t, path+"?lang="+lang))
		}
	}
	expect(t, operator.get(t, "/o?days=7"), "Today at a glance", "The Shop", "In the queue", "Who sends most")
	expect(t, operator.get(t, "/o/tests"), "MIME_HTML_ONLY", "Own points", "SPF_FAIL")
}

// TestPointsOfTests: an operator tries, sets and unsets points; what cannot be is refused beside its field; the changes are in the history.
func TestPointsOfTests(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.sent(t, "shop", 2, 30)
	operator, abuse := g.as(t, user.Operator, ""), g.as(t, user.CustomerAdmin, "shop")
	const at = "/o/tests/MIME_HTML_ONLY"
	page := operator.get(t, at+"?try=4")
	expect(t, page, "With &#43;4 points, on 6", "Would be stopped now", "Some that would be stopped", "Order ")
	if strings.Contains(operator.get(t, at+"?try=x"), "points, on 6") {
		t.Error("a trial without a number")
	}
	expect(t, operator.get(t, at+"?try=4&whose=nobody"), "no customer with this identifier")

	page = operator.must(t, at+"/points", url.Values{"points": {"2,5"}})
	expect(t, page, "now has &#43;2.5 points", "2.5 (before: its own)", "Give its own points back")
	page = operator.must(t, at+"/points", url.Values{"points": {"0"}, "customer": {"shop"}})
	expect(t, page, "The Shop", "0 (before: as everybody)")
	expect(t, operator.get(t, "/o/tests"), "one customer has other points")
	for name, form := range map[string]url.Values{"no number": {"points": {"many"}}, "no customer": {"points": {"1"}, "customer": {"nobody"}}, "too many": {"points": {"900"}}} {
		if a := operator.ask(t, "POST", at+"/points", form); a.status != 422 || !strings.Contains(a.body, `class="fault"`) {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	if a := operator.ask(t, "POST", "/o/tests/AWL/points", url.Values{"points": {"3"}}); a.status != 422 {
		t.Errorf("points of a test that makes its own: %d", a.status)
	}
	if a := operator.ask(t, "GET", "/o/tests/NO_SUCH", nil); a.status != 404 {
		t.Errorf("no such test: %d", a.status)
	}
	if a := abuse.ask(t, "POST", at+"/points", url.Values{"points": {"9"}}); a.status != 404 {
		t.Errorf("a customer sets points: %d", a.status)
	}
	page = operator.must(t, at+"/unset", url.Values{"customer": {"shop"}})
	expect(t, page, "no longer set")
	if p, ok := g.Accounts().Tuned("").Points("MIME_HTML_ONLY"); !ok || p != 2.5 {
		t.Errorf("points %v %v", p, ok)
	}
}

// TestOwnMailIsNotCounted: what the gateway tells a customer about his mail is not mail that he sent.
func TestOwnMailIsNotCounted(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.hold(t, "Your order 4711 has left")
	waitFor(t, "the notice about it, delivered", func() bool {
		found, err := g.Journal().Look(t.Context(), journal.Query{Customer: "shop", Kinds: []journal.Kind{journal.Delivered}, Limit: 10})
		return err == nil && len(found.Facts) > 0
	})
	f, err := g.Journal().Figures(t.Context(), journal.FiguresQuery{Customer: "shop", Step: journal.Day, From: time.Now().Add(-24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if taken, delivered := f.Sum(journal.Taken), f.Sum(journal.Figure(journal.Delivered)); taken != 1 || delivered != 0 {
		t.Errorf("%d taken, %d delivered", taken, delivered)
	}
	by, err := g.Journal().ByProvider(t.Context(), journal.FiguresQuery{Customer: "shop", Step: journal.Day, From: time.Now().Add(-24 * time.Hour)})
	if err != nil || len(by) != 0 {
		t.Errorf("by provider: %+v %v", by, err)
	}
}
