package learn

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
)

// What is counted of an identity, per slot of time.
const (
	cMessages       = iota // tested, whatever became of them
	cRecipients            // their recipients
	cFirstTime             // of these, never written to by the customer before
	cAccepted              // recipients of messages that were not held
	cAcceptedFirst         // of these, never written to before
	cDelivered             // recipients whose server took the message
	cDeliveredFirst        // of these, for the first time
	cUnknown               // recipients that do not exist
	cRefused               // recipients whose server refused the message for what it is
	hourCounters
	tenCounters = cFirstTime + 1
)

// Slots of time and how many are kept.
const (
	tenMinutes = 10 * time.Minute
	keepTens   = 6  // the last 50 to 60 minutes
	keepHours  = 24 // the last 23 to 24 hours
	keepDays   = 92 // three months, so that a monthly letter has a history
)

// ten is ten minutes, numbered since 1970.
type ten struct {
	slot    uint32
	largest uint32 // recipients of one message
	n       [tenCounters]uint32
}

// hour is an hour, numbered since 1970.
type hour struct {
	slot uint32
	n    [hourCounters]uint32
}

// day is a day of UTC, numbered since 1970.
type day struct {
	hour
	peak      uint32 // busiest hour: recipients that were accepted or delivered in it
	peakFirst uint32 // the same of recipients never written to before
	senders   uint32 // different author addresses
	alarms    uint32 // messages held for behaviour
}

// tally is what one node has counted of an identity. Slots without mail take no room.
type tally struct {
	tens  []ten
	hours []hour
	days  []day
}

func slotOf(t time.Time, length time.Duration) uint32 {
	return uint32(max(0, t.Unix()) / int64(length/time.Second))
}

// at returns the slot, a new one where there is none, and drops those that are too old. A clock that runs backwards counts in the
// newest slot.
func (t *tally) tenAt(slot uint32) *ten {
	n := len(t.tens)
	if n == 0 || t.tens[n-1].slot < slot {
		t.tens = slices.DeleteFunc(t.tens, func(x ten) bool { return x.slot+keepTens <= slot })
		t.tens = append(roomier(t.tens), ten{slot: slot})
	}
	return &t.tens[len(t.tens)-1]
}

func (t *tally) hourAt(slot uint32) *hour {
	n := len(t.hours)
	if n == 0 || t.hours[n-1].slot < slot {
		t.hours = slices.DeleteFunc(t.hours, func(x hour) bool { return x.slot+keepHours <= slot })
		t.hours = append(roomier(t.hours), hour{slot: slot})
	}
	return &t.hours[len(t.hours)-1]
}

func (t *tally) dayAt(slot uint32) *day {
	n := len(t.days)
	if n == 0 || t.days[n-1].slot < slot {
		t.days = slices.DeleteFunc(t.days, func(x day) bool { return x.slot+keepDays <= slot })
		t.days = append(roomier(t.days), day{hour: hour{slot: slot}})
	}
	return &t.days[len(t.days)-1]
}

// roomier makes room for a few more slots: doubling would waste a third of the memory of all identities.
func roomier[S any](list []S) []S {
	if len(list) < cap(list) {
		return list
	}
	return append(make([]S, 0, len(list)+4), list...)
}

// add counts in all slots of a time.
func (t *tally) add(at time.Time, counter int, n int) {
	x := uint32(min(max(n, 0), math.MaxInt32))
	if counter < tenCounters {
		grow(&t.tenAt(slotOf(at, tenMinutes)).n[counter], x)
	}
	h, d := t.hourAt(slotOf(at, time.Hour)), t.dayAt(slotOf(at, 24*time.Hour))
	grow(&h.n[counter], x)
	grow(&d.n[counter], x)
	// What was accepted is the sender's own doing; what was delivered includes what an operator released later.
	d.peak = max(d.peak, h.n[cAccepted], h.n[cDelivered])
	d.peakFirst = max(d.peakFirst, h.n[cAcceptedFirst], h.n[cDeliveredFirst])
}

// grow adds without going over.
func grow(p *uint32, n uint32) {
	if *p > math.MaxUint32-n {
		*p = math.MaxUint32
		return
	}
	*p += n
}

// bytes is about what a tally takes in memory.
func (t *tally) bytes() int {
	return 72 + 20*cap(t.tens) + 40*cap(t.hours) + 56*cap(t.days)
}

// total is how many messages were counted.
func (t *tally) total() (n int) {
	for _, d := range t.days {
		n += int(d.n[cMessages]) + int(d.n[cDelivered])
	}
	return n
}

// Figures are counts of mail.
type Figures struct {
	Messages   int
	Recipients int
	FirstTime  int // recipients that the customer never wrote to before
}

// Conduct is how one identity sends: now, and in its history.
type Conduct struct {
	Established bool    // it has a history of its own: mail on at least MinHistory days before today
	Days        int     // days before today, of the last 92, on which it sent
	Hour, Day   Figures // of the last hour and the last 24, this message included
	Largest     int     // recipients of the largest message of the last hour
	// Busiest hour and day before today that were taken or delivered; they count half after 45 days. Days of an alarm are left out
	// unless most of their mail was delivered in the end.
	UsualHour, UsualDay Figures // Messages is not filled
	UsualShare          float64 // of first-time recipients in its history, 0..1
	Alarms              int     // messages held for behaviour on the three days before today, if they stayed held

	Settled int // recipients of the last 24 hours whose servers gave a final answer
	Unknown int // of these, do not exist
	Refused int // of these, their servers refused the message for what it is

	Senders      int // different author addresses today, counted up to 256
	UsualSenders int // most on one day before
}

// MinHistory is the number of days with mail, before today, that make a history.
const MinHistory = 3

// halfLife is the age at which a busy day of the past counts half.
const halfLife = 45

// alarmDays is how long a hold makes wary.
const alarmDays = 3

// conduct sums up what the nodes have counted.
func conduct(at time.Time, parts []*tally) Conduct {
	c := usual(slotOf(at, 24*time.Hour), parts)
	c.recent(at, parts)
	return c
}

// recent fills in the last hour and day.
func (c *Conduct) recent(at time.Time, parts []*tally) {
	tenNow, hourNow, today := slotOf(at, tenMinutes), slotOf(at, time.Hour), slotOf(at, 24*time.Hour)
	for _, t := range parts {
		for i := range t.tens {
			if x := &t.tens[i]; x.slot+keepTens > tenNow && x.slot <= tenNow {
				c.Hour.Messages += int(x.n[cMessages])
				c.Hour.Recipients += int(x.n[cRecipients])
				c.Hour.FirstTime += int(x.n[cFirstTime])
				c.Largest = max(c.Largest, int(x.largest))
			}
		}
		for i := range t.hours {
			if x := &t.hours[i]; x.slot+keepHours > hourNow && x.slot <= hourNow {
				c.Day.Messages += int(x.n[cMessages])
				c.Day.Recipients += int(x.n[cRecipients])
				c.Day.FirstTime += int(x.n[cFirstTime])
				c.Settled += int(x.n[cDelivered]) + int(x.n[cUnknown]) + int(x.n[cRefused])
				c.Unknown += int(x.n[cUnknown])
				c.Refused += int(x.n[cRefused])
			}
		}
		for i := range t.days {
			if x := &t.days[i]; x.slot == today {
				c.Senders = max(c.Senders, int(x.senders))
			}
		}
	}
}

// usual is the history before today. It changes once a day, and when another node's counts come in.
func usual(today uint32, parts []*tally) (c Conduct) {
	// A day that several nodes have seen is one day.
	var days [keepDays]day
	for _, t := range parts {
		for i := range t.days {
			x := &t.days[i]
			if x.slot >= today || x.slot+keepDays <= today {
				continue
			}
			d := &days[today-x.slot-1]
			for k := range x.n {
				grow(&d.n[k], x.n[k])
			}
			grow(&d.peak, x.peak)
			grow(&d.peakFirst, x.peakFirst)
			grow(&d.alarms, x.alarms)
			d.senders = max(d.senders, x.senders)
		}
	}
	var all, first uint64
	for i := range days {
		d := &days[i]
		taken := max(d.n[cAccepted], d.n[cDelivered])
		stayed := d.alarms > 0 && uint64(d.n[cDelivered])*5 < uint64(d.n[cRecipients])*4
		if stayed && i < alarmDays {
			c.Alarms += int(d.alarms)
		}
		if taken == 0 || stayed {
			continue
		}
		c.Days++
		left := math.Exp2(-float64(i+1) / halfLife)
		less := func(n uint32) int { return int(math.Ceil(float64(n) * left)) }
		c.UsualHour.Recipients = max(c.UsualHour.Recipients, less(d.peak))
		c.UsualHour.FirstTime = max(c.UsualHour.FirstTime, less(d.peakFirst))
		c.UsualDay.Recipients = max(c.UsualDay.Recipients, less(taken))
		c.UsualDay.FirstTime = max(c.UsualDay.FirstTime, less(max(d.n[cAcceptedFirst], d.n[cDeliveredFirst])))
		c.UsualSenders = max(c.UsualSenders, int(d.senders))
		all += uint64(taken)
		first += uint64(max(d.n[cAcceptedFirst], d.n[cDeliveredFirst]))
	}
	if all > 0 {
		c.UsualShare = min(1, float64(first)/float64(all))
	}
	c.Established = c.Days >= MinHistory
	return c
}

// errTally: what the database holds is no tally.
var errTally = errors.New("learn: unreadable behaviour")

// tallyVersion is the first byte of a written tally.
const tallyVersion = 1

// encode appends the tally: a version, then three lists of slots, each with its distance from the one before and its counters.
func (t *tally) encode(b []byte) []byte {
	b = append(b, tallyVersion)
	put := func(v uint32) { b = binary.AppendUvarint(b, uint64(v)) }
	last := uint32(0)
	next := func(slot uint32) { put(slot - last); last = slot }
	put(uint32(len(t.tens)))
	for i := range t.tens {
		next(t.tens[i].slot)
		for _, n := range t.tens[i].n {
			put(n)
		}
		put(t.tens[i].largest)
	}
	last = 0
	put(uint32(len(t.hours)))
	for i := range t.hours {
		next(t.hours[i].slot)
		for _, n := range t.hours[i].n {
			put(n)
		}
	}
	last = 0
	put(uint32(len(t.days)))
	for i := range t.days {
		d := &t.days[i]
		next(d.slot)
		for _, n := range d.n {
			put(n)
		}
		put(d.peak)
		put(d.peakFirst)
		put(d.senders)
		put(d.alarms)
	}
	return b
}

// reader takes numbers from what was written.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) text(most int) string {
	n := int(r.number(uint64(most)))
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// slots reads a list, oldest first, of at most so many slots; f reads the counters of each.
func (r *reader) slots(most int, f func(slot uint32)) {
	last := uint64(0)
	for i := range r.number(uint64(most)) {
		step := r.number(math.MaxUint32)
		if last += step; r.bad || last > math.MaxUint32 || i > 0 && step == 0 {
			r.bad = true
			return
		}
		f(uint32(last))
	}
}

func (r *reader) counters(n []uint32) {
	for k := range n {
		n[k] = uint32(r.number(math.MaxUint32))
	}
}

// decode reads a tally.
func (t *tally) decode(r *reader) error {
	*t = tally{}
	if len(r.b) == 0 || r.b[0] != tallyVersion {
		return errTally
	}
	r.b = r.b[1:]
	r.slots(keepTens, func(slot uint32) {
		x := ten{slot: slot}
		r.counters(x.n[:])
		x.largest = uint32(r.number(math.MaxUint32))
		t.tens = append(t.tens, x)
	})
	r.slots(keepHours, func(slot uint32) {
		x := hour{slot: slot}
		r.counters(x.n[:])
		t.hours = append(t.hours, x)
	})
	r.slots(keepDays, func(slot uint32) {
		x := day{hour: hour{slot: slot}}
		r.counters(x.n[:])
		var more [4]uint32
		r.counters(more[:])
		x.peak, x.peakFirst, x.senders, x.alarms = more[0], more[1], more[2], more[3]
		t.days = append(t.days, x)
	})
	if r.bad {
		*t = tally{}
		return errTally
	}
	return nil
}
