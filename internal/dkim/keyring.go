package dkim

import (
	"crypto/sha256"
	"sync"

	"postern/internal/mail"
)

// Keyring remembers parsed private keys by their text: reading an RSA key costs about as much as signing with it. The zero value
// is ready; it may be used by many goroutines. A key that is no longer asked for stays in memory until the ring is full.
type Keyring struct {
	mu   sync.Mutex
	keys map[[sha256.Size]byte]Key
}

// rememberedKeys bounds a Keyring; beyond it the ring starts anew.
const rememberedKeys = 1000

// Parse is ParseKey with a memory.
func (r *Keyring) Parse(pem []byte, d mail.Domain, selector string) (Key, error) {
	h := sha256.New()
	h.Write([]byte(string(d) + "\x00" + selector + "\x00"))
	h.Write(pem)
	id := [sha256.Size]byte(h.Sum(nil))
	r.mu.Lock()
	defer r.mu.Unlock()
	if k, ok := r.keys[id]; ok {
		return k, nil
	}
	k, err := ParseKey(pem, d, selector)
	if err != nil {
		return k, err
	}
	if r.keys == nil || len(r.keys) >= rememberedKeys {
		r.keys = make(map[[sha256.Size]byte]Key)
	}
	r.keys[id] = k
	return k, nil
}
