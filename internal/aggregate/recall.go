package aggregate

import (
	"slices"
	"sync"
	"time"

	"postern/internal/store"
)

// The bounds of overviews that are kept for the next visitor.
const (
	maxRecalled = 32
	recallFor   = 5 * time.Minute // names come in the background, and another node's report may be half summed
)

// recalled is the overview of a domain that thousands of addresses send in the name of: it is made of hundreds of thousands of rows, and kept while nothing came.
type recalled struct {
	overview Overview
	of       version
	made     time.Time
}

// version tells whether something came about a domain, or a person marked a source, since an overview was made.
type version struct {
	domain                  string
	first, last             int64
	reports, look           int64
	newest, tls, policied   time.Time
	failures, marks, marked int64
	doubtful                int64
}

func (o *Overview) version(tx *store.Tx, first, last int64) (v version, err error) {
	d := &o.Domain
	v = version{domain: d.Domain, first: first, last: last, reports: d.Reports, newest: d.Last, tls: d.TLSLast, policied: d.Policied, failures: d.Failures, doubtful: d.Doubtful}
	err = tx.QueryRow(sqlVersion, d.Domain, d.Domain, d.Domain).Scan(&v.look, &v.marks, &v.marked)
	return v, err
}

// memory keeps the large overviews that were made lately.
type memory struct {
	mu  sync.Mutex
	all []recalled // the oldest first
}

// recall returns an overview that was made of the same.
func (m *memory) recall(v version, now time.Time) (Overview, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = slices.DeleteFunc(m.all, func(r recalled) bool { return now.Sub(r.made) > recallFor || now.Before(r.made) })
	for _, r := range m.all {
		if r.of == v {
			return r.overview, true
		}
	}
	return Overview{}, false
}

// keep keeps an overview that was long in the making. Its slices are not changed by anybody.
func (m *memory) keep(o Overview, v version, now time.Time) {
	if !o.More {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.all) >= maxRecalled {
		m.all = m.all[1:]
	}
	m.all = append(m.all, recalled{o, v, now})
}
