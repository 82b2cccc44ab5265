package dnsbl

// Directory is a new copy of all lists that the house knows and that are not dead. Facts are the operators' own pages and the rule sets
// of SpamAssassin and rspamd, read 2026-10 and 2026-11; Evidence says how well each list is attested. Asked are those that Panel finds fit.
func Directory() []List {
	var out []List
	for _, group := range [][]List{spamhaus(), ipLists(), rangeLists(), spamrats(), abusix(), allowLists(), scoreLists(), domainLists(), hashLists(),
		hearsayLists(), webLists()} {
		out = append(out, group...)
	}
	zones, operators := zoneDelistings(), operatorDelistings()
	for i := range out {
		l := &out[i]
		if l.Access == "" {
			l.Access = Free
		}
		if l.Evidence == "" {
			l.Evidence = Documented
		}
		l.Operator = operator(l.Zone)
		l.finish()
		l.Delisting = l.delisting(zones, operators)
	}
	return out
}

// finish fills in what is said of many lists in one place.
func (l *List) finish() {
	if e, ok := evidence[l.Zone]; ok {
		l.Evidence = e
	}
	if b, ok := limits[l.Zone]; ok {
		l.Budget = b
	} else if l.Access == Free {
		l.Budget = Budget{PerDay: 100_000, PerSecond: 50}
	}
	l.Skip = skipped[l.Zone]
	l.RefusesRcode = refusers[l.Operator]
}

// evidence of the lists that are not Documented.
var evidence = map[string]Evidence{
	"b.barracudacentral.org": Attested, "bb.barracudacentral.org": Hearsay, "z.mailspike.net": Attested, "backscatter.spameatingmonkey.net": Attested,
	"dnsbl-1.uceprotect.net": Attested, "dnsbl-2.uceprotect.net": Attested, "dnsbl-3.uceprotect.net": Attested, "ips.backscatterer.org": Attested,
	"ips.whitelisted.org": Hearsay, "dyna.spamrats.com": Attested, "noptr.spamrats.com": Attested, "spam.spamrats.com": Attested, "auth.spamrats.com": Attested,
	"all.spamrats.com": Attested, "dnsbl.dronebl.org": Attested, "hostkarma.junkemailfilter.com": Attested, "dnsbl.spfbl.net": Attested, "dnswl.spfbl.net": Attested,
	"all.s5h.net": Hearsay, "bl.0spam.org": Hearsay, "bl.nordspam.com": Attested, "dbl.nordspam.com": Hearsay, "bl.suomispam.net": Attested, "spamrbl.swinog.ch": Attested,
	"truncate.gbudb.net": Hearsay, "ubl.unsubscore.com": Hearsay, "rbl.efnetrbl.org": Hearsay, "tor.dan.me.uk": Hearsay, "torexit.dan.me.uk": Hearsay,
	"rbl.interserver.net": Hearsay, "rbl.abuse.ro": Hearsay, "uribl.abuse.ro": Hearsay, "ivmsip.invaluement.com": Attested, "ivmsip24.invaluement.com": Attested,
	"ivmuri.invaluement.com": Attested, "rbl.ircbl.org": Hearsay, "fresh.fmb.la": Attested, "bl.fmb.la": Attested, "nsbl.fmb.la": Attested, "short.fmb.la": Attested,
	"<key>.nod.mail.abusix.zone": Attested, "<key>.shorthash.mail.abusix.zone": Attested, "<key>.diskhash.mail.abusix.zone": Attested,
}

// limits are budgets from the operators' terms. Spamhaus allows 300,000 questions a day in all, Mailspike 100,000, SPFBL one in 100 ms: where
// several zones of one operator are asked they share. Other free zones without a figure get 100,000 a day and 50 a second, which is ours, out
// of courtesy; zones with a key or a registration have the bounds of their contract, which the settings may state.
var limits = map[string]Budget{
	"zen.spamhaus.org": {PerDay: 200_000, PerSecond: 100}, "dbl.spamhaus.org": {PerDay: 100_000, PerSecond: 100},
	"sbl.spamhaus.org": {PerDay: 50_000, PerSecond: 50}, "xbl.spamhaus.org": {PerDay: 50_000, PerSecond: 50}, "pbl.spamhaus.org": {PerDay: 50_000, PerSecond: 50},
	"bl.mailspike.net": {PerDay: 70_000, PerSecond: 50}, "rep.mailspike.net": {PerDay: 15_000, PerSecond: 20}, "wl.mailspike.net": {PerDay: 15_000, PerSecond: 20},
	"z.mailspike.net": {PerDay: 15_000, PerSecond: 20},
	"dnsbl.spfbl.net": {PerDay: 100_000, PerSecond: 10}, "dnswl.spfbl.net": {PerDay: 100_000, PerSecond: 10},
	"multi.uribl.com": {PerDay: 100_000, PerSecond: 50}, "multi.surbl.org": {PerDay: 100_000, PerSecond: 50}, "list.dnswl.org": {PerDay: 100_000, PerSecond: 50},
}

// skipped are lists that say nothing about mail from our addresses, or are for others: asked only where the settings name them.
var skipped = map[string]bool{
	"sa-trusted.bondedsender.org": true, "sa-accredit.habeas.com": true, "iadb.isipp.com": true, "ips.whitelisted.org": true, "dnswl.spfbl.net": true,
	"rbl.efnetrbl.org": true, "tor.dan.me.uk": true, "torexit.dan.me.uk": true, "rbl.ircbl.org": true, "korea.services.net": true,
	"<key>.authbl.dq.spamhaus.net": true, "lookup.dkimwl.org": true,
}

// refusers answer REFUSED to resolvers that they do not serve.
var refusers = map[string]bool{"SPFBL": true, "Barracuda": true, "Validity": true}

// Find is the list with the given zone in the directory.
func Find(zone string) (List, bool) {
	for _, l := range Directory() {
		if l.Zone == zone {
			return l, true
		}
	}
	return List{}, false
}

// testPoint is 127.0.0.2 (RFC 5782 5).
const testPoint = "2.0.0.127"

func code(p Pattern, name, en, fr string) Code {
	return Code{Pattern: p, Name: name, Meaning: Text{en, fr}}
}

func bit(b byte, name, en, fr string) Code {
	return Code{Pattern: "127.0.0.*", Bit: b, Name: name, Meaning: Text{en, fr}}
}

func neutral(p Pattern, name, en, fr string) Code {
	return Code{Pattern: p, Name: name, Meaning: Text{en, fr}, Neutral: true}
}

func egress(p Pattern, name, en, fr string) Code {
	return Code{Pattern: p, Name: name, Meaning: Text{en, fr}, EgressOnly: true}
}

// listed is the usual single code of RFC 5782 2.1.
func listed() []Code {
	return []Code{code("127.0.0.2", "listed", "listed", "inscrit")}
}

// anyCode is for zones that document their codes as a whole last octet.
func anyCode() []Code {
	return []Code{code("127.0.0.2-254", "listed", "listed", "inscrit")}
}

// blocked is the first bit, with which SURBL and URIBL refuse a resolver.
func blocked() []Code {
	return []Code{bit(1, "blocked", "resolver blocked: too many questions, or a public resolver",
		"résolveur bloqué : trop de questions, ou résolveur public")}
}

func spamhaus() []List {
	terms := Text{"non-commercial, below 100,000 SMTP connections and 300,000 questions a day on the public mirrors; otherwise a DQS key; public resolvers are refused",
		"non commercial, moins de 100 000 connexions SMTP et 300 000 questions par jour sur les miroirs publics ; sinon une clé DQS ; les résolveurs publics sont refusés"}
	const url = "https://check.spamhaus.org/"
	refusals := []Code{
		code("127.255.255.252", "typo", "zone misspelt", "nom de zone mal écrit"),
		code("127.255.255.254", "public", "asked through a public resolver", "question posée par un résolveur public"),
		code("127.255.255.255", "excess", "too many questions", "trop de questions"),
	}
	sbl := []Code{code("127.0.0.2", "SBL", "verified source of spam", "source de spam vérifiée"),
		code("127.0.0.3", "CSS", "snowshoe or low-reputation sender", "expéditeur en ordre dispersé ou de mauvaise réputation"),
		code("127.0.0.9", "DROP", "hijacked or criminal network", "réseau détourné ou criminel")}
	xbl := []Code{egress("127.0.0.4-7", "XBL", "infected or exploited machine", "machine infectée ou exploitée")}
	pbl := []Code{
		egress("127.0.0.10", "PBL", "range that should not send directly, declared by its provider", "plage qui ne doit pas émettre directement, déclarée par son fournisseur"),
		egress("127.0.0.11", "PBL", "range that should not send directly, declared by Spamhaus", "plage qui ne doit pas émettre directement, déclarée par Spamhaus"),
	}
	zen := append(append(append([]Code{}, sbl...), xbl...), pbl...)
	dbl := []Code{
		code("127.0.1.2", "spam", "domain of spam", "domaine de spam"),
		code("127.0.1.4", "phish", "phishing domain", "domaine d'hameçonnage"),
		code("127.0.1.5", "malware", "malware domain", "domaine de logiciels malveillants"),
		code("127.0.1.6", "botnet", "botnet control domain", "domaine de contrôle de botnet"),
		code("127.0.1.102", "abused-spam", "legitimate domain abused for spam", "domaine légitime détourné pour du spam"),
		code("127.0.1.103", "abused-redirector", "redirector abused for spam", "redirecteur détourné pour du spam"),
		code("127.0.1.104", "abused-phish", "legitimate domain abused for phishing", "domaine légitime détourné pour de l'hameçonnage"),
		code("127.0.1.105", "abused-malware", "legitimate domain abused for malware", "domaine légitime détourné pour des logiciels malveillants"),
		code("127.0.1.106", "abused-botnet", "legitimate domain abused for botnet control", "domaine légitime détourné pour le contrôle d'un botnet"),
	}
	all := []List{
		{Name: "Spamhaus ZEN", Zone: "zen.spamhaus.org", Kinds: IP4 | IP6, Codes: zen, Weight: 5, Default: true, TestListed: testPoint,
			What: Text{"SBL, CSS, XBL, PBL and DROP in one", "SBL, CSS, XBL, PBL et DROP en une seule"}},
		{Name: "Spamhaus SBL", Zone: "sbl.spamhaus.org", Kinds: IP4 | IP6, Codes: sbl, Weight: 5, PartOf: "zen.spamhaus.org", TestListed: testPoint,
			What: Text{"verified sources of spam", "sources de spam vérifiées"}},
		{Name: "Spamhaus XBL", Zone: "xbl.spamhaus.org", Kinds: IP4, Codes: xbl, Weight: 5, PartOf: "zen.spamhaus.org", TestListed: testPoint,
			What: Text{"exploited machines", "machines exploitées"}},
		{Name: "Spamhaus PBL", Zone: "pbl.spamhaus.org", Kinds: IP4 | IP6, Codes: pbl, Weight: 4, PartOf: "zen.spamhaus.org", TestListed: testPoint,
			What: Text{"ranges that should not send directly", "plages qui ne doivent pas émettre directement"}},
		{Name: "Spamhaus DBL", Zone: "dbl.spamhaus.org", Kinds: Domain, Codes: dbl, Weight: 5, Default: true, Registrable: true,
			What: Text{"domains of spam, phishing, malware and botnets", "domaines de spam, d'hameçonnage, de logiciels malveillants et de botnets"}},
		{Name: "Spamhaus ZEN (DQS)", Zone: "<key>.zen.dq.spamhaus.net", Kinds: IP4 | IP6, Codes: zen, Weight: 5, Access: Key, TestListed: testPoint,
			PartOf: "zen.spamhaus.org", What: Text{"ZEN with a key", "ZEN avec une clé"}},
		{Name: "Spamhaus DBL (DQS)", Zone: "<key>.dbl.dq.spamhaus.net", Kinds: Domain, Codes: dbl, Weight: 5, Access: Key, Registrable: true,
			PartOf: "dbl.spamhaus.org", What: Text{"DBL with a key", "DBL avec une clé"}},
		{Name: "Spamhaus ZRD (DQS)", Zone: "<key>.zrd.dq.spamhaus.net", Kinds: Domain, Weight: 3, Access: Key, Registrable: true,
			What: Text{"domains first seen in the last 24 hours", "domaines vus pour la première fois depuis moins de 24 heures"},
			Codes: []Code{code("127.0.2.2-4", "very-fresh", "domain seen for a few hours only", "domaine vu depuis quelques heures seulement"),
				code("127.0.2.5-24", "fresh", "domain seen for less than a day", "domaine vu depuis moins d'un jour")}},
		{Name: "Spamhaus AuthBL (DQS)", Zone: "<key>.authbl.dq.spamhaus.net", Kinds: IP4, Codes: anyCode(), Weight: 4, Access: Key,
			What: Text{"addresses that abuse SMTP logins", "adresses qui abusent d'identifiants SMTP"}},
	}
	for i := range all {
		all[i].Refusals, all[i].Terms, all[i].LookupURL, all[i].DelistURL = refusals, terms, url, url
	}
	return all
}

func ipLists() []List {
	return []List{
		{Name: "SpamCop", Zone: "bl.spamcop.net", Kinds: IP4, Codes: listed(), Weight: 3, Default: true, TestListed: testPoint,
			What:      Text{"addresses reported by users and traps; expires when reports stop", "adresses signalées par des usagers et des pièges ; s'efface quand les signalements cessent"},
			LookupURL: "https://www.spamcop.net/bl.shtml", Terms: Text{"free; no removal on request, listings run out", "libre ; pas de retrait sur demande, les inscriptions expirent"}},
		{Name: "Barracuda BRBL", Zone: "b.barracudacentral.org", Kinds: IP4, Codes: listed(), Weight: 4, Access: Registration, TestListed: testPoint,
			What:      Text{"sources of spam seen by Barracuda", "sources de spam vues par Barracuda"},
			LookupURL: "https://www.barracudacentral.org/lookups", DelistURL: "https://www.barracudacentral.org/rbl/removal-request",
			Terms: Text{"free after registering the address of the resolver; others get no useful answer", "libre après enregistrement de l'adresse du résolveur ; les autres n'ont pas de réponse utile"}},
		{Name: "Barracuda BRBL (bb)", Zone: "bb.barracudacentral.org", Kinds: IP4, Codes: listed(), Weight: 3, Access: Registration, TestListed: testPoint,
			What: Text{"variant of BRBL", "variante de BRBL"}, PartOf: "b.barracudacentral.org",
			LookupURL: "https://www.barracudacentral.org/lookups", DelistURL: "https://www.barracudacentral.org/rbl/removal-request"},
		{Name: "PSBL", Zone: "psbl.surriel.com", Traps: true, Kinds: IP4, Codes: listed(), Weight: 3, Default: true, TestListed: testPoint,
			What:      Text{"addresses that wrote to spam traps", "adresses qui ont écrit à des pièges"},
			LookupURL: "https://psbl.org/", DelistURL: "https://psbl.org/", Terms: Text{"free; removal by oneself", "libre ; retrait par soi-même"}},
		{Name: "Mailspike", Zone: "bl.mailspike.net", Kinds: IP4, Weight: 3, Default: true, TestListed: testPoint,
			What: Text{"worst reputations and outbreaks of the hour", "pires réputations et vagues de l'heure"},
			Codes: []Code{code("127.0.0.2", "zero-hour", "outbreak in the last hours", "vague de spam des dernières heures"),
				code("127.0.0.10", "L5", "worst reputation", "pire réputation"), code("127.0.0.11", "L4", "very bad reputation", "très mauvaise réputation"),
				code("127.0.0.12", "L3", "bad reputation", "mauvaise réputation"), code("127.0.0.13", "L2", "suspicious behaviour", "comportement suspect")},
			LookupURL: "https://www.mailspike.org/", DelistURL: "https://www.mailspike.org/",
			Terms: Text{"below 100,000 messages and questions a day, non-commercial; removal by oneself takes 6 to 36 hours", "moins de 100 000 messages et questions par jour, non commercial ; le retrait par soi-même prend 6 à 36 heures"}},
		{Name: "Mailspike Z", Zone: "z.mailspike.net", Kinds: IP4, Weight: 2, PartOf: "bl.mailspike.net", TestListed: testPoint,
			What: Text{"outbreaks of the hour", "vagues de l'heure"}, Codes: []Code{code("127.0.0.2", "zero-hour", "outbreak in the last hours", "vague de spam des dernières heures")},
			LookupURL: "https://www.mailspike.org/"},
		{Name: "Validity RPBL", Zone: "bl.score.senderscore.com", Kinds: IP4, Weight: 3, Access: Registration, TestListed: testPoint,
			What: Text{"addresses of bad behaviour", "adresses au mauvais comportement"},
			// Validity documents 127.0.0.1 to .26; in 127.0.0.1 the first bit is a listing.
			Codes: []Code{
				{Pattern: "127.0.0.1-26", Bit: 1, Name: "botnet", Meaning: Text{"botnet", "botnet"}},
				{Pattern: "127.0.0.1-26", Bit: 2, Name: "noauth", Meaning: Text{"mail without authentication", "courriel sans authentification"}},
				{Pattern: "127.0.0.1-26", Bit: 4, Name: "trap", Meaning: Text{"wrote to pristine traps", "a écrit à des adresses pièges vierges"}},
				{Pattern: "127.0.0.1-26", Bit: 8, Name: "attachment", Meaning: Text{"suspicious attachments", "pièces jointes suspectes"}},
				{Pattern: "127.0.0.1-26", Bit: 16, Name: "score", Meaning: Text{"low Sender Score", "Sender Score bas"}},
			},
			LookupURL: "https://senderscore.org/blocklistlookup/", Terms: Text{"account and registered resolver; others always get 127.255.255.255", "compte et résolveur enregistré ; les autres reçoivent toujours 127.255.255.255"}},
		{Name: "SEM-BLACK", Zone: "bl.spameatingmonkey.net", Kinds: IP4, Codes: listed(), Weight: 2, TestListed: testPoint,
			What: Text{"sources of spam", "sources de spam"}, LookupURL: "https://spameatingmonkey.com/", Terms: Text{"free, limited", "libre, limité"}},
		{Name: "SEM-IPV6", Zone: "bl.ipv6.spameatingmonkey.net", Kinds: IP6, Codes: listed(), Weight: 2,
			What: Text{"sources of spam, IPv6", "sources de spam, IPv6"}, LookupURL: "https://spameatingmonkey.com/", Terms: Text{"free, limited", "libre, limité"}},
		{Name: "SEM-BACKSCATTER", Zone: "backscatter.spameatingmonkey.net", Kinds: IP4, Codes: listed(), Weight: 1, TestListed: testPoint,
			What: Text{"senders of backscatter", "émetteurs de rétrodiffusion"}, LookupURL: "https://spameatingmonkey.com/"},
		{Name: "virusfree.cz", Zone: "bip.virusfree.cz", Kinds: IP4 | IP6, Codes: listed(), Weight: 2,
			What: Text{"machines of botnets", "machines de botnets"}, LookupURL: "https://virusfree.cz/"},
		{Name: "blocklist.de", Zone: "bl.blocklist.de", Kinds: IP4, Codes: anyCode(), Weight: 3, TestListed: testPoint,
			What:      Text{"attacks on mail, SSH and web logins", "attaques contre le courriel, SSH et les accès web"},
			LookupURL: "https://www.blocklist.de/", DelistURL: "https://www.blocklist.de/en/delist.html", Terms: Text{"free; a sign of compromise more than of spam", "libre ; signe de compromission plus que de spam"}},
		{Name: "DroneBL", Zone: "dnsbl.dronebl.org", Kinds: IP4 | IP6, Weight: 2, TestListed: testPoint,
			What: Text{"drones, proxies, brute force", "drones, proxys, force brute"}, LookupURL: "https://dronebl.org/lookup", Terms: Text{"free, commercial use included", "libre, usage commercial compris"},
			Codes: []Code{code("127.0.0.3", "irc-drone", "IRC drone", "drone IRC"), code("127.0.0.5", "ddos-drone", "DDoS drone", "drone de déni de service"),
				code("127.0.0.6", "web-exploit", "exploited web page", "page web exploitée"), code("127.0.0.8", "socks", "SOCKS proxy", "proxy SOCKS"),
				code("127.0.0.9", "http-proxy", "HTTP proxy", "proxy HTTP"), code("127.0.0.10", "router", "exploited router", "routeur exploité"),
				code("127.0.0.11", "spam-drone", "spam drone", "drone de spam"), code("127.0.0.13", "brute-force", "brute force", "force brute"),
				code("127.0.0.14", "open-resolver", "open resolver", "résolveur ouvert"), code("127.0.0.16", "ddos", "DDoS", "déni de service")}},
		{Name: "hostkarma", Zone: "hostkarma.junkemailfilter.com", Kinds: IP4, Weight: 1,
			What: Text{"reputation as colours; check its health first", "réputation par couleurs ; à vérifier d'abord"}, LookupURL: "https://junkemailfilter.com/",
			Codes: []Code{neutral("127.0.0.1", "white", "good", "bon"), code("127.0.0.2", "black", "source of spam", "source de spam"),
				neutral("127.0.0.3", "yellow", "mixed", "mêlé"), neutral("127.0.0.4", "brown", "doubtful", "douteux"), neutral("127.0.0.5", "nobl", "not to be listed", "à ne pas inscrire")}},
		{Name: "SPFBL", Zone: "dnsbl.spfbl.net", Kinds: IP4 | IP6, Weight: 1,
			What: Text{"complaints", "plaintes"}, LookupURL: "https://spfbl.net/", Terms: Text{"one question in 100 ms; for scoring only; REFUSED over the limit; removal may cost a fee", "une question toutes les 100 ms ; pour une notation seulement ; REFUSED au-delà ; le retrait peut être payant"},
			Codes: []Code{code("127.0.0.2", "spam", "confirmed spam", "spam confirmé"),
				neutral("127.0.0.3", "suspicious", "suspicious or badly configured", "suspect ou mal configuré"),
				neutral("127.0.0.4", "residential", "not a mail server", "pas un serveur de courriel")}},
		{Name: "S5H", Zone: "all.s5h.net", Traps: true, Kinds: IP4, Codes: listed(), Weight: 1, TestListed: testPoint, What: Text{"spam traps", "pièges à spam"}},
		{Name: "0SPAM", Zone: "bl.0spam.org", Kinds: IP4, Codes: anyCode(), Weight: 1, What: Text{"bad hosts", "mauvais hôtes"}, LookupURL: "https://0spam.org/"},
		{Name: "NordSpam", Zone: "bl.nordspam.com", Traps: true, Kinds: IP4 | IP6, Codes: listed(), Weight: 1, TestListed: testPoint,
			What: Text{"Nordic spam traps", "pièges à spam nordiques"}, LookupURL: "https://www.nordspam.com/", Terms: Text{"free", "libre"}},
		{Name: "Suomispam", Zone: "bl.suomispam.net", Kinds: IP4 | IP6, Codes: listed(), Weight: 1, TestListed: testPoint,
			What: Text{"spam in Finnish", "spam finnois"}, LookupURL: "https://suomispam.net/", Terms: Text{"free", "libre"}},
		{Name: "SWINOG", Zone: "spamrbl.swinog.ch", Traps: true, Kinds: IP4, Codes: anyCode(), Weight: 1, TestListed: testPoint,
			What: Text{"Swiss spam traps", "pièges à spam suisses"}, LookupURL: "https://antispam.imp.ch/"},
		{Name: "GBUdb Truncate", Zone: "truncate.gbudb.net", Kinds: IP4, Codes: listed(), Weight: 1, TestListed: testPoint,
			What: Text{"addresses with more than 95 % spam", "adresses à plus de 95 % de spam"}, LookupURL: "https://www.gbudb.com/"},
		{Name: "Lashback UBL", Zone: "ubl.unsubscore.com", Kinds: IP4, Codes: listed(), Weight: 2, TestListed: testPoint,
			What: Text{"mail after unsubscribing", "courriel après désinscription"}, LookupURL: "https://blacklist.lashback.com/"},
		{Name: "InterServer", Zone: "rbl.interserver.net", Kinds: IP4, Codes: listed(), Weight: 1,
			What: Text{"sensors of a hosting company", "capteurs d'un hébergeur"}, LookupURL: "https://www.interserver.net/"},
		{Name: "abuse.ro", Zone: "rbl.abuse.ro", Kinds: IP4, Codes: anyCode(), Weight: 1, What: Text{"abuse seen in Romania", "abus vus en Roumanie"}, LookupURL: "https://abuse.ro/"},
		{Name: "ivmSIP", Zone: "ivmsip.invaluement.com", Kinds: IP4, Codes: listed(), Weight: 3, Access: Registration,
			What: Text{"snowshoe senders", "expéditeurs en ordre dispersé"}, LookupURL: "https://www.invaluement.com/lookup/", Terms: Text{"subscription; without it the zone gives nothing", "abonnement ; sans lui, la zone ne donne rien"}},
		{Name: "ivmSIP24", Zone: "ivmsip24.invaluement.com", Kinds: IP4, Codes: listed(), Weight: 3, Access: Registration,
			What: Text{"ranges of snowshoe senders", "plages d'expéditeurs en ordre dispersé"}, LookupURL: "https://www.invaluement.com/lookup/", Terms: Text{"subscription; without it the zone gives nothing", "abonnement ; sans lui, la zone ne donne rien"}},
	}
}

// rangeLists are lists that hold whole ranges, or facts that are not about spam: for display, never a cause for alarm alone.
func rangeLists() []List {
	const uce = "https://www.uceprotect.net/en/rblcheck.php"
	return []List{
		{Name: "UCEPROTECT-1", Zone: "dnsbl-1.uceprotect.net", Traps: true, Kinds: IP4, Codes: listed(), Weight: 2, TestListed: testPoint, LookupURL: uce,
			What: Text{"single addresses that hit traps", "adresses isolées tombées dans des pièges"}, Terms: Text{"free; expires after 7 days", "libre ; expire après 7 jours"}},
		{Name: "UCEPROTECT-2", Zone: "dnsbl-2.uceprotect.net", Kinds: IP4, Codes: listed(), TestListed: testPoint, LookupURL: uce,
			What: Text{"ranges with several addresses in level 1", "plages ayant plusieurs adresses au niveau 1"}, Terms: Text{"free; never a reason for alarm alone", "libre ; jamais une raison de s'alarmer à elle seule"}},
		{Name: "UCEPROTECT-3", Zone: "dnsbl-3.uceprotect.net", Kinds: IP4, Codes: listed(), TestListed: testPoint, LookupURL: uce,
			What: Text{"whole networks", "réseaux entiers"}, Terms: Text{"free; never a reason for alarm alone", "libre ; jamais une raison de s'alarmer à elle seule"}},
		{Name: "Backscatterer", Zone: "ips.backscatterer.org", Kinds: IP4, Codes: listed(), TestListed: testPoint,
			What:      Text{"senders of backscatter and callouts", "émetteurs de rétrodiffusion et de vérifications"},
			LookupURL: "https://www.backscatterer.org/", Terms: Text{"free; reject at RCPT rather than bounce; expires after 28 days", "libre ; refuser au RCPT plutôt que renvoyer un avis ; expire après 28 jours"}},
		{Name: "EFnet RBL", Zone: "rbl.efnetrbl.org", Kinds: IP4, Codes: []Code{code("127.0.0.1-5", "listed", "proxy, Tor or drone", "proxy, Tor ou drone")},
			What: Text{"proxies, Tor and drones seen on IRC", "proxys, Tor et drones vus sur IRC"}, LookupURL: "https://rbl.efnetrbl.org/"},
		{Name: "dan.me.uk Tor", Zone: "tor.dan.me.uk", Kinds: IP4, Codes: []Code{code("127.0.0.100", "tor", "Tor node", "nœud Tor")},
			What: Text{"Tor nodes", "nœuds Tor"}, LookupURL: "https://www.dan.me.uk/dnsbl"},
		{Name: "dan.me.uk Tor exits", Zone: "torexit.dan.me.uk", Kinds: IP4, Codes: []Code{code("127.0.0.100", "tor-exit", "Tor exit", "sortie Tor")},
			What: Text{"Tor exits", "sorties Tor"}, LookupURL: "https://www.dan.me.uk/dnsbl"},
		{Name: "IRCBL", Zone: "rbl.ircbl.org", Kinds: IP4, Codes: anyCode(), What: Text{"abuse of IRC", "abus d'IRC"}},
	}
}

func spamrats() []List {
	const url = "https://www.spamrats.com/removal.php"
	terms := Text{"free key recommended; resolvers without PTR are refused with other answers", "clé gratuite recommandée ; les résolveurs sans PTR sont refusés par d'autres réponses"}
	dyna := code("127.0.0.36", "dyna", "dynamic or generic reverse name", "nom inverse dynamique ou générique")
	noptr := code("127.0.0.37", "noptr", "no reverse name", "aucun nom inverse")
	spam := code("127.0.0.38", "spam", "abusive sender", "expéditeur abusif")
	auth := code("127.0.0.43", "auth", "attacks on logins", "attaques contre les identifiants")
	dyna.EgressOnly, noptr.EgressOnly = true, true
	var out []List
	for _, z := range []struct {
		zone  string
		what  Text
		codes []Code
	}{
		{"dyna", dyna.Meaning, []Code{dyna}}, {"noptr", noptr.Meaning, []Code{noptr}}, {"spam", spam.Meaning, []Code{spam}},
		{"auth", auth.Meaning, []Code{auth}}, {"all", Text{"dyna, noptr and spam in one", "dyna, noptr et spam en une seule"}, []Code{dyna, noptr, spam}},
	} {
		l := List{Name: "SpamRATS " + z.zone, Zone: z.zone + ".spamrats.com", Kinds: IP4, What: z.what, Codes: z.codes, Weight: 2,
			LookupURL: url, DelistURL: url, Terms: terms}
		if z.zone != "all" && z.zone != "auth" {
			l.PartOf = "all.spamrats.com"
		}
		out = append(out, l)
	}
	return out
}

func abusix() []List {
	const url = "https://lookup.abusix.com/"
	terms := Text{"free key for small sites; without a key the zone gives no answer", "clé gratuite pour les petits sites ; sans clé, la zone ne répond pas"}
	black := []Code{code("127.0.0.2", "trap", "wrote to spam traps", "a écrit à des pièges"), code("127.0.0.3", "heuristic", "behaves like a source of spam", "se comporte comme une source de spam"),
		code("127.0.0.200", "manual", "listed by hand", "inscrit à la main")}
	exploit := []Code{code("127.0.0.4", "exploit", "compromised machine", "machine compromise")}
	policy := []Code{egress("127.0.0.11", "generic", "generic reverse name", "nom inverse générique"), egress("127.0.0.12", "nordns", "no reverse name", "aucun nom inverse")}
	combined := append(append(append([]Code{}, black...), exploit...), policy...)
	all := []List{
		{Name: "Abusix combined", Zone: "<key>.combined.mail.abusix.zone", Kinds: IP4 | IP6, Codes: combined, Weight: 4, TestListed: testPoint,
			What: Text{"black, exploit and dynamic in one", "black, exploit et dynamic en une seule"}},
		{Name: "Abusix black", Zone: "<key>.black.mail.abusix.zone", Kinds: IP4 | IP6, Codes: black, Weight: 4, PartOf: "<key>.combined.mail.abusix.zone",
			What: Text{"hits on spam traps; about 5 days", "touches de pièges ; 5 jours environ"}},
		{Name: "Abusix exploit", Zone: "<key>.exploit.mail.abusix.zone", Kinds: IP4, Codes: exploit, Weight: 4, PartOf: "<key>.combined.mail.abusix.zone",
			What: Text{"compromised machines", "machines compromises"}},
		{Name: "Abusix dynamic", Zone: "<key>.dynamic.mail.abusix.zone", Kinds: IP4, Codes: policy, Weight: 3, PartOf: "<key>.combined.mail.abusix.zone", TestListed: testPoint,
			What: Text{"generic or missing reverse names", "noms inverses génériques ou absents"}},
		{Name: "Abusix dblack", Zone: "<key>.dblack.mail.abusix.zone", Traps: true, Kinds: Domain | HostIP4, Weight: 4, Registrable: true,
			What: Text{"domains in mail to traps", "domaines vus dans le courriel des pièges"},
			Codes: []Code{code("127.0.1.1", "listed", "domain seen in mail to traps", "domaine vu dans le courriel des pièges"),
				neutral("127.0.1.2", "new", "newly observed domain", "domaine nouvellement vu")}},
		{Name: "Abusix nod", Zone: "<key>.nod.mail.abusix.zone", Kinds: Domain, Weight: 2, Registrable: true, What: Text{"newly observed domains", "domaines nouvellement vus"},
			Codes: []Code{neutral("127.0.*.*", "new", "newly observed domain", "domaine nouvellement vu")}},
		{Name: "Abusix shorthash", Zone: "<key>.shorthash.mail.abusix.zone", Kinds: Hash, Codes: anyCode(), Weight: 2, What: Text{"hashes of shortened links", "empreintes de liens raccourcis"}},
		{Name: "Abusix diskhash", Zone: "<key>.diskhash.mail.abusix.zone", Kinds: Hash, Codes: anyCode(), Weight: 2, What: Text{"hashes of links to shared drives", "empreintes de liens vers des espaces partagés"}},
	}
	for i := range all {
		all[i].Access, all[i].LookupURL, all[i].DelistURL, all[i].Terms = Key, url, url, terms
	}
	return all
}
