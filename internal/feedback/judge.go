package feedback

import "strings"

// Category says what an answer means, and so whose doing it is.
type Category string

// The categories.
const (
	Accepted    Category = "accepted"
	UnknownUser Category = "unknown user" // there is no such recipient, or his domain takes no mail: the sender's list is at fault
	Refused     Category = "refused"      // the message is refused for what it is: spam, a virus, a broken form
	Other       Category = "other"        // final, and nobody's doing that could be told: a block against us, a full mailbox, a missing record
	Temporary   Category = "temporary"    // to be tried again
)

// maxText bounds what is read of an answer. RFC 5321 4.5.3.1.5 allows 512 bytes a line.
const maxText = 2000

// Judge says what a server's answer means. enhanced is "" where there was none. Temporary answers are judged too, so far as they name
// an unknown user (450 4.1.1); whether the answer is final, the code tells.
func Judge(code int, enhanced, text string) Category {
	text = " " + strings.ToLower(text[:min(len(text), maxText)]) + " "
	_, subject, _ := strings.Cut(enhanced, ".")
	about := func(words []string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case code >= 200 && code < 300:
		return Accepted
	case code < 400 || code >= 600:
		return Temporary // no answer of RFC 5321: nothing is known
	}
	ours, mailbox := about(ourWords), about(mailboxWords)
	switch {
	case ours || mailbox || about(senderWords):
	case about(unknownWords), unknownSubjects[subject],
		about([]string{"mailbox unavailable"}) && (subject == "" || subject == "5.0" || strings.HasPrefix(subject, "1.")),
		about([]string{"access denied"}) && subject == "4.1": // Microsoft 365 for recipients that its directory does not know
		return UnknownUser
	}
	switch {
	case code < 500:
		return Temporary
	case !ours && !mailbox && (about(messageWords) || strings.HasPrefix(subject, "6.")):
		return Refused
	}
	return Other
}

// unknownSubjects are the enhanced codes, without their class, that say that there is no such recipient: mailbox (X.1.1), domain (X.1.2), moved without
// a new address (X.1.6; RFC 3463 3.2), a domain that takes no mail (X.1.10; RFC 7505 4.2).
var unknownSubjects = map[string]bool{"1.1": true, "1.2": true, "1.6": true, "1.10": true}

// unknownWords say that there is no such recipient.
var unknownWords = []string{
	"user unknown", "unknown user", "unknown recipient", "recipient unknown", "unknown mailbox", "unknown address", "address unknown", "unknown or illegal alias",
	"unknown local", "no such user", "no such recipient", "no such mailbox", "no such address", "no such person", "no mailbox here", "nosuchuser", "user not found",
	"recipient not found", "recipientnotfound", "mailbox not found", "address not found", "does not exist", "doesn't exist", "not a valid recipient",
	"not a known user", "not a valid mailbox", "invalid recipient", "invalid mailbox", "user doesn't have a", "user does not have a", "unrouteable address", "null mx",
	"destinataire invalide", "destinataire inconnu", "utilisateur inconnu", "adresse inconnue", "n'existe pas", "unbekannter empf",
}

// mailboxWords say that the recipient exists and cannot or does not want to take mail.
var mailboxWords = []string{
	"quota", "mailbox full", "mailbox is full", "mailbox for user is full", "out of storage", "boite du destinataire pleine", "boîte du destinataire pleine", "disabled",
	"suspended", "inactive mailbox", "account is inactive", "archived recipient", "account is blocked", "recipient preferences", "receiving mail too quickly",
	"rate that prevents", "delivery not authorized",
}

// senderWords say that the answer is about who sends, not about who should get it.
var senderWords = []string{
	"invalid sender", "emetteur invalide", "émetteur invalide", "sender address rejected", "sender rejected", "sender domain", "from domain", "mailfrom domain", "mail from domain",
	"bad outbound sender", "banned sender", "sender verify", "mail from",
}

// ourWords say that the answer is about us: our addresses, our pace, our records. They weigh more than anything else in a text.
var ourWords = []string{
	"your ip", "ip address", "from ip", "because the ip", "sending ip", "source ip", "client host", "host network", "[ip]", "?ip=", "ip blacklisted", "adresse ip",
	"ip/", "ip frequency", "ip / sender", "blocked using", "blocked by", "block list", "blocklist", "blacklist", "black list", "listed in", "banned", "spamhaus", "spamcop",
	"barracudacentral", "senderscore", "dnsbl", "csi.cloudmark", "ipcheck.", "uribl.com/refused", "reputation", "bloques", "bloqué", "abus detecte",
	"open relay", "open resolver", "excessive", "too many", "too fast", "too quickly", "rate limit", "unusual rate", "frequency limited", "connection", "connexion", "throttl",
	"reverse dns", "ptr record", " ptr ", "rdns", "helo", "ehlo", "spf", "sender policy framework", "dkim", "dmarc", "authenticat", "tls", "certificate", "greylist", "ipv6",
	"bad behavior", "relay access denied", "relaying denied", "not permitted to relay", "local policy", "access denied, spam abuse",
}

// messageWords say that the message is refused for what it is. Codes of Orange and La Poste: postmaster pages and logs, read 2026-09.
var messageWords = []string{
	"spam detected", "spam policy", "is spam", "as spam", "likely spam", "looks like spam", "considered spam", "spam message", "spam content", "spamsignature", "dt:spm",
	"unsolicited mail", "content rejected", "message content", "suspicious due to", "virus", "malware", "security issue", "rfc 5322", "rejected for policy reason",
	"accepted for policy", "mail rejected.", "mail rejete", "_506", "_536", "lpn007_510", "phishing",
}
