package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/internal/locale"
	"postern/internal/provider"
)

// receiversExample is a file as an operator writes it; the test loads it.
const receiversExample = `name: example-isp
title: Example ISP
about:
  en: "Our neighbour. Told us by telephone: one connection, 50 messages on it."
  fr: "Notre voisin. Dit par téléphone : une connexion, 50 messages chacune."
who:
  mx: ["*.mx.example-isp.example"]    # every exchanger below this name
  domains: [partner.example]          # and this domain, wherever its exchangers are
limits: {connections: 1, per_connection: 50, per_hour: 2000}
retry: {every: [10m, 30m, 1h], for: 24h}
governor: {unknown: 0.05, of: 1h, least: 20, pause: 1h}
sources:
  - {what: "Telephone call with their postmaster", read: 2026-11-22}
answers:
  - id: slow-down
    code: "5"                         # it says 550 and means: later
    text: ["please slow down", "trop vite"]
    category: speeding
    fate: later
    do: {slow: 0.5, for: 1h, schedule: {every: [30m, 1h], for: 24h}}
    advice: speeding                  # the shared text; or {en: …, fr: …}
    test: ["550 5.7.1 Please slow down, see http://mx.example-isp.example/pace"]
  - id: gone
    text: ["subscriber * has left"]
    category: userunknown
    advice: {en: "This person is no longer a customer there.", fr: "Cette personne n'est plus abonnée."}
    test: ["550 Subscriber <u@example-isp.example> has left us"]
`

var receiversIntro = map[string]string{
	"en": `# Receivers: what we know of them, and how to add your own

Printed from the data in the code (` + "`go test ./test/docs -update`" + `). Every provider has its manners: how many connections it takes, when it wants to be asked again, and answers that
say one thing and mean another. What is known stands in files that the program carries with it (` + "`internal/provider/knowledge`" + `); yours are read over them. ` + "`postern provider list`" + `,
` + "`show`" + ` and ` + "`explain`" + ` say the same in a terminal, with advice in both languages.

## How it is used

- **Who is behind a domain** is told by its exchangers (MX), all of which must belong to the provider: a domain that lists a provider's exchanger beside its own is not the provider's.
- **Limits** hold for each address that mail leaves from. A star marks values that are published nowhere: they are our careful choice, not the provider's word.
- **Answers** are compared in a fixed order, and the first rule that fits counts: your rules for the provider, ours for it, your rules for everybody, ours for everybody, and at last
  the enhanced status and the code. What we say ourselves where no server answered (no connection, no such domain) is never compared with rules.
- **At fault** is who must mend it. A block against the sending address, the sender's domain or the pace never counts against the recipient.
- **What follows** may contradict the code: Free's 550 "too many spams from your IP" is a block that passes, so that the message is tried again.

## Your own files

Put ` + "`.yaml`" + ` files into a folder, name it in ` + "`delivery.providers`" + ` ([configuration](configuration.md)), check it with ` + "`postern provider check FOLDER`" + ` and reload. A file with a fault is refused with file
and line, and the former knowledge stays in force.

` + "```sh\npostern provider check /etc/postern/providers\npostern provider explain --dir /etc/postern/providers --provider example-isp \"550 5.7.1 Please slow down\"\npostern reload\n```" + `

A file has one provider. One with a name of ours changes what we know: single values replace ours, ` + "`who`" + ` and ` + "`sources`" + ` grow, your answers come before ours, and one with the same ` + "`id`" + `
takes the place of ours. So ` + "`name: orange`" + ` with ` + "`limits: {connections: 1}`" + ` alone is a whole file. The name ` + "`any`" + ` holds rules for every receiver. A new provider in full:

` + "```yaml\n" + receiversExample + "```" + `

- **text** is compared with the words of the answer in lower case, without accents and punctuation, however it is wrapped, repeated over several lines or encoded. ` + "`*`" + ` alone stands for any
  words, ` + "`word*`" + ` for words that begin so, ` + "`@`" + ` for a mail address, ` + "`#`" + ` for an IP address; ` + "`re:`" + ` begins a regular expression (RE2). ` + "`not`" + ` excludes. Also ` + "`code`" + ` (550, 45, 5), ` + "`enhanced`" + ` (5.1.1, 5.7,
  x.7.1, 5.7.606-649) and ` + "`phase`" + ` (connect, ehlo, tls, mail, rcpt, data, end) narrow a rule.
- **category** is one of the words in the tables below; the usual party at fault belongs to it, and ` + "`party`" + ` says otherwise. ` + "`permanent`" + ` says that the recipient is lost for good. ` + "`fate: later`" + ` tries again
  after a 5xx, ` + "`fate: final`" + ` gives up after a 4xx.
- **do**: ` + "`pause`, `probe`, `slow` and `connections` with `for`, `reconnect`, `schedule`, `watch`, `alarm`, `after` with `within`, `bulk_only`, `ipv4`" + `.
- **advice** is {en, fr}, or the name of a shared text: those of ` + "`internal/provider/knowledge/advice.yaml`" + `, and your own in a file without ` + "`name`" + ` that has ` + "`advice: {my-text: {en: …, fr: …}}`" + `. One of ours is replaced under
  its name. Groups that share a filter stand there, too: ` + "`groups: {my-group: {title: …}}`" + `.
- **test** lines are answers as servers send them. Each must reach its rule and no other, or the file is refused: a rule that can never match is worse than none.
`,
	"fr": `# Fournisseurs destinataires : ce que nous en savons, et comment ajouter les vôtres

Page imprimée depuis les données du code (` + "`go test ./test/docs -update`" + `). Chaque fournisseur a ses usages : combien de connexions il accepte, quand il veut être sollicité de nouveau, et des réponses qui
disent une chose et en signifient une autre. Ce que l'on sait se trouve dans des fichiers fournis avec le programme (` + "`internal/provider/knowledge`" + `) ; les vôtres sont lus par-dessus. ` + "`postern provider list`" + `,
` + "`show`" + ` et ` + "`explain`" + ` disent la même chose dans un terminal, avec des conseils dans les deux langues.

## Comment cela sert

- **Qui est derrière un domaine** se lit à ses serveurs de messagerie (MX), qui doivent tous appartenir au fournisseur : un domaine qui cite un serveur d'un fournisseur à côté du sien n'est pas à ce fournisseur.
- **Les limites** valent pour chaque adresse d'où part le courrier. Un astérisque signale les valeurs publiées nulle part : c'est un choix prudent de notre part, pas la parole du fournisseur.
- **Les réponses** sont comparées dans un ordre fixe, et la première règle qui convient l'emporte : vos règles pour le fournisseur, les nôtres pour lui, vos règles pour tous, les nôtres pour tous, et enfin
  le statut étendu et le code. Ce que nous disons nous-mêmes quand aucun serveur n'a répondu (pas de connexion, domaine inexistant) n'est jamais comparé aux règles.
- **En cause** désigne qui doit corriger. Un blocage de l'adresse d'envoi, du domaine de l'expéditeur ou du débit ne compte jamais contre le destinataire.
- **La suite** peut contredire le code : le 550 « too many spams from your IP » de Free est un blocage passager, et le message est donc présenté de nouveau.

## Vos propres fichiers

Placez des fichiers ` + "`.yaml`" + ` dans un dossier, nommez-le dans ` + "`delivery.providers`" + ` ([configuration](configuration.md)), contrôlez-le avec ` + "`postern provider check DOSSIER`" + `, puis rechargez. Un fichier fautif est refusé avec
fichier et ligne, et les connaissances précédentes restent en vigueur.

` + "```sh\npostern provider check /etc/postern/providers\npostern provider explain --dir /etc/postern/providers --provider example-isp \"550 5.7.1 Please slow down\"\npostern reload\n```" + `

Un fichier contient un fournisseur. S'il porte un de nos noms, il modifie ce que nous savons : les valeurs simples remplacent les nôtres, ` + "`who`" + ` et ` + "`sources`" + ` s'allongent, vos réponses passent avant les nôtres, et
celle qui a le même ` + "`id`" + ` prend la place de la nôtre. Ainsi ` + "`name: orange`" + ` avec ` + "`limits: {connections: 1}`" + ` suffit à faire un fichier. Le nom ` + "`any`" + ` contient des règles pour tous. Un nouveau fournisseur, en entier :

` + "```yaml\n" + receiversExample + "```" + `

- **text** est comparé aux mots de la réponse en minuscules, sans accents ni ponctuation, quels que soient ses retours à la ligne, ses répétitions ou son encodage. ` + "`*`" + ` seul remplace n'importe quels
  mots, ` + "`mot*`" + ` les mots qui commencent ainsi, ` + "`@`" + ` une adresse de courriel, ` + "`#`" + ` une adresse IP ; ` + "`re:`" + ` commence une expression rationnelle (RE2). ` + "`not`" + ` exclut. ` + "`code`" + ` (550, 45, 5), ` + "`enhanced`" + ` (5.1.1, 5.7,
  x.7.1, 5.7.606-649) et ` + "`phase`" + ` (connect, ehlo, tls, mail, rcpt, data, end) précisent une règle.
- **category** est l'un des mots des tableaux ci-dessous ; il désigne d'ordinaire qui est en cause, et ` + "`party`" + ` dit le contraire. ` + "`permanent`" + ` signifie que le destinataire est perdu pour de bon. ` + "`fate: later`" + ` réessaie
  après un 5xx, ` + "`fate: final`" + ` abandonne après un 4xx.
- **do** : ` + "`pause`, `probe`, `slow` et `connections` avec `for`, `reconnect`, `schedule`, `watch`, `alarm`, `after` avec `within`, `bulk_only`, `ipv4`" + `.
- **advice** est {en, fr}, ou le nom d'un texte partagé : ceux de ` + "`internal/provider/knowledge/advice.yaml`" + `, et les vôtres dans un fichier sans ` + "`name`" + ` qui contient ` + "`advice: {mon-texte: {en: …, fr: …}}`" + `. Un des nôtres est
  remplacé sous son nom. Les groupes qui partagent un filtre s'y trouvent aussi : ` + "`groups: {mon-groupe: {title: …}}`" + `.
- **test** : des réponses telles que les serveurs les envoient. Chacune doit atteindre sa règle et aucune autre, sinon le fichier est refusé : une règle qui ne peut jamais servir est pire que pas de règle.
`,
}

// receiversWords are the words of the printed part.
var receiversWords = map[string]map[string]string{
	"en": {"known": "Recognised by", "mailboxes": "Own mailboxes", "limits": "Limits", "connections": "connections", "per_connection": "messages on one", "per_message": "recipients of a message", "tls": "TLS required",
		"retry": "Tried again after", "floor": "Forgets an address that sends fewer than %d messages a day.", "governor": "The gateway pauses for %s by itself when more than %s %% of at least %d recipients in %s do not exist.",
		"sources": "Sources", "read": "read", "head": "| rule | answer | meaning, at fault | what follows |", "or": "or", "group": "Shares a filter with others", "doubt": "Doubt", "everybody": "Every receiver", "rules": "rules, compared after those of the provider. `postern provider show any` prints them."},
	"fr": {"known": "Reconnu à", "mailboxes": "Boîtes propres", "limits": "Limites", "connections": "connexions", "per_connection": "messages par connexion", "per_message": "destinataires par message", "tls": "TLS exigé",
		"retry": "Nouvelles tentatives après", "floor": "Oublie une adresse qui envoie moins de %d messages par jour.", "governor": "La passerelle fait d'elle-même une pause de %s quand plus de %s %% d'au moins %d destinataires en %s n'existent pas.",
		"sources": "Sources", "read": "lu le", "head": "| règle | réponse | sens, en cause | suite |", "or": "ou", "group": "Partage un filtre avec d'autres", "doubt": "Réserve", "everybody": "Tous les destinataires", "rules": "règles, comparées après celles du fournisseur. `postern provider show any` les affiche."},
}

// TestReceiversPage prints what is known about receivers, in both languages.
func TestReceiversPage(t *testing.T) {
	t.Parallel()
	k, err := provider.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	for lang, name := range map[string]string{"en": "docs/operator/receivers.md", "fr": "docs/operator/receivers.fr.md"} {
		var b strings.Builder
		b.WriteString(receiversIntro[lang])
		for _, p := range k.Providers() {
			printReceiver(&b, catalog, lang, k, p)
		}
		w := receiversWords[lang]
		fmt.Fprintf(&b, "\n## %s\n\n%d %s\n", w["everybody"], len(k.Any()), w["rules"])
		fresh(t, name, b.String())
	}
}

func printReceiver(b *strings.Builder, catalog *locale.Catalog, lang string, k *provider.Knowledge, p *provider.Provider) {
	w := receiversWords[lang]
	fmt.Fprintf(b, "\n## %s\n\n`%s`. %s\n\n", p.Title, p.Name, p.About[lang])
	if len(p.Who.MX) > 0 {
		fmt.Fprintf(b, "- %s: MX `%s`\n", colon(lang, w["known"]), strings.Join(p.Who.MX, "`, `"))
	}
	if len(p.Who.Mailboxes) > 0 {
		var names []string
		for _, d := range p.Who.Mailboxes {
			names = append(names, "`"+string(d)+"`")
		}
		fmt.Fprintf(b, "- %s: %s\n", colon(lang, w["mailboxes"]), strings.Join(names, ", "))
	}
	if p.Group != "" {
		fmt.Fprintf(b, "- %s: `%s`\n", colon(lang, w["group"]), p.Group)
	}
	star := func(field string) string {
		if slices.Contains(p.Careful, field) {
			return "\\*"
		}
		return ""
	}
	l := p.Limits
	fmt.Fprintf(b, "- %s: %d%s %s, %d%s %s, %d%s %s", colon(lang, w["limits"]), l.Connections, star("limits.connections"), w["connections"], l.PerConnection, star("limits.per_connection"), w["per_connection"],
		l.PerMessage, star("limits.per_message"), w["per_message"])
	if l.TLS != "" {
		fmt.Fprintf(b, ", %s", w["tls"])
	}
	b.WriteString("\n")
	if s := p.Retry.String(); s != "" {
		fmt.Fprintf(b, "- %s: %s%s\n", colon(lang, w["retry"]), s, star("retry"))
	}
	if p.Floor > 0 {
		fmt.Fprintf(b, "- "+w["floor"]+"%s\n", p.Floor, star("floor"))
	}
	if g := p.Governor; g.Unknown > 0 {
		fmt.Fprintf(b, "- "+w["governor"]+"%s\n", provider.Retry{Every: []time.Duration{g.Pause}}, strconv.FormatFloat(g.Unknown*100, 'g', -1, 64), g.Least, provider.Retry{Every: []time.Duration{g.Of}}, star("governor"))
	}
	fmt.Fprintf(b, "- %s: ", colon(lang, w["sources"]))
	for i, s := range p.Sources {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(s.What)
		if s.Address != "" {
			fmt.Fprintf(b, " <%s>", s.Address)
		}
		fmt.Fprintf(b, " (%s %s)", w["read"], s.Read)
	}
	b.WriteString("\n")
	if len(p.Rules) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n|---|---|---|---|\n", w["head"])
	for _, r := range p.Rules {
		marks := append(slices.Clone(r.Codes), r.Enhanced...)
		var texts []string
		for _, text := range r.Texts {
			texts = append(texts, "`"+cell(text)+"`")
		}
		said := strings.TrimSpace(strings.Join(marks, ", ") + " " + strings.Join(texts, " "+w["or"]+" "))
		party := r.Meaning.Party
		if party == provider.Nobody {
			party = "nobody"
		}
		var effects []string
		for _, e := range r.Meaning.Effects(r.Code()) {
			args := map[string]any{}
			for k, v := range e.Args {
				args[k] = v
			}
			effects = append(effects, catalog.Text(lang, "provider.effect."+e.Code, args))
		}
		doubt := ""
		if r.Doubt != "" {
			doubt = " (" + colon(lang, w["doubt"]) + ": " + r.Doubt + ")"
		}
		_, id, _ := strings.Cut(r.ID, "/")
		fmt.Fprintf(b, "| `%s` | %s | `%s` %s; %s%s | %s |\n", id, said, r.Meaning.Category, catalog.Text(lang, "provider.category."+string(r.Meaning.Category), nil),
			catalog.Text(lang, "provider.party."+string(party), nil), cell(doubt), cell(strings.Join(effects, " ")))
	}
}

// colon puts the space before a colon where French wants one.
func colon(lang, s string) string {
	if lang == "fr" {
		return s + "\u00a0"
	}
	return s
}

// TestReceiversExample loads the file that the pages show, and asks it.
func TestReceiversExample(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "example.yaml"), []byte(receiversExample), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := provider.Load([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	p := k.Behind("partner.example", []string{"mx.elsewhere.example"})
	if p.Name != "example-isp" || p.Limits.PerHour != 2000 {
		t.Errorf("%s: %+v", p.Name, p.Limits)
	}
	m := k.Classify(provider.Answer{Provider: "example-isp", Code: 550, Enhanced: "5.7.1", Text: "Please slow down"})
	if m.Rule != "example-isp/slow-down" || !m.Temporary(550) {
		t.Errorf("%+v", m)
	}
}
