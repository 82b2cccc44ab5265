package learn

import (
	"context"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/mail"
)

// Behaviour of senders: how much an identity sends, to whom, under which names and with what success, compared with its own past.
//
// [Ledger.Observe] counts a message that is being tested and returns the figures, [Ledger.Judged] adds what became of it,
// [Ledger.Settled] what the recipients' servers said of it. Figures come from memory: an identity is read from the database when it
// is first met, and what is counted is written down every few seconds by Run. A crash loses the counts of those seconds, and no mail.
//
// A message counts once, whether it is held or not: held mail is evidence too. Its recipients are strangers until one of their
// servers takes a message for them, so that trying again makes nobody known. What was held makes no history either, unless it was
// released and delivered.
//
// Several nodes: each counts what it takes and writes rows of its own; it adds what the others wrote, as it stood at most [refreshEvery]
// before. Recipients that another node wrote to are known after [reloadEvery].
//
// Bounds: Options.BehaviourBytes for identities (the longest unused leave memory, and come back from the database), Options.SeenRecipients per
// customer (the longest unused half is forgotten), 16384 texts, 16 campaigns and 256 author addresses per identity. An identity with
// fewer than three messages is not written down, so that invented names cost the database nothing.
//
// Nothing readable is stored but the author's address of a campaign, which is the customer's own and is named to him.

// Observation is a message that is being tested.
type Observation struct {
	Identity   Identity
	At         time.Time
	Message    *mail.Message
	Author     mail.Address // of the header; null: none that can be read
	Recipients []mail.Recipient
	Look       bool // count nothing: the message was counted before
}

// Behaviour is what is known of a message's sender, the message included.
type Behaviour struct {
	Identity Identity
	Own      Conduct

	// KnownPlace: the identity is new, and what a forger cannot change (the login, or the client's address) has a history. Crowd are then
	// all new identities of that place together, if they are many: whoever invents a new name for each message counts as one.
	KnownPlace bool
	Place      Identity
	Crowd      *Conduct
	Newcomers  int // new identities of the last hour in that place, counted up to 64

	Strangers int // recipients of this message that the customer never wrote to before
	Alike     Likeness
	Changed   *Campaign // an earlier letter of the same form that came from another address; nil: none
	Forgetful bool      // the customer has more recipients than are remembered: a stranger may be none

	keys       [2]digest
	scope      string
	at         time.Time
	recipients int
	firstTime  int // strangers who count: mail to them was not tried in this hour before
	newcomer   bool
	text       uint64
	hasText    bool
}

// Campaign is a letter that went to many.
type Campaign struct {
	Sender     string // author's address
	Last       time.Time
	Recipients int
}

// Fate is what a recipient's server said in the end.
type Fate uint8

// The fates that are counted.
const (
	Delivered   Fate = iota + 1 // the server took the message
	UnknownUser                 // there is no such recipient
	Refused                     // the server refuses the message for what it is
)

// Settlement is the end of one recipient's delivery.
type Settlement struct {
	Identity  Identity
	At        time.Time
	Recipient mail.Address
	Fate      Fate
}

// Times of the room's work.
const (
	flushEvery   = 5 * time.Second
	refreshEvery = 30 * time.Second
	reloadEvery  = time.Hour
)

// Bounds of what is kept of one identity.
const (
	mostSenders   = 256
	mostCampaigns = 16
	mostNewcomers = 64
	crowdFrom     = 8   // new identities of one place in an hour that are looked at together
	campaignFrom  = 50  // recipients that make a campaign of a letter
	bulkTo        = 20  // recipients of one message that make it a letter to many
	minWritten    = 3   // messages before an identity is written down
	campaignApart = 72  // tens (12 h) between two campaigns
	formBits      = 6   // differing bits of two letters of one form
	maxSender     = 254 // bytes of an author's address
)

// subject is what is kept of one identity.
type subject struct {
	key        digest
	scope      string
	own        tally
	others     map[string]*tally // by node
	place      digest            // of a script: where its login is counted
	senderDay  uint32
	senders    []uint32 // hashes of today's author addresses
	newcomers  []member // of a place
	campaigns  []campaign
	past       Conduct // of the day pastDay, without its recent figures
	pastDay    uint32  // 0: not known
	standing   standing
	dirty      bool
	size       int
	prev, next *subject // by use, the latest first
}

// standing says what an identity is among those of its customer: the key of an identity does not.
type standing uint8

// The standings. One of a version that did not write it down is unknown until it sends again.
const (
	unknownStanding standing = iota
	ofLogin                  // a login
	ofLoginScript            // a script that sends with a login: subject.place is the login's
	ofNobody                 // without a login
	ofPlace                  // new identities of one place together, each of which is counted by itself too
)

// standingOf is that of an identity.
func standingOf(i Identity) standing {
	switch {
	case i.Kind == ByLogin:
		return ofLogin
	case i.Credential != "":
		return ofLoginScript
	}
	return ofNobody
}

// member is a new identity of a place.
type member struct{ id, slot uint32 }

// campaign is a letter of one form from one address. first and last count ten minutes.
type campaign struct {
	form        uint64
	sender      string
	first, last uint32
	recipients  uint32
}

// behaviours is the memory of the ledger's behaviour.
type behaviours struct {
	opening  chan struct{} // full while the installation's key is read
	flushing sync.Mutex    // held while what was counted is written down
	ready    atomic.Bool
	secret   [16]byte
	spreads  *spreads

	mu       sync.Mutex
	subjects map[digest]*subject
	head     *subject // most lately used
	tail     *subject
	bytes    int64
	dirty    []*subject
	leaving  map[digest]leaver // left memory before they were written down
	seen     map[string]*seenTable
	loading  map[string]*loading
	writes   []seenWrite
	texts    clusters

	settled chan Settlement
}

// newBehaviours prepares the memory.
func newBehaviours(waiting int) *behaviours {
	return &behaviours{opening: make(chan struct{}, 1), spreads: newSpreads(), subjects: make(map[digest]*subject), leaving: make(map[digest]leaver), seen: make(map[string]*seenTable),
		loading: make(map[string]*loading), settled: make(chan Settlement, waiting)}
}

// parts are the tallies of all nodes.
func (s *subject) parts(buffer []*tally) []*tally {
	buffer = append(buffer, &s.own)
	for _, t := range s.others {
		buffer = append(buffer, t)
	}
	return buffer
}

// conduct is what all nodes know of the identity. Its past is reckoned once a day.
func (s *subject) conduct(at time.Time) Conduct {
	var buffer [4]*tally
	parts := s.parts(buffer[:0])
	if today := slotOf(at, 24*time.Hour); s.pastDay != today {
		s.past, s.pastDay = usual(today, parts), today
	}
	c := s.past
	c.recent(at, parts)
	return c
}

// Observe counts a message and returns its sender's behaviour. The error is the database's, or ctx's end.
func (l *Ledger) Observe(ctx context.Context, o Observation) (Behaviour, error) {
	b := l.behaviour
	out := Behaviour{Identity: o.Identity, scope: o.Identity.Customer, at: o.At, recipients: len(o.Recipients), keys: [2]digest{o.Identity.key()}}
	if err := l.openBehaviour(ctx); err != nil {
		return out, err
	}
	keys := out.keys[:1]
	place, wider := o.Identity.wider()
	if wider {
		out.Place = place
		out.keys[1] = place.newAt()
		keys = out.keys[:2]
	}
	hashes := make([]uint64, len(o.Recipients))
	for i, r := range o.Recipients {
		hashes[i] = recipientHash(&b.secret, out.scope, r.Address)
	}
	var form uint64
	var bulk, hasForm bool
	if o.Message != nil {
		out.text, out.hasText = textHash(b.spreads, o.Message.Text())
		if bulk = len(o.Recipients) >= bulkTo || saysBulk(o.Message) || b.busy(keys[0], o.At); bulk {
			form, hasForm = b.formOf(o.Message)
		}
	}

	if err := l.acquire(ctx, o.At, out.scope, keys...); err != nil {
		return out, err
	}
	defer b.mu.Unlock()
	s, table := b.subjects[keys[0]], b.seen[out.scope]
	table.used = o.At
	if s.standing = standingOf(o.Identity); wider {
		s.place, b.subjects[keys[1]].standing = keys[1], ofPlace
	}
	for _, h := range hashes {
		stranger, counts := table.attempt(h, o.At, !o.Look)
		if stranger {
			out.Strangers++
		}
		if counts {
			out.firstTime++
		}
	}
	out.Forgetful = table.full
	author := ""
	if !o.Author.IsNull() {
		author = clip(strings.ToLower(o.Author.String()), maxSender)
	}
	if !o.Look {
		s.count(o.At, len(hashes), out.firstTime)
		s.author(o.At, author)
		b.touched(s)
	}
	out.Own = s.conduct(o.At)
	if wider {
		b.observePlace(&out, b.subjects[keys[1]], keys[0], o.Look)
	}
	if out.hasText {
		out.Alike = b.texts.look(out.text, short(keys[0]), out.Strangers, out.firstTime, o.At, !o.Look)
	}
	if hasForm && author != "" {
		out.Changed = s.letter(form, author, len(hashes), o.At, !o.Look)
	}
	l.evict()
	return out, nil
}

// count counts a message.
func (s *subject) count(at time.Time, recipients, strangers int) {
	s.own.add(at, cMessages, 1)
	s.own.add(at, cRecipients, recipients)
	s.own.add(at, cFirstTime, strangers)
	if t := s.own.tenAt(slotOf(at, tenMinutes)); uint64(recipients) > uint64(t.largest) {
		t.largest = uint32(min(recipients, 1<<30))
	}
}

// author notes an author's address of today.
func (s *subject) author(at time.Time, address string) {
	today := slotOf(at, 24*time.Hour)
	if s.senderDay != today {
		s.senderDay, s.senders = today, nil
	}
	if address == "" {
		return
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(address))
	if x := h.Sum32(); len(s.senders) < mostSenders && !slices.Contains(s.senders, x) {
		s.senders = append(s.senders, x)
	}
	d := s.own.dayAt(today)
	d.senders = max(d.senders, uint32(len(s.senders)))
}

// observePlace counts a message where its identity cannot be forged. Only messages count there, not recipients, when the identity has a history of
// its own.
func (b *behaviours) observePlace(out *Behaviour, p *subject, id digest, look bool) {
	out.newcomer = !out.Own.Established
	if !look {
		if out.newcomer {
			p.count(out.at, out.recipients, out.firstTime)
		} else {
			p.own.add(out.at, cMessages, 1)
		}
		b.touched(p)
	}
	var buffer [4]*tally
	parts := p.parts(buffer[:0])
	days := map[uint32]bool{}
	today := slotOf(out.at, 24*time.Hour)
	for _, t := range parts {
		for i := range t.days {
			if d := &t.days[i]; d.slot < today && d.slot+keepDays > today && d.n[cMessages] > 0 {
				days[d.slot] = true
			}
		}
	}
	if !out.newcomer || len(days) < MinHistory {
		return
	}
	out.KnownPlace = true
	now := slotOf(out.at, tenMinutes)
	p.newcomers = slices.DeleteFunc(p.newcomers, func(m member) bool { return m.slot+keepTens <= now })
	k := slices.IndexFunc(p.newcomers, func(m member) bool { return m.id == short(id) })
	switch {
	case look:
	case k >= 0:
		p.newcomers[k].slot = now
	case len(p.newcomers) < mostNewcomers:
		p.newcomers = append(p.newcomers, member{short(id), now})
	}
	if out.Newcomers = len(p.newcomers); out.Newcomers >= crowdFrom {
		c := conduct(out.at, parts)
		out.Crowd = &c
	}
}

// short is a number for an identity where a collision does little harm.
func short(d digest) uint32 {
	return uint32(d[0])<<24 | uint32(d[1])<<16 | uint32(d[2])<<8 | uint32(d[3])
}

// busy reports whether an identity wrote to many already today.
func (b *behaviours) busy(key digest, at time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.subjects[key]
	if s == nil || len(s.own.days) == 0 {
		return false
	}
	d := &s.own.days[len(s.own.days)-1]
	return d.slot == slotOf(at, 24*time.Hour) && d.n[cRecipients] >= campaignFrom
}

// saysBulk reports whether a message says of itself that it goes to many.
func saysBulk(m *mail.Message) bool {
	return m.Header.Has("List-Unsubscribe") || m.Header.Has("List-Id") || m.Header.Has("Feedback-ID") ||
		m.Header.Has("Precedence") && slices.Contains([]string{"bulk", "list"}, strings.ToLower(strings.TrimSpace(m.Header.Get("Precedence"))))
}

// formOf is the form of a letter to many: its list, or the order of its HTML.
func (b *behaviours) formOf(m *mail.Message) (form uint64, ok bool) {
	if list := m.Header.Get("List-Id"); list != "" {
		h := fnv.New64a()
		_, _ = h.Write([]byte(strings.ToLower(list)))
		return mix(h.Sum64()), true
	}
	for _, p := range m.Parts() {
		if p.MediaType == "text/html" && p.Disposition != "attachment" {
			return formHash(b.spreads, p.Decoded())
		}
	}
	return 0, false
}

// letter counts a letter to many, and returns the campaign of the same form that came from another address, if this address is new to the
// form.
func (s *subject) letter(form uint64, sender string, recipients int, at time.Time, count bool) (changed *Campaign) {
	now := slotOf(at, tenMinutes)
	var own *campaign
	known := false
	for i := range s.campaigns {
		c := &s.campaigns[i]
		if !alike(c.form, form, formBits) {
			continue
		}
		earlier := c.recipients >= campaignFrom && c.last+campaignApart <= now
		switch {
		case c.sender == sender:
			own = c
			known = c.recipients >= campaignFrom && c.first+campaignApart <= now
		case earlier && (changed == nil || c.last > slotOf(changed.Last, tenMinutes)):
			changed = &Campaign{Sender: c.sender, Last: time.Unix(int64(c.last)*int64(tenMinutes/time.Second), 0).UTC(), Recipients: int(c.recipients)}
		}
	}
	if known {
		changed = nil
	}
	if !count {
		return changed
	}
	if own == nil {
		if len(s.campaigns) >= mostCampaigns {
			oldest := 0
			for i := range s.campaigns {
				if s.campaigns[i].last < s.campaigns[oldest].last {
					oldest = i
				}
			}
			s.campaigns = slices.Delete(s.campaigns, oldest, oldest+1)
		}
		s.campaigns = append(s.campaigns, campaign{form: form, sender: sender, first: now})
		own = &s.campaigns[len(s.campaigns)-1]
	}
	own.last = max(own.last, now)
	grow(&own.recipients, uint32(min(recipients, 1<<30)))
	return changed
}

// Judged adds what became of an observed message. alarm: it was held for behaviour, among other things.
func (l *Ledger) Judged(o Behaviour, held, alarm, likeness bool) {
	b := l.behaviour
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, key := range o.keys {
		s := b.subjects[key]
		if s == nil || k == 1 && !o.newcomer {
			continue
		}
		if !held {
			s.own.add(o.at, cAccepted, o.recipients)
			s.own.add(o.at, cAcceptedFirst, o.firstTime)
		}
		if alarm {
			grow(&s.own.dayAt(slotOf(o.at, 24*time.Hour)).alarms, 1)
		}
		b.touched(s)
	}
	if held && likeness && o.hasText {
		if i := b.texts.find(o.text, slotOf(o.at, tenMinutes)); i >= 0 {
			b.texts.all[i].fired, b.texts.all[i].dirty = true, true
		}
	}
}

// Settled counts the end of a recipient's delivery. It does not wait: what finds no room in the queue is lost and counted (Lost).
func (l *Ledger) Settled(s Settlement) {
	if s.Fate < Delivered || s.Fate > Refused || s.Identity.Customer == "" {
		return
	}
	select {
	case l.behaviour.settled <- s:
	default:
		l.lost.Add(1)
	}
}

// Settle counts the end of a recipient's delivery, for who may wait. The error is the database's.
func (l *Ledger) Settle(ctx context.Context, o Settlement) error {
	b, scope := l.behaviour, o.Identity.Customer
	if scope == "" {
		return nil
	}
	if err := l.openBehaviour(ctx); err != nil {
		return err
	}
	keys := []digest{o.Identity.key()}
	if place, wider := o.Identity.wider(); wider {
		keys = append(keys, place.newAt())
	}
	h := recipientHash(&b.secret, scope, o.Recipient)
	if err := l.acquire(ctx, o.At, scope, keys...); err != nil {
		return err
	}
	defer b.mu.Unlock()
	first := false
	if o.Fate == Delivered {
		table := b.seen[scope]
		var write bool
		table.used = o.At
		if first, write = table.deliver(h, o.At); write {
			b.write(l, seenWrite{scope: scope, hash: h, day: slotOf(o.At, 24*time.Hour)})
		}
	}
	for k, key := range keys {
		s := b.subjects[key]
		if k == 1 {
			if b.subjects[keys[0]].conduct(o.At).Established {
				continue
			}
		}
		switch o.Fate {
		case Delivered:
			s.own.add(o.At, cDelivered, 1)
			if first {
				s.own.add(o.At, cDeliveredFirst, 1)
			}
		case UnknownUser:
			s.own.add(o.At, cUnknown, 1)
		case Refused:
			s.own.add(o.At, cRefused, 1)
		}
		b.touched(s)
	}
	l.evict()
	return nil
}

// BehaviourSize is what the behaviour takes in memory.
type BehaviourSize struct {
	Identities, Recipients, Texts int
	Bytes                         int64 // about
}

// BehaviourSize tells how much of behaviour is in memory.
func (l *Ledger) BehaviourSize() BehaviourSize {
	b := l.behaviour
	b.mu.Lock()
	defer b.mu.Unlock()
	z := BehaviourSize{Identities: len(b.subjects), Texts: len(b.texts.all), Bytes: b.bytes}
	for _, t := range b.seen {
		z.Recipients += t.n
		z.Bytes += int64(8 * len(t.slots))
	}
	for i := range b.texts.all {
		z.Bytes += int64(64 + 8*cap(b.texts.all[i].senders) + 16)
	}
	for _, x := range b.leaving {
		z.Bytes += int64(len(x.state) + 100)
	}
	return z
}
