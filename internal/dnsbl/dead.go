package dnsbl

import "strings"

// Dead tells whether zone must never be asked, and why: it is closed, empty, or its domain was sold and it now lists the world. An
// operator who configures such a zone is to be refused with the reason.
func Dead(zone string) (why string, dead bool) {
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
		return "the DRBL zones were given up, 2024", true
	}
	return "", false
}

// deadTrees are dead with everything below them.
var deadTrees = map[string]string{
	"sorbs.net":        "SORBS was decommissioned on 5 June 2024 and its zones emptied",
	"ahbl.org":         "AHBL closed in 2015 and lists the world",
	"msrbl.net":        "MSRBL is closed",
	"sectoor.de":       "closed, June 2018",
	"rfc-ignorant.org": "closed, 2012",
	"dnsbl.net.au":     "not maintained any more",
	"dnsrbl.org":       "the domain is for sale, 2026",
}

// deadZones are dead by themselves.
var deadZones = map[string]string{
	"swl.spamhaus.org":                "the Spamhaus allow list is closed, 2018",
	"_vouch.dwl.spamhaus.org":         "the Spamhaus allow list is closed, 2018",
	"rbl.spamhaus.org":                "never existed; configured by mistake it rejects all",
	"sbl-xbl.spamhaus.org":            "replaced by zen.spamhaus.org",
	"cbl.abuseat.org":                 "its data is in zen.spamhaus.org",
	"ix.dnsbl.manitu.net":             "NiX Spam closed on 16 January 2025",
	"db.wpbl.info":                    "closed",
	"dnsbl.inps.de":                   "suspended on 25 May 2020",
	"bl.spamcannibal.org":             "the domain lapsed on 30 May 2019 and lists the world",
	"bl.emailbasura.org":              "the domain was sold in October 2019 and lists the world",
	"spam.dnsbl.anonmails.de":         "answers an address outside 127/8 since November 2024",
	"dnsbl.cyberlogic.net":            "closed",
	"virbl.bit.nl":                    "closed, January 2017",
	"virbl.dnsbl.bit.nl":              "closed, January 2017",
	"rbl.lugh.ch":                     "closed, 2024",
	"dnsbl.madavi.de":                 "closed, 2025",
	"sbl.spamdown.org":                "closed, 2026",
	"dnsbl.anticaptcha.net":           "closed, 2021",
	"dnsbl6.anticaptcha.net":          "closed, 2021",
	"dynip.rothen.com":                "closed, 2020",
	"rbl.megarbl.net":                 "closed, November 2019",
	"rbl.suresupport.com":             "closed, 2019",
	"no-more-funn.moensted.dk":        "closed, 2019",
	"dul.ru":                          "given up, 2016",
	"list.dsbl.org":                   "closed, 2008",
	"relays.ordb.org":                 "closed; in 2008 it listed every address",
	"bad.psky.me":                     "the domain is for sale, 2026",
	"blackholes.five-ten-sg.com":      "closed",
	"combined.abuse.ch":               "closed",
	"spam.abuse.ch":                   "closed",
	"drone.abuse.ch":                  "closed",
	"dnsbl.abuse.ch":                  "closed",
	"spamrbl.imp.ch":                  "renamed to spamrbl.swinog.ch",
	"wormrbl.imp.ch":                  "not named by its operator any more",
	"origin.asn.cymru.com":            "tells whose network an address is in; it is no blocklist",
	"origin.asn.spameatingmonkey.net": "tells whose network an address is in; it is no blocklist",
}
