package rules

import (
	"errors"
	"fmt"
	"strconv"
)

// evalFunc is one function that rules call with eval:.
type evalFunc struct {
	run     func(c *scan, r *Rule) bool
	check   func(args []string) error // looks at the arguments when rules are loaded; nil: any
	pattern int                       // number of the argument that is a pattern without delimiters, from 1; 0: none
}

// evals are the functions there are, by name.
var evals = joinEvals(htmlEvals, mimeEvals, headerEvals, forgedEvals, bodyEvals, freemailEvals, relayEvals, listEvals, imageEvals)

func joinEvals(families ...map[string]evalFunc) map[string]evalFunc {
	all := map[string]evalFunc{}
	for _, f := range families {
		for name, fn := range f {
			all[name] = fn
		}
	}
	return all
}

// networkEvals are functions that ask the network or another service, or need what the network said (SPF, DKIM, DMARC).
var networkEvals = words(`check_uridnsbl check_razor2 check_razor2_range check_pyzor check_dcc check_dcc_reputation_range check_hashbl_emails
	check_hashbl_uris check_hashbl_bodyre check_hashbl_tag check_hashbl_attachments check_bayes
	check_for_spf_pass check_for_spf_neutral check_for_spf_none check_for_spf_fail check_for_spf_softfail check_for_spf_permerror
	check_for_spf_temperror check_for_spf_helo_pass check_for_spf_helo_neutral check_for_spf_helo_none check_for_spf_helo_fail
	check_for_spf_helo_softfail check_for_spf_helo_permerror check_for_spf_helo_temperror check_for_spf_welcomelist_from
	check_for_def_spf_welcomelist_from check_for_spf_whitelist_from check_for_def_spf_whitelist_from check_spf_skipped_noenvfrom
	check_dkim_signed check_dkim_valid check_dkim_valid_author_sig check_dkim_valid_envelopefrom check_dkim_testing check_dkim_adsp
	check_dkim_dependable check_dkim_signall check_dkim_signsome check_for_dkim_welcomelist_from check_for_def_dkim_welcomelist_from
	check_for_dkim_whitelist_from check_for_def_dkim_whitelist_from check_arc_signed check_arc_valid
	check_dmarc_pass check_dmarc_none check_dmarc_missing check_dmarc_reject check_dmarc_quarantine check_asn`)

// need checks the number of arguments.
func need(low, high int) func([]string) error {
	return func(args []string) error {
		if len(args) < low || len(args) > high {
			return fmt.Errorf("takes %d to %d arguments, has %d", low, high, len(args))
		}
		return nil
	}
}

// arg returns an argument as it stands, "" if there is none.
func (r *Rule) arg(n int) string {
	if n < len(r.args) {
		return r.args[n]
	}
	return ""
}

// num returns an argument as a number, 0 if it is none.
func (r *Rule) num(n int) float64 {
	f, _ := strconv.ParseFloat(r.arg(n), 64)
	return f
}

// unbounded reports that an upper bound is not given.
func (r *Rule) unbounded(n int) bool {
	s := r.arg(n)
	return s == "" || s == "undef" || s == "inf"
}

// between checks low < x <= high by two arguments.
func (r *Rule) between(x float64, low, high int) bool {
	return x > r.num(low) && (r.unbounded(high) || x <= r.num(high))
}

var errComparison = errors.New("expected a comparison such as \"> 10\"")

// compare evaluates x against "> 10", "!= 0"…
func compare(x float64, text string) (bool, error) {
	lex, err := arithmetic(text)
	if err != nil || len(lex) < 2 {
		return false, errComparison
	}
	sign := 1.0
	if len(lex) == 3 && lex[1] == "-" {
		sign = -1
	} else if len(lex) != 2 {
		return false, errComparison
	}
	n, err := strconv.ParseFloat(lex[len(lex)-1], 64)
	if err != nil {
		return false, errComparison
	}
	switch lex[0] {
	case "<", ">", "<=", ">=", "==", "!=":
		return apply(lex[0], x, sign*n) != 0, nil
	}
	return false, errComparison
}
