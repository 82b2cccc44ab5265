package delivery

import (
	"context"
	"sort"
	"time"

	"postern/internal/mail"
	"postern/internal/spool"
)

// lane is the queue towards one destination. Its fields are guarded by Delivery.mu.
type lane struct {
	name    string
	queue   []job
	workers int       // connections open or being opened
	idle    int       // of them, waiting for a message
	wake    chan bool // one waiting worker takes a job
	down    time.Time // left alone until then
	why     string    // why it is left alone
	hurried bool      // a look at the queue is due (hurry)
	ctx     context.Context
}

// hurryAfter is how long a message waits for a busy connection of its lane before another one is opened for it.
const hurryAfter = time.Second

// LaneInfo is what people see of a lane.
type LaneInfo struct {
	Destination string    `json:"destination"`
	Waiting     int       `json:"waiting"`     // messages in memory that wait for a connection
	Connections int       `json:"connections"` // open or being opened
	Limit       int       `json:"limit"`       // connections allowed
	DownUntil   time.Time `json:"down_until,omitzero"`
	Why         string    `json:"why,omitempty"`
}

// Lanes returns the lanes that have work, the longest queue first.
func (d *Delivery) Lanes() []LaneInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]LaneInfo, 0, len(d.lanes))
	for _, l := range d.lanes {
		out = append(out, d.info(l))
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Waiting != out[j].Waiting {
			return out[i].Waiting > out[j].Waiting
		}
		return out[i].Destination < out[j].Destination
	})
	return out
}

// Lane returns the lane that mail for a domain goes through; ok is false while it has no work.
func (d *Delivery) Lane(domain mail.Domain) (info LaneInfo, ok bool) {
	key := string(domain)
	if d.o.Smarthost != nil {
		key = smarthostLane
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l, ok := d.lanes[key]
	if !ok {
		return LaneInfo{}, false
	}
	return d.info(l), true
}

func (d *Delivery) info(l *lane) LaneInfo {
	i := LaneInfo{Destination: l.name, Waiting: len(l.queue), Connections: l.workers, Limit: d.o.PerLane}
	if d.o.Now().Before(l.down) {
		i.DownUntil, i.Why = l.down, l.why
	}
	return i
}

// enqueue puts a job into its lane and sees to it that somebody takes it.
func (d *Delivery) enqueue(ctx context.Context, key string, j job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lanes[key]
	if l == nil {
		l = &lane{name: key, wake: make(chan bool, d.o.PerLane), ctx: ctx}
		d.lanes[key] = l
	}
	d.jobs++
	l.queue = append(l.queue, j)
	if l.idle > 0 {
		l.idle-- // the token wakes one waiting worker, which is no longer idle from here on
		l.wake <- true
		return
	}
	// One connection per waiting job up to the limit: the first job of a lane opens one, a burst opens more.
	// A single one waits a moment for the connection in use, but not for a slow message on it.
	switch {
	case l.workers >= d.o.PerLane:
	case l.workers < len(l.queue):
		d.hire(l)
	case !l.hurried:
		l.hurried = true
		time.AfterFunc(hurryAfter, func() { d.hurry(l) })
	}
}

// hire starts one more worker. Delivery.mu is held.
func (d *Delivery) hire(l *lane) {
	if d.ended {
		return
	}
	l.workers++
	d.workers.Add(1)
	go d.serve(l)
}

// hurry opens another connection when messages still wait for the busy ones.
func (d *Delivery) hurry(l *lane) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l.hurried = false
	if len(l.queue) > 0 && l.workers > 0 && l.workers < d.o.PerLane {
		d.hire(l)
		l.hurried = true
		time.AfterFunc(hurryAfter, func() { d.hurry(l) })
	}
}

// take returns the next job. With wait it stays for Options.LinkIdle when there is none, so that an open connection is used
// again. ok is false when the worker must end; it is then already counted out.
func (d *Delivery) take(l *lane, wait bool) (j job, ok bool) {
	var idle *time.Timer
	for {
		d.mu.Lock()
		if len(l.queue) > 0 {
			j = l.queue[0]
			l.queue[0] = job{}
			l.queue = l.queue[1:]
			d.mu.Unlock()
			if idle != nil {
				idle.Stop()
			}
			return j, true
		}
		if !wait || l.ctx.Err() != nil {
			d.leave(l)
			d.mu.Unlock()
			return job{}, false
		}
		l.idle++
		d.mu.Unlock()
		if idle == nil {
			idle = time.NewTimer(d.o.LinkIdle)
		}
		select {
		case <-l.wake:
			continue
		case <-idle.C:
			wait = false
		case <-l.ctx.Done():
		}
		d.mu.Lock()
		select {
		case <-l.wake: // a token was already on its way to us
		default:
			l.idle--
		}
		d.mu.Unlock()
	}
}

// leave counts a worker out; the last one takes the lane with it, unless the lane must be left alone for a while.
func (d *Delivery) leave(l *lane) {
	l.workers--
	if l.workers == 0 && len(l.queue) == 0 && !d.o.Now().Before(l.down) {
		delete(d.lanes, l.name)
	}
}

// forget removes the lanes that were left alone, may be used again and have got no work since.
func (d *Delivery) forget(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, l := range d.lanes {
		if l.workers == 0 && len(l.queue) == 0 && !now.Before(l.down) {
			delete(d.lanes, name)
		}
	}
}

// giveBack returns what has not begun to the spool. Delivery.mu is held.
func (d *Delivery) giveBack(l *lane) {
	for _, j := range l.queue {
		d.unclaim(j)
	}
	d.jobs -= len(l.queue)
	l.queue = nil
}

// unclaim gives a job back untouched: its recipients alone, since others of the same message may be under way in another lane.
func (d *Delivery) unclaim(j job) {
	d.o.Spool.UnclaimWork(spool.Work{Message: j.Message, Recipients: j.to})
}

// shut leaves a lane alone for a while after its destination could not be reached at all: every message would wait for the same
// time-outs.
func (d *Delivery) shut(l *lane, why string) {
	d.mu.Lock()
	l.down, l.why = d.o.Now().Add(d.o.Down), why
	d.mu.Unlock()
}

// isDown says whether the lane is left alone, until when, and why.
func (d *Delivery) isDown(l *lane) (time.Time, string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return l.down, l.why, d.o.Now().Before(l.down)
}
