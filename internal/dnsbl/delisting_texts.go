package dnsbl

import (
	"cmp"
	"strings"
)

// Delisting is how this listing ends: where the codes of a list have ways of their own, that of the gravest code found.
func (l Listing) Delisting() Delisting {
	for _, c := range l.Matched {
		if d, ok := codeDelistings()[l.List.Operator+" "+c.Name]; ok && !c.Neutral {
			return d
		}
	}
	return l.List.Delisting
}

// What is done first, by the sort of list.
var (
	stopSpam = Text{
		"Find what sent the mail (the journal around the time of the listing, customers and credentials that stand out), stop it, and wait until the queue holds nothing of it: an address that is listed again soon after a request waits longer.",
		"Trouvez ce qui a émis ces messages (le journal autour de l'heure de l'inscription, les clients et identifiants qui ressortent), arrêtez-le, et attendez que la file n'en contienne plus : une adresse réinscrite peu après une demande attend plus longtemps.",
	}
	cleanMachine = Text{
		"Find the infected or abused machine, login or web site behind the address, take it off the network, change its passwords, and let port 25 out only from your mail servers.",
		"Trouvez la machine, l'identifiant ou le site web infecté ou détourné derrière l'adresse, isolez-le, changez ses mots de passe, et n'ouvrez le port 25 vers l'extérieur qu'à vos serveurs de courriel.",
	}
	cleanDomain = Text{
		"Find where the domain was used: its own mail, links in other people's mail, a broken-into site or a redirector. Remove the pages, change the passwords, stop the campaign.",
		"Trouvez où le domaine a servi : ses propres messages, des liens dans ceux d'autrui, un site piraté ou un redirecteur. Supprimez les pages, changez les mots de passe, arrêtez la campagne.",
	}
	setNames = Text{
		"Give the address a reverse name of your own (mail.example.org, not 10-2-0-192.dynamic.example.net) whose address record leads back, and say that name in EHLO.",
		"Donnez à l'adresse un nom inverse à vous (mail.exemple.fr, et non 10-2-0-192.dynamic.exemple.net) dont l'enregistrement d'adresse ramène à elle, et annoncez ce nom dans EHLO.",
	}
	noBackscatter = Text{
		"Refuse unknown recipients during the SMTP session instead of sending bounces to forged senders; send no callouts and no automatic answers to mail that is spam.",
		"Refusez les destinataires inconnus pendant la session SMTP au lieu d'envoyer des avis à des expéditeurs usurpés ; ne faites pas de vérification par rappel, ni de réponse automatique à du spam.",
	}
	keepLists = Text{
		"Write only to people who asked, take out addresses that bounce or never open, honour every unsubscription at once.",
		"N'écrivez qu'à qui l'a demandé, retirez les adresses en erreur ou inactives, appliquez chaque désinscription aussitôt.",
	}
	nothingFirst = Text{"Nothing.", "Rien."}
)

func waits(en, fr string) Text { return Text{en, fr} }

// asks is a form or page with a free text in English.
func asks(way Way, url string, fields []Field, before, how, takes Text) Delisting {
	return Delisting{Way: way, URL: url, Text: true, Lang: "en", Fields: fields, Before: before, How: how, Takes: takes}
}

// clicks is a page that takes an address or domain and nothing else.
func clicks(url string, field Field, before, how, takes Text) Delisting {
	return Delisting{Way: SelfService, URL: url, Fields: []Field{field}, Before: before, How: how, Takes: takes}
}

// fades is a listing that runs out and cannot be hastened.
func fades(url string, before, how, takes Text) Delisting {
	return Delisting{Way: Expires, URL: url, Before: before, How: how, Takes: takes}
}

// good is for lists in which a listing does no harm.
func good(url string, how Text) Delisting {
	return Delisting{Way: None, URL: url, Before: nothingFirst, How: how, Takes: Text{"Not needed.", "Sans objet."}}
}

// unknown is for operators of whom nothing but a page is attested.
func (l List) unknown() Delisting {
	before := stopSpam
	if l.Kinds&Domain != 0 {
		before = cleanDomain
	}
	d := Delisting{Way: Form, URL: cmp.Or(l.DelistURL, l.LookupURL), Before: before,
		How: Text{"The operator's page tells the way, if there is one; nothing more is attested of this list. Few receivers ask it: do it last.",
			"La page de l'exploitant indique la marche à suivre, s'il y en a une ; rien d'autre n'est attesté pour cette liste. Peu de destinataires l'interrogent : occupez-vous-en en dernier."},
		Takes: waits("Not documented; lists fed by traps usually forget an address some days after its last mail.",
			"Non documenté ; les listes alimentées par des pièges oublient d'ordinaire une adresse quelques jours après son dernier message.")}
	if d.URL == "" {
		d.Way = Expires
		d.How = Text{"No page of the operator is known. Wait, and do not pay anybody who offers removal.", "Aucune page de l'exploitant n'est connue. Attendez, et ne payez personne qui proposerait un retrait."}
	}
	switch {
	case l.Allow:
		return good(d.URL, Text{"A listing here helps; nothing is to be removed.", "Une inscription ici est un avantage ; il n'y a rien à retirer."})
	case l.neutral():
		return good(d.URL, Text{"It gives a figure or an age, not a listing; the figure follows what you send.", "Elle donne une note ou un âge, pas une inscription ; la note suit ce que vous envoyez."})
	}
	return d
}

// neutral: no code of the list is a listing.
func (l List) neutral() bool {
	for _, c := range l.Codes {
		if !c.Neutral {
			return false
		}
	}
	return len(l.Codes) > 0
}

// delisting is the way out of l: its own, that of its operator, or what can be said of any.
func (l List) delisting(zones, operators map[string]Delisting) Delisting {
	if d, ok := zones[l.Zone]; ok {
		return d
	}
	if l.Allow || l.neutral() {
		return l.unknown()
	}
	kind := "ip"
	switch {
	case l.Kinds&Domain != 0:
		kind = "domain"
	case l.Kinds&^Hash == 0 && l.Kinds != 0:
		kind = "hash"
	}
	if d, ok := operators[l.Operator+" "+kind]; ok {
		return d
	}
	return l.unknown()
}

const checkSpamhaus = "https://check.spamhaus.org/"

// codeDelistings are by operator and code.
func codeDelistings() map[string]Delisting {
	request := []Field{FieldIP, FieldContact, FieldReason, FieldMended}
	return map[string]Delisting{
		"Spamhaus SBL": {Way: Owner, URL: checkSpamhaus, Text: true, Lang: "en", Fields: request, Before: stopSpam,
			How: Text{"The SBL lists sources that people verified. Look the address up, read the SBL record, and have the abuse desk of the network's holder (the provider to whom the range is registered) answer it: Spamhaus takes requests for the SBL from him only.",
				"La SBL recense des sources vérifiées par des personnes. Cherchez l'adresse, lisez la fiche SBL, et faites répondre le service abuse du titulaire du réseau (le fournisseur à qui la plage est attribuée) : pour la SBL, Spamhaus n'accepte de demande que de lui."},
			Takes: waits("Usually about a day after a convincing answer.", "D'ordinaire un jour environ après une réponse convaincante.")},
		"Spamhaus DROP": {Way: Owner, URL: checkSpamhaus, Text: true, Lang: "en", Fields: request, Before: stopSpam,
			How: Text{"DROP lists whole networks that criminals hold or hijacked. Only the holder of the network can answer, with proof that it is his and in use by others now.",
				"DROP recense des réseaux entiers tenus ou détournés par des criminels. Seul le titulaire du réseau peut répondre, en prouvant qu'il est à lui et que son usage a changé."},
			Takes: waits("Days; ask Spamhaus through the record.", "Des jours ; passez par la fiche de Spamhaus.")},
		"Spamhaus CSS": {Way: SelfService, URL: checkSpamhaus, Text: true, Lang: "en", Fields: request, Before: keepLists,
			How: Text{"Look the address up and ask for removal on the page, saying what was mended and leaving a mail address that answers. CSS also runs out by itself some days after the last suspicious mail. For IPv6 a /64 is listed as a whole.",
				"Cherchez l'adresse et demandez le retrait sur la page, en disant ce qui a été corrigé et en laissant une adresse qui répond. La CSS s'efface aussi d'elle-même quelques jours après le dernier message suspect. En IPv6, c'est tout un /64 qui est inscrit."},
			Takes: waits("Minutes to hours; listed again when the mail goes on.", "De quelques minutes à quelques heures ; réinscription si les envois continuent.")},
		"Spamhaus XBL": {Way: SelfService, URL: checkSpamhaus, Text: true, Lang: "en", Fields: request, Before: cleanMachine,
			How: Text{"Look the address up: the page tells what was seen (malware, time, ports). Clean the machine first, then ask for removal on the same page.",
				"Cherchez l'adresse : la page dit ce qui a été vu (logiciel malveillant, heure, ports). Nettoyez d'abord la machine, puis demandez le retrait sur la même page."},
			Takes: waits("Minutes to hours; by itself some days after the last sighting.", "De quelques minutes à quelques heures ; d'elle-même quelques jours après la dernière observation.")},
		"Spamhaus PBL": {Way: SelfService, URL: checkSpamhaus, Fields: []Field{FieldIP, FieldContact}, Before: setNames,
			How: Text{"The PBL is no accusation: the range is declared as one from which no mail is sent directly. Look the address up and exclude the single static address on the page; if the provider declared the range, ask him to change his entry. Never exclude addresses of customers: their mail leaves through your server.",
				"La PBL n'accuse de rien : la plage est déclarée comme n'émettant pas directement. Cherchez l'adresse et excluez sur la page la seule adresse fixe concernée ; si c'est le fournisseur qui a déclaré la plage, demandez-lui de corriger. N'excluez jamais les adresses de clients : leur courrier sort par votre serveur."},
			Takes: waits("About an hour.", "Une heure environ.")},
		"Abusix generic": clicks("https://lookup.abusix.com/", FieldIP, setNames,
			Text{"The reverse name looks generic. Set a name of your own first; then look the address up and delist it.", "Le nom inverse paraît générique. Donnez d'abord un nom à vous ; puis cherchez l'adresse et demandez son retrait."},
			waits("Hours.", "Quelques heures.")),
		"Abusix nordns": clicks("https://lookup.abusix.com/", FieldIP, setNames,
			Text{"The address has no reverse name. Set one first; then look the address up and delist it.", "L'adresse n'a pas de nom inverse. Donnez-lui-en un ; puis cherchez l'adresse et demandez son retrait."},
			waits("Hours.", "Quelques heures.")),
	}
}

// zoneDelistings are those of single zones.
func zoneDelistings() map[string]Delisting {
	all := map[string]Delisting{
		"<key>.zrd.dq.spamhaus.net": fades(checkSpamhaus, nothingFirst,
			Text{"It holds domains that were first seen lately, good or bad. Wait a day before sending from a new domain.", "Elle contient les domaines vus depuis peu, bons ou mauvais. Attendez un jour avant d'envoyer depuis un domaine neuf."},
			waits("24 hours.", "24 heures.")),
		"backscatter.spameatingmonkey.net": fades("https://spameatingmonkey.com/", noBackscatter,
			Text{"Stop sending bounces and callouts to people who wrote nothing; the listing ends some time after.", "Cessez d'envoyer avis et rappels à qui n'a rien écrit ; l'inscription s'efface quelque temps après."},
			waits("Not documented; days.", "Non documenté ; des jours.")),
		"ips.backscatterer.org": {Way: Expires, NeverPay: true, URL: "https://www.backscatterer.org/", Before: noBackscatter,
			How: Text{"It ends by itself. The operator sells a faster removal: never pay; receivers that refuse mail because of this list alone are very few.",
				"Elle s'efface d'elle-même. L'exploitant vend un retrait accéléré : ne payez jamais ; très peu de destinataires refusent du courrier pour cette seule liste."},
			Takes: waits("28 days after the last sighting.", "28 jours après la dernière observation.")},
		"auth.spamrats.com": asks(Form, "https://www.spamrats.com/removal.php", []Field{FieldIP, FieldContact, FieldReason}, cleanMachine,
			Text{"The address attacked logins. Clean it, then use the removal form.", "L'adresse a attaqué des comptes. Nettoyez-la, puis utilisez le formulaire de retrait."},
			waits("Usually within a day.", "D'ordinaire dans la journée.")),
	}
	uce := func(before, how Text) Delisting {
		return Delisting{Way: Expires, NeverPay: true, URL: "https://www.uceprotect.net/en/rblcheck.php", Before: before, How: how,
			Takes: waits("7 days after the last hit.", "7 jours après la dernière touche.")}
	}
	all["dnsbl-1.uceprotect.net"] = uce(stopSpam, Text{"It ends by itself, free of charge. The operator sells an express removal: never pay, it buys days that nobody notices.",
		"Elle s'efface d'elle-même, gratuitement. L'exploitant vend un retrait express : ne payez jamais, il ne fait gagner que des jours que personne ne remarque."})
	level := Text{"It lists a range because other addresses in it hit traps; it ends when they stop. Ask the holder of the range to deal with them. Never pay; no large receiver refuses mail because of this level.",
		"Elle inscrit une plage parce que d'autres adresses y ont touché des pièges ; elle s'efface quand elles cessent. Demandez au titulaire de la plage de s'en occuper. Ne payez jamais ; aucun grand destinataire ne refuse pour ce niveau."}
	all["dnsbl-2.uceprotect.net"], all["dnsbl-3.uceprotect.net"] = uce(nothingFirst, level), uce(nothingFirst, level)
	return all
}

// operatorDelistings are by operator and what is listed: ip, domain, hash.
func operatorDelistings() map[string]Delisting {
	out := largeOperators()
	for k, d := range otherOperators() {
		out[k] = d
	}
	for k, d := range webOperators() {
		out[k] = d
	}
	return out
}

func largeOperators() map[string]Delisting {
	ip := []Field{FieldIP, FieldContact, FieldReason, FieldMended}
	domain := []Field{FieldDomain, FieldContact, FieldReason, FieldMended}
	return map[string]Delisting{
		"Spamhaus ip": asks(Form, checkSpamhaus, ip, stopSpam,
			Text{"Look the address up: the page tells which list it is and leads the right way. CSS and XBL are removed on the page; the PBL by excluding the static address; the SBL only by the abuse desk of the network's holder.",
				"Cherchez l'adresse : la page dit de quelle liste il s'agit et mène à la bonne démarche. CSS et XBL se retirent sur la page ; la PBL en excluant l'adresse fixe ; la SBL seulement par le service abuse du titulaire du réseau."},
			waits("CSS, XBL and PBL: minutes to hours. SBL: about a day after a convincing answer.", "CSS, XBL et PBL : de quelques minutes à quelques heures. SBL : un jour environ après une réponse convaincante.")),
		"Spamhaus domain": asks(Form, checkSpamhaus, domain, cleanDomain,
			Text{"Look the domain up and ask for removal on the page, from a mail address at the domain. Most listings run out by themselves when the domain is no longer seen in spam.",
				"Cherchez le domaine et demandez le retrait sur la page, depuis une adresse de ce domaine. La plupart des inscriptions s'effacent d'elles-mêmes quand le domaine n'est plus vu dans du spam."},
			waits("Usually within a day.", "D'ordinaire dans la journée.")),
		"SpamCop ip": fades("https://www.spamcop.net/bl.shtml", stopSpam,
			Text{"It ends by itself when reports stop; there is no removal by request. The lookup page tells when. Register the range at SpamCop to get its reports and see the cause.",
				"Elle s'efface d'elle-même quand les signalements cessent ; aucun retrait sur demande. La page de recherche indique quand. Enregistrez la plage chez SpamCop pour recevoir ses signalements et voir la cause."},
			waits("Within 24 hours after the last report.", "Dans les 24 heures après le dernier signalement.")),
		"Barracuda ip": asks(Form, "https://www.barracudacentral.org/rbl/removal-request", []Field{FieldIP, FieldContact, FieldPhone, FieldReason}, stopSpam,
			Text{"Fill in the removal form: address, a mail address that answers, a telephone number, and the reason with what was mended. Requests without contact are ignored; ask once only.",
				"Remplissez le formulaire de retrait : adresse IP, une adresse de courriel qui répond, un numéro de téléphone, et le motif avec ce qui a été corrigé. Sans contact, la demande est ignorée ; ne la faites qu'une fois."},
			waits("Usually 12 to 24 hours.", "D'ordinaire 12 à 24 heures.")),
		"SURBL domain": asks(Form, "https://surbl.org/surbl-analysis", domain, cleanDomain,
			Text{"Look the domain up; where it is listed the page leads to the removal form. For a site that was broken into, say what was found and how it was closed.",
				"Cherchez le domaine ; s'il est inscrit, la page mène au formulaire de retrait. Pour un site piraté, dites ce qui a été trouvé et comment la faille a été fermée."},
			waits("Usually a day or two.", "D'ordinaire un jour ou deux.")),
		"SURBL hash": asks(Form, "https://surbl.org/surbl-analysis", domain, cleanDomain,
			Text{"It holds hashes of shortened links and addresses. Remove the link, then write through the lookup page.", "Elle contient des empreintes de liens raccourcis et d'adresses. Supprimez le lien, puis écrivez par la page de recherche."},
			waits("Usually a day or two.", "D'ordinaire un jour ou deux.")),
		"URIBL domain": asks(SelfService, "https://admin.uribl.com/", []Field{FieldDomain, FieldReason, FieldMended}, cleanDomain,
			Text{"Look the domain up at lookup.uribl.com, register, and ask for removal with what was mended. People read it; grey and red end by themselves with better behaviour.",
				"Cherchez le domaine sur lookup.uribl.com, inscrivez-vous, et demandez le retrait en disant ce qui a été corrigé. Des personnes le lisent ; grey et red s'effacent quand la conduite s'améliore."},
			waits("Usually within a day.", "D'ordinaire dans la journée.")),
		"PSBL ip": clicks("https://psbl.org/", FieldIP, stopSpam,
			Text{"Enter the address on the page and remove it. Anybody may, as often as needed: use it only after the cause is gone.", "Saisissez l'adresse sur la page et retirez-la. Chacun le peut, autant que nécessaire : ne le faites qu'une fois la cause disparue."},
			waits("Within hours; by itself after some weeks without mail to traps.", "En quelques heures ; d'elle-même après quelques semaines sans message aux pièges.")),
		"Mailspike ip": clicks("https://www.mailspike.org/", FieldIP, stopSpam,
			Text{"Look the address up on the page and ask for removal there; the zero-hour list ends by itself.", "Cherchez l'adresse sur la page et demandez-y le retrait ; la liste zero-hour s'efface d'elle-même."},
			waits("6 to 36 hours.", "6 à 36 heures.")),
		"Validity ip": asks(Form, "https://senderscore.org/blocklistlookup/", ip, keepLists,
			Text{"Look the address up with a MyValidity account and ask for removal from there.", "Cherchez l'adresse avec un compte MyValidity et demandez-y le retrait."},
			waits("Usually a day or two.", "D'ordinaire un jour ou deux.")),
		"Abusix ip": clicks("https://lookup.abusix.com/", FieldIP, stopSpam,
			Text{"Look the address up and delist it on the page after registering; the page tells what the traps saw.", "Cherchez l'adresse et demandez son retrait sur la page après inscription ; la page dit ce que les pièges ont vu."},
			waits("Hours; by itself about five days after the last mail to a trap.", "Quelques heures ; d'elle-même cinq jours environ après le dernier message à un piège.")),
		"Abusix domain": clicks("https://lookup.abusix.com/", FieldDomain, cleanDomain,
			Text{"Look the domain up and delist it on the page after registering.", "Cherchez le domaine et demandez son retrait sur la page après inscription."},
			waits("Hours.", "Quelques heures.")),
		"invaluement ip": asks(Form, "https://www.invaluement.com/lookup/", ip, keepLists,
			Text{"Look the address up and use the removal request of that page; describe how people came onto your lists.", "Cherchez l'adresse et utilisez la demande de retrait de cette page ; décrivez comment les destinataires sont entrés dans vos listes."},
			waits("Usually a day or two.", "D'ordinaire un jour ou deux.")),
		"invaluement domain": asks(Form, "https://www.invaluement.com/lookup/", domain, cleanDomain,
			Text{"Look the domain up and use the removal request of that page.", "Cherchez le domaine et utilisez la demande de retrait de cette page."},
			waits("Usually a day or two.", "D'ordinaire un jour ou deux.")),
	}
}

func otherOperators() map[string]Delisting {
	ip := []Field{FieldIP, FieldContact, FieldReason, FieldMended}
	return map[string]Delisting{
		"SpamRATS ip": asks(Form, "https://www.spamrats.com/removal.php", []Field{FieldIP, FieldContact, FieldReason}, setNames,
			Text{"Dyna and NoPtr: set the reverse name first. Spam: stop the mail first. Then fill in the removal form.", "Dyna et NoPtr : posez d'abord le nom inverse. Spam : arrêtez d'abord les envois. Puis remplissez le formulaire de retrait."},
			waits("Usually within a day.", "D'ordinaire dans la journée.")),
		"Spam Eating Monkey ip": asks(Form, "https://spameatingmonkey.com/", []Field{FieldIP, FieldContact, FieldReason}, stopSpam,
			Text{"Look the address up on the page; where removal is possible the page offers it.", "Cherchez l'adresse sur la page ; si un retrait est possible, elle le propose."},
			waits("Not documented; by itself some days after the last mail to a trap.", "Non documenté ; d'elle-même quelques jours après le dernier message à un piège.")),
		"Spam Eating Monkey domain": asks(Form, "https://spameatingmonkey.com/", []Field{FieldDomain, FieldContact, FieldReason}, cleanDomain,
			Text{"Look the domain up on the page; where removal is possible the page offers it.", "Cherchez le domaine sur la page ; si un retrait est possible, elle le propose."},
			waits("Not documented; by itself when the domain is no longer seen.", "Non documenté ; d'elle-même quand le domaine n'est plus vu.")),
		"blocklist.de ip": clicks("https://www.blocklist.de/en/delist.html", FieldIP, cleanMachine,
			Text{"It lists machines that attacked logins of mail, SSH or web. Clean the machine, look the address up for the log lines, then delist it on the page.",
				"Elle recense les machines qui ont attaqué des accès courriel, SSH ou web. Nettoyez la machine, cherchez l'adresse pour voir les traces, puis retirez-la sur la page."},
			waits("Hours; by itself some two days after the last attack.", "Quelques heures ; d'elle-même deux jours environ après la dernière attaque.")),
		"DroneBL ip": asks(Form, "https://dronebl.org/lookup", []Field{FieldIP, FieldContact, FieldMended}, cleanMachine,
			Text{"Look the address up; the page tells the kind of abuse and takes a removal request with a comment on what was mended.", "Cherchez l'adresse ; la page indique le type d'abus et prend une demande de retrait avec un commentaire sur ce qui a été corrigé."},
			waits("Hours to a day.", "De quelques heures à un jour.")),
		"SPFBL ip": {Way: Form, NeverPay: true, URL: "https://spfbl.net/", Fields: []Field{FieldIP, FieldRDNS, FieldContact}, Before: setNames,
			How: Text{"Set forward and reverse names that agree and a postmaster address at that name, then delist on the page. It may ask for a fee: never pay.",
				"Posez des noms direct et inverse concordants et une adresse postmaster à ce nom, puis demandez le retrait sur la page. Elle peut demander une somme : ne payez jamais."},
			Takes: waits("Not documented; a listing ends by itself when complaints stop.", "Non documenté ; l'inscription s'efface quand les plaintes cessent.")},
		"MSBL hash": asks(Form, "https://msbl.org/", []Field{FieldContact, FieldReason, FieldMended}, stopSpam,
			Text{"It holds mail addresses at which scams want answers. Close the mailbox or take it back from the thief, then write through the operator's page.",
				"Elle contient des adresses où des escroqueries attendent les réponses. Fermez la boîte ou reprenez-la au voleur, puis écrivez par la page de l'exploitant."},
			waits("Not documented.", "Non documenté.")),
		"GBUdb ip": fades("https://www.gbudb.com/", stopSpam,
			Text{"The list follows what is seen of the address: it ends when most of its mail is wanted again.", "La liste suit ce qui est vu de l'adresse : elle s'efface quand l'essentiel de son courrier est de nouveau souhaité."},
			waits("Hours to days.", "De quelques heures à quelques jours.")),
		"Lashback ip": asks(Form, "https://blacklist.lashback.com/", ip, keepLists,
			Text{"It lists addresses that wrote to people after they unsubscribed. Find the sender who sells or ignores unsubscriptions, stop him, then use the page's removal.",
				"Elle recense les adresses qui ont écrit à des personnes après leur désinscription. Trouvez l'expéditeur qui revend ou ignore les désinscriptions, arrêtez-le, puis utilisez le retrait de la page."},
			waits("Not documented.", "Non documenté.")),
	}
}

// webOperators are providers' own lists.
func webOperators() map[string]Delisting {
	ip := []Field{FieldIP, FieldContact, FieldReason, FieldMended}
	return map[string]Delisting{
		"Cloudmark ip": asks(Form, "https://csi.cloudmark.com/reset-request/", ip, stopSpam,
			Text{"Open the reset request for the address (?ip= and the address behind the link), explain what was mended. Orange and others use this list; the request clears all of them.",
				"Ouvrez la demande de remise à zéro pour l'adresse (?ip= suivi de l'adresse), expliquez ce qui a été corrigé. Orange et d'autres utilisent cette liste ; la demande vaut pour tous."},
			waits("Usually within a day.", "D'ordinaire dans la journée.")),
		"Proofpoint ip": asks(Form, "https://ipcheck.proofpoint.com/", ip, stopSpam,
			Text{"Look the address up (?ip= and the address behind the link); where it is blocked the page takes a request. Apple and many companies use this list.",
				"Cherchez l'adresse (?ip= suivi de l'adresse) ; si elle est bloquée, la page prend une demande. Apple et beaucoup d'entreprises utilisent cette liste."},
			waits("Usually one to three days.", "D'ordinaire un à trois jours.")),
		"Microsoft ip": {Way: Form, URL: "https://olcsupport.office.com/", Text: true, Lang: "en", Fields: []Field{FieldIP, FieldContact, FieldDomain, FieldReason, FieldMended}, Before: stopSpam,
			How: Text{"Copy the whole refusal (S3140, S3150 …) into the sender support form. The first answer comes from a machine and often says that nothing was found: answer it politely with the refusal and what was mended. Join SNDS and JMRP to see the cause.",
				"Copiez le refus entier (S3140, S3150…) dans le formulaire d'assistance aux expéditeurs. La première réponse est automatique et dit souvent que rien n'a été trouvé : répondez-y poliment avec le refus et ce qui a été corrigé. Adhérez à SNDS et JMRP pour voir la cause."},
			Takes: waits("One to four days.", "Un à quatre jours.")},
		"Vade ip": {Way: Form, URL: "https://sendertool.vadesecure.com/", Text: true, Lang: "fr", Fields: ip, Before: keepLists,
			How: Text{"Use the sender tool for the address or write to the provider that refused; members of Signal Spam see the complaints of French users. Write in French.",
				"Utilisez l'outil expéditeur pour l'adresse, ou écrivez au fournisseur qui a refusé ; les membres de Signal Spam voient les plaintes des usagers français. Écrivez en français."},
			Takes: waits("Usually a few days.", "D'ordinaire quelques jours.")},
	}
}

// operators are by the end of the zone.
var operators = []struct{ suffix, name string }{
	{"spamhaus.org", "Spamhaus"}, {"spamhaus.net", "Spamhaus"}, {"spamcop.net", "SpamCop"}, {"barracudacentral.org", "Barracuda"}, {"surbl.org", "SURBL"},
	{"uribl.com", "URIBL"}, {"psbl.surriel.com", "PSBL"}, {"mailspike.net", "Mailspike"}, {"dnswl.org", "DNSWL"}, {"senderscore.com", "Validity"},
	{"bondedsender.org", "Validity"}, {"habeas.com", "Validity"}, {"isipp.com", "ISIPP"}, {"spameatingmonkey.net", "Spam Eating Monkey"}, {"uceprotect.net", "UCEPROTECT"},
	{"whitelisted.org", "UCEPROTECT"}, {"backscatterer.org", "Backscatterer"}, {"spamrats.com", "SpamRATS"}, {"dronebl.org", "DroneBL"}, {"abusix.zone", "Abusix"},
	{"blocklist.de", "blocklist.de"}, {"msbl.org", "MSBL"}, {"rspamd.com", "rspamd"}, {"spfbl.net", "SPFBL"}, {"gbudb.net", "GBUdb"}, {"unsubscore.com", "Lashback"},
	{"lashback.com", "Lashback"}, {"invaluement.com", "invaluement"}, {"junkemailfilter.com", "Junk Email Filter"}, {"swinog.ch", "SWINOG"}, {"cloudmark.com", "Cloudmark"},
	{"proofpoint.com", "Proofpoint"}, {"office.com", "Microsoft"}, {"vadesecure.com", "Vade"}, {"signal-spam.fr", "Signal Spam"},
}

// operator is who runs a zone; where no name is known, the domain that was registered for it.
func operator(zone string) string {
	for _, o := range operators {
		if zone == o.suffix || strings.HasSuffix(zone, "."+o.suffix) {
			return o.name
		}
	}
	labels := strings.Split(zone, ".")
	n := 2
	if len(labels) > 2 && (strings.HasSuffix(zone, ".me.uk") || strings.HasSuffix(zone, ".or.kr")) {
		n = 3
	}
	return strings.Join(labels[max(len(labels)-n, 0):], ".")
}
