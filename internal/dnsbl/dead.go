package dnsbl

import "strings"

// Dead tells whether zone must never be asked, and why: it is closed, empty, or its domain was sold and it now lists the world. An
// operator who configures such a zone is to be refused with the reason.
func Dead(zone string) (why string, dead bool) {
	text, dead := DeadText(zone)
	return text.EN, dead
}

// DeadText is Dead in both languages.
func DeadText(zone string) (why Text, dead bool) {
	zone = strings.ToLower(strings.TrimSuffix(zone, "."))
	if why, ok := deadZones[zone]; ok {
		return why, true
	}
	for rest := zone; rest != ""; {
		if why, ok := deadTrees[rest]; ok {
			return why, true
		}
		_, rest, _ = strings.Cut(rest, ".")
	}
	if strings.Contains("."+zone+".", ".drbl.") {
		return Text{"the DRBL zones were given up, 2024", "les zones DRBL ont été abandonnées, 2024"}, true
	}
	return Text{}, false
}

// deadTrees are dead with everything below them.
var deadTrees = map[string]Text{
	"sorbs.net":        {"SORBS was decommissioned on 5 June 2024 and its zones emptied", "SORBS a été arrêté le 5 juin 2024 et ses zones vidées"},
	"ahbl.org":         {"AHBL closed in 2015 and lists the world", "AHBL a fermé en 2015 et inscrit le monde entier"},
	"msrbl.net":        {"MSRBL is closed", "MSRBL est fermé"},
	"sectoor.de":       {"closed, June 2018", "fermée, juin 2018"},
	"rfc-ignorant.org": {"closed, 2012", "fermée, 2012"},
	"dnsbl.net.au":     {"not maintained any more", "n'est plus entretenue"},
	"dnsrbl.org":       {"the domain is for sale, 2026", "le domaine est à vendre, 2026"},
}

// deadZones are dead by themselves.
var deadZones = map[string]Text{
	"swl.spamhaus.org":                {"the Spamhaus allow list is closed, 2018", "la liste d'autorisation de Spamhaus est fermée, 2018"},
	"_vouch.dwl.spamhaus.org":         {"the Spamhaus allow list is closed, 2018", "la liste d'autorisation de Spamhaus est fermée, 2018"},
	"rbl.spamhaus.org":                {"never existed; configured by mistake it rejects all", "n'a jamais existé ; configurée par erreur, elle fait tout refuser"},
	"sbl-xbl.spamhaus.org":            {"replaced by zen.spamhaus.org", "remplacée par zen.spamhaus.org"},
	"cbl.abuseat.org":                 {"its data is in zen.spamhaus.org", "ses données sont dans zen.spamhaus.org"},
	"ix.dnsbl.manitu.net":             {"NiX Spam closed on 16 January 2025", "NiX Spam a fermé le 16 janvier 2025"},
	"db.wpbl.info":                    {"closed", "fermée"},
	"dnsbl.inps.de":                   {"suspended on 25 May 2020", "suspendue le 25 mai 2020"},
	"bl.spamcannibal.org":             {"the domain lapsed on 30 May 2019 and lists the world", "le domaine est tombé le 30 mai 2019 et inscrit le monde entier"},
	"bl.emailbasura.org":              {"the domain was sold in October 2019 and lists the world", "le domaine a été vendu en octobre 2019 et inscrit le monde entier"},
	"spam.dnsbl.anonmails.de":         {"answers an address outside 127/8 since November 2024", "répond depuis novembre 2024 par une adresse hors de 127/8"},
	"dnsbl.cyberlogic.net":            {"closed", "fermée"},
	"virbl.bit.nl":                    {"closed, January 2017", "fermée, janvier 2017"},
	"virbl.dnsbl.bit.nl":              {"closed, January 2017", "fermée, janvier 2017"},
	"rbl.lugh.ch":                     {"closed, 2024", "fermée, 2024"},
	"dnsbl.madavi.de":                 {"closed, 2025", "fermée, 2025"},
	"sbl.spamdown.org":                {"closed, 2026", "fermée, 2026"},
	"dnsbl.anticaptcha.net":           {"closed, 2021", "fermée, 2021"},
	"dnsbl6.anticaptcha.net":          {"closed, 2021", "fermée, 2021"},
	"dynip.rothen.com":                {"closed, 2020", "fermée, 2020"},
	"rbl.megarbl.net":                 {"closed, November 2019", "fermée, novembre 2019"},
	"rbl.suresupport.com":             {"closed, 2019", "fermée, 2019"},
	"no-more-funn.moensted.dk":        {"closed, 2019", "fermée, 2019"},
	"dul.ru":                          {"given up, 2016", "abandonnée, 2016"},
	"list.dsbl.org":                   {"closed, 2008", "fermée, 2008"},
	"relays.ordb.org":                 {"closed; in 2008 it listed every address", "fermée ; en 2008, elle inscrivait toutes les adresses"},
	"bad.psky.me":                     {"the domain is for sale, 2026", "le domaine est à vendre, 2026"},
	"blackholes.five-ten-sg.com":      {"closed", "fermée"},
	"combined.abuse.ch":               {"closed", "fermée"},
	"spam.abuse.ch":                   {"closed", "fermée"},
	"drone.abuse.ch":                  {"closed", "fermée"},
	"dnsbl.abuse.ch":                  {"closed", "fermée"},
	"spamrbl.imp.ch":                  {"renamed to spamrbl.swinog.ch", "renommée en spamrbl.swinog.ch"},
	"wormrbl.imp.ch":                  {"not named by its operator any more", "n'est plus nommée par son opérateur"},
	"origin.asn.cymru.com":            {"tells whose network an address is in; it is no blocklist", "dit dans quel réseau est une adresse ; ce n'est pas une liste noire"},
	"origin.asn.spameatingmonkey.net": {"tells whose network an address is in; it is no blocklist", "dit dans quel réseau est une adresse ; ce n'est pas une liste noire"},
}
