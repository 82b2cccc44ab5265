package shaping

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// What must survive a restart is written by Run: reactions within milliseconds, counts of hours and days every few seconds. A lane may begin only so many
// messages beyond the stored counts as are stored with them (ahead), so that after a crash, when all of those are taken as sent, no limit is exceeded.
const (
	saveEvery   = 5 * time.Second
	sweepEvery  = time.Minute
	savedSoon   = int64(200 * time.Millisecond)
	flushTime   = 10 * time.Second        // an attempt to write waits for the database so long
	failOpen    = int64(30 * time.Second) // a database that is out for longer does not hold up mail
	keepHistory = 30 * 24 * time.Hour
	historyOf   = 200 // kept in memory when there is no database
)

// keeper is what waits to be written, and what was read and not yet used.
type keeper struct {
	on     atomic.Bool  // counts are stored: from Load until the end of Run
	asked  atomic.Int64 // a lane waits for its counts to be stored since then; 0: none
	failed atomic.Bool  // the latest attempt to write
	kick   chan struct{}

	flushing chan struct{} // held by the one writer there is, so that an older state never replaces a newer one

	mu      sync.Mutex
	writes  map[string]Reaction // by ID, the latest state
	ended   []Key               // lanes gone from memory
	loaded  map[string]*laneRows
	history []Reaction // without a database
}

// lock waits for the writer before; a database that hangs must not keep others longer than their time.
func (k *keeper) lock(ctx context.Context) error {
	select {
	case k.flushing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *keeper) unlock() { <-k.flushing }

// laneRows is what is stored of a lane's counts.
type laneRows struct {
	slots map[int64][]slot // by width in seconds, in order
	ahead int
}

// write remembers reactions to be stored.
func (s *Shaper) write(rs []Reaction) {
	if len(rs) == 0 {
		return
	}
	s.keep.mu.Lock()
	if s.o.DB == nil {
		for _, r := range rs {
			if !r.Ended.IsZero() {
				s.keep.history = append(s.keep.history, r)
			}
		}
		if n := len(s.keep.history) - historyOf; n > 0 {
			s.keep.history = append(s.keep.history[:0], s.keep.history[n:]...)
		}
		s.keep.mu.Unlock()
		return
	}
	if s.keep.writes == nil {
		s.keep.writes = make(map[string]Reaction)
	}
	for _, r := range rs {
		s.keep.writes[r.ID] = r
	}
	s.keep.mu.Unlock()
	s.kickSave()
}

func (s *Shaper) kickSave() {
	select {
	case s.keep.kick <- struct{}{}:
	default:
	}
}

func (s *Shaper) endedLane(k Key) {
	s.keep.mu.Lock()
	s.keep.ended = append(s.keep.ended, k)
	s.keep.mu.Unlock()
}

// mustSave reports whether a lane's counts are stored before it goes on.
func (l *lane) mustSave() bool {
	k := &l.s.keep
	if !k.on.Load() {
		return false
	}
	if at := k.asked.Load(); at != 0 && l.s.now()-at > failOpen {
		return false
	}
	for _, w := range l.windows {
		if w.stored() {
			return true
		}
	}
	return false
}

// Load reads what was in force when the process ended, and the counts of hours and days. Until then nothing may leave.
func (s *Shaper) Load(ctx context.Context) error {
	if s.o.DB == nil {
		return nil
	}
	r, err := s.readAll(ctx)
	if err != nil {
		return err
	}
	s.keep.mu.Lock()
	s.keep.loaded = r.lanes
	s.keep.mu.Unlock()
	s.potMu.Lock()
	for _, d := range r.days {
		s.potText(d.egress, d.provider).days[d.day] = d.potDay
	}
	for _, w := range r.warm {
		p := s.potText(w.egress, w.provider)
		p.step, p.judged = w.step, w.day
	}
	s.potMu.Unlock()
	for _, stored := range r.reactions {
		l := s.lane(stored.Lane, true)
		now := s.now()
		if l.p == nil && s.o.Knowledge != nil {
			if know := s.o.Knowledge(); know != nil {
				if p := know.Provider(stored.Lane.Provider); p != nil {
					l.setProvider(p)
				}
			}
		}
		o := &reaction{Reaction: stored}
		o.Probing = o.Probe && o.Kind == Watch
		if o.Scope != WholeLane {
			if l.scoped == nil {
				l.scoped = make(map[scopeKey]*reaction)
			}
			l.scoped[o.scopeKey()] = o
		} else {
			l.reacts = append(l.reacts, o)
		}
		if o.Why.Code == "adaptive" && l.adapt.r == nil {
			l.adapt = adapt{rate: o.Rate, connections: o.Connections, halved: now, raised: now, r: o}
			if o.Factor > 0 {
				l.adapt.base = o.Rate / o.Factor
			}
		}
		l.review(now)
		l.arm(now, 0)
		l.unlock()
		if l.key.Provider == AnyReceiver {
			s.spread(l.key.Egress)
		}
	}
	s.watchFloors(s.now())
	s.keep.on.Store(true)
	return nil
}

func (s *Shaper) potText(egress, name string) *pot {
	ip, _ := netip.ParseAddr(egress)
	return s.potLocked(ip, name)
}

// restoreCounts gives a lane the stored counts of its windows; what may have left after they were stored counts as sent now.
func (s *Shaper) restoreCounts(l *lane) {
	k := &s.keep
	k.mu.Lock()
	defer k.mu.Unlock()
	rows := k.loaded[l.key.String()]
	if rows == nil {
		return
	}
	for _, w := range l.windows {
		width := w.width / int64(time.Second)
		slots, ok := rows.slots[width]
		if !w.stored() || !ok {
			continue
		}
		delete(rows.slots, width)
		for _, v := range slots {
			w.q = append(w.q, v)
			w.sum += v.n
		}
		if rows.ahead > 0 {
			w.add(s.now(), rows.ahead)
		}
		w.saved = 0
		l.dirty = true
	}
	if len(rows.slots) == 0 {
		delete(k.loaded, l.key.String())
	}
}

// Run keeps counters and reactions on stable storage and ends what is over. It returns nil when ctx ends, after the last write. End delivery first: what
// is sent after Run has returned is not counted.
func (s *Shaper) Run(ctx context.Context) error {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	var swept, daily time.Time
	for {
		if s.o.DB != nil {
			s.flush(ctx, false)
		}
		now := s.o.Now()
		if now.Sub(swept) >= sweepEvery {
			swept = now
			s.sweep()
		}
		if day := now.UTC().Truncate(24 * time.Hour); !day.Equal(daily) {
			if !daily.IsZero() {
				s.tellFloors()
			}
			daily = day
			s.prune(ctx)
		}
		select {
		case <-ctx.Done():
			s.keep.on.Store(false)
			if s.o.DB != nil {
				last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
				defer cancel()
				s.flush(last, true)
			}
			for _, l := range s.all() { // those that wait for a save
				l.mu.Lock()
				l.pump(s.now())
				l.unlock()
			}
			return nil
		case <-s.keep.kick:
		case <-tick.C:
		}
	}
}

// sweep forgets what is over and idle.
func (s *Shaper) sweep() {
	for _, l := range s.all() {
		l.mu.Lock()
		if !l.gone {
			now := s.now()
			for name, c := range l.shares {
				c.setWeight(s.weight(name)) // it may have been configured anew
			}
			l.line.sweep(now, l.windows)
			l.pump(now)
			l.end(now)
		}
		l.unlock()
	}
}

func (s *Shaper) tellFloors() {
	for _, f := range s.watchFloors(s.o.Now().UnixNano()) {
		s.o.Logger.Warn("an address sends so little that the provider forgets it", "egress_ip", f.Egress, "provider", f.Provider, "floor", f.Floor)
		if s.o.Alarm != nil {
			ip, _ := netip.ParseAddr(f.Egress)
			k := Key{Egress: ip, Provider: f.Provider}
			s.o.Alarm(Reaction{Lane: k, Kind: Floor, Why: Why{Code: "floor", Args: []string{f.Provider, f.Egress, number(float64(f.Floor))}}, Started: f.Since, By: "rule"})
		}
	}
}

// saving is a lane's counts on their way to the database.
type saving struct {
	l     *lane
	rows  []countRow
	ahead int
	busy  int
	total int
	upTo  map[*window]int64
}

// snapshot takes what changed of a lane's counts; nil when nothing did. With last no more messages are granted.
func (l *lane) snapshot(now int64, last bool) *saving {
	if !l.dirty && !(last && l.busy > 0) {
		return nil
	}
	v := &saving{l: l, busy: l.busy, total: l.total, upTo: make(map[*window]int64)}
	free, least := int(^uint(0)>>1), 0
	for _, w := range l.windows {
		if !w.stored() {
			continue
		}
		w.roll(now)
		free = min(free, max(w.limit-w.sum-l.busy, 0))
		if least == 0 || w.limit < least {
			least = w.limit
		}
		v.upTo[w] = w.saved - 1
		for _, q := range w.q[w.head:] {
			if q.no >= w.saved {
				v.rows = append(v.rows, countRow{w.width / int64(time.Second), q.no, q.n})
				v.upTo[w] = q.no
			}
		}
	}
	if least == 0 {
		l.dirty = false
		return nil
	}
	v.ahead = l.busy
	if !last {
		v.ahead += min(max(least/20, 1), 1000, free)
	}
	for w := range v.upTo {
		w.saved = v.upTo[w] + 1 // a change of a stored slot brings it back (window.add)
	}
	l.dirty = false
	return v
}

// saved lets a lane go on after its counts are stored.
func (v *saving) saved(now int64, ok bool) {
	l := v.l
	l.mu.Lock()
	defer l.unlock()
	if !ok {
		l.dirty = true
		for w := range v.upTo {
			w.saved = 0
		}
		return
	}
	l.unsaved, l.ahead = v.busy+l.total-v.total, v.ahead
	l.pump(now)
}

// flush writes everything that waits.
func (s *Shaper) flush(whole context.Context, last bool) {
	ctx, cancel := context.WithTimeout(whole, flushTime)
	defer cancel()
	err := s.flushReactions(ctx)
	if e := s.keep.lock(ctx); e != nil {
		s.flushed(whole, last, e)
		return
	}
	defer s.keep.unlock()
	var lanes []*saving
	for _, l := range s.all() {
		l.mu.Lock()
		if v := l.snapshot(s.now(), last); v != nil {
			lanes = append(lanes, v)
		}
		l.unlock()
	}
	s.keep.mu.Lock()
	ended := s.keep.ended
	s.keep.ended = nil
	s.keep.mu.Unlock()
	days, warm := s.dirtyPots()
	if len(lanes)+len(ended)+len(days)+len(warm) > 0 || last {
		if e := s.writeCounts(ctx, lanes, ended, days, warm, last); e != nil {
			err = e
			s.keep.mu.Lock()
			s.keep.ended = append(ended, s.keep.ended...)
			s.keep.mu.Unlock()
			s.soilPots(days, warm)
		}
		for _, v := range lanes {
			v.saved(s.now(), err == nil)
		}
	}
	s.flushed(whole, last, err)
}

// flushed notes how an attempt to write ended.
func (s *Shaper) flushed(ctx context.Context, last bool, err error) {
	switch {
	case err == nil:
		s.keep.asked.Store(0)
		s.keep.failed.Store(false)
	case ctx.Err() == nil || last:
		if s.keep.failed.CompareAndSwap(false, true) {
			s.o.Logger.Error("what is in force and the counts of limits cannot be stored, trying again", "error", err)
		}
	}
}

// flushReactions writes the reactions that changed.
func (s *Shaper) flushReactions(ctx context.Context) error {
	if s.o.DB == nil {
		return nil
	}
	if err := s.keep.lock(ctx); err != nil {
		return fmt.Errorf("shaping: store what is in force: %w", err)
	}
	defer s.keep.unlock()
	s.keep.mu.Lock()
	writes := s.keep.writes
	s.keep.writes = nil
	s.keep.mu.Unlock()
	if len(writes) == 0 {
		return nil
	}
	err := s.writeReactions(ctx, writes)
	if err != nil {
		s.keep.mu.Lock()
		for id, r := range s.keep.writes {
			writes[id] = r
		}
		s.keep.writes = writes
		s.keep.mu.Unlock()
	}
	return err
}

func (s *Shaper) dirtyPots() (days []dayRow, warm []warmRow) {
	today := s.now() / dayLong
	s.potMu.Lock()
	defer s.potMu.Unlock()
	for _, p := range s.pots {
		if !p.dirty {
			continue
		}
		p.dirty = false
		for day := today - 1; day <= today; day++ {
			if d, ok := p.days[day]; ok {
				days = append(days, dayRow{p.egress, p.provider, day, d})
			}
		}
		if p.judged != 0 {
			warm = append(warm, warmRow{p.egress, p.provider, p.step, p.judged})
		}
	}
	return days, warm
}

func (s *Shaper) soilPots(days []dayRow, warm []warmRow) {
	s.potMu.Lock()
	defer s.potMu.Unlock()
	for _, d := range days {
		s.potText(d.egress, d.provider).dirty = true
	}
	for _, w := range warm {
		s.potText(w.egress, w.provider).dirty = true
	}
}
