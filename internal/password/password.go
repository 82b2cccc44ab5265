// Package password keeps passwords: argon2id hashes computed for few callers at a time, and a gate that slows down who guesses.
//
// # What it holds
//
// Hash makes the string to store (PHC form), Verify compares, at the same cost whether there is a hash or not. A Gate stands before
// Verify: it counts failures by user and by client network, refuses for a while after too many, and never refuses a user from a network
// he came from lately because of what others guess. It lives in memory; a restart forgets.
//
// # What it does not
//
// It knows no user and no database: who asks brings the stored hash. It does not say what a good password is.
//
// # Who calls it
//
// account for credentials of SMTP, user for people. Each has a gate of its own, so that a wrong setting of a mail program locks nobody out of the pages.
//
// # How it fails
//
// ErrDenied for what does not fit, ErrThrottled for what was not looked at, the context's error when it ends while waiting for a turn.
// A damaged hash fits nothing.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"sync/atomic"

	"golang.org/x/crypto/argon2"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrDenied    = errors.New("password: wrong")
	ErrThrottled = errors.New("password: too many failures, try again later")
)

// Cost is the price of one argon2id (RFC 9106) computation.
type Cost struct {
	Memory  uint32 // KiB, at most 256 MiB
	Passes  uint32 // 1..10
	Threads uint8  // 1..4
}

// Standard is what new hashes are made with: OWASP's second choice of 2024 (19 MiB, 2 passes, 1 thread), about 30 ms.
func Standard() Cost { return Cost{Memory: 19 * 1024, Passes: 2, Threads: 1} }

const (
	saltBytes = 16
	hashBytes = 32
	// Bounds of what a stored hash may ask for, so that a damaged one cannot eat the machine.
	maxMemory  = 256 * 1024
	maxPasses  = 10
	maxThreads = 4
)

var errHash = errors.New("password: stored password hash is damaged")

// hashForm is the PHC string format as this package writes it, nothing else: no leading zeros, fixed order.
var hashForm = regexp.MustCompile(`^\$argon2id\$v=19\$m=([1-9][0-9]{0,5}),t=([1-9][0-9]?),p=([1-9])\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$`)

// parsedHash is a stored hash taken apart.
type parsedHash struct {
	cost Cost
	salt []byte
	key  []byte
}

// parseHash refuses whatever this package would not have written itself.
func parseHash(s string) (parsedHash, error) {
	m := hashForm.FindStringSubmatch(s)
	if m == nil {
		return parsedHash{}, errHash
	}
	memory, _ := strconv.Atoi(m[1]) // the form allows digits only
	passes, _ := strconv.Atoi(m[2])
	threads, _ := strconv.Atoi(m[3])
	if memory > maxMemory || passes > maxPasses || threads > maxThreads || memory < 8*threads {
		return parsedHash{}, errHash
	}
	salt, err := base64.RawStdEncoding.Strict().DecodeString(m[4])
	if err != nil || len(salt) != saltBytes {
		return parsedHash{}, errHash
	}
	key, err := base64.RawStdEncoding.Strict().DecodeString(m[5])
	if err != nil || len(key) != hashBytes {
		return parsedHash{}, errHash
	}
	return parsedHash{Cost{uint32(memory), uint32(passes), uint8(threads)}, salt, key}, nil
}

// Hasher computes argon2id for few callers at a time, which bounds memory to slots × memory of a hash. Make one with NewHasher.
type Hasher struct {
	slots    chan struct{}
	computed *atomic.Int64
}

// NewHasher returns a hasher with as many turns as there are processors, at most four.
func NewHasher() Hasher {
	return Hasher{slots: make(chan struct{}, min(max(runtime.GOMAXPROCS(0), 1), 4)), computed: new(atomic.Int64)}
}

// Computed is how many hashes were computed since NewHasher: what a refusal costs can be counted instead of timed.
func (h Hasher) Computed() int64 { return h.computed.Load() }

// Slots is how many hashes may be computed at once.
func (h Hasher) Slots() int { return cap(h.slots) }

// acquire waits for a turn; release gives it back. The error is the context's.
func (h Hasher) acquire(ctx context.Context) (release func(), err error) {
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// of computes; the caller holds a turn.
func (h Hasher) of(p parsedHash, password string) []byte {
	h.computed.Add(1)
	return argon2.IDKey([]byte(password), p.salt, p.cost.Passes, p.cost.Memory, p.cost.Threads, hashBytes)
}

// Hash makes the string to store for a password. It waits for a turn; the error is the context's.
func (h Hasher) Hash(ctx context.Context, password string, c Cost) (string, error) {
	p := parsedHash{cost: c, salt: make([]byte, saltBytes)}
	if _, err := rand.Read(p.salt); err != nil {
		return "", fmt.Errorf("password: random bytes: %w", err)
	}
	release, err := h.acquire(ctx)
	if err != nil {
		return "", err
	}
	key := h.of(p, password)
	release()
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", c.Memory, c.Passes, c.Threads,
		b64.EncodeToString(p.salt), b64.EncodeToString(key)), nil
}

// Verify reports whether password fits the stored hash. A missing or damaged hash costs as much as a sound one
// and fits nothing. It waits for a turn; the error is the context's.
func (h Hasher) Verify(ctx context.Context, password, stored string) (bool, error) {
	release, err := h.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	return h.verify(password, stored), nil
}

// verify is Verify for a caller that holds a turn.
func (h Hasher) verify(password, stored string) bool {
	p, damaged := parseHash(stored)
	if damaged != nil {
		p = parsedHash{cost: Standard(), salt: make([]byte, saltBytes), key: make([]byte, hashBytes)}
	}
	same := subtle.ConstantTimeCompare(h.of(p, password), p.key) == 1
	return same && damaged == nil
}
