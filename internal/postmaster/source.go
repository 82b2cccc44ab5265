package postmaster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"postern/internal/store"
)

// Fault is why figures could not be fetched, as a stable word. It never quotes what a provider answered.
type Fault string

// The faults.
const (
	FaultSignedOut   Fault = "signed-out"  // the permission is not valid any more: a person must sign in again, or get a new link
	FaultNothing     Fault = "nothing"     // 404: the key has expired, or there are no figures; the provider does not tell which
	FaultMalformed   Fault = "malformed"   // 400: the provider did not understand the question
	FaultForbidden   Fault = "forbidden"   // 403: the account may not see these figures
	FaultBusy        Fault = "busy"        // 429 or 5xx: the provider cannot answer now
	FaultUnexpected  Fault = "unexpected"  // another answer
	FaultUnreadable  Fault = "unreadable"  // an answer that holds no figures
	FaultLarge       Fault = "large"       // more than is read
	FaultUnreachable Fault = "unreachable" // no connection, or it broke
	FaultKey         Fault = "key"         // the key or token that is configured cannot be used
	FaultFolder      Fault = "folder"      // the folder cannot be read or written
	FaultInternal    Fault = "internal"    // our own database
)

// Names of sources. Links are "link " and their name.
const (
	SourceSNDS   = "snds"
	SourceGoogle = "google"
	SourceFolder = "folder"
)

// Source is a way in and how it fares.
type Source struct {
	Name    string
	Begun   time.Time // since when this link or account is used; zero: never asked
	Tried   time.Time // last attempt
	Worked  time.Time // last one that worked, whether it brought figures or not
	Failing time.Time // since when it fails; zero: it works
	Fault   Fault     // why the last attempt failed; "": it worked
	Next    time.Time // next attempt
	Rows    int64     // rows of the last attempt that worked
	States  time.Time // when a report of abnormal addresses last came; zero: never
	Expires time.Time // when the permission ends, as far as is known; zero: not known
	Waiting bool      // an account must be connected first

	mark  string
	fails int64
}

// way is a source that is fetched.
type way struct {
	name  string
	mark  string // tells whether it is still the same link or account
	every time.Duration
	link  Link // of a link
}

// sources are the ways that are configured.
func (p *Postmaster) sources() []way {
	var all []way
	for _, l := range p.o.Links {
		all = append(all, way{name: "link " + l.Name, mark: hash(l.URL), every: p.o.SNDSEvery, link: l})
	}
	if p.o.Microsoft.Base != "" {
		all = append(all, way{name: SourceSNDS, every: p.o.SNDSEvery})
	}
	if p.o.Google.Base != "" {
		all = append(all, way{name: SourceGoogle, mark: hash(string(p.o.Google.Key) + p.o.Google.ClientID + p.o.Google.Refresh), every: p.o.GoogleEvery})
	}
	return all
}

// hash tells two secrets apart without keeping them.
func hash(secret string) string {
	if secret == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("postmaster source " + secret))
	return hex.EncodeToString(sum[:8])
}

// linkFor is how long an access link of the portal of 2026 is valid (third-party descriptions, read 2026-11). Keys of before have no end.
const linkFor = 30 * 24 * time.Hour

// expires is when the permission of a link ends, which was first used at begun; zero: not known.
func (w way) expires(begun time.Time) time.Time {
	if strings.Contains(strings.ToLower(w.link.URL), "/datakey?") {
		return begun.Add(linkFor)
	}
	return time.Time{}
}

// Sources returns the ways in that are configured or were used, by name.
func (p *Postmaster) Sources(ctx context.Context) (all []Source, err error) {
	var known []Source
	connected := false
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		if known, err = scanSources(tx.Query(sqlSources)); err != nil {
			return err
		}
		_, connected, err = loadGrant(tx, SourceSNDS)
		return err
	})
	if err != nil {
		return nil, wrap(err)
	}
	names := []string{}
	for _, w := range p.sources() {
		names = append(names, w.name)
	}
	if p.o.Folder != "" {
		names = append(names, SourceFolder)
	}
	for _, name := range names {
		s := Source{Name: name}
		if i := slices.IndexFunc(known, func(k Source) bool { return k.Name == name }); i >= 0 {
			s = known[i]
		}
		s.Waiting = name == SourceSNDS && !connected
		all = append(all, s)
	}
	return all, nil
}

// leaseFor is how long a node may be silent before another one fetches; longer than one fetch.
const leaseFor = 2 * fetchTime

// lease reports whether this node fetches now.
func (p *Postmaster) lease(ctx context.Context) (mine bool, err error) {
	now := micros(p.o.Now())
	err = p.db.Write(ctx, func(tx *store.Tx) error {
		var node string
		var until time.Time
		if err := tx.QueryRow(sqlLease).Scan(&node, &until); err != nil && !errors.Is(err, store.ErrNoRows) {
			return err
		}
		if mine = node == p.id || !until.After(now); !mine {
			return nil
		}
		if node == p.id && until.Sub(now) > fetchTime+time.Minute {
			return nil // far enough from its end to spare the write
		}
		n, err := tx.Exec(sqlTakeLease, p.id, now.Add(leaseFor), now)
		mine = n > 0
		return err
	})
	return mine && err == nil, wrap(err)
}

// due reports whether a source is to be asked now. A link or account that is another one than before begins anew.
func (p *Postmaster) due(ctx context.Context, w way) (due bool, err error) {
	p.mu.Lock()
	demanded := p.demands[w.name]
	delete(p.demands, w.name)
	p.mu.Unlock()
	now := micros(p.o.Now())
	var s Source
	var waits bool
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		if s, err = loadSource(tx, w.name); err != nil || w.name != SourceSNDS {
			return err
		}
		_, connected, err := loadGrant(tx, SourceSNDS)
		waits = !connected
		return err
	})
	if err != nil || waits {
		return false, wrap(err)
	}
	if w.name != SourceSNDS && s.mark != w.mark || s.Begun.IsZero() {
		s = Source{Name: w.name, mark: w.mark, Begun: now, States: s.States, Worked: s.Worked, Expires: w.expires(now)}
		err = p.db.Write(ctx, func(tx *store.Tx) error { return storeSource(tx, s) })
		return err == nil, wrap(err)
	}
	return demanded || !s.Next.After(now), nil
}

// Pauses after a failure: doubled each time, up to the longest.
const (
	firstPause   = 15 * time.Minute
	longestPause = 12 * time.Hour
)

// settle writes down how an attempt went.
func (p *Postmaster) settle(ctx context.Context, w way, rows int, fault Fault) {
	now := micros(p.o.Now())
	err := p.db.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		s, err := loadSource(tx, w.name)
		if err != nil {
			return err
		}
		s.Tried, s.Fault = now, fault
		if s.Begun.IsZero() {
			s.Begun = now
		}
		if fault == "" {
			s.Worked, s.Failing, s.fails, s.Rows, s.Next = now, time.Time{}, 0, int64(rows), now.Add(w.every)
		} else {
			if s.Failing.IsZero() {
				s.Failing = now
			}
			s.Next = now.Add(min(firstPause<<min(s.fails, 10), longestPause))
			s.fails++
		}
		return storeSource(tx, s)
	})
	if err != nil {
		p.complain(ctx, "how "+w.name+" fares", err)
	}
	if fault != "" {
		p.log.Warn("postmaster: figures were not fetched", "source", w.name, "fault", string(fault))
	}
}

// fetch asks one source and keeps what it answers.
func (p *Postmaster) fetch(ctx context.Context, w way) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	var rows int
	var fault Fault
	switch w.name {
	case SourceSNDS:
		rows, fault = p.fetchSNDS(ctx)
	case SourceGoogle:
		rows, fault = p.fetchGoogle(ctx)
	default:
		rows, fault = p.fetchLink(ctx, w)
	}
	p.settle(ctx, w, rows, fault)
}
