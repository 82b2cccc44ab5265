package house

// Room is one package below internal/, with its floor, its purpose in one sentence and the rooms it may import.
type Room struct {
	Floor   string
	Name    string
	Purpose string
	May     []string // rooms; the standard library and the module's dependencies are not listed here
}

// Plan is the whole house, from the ground up. Mail flows intake -> filter -> spool -> delivery; what must travel backwards is
// written into a ledger by the later room and read there by the earlier one.
var Plan = []Room{
	{"0 Ground", "mail", "What travels: address, domain, envelope, header, MIME tree, rendered text, URIs, queue id. Parses once, judges nothing.", nil},
	{"0 Ground", "dns", "The one resolver: cache, limits, timeouts, three answers (found, nothing, try later), DNSSEC status.", nil},
	{"0 Ground", "store", "Opens SQLite or PostgreSQL, runs numbered migrations, transactions, wake-ups. Hides the dialect, knows no table's meaning.", nil},
	{"0 Ground", "locale", "French and English sentences, files per room and language, complete by test.", nil},
	{"0 Ground", "near", "How far apart two words are, so that a mistyped one is answered with what was meant.", nil},
	{"0 Ground", "tree", "Reads YAML into a tree in which every key and value knows its place. Knows no keys.", nil},

	{"1 Trades", "smtp", "The wire: replies, enhanced codes, limits, server session, client connection.", []string{"mail"}},
	{"1 Trades", "spf", "SPF (RFC 7208), thin over the library.", []string{"dns", "mail"}},
	{"1 Trades", "dkim", "DKIM (RFC 6376, 8463): verify, sign, keys and their records.", []string{"dns", "mail"}},
	{"1 Trades", "dmarc", "DMARC (RFC 9989): policy by tree walk, alignment.", []string{"dns", "mail"}},
	{"1 Trades", "dnsbl", "The directory of blocklists and one honest lookup in four states.", []string{"dns"}},
	{"1 Trades", "rules", "SpamAssassin's rule language: parse, compile, match; knows patterns, not policy.", []string{"mail"}},
	{"1 Trades", "opinion", "Asks another scanner about a message: clamd, rspamd. One question, one answer, no policy.", nil},
	{"1 Trades", "listen", "The life of a listener for other programs: who may connect, the sessions that are open, an end in order.", nil},
	{"1 Trades", "report", "Formats that come back: bounces, complaints, automatic answers, delivery status notifications; read and written.", []string{"mail"}},
	{"1 Trades", "provider", "Knowledge of receivers as data: who is behind an exchanger, limits, retry schedule, what an answer means.", []string{"locale", "mail", "tree"}},
	{"1 Trades", "returnpath", "Our own return addresses: made, signed, read back.", []string{"mail"}},

	{"1 Trades", "visitor", "Who sends a web request, told from outside in: his address behind a web server, his network, how often he may ask, what protects his browser.", nil},
	{"1 Trades", "password", "Passwords: argon2id for few at a time, and a gate that slows down who guesses.", nil},
	{"1 Trades", "compose", "Builds a message from parts (text, HTML, attachments, substitutions): values in, MIME out.", []string{"mail"}},

	{"1 Ledgers", "account", "Customers, networks, credentials, domains, keys, pools.", []string{"mail", "password", "store"}},
	{"1 Ledgers", "user", "People and programs that log in: roles, proofs, sessions, tokens, the audit log.", []string{"mail", "password", "store"}},
	{"1 Ledgers", "guess", "What guessing has shut: locks of names and networks, shared by nodes and kept over a restart.", []string{"password", "store"}},
	{"1 Ledgers", "spool", "The durable queue: put, claim, defer, settle, hold, release; survives a kill at any line.", []string{"mail", "store"}},
	{"1 Ledgers", "journal", "Append-only facts about messages and accounts, searchable, with retention.", []string{"mail", "store"}},
	{"1 Ledgers", "suppression", "Addresses that are not written to: why, on what evidence, until when.", []string{"mail", "store"}},
	{"1 Ledgers", "shaping", "Lanes, customers' shares, providers' limits, what is in force and why, warm-up. Speaks to nobody.", []string{"mail", "provider", "store"}},
	{"1 Ledgers", "tlspolicy", "What TLS a domain's mail must have (MTA-STS, DANE, REQUIRETLS, rules), and what came of it (TLS-RPT).", []string{"dns", "mail", "store"}},
	{"1 Ledgers", "learn", "What experience taught: Bayes tokens, sender reputation, how senders behave.", []string{"mail", "store"}},

	{"2 Works", "filter", "Runs the tests over one message, concurrently and within a deadline; returns a verdict 0..15 with hits, evidence and fixes.",
		[]string{"account", "dkim", "dmarc", "dns", "dnsbl", "learn", "locale", "mail", "near", "opinion", "rules", "spf", "store"}},
	{"2 Works", "notice", "Mail we write ourselves: held, delayed, failed (DSN), and the links in it.", []string{"account", "compose", "locale", "mail", "report", "spool"}},
	{"2 Works", "intake", "Takes mail in (25 relay, 465, 587), asks filter, spools, holds or refuses; acts on held mail.",
		[]string{"account", "dns", "filter", "journal", "mail", "notice", "smtp", "spool", "suppression"}},
	{"2 Works", "delivery", "Claims from the spool, signs, finds the MX, keeps the provider's rules, speaks to it, writes the outcome.",
		[]string{"account", "dkim", "dns", "journal", "mail", "near", "notice", "provider", "returnpath", "shaping", "smtp", "spool", "suppression", "tlspolicy"}},
	{"2 Works", "feedback", "Judges what comes back (answers, bounces, complaints): counts, suppresses, tells the sender. Its own small SMTP door.",
		[]string{"account", "journal", "learn", "locale", "mail", "notice", "provider", "report", "returnpath", "smtp", "suppression"}},
	{"2 Works", "webhook", "Tells programs of customers and operators each fact, signed, in order, retried, replayable.", []string{"dns", "journal", "mail", "store"}},
	{"2 Works", "checkup", "Looks at a domain, a sender address or an IP as receivers do, and says what to mend: findings with what was asked and found, and the records to publish.",
		[]string{"account", "dkim", "dmarc", "dns", "dnsbl", "locale", "mail", "near", "returnpath", "smtp", "spf", "tlspolicy"}},
	{"2 Works", "postmaster", "What providers publish about our addresses and domains: Microsoft SNDS, Google Postmaster Tools; imported, fetched, kept. Missing is unknown.",
		[]string{"locale", "mail", "report", "store"}},
	{"2 Works", "aggregate", "What receivers report about our domains: DMARC, failure and TLS reports, kept and summed: who sends as us, what passes.",
		[]string{"account", "dkim", "dmarc", "dns", "locale", "mail", "report", "spf", "store"}},
	{"2 Works", "reputation", "Watches our addresses and domains on blocklists: what was listed when; a dossier for each listing, with its causes and the way out.",
		[]string{"account", "checkup", "dns", "dnsbl", "journal", "locale", "mail", "postmaster", "provider", "store"}},
	{"2 Works", "alarm", "Tells the operator what he must know now: by mail, and by signed webhooks in a lane of their own.", []string{"locale", "mail", "notice", "store", "webhook"}},

	{"3 Faces", "portal", "The pages a sender or an operator sees.", []string{"account", "aggregate", "alarm", "checkup", "delivery", "dkim", "dnsbl", "feedback", "filter", "intake", "journal", "learn", "locale", "mail", "notice", "postmaster", "provider", "report", "reputation", "shaping", "spool", "suppression", "user", "visitor", "webhook"}},
	{"3 Faces", "api", "The same acts over HTTP and JSON: for programs with tokens, and on the operator's local socket.", []string{"account", "aggregate", "alarm", "checkup", "compose", "delivery", "dkim", "dnsbl", "feedback", "filter", "intake", "journal", "learn", "locale", "mail", "notice", "postmaster", "provider", "report", "reputation", "shaping", "spool", "store", "suppression", "user", "visitor", "webhook"}},
	{"3 Faces", "milter", "The filter as a service for Postfix and Sendmail: header fields, quarantine, refusals.", []string{"account", "filter", "listen", "mail"}},
	{"3 Faces", "spamd", "The filter as a service in SpamAssassin's protocol: for spamc, Exim, procmail.", []string{"account", "filter", "learn", "listen", "locale", "mail"}},
	{"3 Faces", "cli", "The same acts from a shell: through the running server's socket, or directly where no server is needed.",
		[]string{"account", "aggregate", "api", "app", "checkup", "config", "dkim", "dns", "dnsbl", "feedback", "locale", "mail", "postmaster", "provider", "report", "reputation", "shaping", "user", "world"}},

	{"4 Roof", "config", "Reads the YAML, refuses what it does not know, gathers each room's own settings.", []string{"account", "alarm", "dnsbl", "mail", "near", "opinion", "smtp", "tree"}},
	{"4 Roof", "app", "Builds every room, starts and stops them in order; the only place that knows all.",
		[]string{"account", "aggregate", "alarm", "api", "checkup", "config", "delivery", "dkim", "dns", "dnsbl", "feedback", "filter", "guess", "intake", "journal", "learn", "locale", "mail", "milter", "notice", "opinion", "portal", "postmaster", "provider", "report", "reputation", "returnpath", "rules", "shaping", "smtp", "spamd", "spool", "store", "suppression", "tlspolicy", "user", "webhook"}},
	{"4 Roof", "world", "A small internet on loopback: DNS, providers with their manners, senders. Used by `postern demo` and end-to-end tests.",
		[]string{"account", "app", "config", "dkim", "dmarc", "dns", "dnsbl", "journal", "locale", "mail", "smtp", "spf", "user"}},
	{"4 Roof", "house", "This plan and the test that enforces it.", nil},
}
