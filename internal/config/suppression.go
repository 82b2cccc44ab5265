package config

import "time"

// Suppression says what becomes of addresses that take no mail.
type Suppression struct {
	Enabled bool            `key:"enabled"`
	AtRcpt  string          `key:"at_rcpt"`
	Keep    SuppressionKeep `key:"keep"`
}

// SuppressionKeep is how long an address stays on the list, by reason; 0 until it is lifted.
type SuppressionKeep struct {
	MailboxFull time.Duration `key:"mailbox_full"`
	Suspended   time.Duration `key:"suspended"`
	Unwilling   time.Duration `key:"unwilling"`
	UnknownUser time.Duration `key:"unknown_user"`
	NoMail      time.Duration `key:"no_mail"`
}

func suppressionKeys() []Key {
	keep := func(name, def, doc string) Key {
		return Key{Path: "suppression.keep." + name, Default: def, Unit: timeUnit, Min: "0s", Max: "3650d", Doc: doc}
	}
	return []Key{
		{Path: "suppression", Doc: "Addresses that are not written to, because they take no mail. Answers that mean a block against this gateway never put one on the list."},
		{Path: "suppression.enabled", Default: "true", Doc: "The list is in force. false: it is kept, and everybody is written to."},
		{Path: "suppression.at_rcpt", Default: "refuse", Enum: []string{"refuse", "accept"}, Doc: "What a sender's software hears of such a recipient: refuse tells it at once, with the reason; accept takes the message, does not send it to this recipient, and tells by a bounce. For software that gives up a whole message when one recipient is refused."},
		{Path: "suppression.keep", Doc: "How long an address stays on the list after the last answer of the kind. 0s: until somebody lifts it, as with complaints and what people put there."},
		keep("mailbox_full", "14d", "Its mailbox was full on three different days."),
		keep("suspended", "90d", "Its mailbox was closed or archived, heard on two different days."),
		keep("unwilling", "180d", "The recipient's own settings refuse the sender, heard on two different days."),
		keep("unknown_user", "365d", "There is no such recipient."),
		keep("no_mail", "30d", "The domain does not exist or takes no mail, heard on two different days."),
	}
}
