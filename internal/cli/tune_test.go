package cli_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
)

// moments are what changes from one run to the next.
var moments = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d`)

// builtIn are a test's own points as the column shows them.
func builtIn(test string) string {
	for _, x := range filter.Tests() {
		if x.Name == test {
			return fmt.Sprintf("%8v", x.Points)
		}
	}
	return "no test " + test
}

func TestTune(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	for _, tc := range []struct {
		args string
		code int
		says string
	}{
		{"scores list", 0, "Every test has its own points."},
		{"scores set SPF_NONE=0.5 DATE_IN_PAST=0", 0, "For everybody: DATE_IN_PAST 0, SPF_NONE 0.5; it counts from the next message on."},
		{"scores --customer shop set SPF_NONE=-1.25", 0, "For customer shop: SPF_NONE -1.25"},
		{"scores set --customer shop MISSING_MID=2", 0, "For customer shop: MISSING_MID 2"},
		{"scores list", 0, "TEST          POINTS  BUILT-IN  FOR        SET BY  SINCE\n" +
			"DATE_IN_PAST     off  " + builtIn("DATE_IN_PAST") + "  everybody  alice   NOW\n" +
			"SPF_NONE         0.5  " + builtIn("SPF_NONE") + "  everybody  alice   NOW\n" +
			"MISSING_MID        2  " + builtIn("MISSING_MID") + "  shop       alice   NOW\n" +
			"SPF_NONE       -1.25  " + builtIn("SPF_NONE") + "  shop       alice   NOW\n"},
		{"scores list --customer shop --all", 0, "SPF_PASS"},
		{"scores list --json --customer shop", 0, `{"test":"SPF_NONE","customer":"shop","points":-1.25,"default":` + strings.TrimSpace(builtIn("SPF_NONE")) + `,"group":"identity","origin":"database","by":"operator:alice"`},
		{"scores unset --customer shop MISSING_MID", 0, "For customer shop: MISSING_MID no longer set"},
		{"scores set --json SPF_FAIL=3", 0, `{"text":"for everybody: SPF_FAIL 3; it counts from the next message on","count":1}`},
		{"scores set SPF_FIAL=1", 2, "there is no test SPF_FIAL; did you mean SPF_FAIL"},
		{"scores set SPF_FAIL", 2, `"SPF_FAIL" is not TEST=POINTS`},
		{"scores set SPF_FAIL=x", 2, "is not TEST=POINTS"},
		{"scores set A=1 A=2", 2, "A is named twice"},
		{"scores set", 2, "needs TEST=POINTS"},
		{"scores unset NONE", 2, "NONE has no other points for everybody"},
		{"scores --customer nobody list", 2, "there is no customer"},
		{"scores", 2, "needs one of: list, set, unset"},
		{"", 2, "needs one of: scores, allow, deny, what-if"},

		{"allow list", 0, "The list is empty. To let through something"},
		{"allow add from:Post@Shop.example --until 2036-12-31 --note phone", 0, "from:post@shop.example is on the allow list for everybody until 2037-01-01 00:00"},
		{"allow add --customer shop client:192.0.2.7/24 credential:Web", 0, "client:192.0.2.0/24 is on the allow list for shop; it counts from the next message on\ncredential:web is on"},
		{"allow list", 0, "ENTRY                   FOR        UNTIL             MADE BY  SINCE             NOTE\n" +
			"from:post@shop.example  everybody  NOW  alice    NOW  phone\n" +
			"client:192.0.2.0/24     shop       -                 alice    NOW  \n" +
			"credential:web          shop       -                 alice    NOW  \n"},
		{"deny list", 0, "The list is empty. To hold or refuse something: postern tune deny add ENTRY"},
		{"deny add post@shop.example", 2, "expected from:post@shop.example or to:post@shop.example"},
		{"deny add to:x@y.example --until yesterday", 2, "--until yesterday is no end"},
		{"deny add to:x@y.example --until 30d --json", 0, `{"text":"to:x@y.example is on the deny list for everybody until`},
		{"deny list --json", 0, `{"kind":"deny","entry":"to:x@y.example","until":"`},
		{"deny remove to:x@y.example", 0, "to:x@y.example is off the deny list"},
		{"deny remove to:x@y.example", 2, "to:x@y.example is on no deny list for everybody"},
		{"allow remove --own --customer shop from:a@shop.example", 2, "is on no allow list for customer shop"},
		{"what-if", 2, "nothing would change"},
		{"what-if --score SPF_NONE=3", 1, "holds no message that was tested"},
		{"what-if --score SPF_NONE=3 --last 0", 2, "--last 0 is out of range; expected 1 to 100000"},
		{"what-if --score SPF", 2, "is not TEST=POINTS"},
		{"what-if --threshold 99", 2, "threshold"},
	} {
		code, out, errs := g.run(ctx, append([]string{"tune"}, strings.Fields(tc.args)...)...)
		text := moments.ReplaceAllString(out, "NOW")
		if code != tc.code || !strings.Contains(text+errs, tc.says) && !strings.Contains(out+errs, tc.says) || code == 0 && errs != "" {
			t.Errorf("tune %s: %d\n%s\n%s\nwant %s", tc.args, code, text, errs, tc.says)
		}
	}
	code, out, errs := g.run(ctx, "trace", "list:")
	if code != 0 || !strings.Contains(out, "deny list: to:x@y.example removed") || !strings.Contains(out, "alice") || strings.Contains(out, "Message ") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if code, out, errs = g.run(ctx, "trace", "--customer", "shop", "points"); code != 0 || !strings.Contains(out, "points of SPF_NONE: -1.25 (before: as everybody)") {
		t.Errorf("%d %s %s", code, out, errs)
	}
}

func TestTuneWhatIf(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	brief := journal.EncodeBrief(1.7, 3, func(yield func(string, float64) bool) { _ = yield("SPF_NONE", 1.2) && yield("DKIM_NONE", 0.5) })
	var facts []journal.Fact
	for i := range 250 {
		f := journal.Fact{Kind: journal.Accepted, At: g.now.Add(-time.Duration(i) * time.Minute), QueueID: mail.NewQueueID(g.now), Customer: "shop", Actor: "rule", HeaderFrom: "anna@shop.example",
			Recipient: "bob@remote.example", Subject: fmt.Sprintf("Order %d \x1b[31m", i), Score: 1.7, Detail: brief}
		if i%10 == 0 {
			f.Detail = nil
		}
		facts = append(facts, f)
	}
	if err := g.Journal().Append(ctx, facts...); err != nil {
		t.Fatal(err)
	}
	code, out, errs := g.run(ctx, "tune", "what-if", "--score", "SPF_NONE=3", "--last", "100")
	text := moments.ReplaceAllString(out, "NOW")
	for _, want := range []string{
		"Looked at      100 messages, NOW to NOW\n", "Open           10 (10.0 %)\n", "Stopped then   0\n", "Stopped now    90 (100.0 %)\n", "Newly stopped  90 (100.0 %)\n", "Newly passed   0\n",
		"CUSTOMER  MESSAGES  OPEN  THEN  NOW  NEWLY STOPPED  NEWLY PASSED\nshop           100    10     0   90             90             0\n",
		"20 of 90 messages that would be stopped now:\nQUEUE ID", "  1.7  3.5  anna@shop.example  Order 1 \uFFFD[31m\n",
	} {
		if code != 0 || !strings.Contains(text, want) {
			t.Errorf("%d, no %q in\n%s%s", code, want, text, errs)
		}
	}
	code, out, errs = g.run(ctx, "tune", "what-if", "--threshold", "5", "--json")
	var w map[string]any
	if err := json.Unmarshal([]byte(out), &w); code != 0 || err != nil || w["looked"] != 250.0 || w["newly_stopped"] != 0.0 {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if code, out, errs = g.run(ctx, "tune", "what-if", "--deny", "from-domain:shop.example"); code != 0 || !strings.Contains(out, "Newly stopped  225 (100.0 %)") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if code, out, errs = g.run(ctx, "tune", "what-if", "--no-deny", "from-domain:shop.example"); code != 0 || strings.Contains(out, "CUSTOMER") {
		t.Errorf("%d %s %s", code, out, errs)
	}
}
