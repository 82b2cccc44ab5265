package filter

import (
	"context"
	"slices"

	"postern/internal/learn"
)

// Group gathers tests on the pages that show them.
type Group string

// The groups of the catalogue.
const (
	GroupIdentity   Group = "identity"   // who sends: SPF, DKIM, DMARC, domains, reverse DNS
	GroupLists      Group = "lists"      // blocklists
	GroupHeader     Group = "header"     // the form of the header
	GroupContent    Group = "content"    // MIME and HTML
	GroupExperience Group = "experience" // what earlier mail taught
	GroupBehaviour  Group = "behaviour"  // what the sender does lately: volume, recipients, addresses
	GroupOpinion    Group = "opinion"    // what other scanners say
	GroupDanger     Group = "danger"     // our rules on fraud, phishing and abused scripts
	GroupSpam       Group = "spam"       // our rules on the marks of advertising nobody asked for
	GroupRules      Group = "rules"      // the operator's own rules
	GroupDecisions  Group = "decisions"  // what people decided: lists of allowed and denied senders
)

// Test is a row of the catalogue. Its name, explanation and fix in each language stand in package locale under
// "test.NAME.name", "test.NAME.explain" and "test.NAME.fix"; those of the operator's rules are what the rule says of itself.
type Test struct {
	Name     string
	Points   float64 // default; the configuration may replace it (filter.scores)
	Group    Group
	Operator bool // only the operator can act on it; the sender is told so
}

// check looks at one subject and reports hits of the tests it names.
type check struct {
	name    string
	tests   []string // what it may report: proved by a test
	network bool     // asks DNS: runs concurrently under the deadline
	run     func(ctx context.Context, s *scan)
}

// lateChecks look at what all others found, in the order of their numbers.
var lateChecks = map[string]int{"verdicts of rules": 1, "reputation": 2, "providers": 3, "decisions": 4}

// patient reports whether a check has a time of its own instead of the deadline.
func (c check) patient() bool { return c.name == "opinions" }

// late is 0, or the turn of a check that must wait for all others.
func (c check) late() int { return lateChecks[c.name] }

// Tests returns the catalogue in the order of its groups: the tests written here, and our own rules.
func Tests() []Test {
	tests := nativeTests()
	if own, err := ownBook(); err == nil {
		tests = append(tests, own.Tests()...)
	}
	return tests
}

// nativeTests are those that the checks below report.
func nativeTests() []Test {
	return slices.Concat([]Test{
		// As receivers see the sender. SPF: RFC 7208; the names are SpamAssassin's where it has one.
		{Name: "SPF_PASS", Points: -0.001, Group: GroupIdentity},
		{Name: "SPF_FAIL", Points: 3.5, Group: GroupIdentity},
		{Name: "SPF_SOFTFAIL", Points: 1.5, Group: GroupIdentity},
		{Name: "SPF_NEUTRAL", Points: 0.8, Group: GroupIdentity},
		{Name: "SPF_NONE", Points: 1.2, Group: GroupIdentity},
		{Name: "SPF_PERMERROR", Points: 2.0, Group: GroupIdentity},
		{Name: "SPF_HELO_PASS", Points: -0.001, Group: GroupIdentity, Operator: true},
		{Name: "SPF_HELO_FAIL", Points: 1.0, Group: GroupIdentity, Operator: true},
		{Name: "DKIM_SIGNED", Points: 0.1, Group: GroupIdentity},
		{Name: "DKIM_VALID", Points: -0.1, Group: GroupIdentity},
		{Name: "DKIM_VALID_AU", Points: -0.1, Group: GroupIdentity},
		{Name: "DKIM_INVALID", Points: 1.5, Group: GroupIdentity},
		{Name: "DKIM_NONE", Points: 0.5, Group: GroupIdentity},
		{Name: "DKIM_KEY_UNPUBLISHED", Points: 1.0, Group: GroupIdentity},
		{Name: "DMARC_PASS", Points: -0.1, Group: GroupIdentity},
		{Name: "DMARC_MISSING", Points: 0.5, Group: GroupIdentity},
		{Name: "DMARC_FAIL_NONE", Points: 1.0, Group: GroupIdentity},
		{Name: "DMARC_FAIL_QUARANTINE", Points: 2.5, Group: GroupIdentity},
		{Name: "DMARC_FAIL_REJECT", Points: 4.0, Group: GroupIdentity},
		{Name: "SENDER_DOMAIN_MISSING", Points: 4.0, Group: GroupIdentity},
		{Name: "SENDER_NO_MX_A", Points: 3.5, Group: GroupIdentity},
		{Name: "SENDER_NULL_MX", Points: 3.5, Group: GroupIdentity},
		{Name: "FROM_DOMAIN_MISSING", Points: 4.0, Group: GroupIdentity},
		{Name: "FROM_NO_MX_A", Points: 2.0, Group: GroupIdentity},
		{Name: "RCPT_DOMAIN_MISSING", Points: 3.5, Group: GroupIdentity},
		{Name: "RCPT_NO_MX_A", Points: 3.5, Group: GroupIdentity},
		{Name: "RCPT_NULL_MX", Points: 3.5, Group: GroupIdentity},
		{Name: "RDNS_NONE", Points: 2.4, Group: GroupIdentity, Operator: true},
		{Name: "RDNS_MISMATCH", Points: 1.5, Group: GroupIdentity, Operator: true},
		{Name: "HELO_MISMATCH", Points: 1.0, Group: GroupIdentity, Operator: true},
		{Name: "CLIENT_RDNS_NONE", Points: 0.8, Group: GroupIdentity},

		// Blocklists. An answer that refuses our resolver is never a listing and scores nothing.
		{Name: "EGRESS_LISTED", Points: 1.5, Group: GroupLists, Operator: true},
		{Name: "CLIENT_LISTED", Points: 2.5, Group: GroupLists},
		{Name: "DOMAIN_LISTED", Points: 4.0, Group: GroupLists},
		{Name: "URI_LISTED", Points: 3.5, Group: GroupLists},
		{Name: "RCVD_IN_DNSWL_BLOCKED", Points: 0, Group: GroupLists, Operator: true},
		{Name: "URIBL_BLOCKED", Points: 0, Group: GroupLists, Operator: true},

		// The header.
		{Name: "MULTIPLE_FROM_DOMAINS", Points: 3.5, Group: GroupHeader},
		{Name: "MISSING_FROM", Points: 3.5, Group: GroupHeader},
		{Name: "MISSING_DATE", Points: 1.4, Group: GroupHeader},
		{Name: "INVALID_DATE", Points: 1.1, Group: GroupHeader},
		{Name: "DATE_IN_FUTURE", Points: 1.5, Group: GroupHeader},
		{Name: "DATE_IN_PAST", Points: 0.3, Group: GroupHeader},
		{Name: "MISSING_MID", Points: 0.5, Group: GroupHeader},
		{Name: "MISSING_SUBJECT", Points: 1.0, Group: GroupHeader},
		{Name: "HEADER_MALFORMED", Points: 1.5, Group: GroupHeader},
		{Name: "HEADER_DUPLICATE", Points: 1.5, Group: GroupHeader},
		{Name: "HEADER_8BIT", Points: 0.7, Group: GroupHeader},

		// MIME and HTML. Points: SpamAssassin's with network tests and without Bayes where it has the test.
		{Name: "GTUBE", Points: 100, Group: GroupContent},
		{Name: "MIME_MALFORMED", Points: 1.5, Group: GroupContent},
		{Name: "HTML_MESSAGE", Points: 0.001, Group: GroupContent},
		{Name: "HTML_MIXED_CASE_TAG", Points: 1.0, Group: GroupContent},
		{Name: "HTML_IMAGE_ONLY_20", Points: 0.7, Group: GroupContent},
		{Name: "HTML_SHORT_LINK_IMG_3", Points: 0.328, Group: GroupContent},
		{Name: "HTML_TITLE_SUBJ_DIFF", Points: 2.171, Group: GroupContent},
		{Name: "MIME_HTML_ONLY", Points: 0.1, Group: GroupContent},
		{Name: "MIME_HTML_ONLY_MULTI", Points: 0.001, Group: GroupContent},
		{Name: "MPART_ALT_DIFF", Points: 0.724, Group: GroupContent},
		{Name: "T_REMOTE_IMAGE", Points: 0.01, Group: GroupContent},
		{Name: linkTextOther, Points: 0.5, Group: GroupContent},
		{Name: hostImitates, Points: 2.6, Group: GroupDanger},

		// Experience. Points of BAYES are measured (docs/operator/judgement.md); those of AWL are the message's own.
		{Name: "BAYES_00", Points: -1.9, Group: GroupExperience},
		{Name: "BAYES_05", Points: -0.5, Group: GroupExperience},
		{Name: "BAYES_20", Points: -0.001, Group: GroupExperience},
		{Name: "BAYES_40", Points: -0.001, Group: GroupExperience},
		{Name: "BAYES_50", Points: 0.3, Group: GroupExperience},
		{Name: "BAYES_60", Points: 1.0, Group: GroupExperience},
		{Name: "BAYES_80", Points: 2.0, Group: GroupExperience},
		{Name: "BAYES_95", Points: 2.5, Group: GroupExperience},
		{Name: "BAYES_99", Points: 3.3, Group: GroupExperience},
		{Name: "BAYES_999", Points: 0.4, Group: GroupExperience},
		{Name: "AWL", Points: 0, Group: GroupExperience},
	}, behaviourTests(), []Test{
		// Other scanners (opinion.go). A virus holds the message whatever the points; those of rspamd's word are the message's own, these are
		// where it would reject.
		{Name: virusFound, Points: 100, Group: GroupOpinion},
		{Name: rspamdSuspect, Points: DefaultFactor, Group: GroupOpinion},
		{Name: noOpinion, Points: 0, Group: GroupOpinion},

		// Lists (tuning.go). Points of the sender's own entries are the distance from his threshold to his ceiling.
		{Name: denyListed, Points: listPoints, Group: GroupDecisions, Operator: true},
		{Name: allowListed, Points: -listPoints, Group: GroupDecisions, Operator: true},
		{Name: customerAllowed, Points: 0, Group: GroupDecisions},
	})
}

// checks returns every check with the tests it may report.
func checks() []check {
	return []check{
		{"spf", []string{"SPF_PASS", "SPF_FAIL", "SPF_SOFTFAIL", "SPF_NEUTRAL", "SPF_NONE", "SPF_PERMERROR"}, true, checkSPF},
		{"helo", []string{"SPF_HELO_PASS", "SPF_HELO_FAIL"}, true, checkHELO},
		{"dkim", []string{"DKIM_SIGNED", "DKIM_VALID", "DKIM_VALID_AU", "DKIM_INVALID", "DKIM_NONE", "DKIM_KEY_UNPUBLISHED"}, true, checkDKIM},
		{"dmarc", []string{"DMARC_PASS", "DMARC_MISSING", "DMARC_FAIL_NONE", "DMARC_FAIL_QUARANTINE", "DMARC_FAIL_REJECT"}, true, checkDMARC},
		{"sender", []string{"SENDER_DOMAIN_MISSING", "SENDER_NO_MX_A", "SENDER_NULL_MX", "FROM_DOMAIN_MISSING", "FROM_NO_MX_A"}, true, checkSender},
		{"recipients", []string{"RCPT_DOMAIN_MISSING", "RCPT_NO_MX_A", "RCPT_NULL_MX"}, true, checkRecipients},
		{"reverse", []string{"RDNS_NONE", "RDNS_MISMATCH", "HELO_MISMATCH"}, true, checkReverseDNS},
		{"client", []string{"CLIENT_RDNS_NONE"}, true, checkClientReverse},
		{"lists", []string{"EGRESS_LISTED", "CLIENT_LISTED", "DOMAIN_LISTED", "URI_LISTED", "RCVD_IN_DNSWL_BLOCKED", "URIBL_BLOCKED"}, true, checkLists},
		{"opinions", []string{virusFound, rspamdSuspect, noOpinion}, true, checkOpinions},

		{"author", []string{"MISSING_FROM", "MULTIPLE_FROM_DOMAINS"}, false, checkAuthor},
		{"date", []string{"MISSING_DATE", "INVALID_DATE", "DATE_IN_FUTURE", "DATE_IN_PAST"}, false, checkDate},
		{"fields", []string{"MISSING_MID", "MISSING_SUBJECT"}, false, checkFields},
		{"defects", []string{"HEADER_MALFORMED", "HEADER_DUPLICATE", "HEADER_8BIT", "MIME_MALFORMED"}, false, checkDefects},
		{"gtube", []string{"GTUBE"}, false, checkGTUBE},
		{"html", []string{"HTML_MESSAGE", "HTML_MIXED_CASE_TAG", "HTML_IMAGE_ONLY_20", "HTML_SHORT_LINK_IMG_3", "T_REMOTE_IMAGE"}, false, checkHTML},
		{"title", []string{"HTML_TITLE_SUBJ_DIFF"}, false, checkTitle},
		{"structure", []string{"MIME_HTML_ONLY", "MIME_HTML_ONLY_MULTI"}, false, checkStructure},
		{"alternative", []string{"MPART_ALT_DIFF"}, false, checkAlternative},
		{"deceit", []string{linkTextOther, hostImitates}, false, checkDeceit},
		{"own sender", []string{"FROM_FOREIGN_DOMAIN", "ROLE_SENDER", "NOREPLY_SENDER"}, false, checkOwnSender},
		{"behaviour", countedTests, false, checkBehaviour},
		{"bayes", learn.AllClasses(), false, checkBayes},
		{"rules", nil, false, checkRules},
		{"verdicts of rules", nil, false, finishRules},
		{"reputation", []string{"AWL"}, false, checkReputation},
		{"providers", nil, false, checkReadiness},
		{"decisions", []string{allowListed, denyListed, customerAllowed}, false, checkDecisions},
	}
}
