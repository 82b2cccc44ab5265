package learn

import (
	"context"
	"sync"

	"postern/internal/store"
)

// counts are the messages that hold a token.
type counts struct{ spam, ham uint32 }

// corpus are the messages that a scope has learned.
type corpus struct{ spam, ham int64 }

// found is what several scopes together know of a token.
type found struct {
	counts
	scopes int // bit i: scopes[i] knows it
}

// cache keeps counts in memory, those of tokens that nobody has seen too. It has two generations: when the young one has grown to
// half the bound, it becomes the old one, and the old one goes; what is used moves to the young one.
type cache struct {
	mu         sync.Mutex
	most       int // entries of both generations
	epoch      uint64
	young, old map[string]map[int64]counts // by scope
	entries    int                         // of the young generation
	corpora    map[string]corpus
}

func (c *cache) get(scope string, token int64) (counts, bool) {
	if v, ok := c.young[scope][token]; ok {
		return v, true
	}
	v, ok := c.old[scope][token]
	if ok {
		c.put(scope, token, v)
	}
	return v, ok
}

func (c *cache) put(scope string, token int64, v counts) {
	if c.entries >= (c.most+1)/2 {
		c.old, c.young, c.entries = c.young, nil, 0
	}
	if c.young == nil {
		c.young = make(map[string]map[int64]counts)
	}
	of := c.young[scope]
	if of == nil {
		of = make(map[int64]counts)
		c.young[scope] = of
	}
	if _, again := of[token]; !again {
		c.entries++
	}
	of[token] = v
}

// clear forgets everything: another node may have learned.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.young, c.old, c.entries, c.corpora = nil, nil, 0, nil
}

// drop forgets the tokens that were just written. Whoever read the database before that does not put his answers in: the epoch.
func (c *cache) drop(scope string, tokens []int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	for _, t := range tokens {
		if _, ok := c.young[scope][t]; ok {
			delete(c.young[scope], t)
			c.entries--
		}
		delete(c.old[scope], t)
	}
	delete(c.corpora, scope)
}

// totals returns what the base and the scope have learned together, and the scope alone.
func (l *Ledger) totals(ctx context.Context, scope string) (sum, own corpus, err error) {
	of := func(scope string) (corpus, error) {
		c := &l.cache
		c.mu.Lock()
		t, ok := c.corpora[scope]
		epoch := c.epoch
		c.mu.Unlock()
		if ok {
			return t, nil
		}
		err := l.db.Read(ctx, func(tx *store.Tx) error {
			rows := tx.Query(sqlCorpus, scope)
			for rows.Next() {
				if err := rows.Scan(&t.spam, &t.ham); err != nil {
					return err
				}
			}
			return rows.Err()
		})
		if err != nil {
			return corpus{}, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.epoch == epoch {
			if c.corpora == nil || len(c.corpora) >= maxCorpora {
				c.corpora = make(map[string]corpus)
			}
			c.corpora[scope] = t
		}
		return t, nil
	}
	if sum, err = of(Base); err != nil || scope == Base {
		return sum, corpus{}, err
	}
	if own, err = of(scope); err != nil {
		return sum, own, err
	}
	return corpus{sum.spam + own.spam, sum.ham + own.ham}, own, nil
}

// maxCorpora bounds the scopes whose totals are kept in memory.
const maxCorpora = 10_000

// counts returns what the scopes together know of each token, in the order of the tokens. One transaction reads all that is not in
// memory.
func (l *Ledger) counts(ctx context.Context, scopes []string, tokens []Token) ([]found, error) {
	out := make([]found, len(tokens))
	var missing []int // tokens
	c := &l.cache
	c.mu.Lock()
	epoch := c.epoch
	for i, t := range tokens {
		whole := true
		f := found{}
		for k, scope := range scopes {
			v, ok := c.get(scope, t.ID)
			if !ok {
				whole = false
				break
			}
			f.add(v, k)
		}
		if whole {
			out[i] = f
		} else {
			missing = append(missing, i)
		}
	}
	c.mu.Unlock()
	if len(missing) == 0 {
		return out, nil
	}
	read, err := l.readCounts(ctx, scopes, tokens, missing)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range missing {
		f := found{}
		for k, scope := range scopes {
			v := read[k][tokens[i].ID]
			f.add(v, k)
			if c.epoch == epoch {
				c.put(scope, tokens[i].ID, v)
			}
		}
		out[i] = f
	}
	return out, nil
}

func (f *found) add(v counts, scope int) {
	if v != (counts{}) {
		f.spam, f.ham, f.scopes = f.spam+v.spam, f.ham+v.ham, f.scopes|1<<scope
	}
}

// readCounts reads rows of the database, by scope and token.
func (l *Ledger) readCounts(ctx context.Context, scopes []string, tokens []Token, which []int) ([]map[int64]counts, error) {
	var read []map[int64]counts
	err := l.db.Read(ctx, func(tx *store.Tx) error {
		read = make([]map[int64]counts, len(scopes))
		for k := range read {
			read[k] = make(map[int64]counts, len(which))
		}
		ids := make([]int64, len(which))
		for n, i := range which {
			ids[n] = tokens[i].ID
		}
		// Always two scopes, so that one statement serves; the base twice does no harm.
		first, second := scopes[0], scopes[len(scopes)-1]
		return inPieces(ids, func(list string, args []any) error {
			rows := tx.Query(sqlCounts+list+`) AND scope IN (?, ?)`, append(args, first, second)...)
			for rows.Next() {
				var scope string
				var token, spam, ham int64
				if err := rows.Scan(&token, &scope, &spam, &ham); err != nil {
					return err
				}
				k := 0
				if scope != scopes[0] {
					k = 1
				}
				read[k][token] = counts{count32(spam), count32(ham)}
			}
			return rows.Err()
		})
	})
	return read, err
}

func count32(n int64) uint32 { return uint32(min(max(n, 0), 1<<31-1)) }
