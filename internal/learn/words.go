package learn

import "strings"

// fieldShort abbreviates the names of fields that every message has (SpamAssassin's abbreviations).
var fieldShort = map[string]string{
	"message-id": "*M", "user-agent": "*u", "references": "*f", "in-reply-to": "*i", "from": "*F", "reply-to": "*R",
	"return-path": "*p", "x-mailer": "*x", "x-authentication-warning": "*a", "organization": "*o", "organisation": "*o",
	"content-type": "*ct", "content-disposition": "*cd", "content-transfer-encoding": "*ce",
}

// addressField are the fields that hold addresses, without X- and Resent- before them.
var addressField = set(`return-path from to cc reply-to errors-to mail-followup-to sender`)

// present are fields whose presence is all they tell.
var present = set(`x-face dkim-signature domainkey-signature x-google-dkim-signature arc-seal arc-message-signature
 arc-authentication-results x-pgp-key-fingerprint x-gpg-fingerprint x-gnupg-fingerprint autocrypt openpgp face`)

// ignoredFields tell nothing of a message, or tell it wrongly: dates (one corpus is older than the other), marks of lists and of
// other filters (who trains on them learns to repeat them), what reading a mailbox leaves behind, and the trace that this gateway
// itself puts on every message.
var ignoredFields = set(`date delivery-date delivered-to envelope-to x-envelope-to x-envelope-from sender x-sender subject lines content-length
 status x-status x-uid x-uidl x-flags x-keywords x-imap x-imapbase x-mozilla-status x-mozilla-status2 x-mozilla-keys replied forwarded xref
 x-loop x-beenthere x-mailman-version x-list mailing-list x-mailing-list x-mdmailing-list x-unsub x-unsubscribe mail-followup-to precedence
 x-egroups-return x-egroups-from thread-index thread-topic content-class x-originalarrivaltime x-originating-ip
 resent-from resent-to resent-date x-resent-from x-resent-to x-resent-date original-from original-to original-date x-original-from
 x-original-to x-original-date authentication-results received-spf x-received x-authentication-results x-rbl-warning x-virus-scanned
 x-virus-status x-scanned-by x-scanner x-filtered-by x-bogosity x-antispam x-spam spam x-pyzor x-smtpd x-perlmx-spam
 x-ripe-spam-status x-mass-check-id x-auto-response-suppress return-path bcc x-delivered-to apparently-to`)

// ignoredFamilies are the beginnings of names that other filters and servers use.
var ignoredFamilies = strings.Fields(`list- x-list- x-spam- x-postern- x-mailscanner x-dcc- x-razor- x-spamcop- x-barracuda- x-proofpoint- x-mimecast-
 x-ironport x-amavis x-rspamd x-canit x-ms-exchange- x-microsoft-antispam x-forefront- x-ms-has-attach x-ms-tnef x-gm- x-google- x-vm- x-gnus-
 x-bugzilla- x-kaspersky x-sophos x-avast x-antivirus x-clx- x-cmae- x-vade x-ovh- x-ham x-fid x-original-`)

// ignored reports whether a field is left out; name is in lower case.
func ignored(name string) bool {
	if ignoredFields[name] {
		return true
	}
	for _, f := range ignoredFamilies {
		if strings.HasPrefix(name, f) {
			return !present[name]
		}
	}
	return false
}

// stopWords stand in every text of their language, wanted or not: English and French.
var stopWords = set(`the and that this with for from you your yours are not have has had was were will would can could should been being
 but they them their there then than these those what when where which while who whom whose why how all any both each few more most other
 some such only own same too very just into onto out off over under again once here about after before because between during through until
 upon also its it's i'm don't you're we're did does doing his her hers him she our ours one two may might must much many make made like get
 got now new use used using even every well way back see come came know time year years work world web http https www mail mailing mailto
 email people place need right long look first number information without already able
 les des une aux par pas sur sont est été être ont avoir avec dans pour que qui quoi dont mais donc car son ses leur leurs mon mes ton tes
 notre nos votre vos nous vous ils elles elle lui eux cette ces cet ceci cela plus moins très tout tous toute toutes comme aussi bien fait
 faire sans sous entre vers chez même peut sera seront soit ainsi alors après avant encore toujours ici non oui lors afin depuis autre
 autres quand selon où`)

func set(words string) map[string]bool {
	m := make(map[string]bool)
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}
