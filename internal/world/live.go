package world

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"postern/internal/journal"
	"postern/internal/locale"
)

// live lets senders go on sending, tells what becomes of it, and shows how to take part, until ctx ends.
func (s *story) live(ctx context.Context) {
	s.out.heading(0, s.out.text("live.title"))
	s.invite(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { s.arrivals(ctx) })
	defer watch.Wait()
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.out.line("")
			s.out.say(s.out.text("live.end"))
			return
		case <-timer.C:
		}
		s.turn(ctx)
		timer.Reset(3*time.Second + time.Duration(rand.IntN(4000))*time.Millisecond)
	}
}

// invite says where everything is, and how to send something oneself. One message is held for the reader to open its page.
func (s *story) invite(ctx context.Context) {
	t := s.out
	line := func(key, value string) {
		label := t.text("live." + key)
		t.line("   " + label + strings.Repeat(" ", max(1, 26-utf8.RuneCountInString(label))) + t.paint(bold, clean(value)))
	}
	if link, err := s.heldForReader(ctx); err == nil {
		line("page", link)
	}
	line("web", s.g.base)
	for _, x := range []struct {
		key string
		who *person
	}{{"operator", s.operator}, {"sender", s.sender}} {
		if x.who != nil {
			line(x.key, x.who.address+"  "+x.who.password)
		}
	}
	line("relay", s.g.relay.String()+"  "+t.text("live.relay.from", "Address", cheeseClient.IP.String()))
	line("submission", s.g.submit.String())
	line("login", s.shop.User+"  "+s.shop.Password)
	line("socket", s.g.socket)
	line("folder", s.g.dir)
	t.line("")
	t.line("   " + t.text("live.try"))
	for _, l := range []string{
		fmt.Sprintf("swaks --server %s --port %d --tls --auth PLAIN \\", s.g.submit.Addr(), s.g.submit.Port()),
		fmt.Sprintf("  --auth-user %s --auth-password %s \\", s.shop.User, s.shop.Password),
		fmt.Sprintf("  --helo shop.%s --from lettre@%s --to camille@%s", shopDomain, shopDomain, Greylist),
	} {
		t.line("     " + t.paint(bold, l))
	}
	t.line("     " + t.paint(bold, "postern --socket "+s.g.socket+" queue list"))
	t.line("")
	t.say(t.text("live.going"))
}

// heldForReader sends a message that is held and returns the link of its page.
func (s *story) heldForReader(ctx context.Context) (string, error) {
	p := s.livePost("news@"+cellarDomain, "Les Caves", "camille@"+UserList)
	id, _, err := s.give(ctx, cheeseClient, s.g.relay, envelope(p.from, p.to), p.broken())
	if err != nil {
		return "", err
	}
	return s.g.Links().For(id, time.Now()), nil
}

func (s *story) livePost(from, name, to string) post {
	return post{from: from, name: name, to: to, subject: s.out.text("letter.live.subject", "Time", clock(time.Now())),
		text: strings.Split(s.out.text("letter.clean.text"), "|"), now: time.Now()}
}

// turn lets one sender send something.
func (s *story) turn(ctx context.Context) {
	domains := []string{Greylist, ErrLimit, UserList, Authentic, NoMX}
	to := users[rand.IntN(4)] + "@" + domains[rand.IntN(len(domains))]
	from, at := s.shop, s.g.submit
	p := s.livePost("lettre@"+shopDomain, "La Boutique", to)
	message := p.newsletter()
	switch n := rand.IntN(10); {
	case n == 0: // held
		p = s.livePost("news@"+cellarDomain, "Les Caves", to)
		from, at, message = cheeseClient, s.g.relay, p.broken()
	case n == 1: // bounced
		p.to = "personne@" + domains[rand.IntN(len(domains))]
		message = p.newsletter()
	case n == 2: // refused
		p = s.livePost("info@"+agencyDomain, "Agence", to)
		spoof := p
		spoof.from, spoof.name = "direction@"+bankDomain, "La Banque"
		from, at, message = agencyClient, s.g.relay, spoof.plain()
	case n < 5: // plain mail of a web server
		p = s.livePost("contact@"+cheeseDomain, "La Fromagerie", to)
		from, at, message = cheeseClient, s.g.relay, p.plain()
	}
	s.sendLive(ctx, from, at, p, message)
}

// sendLive hands one message over and tells what the gateway said.
func (s *story) sendLive(ctx context.Context, from Sender, at netip.AddrPort, p post, message []byte) {
	reply, err := s.hand(ctx, from, at, envelope(p.from, p.to), message)
	if ctx.Err() != nil {
		return
	}
	kind, more, after := journal.Rejected, "", reply.String()
	switch id, unknown := queueID(reply); {
	case err != nil:
		after = err.Error()
	case reply.OK() && unknown == nil:
		kind, more, after = journal.Accepted, short(string(id)), ""
		if v, err := s.g.Desk().View(ctx, id); err == nil && v.Status == "held" {
			kind, more, after = journal.Held, s.out.text("score", "Score", locale.Number(s.out.lang, v.Verdict.Score)), s.g.Links().For(id, time.Now())
		}
	}
	s.out.full(cell{clock(time.Now()), 10, faint}, cell{s.out.text("kind." + string(kind)), 9, factStyles[kind]}, cell{p.from + " → " + p.to + "  " + more, 0, plain})
	if after != "" {
		s.out.quote(after)
	}
}

// arrivals tells which letters come to the providers until ctx ends.
func (s *story) arrivals(ctx context.Context) {
	_, seen := s.w.Since(0)
	for s.w.More(ctx, seen) {
		var letters []Letter
		letters, seen = s.w.Since(seen)
		for _, l := range letters {
			var to []string
			for _, r := range l.Envelope.Recipients {
				to = append(to, r.Address.String())
			}
			s.out.row(cell{clock(l.At), 10, faint}, cell{s.out.text("kind.delivered"), 9, green},
				cell{strings.Join(to, " ") + "  " + authWords(l.Auth) + "  " + l.Message().Subject(), 0, faint})
		}
	}
}

// authWords is what a provider found out about a letter, in the form of RFC 8601.
func authWords(a Auth) string {
	d := "none"
	if len(a.DKIM) > 0 {
		d = string(a.DKIM[0].Status)
	}
	return fmt.Sprintf("spf=%s dkim=%s dmarc=%s", a.SPF.Result, d, a.DMARC.Result)
}
