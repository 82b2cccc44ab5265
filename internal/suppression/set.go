package suppression

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"postern/internal/mail"
	"postern/internal/store"
)

// memory is a set of hashes that is read without a lock and only grows; a full reading of the database replaces it. The zero value has not
// been filled yet and may have anything.
type memory struct {
	table atomic.Pointer[table]

	mu      sync.Mutex // those who add
	filling bool
	since   []uint64 // added while a new table is being filled
}

// table is open addressing over hashes; 0 is free.
type table struct {
	slots []atomic.Uint64 // a power of two
	n     int             // under memory.mu
}

var seed = maphash.MakeSeed()

func newTable(n int) *table {
	return &table{slots: make([]atomic.Uint64, max(1<<10, 1<<bits.Len(uint(max(2*n, 1)-1))))}
}

func (t *table) has(h uint64) bool {
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch t.slots[i].Load() {
		case h:
			return true
		case 0:
			return false
		}
	}
}

// put adds a hash; there is room.
func (t *table) put(h uint64) {
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch t.slots[i].Load() {
		case h:
			return
		case 0:
			t.slots[i].Store(h)
			t.n++
			return
		}
	}
}

// grown returns a table with room for one more.
func (t *table) grown() *table {
	if 2*(t.n+1) <= len(t.slots) {
		return t
	}
	next := newTable(len(t.slots))
	for i := range t.slots {
		if h := t.slots[i].Load(); h != 0 {
			next.put(h)
		}
	}
	return next
}

// add puts a hash in.
func (m *memory) add(h uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.filling {
		m.since = append(m.since, h)
	}
	t := m.table.Load()
	if t == nil {
		return // everything is looked up until the first filling
	}
	next := t.grown()
	next.put(h)
	if next != t {
		m.table.Store(next)
	}
}

// fill replaces the set by what read gives; what is added meanwhile is kept. read gives the number first, as a guess.
func (m *memory) fill(guess int, read func(put func(h uint64)) error) error {
	m.mu.Lock()
	m.filling, m.since = true, nil
	m.mu.Unlock()
	next := newTable(guess)
	put := func(h uint64) {
		next = next.grown()
		next.put(h)
	}
	err := read(put)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.filling = false
	if err == nil {
		for _, h := range m.since {
			put(h)
		}
		m.table.Store(next)
	}
	m.since = nil
	return err
}

func (m *memory) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.table.Load(); t != nil {
		return t.n
	}
	return 0
}

// bytes is the memory that the set takes.
func (m *memory) bytes() int {
	if t := m.table.Load(); t != nil {
		return 8 * len(t.slots)
	}
	return 0
}

// mayHave reports whether there may be an entry of this customer or for everybody, for the address or its domain.
func (m *memory) mayHave(customer string, a mail.Address) bool {
	t := m.table.Load()
	if t == nil {
		return true
	}
	local, domain := hashFolded(a.Local), hashFolded(string(a.Domain))
	if t.has(join(nobody, domain, local)) || t.has(join(nobody, domain, nobody)) {
		return true
	}
	if customer == "" {
		return false
	}
	c := maphash.String(seed, customer)
	return t.has(join(c, domain, local)) || t.has(join(c, domain, nobody))
}

// nobody is the hash of the empty text.
var nobody = maphash.String(seed, "")

// hashFolded is the hash of a text in lower case. It allocates only for texts that are long or not ASCII.
func hashFolded(s string) uint64 {
	var buf [256]byte
	if len(s) > len(buf) {
		return maphash.String(seed, strings.ToLower(s))
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf {
			return maphash.String(seed, strings.ToLower(s))
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return maphash.Bytes(seed, buf[:len(s)])
}

// join makes one hash of three. They are uniformly spread already; rotating keeps their places apart. 0 means a free slot.
func join(customer, domain, local uint64) uint64 {
	h := bits.RotateLeft64(customer, 21) ^ bits.RotateLeft64(domain, 42) ^ local
	h *= 0x9e3779b97f4a7c15
	h ^= h >> 32
	if h == 0 {
		return 1
	}
	return h
}

func hashEntry(customer, domain, local string) uint64 {
	return join(maphash.String(seed, customer), hashFolded(domain), hashFolded(local))
}

// hashStruck is the hash of an address with strikes, whosever they are.
func hashStruck(domain, local string) uint64 {
	return join(nobody, hashFolded(domain), hashFolded(local))
}

// overlap is how far behind the newest change other nodes' changes are looked for: their clocks differ, and a transaction takes a while.
const overlap = 5 * time.Minute

// Refresh reads the whole list into memory.
func (l *Ledger) Refresh(ctx context.Context) error {
	l.refreshing.Lock()
	defer l.refreshing.Unlock()
	now := l.o.Now()
	err := l.addresses.fill(l.addresses.len(), func(put func(uint64)) error {
		return l.db.Read(ctx, func(tx *store.Tx) error { return putAll(tx.Query(sqlAllAddresses), true, put) })
	})
	if err == nil {
		err = l.struck.fill(l.struck.len(), func(put func(uint64)) error {
			return l.db.Read(ctx, func(tx *store.Tx) error { return putAll(tx.Query(sqlAllStruck), false, put) })
		})
	}
	if err != nil {
		return fmt.Errorf("suppression: read the list: %w", err)
	}
	l.seen = now
	return nil
}

// follow reads what was added since the last reading, here or on another node.
func (l *Ledger) follow(ctx context.Context) error {
	if l.addresses.table.Load() == nil {
		return l.Refresh(ctx)
	}
	l.refreshing.Lock()
	defer l.refreshing.Unlock()
	now, from := l.o.Now(), l.seen.Add(-overlap)
	err := l.db.Read(ctx, func(tx *store.Tx) error {
		if err := putAll(tx.Query(sqlNewAddresses, from), true, l.addresses.add); err != nil {
			return err
		}
		return putAll(tx.Query(sqlNewStruck, from), false, l.struck.add)
	})
	if err != nil {
		return fmt.Errorf("suppression: follow the list: %w", err)
	}
	l.seen = now
	return nil
}

func putAll(rows *store.Rows, entries bool, put func(uint64)) error {
	var customer, domain, local string
	for rows.Next() {
		if err := rows.Scan(&customer, &domain, &local); err != nil {
			return err
		}
		if entries {
			put(hashEntry(customer, domain, local))
		} else {
			put(hashStruck(domain, local))
		}
	}
	return rows.Err()
}
