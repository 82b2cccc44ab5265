package docs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern/internal/dnsbl"
)

var blocklistsIntro = map[string]string{
	"en": `# Blocklists

Printed from the directory in the code (` + "`go test ./test/docs -update`" + `).

` + "`postern blocklists`" + ` shows how the lists in use fare; ` + "`postern blocklists zen.spamhaus.org`" + ` shows what is known of one, in English or French (` + "`--lang fr`" + `), and how one
gets off it. Programs ask ` + "`GET /api/v1/blocklists`" + `.

## What is asked

Check-ups and the watch of your addresses ask every list that is worth asking: not those whose data another list holds too, not those of hashes, not
those marked "on request". ` + "`blocklists.zones`" + ` in the [configuration](configuration.md) switches lists on and off. The filter asks fewer: those marked "filter"; for it
the switch is ` + "`filter.dnsbl.zones`" + `, and ` + "`filter.dnsbl.extra`" + ` adds lists of your own. All share what is known of each list, and its budget.

` + "```yaml" + `
blocklists:
  keys:
    spamhaus_file: /etc/postern/spamhaus-dqs-key
    abusix_file: /etc/postern/abusix-key
  registered: [barracuda, validity]
  zones: {truncate.gbudb.net: false}
  budgets:
    dnsbl.spfbl.net: {per_second: 5}
` + "```" + `

- **Four states.** *Listed*: the list gave an answer that its operator documents as a listing. *Clean*: it denied, or gave a documented answer that is no
  listing. *Unknown*: nobody can tell, because the DNS failed, the operator refuses our name server, the answer is documented nowhere or lies outside
  127.0.0.0/8, or the budget is used up. *Disabled*: not asked. Unknown is never shown as clean and scores nothing.
- **Health.** At start and once a day each list is asked about its test points (RFC 5782): what must be listed and is not makes it empty; what nobody ever listed and
  is listed makes it a list of the world. Such a list is not asked until it is healthy again; it is looked at each hour. Test points that no operator documents
  count only in a list's favour.
- **Evidence.** A: the operator's own pages, or rule sets in use everywhere. B: several others say so. C: known from public collections of lists only; such a list is
  asked once a test point has proved it.
- **Refusals.** Nearly all operators refuse large public resolvers, and some answer them with addresses that look like listings. One alarm names all
  operators that refuse, and the way out: a recursive resolver of your own, a key, a registration. A list that refused is left alone for five minutes.
- **Keys.** The zones with a key take the place of the public ones and answer any name server. A key stands in a file of its own and is shown nowhere. A key
  that the operator does not know is told by an alarm.
- **Registration.** Barracuda, Validity and invaluement answer registered name servers only. Register yours with them, then name them in ` + "`blocklists.registered`" + `.
- **Budgets.** Each list has bounds by day (UTC) and by second, from the operator's terms; free lists without published figures get 100,000 a day and 50 a second out of
  courtesy. What the budget denies is unknown. The count is kept in memory: after a restart the day begins anew. It is an upper bound, for your name server's own cache
  saves questions that are counted.
- **Silence.** A list that does not answer five times in a row is left alone for a minute, then for longer, up to a quarter of an hour; the others are not slower for it.
- **Dead lists** are refused in the configuration with the reason: some of them list the whole world today.

## The lists

| list | zone | what it lists | weight | evidence | access | asked by | budget | terms |
|---|---|---|---|---|---|---|---|---|
`,
	"fr": `# Listes de blocage

Page imprimée depuis le répertoire du code (` + "`go test ./test/docs -update`" + `).

` + "`postern blocklists`" + ` montre l'état des listes utilisées ; ` + "`postern blocklists zen.spamhaus.org`" + ` montre ce que l'on sait de l'une d'elles, en anglais ou en français
(` + "`--lang fr`" + `), et comment on en sort. Les programmes demandent ` + "`GET /api/v1/blocklists`" + `.

## Ce qui est interrogé

Les bilans et la surveillance de vos adresses interrogent toute liste qui en vaut la peine : ni celles dont une autre contient les données, ni celles
d'empreintes, ni celles marquées « sur demande ». ` + "`blocklists.zones`" + `, dans la [configuration](configuration.md), active et désactive des listes. Le filtre en interroge moins : celles
marquées « filtre » ; pour lui, le réglage est ` + "`filter.dnsbl.zones`" + `, et ` + "`filter.dnsbl.extra`" + ` ajoute vos propres listes. Tous partagent ce que l'on sait de chaque liste, et son budget.

` + "```yaml" + `
blocklists:
  keys:
    spamhaus_file: /etc/postern/spamhaus-dqs-key
    abusix_file: /etc/postern/abusix-key
  registered: [barracuda, validity]
  zones: {truncate.gbudb.net: false}
  budgets:
    dnsbl.spfbl.net: {per_second: 5}
` + "```" + `

- **Quatre états.** *Inscrit* (listed) : la liste a donné une réponse que son exploitant documente comme une inscription. *Propre* (clean) : elle a dit non, ou donné une
  réponse documentée qui n'est pas une inscription. *Inconnu* (unknown) : personne ne peut le dire, parce que le DNS a échoué, que l'exploitant refuse notre serveur de noms, que la
  réponse n'est documentée nulle part ou sort de 127.0.0.0/8, ou que le budget est épuisé. *Désactivé* (disabled) : non interrogée. Inconnu n'est jamais montré comme propre et ne compte pour rien.
- **Santé.** Au démarrage puis une fois par jour, chaque liste est interrogée sur ses points de contrôle (RFC 5782) : si ce qui doit être inscrit ne l'est pas, elle est
  vide ; si ce que personne n'a jamais inscrit l'est, elle inscrit le monde entier. Une telle liste n'est plus interrogée tant qu'elle n'est pas guérie ; elle est revue toutes les heures. Les
  points de contrôle que l'exploitant ne documente pas ne comptent qu'en faveur de la liste.
- **Preuve.** A : les pages de l'exploitant, ou des règles en usage partout. B : plusieurs autres l'attestent. C : connue seulement par des recueils publics ; une telle liste
  est interrogée une fois qu'un point de contrôle l'a prouvée.
- **Refus.** Presque tous les exploitants refusent les grands résolveurs publics, et certains leur répondent par des adresses qui ressemblent à des inscriptions. Une seule alarme
  nomme tous les exploitants qui refusent, et l'issue : votre propre résolveur récursif, une clé, un enregistrement. Une liste qui a refusé est laissée en paix cinq minutes.
- **Clés.** Les zones à clé remplacent les zones publiques et répondent à tout serveur de noms. Une clé se trouve dans son propre fichier et n'est montrée nulle part. Une
  clé que l'exploitant ne connaît pas est signalée par une alarme.
- **Enregistrement.** Barracuda, Validity et invaluement ne répondent qu'aux serveurs de noms enregistrés. Enregistrez le vôtre chez eux, puis nommez-les dans ` + "`blocklists.registered`" + `.
- **Budgets.** Chaque liste a des bornes par jour (UTC) et par seconde, tirées des conditions de l'exploitant ; les listes libres sans chiffre publié reçoivent par courtoisie 100 000 questions par jour et
  50 par seconde. Ce que le budget refuse est inconnu. Le compte est tenu en mémoire : après un redémarrage, la journée recommence. C'est un maximum, car le cache de votre
  serveur de noms épargne des questions qui sont comptées.
- **Silence.** Une liste qui ne répond pas cinq fois de suite est laissée en paix une minute, puis plus longtemps, jusqu'à un quart d'heure ; les autres n'en sont pas ralenties.
- **Listes mortes** : la configuration les refuse en disant pourquoi ; certaines inscrivent aujourd'hui le monde entier.

## Les listes

| liste | zone | ce qu'elle recense | poids | preuve | accès | interrogée par | budget | conditions (en anglais) |
|---|---|---|---|---|---|---|---|---|
`,
}

var blocklistsOut = map[string]string{
	"en": `
## Getting off a list

Postern never asks for removal by itself: a request is a promise that the cause is gone, and only a person can make it. Mend first, then ask once. Never pay for a removal:
few receivers heed the lists that sell it, and their listings end by themselves. Where one operator has the same way for several lists they stand together.

`,
	"fr": `
## Sortir d'une liste

Postern ne demande jamais de retrait de lui-même : une demande promet que la cause a disparu, et seule une personne peut le promettre. Corrigez d'abord, puis demandez une seule fois. Ne payez
jamais un retrait : peu de destinataires tiennent compte des listes qui le vendent, et leurs inscriptions s'effacent d'elles-mêmes. Quand un exploitant a la même démarche pour plusieurs listes, elles figurent ensemble.

`,
}

var blocklistWords = map[string]map[string]string{
	"en": {"filter": "filter", "check": "check-up, watch", "twin": "in ", "skip": "on request", "key": "key", "free": "free", "registration": "registration", "web": "no zone", "hash": "not asked (hashes)",
		"allow": " (allow list)", "day": "%s a day", "second": "%g/s", "self": "Oneself", "form": "Form", "expires": "By itself", "owner": "Network's holder", "none": "None needed",
		"before": "Before", "how": "How", "takes": "Takes", "where": "Where", "asks": "The request asks for", "never": "never pay", "proved": ", once proved",
		"ip": "address", "domain": "domain", "contact": "contact", "phone": "telephone", "reason": "cause", "mended": "what was mended", "rdns": "reverse name"},
	"fr": {"filter": "filtre", "check": "bilan, surveillance", "twin": "dans ", "skip": "sur demande", "key": "clé", "free": "libre", "registration": "enregistrement", "web": "pas de zone", "hash": "non interrogée (empreintes)",
		"allow": " (liste d'autorisation)", "day": "%s par jour", "second": "%g/s", "self": "Soi-même", "form": "Formulaire", "expires": "D'elle-même", "owner": "Titulaire du réseau", "none": "Sans objet",
		"before": "Avant", "how": "Comment", "takes": "Délai", "where": "Où", "asks": "La demande comporte", "never": "ne payez jamais", "proved": ", une fois prouvée",
		"ip": "adresse IP", "domain": "domaine", "contact": "contact", "phone": "téléphone", "reason": "cause", "mended": "ce qui a été corrigé", "rdns": "nom inverse"},
}

func TestBlocklistsPage(t *testing.T) {
	t.Parallel()
	for lang, path := range map[string]string{"en": "docs/operator/blocklists.md", "fr": "docs/operator/blocklists.fr.md"} {
		fresh(t, path, blocklistsIntro[lang]+blocklistTable(lang)+blocklistsOut[lang]+waysOut(lang))
	}
}

func in(lang string, t dnsbl.Text) string {
	if lang == "fr" {
		return t.FR
	}
	return t.EN
}

// grouped is a number as people of the language write it.
func grouped(lang string, n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + map[string]string{"en": ",", "fr": " "}[lang] + s[i:]
	}
	return s
}

func blocklistTable(lang string) string {
	words := blocklistWords[lang]
	all := dnsbl.Directory()
	var used []string
	for _, l := range dnsbl.InUse(all) {
		used = append(used, l.Zone)
	}
	var b strings.Builder
	for _, l := range all {
		asked := words["check"]
		switch {
		case l.Access == dnsbl.Web:
			asked = ""
		case l.Kinds == dnsbl.Hash:
			asked = words["hash"]
		case l.Default:
			asked = words["filter"] + ", " + words["check"]
		case l.PartOf != "" && l.Access != dnsbl.Key:
			asked = words["twin"] + "`" + l.PartOf + "`"
		case !slices.Contains(used, l.Zone) && l.Skip:
			asked = words["skip"]
		case l.Evidence == dnsbl.Hearsay:
			asked += words["proved"]
		}
		name := cell(l.Name)
		if l.LookupURL != "" {
			name = "[" + name + "](" + l.LookupURL + ")"
		}
		if l.Allow {
			name += words["allow"]
		}
		var budget []string
		if l.Budget.PerDay > 0 {
			budget = append(budget, fmt.Sprintf(words["day"], grouped(lang, l.Budget.PerDay)))
		}
		if l.Budget.PerSecond > 0 {
			budget = append(budget, fmt.Sprintf(words["second"], l.Budget.PerSecond))
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %d | %s | %s | %s | %s | %s |\n", name, l.Zone, cell(in(lang, l.What)), l.Weight, l.Evidence, words[string(l.Access)], asked, strings.Join(budget, ", "), cell(in(lang, l.Terms)))
	}
	return b.String()
}

// waysOut is a section for each way out that lists of weight have, in the order of the directory.
func waysOut(lang string) string {
	words := blocklistWords[lang]
	type section struct {
		d     dnsbl.Delisting
		names []string
	}
	var order []string
	sections := map[string]*section{}
	put := func(key, name string, d dnsbl.Delisting) {
		if sections[key] == nil {
			order = append(order, key)
			sections[key] = &section{d: d}
		}
		if !slices.Contains(sections[key].names, name) {
			sections[key].names = append(sections[key].names, name)
		}
	}
	for _, l := range dnsbl.Directory() {
		d := l.Delisting
		if l.Weight == 0 && !d.NeverPay || d.Way == dnsbl.None {
			continue
		}
		if d.URL == "" || l.Weight <= 1 && d.How == obscure().How {
			put("others", l.Name, obscure())
			continue
		}
		put(d.How.EN+d.Takes.EN+d.URL, l.Name, d)
		for _, c := range l.Codes {
			if own := (dnsbl.Listing{List: &l, State: dnsbl.Listed, Matched: []dnsbl.Code{c}}).Delisting(); own.How != d.How {
				put(own.How.EN, l.Operator+" "+c.Name, own)
			}
		}
	}
	var b strings.Builder
	for _, key := range order {
		s := sections[key]
		way := words[string(s.d.Way)]
		if s.d.NeverPay {
			way += ", " + words["never"]
		}
		fmt.Fprintf(&b, "### %s\n\n", strings.Join(s.names, ", "))
		b.WriteString(way + ".")
		if s.d.URL != "" && key != "others" {
			fmt.Fprintf(&b, " %s: <%s>.", words["where"], s.d.URL)
		}
		var fields []string
		for _, f := range s.d.Fields {
			fields = append(fields, words[string(f)])
		}
		if fields != nil {
			fmt.Fprintf(&b, " %s: %s.", words["asks"], strings.Join(fields, ", "))
		}
		colon := map[string]string{"en": ":", "fr": " :"}[lang]
		text := fmt.Sprintf("\n\n- **%s%s** %s\n- **%s%s** %s\n- **%s%s** %s\n\n", words["before"], colon, in(lang, s.d.Before), words["how"], colon, in(lang, s.d.How), words["takes"], colon, in(lang, s.d.Takes))
		b.WriteString(text)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// obscure is the way out of a list of which nothing but its zone is attested.
func obscure() dnsbl.Delisting {
	l, _ := dnsbl.Find("bl.0spam.org")
	return l.Delisting
}
