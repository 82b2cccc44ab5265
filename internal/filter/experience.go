package filter

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"postern/internal/dkim"
	"postern/internal/learn"
	"postern/internal/mail"
)

// ledgerTime bounds a question to the ledger of experience: it is a database, and a slow one must not hold up mail.
const ledgerTime = 2 * time.Second

// checkBayes asks how like spam the message is, after what was learned. Too little experience is no answer and says nothing.
func checkBayes(ctx context.Context, s *scan) {
	if s.o.Classify == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerTime)
	defer cancel()
	r, err := s.o.Classify(ctx, s.Customer.ID, s.Message)
	if err != nil {
		s.o.Logger.Warn("experience not asked", "check", "bayes", "error", err)
		s.notMeasured("BAYES_50", "what was learned cannot be read now")
		return
	}
	if !r.Measured {
		return
	}
	s.bayes = true
	evidence := []string{fmt.Sprintf("%s %% like spam, by %d words and marks; learned from %d unwanted and %d wanted messages",
		percent(r.Probability), len(r.Clues), r.Spam, r.Ham)}
	for _, side := range []struct {
		text string
		spam bool
	}{{"known from unwanted mail: ", true}, {"known from wanted mail: ", false}} {
		if w := telling(r.Clues, side.spam); len(w) > 0 {
			evidence = append(evidence, side.text+strings.Join(w, ", "))
		}
	}
	for _, test := range learn.Classes(r.Probability) {
		s.hit(test, nil, evidence...)
	}
}

// percent is a probability that is never rounded to certainty.
func percent(p float64) string {
	x := math.Round(p*10000) / 100
	switch {
	case x == 100 && p < 1:
		return "over 99.99"
	case x == 0 && p > 0:
		return "under 0.01"
	}
	return fmt.Sprint(x)
}

// tellingWords is how many words of each side a verdict names.
const tellingWords = 8

// telling are the strongest words of the text that speak for one side: those that their author recognises.
func telling(clues []learn.Clue, spam bool) []string {
	var out []string
	for _, c := range clues {
		if (c.Probability > 0.5) != spam || strings.ContainsAny(c.Text, ":*") {
			continue
		}
		if w := strings.ToLower(c.Text); !slices.Contains(out, w) {
			out = append(out, w)
		}
		if len(out) == tellingWords {
			break
		}
	}
	return out
}

// checkReputation lets the sender's own past push the score towards its mean. It runs when all other tests are done.
func checkReputation(ctx context.Context, s *scan) {
	if s.o.Learn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerTime)
	defer cancel()
	points, n, err := s.o.Learn.Adjust(ctx, s.sender(ctx), s.behaviour())
	if err != nil {
		s.o.Logger.Warn("experience not asked", "check", "reputation", "error", err)
		s.notMeasured("AWL", "the sender's past cannot be read now")
		return
	}
	if points != 0 {
		way := "better"
		if points > 0 {
			way = "worse"
		}
		s.hitFor("AWL", points, nil, fmt.Sprintf("%d earlier messages of this sender scored %s than this one; it counts half of the difference, within bounds", n, way))
	}
}

// behaviour is the score that a sender answers for, and that his mean is made of: without what only the operator can mend, without
// the tests that compare him with his past already, which a good mean would forgive, and without the test string, which says nothing of
// anybody. It is whole thousandths: checks end in any order, and the last bit of a sum follows it.
func (s *scan) behaviour() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0.0
	for _, h := range s.hits {
		if !s.operator[h.Test] && h.Test != "AWL" && h.Test != "GTUBE" && !slices.Contains(countedTests, h.Test) && !decided(h.Test) {
			sum += h.Points
		}
	}
	return math.Min(MaxScore, thousandth(sum))
}

// sender is whose past counts. A login answers for him, or a valid signature that the message arrives with and that fits From:
// our own signature proves nothing, since every message of the customer gets it.
func (s *scan) sender(ctx context.Context) learn.Sender {
	out := learn.Sender{Customer: s.Customer.ID, ClientIP: s.ClientIP}
	for _, b := range s.Message.From() {
		if !b.Address.IsNull() {
			out.From = b.Address
			break
		}
	}
	if s.Credential != "" {
		out.Answers = "login:" + s.Credential
		return out
	}
	for _, sig := range s.dkimOf(ctx).signatures {
		if sig.Status == dkim.StatusPass && !sig.Expired && sameOrganization(sig.Domain, out.From.Domain) {
			out.Answers = "dkim:" + string(sig.Domain)
			break
		}
	}
	return out
}

// sameOrganization reports relaxed alignment, with the public suffix list instead of the tree walk: it may err on the strict side.
func sameOrganization(a, b mail.Domain) bool {
	if a == b {
		return a != ""
	}
	x, err := publicsuffix.EffectiveTLDPlusOne(string(a))
	if err != nil {
		return false
	}
	y, err := publicsuffix.EffectiveTLDPlusOne(string(b))
	return err == nil && x == y
}
