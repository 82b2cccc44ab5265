package rules

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The versions that conditions see: the SpamAssassin and the Perl whose behaviour is followed.
const (
	saVersion   = 4.000001
	perlVersion = 5.036
)

const saPrefix = "Mail::SpamAssassin::"

// defaultPlugins are those that SpamAssassin 4.0.1 loads from the .pre files it installs (Debian 12; rule compilation left out).
var defaultPlugins = []string{
	"URIDNSBL", "SPF", "Pyzor", "Razor2", "SpamCop", "AutoLearnThreshold", "WelcomeListSubject", "MIMEHeader", "ReplaceTags", "DKIM", "Check",
	"HTTPSMismatch", "URIDetail", "Bayes", "BodyEval", "DNSEval", "HTMLEval", "HeaderEval", "MIMEEval", "RelayEval", "URIEval", "WLBLEval",
	"VBounce", "ImageInfo", "FreeMail", "AskDNS", "HashBL", "DMARC",
}

// confFeatures are the feature_ and has_ functions of Mail::SpamAssassin::Conf 4.0.1.
var confFeatures = words(`feature_originating_ip_headers feature_dns_local_ports_permit_avoid feature_bayes_auto_learn_on_error
	feature_uri_host_listed feature_yesno_takes_args feature_bug6558_free feature_edns feature_dns_query_restriction
	feature_registryboundaries feature_geodb feature_dns_block_rule feature_compile_regexp feature_meta_rules_matching feature_subjprefix
	feature_bayes_stopwords feature_get_host feature_blocklist_welcomelist feature_welcomelist_blocklist feature_header_address_parser
	feature_local_tests_only feature_header_first_last feature_header_match_many feature_capture_rules has_tflags_nosubject
	has_tflags_nolog perl_min_version_5010000`)

// pluginFeatures are the has_ functions of the plugins above.
var pluginFeatures = map[string]map[string]bool{
	"AskDNS":     words("has_tag_header"),
	"BodyEval":   words("has_check_body_length has_plaintext_body_sig_ratio"),
	"DKIM":       words("has_arc"),
	"DNSEval":    words("has_tflags_domains_only has_tflags_ips_only"),
	"HashBL":     words("has_hashbl_bodyre has_hashbl_bodyre_num has_hashbl_emails has_hashbl_uris has_hashbl_ignore has_hashbl_email_regex has_hashbl_email_welcomelist has_hashbl_email_whitelist has_hashbl_tag has_hashbl_sha256 has_hashbl_attachments has_hashbl_email_domain has_hashbl_email_domain_alias"),
	"MIMEEval":   words("has_check_for_ascii_text_illegal has_check_abundant_unicode_ratio has_check_qp_ratio"),
	"MIMEHeader": words("has_all_header has_tflags_range has_tflags_concat has_tflags_multiple has_capture_rules"),
	"Pyzor":      words("has_fork has_perl"),
	"Razor2":     words("has_fork"),
	"SPF":        words("has_check_for_spf_errors has_check_spf_skipped_noenvfrom"),
	"URIDNSBL":   words("has_tflags_domains_only has_subtest_for_ranges has_uridnsbl_for_a has_uridnsbl_a_ns has_tflags_notrim has_uridnsbl_skip_mailto"),
	"URIDetail":  words("has_host_key"),
}

func words(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// condition evaluates the expression of an if line.
type condition struct {
	lex     []string
	at      int
	plugins map[string]bool
	compat  map[string]bool
	local   bool
	depth   int
}

func (p *parser) condition(text string) (bool, error) {
	lex, err := arithmetic(text)
	if err != nil {
		return false, err
	}
	c := condition{lex: lex, plugins: p.plugins, compat: p.compat, local: p.options.Local}
	v, err := c.binary(0)
	if err != nil {
		return false, err
	}
	if c.at < len(c.lex) {
		return false, fmt.Errorf("unexpected %q", c.lex[c.at])
	}
	return v != 0, nil
}

func (c *condition) peek() string {
	if c.at < len(c.lex) {
		return c.lex[c.at]
	}
	return ""
}

func (c *condition) binary(level int) (float64, error) {
	if c.depth++; c.depth > 2000 {
		return 0, errTooDeep
	}
	defer func() { c.depth-- }()
	if level == len(precedence) {
		return c.unary()
	}
	left, err := c.binary(level + 1)
	if err != nil {
		return 0, err
	}
	for operatorAt(level, c.peek()) {
		op := c.peek()
		c.at++
		right, err := c.binary(level + 1)
		if err != nil {
			return 0, err
		}
		left = apply(op, left, right)
	}
	return left, nil
}

func (c *condition) unary() (float64, error) {
	if c.depth++; c.depth > 2000 {
		return 0, errTooDeep
	}
	defer func() { c.depth-- }()
	token := c.peek()
	c.at++
	switch {
	case token == "":
		return 0, errors.New("the condition ends too early")
	case token == "!":
		v, err := c.unary()
		return truth(v == 0), err
	case token == "-":
		v, err := c.unary()
		return -v, err
	case token == "(":
		v, err := c.binary(0)
		if err != nil {
			return 0, err
		}
		if c.peek() != ")" {
			return 0, errors.New("a ) is missing")
		}
		c.at++
		return v, nil
	case token == "version":
		return saVersion, nil
	case token == "perl_version":
		return perlVersion, nil
	case token == "local_tests_only":
		return truth(c.local), nil
	case token == "plugin" || token == "can" || token == "has":
		return c.question(token)
	}
	if n, err := strconv.ParseFloat(token, 64); err == nil {
		return n, nil
	}
	return 0, fmt.Errorf("%q is not known in a condition", token)
}

// question answers plugin(X), can(X) and has(X).
func (c *condition) question(what string) (float64, error) {
	if c.peek() != "(" || c.at+2 >= len(c.lex) || c.lex[c.at+2] != ")" {
		return 0, fmt.Errorf("%s needs one argument in parentheses", what)
	}
	name := c.lex[c.at+1]
	c.at += 3
	if what == "plugin" {
		return truth(c.plugins[pluginName(name)]), nil
	}
	cut := strings.LastIndex(name, "::")
	if cut < 0 {
		return 0, fmt.Errorf("%s(%s): expected Package::function", what, name)
	}
	owner, function := name[:cut], name[cut+2:]
	if owner == saPrefix+"Conf" {
		compat, ok := strings.CutPrefix(function, "compat_")
		return truth(confFeatures[function] || ok && c.compat[compat]), nil
	}
	plugin := pluginName(owner)
	return truth(c.plugins[plugin] && pluginFeatures[plugin][function]), nil
}

// pluginName returns the short name of a plugin; two of them have had others.
func pluginName(name string) string {
	short := strings.TrimPrefix(name, saPrefix+"Plugin::")
	switch short {
	case "Dmarc":
		return "DMARC"
	case "WhiteListSubject":
		return "WelcomeListSubject"
	}
	return short
}
