package dnsbl

import "strings"

func allowLists() []List {
	trust := []Code{
		code("127.0.*.0", "none", "known, no trust", "connu, sans confiance"), code("127.0.*.1", "low", "low trust", "confiance faible"),
		code("127.0.*.2", "medium", "medium trust", "confiance moyenne"), code("127.0.*.3", "high", "high trust", "confiance forte"),
	}
	refused := []Code{
		code("127.0.*.255", "blocked", "resolver blocked: too many questions", "résolveur bloqué : trop de questions"),
		code("127.0.10.*", "blocked", "resolver blocked: too many questions", "résolveur bloqué : trop de questions"),
	}
	all := []List{
		{Name: "DNSWL", Zone: "list.dnswl.org", Kinds: IP4 | IP6, Codes: trust, Refusals: refused, Weight: 2, Default: true,
			What: Text{"trusted senders", "expéditeurs de confiance"}, LookupURL: "https://www.dnswl.org/s/", Terms: Text{"limited; excess is blocked; register your own addresses", "limité ; l'excès est bloqué ; enregistrez vos propres adresses"}},
		{Name: "DNSWL DKIM", Zone: "dwl.dnswl.org", Kinds: Domain, Codes: trust, Refusals: refused, Weight: 1,
			What: Text{"trusted DKIM domains", "domaines DKIM de confiance"}, LookupURL: "https://www.dnswl.org/s/", Terms: Text{"as list.dnswl.org", "comme list.dnswl.org"}},
		{Name: "Mailspike WL", Zone: "wl.mailspike.net", Kinds: IP4, Weight: 1, What: Text{"good reputations", "bonnes réputations"}, LookupURL: "https://www.mailspike.org/",
			Codes: []Code{code("127.0.0.17", "H2", "fair reputation", "réputation correcte"), code("127.0.0.18", "H3", "good reputation", "bonne réputation"),
				code("127.0.0.19", "H4", "very good reputation", "très bonne réputation"), code("127.0.0.20", "H5", "excellent reputation", "excellente réputation")}},
		{Name: "Validity Certified", Zone: "sa-trusted.bondedsender.org", Kinds: IP4, Codes: anyCode(), Weight: 1, Access: Registration,
			What: Text{"certified senders", "expéditeurs certifiés"}, LookupURL: "https://www.validity.com/", Terms: Text{"account and registered resolver", "compte et résolveur enregistré"}},
		{Name: "Validity Safe", Zone: "sa-accredit.habeas.com", Kinds: IP4, Codes: anyCode(), Weight: 1, Access: Registration,
			What: Text{"accredited senders", "expéditeurs accrédités"}, LookupURL: "https://www.validity.com/", Terms: Text{"account and registered resolver", "compte et résolveur enregistré"}},
		{Name: "ISIPP IADB", Zone: "iadb.isipp.com", Kinds: IP4, Weight: 1, What: Text{"accreditation (paid)", "accréditation (payante)"}, LookupURL: "https://www.isipp.com/",
			Codes: []Code{code("127.0.0.1-2", "listed", "accredited", "accrédité"), neutral("127.2.255.1-5", "attribute", "attribute of the sender", "attribut de l'expéditeur"),
				neutral("127.3.100.*", "attribute", "attribute of the sender", "attribut de l'expéditeur")}},
		{Name: "whitelisted.org", Zone: "ips.whitelisted.org", Kinds: IP4, Codes: listed(), What: Text{"paid allow list", "liste d'autorisation payante"}, LookupURL: "https://www.whitelisted.org/"},
		{Name: "SPFBL allow list", Zone: "dnswl.spfbl.net", Kinds: IP4, Weight: 1, What: Text{"good reputations", "bonnes réputations"}, LookupURL: "https://spfbl.net/dnswl/",
			Codes: []Code{code("127.0.0.2", "excellent", "excellent", "excellent"), code("127.0.0.3", "indispensable", "indispensable", "indispensable"),
				code("127.0.0.4", "corporate", "corporate", "entreprise"), code("127.0.0.5", "bulk", "safe bulk sender", "envoi en nombre sûr")}},
	}
	for i := range all {
		all[i].Allow = true
	}
	return all
}

// scoreLists give a figure, not a listing: every code of theirs is neutral.
func scoreLists() []List {
	return []List{
		{Name: "Mailspike reputation", Zone: "rep.mailspike.net", Kinds: IP4, What: Text{"reputation from L5 (worst) to H5 (best)", "réputation de L5 (pire) à H5 (meilleure)"},
			Codes: []Code{neutral("127.0.0.10-12", "bad", "bad reputation", "mauvaise réputation"), neutral("127.0.0.13-16", "neutral", "neutral reputation", "réputation neutre"),
				neutral("127.0.0.17-20", "good", "good reputation", "bonne réputation")}, LookupURL: "https://www.mailspike.org/", Weight: 2},
		{Name: "Sender Score", Zone: "score.senderscore.com", Kinds: IP4, Weight: 2, Access: Registration, What: Text{"score 0 to 100 in the last octet", "note de 0 à 100 dans le dernier octet"},
			Codes:     []Code{neutral("127.0.4.0-100", "score", "Sender Score", "Sender Score")},
			Refusals:  []Code{code("127.0.4.127", "excess", "too many questions", "trop de questions")},
			LookupURL: "https://senderscore.org/", Terms: Text{"account and registered resolver", "compte et résolveur enregistré"}},
		{Name: "DKIMWL", Zone: "lookup.dkimwl.org", Kinds: Domain, Weight: 1, What: Text{"reputation of DKIM domains", "réputation de domaines DKIM"},
			Codes: []Code{neutral("127.*.*.0-5", "score", "0 bad to 5 high", "de 0 (mauvais) à 5 (haut)")}, LookupURL: "https://dkimwl.org/"},
	}
}

func domainLists() []List {
	bySEM := func(days string) List {
		return List{Name: "SEM-FRESH " + days, Kinds: Domain, Weight: 1, Registrable: true,
			Codes: []Code{{Pattern: "127.0.0.*", Bit: 2, Name: "fresh", Meaning: Text{"domain registered less than " + days + " days ago", "domaine enregistré depuis moins de " + days + " jours"}, Neutral: true}},
			What:  Text{"domains registered less than " + days + " days ago", "domaines enregistrés depuis moins de " + days + " jours"}, LookupURL: "https://spameatingmonkey.com/"}
	}
	fresh, fresh10, fresh15 := bySEM("5"), bySEM("10"), bySEM("15")
	fresh.Zone, fresh10.Zone, fresh15.Zone = "fresh.spameatingmonkey.net", "fresh10.spameatingmonkey.net", "fresh15.spameatingmonkey.net"
	single := func(zone string, c Code) List {
		return List{Name: "URIBL " + c.Name, Zone: zone, Kinds: Domain, Weight: 4, Registrable: true, PartOf: "multi.uribl.com", What: c.Meaning,
			Codes: []Code{{Pattern: "127.0.0.2", Name: c.Name, Meaning: c.Meaning}}, Refusals: blocked(), LookupURL: "https://lookup.uribl.com/"}
	}
	black := bit(2, "black", "domain of spam", "domaine de spam")
	grey := bit(4, "grey", "domain of bulk mail that not everybody asked for", "domaine d'envois en nombre parfois non demandés")
	red := bit(8, "red", "domain under watch", "domaine sous surveillance")
	return []List{
		{Name: "SURBL", Zone: "multi.surbl.org", Kinds: Domain | HostIP4, Weight: 5, Default: true, Registrable: true, Refusals: blocked(),
			What: Text{"domains in links of spam", "domaines des liens de spam"},
			Codes: []Code{bit(4, "DM", "disposable mail domain", "domaine d'adresses jetables"), bit(8, "PH", "phishing", "hameçonnage"), bit(16, "MW", "malware", "logiciels malveillants"),
				bit(32, "CT", "click tracker", "suivi de clics"), bit(64, "ABUSE", "spam and other abuse", "spam et autres abus"), bit(128, "CR", "cracked site", "site piraté")},
			LookupURL: "https://surbl.org/surbl-analysis", DelistURL: "https://surbl.org/surbl-analysis", Terms: Text{"free for small sites", "libre pour les petits sites"}},
		{Name: "URIBL", Zone: "multi.uribl.com", Kinds: Domain, Weight: 4, Default: true, Registrable: true, Refusals: blocked(), TestListed: testPoint,
			What: Text{"domains in links of spam; only black scores", "domaines des liens de spam ; seul black compte"}, Codes: []Code{black, grey, red},
			LookupURL: "https://lookup.uribl.com/", DelistURL: "https://admin.uribl.com/", Terms: Text{"low volume; public resolvers are refused", "faible volume ; les résolveurs publics sont refusés"}},
		single("black.uribl.com", black), single("grey.uribl.com", grey), single("red.uribl.com", red),
		{Name: "SEM-URI", Zone: "uribl.spameatingmonkey.net", Kinds: Domain, Weight: 3, Registrable: true, What: Text{"domains of spam", "domaines de spam"},
			Codes: []Code{bit(2, "listed", "domain of spam", "domaine de spam")}, LookupURL: "https://spameatingmonkey.com/"},
		fresh, fresh10, fresh15,
		{Name: "NordSpam DBL", Zone: "dbl.nordspam.com", Kinds: Domain, Codes: listed(), Weight: 1, Registrable: true, What: Text{"domains of spam", "domaines de spam"},
			LookupURL: "https://www.nordspam.com/", Terms: Text{"free", "libre"}},
		{Name: "abuse.ro URI", Zone: "uribl.abuse.ro", Kinds: Domain, Codes: anyCode(), Weight: 1, Registrable: true, What: Text{"abuse seen in Romania", "abus vus en Roumanie"},
			LookupURL: "https://abuse.ro/"},
		{Name: "ivmURI", Zone: "ivmuri.invaluement.com", Kinds: Domain, Codes: listed(), Weight: 3, Access: Registration, Registrable: true, What: Text{"domains of snowshoe senders", "domaines d'expéditeurs en ordre dispersé"},
			LookupURL: "https://www.invaluement.com/lookup/", Terms: Text{"subscription; without it the zone gives nothing", "abonnement ; sans lui, la zone ne donne rien"}},
		fmb("bl", "domains with trouble", "domaines à problèmes"), fmb("nsbl", "bad name servers", "mauvais serveurs de noms"), fmb("short", "shorteners", "raccourcisseurs de liens"),
		{Name: "fmb.la fresh", Zone: "fresh.fmb.la", Kinds: Domain, Weight: 1, Registrable: true, What: Text{"new domains", "domaines nouveaux"}, LookupURL: "https://fmb.la/",
			Codes: []Code{neutral("127.2.0.2", "2days", "domain seen for two days", "domaine vu depuis deux jours"), neutral("127.2.0.14", "14days", "domain seen for 14 days", "domaine vu depuis 14 jours"),
				neutral("127.2.0.28", "28days", "domain seen for 28 days", "domaine vu depuis 28 jours")}},
	}
}

// hashLists take hashes of addresses or URLs. They are facts; CheckIP and CheckDomain answer Disabled.
func hashLists() []List {
	return []List{
		{Name: "SURBL hashes", Zone: "hashbl.surbl.org", Kinds: Hash, Weight: 3, Refusals: blocked(), What: Text{"MD5 of shortened links and addresses", "MD5 de liens raccourcis et d'adresses"},
			Codes: []Code{bit(8, "PH", "phishing", "hameçonnage"), bit(16, "MW", "malware", "logiciels malveillants"), bit(64, "ABUSE", "abuse", "abus"), bit(128, "CR", "cracked site", "site piraté"),
				code("127.0.1.1-254", "email", "address of abuse", "adresse d'abus")}, LookupURL: "https://surbl.org/"},
		{Name: "MSBL EBL", Zone: "ebl.msbl.org", Kinds: Hash, Weight: 4, What: Text{"SHA-1 of addresses that scams want answers at", "SHA-1 d'adresses de réponse d'escroqueries"},
			Codes:     []Code{code("127.0.0.2-3", "listed", "address used by scams", "adresse d'escroquerie"), neutral("127.0.1.2-3", "grey", "doubtful address", "adresse douteuse")},
			LookupURL: "https://msbl.org/"},
		{Name: "rspamd URIBL", Zone: "uribl.rspamd.com", Kinds: Hash, Codes: listed(), Weight: 2, What: Text{"hashed domains", "domaines hachés"}, Terms: Text{"for users of rspamd", "pour les utilisateurs de rspamd"}},
		{Name: "rspamd email", Zone: "email.rspamd.com", Kinds: Hash, Codes: listed(), Weight: 2, What: Text{"hashed addresses", "adresses hachées"}, Terms: Text{"for users of rspamd", "pour les utilisateurs de rspamd"}},
	}
}

// fmb is a zone of fmb.la of which no code is documented as a listing: information only.
func fmb(name, en, fr string) List {
	return List{Name: "fmb.la " + name, Zone: name + ".fmb.la", Kinds: Domain, Weight: 1, Registrable: true, What: Text{en, fr}, LookupURL: "https://fmb.la/",
		Codes: []Code{neutral("127.0-2.0.*", "named", en, fr)}}
}

// hearsayLists stand in public collections of zones and nowhere else that we know of. A panel asks them once a test point has proved them.
func hearsayLists() []List {
	one := func(name, zone string, kinds Kind, weight int, url, en, fr string) List {
		return List{Name: name, Zone: zone, Kinds: kinds, Codes: listed(), Weight: weight, Evidence: Hearsay, LookupURL: url, What: Text{en, fr}, Registrable: kinds&Domain != 0}
	}
	wide := func(l List) List {
		l.Codes = anyCode()
		return l
	}
	const nobody, personne = "not documented", "non documenté"
	traps, pieges := "spam traps", "pièges à spam"
	lashback := one("Lashback UBL (lashback.com)", "ubl.lashback.com", IP4, 1, "https://blacklist.lashback.com/", "mail after unsubscribing", "courriel après désinscription")
	lashback.PartOf = "ubl.unsubscore.com"
	six := one("S5H IPv6", "ipv6.all.s5h.net", IP6, 1, "", traps+", IPv6", pieges+", IPv6")
	six.Traps = true
	return []List{
		six,
		wide(one("0SPAM networks", "nbl.0spam.org", IP4, 1, "https://0spam.org/", "networks of bad hosts", "réseaux de mauvais hôtes")),
		wide(one("0SPAM RBL", "rbl.0spam.org", IP4, 1, "https://0spam.org/", "bad hosts", "mauvais hôtes")),
		wide(one("0SPAM URL", "url.0spam.org", Domain, 1, "https://0spam.org/", "domains in links of spam", "domaines des liens de spam")),
		wide(one("0SPAM DBL", "dbl.0spam.org", Domain, 1, "https://0spam.org/", "domains of spam", "domaines de spam")),
		one("Suomispam grey", "gl.suomispam.net", IP4, 0, "https://suomispam.net/", "grey senders", "expéditeurs douteux"),
		one("Suomispam DBL", "dbl.suomispam.net", Domain, 0, "https://suomispam.net/", "domains of spam", "domaines de spam"),
		wide(one("SWINOG DNSRBL", "dnsrbl.swinog.ch", IP4, 1, "https://antispam.imp.ch/", nobody, personne)),
		wide(one("SWINOG URIBL", "uribl.swinog.ch", Domain, 1, "https://antispam.imp.ch/", nobody, personne)),
		lashback,
		one("Redhawk", "access.redhawk.org", IP4, 1, "https://redhawk.org/", nobody, personne),
		one("brukalai.lt black", "black.dnsbl.brukalai.lt", IP4, 0, "", nobody, personne),
		one("brukalai.lt light", "light.dnsbl.brukalai.lt", IP4, 0, "", nobody, personne),
		one("Scientific Spam", "bl.scientificspam.net", IP4, 1, "https://scientificspam.net/", "spam to academics", "spam aux universitaires"),
		one("Scientific Spam domains", "rhsbl.scientificspam.net", Domain, 1, "https://scientificspam.net/", "domains of spam to academics", "domaines de spam aux universitaires"),
		one("JustSpam", "dnsbl.justspam.org", IP4, 1, "https://justspam.org/", nobody, personne),
		one("ZenRBL", "ip4.bl.zenrbl.pl", IP4, 1, "https://zenrbl.pl/", nobody, personne),
		one("v4BL", "free.v4bl.org", IP4, 1, "https://v4bl.org/", nobody, personne),
		wide(one("BlockedServers spam", "spam.rbl.blockedservers.com", IP4, 0, "https://blockedservers.com/", nobody, personne)),
		wide(one("BlockedServers", "rbl.blockedservers.com", IP4, 0, "https://blockedservers.com/", nobody, personne)),
		wide(one("BlockedServers netscan", "netscan.rbl.blockedservers.com", IP4, 0, "https://blockedservers.com/", nobody, personne)),
		one("NoSolicitado", "bl.nosolicitado.org", IP4, 1, "https://nosolicitado.org/", "bulk mail in Spanish", "envois en nombre en espagnol"),
		one("NoSolicitado worst", "bl.worst.nosolicitado.org", IP4, 1, "https://nosolicitado.org/", "worst senders of bulk mail in Spanish", "pires envois en nombre en espagnol"),
		one("Konstant", "bl.konstant.no", IP4, 0, "", nobody, personne),
		one("Woody", "blacklist.woody.ch", IP4, 1, "https://blacklist.woody.ch/", nobody, personne),
		one("JIPPG", "mail-abuse.blacklist.jippg.org", IP4, 0, "https://jippg.org/", "abuse seen in Japan", "abus vus au Japon"),
		one("korea.services.net", "korea.services.net", IP4, 0, "", "addresses in Korea, whatever they send", "adresses de Corée, quoi qu'elles envoient"),
		one("KISA", "spamlist.or.kr", IP4, 0, "", "spam seen in Korea", "spam vu en Corée"),
		wide(one("MailCleaner", "iprbl.mailcleaner.net", IP4, 1, "https://www.mailcleaner.net/", nobody, personne)),
	}
}

// webLists are providers' own lists: no zone, seen in refusals. They are here for their weight and their way out; Zone is the host of the page.
func webLists() []List {
	all := []List{
		{Name: "Cloudmark CSI", Zone: "csi.cloudmark.com", Weight: 4, What: Text{"sender reputation used by Orange, Libero, Optus and others", "réputation utilisée par Orange, Libero, Optus et d'autres"},
			LookupURL: "https://csi.cloudmark.com/reset-request/"},
		{Name: "Proofpoint", Zone: "ipcheck.proofpoint.com", Weight: 4, What: Text{"dynamic reputation used by Apple and companies", "réputation dynamique utilisée par Apple et des entreprises"},
			LookupURL: "https://ipcheck.proofpoint.com/"},
		{Name: "Microsoft (S3140, S3150)", Zone: "olcsupport.office.com", Weight: 5, What: Text{"Outlook.com, Hotmail, Live", "Outlook.com, Hotmail, Live"},
			LookupURL: "https://olcsupport.office.com/"},
		{Name: "Vade", Zone: "sendertool.vadesecure.com", Weight: 4, Evidence: Hearsay, What: Text{"filter of Orange, SFR, La Poste and others", "filtre d'Orange, SFR, La Poste et d'autres"},
			LookupURL: "https://sendertool.vadesecure.com/"},
	}
	for i := range all {
		all[i].Kinds, all[i].Access, all[i].Terms = IP4|IP6, Web, Text{"no zone: seen in refusals, looked up on the page", "pas de zone : vue dans des refus, consultée sur la page"}
	}
	return all
}

// InUse is what a panel is made of where nobody chose: all lists but those without a zone, those of hashes, those that are skipped, and
// those whose data another one of lists holds too. A list with a key stands for the free one with the same data (PartOf).
func InUse(lists []List) []List {
	free := map[string]bool{} // zones that a list with a key replaces
	have := map[string]bool{}
	for _, l := range lists {
		have[l.Zone] = true
		if l.key != nil && l.PartOf != "" && !strings.Contains(l.PartOf, "<key>") {
			free[l.PartOf] = true
		}
	}
	var out []List
	for _, l := range lists {
		keyed := l.key != nil && free[l.PartOf]
		if l.Access == Web || l.Kinds&^Hash == 0 || l.Skip || free[l.Zone] || l.PartOf != "" && have[l.PartOf] && !keyed {
			continue
		}
		out = append(out, l)
	}
	return out
}
