package world

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/dmarc"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/smtp"
	"postern/internal/spf"
)

// check writes a statement with its mark. What is not so ends the story.
func (s *story) check(ok bool, key string, pairs ...any) error {
	text := s.out.text(key, pairs...)
	s.out.mark(ok, text)
	if !ok {
		return fmt.Errorf("%w: %s", ErrNotAsTold, text)
	}
	return nil
}

// checks writes statements until one is not so.
func checks(all ...func() error) error {
	for _, one := range all {
		if err := one(); err != nil {
			return err
		}
	}
	return nil
}

// hand gives a message to the gateway and returns its last word.
func (s *story) hand(ctx context.Context, from Sender, at netip.AddrPort, env mail.Envelope, message []byte) (smtp.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	result, err := from.Send(ctx, at, env, message)
	return said(result), err
}

// give gives a message to the gateway, which must take it, and returns its queue ID.
func (s *story) give(ctx context.Context, from Sender, at netip.AddrPort, env mail.Envelope, message []byte) (mail.QueueID, smtp.Reply, error) {
	reply, err := s.hand(ctx, from, at, env, message)
	if err != nil {
		return "", reply, err
	}
	if !reply.OK() {
		return "", reply, fmt.Errorf("the gateway refused a message of the story: %s", reply)
	}
	id, err := queueID(reply)
	if err == nil {
		s.sent = append(s.sent, accepted{id, len(env.Recipients)})
	}
	return id, reply, err
}

// follow writes each new fact about a message until enough says so.
func (s *story) follow(ctx context.Context, id mail.QueueID, enough func([]journal.Fact) bool) ([]journal.Fact, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	for {
		facts, err := s.g.Journal().Trace(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, f := range facts[min(s.shown[id], len(facts)):] {
			s.fact(f)
			s.shown[id]++
		}
		if enough(facts) {
			return facts, nil
		}
		select {
		case <-time.After(30 * time.Millisecond):
		case <-ctx.Done():
			return facts, fmt.Errorf("message %s: what should follow does not: %w", id, ctx.Err())
		}
	}
}

// factStyles colour the kinds.
var factStyles = map[journal.Kind]string{journal.Delivered: green, journal.Deferred: yellow, journal.Held: yellow, journal.Bounced: red,
	journal.Rejected: red, journal.Released: green, journal.Dropped: red}

// fact writes one line of a message's life, and a second one with the next attempt when there is one.
func (s *story) fact(f journal.Fact) {
	words, whom := strings.TrimSpace(f.Text), f.Recipient
	if f.Code > 0 {
		words = strings.TrimSpace(fmt.Sprintf("%d %s %s", f.Code, f.Enhanced, words))
	}
	switch f.Kind {
	case journal.Accepted, journal.Held, journal.Retested:
		words = s.out.text("score", "Score", locale.Number(s.out.lang, f.Score))
		if n := 1; f.Text != "" {
			if _, err := fmt.Sscanf(f.Text, "%d recipients", &n); err == nil {
				whom = s.out.text("recipients", "Count", n)
			}
		}
	case journal.Released, journal.Dropped:
		words = s.out.text("by.operator")
		switch f.Actor {
		case "rule":
			words = s.out.text("by.rule")
		case "sender":
			words = s.out.text("by.sender")
		}
	}
	s.out.full(cell{clock(f.At), 10, faint}, cell{s.out.text("kind." + string(f.Kind)), 9, factStyles[f.Kind]}, cell{whom, 27, plain}, cell{words, 0, faint})
	if f.Kind == journal.Deferred {
		s.out.full(cell{"", 10, plain}, cell{"", 9, plain}, cell{"", 27, plain}, cell{s.out.text("next", "Time", clock(f.NextAt), "Attempt", f.Attempt+1), 0, yellow})
	}
}

// settled reports whether n recipients have their final fate.
func settled(n int) func([]journal.Fact) bool {
	return func(facts []journal.Fact) bool {
		return countKinds(facts, journal.Delivered, journal.Bounced, journal.Expired) >= n
	}
}

func countKinds(facts []journal.Fact, kinds ...journal.Kind) int {
	n := 0
	for _, f := range facts {
		if slices.Contains(kinds, f.Kind) {
			n++
		}
	}
	return n
}

func hasFact(facts []journal.Fact, kind journal.Kind, recipient string) bool {
	return slices.ContainsFunc(facts, func(f journal.Fact) bool { return f.Kind == kind && (recipient == "" || f.Recipient == recipient) })
}

// letter waits for a letter to an address that want says yes to.
func (s *story) letter(ctx context.Context, to string, want func(Letter) bool) (Letter, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	l, err := s.w.Await(ctx, func(l Letter) bool { return l.For(address(to)) && want(l) })
	if err != nil {
		return l, fmt.Errorf("to %s: %w", to, err)
	}
	return l, nil
}

// subject makes a condition for letter.
func subject(part string) func(Letter) bool {
	return func(l Letter) bool { return strings.Contains(l.Message().Subject(), part) }
}

// cleanNewsletter: one message to five providers, all of whom take it, one of them only at the second try.
func (s *story) cleanNewsletter(ctx context.Context) error {
	to := []string{"camille@" + Greylist, "camille@" + ErrLimit, "camille@" + UserList, "camille@" + Authentic, "camille@" + NoMX}
	p := post{from: "lettre@" + shopDomain, name: "La Boutique", to: "abonnes@" + shopDomain, subject: s.out.text("letter.clean.subject"),
		text: strings.Split(s.out.text("letter.clean.text"), "|"), now: time.Now()}
	s.out.say(s.out.text("clean.who"))
	id, reply, err := s.give(ctx, s.shop, s.g.submit, envelope(p.from, to...), p.newsletter())
	if err != nil {
		return err
	}
	s.out.quote(reply.String())
	facts, err := s.follow(ctx, id, settled(len(to)))
	if err != nil {
		return err
	}
	strict, err := s.letter(ctx, to[3], subject(p.subject))
	if err != nil {
		return err
	}
	return checks(
		func() error {
			return s.check(facts[0].Kind == journal.Accepted && facts[0].Score <= 3, "clean.score", "Score", locale.Number(s.out.lang, facts[0].Score))
		},
		func() error {
			return s.check(hasFact(facts, journal.Deferred, to[0]) && hasFact(facts, journal.Delivered, to[0]), "clean.greylist", "Provider", Greylist)
		},
		func() error {
			return s.check(countKinds(facts, journal.Delivered) == len(to), "clean.everywhere", "Count", len(to))
		},
		func() error {
			return s.check(slices.Contains(strict.Auth.DKIMPass(), shopDomain) && strict.Auth.DMARC.Result == dmarc.Pass && strict.Auth.SPF.Result == spf.Pass,
				"clean.signed", "Provider", Authentic, "Domain", shopDomain)
		},
		func() error { return s.check(strict.TLS && strict.Hello == GatewayHost, "clean.tls") },
	)
}

// brokenNewsletter: a held message, its notice, its page, the mended record, the test that lets it go.
func (s *story) brokenNewsletter(ctx context.Context) error {
	to := "sacha@" + Authentic
	p := post{from: "lettre@" + cheeseDomain, name: "La Fromagerie", to: to, subject: s.out.text("letter.broken.subject"),
		text: strings.Split(s.out.text("letter.broken.text"), "|"), now: time.Now()}
	provider := s.w.Provider(Authentic)
	s.out.say(s.out.text("broken.direct"))
	reply, err := s.hand(ctx, cheeseClient, netip.AddrPortFrom(provider.IP, uint16(s.w.Port)), envelope(p.from, to), p.broken())
	if err != nil {
		return err
	}
	s.out.quote(reply.String())
	if err := s.check(reply.Code == 550, "broken.refused", "Provider", Authentic); err != nil {
		return err
	}
	s.out.say(s.out.text("broken.who"))
	id, reply, err := s.give(ctx, cheeseClient, s.g.relay, envelope(p.from, to), p.broken())
	if err != nil {
		return err
	}
	s.out.quote(reply.String())
	facts, err := s.follow(ctx, id, func(facts []journal.Fact) bool { return hasFact(facts, journal.Held, "") })
	if err != nil {
		return err
	}
	before := facts[0].Score
	if err := s.check(before > 3, "broken.held", "Score", locale.Number(s.out.lang, before)); err != nil {
		return err
	}
	page, err := s.noticeAndPage(ctx, p, id)
	if err != nil {
		return err
	}
	return s.mendAndRetest(ctx, page, id, p, before)
}

// noticeAndPage reads the notice in the sender's mailbox and opens its link.
func (s *story) noticeAndPage(ctx context.Context, p post, id mail.QueueID) (webPage, error) {
	notice, err := s.letter(ctx, p.from, func(Letter) bool { return true })
	if err != nil {
		return webPage{}, err
	}
	link, err := linkIn(notice)
	if err != nil {
		return webPage{}, err
	}
	s.out.mark(true, s.out.text("broken.notice", "Mailbox", p.from))
	s.out.quote(notice.Message().Subject())
	s.out.quote(link)
	page, err := s.reader.open(ctx, "GET", link)
	if err != nil {
		return page, err
	}
	view, err := s.g.Desk().View(ctx, id)
	if err != nil {
		return page, err
	}
	var missing []string
	for _, h := range view.Verdict.Hits {
		if h.Points < 0.05 {
			continue
		}
		s.out.row(cell{fmt.Sprintf("%5s", locale.Number(s.out.lang, h.Points)), 5, yellow}, cell{h.Test, 22, plain}, cell{strings.Join(h.Evidence, "; "), 0, faint})
		if !page.shows(h.Test) {
			missing = append(missing, h.Test)
		}
	}
	for _, test := range []string{"SPF_FAIL", "INVALID_DATE", "HTML_MIXED_CASE_TAG", "MIME_HTML_ONLY"} {
		if _, hit := view.Verdict.Hit(test); !hit || !page.shows(test) {
			missing = append(missing, test)
		}
	}
	if err := s.check(len(missing) == 0, "broken.page", "Missing", strings.Join(missing, " ")); err != nil {
		return page, err
	}
	return page, s.check(page.record("ip4:"+Egress.String()) != "", "broken.advice", "Mechanism", "ip4:"+Egress.String())
}

// mendAndRetest publishes the record, presses the button, and tells what came of it.
func (s *story) mendAndRetest(ctx context.Context, page webPage, id mail.QueueID, p post, before float64) error {
	record := page.record("ip4:" + Egress.String()) // copied from the page, as its reader would
	if err := s.w.Names.Replace(Record{cheeseDomain, "TXT", record}); err != nil {
		return err
	}
	s.out.say(s.out.text("broken.mend", "Domain", cheeseDomain))
	s.out.quote(cheeseDomain + ". IN TXT \"" + record + "\"")
	after, err := s.reader.press(ctx, page, "retest")
	if err != nil {
		return err
	}
	view, err := s.g.Desk().View(ctx, id)
	if err != nil {
		return err
	}
	score := view.Verdict.Score
	if err := s.check(score < before, "broken.retest", "Before", locale.Number(s.out.lang, before), "Score", locale.Number(s.out.lang, score)); err != nil {
		return err
	}
	if view.Status == "held" {
		// Still above the threshold: the policy of this customer lets him release it himself.
		if _, err := s.reader.press(ctx, after, "release"); err != nil {
			return err
		}
		s.out.say(s.out.text("broken.release"))
	}
	facts, err := s.follow(ctx, id, settled(1))
	if err != nil {
		return err
	}
	l, err := s.letter(ctx, p.to, subject(p.subject))
	if err != nil {
		return err
	}
	s.mended = p.subject
	return s.check(hasFact(facts, journal.Delivered, p.to) && l.Auth.SPF.Result == spf.Pass && l.Auth.DMARC.Result == dmarc.Pass, "broken.arrived", "Provider", Authentic)
}

// spoofs: a foreign author is refused at the door; where a hoster's contract allows any author, the receivers' view holds him.
func (s *story) spoofs(ctx context.Context) error {
	to := "dominique@" + Authentic
	p := post{from: "direction@" + bankDomain, name: "La Banque", to: to, subject: s.out.text("letter.spoof.subject"),
		text: strings.Split(s.out.text("letter.spoof.text"), "|"), now: time.Now()}
	s.out.say(s.out.text("spoof.who", "Domain", bankDomain))
	reply, err := s.hand(ctx, agencyClient, s.g.relay, envelope("info@"+agencyDomain, to), p.plain())
	if err != nil {
		return err
	}
	s.out.quote(reply.String())
	if err := s.check(reply.Code == 550, "spoof.refused"); err != nil {
		return err
	}
	s.out.say(s.out.text("spoof.anyfrom", "Domain", bankDomain))
	id, reply, err := s.give(ctx, hostingClient, s.g.relay, envelope("www-data@"+hostingDomain, to), p.plain())
	if err != nil {
		return err
	}
	s.out.quote(reply.String())
	view, err := s.g.Desk().View(ctx, id)
	if err != nil {
		return err
	}
	hit, found := view.Verdict.Hit("DMARC_FAIL_REJECT")
	if err := s.check(view.Status == "held" && found, "spoof.held", "Score", locale.Number(s.out.lang, view.Verdict.Score)); err != nil {
		return err
	}
	s.out.quote(strings.Join(hit.Evidence, "; "))
	notice, err := s.letter(ctx, "www-data@"+hostingDomain, func(Letter) bool { return true })
	if err != nil {
		return err
	}
	s.out.mark(true, s.out.text("spoof.notice", "Mailbox", "www-data@"+hostingDomain))
	s.out.quote(notice.Message().Subject())
	if _, err := s.g.Desk().Drop(ctx, id, "operator:demo"); err != nil {
		return err
	}
	if _, err := s.follow(ctx, id, func(facts []journal.Fact) bool { return hasFact(facts, journal.Dropped, "") }); err != nil {
		return err
	}
	arrived := slices.ContainsFunc(s.w.Mailbox(address(to)), subject(p.subject))
	return s.check(!arrived, "spoof.never", "Mailbox", to)
}

// unknownUser: a mailbox that does not exist comes back as a notification in the sender's language.
func (s *story) unknownUser(ctx context.Context) error {
	to := "personne@" + UserList
	p := post{from: "commandes@" + shopDomain, name: "La Boutique", to: to, subject: s.out.text("letter.order.subject"),
		text: strings.Split(s.out.text("letter.order.text"), "|"), now: time.Now()}
	s.out.say(s.out.text("unknown.who", "Recipient", to))
	id, _, err := s.give(ctx, s.shop, s.g.submit, envelope(p.from, to), p.plain())
	if err != nil {
		return err
	}
	facts, err := s.follow(ctx, id, settled(1))
	if err != nil {
		return err
	}
	if err := s.check(hasFact(facts, journal.Bounced, to), "unknown.bounced", "Provider", UserList); err != nil {
		return err
	}
	if err := s.notification(ctx, p.from, to, "OFR_416"); err != nil {
		return err
	}
	// The second letter to the same address never leaves: its sender hears at once why, and his reputation is spared.
	if _, err := s.follow(ctx, id, func(facts []journal.Fact) bool { return hasFact(facts, journal.Listed, "") }); err != nil {
		return err
	}
	s.out.say(s.out.text("unknown.again", "Recipient", to))
	reply, err := s.hand(ctx, s.shop, s.g.submit, envelope(p.from, to), p.plain())
	if err != nil {
		return err
	}
	s.out.quote(reply.String())
	return s.check(reply.Code == 550 && strings.Contains(reply.String(), "OFR_416"), "unknown.listed")
}

// notification reads the DSN about a recipient in the sender's mailbox and shows what its first part says.
func (s *story) notification(ctx context.Context, mailbox, recipient, because string) error {
	dsn, err := s.letter(ctx, mailbox, func(l Letter) bool {
		return l.Envelope.ReversePath.IsNull() && strings.Contains(string(l.Raw), "rfc822; "+recipient)
	})
	if err != nil {
		return err
	}
	m := dsn.Message()
	for _, paragraph := range paragraphs(firstText(m), shownParagraphs) {
		s.out.quote(paragraph)
		if strings.Contains(paragraph, because) {
			break
		}
	}
	french := strings.Contains(strings.ToLower(firstText(m)), "destinataire")
	return s.check(french && strings.Contains(string(dsn.Raw), because) && strings.Contains(string(dsn.Raw), "Action: failed"), "unknown.dsn", "Mailbox", mailbox)
}

// shownParagraphs bounds how much of a notification is shown: what happened, to whom, why, what to do, and the answer.
const shownParagraphs = 8

// paragraphs returns the first paragraphs of a text, each on one line, without the rules below headings.
func paragraphs(text string, limit int) []string {
	var out []string
	current := ""
	for line := range strings.Lines(text + "\n\n") {
		line = strings.TrimSpace(line)
		rule := len(line) > 3 && (strings.Trim(line, "=") == "" || strings.Trim(line, "-") == "")
		switch {
		case rule, line == "":
			if current != "" {
				out = append(out, current)
			}
			current = ""
		case current == "":
			current = line
		default:
			current += " " + line
		}
	}
	return out[:min(len(out), limit)]
}

// firstText is the part of a mail that its reader sees first.
func firstText(m *mail.Message) string {
	for _, p := range m.Parts() {
		if p.MediaType == "text/plain" {
			return p.Text()
		}
	}
	return ""
}

// strangeRoutes: a domain without MX is reached at its address, one with a null MX is not asked.
func (s *story) strangeRoutes(ctx context.Context) error {
	to := []string{"noor@" + NoMX, "noor@" + NoMail}
	p := post{from: "commandes@" + shopDomain, name: "La Boutique", to: to[0], subject: s.out.text("letter.routes.subject"),
		text: strings.Split(s.out.text("letter.order.text"), "|"), now: time.Now()}
	s.out.say(s.out.text("routes.who"))
	id, _, err := s.give(ctx, s.shop, s.g.submit, envelope(p.from, to...), p.plain())
	if err != nil {
		return err
	}
	facts, err := s.follow(ctx, id, settled(2))
	if err != nil {
		return err
	}
	at := slices.IndexFunc(facts, func(f journal.Fact) bool { return f.Kind == journal.Delivered })
	if err := s.check(at >= 0 && strings.HasPrefix(facts[at].Host, NoMX+"["), "routes.fallback", "Provider", NoMX); err != nil {
		return err
	}
	if err := s.check(hasFact(facts, journal.Bounced, to[1]), "routes.null", "Domain", NoMail); err != nil {
		return err
	}
	return s.notification(ctx, p.from, to[1], "5.1.10")
}

// ending: one message's life as the journal tells it, and nothing left over.
func (s *story) ending(ctx context.Context) error {
	facts, err := s.g.Journal().Trace(ctx, s.sent[1].id)
	if err != nil {
		return err
	}
	s.out.say(s.out.text("end.trace", "ID", string(s.sent[1].id)))
	for _, f := range facts {
		s.fact(f)
	}
	for _, one := range s.sent {
		if err := s.accounted(ctx, one); err != nil {
			return err
		}
	}
	if err := s.check(len(facts) > 3, "end.accounted", "Count", len(s.sent)); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	for {
		st, err := s.g.Spool().Stats(wait)
		if err != nil {
			return err
		}
		if st.Queued+st.Held == 0 {
			return s.check(st.Silent == 0 && st.Mended == 0, "end.empty")
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-wait.Done():
			return s.check(false, "end.left", "Queued", st.Queued, "Held", st.Held)
		}
	}
}

// accounted fails when a recipient's fate is not in the journal.
func (s *story) accounted(ctx context.Context, one accepted) error {
	facts, err := s.g.Journal().Trace(ctx, one.id)
	if err != nil {
		return err
	}
	ends := countKinds(facts, journal.Delivered, journal.Bounced, journal.Expired)
	if ends != one.recipients && !hasFact(facts, journal.Dropped, "") {
		return fmt.Errorf("message %s: %d of %d recipients have an end in the journal", one.id, ends, one.recipients)
	}
	return nil
}
