package filter

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"postern/internal/learn"
	"postern/internal/mail"
)

// The tests of behaviour that count: they compare a sender with his own past (learn.Observe). They say nothing of the message itself, so that
// the sender's mean (AWL) neither forgives nor remembers them.
var countedTests = []string{"FIRST_TIME_RECIPIENTS", "UNKNOWN_USERS", "REJECTED_SHARE", "VOLUME_UNUSUAL", "MANY_SENDERS", "SENDER_CHANGED", "BULK_ALIKE"}

// behaviourTests are the rows of the catalogue. One of the counted ones alone warns, two together hold: with the 0.2 points that well-formed mail has less,
// most pairs stand above 3.
func behaviourTests() []Test {
	return []Test{
		{Name: "FIRST_TIME_RECIPIENTS", Points: 1.6, Group: GroupBehaviour},
		{Name: "UNKNOWN_USERS", Points: 1.7, Group: GroupBehaviour},
		{Name: "REJECTED_SHARE", Points: 1.2, Group: GroupBehaviour},
		{Name: "VOLUME_UNUSUAL", Points: 1.8, Group: GroupBehaviour},
		{Name: "MANY_SENDERS", Points: 1.2, Group: GroupBehaviour},
		{Name: "SENDER_CHANGED", Points: 0.5, Group: GroupBehaviour},
		{Name: "BULK_ALIKE", Points: 1.7, Group: GroupBehaviour},
		{Name: "FROM_FOREIGN_DOMAIN", Points: 0.5, Group: GroupBehaviour},
		{Name: "ROLE_SENDER", Points: 0.8, Group: GroupBehaviour},
		{Name: "NOREPLY_SENDER", Points: 0.01, Group: GroupBehaviour},
	}
}

// Limits of the tests, in recipients. Each is a floor: below it nobody is judged. With a history, it takes several times the busiest
// hour or day of that history as well.
const (
	volumeHour, volumeDay     = 40, 200  // with a history
	newHour, newDay           = 100, 400 // without one
	newcomerHour, newcomerDay = 50, 200  // a new name at a place with a history: a script that was not there yesterday
	volumeWary                = 20       // an hour, when mail was held for behaviour in the last three days
	volumeTimes               = 4        // times the busiest hour or day
	letterTo                  = 100      // recipients of the largest message of the hour that count as one: a letter to a class, a club

	firstHour, firstDay                 = 25, 100 // recipients never written to before
	firstNewcomerHour, firstNewcomerDay = 40, 150
	firstAlike                          = 6  // an hour, when others send the same text
	strangersOf                         = 5  // one recipient of so many: a message with fewer goes to known people
	firstWary                           = 10 // an hour, when mail was held for behaviour in the last three days
	firstTimes                          = 4  // times the busiest hour or day
	firstShare                          = 2  // times the usual share of such recipients, or ...
	firstFar                            = 20 // ... so many times the busiest hour or day: for who writes to strangers every day

	unknownLeast, unknownShare = 8, 0.05  // of 24 hours
	refusedLeast, refusedShare = 10, 0.10 // of 24 hours

	sendersLeast, sendersNew, sendersTimes = 10, 20, 3 // author addresses of a day

	alikeIdentities, alikeStrangers = 3, 30 // others who send the text; recipients never written to before, together
)

// checkBehaviour compares how the sender sends with how he used to. A message is judged once, when it comes: if it is tested again, what was
// found then stands, because waiting makes no stranger an acquaintance.
func checkBehaviour(ctx context.Context, s *scan) {
	if s.o.Learn == nil || s.Customer.ID == "" {
		return
	}
	if s.Earlier != nil {
		for _, h := range s.Earlier.Hits {
			if slices.Contains(countedTests, h.Test) {
				s.hit(h.Test, h.Args, h.Evidence...)
			}
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerTime)
	defer cancel()
	from, _ := s.fromDomain()
	o := learn.Observation{Identity: learn.IdentityOf(s.Customer.ID, s.Credential, s.ClientIP, from, s.Message.Raw), At: s.Now, Message: s.Message,
		Recipients: s.Envelope.Recipients, Look: s.o.ReadOnly}
	for _, b := range s.Message.From() {
		if !b.Address.IsNull() {
			o.Author = b.Address
			break
		}
	}
	b, err := s.o.Learn.Observe(ctx, o)
	if err != nil {
		s.o.Logger.Warn("behaviour not asked", "account", s.Customer.ID, "error", err)
		s.notMeasured("VOLUME_UNUSUAL", "how this sender sent so far cannot be read now")
		return
	}
	if !s.o.ReadOnly {
		s.observed = &b
	}
	who := subject{b.Identity.String(), b.Own, b.KnownPlace, b.Alike.Identities >= alikeIdentities, b.Strangers > 0 && b.Strangers*strangersOf >= len(o.Recipients)}
	s.judge(who)
	if b.Crowd != nil {
		s.judge(subject{fmt.Sprintf("%d new senders of the last hour, of %s", b.Newcomers, b.Place), *b.Crowd, true, who.alike, who.strangers})
	}
	s.judgeSenders(b)
	if a := b.Alike; a.Identities >= alikeIdentities && a.Recipients >= alikeStrangers {
		s.hit("BULK_ALIKE", map[string]string{"Number": strconv.Itoa(a.Identities), "Messages": strconv.Itoa(a.Messages)},
			fmt.Sprintf("nearly the same text from this sender (%s) and %d others since %s: %d messages, to %d recipients that their senders never wrote to before",
				b.Identity, a.Identities, a.Since.Format("2006-01-02 15:04 UTC"), a.Messages, a.Recipients))
	}
	if c := b.Changed; c != nil {
		s.hit("SENDER_CHANGED", map[string]string{"Sender": c.Sender, "What": o.Author.String(), "Date": c.Last.Format("2006-01-02")},
			fmt.Sprintf("a letter of this form went to %d recipients from %s, the last time on %s; this one comes from %s",
				c.Recipients, c.Sender, c.Last.Format("2006-01-02"), o.Author))
	}
}

// judged tells the ledger what became of the message.
func (s *scan) judged(v Verdict) {
	if s.observed == nil {
		return
	}
	fired := func(h Hit) bool { return slices.Contains(countedTests, h.Test) && h.Points > 0 }
	_, likeness := v.Hit("BULK_ALIKE")
	s.o.Learn.Judged(*s.observed, v.Held, v.Held && slices.ContainsFunc(v.Hits, fired), likeness)
}

// subject is one sender, or the new ones of a place together, as the limits see him.
type subject struct {
	name string
	learn.Conduct
	knownPlace bool
	alike      bool // others send the same text
	strangers  bool // the message goes to people never written to before, or for a fifth at least
}

// judge holds a conduct against the limits.
func (s *scan) judge(c subject) {
	hour, day := newHour, newDay
	if c.knownPlace {
		hour, day = newcomerHour, newcomerDay
	}
	if c.Established {
		hour, day = volumeHour, volumeDay
	}
	if c.Alarms > 0 {
		hour = volumeWary
	}
	hour, day = max(hour, volumeTimes*c.UsualHour.Recipients), max(day, volumeTimes*c.UsualDay.Recipients)
	letter := max(0, min(c.Largest, letterTo)-1)
	switch {
	case c.Hour.Recipients-letter > hour:
		s.volume(c, "1", "in the last hour", c.Hour.Recipients, c.UsualHour.Recipients, hour)
	case c.Day.Recipients > day:
		s.volume(c, "24", "in the last 24 hours", c.Day.Recipients, c.UsualDay.Recipients, day)
	}
	s.judgeStrangers(c)
	share := func(n int) float64 { return float64(n) / math.Max(1, float64(c.Settled)) }
	if c.strangers && c.Unknown >= unknownLeast && share(c.Unknown) >= unknownShare {
		s.hit("UNKNOWN_USERS", map[string]string{"Number": strconv.Itoa(c.Unknown), "Share": percent(share(c.Unknown))},
			fmt.Sprintf("%s: in the last 24 hours, %d of %d recipients (%s %%) do not exist, as their servers say; limit %g %%", c.name, c.Unknown, c.Settled,
				short(share(c.Unknown)), unknownShare*100))
	}
	if c.Refused >= refusedLeast && share(c.Refused) >= refusedShare {
		s.hit("REJECTED_SHARE", map[string]string{"Number": strconv.Itoa(c.Refused), "Share": percent(share(c.Refused))},
			fmt.Sprintf("%s: in the last 24 hours, servers refused the message for %d of %d recipients (%s %%); limit %g %%", c.name, c.Refused, c.Settled,
				short(share(c.Refused)), refusedShare*100))
	}
}

// short is a share in percent, rounded as people do.
func short(p float64) string { return strconv.FormatFloat(math.Round(p*1000)/10, 'f', -1, 64) }

// volume reports more mail than usual.
func (s *scan) volume(c subject, hours, window string, n, usual, limit int) {
	s.hit("VOLUME_UNUSUAL", map[string]string{"Number": strconv.Itoa(n), "Usual": strconv.Itoa(usual), "Hours": hours},
		fmt.Sprintf("%s: %d recipients %s; limit %d (%s)", c.name, n, window, limit, past(c, usual)))
}

// past says what a limit rests on.
func past(c subject, usual int) string {
	alarms := ""
	if c.Alarms > 0 {
		alarms = fmt.Sprintf("; %d messages held for behaviour in the last three days", c.Alarms)
	}
	if c.Days == 0 {
		return "no history yet" + alarms
	}
	return fmt.Sprintf("most before: %d, older days counting less, in %d days of mail%s", usual, c.Days, alarms)
}

// judgeStrangers looks at recipients that the customer never wrote to. Mail to known ones goes on meanwhile, here and in UNKNOWN_USERS: the owner of
// a stolen password still reaches his correspondents. Who writes to strangers every day, such as a shop, is measured by much more than his usual.
func (s *scan) judgeStrangers(c subject) {
	hour, day := firstHour, firstDay
	if !c.Established {
		hour, day = firstNewcomerHour, firstNewcomerDay
	}
	if c.Alarms > 0 {
		hour = firstWary
	}
	if c.alike {
		hour = firstAlike
	}
	if !c.strangers || !c.Established && !c.knownPlace && !c.alike && c.Alarms == 0 {
		return // a new customer's first letter goes to strangers only
	}
	unusual := func(now, usual learn.Figures, floor int) bool {
		if now.FirstTime < max(floor, firstTimes*usual.FirstTime) {
			return false
		}
		share := float64(now.FirstTime) / math.Max(1, float64(now.Recipients))
		return share >= firstShare*c.UsualShare || now.FirstTime >= firstFar*usual.FirstTime
	}
	report := func(hours, window string, now, usual learn.Figures) {
		s.hit("FIRST_TIME_RECIPIENTS", map[string]string{"Number": strconv.Itoa(now.FirstTime), "Usual": strconv.Itoa(usual.FirstTime), "Hours": hours},
			fmt.Sprintf("%s: %d of %d recipients %s were never written to before (%s)", c.name, now.FirstTime, now.Recipients, window, past(c, usual.FirstTime)))
	}
	switch {
	case unusual(c.Hour, c.UsualHour, hour):
		report("1", "in the last hour", c.Hour, c.UsualHour)
	case unusual(c.Day, c.UsualDay, day):
		report("24", "in the last 24 hours", c.Day, c.UsualDay)
	}
}

// judgeSenders looks at the author addresses of one login or script.
func (s *scan) judgeSenders(b learn.Behaviour) {
	if b.Identity.Kind != learn.ByLogin && b.Identity.Kind != learn.ByScript {
		return
	}
	limit := sendersNew
	if b.Own.Established {
		limit = max(sendersLeast, sendersTimes*b.Own.UsualSenders+1)
	}
	if n := b.Own.Senders; n >= limit {
		s.hit("MANY_SENDERS", map[string]string{"Number": strconv.Itoa(n), "Usual": strconv.Itoa(b.Own.UsualSenders)},
			fmt.Sprintf("%s: %d different author addresses today; limit %d (%s)", b.Identity, n, limit, past(subject{Conduct: b.Own}, b.Own.UsualSenders)))
	}
}

// checkOwnSender looks at the addresses that the sender chose for himself. It needs no history.
func checkOwnSender(_ context.Context, s *scan) {
	if s.Envelope.ReversePath.IsNull() && len(s.Envelope.Recipients) > 0 {
		return // a notification (RFC 3464, 3834): it comes from a role
	}
	var role, silent, foreign []string
	note := func(list *[]string, text string) {
		if !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	domain := ""
	for _, b := range s.Message.From() {
		if b.Address.IsNull() {
			continue
		}
		switch mail.RoleOf(b.Address.Local) {
		case mail.NoRole:
		case mail.SilentRole:
			note(&silent, "From: "+b.Address.String())
		default:
			note(&role, "From: "+b.Address.String())
		}
		if !s.owns(b.Address.Domain) {
			domain = string(b.Address.Domain)
			note(&foreign, fmt.Sprintf("From: %s; domains of the customer: %s", b.Address, domainList(s.Customer.Domains)))
		}
	}
	if p := s.Envelope.ReversePath; mail.RoleOf(p.Local) == mail.ProgramRole {
		note(&role, "reverse path: "+p.String())
	}
	if len(role) > 0 {
		_, address, _ := strings.Cut(role[0], ": ")
		s.hit("ROLE_SENDER", map[string]string{"Sender": address}, role...)
	}
	if len(silent) > 0 {
		_, address, _ := strings.Cut(silent[0], ": ")
		s.hit("NOREPLY_SENDER", map[string]string{"Sender": address}, silent...)
	}
	if len(foreign) > 0 {
		s.hit("FROM_FOREIGN_DOMAIN", map[string]string{"Domain": domain, "Domains": domainList(s.Customer.Domains)}, foreign...)
	}
}

// owns reports whether a domain is the customer's. Of one without domains nothing can be said.
func (s *scan) owns(d mail.Domain) bool {
	if len(s.Customer.Domains) == 0 || d == "" {
		return true
	}
	if s.o.Accounts != nil {
		return s.o.Accounts.OwnsDomain(s.Customer, d)
	}
	return slices.ContainsFunc(s.Customer.Domains, func(own mail.Domain) bool { return d == own || strings.HasSuffix(string(d), "."+string(own)) })
}

// domainList names a few domains.
func domainList(all []mail.Domain) string {
	var names []string
	for _, d := range all[:min(len(all), 5)] {
		names = append(names, string(d))
	}
	if more := len(all) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}
