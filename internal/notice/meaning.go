package notice

import (
	"strings"

	"postern/internal/spool"
)

// The meanings an answer can have for the person who wrote the message. Each is a pair of texts: notice.why.NAME.means and
// notice.why.NAME.act.
const (
	whyUserUnknown     = "user_unknown"
	whyDisabled        = "mailbox_disabled"
	whyMailboxFull     = "mailbox_full"
	whyMoved           = "moved"
	whyDomainUnknown   = "domain_unknown"
	whyNullMX          = "null_mx"
	whySenderRefused   = "sender_refused"
	whyPermission      = "permission"
	whyGreylisted      = "greylisted"
	whySlowed          = "slowed"
	whyReputation      = "reputation"
	whyAuthentication  = "authentication"
	whySpam            = "spam"
	whyVirus           = "virus"
	whyPolicy          = "policy"
	whyTooLarge        = "too_large"
	whyRecipients      = "too_many_recipients"
	whyContent         = "content_form"
	whyUTF8            = "international_address"
	whyTLS             = "tls"
	whyLoop            = "loop"
	whyExpired         = "expired"
	whyReceiverFull    = "receiver_full"
	whyReceiverTrouble = "receiver_trouble"
	whyUnreachable     = "unreachable"
	whyLost            = "connection_lost"
	whyDNS             = "dns_trouble"
	whyRelay           = "relay_denied"
	whyProtocol        = "protocol"
	whyOurs            = "our_trouble"
	whyTemporary       = "temporary"
	whyPermanent       = "permanent"
	whySuppressed      = "suppressed"
)

// byCategory are the categories of package provider that say what a text here says. Those that are wider than one text are not here.
var byCategory = map[string]string{
	"userunknown": whyUserUnknown, "suspend": whyDisabled, "mailboxfull": whyMailboxFull, "hasmoved": whyMoved, "blocked": whyReputation, "badreputation": whyReputation,
	"requireptr": whyReputation, "authfailure": whyAuthentication, "spamdetected": whySpam, "virusdetected": whyVirus, "policyviolation": whyPolicy,
	"mesgtoobig": whyTooLarge, "notcompliantrfc": whyContent, "contenterror": whyContent, "failedstarttls": whyTLS, "norelaying": whyRelay, "speeding": whySlowed,
	"toomanyconn": whySlowed, "systemfull": whyReceiverFull, "systemerror": whyReceiverTrouble, "mailererror": whyReceiverTrouble, "syntaxerror": whyProtocol,
}

// parties are those of package provider that have a text, notice.party.NAME.
var parties = map[string]bool{"sender-ip": true, "sender-domain": true, "config": true, "volume": true, "message": true, "recipient": true, "recipient-domain": true, "provider": true}

// why names what an answer means: as package provider says where a server answered and the category is as narrow as a text, else from code and words.
func (f Failure) why() string {
	if f.Category == whySuppressed {
		return whySuppressed
	}
	if why := byCategory[f.Category]; why != "" && f.Recipient.Host != "" {
		return why
	}
	return meaning(f.Recipient)
}

// byDetail reads the subject and detail of an enhanced status code (RFC 3463 and the IANA registry "SMTP Enhanced Status
// Codes"; 7.5xx to 7.7xx: Microsoft, "NDR codes in Exchange Online", read 2026-11) where they leave no doubt.
var byDetail = map[string]string{
	"1.1": whyUserUnknown, "1.3": whyUserUnknown, "1.4": whyUserUnknown, "1.2": whyDomainUnknown, "1.6": whyMoved,
	"1.7": whySenderRefused, "1.8": whySenderRefused, "1.9": whyRelay, "1.10": whyNullMX,
	"2.1": whyDisabled, "2.2": whyMailboxFull, "2.3": whyTooLarge, "2.4": whyPermission,
	"3.1": whyReceiverFull, "3.2": whyReceiverTrouble, "3.3": whyContent, "3.4": whyTooLarge, "3.5": whyReceiverTrouble,
	"4.1": whyUnreachable, "4.2": whyLost, "4.3": whyDNS, "4.4": whyUnreachable, "4.5": whySlowed, "4.6": whyLoop, "4.7": whyExpired,
	"5.1": whyProtocol, "5.2": whyProtocol, "5.3": whyRecipients, "5.4": whyProtocol, "5.6": whyTooLarge,
	"6.1": whyContent, "6.2": whyContent, "6.3": whyContent, "6.5": whyContent, "6.6": whyContent, "6.7": whyUTF8, "6.9": whyUTF8,
	"7.2": whyPermission, "7.4": whyTLS, "7.5": whyTLS, "7.10": whyTLS, "7.11": whyTLS, "7.30": whyTLS, "7.17": whyUserUnknown,
	"7.20": whyAuthentication, "7.21": whyAuthentication, "7.22": whyAuthentication, "7.23": whyAuthentication, "7.24": whyAuthentication,
	"7.25": whyReputation, "7.26": whyAuthentication, "7.27": whySenderRefused, "7.28": whySlowed, "7.29": whyAuthentication,
	"7.509": whyAuthentication, "7.515": whyAuthentication, "7.708": whyReputation, "7.750": whyReputation,
	"7.13": whyDisabled, "7.124": whyPermission, "7.133": whyPermission, "7.134": whyPermission, "7.136": whyPermission,
}

// byWords is asked, in order, where the code leaves doubt: most servers say 5.7.1, or no enhanced code at all, and put the
// reason into words.
var byWords = []struct {
	why   string
	words []string
}{
	{whyGreylisted, []string{"greylist", "graylist", "grey list", "greylisted", "postgrey", "liste grise"}},
	{whyVirus, []string{"virus", "malware", "infected", "trojan"}},
	{whyAuthentication, []string{"dmarc", "spf ", " spf", "dkim", "unauthenticated", "not authenticated by", "authentication-results"}},
	{whyReputation, []string{"spamhaus", "blocklist", "blacklist", "block list", "black list", "blocked using", "dnsbl", " rbl", "spamcop", "barracuda",
		"reputation", "senderscore", "s3140", "s3150", "banned sending ip", "your ip", "your network", "client host", "reverse dns", "rdns", "ptr record",
		"liste noire", "listed by", "ofr_"}},
	{whySlowed, []string{"rate limit", "ratelimit", "throttl", "too many connections", "too many messages", "too fast", "too quickly", "too much mail", "unusual rate",
		"trop de connexions", "temporarily deferred", "temporary deferred", "ts01", "ts02", "ts03"}},
	{whyMailboxFull, []string{"quota", "mailbox full", "mailbox is full", "inbox is full", "out of storage", "boite pleine", "boîte pleine"}},
	{whyTooLarge, []string{"too large", "too big", "size limit", "message size", "maximum size"}},
	{whyRelay, []string{"relaying denied", "relay access denied", "relay not permitted", "unable to relay", "not permitted to relay"}},
	{whyDisabled, []string{"disabled", "inactive", "suspended", "deactivated", "discontinued", "has expired", "no longer"}},
	{whyUserUnknown, []string{"user unknown", "unknown user", "no such user", "user not found", "does not exist", "doesn't exist", "unknown recipient",
		"no such recipient", "invalid recipient", "recipient not found", "recipient address rejected", "unknown address", "no mailbox", "mailbox not found",
		"mailbox unavailable", "unrouteable address", "invalid mailbox", "address unknown", "utilisateur inconnu", "adresse inconnue", "adresse d au moins un destinataire invalide"}},
	{whySenderRefused, []string{"sender address rejected", "sender rejected", "sender domain", "bad sender", "sender verify", "domain of sender"}},
	{whySpam, []string{"spam", "unsolicited", "bulk mail", "suspicious", "phishing"}},
	{whyTLS, []string{"starttls", "tls "}},
	{whyLoop, []string{"loop", "too many hops", "hop count"}},
	{whyPolicy, []string{"policy", "policies", "attachment", "content rejected", "message rejected", "access denied", "not allowed", "administrative prohibition"}},
}

// meaning names what the last answer to a recipient means. Without a Host nobody answered: the text is ours.
func meaning(r spool.Recipient) string {
	class, detail, _ := strings.Cut(r.Enhanced, ".")
	temporary := class == "4" || class == "" && r.Code/100 == 4
	text := strings.ToLower(r.Text)
	if r.Host == "" && strings.Contains(text, "this address has been suppressed") {
		return whySuppressed
	}
	if r.Host == "" && (detail == "3.0" || detail == "3.2") {
		return whyOurs
	}
	if detail == "4.4" && strings.Contains(text, "smarthost") {
		return whyOurs
	}
	if detail == "2.1" && temporary {
		// RFC 3463 X.2.1 is a disabled mailbox; with class 4 it is in use for "receives too fast" (Gmail, read 2026-11).
		return whySlowed
	}
	if strings.HasPrefix(detail, "7.6") && len(detail) == 5 { // Microsoft 7.606 to 7.649: banned sending IP
		return whyReputation
	}
	if why := byDetail[detail]; why != "" {
		return why
	}
	for _, w := range byWords {
		for _, word := range w.words {
			if strings.Contains(text, word) {
				return w.why
			}
		}
	}
	switch subject, _, _ := strings.Cut(detail, "."); {
	case subject == "1" && !temporary:
		return whyUserUnknown
	case subject == "6":
		return whyContent
	case subject == "7" && !temporary:
		return whyPolicy
	case (subject == "3" || subject == "4") && temporary:
		return whyReceiverTrouble
	case subject == "5" && !temporary:
		return whyProtocol
	}
	return byCode(r.Code, temporary)
}

// byCode is the last resort: the basic reply code (RFC 5321 4.2.3).
func byCode(code int, temporary bool) string {
	switch code {
	case 552:
		return whyMailboxFull
	case 452:
		return whyReceiverFull
	case 551:
		return whyMoved
	case 500, 501, 502, 503, 504, 555:
		return whyProtocol
	case 421, 451:
		return whyReceiverTrouble
	case 556:
		return whyNullMX
	}
	if temporary {
		return whyTemporary
	}
	return whyPermanent
}
