package account

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

	"golang.org/x/crypto/argon2"
)

// cost is the price of one argon2id (RFC 9106) computation.
type cost struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// newCost is what new hashes are made with: OWASP's second choice of 2024 (19 MiB, 2 passes, 1 thread), about 30 ms.
// Generated passwords carry 160 bits, so the hash only has to make a stolen database useless, which it does at any price.
var newCost = cost{memory: 19 * 1024, passes: 2, threads: 1}

const (
	saltBytes = 16
	hashBytes = 32
	// Bounds of what a stored hash may ask for, so that a damaged one cannot eat the machine.
	maxMemory  = 256 * 1024
	maxPasses  = 10
	maxThreads = 4
)

var errHash = errors.New("account: stored password hash is damaged")

// hashForm is the PHC string format as this package writes it, nothing else: no leading zeros, fixed order.
var hashForm = regexp.MustCompile(`^\$argon2id\$v=19\$m=([1-9][0-9]{0,5}),t=([1-9][0-9]?),p=([1-9])\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$`)

// parsedHash is a stored hash taken apart.
type parsedHash struct {
	cost cost
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
	return parsedHash{cost{uint32(memory), uint32(passes), uint8(threads)}, salt, key}, nil
}

// hasher computes argon2id for few callers at a time, which bounds memory to slots × memory of a hash.
type hasher struct{ slots chan struct{} }

func newHasher() hasher {
	return hasher{slots: make(chan struct{}, min(max(runtime.GOMAXPROCS(0), 1), 4))}
}

// acquire waits for a turn; release gives it back. The error is the context's.
func (h hasher) acquire(ctx context.Context) (release func(), err error) {
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p parsedHash) of(password string) []byte {
	return argon2.IDKey([]byte(password), p.salt, p.cost.passes, p.cost.memory, p.cost.threads, hashBytes)
}

// hash makes the string to store for a password.
func (h hasher) hash(ctx context.Context, password string, c cost) (string, error) {
	p := parsedHash{cost: c, salt: make([]byte, saltBytes)}
	if _, err := rand.Read(p.salt); err != nil {
		return "", fmt.Errorf("account: random bytes: %w", err)
	}
	release, err := h.acquire(ctx)
	if err != nil {
		return "", err
	}
	key := p.of(password)
	release()
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", c.memory, c.passes, c.threads,
		b64.EncodeToString(p.salt), b64.EncodeToString(key)), nil
}

// verify reports whether password fits the stored hash. A missing or damaged hash costs as much as a sound one
// and fits nothing. The caller holds a turn.
func verify(password, stored string) bool {
	p, damaged := parseHash(stored)
	if damaged != nil {
		p = parsedHash{cost: newCost, salt: make([]byte, saltBytes), key: make([]byte, hashBytes)}
	}
	same := subtle.ConstantTimeCompare(p.of(password), p.key) == 1
	return same && damaged == nil
}
