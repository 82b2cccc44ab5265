package learn

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"postern/internal/mail"
)

// seenTable remembers whom a customer wrote to: a set of 48-bit hashes, each with the day of the last delivery. An entry that is only
// attempted keeps two sends of the same hour from counting as two strangers; it is never written down, and after an hour the recipient
// is a stranger again, however often the same mail is tried.
//
// An entry is one word: the hash above, below it a mark for "attempted" and the day, or the hour of the attempt. Zero is free.
type seenTable struct {
	slots     []uint64 // a power of two
	n         int      // in use
	attempted int      // of these, attempts
	most      int      // entries
	purged    uint32   // hour in which old attempts were last looked for
	full      bool     // older recipients had to leave: a stranger may be none
	used      time.Time
	loaded    time.Time
}

const (
	stampBits   = 16
	attemptMark = 1 << 15
	stampMask   = attemptMark - 1
	hashMask    = ^uint64(1<<stampBits - 1)
)

// recipientHash is the key of a recipient: keyed by the installation and the customer, so that the table tells nothing to who has not
// the key, and two customers' tables cannot be compared. The local part counts in lower case: few servers tell case apart.
func recipientHash(key *[16]byte, scope string, a mail.Address) uint64 {
	var buffer [512]byte
	b := append(buffer[:0], key[:]...)
	b = append(append(b, scope...), 0)
	b = appendLower(b, a.Local, isASCII(a.Local))
	b = append(append(b, '@'), a.Domain...)
	sum := sha256.Sum256(b)
	h := binary.BigEndian.Uint64(sum[:]) & hashMask
	if h == 0 {
		h = 1 << stampBits
	}
	return h
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// find returns where the hash is, or where it would go.
func (t *seenTable) find(h uint64) (i int, found bool) {
	mask := len(t.slots) - 1
	for i = int(h>>stampBits) & mask; t.slots[i] != 0; i = (i + 1) & mask {
		if t.slots[i]&hashMask == h {
			return i, true
		}
	}
	return i, false
}

// attempt reports whether a recipient never got mail of the customer (stranger), and whether he counts as one now: not when mail to him was tried
// in the same hour. note: this is such a try.
func (t *seenTable) attempt(h uint64, at time.Time, note bool) (stranger, counts bool) {
	hour := uint64(slotOf(at, time.Hour)) & stampMask
	if len(t.slots) > 0 {
		if i, found := t.find(h); found {
			e := t.slots[i]
			if e&attemptMark == 0 {
				return false, false
			}
			if (hour-e)&stampMask == 0 {
				return true, false
			}
			if note {
				t.slots[i] = h | attemptMark | hour
			}
			return true, true
		}
	}
	if note && t.room(at, true) {
		t.put(h | attemptMark | hour)
		t.attempted++
	}
	return true, true
}

// deliver notes that a recipient got mail. first: he is new. write: the row in the database is to be written; a known recipient's
// only when it is a week old.
func (t *seenTable) deliver(h uint64, at time.Time) (first, write bool) {
	today := uint64(slotOf(at, 24*time.Hour)) & stampMask
	if len(t.slots) > 0 {
		if i, found := t.find(h); found {
			e := t.slots[i]
			if first = e&attemptMark != 0; first {
				t.attempted--
			}
			write = first || (today-e)&stampMask >= 7
			if write {
				t.slots[i] = h | today
			}
			return first, write
		}
	}
	if t.room(at, false) {
		t.put(h | today)
	}
	return true, true
}

// load puts a row of the database in.
func (t *seenTable) load(h uint64, day uint32, at time.Time) {
	h &= hashMask
	if h == 0 || !t.room(at, false) {
		return
	}
	if i, found := t.find(h); !found {
		t.put(h | uint64(day)&stampMask)
	} else if t.slots[i]&attemptMark != 0 {
		t.slots[i] = h | uint64(day)&stampMask
		t.attempted--
	}
}

func (t *seenTable) put(e uint64) {
	i, _ := t.find(e & hashMask)
	t.slots[i] = e
	t.n++
}

// room makes room for one more entry. Attempts give way to recipients: who writes to a million strangers must not make the customer
// forget his correspondents. For attempts the table is gone through once an hour at most.
func (t *seenTable) room(at time.Time, attempt bool) bool {
	if attempt && t.attempted >= t.most/4 {
		if now := slotOf(at, time.Hour); t.purged != now {
			t.purged = now
			t.rebuild(len(t.slots), fresh(at))
		}
		if t.attempted >= t.most/4 {
			return false
		}
	}
	if t.n < len(t.slots)*3/4 {
		return true
	}
	t.rebuild(len(t.slots), fresh(at))
	switch {
	case t.n < len(t.slots)/2:
	case t.n < t.most*3/4:
		t.rebuild(2*len(t.slots), func(uint64) bool { return true })
	case attempt:
		return false
	default:
		t.full = true
		t.rebuild(len(t.slots), t.newerHalf(at))
	}
	return true
}

// fresh chooses the recipients, and the attempts of this hour and the last.
func fresh(at time.Time) func(e uint64) bool {
	hour := uint64(slotOf(at, time.Hour))
	return func(e uint64) bool { return e&attemptMark == 0 || (hour-e)&stampMask <= 1 }
}

// newerHalf chooses the recipients written to most lately.
func (t *seenTable) newerHalf(at time.Time) func(e uint64) bool {
	today := uint64(slotOf(at, 24*time.Hour))
	ages := make([]uint16, 0, t.n)
	for _, e := range t.slots {
		if e != 0 && e&attemptMark == 0 {
			ages = append(ages, uint16((today-e)&stampMask))
		}
	}
	if len(ages) == 0 {
		return func(uint64) bool { return false }
	}
	slices.Sort(ages)
	limit := ages[len(ages)/2]
	left := len(ages) / 2 // of one age, not all may stay
	return func(e uint64) bool {
		if e&attemptMark != 0 || uint16((today-e)&stampMask) > limit || left == 0 {
			return false
		}
		left--
		return true
	}
}

// rebuild copies what is kept into a table of so many slots.
func (t *seenTable) rebuild(slots int, keep func(e uint64) bool) {
	old := t.slots
	t.slots, t.n, t.attempted = make([]uint64, max(16, slots)), 0, 0
	for _, e := range old {
		if e == 0 || !keep(e) {
			continue
		}
		t.put(e)
		if e&attemptMark != 0 {
			t.attempted++
		}
	}
}
