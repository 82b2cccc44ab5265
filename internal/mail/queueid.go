package mail

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// QueueID names one accepted message in the spool, the journal and the log: 26
// lower-case characters of Crockford's base32, 48 bits of Unix milliseconds
// before 80 random bits, so that identifiers sort by the time of acceptance and
// cannot be guessed from one another. It is not the Message-ID of the header.
type QueueID string

const queueIDLength = 26

const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// ErrQueueID is wrapped by every error of ParseQueueID.
var ErrQueueID = errors.New("invalid queue id")

// NewQueueID makes an identifier for a message accepted at now. Two calls never
// return the same one within any likely span of time. Times before 1970 and
// after the year 10889 do not fit and are clamped.
func NewQueueID(now time.Time) QueueID {
	ms := min(max(now.UnixMilli(), 0), 1<<48-1)
	var random [10]byte
	rand.Read(random[:]) // never fails (crypto/rand)
	var out [queueIDLength]byte
	for i := 9; i >= 0; i-- { // 50 bits for the 48 of the time
		out[i] = crockford[ms&31]
		ms >>= 5
	}
	var acc uint
	bits, at := 0, 10
	for _, b := range random { // 80 bits in 16 characters
		acc = acc<<8 | uint(b)
		bits += 8
		for bits >= 5 {
			bits -= 5
			out[at] = crockford[acc>>bits&31]
			at++
		}
		acc &= 31
	}
	return QueueID(out[:])
}

// ParseQueueID reads an identifier as a person typed it: any case, with o for 0
// and i or l for 1, as Crockford intended. The result is canonical. The error
// wraps ErrQueueID.
func ParseQueueID(s string) (QueueID, error) {
	if len(s) != queueIDLength {
		return "", fmt.Errorf("%w: %q has %d characters, not %d", ErrQueueID, clip(s, 40), len(s), queueIDLength)
	}
	var out [queueIDLength]byte
	for i := 0; i < len(s); i++ {
		v := crockfordValue(s[i])
		if v < 0 {
			return "", fmt.Errorf("%w: %q holds %q", ErrQueueID, s, s[i])
		}
		out[i] = crockford[v]
	}
	if crockfordValue(out[0]) > 7 {
		return "", fmt.Errorf("%w: %q is beyond the range of time", ErrQueueID, s)
	}
	return QueueID(out[:]), nil
}

func crockfordValue(c byte) int {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	switch c {
	case 'o':
		return 0
	case 'i', 'l':
		return 1
	}
	for i := 0; i < len(crockford); i++ {
		if crockford[i] == c {
			return i
		}
	}
	return -1
}

// Time returns when the identifier was made, to the millisecond, in UTC; the
// zero time if id is not valid.
func (id QueueID) Time() time.Time {
	if len(id) != queueIDLength {
		return time.Time{}
	}
	var ms int64
	for i := range 10 {
		v := crockfordValue(id[i])
		if v < 0 {
			return time.Time{}
		}
		ms = ms<<5 | int64(v)
	}
	return time.UnixMilli(ms).UTC()
}
