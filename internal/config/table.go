package config

// Key is one row of the table: everything there is to know about a configuration key but its Go field.
type Key struct {
	// Path is the dotted key; "[]" stands for a list's items, "*" for the names of a mapping chosen freely.
	Path string
	// Default is YAML; "" = empty.
	Default string
	// Unit or form of the value, for people; "" when the type says it.
	Unit string
	// Enum lists the allowed values.
	Enum []string
	// Min and Max bound a number, time or size, written as its value would be.
	Min, Max string
	// Doc says what it means, in full sentences.
	Doc string
	// Sample is YAML to show in the example where Default is empty.
	Sample string
	// Required in the item it stands in.
	Required bool
	// Restart: a change takes effect at the next start only.
	Restart bool
}

const (
	addressUnit = "address:port, or a list of them; [] = off"
	timeUnit    = "time"
	sizeUnit    = "size"
)

// Table returns every key in the order of the example.
func Table() []Key {
	var all []Key
	for _, part := range [][]Key{generalKeys(), listenKeys(), serviceListenKeys(), tlsKeys(), limitKeys(), customerKeys(), filterKeys(), blocklistKeys(), deliveryKeys(), suppressionKeys(), domainKeys(), signalKeys(), reportKeys(), reputationKeys(), checkupKeys(), apiKeys(), otherKeys(), serviceKeys()} {
		all = append(all, part...)
	}
	return all
}

func generalKeys() []Key {
	return []Key{
		{Path: "hostname", Unit: "host name", Sample: "gate.example.org", Restart: true, Doc: "The name Postern says to servers and clients. It must resolve to the addresses mail leaves from, and they back to it. Empty: the machine's own name."},
		{Path: "data_dir", Default: "/var/lib/postern", Unit: "folder", Restart: true, Doc: "Where databases, message bodies and the self-made certificate live. Must be readable by Postern's user only."},
		{Path: "storage", Doc: "Where state is kept."},
		{Path: "storage.url", Unit: "URL without password", Sample: "postgres://postern@db.example.org/postern", Restart: true, Doc: "Empty: SQLite files in data_dir, the right choice for one machine. Or a PostgreSQL database, for several."},
		{Path: "storage.password_file", Unit: "file", Sample: "/etc/postern/db-password", Restart: true, Doc: "File with the database password."},
		{Path: "storage.reserve", Default: "0B", Unit: sizeUnit, Min: "0B", Max: "1TiB", Restart: true, Doc: "Free space of data_dir's file system below which new mail is refused for a while (452), so that deliveries and databases keep room; taken again at twice that. 0B: 5 % of the file system, at least 1 GiB, at most 4 GiB."},
		{Path: "log", Doc: "The operator's log, on standard error."},
		{Path: "log.level", Default: "info", Enum: []string{"debug", "info", "warn", "error"}, Doc: "The least that is written. debug contains mail addresses."},
		{Path: "log.format", Default: "text", Enum: []string{"text", "json"}, Restart: true, Doc: "One line each, for people or for machines."},
	}
}

func listenKeys() []Key {
	newline := func(path, doc string) Key {
		return Key{Path: path, Default: "reject", Enum: []string{"reject", "normalize"}, Restart: true, Doc: doc}
	}
	return []Key{
		{Path: "listen", Doc: "Where Postern accepts connections. Delivery to other servers always goes to their port 25 and is not set here."},
		{Path: "listen.relay", Doc: "SMTP for machines known by their address: customers' networks. Nobody else may send here."},
		{Path: "listen.relay.address", Default: "127.0.0.1:2525", Unit: addressUnit, Restart: true, Doc: "Usual on a real gateway: port 25."},
		newline("listen.relay.bare_newline", "What happens to message lines that end in a bare CR or LF (a way to smuggle messages): the message is refused, or they are turned into CRLF before anything else looks at it. normalize is for old applications on your own machines."),
		{Path: "listen.submission", Doc: "SMTP for people and applications with user name and password, with STARTTLS. A password is always needed."},
		{Path: "listen.submission.address", Default: "127.0.0.1:2587", Unit: addressUnit, Restart: true, Doc: "Usual on a real gateway: port 587. Off loopback this needs a certificate."},
		newline("listen.submission.bare_newline", "As in listen.relay."),
		{Path: "listen.submissions", Doc: "The same with TLS from the first byte."},
		{Path: "listen.submissions.address", Default: "127.0.0.1:2465", Unit: addressUnit, Restart: true, Doc: "Usual on a real gateway: port 465. Off loopback this needs a certificate."},
		newline("listen.submissions.bare_newline", "As in listen.relay."),
		{Path: "listen.bounces", Default: "[]", Unit: addressUnit, Restart: true, Doc: "SMTP for what comes back to the return addresses of delivery.return_path, from anybody, and for nothing else. Usual on a real gateway: port 25 of an address that listen.relay does not use, or off, with delivery.return_path.at_relay."},
		{Path: "listen.web", Default: "127.0.0.1:8025", Unit: addressUnit, Restart: true, Doc: "The portal, without TLS: put a web server with HTTPS before it and tell its address in web.base_url."},
		{Path: "listen.metrics", Default: "127.0.0.1:9025", Unit: addressUnit, Restart: true, Doc: "Prometheus metrics and health answers. No password: keep it local."},
		{Path: "listen.admin_socket", Unit: "file", Sample: "/run/postern/admin.sock", Restart: true, Doc: "The socket `postern queue` and its like talk to. Who may open it is the operator. Empty: admin.sock in data_dir."},
	}
}

func tlsKeys() []Key {
	return []Key{
		{Path: "tls", Doc: "The certificate shown to clients."},
		{Path: "tls.cert_file", Unit: "file", Sample: "/etc/postern/cert.pem", Doc: "Certificate and intermediates, PEM. Empty: a self-signed one is made at the first start. Read again on reload."},
		{Path: "tls.key_file", Unit: "file", Sample: "/etc/postern/key.pem", Doc: "Its private key, PEM."},
	}
}

func limitKeys() []Key {
	row := func(name, def, unit, min, max, doc string) Key {
		return Key{Path: "limits." + name, Default: def, Unit: unit, Min: min, Max: max, Doc: doc, Restart: true}
	}
	return []Key{
		{Path: "limits", Doc: "What one client may do at most. The values suit a gateway for thousands of senders."},
		row("connections", "4000", "", "1", "100000", "Open SMTP connections in all; no more than a quarter of the file descriptors Postern may open."),
		row("connections_per_ip", "50", "", "1", "100000", "Open connections of one IPv4 address or IPv6 /64."),
		row("connections_per_network", "200", "", "1", "100000", "Open connections of one IPv4 /24 or IPv6 /48."),
		row("new_per_minute_per_ip", "120", "per minute", "1", "1000000", "Connections begun by one IPv4 address or IPv6 /64."),
		row("messages", "1000", "", "1", "1000000", "Messages of one connection."),
		row("recipients", "1000", "", "100", "50000", "Recipients of one message. RFC 5321 asks for at least 100."),
		row("errors", "10", "", "1", "1000", "Client errors until the connection is closed."),
		row("soft_errors", "5", "", "0", "1000", "Client errors until answers are delayed."),
		row("junk", "100", "", "1", "100000", "Commands that move no mail (NOOP, RSET ...) until each counts as an error."),
		row("command_size", "2048B", sizeUnit, "512B", "64KiB", "Longest command line."),
		row("auth_size", "12288B", sizeUnit, "512B", "64KiB", "Longest line of a login."),
		row("auth_failures", "3", "", "1", "100", "Wrong passwords until the connection is closed. Failures are also counted per user and client, see the manual."),
		row("line_size", "64KiB", sizeUnit, "1000B", "1MiB", "Longest line of a message. Lines beyond 998 bytes are mended before the message leaves."),
		row("message_size", "50MiB", sizeUnit, "64KiB", "1GiB", "Largest message."),
		row("in_flight", "512MiB", sizeUnit, "1MiB", "1TiB", "Bytes of all messages being received at one time; beyond it clients are asked to come back."),
		row("command_timeout", "5m", timeUnit, "10s", "1h", "Wait for a command."),
		row("data_timeout", "30m", timeUnit, "1m", "24h", "Wait for a whole message."),
		row("session_timeout", "1h", timeUnit, "1m", "24h", "Length of a connection."),
		row("min_rate", "500B", "size per second", "0B", "1MiB", "Slowest client: what a message must keep up on average after its first 30 seconds."),
		row("chunks", "10000", "", "1", "1000000", "BDAT commands of one message."),
		row("hops", "50", "", "10", "1000", "Received fields of a message; more means a mail loop."),
	}
}

// localCustomer lets this machine send without further settings.
const localCustomer = `[{id: local, name: This machine, networks: ["127.0.0.1/32", "::1/128"], any_from: true}]`

func customerKeys() []Key {
	return []Key{
		{Path: "customers", Default: localCustomer, Unit: "list", Doc: "Who may send. Without this key there is one customer `local`: this machine. More can be made with `postern customer add`; those live in the database."},
		{Path: "customers[].id", Required: true, Unit: "a-z, 0-9 and -", Sample: "acme", Doc: "Stays the same for ever: the journal refers to it."},
		{Path: "customers[].name", Unit: "text", Sample: "Acme Ltd", Doc: "Shown to people. Empty: the id."},
		{Path: "customers[].language", Default: "fr", Enum: []string{"fr", "en"}, Doc: "Language of notices and pages."},
		{Path: "customers[].contact", Unit: "mail address", Sample: "post@acme.example", Doc: "Who gets notices and warnings that belong to no single message."},
		{Path: "customers[].networks", Default: "[]", Unit: "list of networks", Sample: `["192.0.2.0/24", "2001:db8:1::/48"]`, Doc: "Client addresses that are this customer without a password. Only what is really his: whatever can reach Postern from there can send in his name, and in a container the gateway's address may stand for everybody."},
		{Path: "customers[].domains", Default: "[]", Unit: "list of domains", Sample: "[acme.example]", Doc: "Domains he may write in the name of, with everything below them."},
		{Path: "customers[].pool", Unit: "name", Sample: "default", Doc: "The pool of delivery.pools his mail leaves from. Empty: default."},
		{Path: "customers[].mode", Default: "hold", Enum: []string{"hold", "reject"}, Doc: "What happens to a message above the threshold: accepted and held until somebody decides, or refused at once."},
		{Path: "customers[].threshold", Default: "0", Unit: "points", Min: "0", Max: "15", Doc: "A score strictly above this is blocked. 0: filter.threshold."},
		{Path: "customers[].self_release", Default: "false", Doc: "The sender may release his own held messages."},
		{Path: "customers[].release_ceiling", Default: "8", Unit: "points", Min: "0.1", Max: "15", Doc: "... up to this score."},
		{Path: "customers[].any_from", Default: "false", Doc: "Let him write in any domain's name. Only for networks of machines that are trusted to check it themselves, such as a hoster's own relay."},
		{Path: "customers[].return_path", Unit: "kept, ours or a domain", Sample: "kept", Doc: "Envelope sender of his mail: kept = his own; ours = an address of delivery.return_path.domain; or an address of this domain, which must be one of his or below it and whose MX leads to this gateway. Empty: ours where delivery.return_path.domain is set."},
		{Path: "customers[].drop_auto_replies", Default: "false", Doc: "Automatic answers (out of office) to his mail that come to a return address are written down and not passed on to the sender."},
		{Path: "customers[].scores", Default: "{}", Unit: "test name: points", Sample: "{SPF_NONE: 0.5}", Doc: "Points that differ for his mail, over filter.scores. 0 switches a test off for him."},
		{Path: "customers[].scores.*", Unit: "points", Min: "-15", Max: "15", Doc: "Points of the test of that name."},
		{Path: "customers[].allow", Default: "[]", Unit: "list of entries", Sample: `["from:invoices@acme.example", "to-domain:partner.example until 2027-01-31"]`, Doc: "What of his mail is always let through; the form is that of filter.allow."},
		{Path: "customers[].deny", Default: "[]", Unit: "list of entries", Sample: `["from:shop@acme.example -- hacked on Monday"]`, Doc: "What of his mail is always held or refused, as his mode says."},
	}
}

func filterKeys() []Key {
	scanner := func(path, def, doc string) Key {
		return Key{Path: path, Default: def, Unit: timeUnit, Min: "1s", Max: "5m", Doc: doc}
	}
	onError := func(path, def, doc string) Key {
		return Key{Path: path, Default: def, Enum: []string{"pass", "defer"}, Doc: doc}
	}
	scannerSize := func(path, doc string) Key {
		return Key{Path: path, Default: "25MB", Unit: sizeUnit, Min: "64KiB", Max: "1GiB", Doc: doc}
	}
	scannerConnections := func(path, doc string) Key {
		return Key{Path: path, Default: "8", Min: "1", Max: "1000", Doc: doc}
	}
	return []Key{
		{Path: "filter", Doc: "How messages are tested."},
		{Path: "filter.enabled", Default: "true", Doc: "false lets everything pass untested."},
		{Path: "filter.threshold", Default: "3", Unit: "points", Min: "0.1", Max: "15", Doc: "A score strictly above this is blocked."},
		{Path: "filter.deadline", Default: "10s", Unit: timeUnit, Min: "1s", Max: "5m", Doc: "What is not measured by then counts as not measured, neither good nor bad."},
		{Path: "filter.scores", Default: "{}", Unit: "test name: points", Sample: "{MIME_HTML_ONLY: 0.5}", Doc: "Points that differ from the built-in ones. 0 switches a test off."},
		{Path: "filter.scores.*", Unit: "points", Min: "-15", Max: "15", Doc: "Points of the test of that name."},
		{Path: "filter.allow", Default: "[]", Unit: "list of entries", Sample: `["client:192.0.2.10", "credential:monitoring"]`, Doc: "What is always let through, whatever its score: from:ADDRESS, from-domain:DOMAIN (with everything below), to:ADDRESS, to-domain:DOMAIN, client:ADDRESS or NETWORK, credential:USER; then, if you like, `until YYYY-MM-DD` and ` -- note`. All From addresses or all recipients of a message must be covered. No virus is let through, and nothing that a deny list names. `postern tune allow add` keeps more in the database."},
		{Path: "filter.deny", Default: "[]", Unit: "list of entries", Sample: `["to-domain:competitor.example -- asked us by letter"]`, Doc: "What is always held or refused, and released by an operator only: the same form. One address of a message is enough. The note is shown to the sender."},
		{Path: "filter.rules", Default: "[]", Unit: "list of folders", Sample: "[/etc/postern/rules]", Doc: "Folders of your own rules, .cf files in SpamAssassin's language, read behind the built-in ones. Rules that ask the network do not run. What is not understood is named in the log and left out."},
		{Path: "filter.dnsbl", Doc: "Blocklists asked about addresses and domains."},
		{Path: "filter.dnsbl.zones", Default: "{}", Unit: "zone: true or false", Sample: "{zen.spamhaus.org: false}", Doc: "Switches lists of the built-in directory on or off."},
		{Path: "filter.dnsbl.zones.*", Doc: "Whether the list of that zone is asked."},
		{Path: "filter.dnsbl.extra", Default: "[]", Unit: "list", Doc: "Lists the directory does not know, such as your own."},
		{Path: "filter.dnsbl.extra[].name", Required: true, Unit: "text", Sample: "own", Doc: "Shown to people."},
		{Path: "filter.dnsbl.extra[].zone", Required: true, Unit: "domain", Sample: "bl.example.org", Doc: "Where it is asked in DNS."},
		{Path: "filter.dnsbl.extra[].kind", Default: "ip", Enum: []string{"ip", "domain"}, Doc: "What it lists."},
		{Path: "filter.clamd", Doc: "ClamAV's daemon, asked about every message. What it finds holds the message, and only an operator may release it."},
		{Path: "filter.clamd.address", Unit: "unix:FILE or host:port", Sample: "unix:/run/clamav/clamd.ctl", Doc: "Where it listens. Its protocol has no encryption: on this machine or in a private network only. Empty: not asked."},
		scanner("filter.clamd.timeout", "15s", "Wait for its answer about one message; filter.deadline does not shorten it."),
		onError("filter.clamd.on_error", "defer", "What happens to a message that it gives no answer about: pass = judged without it, with a line in the verdict; defer = the client is asked to come back (451), or is refused (552) when the message is larger than max_size."),
		scannerSize("filter.clamd.max_size", "Larger messages are not sent to it. Its own StreamMaxLength must not be smaller."),
		scannerConnections("filter.clamd.connections", "Messages it is asked about at one time; no more than its MaxThreads."),
		{Path: "filter.rspamd", Doc: "An rspamd server, asked about every message for a second opinion on spam."},
		{Path: "filter.rspamd.url", Unit: "URL", Sample: "http://127.0.0.1:11333", Doc: "Its normal worker, or a proxy worker. http:// is for this machine or a private network only. Empty: not asked."},
		{Path: "filter.rspamd.password_file", Unit: "file", Sample: "/etc/postern/rspamd-password", Doc: "File with its password, where it wants one."},
		scanner("filter.rspamd.timeout", "15s", "Wait for its answer about one message; filter.deadline does not shorten it."),
		onError("filter.rspamd.on_error", "pass", "As in filter.clamd."),
		scannerSize("filter.rspamd.max_size", "Larger messages are not sent to it. Its own max_message must not be smaller."),
		scannerConnections("filter.rspamd.connections", "Messages it is asked about at one time."),
		{Path: "filter.rspamd.factor", Default: "8", Unit: "points", Min: "0.1", Max: "15", Doc: "Points of a message that rspamd would just reject. What it would mark or reject gets the share of that by which its score is on the way to a rejection; what it would let pass gets none."},
		{Path: "filter.rspamd.max_points", Default: "10", Unit: "points", Min: "0.1", Max: "15", Doc: "Most points a message gets for what rspamd says."},
		{Path: "held", Doc: "Messages that wait for a person."},
		{Path: "held.keep", Default: "72h", Unit: timeUnit, Min: "1h", Max: "60d", Restart: true, Doc: "How long. Then the message expires and its sender is told."},
		{Path: "held.digest_after", Default: "15m", Unit: timeUnit, Min: "0s", Max: "24h", Restart: true, Doc: "After a notice, further held messages of the same sender are gathered for this long into one notice."},
		{Path: "held.link_ttl", Default: "7d", Unit: timeUnit, Min: "1h", Max: "60d", Restart: true, Doc: "How long the link in a notice works."},
		{Path: "web", Doc: "The portal as seen from outside."},
		{Path: "web.base_url", Unit: "URL", Sample: "https://mail.example.org", Restart: true, Doc: "What links in notices begin with. Empty: http:// and the first address of listen.web."},
		{Path: "web.secret_file", Unit: "file", Sample: "/etc/postern/web-secret", Restart: true, Doc: "File with at least 32 random characters that sign the links. Empty: made at the first start and kept in data_dir. Several machines need the same."},
		{Path: "web.session", Doc: "How long people stay signed in, and how long it is kept what they did."},
		{Path: "web.session.idle_operator", Default: "12h", Unit: timeUnit, Min: "5m", Max: "30d", Restart: true, Doc: "A session of an operator or of the abuse desk ends when it was not used for so long."},
		{Path: "web.session.idle_customer", Default: "7d", Unit: timeUnit, Min: "5m", Max: "90d", Restart: true, Doc: "The same for customers' users."},
		{Path: "web.session.absolute", Default: "30d", Unit: timeUnit, Min: "1h", Max: "365d", Restart: true, Doc: "A session ends after so long even if it is used."},
		{Path: "web.session.audit_retention", Default: "400d", Unit: timeUnit, Min: "1d", Max: "3650d", Restart: true, Doc: "How long the audit log keeps who did what."},
		{Path: "web.oidc", Doc: "An identity provider (OpenID Connect) with which operators and the abuse desk sign in. Customers' users do not."},
		{Path: "web.oidc.issuer", Unit: "URL", Sample: "https://id.example.org", Restart: true, Doc: "Its address, as its tokens say it. Empty: there is none. Its redirect address here is web.base_url followed by /sign-in/sso/done."},
		{Path: "web.oidc.client_id", Sample: "postern", Restart: true, Doc: "What it knows this gateway by."},
		{Path: "web.oidc.client_secret_file", Unit: "file", Sample: "/etc/postern/oidc-secret", Restart: true, Doc: "File with the secret it gave. Without: a public client, with PKCE alone."},
		{Path: "web.oidc.groups_claim", Default: "groups", Restart: true, Doc: "The claim of the identity token that lists a person's groups."},
		{Path: "web.oidc.operator_group", Sample: "mail-operators", Restart: true, Doc: "Members of this group are operators."},
		{Path: "web.oidc.abuse_group", Sample: "abuse-desk", Restart: true, Doc: "Members of this group are of the abuse desk."},
		{Path: "web.oidc.allow_addresses", Default: "[]", Unit: "list of addresses", Sample: "[anna@example.org]", Restart: true, Doc: "Owners of these addresses are operators without a group, if the provider says that it has verified the address."},
	}
}

func deliveryKeys() []Key {
	return []Key{
		{Path: "delivery", Doc: "How mail leaves."},
		{Path: "delivery.smarthost", Doc: "A relay all mail leaves through, where port 25 is closed."},
		{Path: "delivery.smarthost.host", Unit: "host name or address", Sample: "smtp.provider.example", Restart: true, Doc: "Empty: straight to the recipients' servers."},
		{Path: "delivery.smarthost.port", Default: "587", Min: "1", Max: "65535", Restart: true, Doc: "Its port."},
		{Path: "delivery.smarthost.user", Unit: "text", Sample: "postern", Restart: true, Doc: "User name; empty: no login."},
		{Path: "delivery.smarthost.password_file", Unit: "file", Sample: "/etc/postern/smarthost-password", Restart: true, Doc: "File with the password."},
		{Path: "delivery.smarthost.tls", Default: "required", Enum: []string{"required", "implicit", "opportunistic", "none"}, Restart: true, Doc: "STARTTLS with a checked certificate, TLS from the first byte with a checked certificate, STARTTLS if offered, or none."},
		{Path: "delivery.concurrency", Doc: "Outgoing connections at one time."},
		{Path: "delivery.concurrency.per_domain", Default: "10", Min: "1", Max: "1000", Restart: true, Doc: "To one recipient domain."},
		{Path: "delivery.concurrency.total", Default: "500", Min: "1", Max: "20000", Restart: true, Doc: "To all of them together."},
		{Path: "delivery.retry", Default: "[5m, 15m, 30m, 1h, 2h, 4h]", Unit: "list of times", Min: "10s", Max: "24h", Doc: "Waits between attempts; the last one repeats."},
		{Path: "delivery.expire", Default: "48h", Unit: timeUnit, Min: "1h", Max: "30d", Doc: "How long delivery is tried before the message is given up and its sender is told."},
		{Path: "delivery.delay_notice", Default: "4h", Unit: timeUnit, Min: "0s", Max: "30d", Doc: "When a sender is told that his message is late. 0s: never."},
		{Path: "delivery.tls", Default: "opportunistic", Enum: []string{"opportunistic", "none"}, Doc: "TLS towards the recipients' servers: whenever they offer it, and as strictly as their domains ask (DANE, MTA-STS); or never, whatever they ask."},
		{Path: "delivery.tls_rules", Default: "[]", Unit: "list", Sample: "[{domain: bank.example, tls: verified}]", Doc: "What TLS mail must have besides: for recipient domains or mail servers by name. The first rule that fits counts. Rules make stricter what domains publish, never weaker."},
		{Path: "delivery.tls_rules[].domain", Unit: "domain", Sample: "bank.example", Doc: "Recipients there and below. Either this or exchanger."},
		{Path: "delivery.tls_rules[].exchanger", Unit: "domain", Sample: "mail.protection.example", Doc: "Mail servers of that name and below."},
		{Path: "delivery.tls_rules[].tls", Default: "verified", Enum: []string{"none", "opportunistic", "encrypted", "verified"}, Doc: "Never TLS, TLS if offered, TLS or no delivery, TLS with a valid certificate for the server's name or no delivery."},
		{Path: "delivery.tls_reports", Default: "true", Doc: "Send a daily report about TLS to the domains that ask for one (TLS-RPT), from notice.from; nothing is sent while that is empty."},
		{Path: "delivery.ipv6", Default: "true", Restart: true, Doc: "Use IPv6. Switch off when the gateway's IPv6 addresses have no reverse DNS."},
		{Path: "delivery.port", Default: "25", Min: "1", Max: "65535", Restart: true, Doc: "For tests only: mail servers listen on 25."},
		{Path: "delivery.private_destinations", Default: "[]", Unit: "list of networks", Sample: "[10.1.2.0/24]", Doc: "Mail servers that are not on the internet and may be delivered to all the same, such as your own in a private network. To any other private, loopback or link-local address nothing is delivered, whatever DNS says: a sender could otherwise reach services that trust this machine. A smarthost needs no entry."},
		{Path: "delivery.providers", Default: "[]", Unit: "list of folders", Sample: "[/etc/postern/providers]", Doc: "Folders of your own knowledge of receivers: .yaml files, read over the built-in ones, with limits, retry times and what answers mean (docs/operator/receivers.md, `postern provider check`). A file with a fault is refused, and at a reload the former knowledge stays."},
		{Path: "delivery.pools", Default: "{}", Unit: "name: list of addresses", Sample: "{default: [{ip: 192.0.2.10, helo: gate.example.org}]}", Restart: true, Doc: "Addresses mail leaves from, by class of mail. Without: whichever the system chooses."},
		{Path: "delivery.pools.*", Unit: "list", Restart: true, Doc: "The pool of that name."},
		{Path: "delivery.pools.*[].ip", Required: true, Unit: "address", Sample: "192.0.2.10", Restart: true, Doc: "An address of this machine."},
		{Path: "delivery.pools.*[].helo", Unit: "host name", Sample: "gate.example.org", Restart: true, Doc: "The name said from there; must resolve to that address and back. Empty: hostname."},
		{Path: "delivery.pools.*[].warm_since", Unit: "date", Sample: "2026-11-20", Restart: true, Doc: "The day the address began to send, when receivers do not know it yet: it then sends a little more to each of them every day (docs/operator/shaping.md). Empty: it is warm."},
		{Path: "delivery.pool_options", Default: "{}", Unit: "pool: options", Sample: "{default: {spill: never}}", Restart: true, Doc: "What happens when the address of a message may not send, by pool."},
		{Path: "delivery.pool_options.*", Unit: "options", Restart: true, Doc: "The options of the pool of that name."},
		{Path: "delivery.pool_options.*.overflow", Unit: "name", Sample: "default", Restart: true, Doc: "The pool that takes what the warm-up of this one has no room for. Empty: the warm addresses of this pool."},
		{Path: "delivery.pool_options.*.warm_up_strict", Default: "false", Restart: true, Doc: "What the warm-up has no room for, and no other address takes, waits for the next day. Otherwise it leaves within the receiver's limits."},
		{Path: "delivery.pool_options.*.spill", Default: "trouble", Enum: []string{"trouble", "always", "never"}, Restart: true, Doc: "When a message leaves from another address of the pool than its own: when the receiver cannot be reached from its own or the operator paused it (trouble), also when the receiver blocks it (always: the next address may be blocked too), or never."},
		{Path: "delivery.warm_up", Default: "[]", Unit: "list of messages a day", Min: "1", Max: "100000000", Sample: "[50, 100, 200, 400, 800]", Restart: true, Doc: "The plan of a warm-up: messages to one receiver on the first, second, ... day; after the last one the address is warm. Empty: 50, 100, 200, 400, 800, 1500, 3000, 6000, 12000, 25000, 50000, 100000, 200000, 400000."},
		{Path: "delivery.shares", Default: "{}", Unit: "customer: share", Sample: "{acme: 5}", Doc: "Customers who get more turns than others when many wait for the same receiver: 5 is five turns for each of the others. Whoever is not named has 1."},
		{Path: "delivery.shares.*", Unit: "share", Min: "1", Max: "100", Doc: "The share of the customer of that id."},
		{Path: "delivery.return_path", Doc: "Return addresses of our own: bounces come to the gateway, are read, counted and told to the sender. See docs/operator/return-path.md."},
		{Path: "delivery.return_path.domain", Unit: "domain", Sample: "bounce.gate.example.org", Restart: true, Doc: "Outgoing mail has a signed address of this domain as its envelope sender; its MX must lead to this gateway. A message that carries no DKIM signature of its author's domain keeps the sender's address, for the sake of DMARC. Empty: the sender's address is kept."},
		{Path: "delivery.return_path.key_file", Unit: "file", Sample: "/etc/postern/return-path-key", Restart: true, Doc: "File with at least 32 random characters that sign return addresses; further ones behind it, separated by spaces, are older and only read. Empty: made at the first start and kept in data_dir. Several machines need the same."},
		{Path: "delivery.return_path.at_relay", Default: "true", Restart: true, Doc: "listen.relay takes mail for return addresses too, from anybody, and from strangers nothing else."},
		{Path: "delivery.return_path.complaints", Default: "fbl", Unit: "local part", Restart: true, Doc: "Complaints of receivers (feedback loops) are sent to this name at delivery.return_path.domain."},
		{Path: "delivery.return_path.reporters", Default: "[]", Unit: "list of domains", Sample: "[arf.provider.example]", Restart: true, Doc: "Further domains whose complaints count when they sign them with DKIM; those of the big receivers are built in. Others are written down and change nothing."},
	}
}

func otherKeys() []Key {
	return []Key{
		{Path: "dns", Doc: "The resolver."},
		{Path: "dns.servers", Default: "[]", Unit: "list of address:port", Sample: `["127.0.0.1:53"]`, Restart: true, Doc: "Resolvers to ask; best a validating one on this machine: blocklists refuse the big public ones. Empty: those of /etc/resolv.conf."},
		{Path: "dns.timeout", Default: "5s", Unit: timeUnit, Min: "100ms", Max: "1m", Restart: true, Doc: "Wait for one answer."},
		{Path: "dns.attempts", Default: "2", Min: "1", Max: "10", Restart: true, Doc: "Tries of one question."},
		{Path: "dns.budget", Default: "64", Unit: "questions", Min: "10", Max: "1000", Doc: "Questions one message may cause."},
		{Path: "dns.cache_entries", Default: "50000", Min: "0", Max: "10000000", Restart: true, Doc: "Answers kept in memory."},
		{Path: "journal", Doc: "The memory of what happened to each message."},
		{Path: "journal.retention", Default: "90d", Unit: timeUnit, Min: "1d", Max: "3650d", Restart: true, Doc: "How long facts are kept. They contain addresses and subjects: keep what you need."},
		{Path: "notice", Doc: "Mail Postern writes itself."},
		{Path: "notice.from", Unit: "mail address", Sample: "postmaster@example.org", Restart: true, Doc: "Its sender. Empty: postmaster at hostname."},
		{Path: "notice.operator", Unit: "mail address", Sample: "noc@example.org", Restart: true, Doc: "Who gets senders' questions about held mail, and alarms such as a blocklist that refuses this gateway. Empty: the address of notice.from."},
		{Path: "notice.name", Default: "Postern", Unit: "text", Restart: true, Doc: "The sender's name."},

		{Path: "alarm", Doc: "What the operator is told at once, by mail (notice.operator) and by webhooks. 0 or 0s switches a bound off."},
		{Path: "alarm.lane", Default: "5000", Min: "0", Max: "100000000", Doc: "Messages that wait for their turn in one lane (one receiver from one of our addresses)."},
		{Path: "alarm.lane_age", Default: "2h", Unit: timeUnit, Min: "0s", Max: "30d", Doc: "How long the oldest of them has waited since it was accepted."},
		{Path: "alarm.customer", Default: "20000", Min: "0", Max: "100000000", Doc: "Queued messages of one customer."},
		{Path: "alarm.total", Default: "100000", Min: "0", Max: "1000000000", Doc: "Queued messages in all."},
		{Path: "alarm.total_age", Default: "0s", Unit: timeUnit, Min: "0s", Max: "30d", Doc: "Age of the oldest queued message. Mail for servers that never answer waits until delivery.expire, so a bound below that is reached often."},
		{Path: "alarm.remind", Default: "24h", Unit: timeUnit, Min: "10m", Max: "30d", Restart: true, Doc: "When an alarm that lasts is told again."},
		{Path: "alarm.history", Default: "365d", Unit: timeUnit, Min: "1d", Max: "3650d", Restart: true, Doc: "How long the history of alarms is kept: what was told, to whom, and when it ended. At most 100,000 lines."},
		{Path: "alarm.webhooks", Default: "[]", Unit: "list", Restart: true, Doc: "Web addresses that alarms are posted to as JSON, signed and retried for three days. They never pass through the mail queue."},
		{Path: "alarm.webhooks[].name", Required: true, Unit: "name", Sample: "oncall", Restart: true, Doc: "For the log and the database; stays the same."},
		{Path: "alarm.webhooks[].url", Required: true, Unit: "web address", Sample: "https://hooks.example.org/postern", Restart: true, Doc: "https, or http on this machine."},
		{Path: "alarm.webhooks[].secret_file", Required: true, Unit: "file", Sample: "/etc/postern/hook-secret", Restart: true, Doc: "File with the secret that signs posts, at least 16 bytes."},

		{Path: "webhooks", Doc: "Webhooks that customers and operators set up themselves (pages, API, `postern webhook`)."},
		{Path: "webhooks.private_destinations", Default: "[]", Unit: "list of networks", Sample: "[10.1.2.0/24]", Restart: true, Doc: "Networks that are not on the internet and may be posted to all the same, such as your own. To any other private, loopback or link-local address nothing is posted, whatever DNS says: who may make a webhook could otherwise reach services that trust this machine. Plain http is possible only to this machine, and only when its loopback network is in this list."},
		{Path: "dkim", Doc: "Signatures of outgoing mail."},
		{Path: "dkim.sign", Default: "true", Doc: "Sign the mail of every domain that has a key; see `postern dkim new`."},
	}
}
