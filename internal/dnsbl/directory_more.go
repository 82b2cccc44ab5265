package dnsbl

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
			What: Text{"trusted senders", "expéditeurs de confiance"}, LookupURL: "https://www.dnswl.org/s/", Terms: "limited; excess is blocked; register your own addresses"},
		{Name: "DNSWL DKIM", Zone: "dwl.dnswl.org", Kinds: Domain, Codes: trust, Refusals: refused, Weight: 1,
			What: Text{"trusted DKIM domains", "domaines DKIM de confiance"}, LookupURL: "https://www.dnswl.org/s/", Terms: "as list.dnswl.org"},
		{Name: "Mailspike WL", Zone: "wl.mailspike.net", Kinds: IP4, Weight: 1, What: Text{"good reputations", "bonnes réputations"}, LookupURL: "https://www.mailspike.org/",
			Codes: []Code{code("127.0.0.17", "H2", "fair reputation", "réputation correcte"), code("127.0.0.18", "H3", "good reputation", "bonne réputation"),
				code("127.0.0.19", "H4", "very good reputation", "très bonne réputation"), code("127.0.0.20", "H5", "excellent reputation", "excellente réputation")}},
		{Name: "Validity Certified", Zone: "sa-trusted.bondedsender.org", Kinds: IP4, Codes: anyCode(), Weight: 1, Access: Registration,
			What: Text{"certified senders", "expéditeurs certifiés"}, LookupURL: "https://www.validity.com/", Terms: "account and registered resolver"},
		{Name: "Validity Safe", Zone: "sa-accredit.habeas.com", Kinds: IP4, Codes: anyCode(), Weight: 1, Access: Registration,
			What: Text{"accredited senders", "expéditeurs accrédités"}, LookupURL: "https://www.validity.com/", Terms: "account and registered resolver"},
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
			LookupURL: "https://senderscore.org/", Terms: "account and registered resolver"},
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
			LookupURL: "https://surbl.org/surbl-analysis", DelistURL: "https://surbl.org/surbl-analysis", Terms: "free for small sites"},
		{Name: "URIBL", Zone: "multi.uribl.com", Kinds: Domain, Weight: 4, Default: true, Registrable: true, Refusals: blocked(), TestListed: testPoint,
			What: Text{"domains in links of spam; only black scores", "domaines des liens de spam ; seul black compte"}, Codes: []Code{black, grey, red},
			LookupURL: "https://lookup.uribl.com/", DelistURL: "https://admin.uribl.com/", Terms: "low volume; public resolvers are refused"},
		single("black.uribl.com", black), single("grey.uribl.com", grey), single("red.uribl.com", red),
		{Name: "SEM-URI", Zone: "uribl.spameatingmonkey.net", Kinds: Domain, Weight: 3, Registrable: true, What: Text{"domains of spam", "domaines de spam"},
			Codes: []Code{bit(2, "listed", "domain of spam", "domaine de spam")}, LookupURL: "https://spameatingmonkey.com/"},
		fresh, fresh10, fresh15,
		{Name: "NordSpam DBL", Zone: "dbl.nordspam.com", Kinds: Domain, Codes: listed(), Weight: 1, Registrable: true, What: Text{"domains of spam", "domaines de spam"},
			LookupURL: "https://www.nordspam.com/", Terms: "free"},
		{Name: "abuse.ro URI", Zone: "uribl.abuse.ro", Kinds: Domain, Codes: anyCode(), Weight: 1, Registrable: true, What: Text{"abuse seen in Romania", "abus vus en Roumanie"},
			LookupURL: "https://abuse.ro/"},
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
		{Name: "rspamd URIBL", Zone: "uribl.rspamd.com", Kinds: Hash, Codes: listed(), Weight: 2, What: Text{"hashed domains", "domaines hachés"}, Terms: "for users of rspamd"},
		{Name: "rspamd email", Zone: "email.rspamd.com", Kinds: Hash, Codes: listed(), Weight: 2, What: Text{"hashed addresses", "adresses hachées"}, Terms: "for users of rspamd"},
	}
}
