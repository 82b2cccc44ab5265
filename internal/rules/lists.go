package rules

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// lists are the data that rule files carry for eval functions.
type lists struct {
	tlds, secondLevel, thirdLevel map[string]bool
	freemail                      map[string]bool
	freemailGlobs                 []string
	freemailWelcome               map[string]bool
	addresses                     map[string][]string            // list -> address globs, lower case
	received                      map[string]map[string][]string // list -> address glob -> relay domains
	hosts                         map[string]map[string]bool     // list -> host -> listed (false: excepted)
	redirectors                   []*matcher
	originating                   []string // originating_ip_headers
	entries                       int
}

func newLists() *lists {
	return &lists{tlds: map[string]bool{}, secondLevel: map[string]bool{}, thirdLevel: map[string]bool{}, freemail: map[string]bool{},
		freemailWelcome: map[string]bool{}, addresses: map[string][]string{}, received: map[string]map[string][]string{},
		hosts: map[string]map[string]bool{}}
}

// addressLists are directives that add address globs to a list; the value is the list's name.
var addressLists = map[string]string{
	"welcomelist_from": "welcomelist_from", "whitelist_from": "welcomelist_from",
	"blocklist_from": "blocklist_from", "blacklist_from": "blocklist_from",
	"welcomelist_to": "welcomelist_to", "whitelist_to": "welcomelist_to",
	"blocklist_to": "blocklist_to", "blacklist_to": "blocklist_to",
	"more_spam_to": "more_spam_to", "all_spam_to": "all_spam_to",
	"welcomelist_bounce_relays": "welcomelist_bounce_relays", "whitelist_bounce_relays": "welcomelist_bounce_relays",
	"welcomelist_allows_relays": "welcomelist_allows_relays", "whitelist_allows_relays": "welcomelist_allows_relays",
	"welcomelist_auth": "welcomelist_auth", "whitelist_auth": "welcomelist_auth",
	"def_welcomelist_auth": "def_welcomelist_auth", "def_whitelist_auth": "def_welcomelist_auth",
	"welcomelist_from_dkim": "welcomelist_from_dkim", "whitelist_from_dkim": "welcomelist_from_dkim",
	"def_welcomelist_from_dkim": "def_welcomelist_from_dkim", "def_whitelist_from_dkim": "def_welcomelist_from_dkim",
	"welcomelist_from_spf": "welcomelist_from_spf", "whitelist_from_spf": "welcomelist_from_spf",
	"def_welcomelist_from_spf": "def_welcomelist_from_spf", "def_whitelist_from_spf": "def_welcomelist_from_spf",
}

// receivedLists are directives with an address glob and the domain of the relay it must come from.
var receivedLists = map[string]string{
	"welcomelist_from_rcvd": "welcomelist_from_rcvd", "whitelist_from_rcvd": "welcomelist_from_rcvd",
	"def_welcomelist_from_rcvd": "def_welcomelist_from_rcvd", "def_whitelist_from_rcvd": "def_welcomelist_from_rcvd",
}

var otherLists = words(`util_rb_tld util_rb_2tld util_rb_3tld clear_util_rb freemail_domains freemail_welcomelist freemail_whitelist
	enlist_uri_host delist_uri_host blocklist_uri_host blacklist_uri_host welcomelist_uri_host whitelist_uri_host enlist_addrlist
	redirector_pattern originating_ip_headers clear_originating_ip_headers`)

// ignored are directives that are understood and of no use here: data of network tests, settings, texts of reports.
var ignored = words(`uridnsbl uridnssub urirhsbl urirhssub urinsrhsbl urinsrhssub urifullnsrhsbl urifullnsrhssub uridnsbl_skip_domain
	uridnsbl_skip_mailto uridnsbl_timeout dns_block_rule dns_query_restriction dns_local_ports_avoid dns_local_ports_permit dns_local_ports_none
	clear_dns_query_restriction adsp_override bayes_ignore_header bayes_ignore_from bayes_ignore_to bayes_auto_learn
	bayes_auto_learn_threshold_spam bayes_auto_learn_threshold_nonspam bayes_auto_expire use_bayes use_bayes_rules url_shortener
	url_shortener_get clear_url_shortener report unsafe_report report_safe report_contact report_hostname clear_report_template
	clear_unsafe_report_template add_header remove_header clear_headers rewrite_header required_score required_hits ok_locales
	ok_languages inactive_languages asn_lookup asn_lookup_ipv6 fns_check fns_ignore_headers fns_ignore_dkim subjprefix 
	 lang hashbl_ignore
	razor_config pyzor_options use_razor2 use_pyzor dns_available skip_rbl_checks time_limit 
	version_tag score_set 
	 freemail_add_describe_email
	 auto_welcomelist_path
	auto_whitelist_path use_auto_welcomelist use_auto_whitelist use_txrep txrep_factor`)

// unfollowed are settings that would change what rules find and that are not followed here; each is reported.
var unfollowed = words(`trusted_networks clear_trusted_networks internal_networks clear_internal_networks msa_networks clear_msa_networks
	shortcircuit normalize_charset unwelcomelist_from unwhitelist_from welcomelist_subject whitelist_subject blocklist_subject
	blacklist_subject freemail_max_body_emails freemail_max_body_freemails freemail_skip_when_over_max freemail_skip_bulk_envfrom
	freemail_import_welcomelist_auth freemail_import_def_welcomelist_auth envelope_sender_header`)

func (l *lists) holds(word string) bool {
	return otherLists[word] || addressLists[word] != "" || receivedLists[word] != ""
}

// take stores the value of a list directive.
func (l *lists) take(word, value string) error {
	if ignored[word] || strings.HasPrefix(word, "bayes_stopword_") {
		return nil
	}
	fields := strings.Fields(strings.ToLower(value))
	if l.entries += len(fields); l.entries > maxListEntries {
		return errors.New("the lists hold too many entries; this line is not read")
	}
	if list := addressLists[word]; list != "" {
		l.addresses[list] = append(l.addresses[list], fields...)
		return nil
	}
	if list := receivedLists[word]; list != "" {
		if len(fields) < 2 {
			return errors.New("needs an address and the domain of its relay")
		}
		if l.received[list] == nil {
			l.received[list] = map[string][]string{}
		}
		l.received[list][fields[0]] = append(l.received[list][fields[0]], fields[1])
		return nil
	}
	switch word {
	case "util_rb_tld":
		addAll(l.tlds, fields)
	case "util_rb_2tld":
		addAll(l.secondLevel, fields)
	case "util_rb_3tld":
		addAll(l.thirdLevel, fields)
	case "clear_util_rb":
		l.clearRegistry(fields)
	case "freemail_domains":
		for _, d := range fields {
			if strings.ContainsAny(d, "*?") {
				l.freemailGlobs = append(l.freemailGlobs, d)
			} else {
				l.freemail[d] = true
			}
		}
	case "freemail_welcomelist", "freemail_whitelist":
		addAll(l.freemailWelcome, fields)
	case "redirector_pattern":
		return l.redirector(value)
	case "originating_ip_headers":
		l.originating = append(l.originating, strings.Fields(value)...)
	case "clear_originating_ip_headers":
		l.originating = nil
	default:
		return l.enlist(word, value)
	}
	return nil
}

func addAll(m map[string]bool, words []string) {
	for _, w := range words {
		m[strings.Trim(w, ".")] = true
	}
}

func (l *lists) clearRegistry(which []string) {
	if len(which) == 0 || hasWord(which, "all") {
		which = []string{"tld", "2tld", "3tld"}
	}
	for _, w := range which {
		switch strings.TrimPrefix(w, "util_rb_") {
		case "tld":
			clear(l.tlds)
		case "2tld":
			clear(l.secondLevel)
		case "3tld":
			clear(l.thirdLevel)
		}
	}
}

var enlistName = regexp.MustCompile(`^\(\s*([A-Za-z0-9_]+)\s*\)\s*(.*)$`)

// enlist reads "enlist_uri_host (LIST) host !host" and its short forms, and "enlist_addrlist (LIST) address".
func (l *lists) enlist(word, value string) error {
	list, rest := "", value
	switch word {
	case "blocklist_uri_host", "blacklist_uri_host":
		list = "BLOCK"
	case "welcomelist_uri_host", "whitelist_uri_host":
		list = "WELCOME"
	default:
		m := enlistName.FindStringSubmatch(value)
		if m == nil {
			return fmt.Errorf("%s needs the name of a list in parentheses", word)
		}
		list, rest = m[1], m[2]
	}
	entries := strings.Fields(strings.ToLower(rest))
	if word == "enlist_addrlist" {
		l.addresses[list] = append(l.addresses[list], entries...)
		return nil
	}
	if l.hosts[list] == nil {
		l.hosts[list] = map[string]bool{}
	}
	for _, e := range entries {
		host := strings.TrimPrefix(e, "!")
		if word == "delist_uri_host" {
			delete(l.hosts[list], host)
			continue
		}
		l.hosts[list][host] = host == e
	}
	return nil
}

// redirector takes a pattern whose first group is the target of a redirecting URL.
func (l *lists) redirector(value string) error {
	src, err := delimited(value)
	if err != nil {
		return err
	}
	if len(l.redirectors) >= 1000 {
		return errTooLong
	}
	m, err := compileMatcher(src.text, src.flags)
	if err != nil {
		return fmt.Errorf("the pattern cannot be used: %w", err)
	}
	l.redirectors = append(l.redirectors, m)
	return nil
}

// inList matches an address against the globs of a list.
func (l *lists) inList(list, address string) bool {
	address = strings.ToLower(address)
	for _, glob := range l.addresses[list] {
		if glob == address || globMatch(glob, address) {
			return true
		}
	}
	return false
}
