package docs_test

import (
	"fmt"
	"strings"
	"testing"

	"postern/internal/filter"
	"postern/internal/locale"
)

var providersIntro = map[string]string{
	"en": `# What providers ask

Printed from the table in the code (` + "`go test ./test/docs -update`" + `). Every message that is tested is held against what these providers publish. The result is a card for
each of them on the message's page, in ` + "`postern scan`" + ` and in the API. Cards weigh nothing in the score and hold no message: the [tests](../tests.md) do.

- **Which cards.** Those of the providers where the message has recipients come first, found by the recipient's domain or by its mail exchangers as far as
  the tests asked for them. Then follow the main ones (marked below), whether or not a recipient is there: the next campaign may have some.
- **What is measured.** What the tests found, without a question more to the DNS: SPF from every address that mail may leave from, DKIM signatures of the message and the
  one that is added when it leaves, DMARC, reverse DNS, the name in EHLO, the header, the fields for unsubscribing and whether a signature covers them. TLS is what ` + "`delivery.tls`" + ` says:
  it will be offered, nobody can know yet whether it was used. Complaint rates, limits and consent cannot be seen in one message and are named as notes.
- **States of a point.** Met; not met; advised (not met, but only advice, or only asked from a volume on that a single message does not show); not known, with
  the reason; not concerned.
- **States of a card.** Ready: everything that counts is met. To mend: something that counts is not. Refusal likely: among it is something for which the provider refuses
  mail of any sender. Not known: nothing is known to be missing, but something could not be measured.
- **Bulk mail.** A message with List-Unsubscribe, List-Id, Feedback-ID, ` + "`Precedence: bulk`" + ` (or list, junk) or 50 recipients or more counts as bulk mail. For it, what is asked from a
  volume on counts, since the volume of its sender is not known here. For other mail it is shown as advice; so many messages of nearly the same text
  that the [behaviour tests](../tests.md) see them count as bulk mail as well.
- **DMARC.** When the sender's own domain asks receivers to file or to refuse mail that is not proved, a failure of DMARC counts for every message and at every provider that looks at DMARC.

Rules of providers change. Each section says where and when they were read; the table is ` + "`internal/filter/readiness_providers.go`" + `.
`,
	"fr": `# Ce que demandent les fournisseurs

Page imprimée depuis la table du code (` + "`go test ./test/docs -update`" + `). Chaque message contrôlé est comparé à ce que publient ces fournisseurs. Le résultat est une fiche
pour chacun, sur la page du message, dans ` + "`postern scan`" + ` et dans l'API. Les fiches ne comptent pas dans le score et ne retiennent aucun message : c'est le rôle des
[contrôles](../tests.fr.md).

- **Quelles fiches.** D'abord celles des fournisseurs où le message a des destinataires, reconnus au domaine ou aux serveurs de messagerie (MX) dans la mesure où les contrôles les ont demandés.
  Puis les principales (signalées ci-dessous), avec ou sans destinataire : le prochain envoi peut en avoir.
- **Ce qui est mesuré.** Ce que les contrôles ont trouvé, sans une question de plus au DNS : SPF depuis chaque adresse d'où le courrier peut partir, les signatures DKIM du message et
  celle ajoutée au départ, DMARC, le DNS inverse, le nom dans EHLO, l'en-tête, les champs de désinscription et s'ils sont couverts par une signature. Pour TLS, c'est ce que dit ` + "`delivery.tls`" + ` :
  le chiffrement sera proposé, nul ne sait encore s'il aura servi. Les taux de plaintes, les limites et le consentement ne se voient pas sur un message et sont rappelés en note.
- **États d'un point.** Respecté ; non respecté ; conseillé (non respecté, mais simple conseil, ou demandé seulement à partir d'un volume qu'un message isolé ne montre pas) ;
  non connu, avec la raison ; sans objet.
- **États d'une fiche.** Prêt : tout ce qui compte est respecté. À corriger : quelque chose qui compte ne l'est pas. Rejet probable : il s'y trouve un point pour lequel le fournisseur
  rejette le courrier de tout expéditeur. Non connu : rien ne manque à notre connaissance, mais quelque chose n'a pas pu être mesuré.
- **Envois en nombre.** Un message avec List-Unsubscribe, List-Id, Feedback-ID, ` + "`Precedence: bulk`" + ` (ou list, junk) ou 50 destinataires et plus compte comme un envoi en nombre. Pour lui,
  ce qui est demandé à partir d'un volume compte, car le volume de son expéditeur n'est pas connu ici. Pour les autres, c'est présenté comme un conseil ; beaucoup de messages de texte presque identique, tels que les
  voient les [contrôles du comportement](../tests.fr.md), comptent aussi comme un envoi en nombre.
- **DMARC.** Quand le domaine de l'expéditeur demande lui-même de classer en spam ou de rejeter le courrier non prouvé, un échec de DMARC compte pour chaque message et chez chaque fournisseur qui
  regarde DMARC.

Les règles des fournisseurs changent. Chaque section dit où et quand elles ont été lues ; la table est ` + "`internal/filter/readiness_providers.go`" + `.
`,
}

// TestProvidersPage prints what providers ask, in both languages.
func TestProvidersPage(t *testing.T) {
	t.Parallel()
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]map[string]string{
		"en": {"main": "Its card is made for every message.", "other": "Its card is made where a recipient is there.", "head": "| point | of whom, and otherwise |", "domains": "Recognised by"},
		"fr": {"main": "Sa fiche est faite pour chaque message.", "other": "Sa fiche est faite quand un destinataire s'y trouve.", "head": "| point | à qui, et sinon |", "domains": "Reconnu à"},
	}
	for lang, name := range map[string]string{"en": "docs/operator/providers.md", "fr": "docs/operator/providers.fr.md"} {
		var b strings.Builder
		b.WriteString(providersIntro[lang])
		w := words[lang]
		for _, p := range filter.Providers() {
			card := filter.ExplainCards(catalog, lang, filter.Cards{blank(p)})[0]
			fmt.Fprintf(&b, "\n## %s\n\n%s", p.Name, card.Source)
			if p.URL != "" {
				fmt.Fprintf(&b, " <%s>", p.URL)
			}
			who := w["other"]
			if p.Main {
				who = w["main"]
			}
			var marks []string
			for _, d := range p.Domains {
				marks = append(marks, "`"+string(d)+"`")
			}
			for _, host := range p.MX {
				marks = append(marks, "MX `"+host+"`")
			}
			fmt.Fprintf(&b, "\n%s %s %s.\n\n%s\n|---|---|\n", who, w["domains"], strings.Join(marks, ", "), w["head"])
			for _, i := range card.Items {
				text := i.Asked
				if text == "" {
					text = i.Found
				}
				fmt.Fprintf(&b, "| %s (`%s`) | %s |\n", i.Name, i.ID, strings.ReplaceAll(text, "|", `\|`))
			}
		}
		fresh(t, name, b.String())
	}
}

// blank is a provider's card before anything is measured, with its notes.
func blank(p filter.Provider) filter.Readiness {
	r := filter.Readiness{Provider: p.Key, State: filter.Ready}
	for _, q := range p.Requirements {
		f := filter.Finding{ID: q.ID, State: filter.Met}
		if q.Effect == filter.EffectNote {
			f.Why = q.ID
		}
		r.Requirements = append(r.Requirements, f)
	}
	return r
}
