package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"postern/internal/mail"
	"postern/internal/shaping"
	"postern/internal/spool"
)

// job is one message for one destination: what one transaction carries.
type job struct {
	*letter
	to   []spool.Recipient
	open []int // indexes of the recipients whose outcome is not known; guarded by stock.mu

	// place sets these before a lane gets the job.
	dst    *destination
	from   mail.Address // reverse path on the wire
	key    shaping.Key
	egress shaping.Egress
	route  string // connections are shared within it

	since  time.Time // when it came into memory
	placed bool      // its lane is known; guarded by stock.mu, with those above
	begun  bool      // a worker has it; guarded by stock.mu

	openOne [1]int  // space of open, for the usual job
	inStock [1]*job // space of the stock's list
}

func (d *Delivery) newJob(l *letter, to []spool.Recipient) *job {
	j := &job{letter: l, to: to, from: l.Envelope.ReversePath, since: d.o.Now()}
	j.open = j.openOne[:0]
	for i := range to {
		j.open = append(j.open, to[i].Index)
	}
	return j
}

// route sorts the due recipients of one message by their domains.
func (d *Delivery) route(ctx context.Context, w spool.Work) {
	l := &letter{Message: w.Message}
	to := d.unsuppressed(ctx, l, w.Recipients)
	for len(to) > 0 {
		domain := d.laneDomain(to[0].Address.Domain)
		same := 1
		for same < len(to) && d.laneDomain(to[same].Address.Domain) == domain {
			same++
		}
		group, rest := to[:same:same], to[same:]
		if len(rest) > 0 { // recipients of one domain may stand anywhere
			var others []spool.Recipient
			for _, r := range rest {
				if d.laneDomain(r.Address.Domain) == domain {
					group = append(group, r)
				} else {
					others = append(others, r)
				}
			}
			rest = others
		}
		to = rest
		j := d.newJob(l, group)
		d.stock.add(j)
		d.whereTo(ctx, domain, j)
	}
}

// laneDomain is what the directory is asked about: the recipients' domain, or the one name that stands for the smarthost.
func (d *Delivery) laneDomain(domain mail.Domain) mail.Domain {
	if d.o.Smarthost != nil {
		return smarthostDomain
	}
	return domain
}

// unsuppressed gives up the recipients that are not written to, and returns the others. Our own notices go to everybody: they tell a sender what became
// of his mail. Recipients that cannot be looked up are put off: a store in trouble is no reason to write to somebody who said no.
func (d *Delivery) unsuppressed(ctx context.Context, l *letter, to []spool.Recipient) []spool.Recipient {
	if d.o.Suppression == nil || l.Notice {
		return to
	}
	kept, same := to, true // of to, until one is left out
	for i, r := range to {
		e, found, err := d.o.Suppression.Check(ctx, l.Customer, r.Address)
		if err == nil && !found {
			if !same {
				kept = append(kept, r)
			}
			continue
		}
		if same {
			kept, same = slices.Clone(to[:i]), false
		}
		j := d.newJob(l, to[i:i+1:i+1])
		d.stock.add(j)
		if err != nil {
			d.o.Logger.Error("the list of addresses that are not written to cannot be read: the message is put off", "queue_id", l.ID, "error", err)
			d.failAll(j, trouble{451, "4.3.0", "Not sent yet: the list of addresses that are not written to cannot be read", meansOurs}, false)
			continue
		}
		text := fmt.Sprintf("Not sent: this address has been suppressed since %s (%s)", e.Since.UTC().Format(time.DateOnly), e.Reason)
		if !e.Until.IsZero() {
			text += ", until " + e.Until.UTC().Format(time.DateOnly)
		}
		d.failAll(j, trouble{550, "5.7.1", text, meansSuppressed}, false)
	}
	return kept
}

// place gives a job to the lane of its destination, or back to the spool where the lane does not take it.
func (d *Delivery) place(dst *destination, j *job) {
	if dst.why != nil {
		d.failAll(j, *dst.why, true)
		return
	}
	four, six := dst.families()
	if four && six && d.four.has(j.ID, d.o.Now()) {
		six = false
	}
	e, err := d.shaper.Choose(d.o.Accounts.Pool(j.Pool).Name, dst.site, dst.provider, four, six, sumOf(string(j.ID)))
	var warming *shaping.WarmUpError // the pool has no room today: a time to come back, and no trouble
	if errors.As(err, &warming) {
		e = warming.Egress
	} else if err != nil {
		t := trouble{451, "4.4.1", fmt.Sprintf("%s[%s] cannot be reached: the pool has no egress address of its family (delivery.pools)", dst.hosts[0].name, dst.hosts[0].addrs[0]), meansOurs}
		d.failAll(j, t, true)
		return
	}
	if e.HELO == "" {
		e.HELO = d.o.Hostname
	}
	route := dst.routeOf(e.HELO, d.tlsDemands(dst, j.letter))
	key := shaping.Key{Egress: e.IP, Provider: dst.site}
	var alone [1]*job
	parts := d.transactions(dst, j, alone[:0])
	d.stock.place(j, parts, func(p *job) { p.dst, p.key, p.egress, p.route = dst, key, e, route })
	for _, p := range parts {
		select {
		case <-d.ending:
			d.unclaim(p)
			continue
		default:
		}
		if warming != nil {
			d.park(key, p, warming.Wait)
			continue
		}
		if w := d.shaper.Offer(key, dst.provider, p.item()); w != nil {
			d.park(key, p, *w)
		}
	}
}

// pathOf is the reverse path that a recipient of a job sees.
func (d *Delivery) pathOf(j *job, r *spool.Recipient) mail.Address {
	if d.o.ReturnPath != nil {
		if own, ok := d.o.ReturnPath(&j.Message, r.Index); ok {
			return own
		}
	}
	return j.from
}

// transactions divides a job: one reverse path each, and as many recipients as the provider and we allow. The parts are appended to parts.
func (d *Delivery) transactions(dst *destination, j *job, parts []*job) []*job {
	most := fewer(d.o.PerMessage, dst.provider.Limits.PerMessage)
	if d.o.ReturnPath == nil && len(j.to) <= most {
		return append(parts, j)
	}
	if path, ok := d.onePath(j); ok {
		if len(j.to) <= most {
			d.stock.readdress(j, path)
			return append(parts, j)
		}
		return d.divide(parts, j, j.to, path, most)
	}
	var paths []mail.Address
	byPath := map[mail.Address][]spool.Recipient{}
	for i := range j.to {
		path := d.pathOf(j, &j.to[i])
		if byPath[path] == nil {
			paths = append(paths, path)
		}
		byPath[path] = append(byPath[path], j.to[i])
	}
	for _, path := range paths {
		parts = d.divide(parts, j, byPath[path], path, most)
	}
	return parts
}

// onePath is the reverse path of all recipients of a job; ok is false when they have several.
func (d *Delivery) onePath(j *job) (path mail.Address, ok bool) {
	path = d.pathOf(j, &j.to[0])
	for i := 1; i < len(j.to) && d.o.ReturnPath != nil; i++ {
		if d.pathOf(j, &j.to[i]) != path {
			return mail.Address{}, false
		}
	}
	return path, true
}

// divide makes jobs of at most most recipients each.
func (d *Delivery) divide(parts []*job, j *job, to []spool.Recipient, path mail.Address, most int) []*job {
	for len(to) > 0 {
		n := min(len(to), most)
		p := d.newJob(j.letter, to[:n:n])
		p.from, p.since = path, j.since
		parts = append(parts, p)
		to = to[n:]
	}
	return parts
}

// fewer is the lower of our own limit and a provider's, which is 0 when it has none.
func fewer(ours, theirs int) int {
	if theirs > 0 && theirs < ours {
		return theirs
	}
	return ours
}

// item is the job as the lanes see it.
func (j *job) item() shaping.Item {
	i := shaping.Item{ID: j.ID, Customer: j.Customer, Stream: j.Credential, Sender: j.sender(), Class: j.class(), Recipients: len(j.to), Size: j.Size, Received: j.Received, Route: j.route, Job: j}
	if j.Notice {
		i.Customer, i.Stream = "", ""
	}
	return i
}

// sender is the domain a message is sent in the name of: its author's, where there is none that of its reverse path.
func (l *letter) sender() string {
	if at := strings.LastIndexByte(l.HeaderFrom, '@'); at >= 0 {
		domain := strings.TrimRight(l.HeaderFrom[at+1:], "> ")
		if domain != "" && len(domain) <= maxDomain && utf8.ValidString(domain) && !strings.ContainsAny(domain, " \x00") {
			return strings.ToLower(domain)
		}
	}
	return string(l.Envelope.ReversePath.Domain)
}

// maxDomain is the longest a domain name can be (RFC 1035 2.3.4).
const maxDomain = 253

// class is how urgent the message is.
func (l *letter) class() shaping.Class {
	if l.Notice {
		return shaping.Transactional
	}
	return min(max(shaping.Class(l.Class), shaping.Transactional), shaping.Bulk)
}

// hire starts one more worker of a lane; shaping asks for it.
func (d *Delivery) hire(k shaping.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.serving == nil {
		go d.shaper.Leave(k) // shaping may be in the middle of something
		return
	}
	d.serving(k)
}

// serve is one worker of a lane: it opens a connection when a message needs one and keeps it while there is work.
func (d *Delivery) serve(ctx context.Context, k shaping.Key) {
	defer d.workers.Done()
	defer d.shaper.Leave(k)
	var c *link
	for {
		if c != nil && d.slots.wanted(k) {
			d.hangUp(ctx, c)
			c = nil
		}
		route, idle := "", time.Duration(0)
		if c != nil {
			route, idle = c.route, d.o.LinkIdle
		}
		it, ok := d.shaper.Take(ctx, k, route, idle)
		if !ok {
			d.hangUp(ctx, c)
			return
		}
		j := it.Job.(*job)
		d.stock.begin(j)
		c = d.attempt(ctx, c, j)
		d.shaper.Done(k, it)
		d.roomMade()
	}
}

// giveBack returns what has not begun to the spool.
func (d *Delivery) giveBack() {
	for _, j := range d.where.takeBack() {
		d.unclaim(j)
	}
	for _, it := range d.shaper.Drain() {
		d.unclaim(it.Job.(*job))
	}
}

// unclaim gives a job back untouched: its recipients alone, since others of the same message may be under way in another lane.
func (d *Delivery) unclaim(j *job) {
	d.o.Spool.UnclaimWork(spool.Work{Message: j.Message, Recipients: j.to})
	d.stock.giveBack(j)
}

// parking is what was not taken by its lane, on its way into the spool. Its length is bounded by what memory holds.
type parking struct {
	mu   sync.Mutex
	list []outcome
	came chan struct{}
}

// park puts a job's recipients back into the spool, where they wait for their turn in a lane. It never waits.
func (d *Delivery) park(k shaping.Key, j *job, w shaping.Wait) {
	p := &d.parking
	p.mu.Lock()
	for i := range j.to {
		p.list = append(p.list, outcome{letter: j.letter, to: &j.to[i], dst: j.dst, lane: k, wait: &w, egress: k.Egress})
		d.stock.report(j, j.to[i].Index)
	}
	p.mu.Unlock()
	select {
	case p.came <- struct{}{}:
	default:
	}
}

// handedBack is park for what shaping had taken.
func (d *Delivery) handedBack(k shaping.Key, it shaping.Item, w shaping.Wait) {
	d.park(k, it.Job.(*job), w)
	d.roomMade()
}

// take removes up to n from what is to be parked.
func (p *parking) take(n int) []outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	n = min(n, len(p.list))
	out := p.list[:n:n]
	if p.list = p.list[n:]; len(p.list) == 0 {
		p.list = nil
	} else {
		select {
		case p.came <- struct{}{}:
		default:
		}
	}
	return out
}

func (p *parking) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.list)
}

// hurry is the lanes whose parked mail is to come forward.
type hurry struct {
	mu    sync.Mutex
	lanes map[shaping.Key]bool
	came  chan struct{}
}

// hurrySpread is over how long the mail of a lane comes forward that is free again.
const hurrySpread = 30 * time.Second

// lifted has the mail of a lane come forward; shaping says that it is free earlier than that mail was told.
func (d *Delivery) lifted(k shaping.Key) {
	h := &d.hurry
	h.mu.Lock()
	if h.lanes == nil {
		h.lanes = map[shaping.Key]bool{}
	}
	h.lanes[k] = true
	h.mu.Unlock()
	select {
	case h.came <- struct{}{}:
	default:
	}
}

// hurrying brings lanes' mail forward until ctx ends. A lane that is lifted again meanwhile has its turn once more.
func (d *Delivery) hurrying(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.hurry.came:
		}
		d.hurry.mu.Lock()
		lanes := d.hurry.lanes
		d.hurry.lanes = nil
		d.hurry.mu.Unlock()
		for k := range lanes {
			n, err := d.o.Spool.Hurry(ctx, k.String(), hurrySpread)
			if err != nil && ctx.Err() == nil {
				d.o.Logger.Warn("a lane's mail was not brought forward; it comes at the time it was told", "lane", k.String(), "error", err)
			} else if n > 0 {
				d.o.Logger.Info("a lane is free again", "lane", k.String(), "recipients", n)
			}
		}
	}
}
