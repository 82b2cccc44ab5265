// Package spool keeps accepted mail until every recipient is delivered, given up or dropped by a person. It never judges
// a reply and never speaks to the network: see delivery. It tells nobody what happened: see journal.
//
// # States
//
// A message is queued or held, as a whole. Each recipient of a queued message waits for its next attempt at NextAt, is
// claimed by an attempt, or is final (delivered, bounced, dropped, expired). The last recipient that becomes final
// removes message and body. There is always a next event with a time: an attempt, or the end of a hold; a watchdog in
// Run looks for messages without one, mends and counts them (Stats.Silent, Stats.Mended).
//
// A queued recipient may be parked: it waits for its turn in a lane (Recipient.Lane), for a reason (Recipient.Wait), until
// NextAt like any other. Hurry brings a lane's mail forward when the lane is free earlier than was told. A hold
// ends the parking.
//
// # What is promised
//
// Put returns nil when envelope, body and verdict are on stable storage, in one transaction. A larger body (see
// Options.InlineBytes) is written beside as a file first: file and folder are synced by the caller of Put before the row
// commits. Every body carries its SHA-256, checked when it is read; one that does not match is held with the reason
// "damaged", neither sent nor bounced. Put is idempotent by queue ID. A Put that returned an error refused the message:
// should the database have kept it after all (connection or disk lost during the commit), the row is removed as soon as
// the database answers, unless the process dies before.
//
// At least once: what a remote server took and Settle had not yet committed when the process died is sent again. So the
// bound on duplicates per crash is the number of recipients in an attempt between the remote 250 and the return of
// Settle; nothing else is repeated. Stats.Recovered says how many messages an earlier life had left.
//
// # Nodes
//
// A message belongs to the node that accepted it. Claims live in memory only. A node that is alive moves a counter in
// spool_node; a node whose counter stood still for Options.AdoptAfter, by the watch of the observer, is declared dead: its
// epoch moves and its messages change owner. Every Settle is conditional on node and epoch, so a node that was only
// asleep learns with its next statement that it lost them (ErrLost), and joins again under a new epoch. Bodies kept
// beside are within reach of other nodes only when Dir is a shared file system: otherwise give a cluster a negative
// InlineBytes.
//
// # Cost
//
// Put, Claim and Settle of a message cost two group commits, one inserted and one deleted row, and no query: memory keeps
// a window of the queue (Options.Window entries, the earliest), the messages and bodies that just came in, and reads the
// rest when its time comes. Recipients have rows only after their first deferral.
//
// # Who calls it
//
// intake: Put, DueHolds. delivery: Wake, NextDue, Claim, Body, Settle, UnclaimWork,
// Hurry. queue watch and metrics: Stats, Backlogs, Accounts. portal, api, cli: the rest. All
// methods may be called from many goroutines; changes to one message wait for one another.
//
// # Failures
//
// ErrFull: below the reserve of free space Put refuses and reopens by itself at twice the reserve; our own mail
// (Message.Notice), Claim and Settle go on.
// store.ErrBroken: the database is out; try again later. ErrLost, ErrNotFound, ErrExists, ErrNotHeld, ErrDamaged as said
// at each method.
package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/fsx"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrFull: no room for new mail; temporary. Answer 452 4.3.1.
	ErrFull = store.ErrFull
	// ErrLost: the message is no longer this node's: adopted by another node, or removed by a person meanwhile.
	ErrLost = errors.New("message belongs to another node or is gone")
	// ErrNotFound: no message has this queue ID.
	ErrNotFound = errors.New("no such message")
	// ErrExists: another message has this queue ID.
	ErrExists = errors.New("another message has this queue ID")
	// ErrNotHeld: the message is queued, not held.
	ErrNotHeld = errors.New("message is not held")
	// ErrDamaged: the stored body is not the one that was accepted, or cannot be read. The message is now held.
	ErrDamaged = errors.New("stored body is damaged")
	// ErrInvalid: the caller's message or outcome breaks the contract; nothing was stored.
	ErrInvalid = errors.New("invalid")
)

// LostError names the messages that a Settle could not settle; the others were. It matches ErrLost.
type LostError struct{ IDs []mail.QueueID }

// Error says how many.
func (e *LostError) Error() string { return fmt.Sprintf("%d of the messages: %v", len(e.IDs), ErrLost) }

// Unwrap makes it match ErrLost.
func (e *LostError) Unwrap() error { return ErrLost }

// ReasonDamaged is the HoldReason of a message whose body is not the one that was accepted, or cannot be read.
const ReasonDamaged = "damaged"

// Options configure a spool. DB and Node are required.
type Options struct {
	DB   *store.DB // opened with store.SpoolSchema
	Dir  string    // folder of the bodies kept beside; "" = all bodies in the database
	FS   fsx.FS    // default fsx.OS
	Node string    // this node's name, the same at every start, unlike every other node's
	Now  func() time.Time
	// InlineBytes is the size above which a body is kept beside. Default 256 KiB; negative: never (a cluster without
	// a shared Dir).
	InlineBytes int
	// Reserve is the free space in bytes below which Put refuses. Default: 5 % of the file system, at least 1 GiB, at
	// most 4 GiB; negative: not watched. Put accepts again at twice the reserve.
	Reserve    int64
	Logger     *slog.Logger  // for the operator; default: none
	HoldFor    time.Duration // length of a hold without HoldUntil. Default 7 days
	MaxWait    time.Duration // longest time to a next attempt; later ones are brought forward. Default 24 h
	AdoptAfter time.Duration // silence after which a node is dead. Default 20 s
	Window     int           // messages known in memory. Default 20,000
	CacheBytes int           // bodies kept in memory between Put and the first attempt. Default 64 MiB
	SweepEvery time.Duration // a body file without a message is removed when two looks this far apart saw it. Default 1 h
}

// Spool is the durable queue of one node.
type Spool struct {
	o      Options
	db     *store.DB
	log    *slog.Logger
	shared bool // other nodes may use the same database
	wake   chan struct{}
	bodies *cache
	space  space

	startMu sync.Mutex
	started atomic.Bool
	refill  sync.Mutex // held while the window is filled from the store

	statsMu     sync.Mutex
	lastStats   Stats // what counts found
	lastStatsAt time.Time

	surveyMu   sync.Mutex
	lastSurvey *survey

	mu        sync.Mutex
	win       window
	locks     map[mail.QueueID]chan struct{} // messages being changed; closed at unlock
	filling   bool                           // a refill is under way: everything added goes into memory
	doubtful  map[mail.QueueID]*doubt        // refused by Put, yet perhaps stored: to be removed
	epoch     int64
	beatAt    time.Time // when this node last proved that it lives
	recovered int
	orphans   map[string]time.Time // body files without a message, since when
	peers     map[string]peer

	adopted, damaged, mended atomic.Int64
}

// Open checks the options and makes the folder for bodies. It does not touch the database: Start does, and every method
// starts the spool when that has not happened.
func Open(o Options) (*Spool, error) {
	if o.DB == nil {
		return nil, fmt.Errorf("open spool: %w: no database", ErrInvalid)
	}
	if o.Node == "" || len(o.Node) > 200 || strings.ContainsAny(o.Node, "\x00\n") {
		return nil, fmt.Errorf("open spool: %w: node name %q (want 1 to 200 characters)", ErrInvalid, o.Node)
	}
	if o.FS == nil {
		o.FS = fsx.OS
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.InlineBytes = orInt(o.InlineBytes, 256<<10)
	if o.Dir == "" {
		o.InlineBytes = -1
	}
	o.HoldFor = orDuration(o.HoldFor, 7*24*time.Hour)
	o.MaxWait = orDuration(o.MaxWait, 24*time.Hour)
	o.AdoptAfter = orDuration(o.AdoptAfter, 20*time.Second)
	o.SweepEvery = orDuration(o.SweepEvery, time.Hour)
	o.Window = max(orInt(o.Window, 20_000), 16)
	o.CacheBytes = orInt(o.CacheBytes, 64<<20)
	if o.Dir != "" {
		if err := makeFolder(o.FS, o.Dir); err != nil {
			return nil, fmt.Errorf("open spool: %w", err)
		}
	}
	s := &Spool{
		o: o, db: o.DB, log: o.Logger, shared: o.DB.Engine() != "sqlite",
		wake:     make(chan struct{}, 1),
		bodies:   newCache(o.CacheBytes),
		locks:    map[mail.QueueID]chan struct{}{},
		doubtful: map[mail.QueueID]*doubt{},
		orphans:  map[string]time.Time{},
		peers:    map[string]peer{},
	}
	s.space.free.Store(-1)
	s.win = window{size: o.Window, budget: 64 << 20}
	s.win.reset()
	return s, nil
}

// makeFolder makes the folder for bodies durable: a power loss must not take the name under which they are all found. The
// folders above are synced as far as this process may; they were most likely there before.
func makeFolder(fsys fsx.FS, dir string) error {
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	parent := path.Dir(path.Clean(dir))
	if err := fsys.SyncDir(parent); err != nil {
		return err
	}
	for parent != path.Dir(parent) {
		parent = path.Dir(parent)
		if fsys.SyncDir(parent) != nil {
			return nil
		}
	}
	return nil
}

func orInt(v, otherwise int) int {
	if v == 0 {
		return otherwise
	}
	return v
}

func orDuration(v, otherwise time.Duration) time.Duration {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Start registers this life of the node in the database and counts what an earlier one left. Calling it is optional and
// tells early that the database does not answer; it may be called again.
func (s *Spool) Start(ctx context.Context) error {
	if s.started.Load() {
		return nil
	}
	s.startMu.Lock()
	defer s.startMu.Unlock()
	if s.started.Load() {
		return nil
	}
	if err := s.join(ctx); err != nil {
		return err
	}
	recovered := 0
	if err := s.db.Read(ctx, func(tx *store.Tx) error { return tx.QueryRow(sqlOwnCount, s.o.Node).Scan(&recovered) }); err != nil {
		return fmt.Errorf("start spool: %w", err)
	}
	s.mu.Lock()
	s.recovered = recovered
	s.mu.Unlock()
	if recovered > 0 {
		s.log.Info("spool: messages found from before", "node", s.o.Node, "messages", recovered)
	}
	s.started.Store(true)
	return nil
}

// Wake returns a channel that hears when something may have become due. Signals are merged; a receiver calls Claim until
// it returns nothing, then sleeps until NextDue or Wake.
func (s *Spool) Wake() <-chan struct{} { return s.wake }

func (s *Spool) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// lock waits until nobody else changes one of the messages, and takes them all.
func (s *Spool) lock(ctx context.Context, ids ...mail.QueueID) error {
	for {
		s.mu.Lock()
		var wait chan struct{}
		for _, id := range ids {
			if wait = s.locks[id]; wait != nil {
				break
			}
		}
		if wait == nil {
			done := make(chan struct{})
			for _, id := range ids {
				s.locks[id] = done
			}
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unlock ends lock. Several ids must be those of one lock.
func (s *Spool) unlock(ids ...mail.QueueID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlockLocked(ids...)
}

// unlockLocked is unlock for those who hold s.mu.
func (s *Spool) unlockLocked(ids ...mail.QueueID) {
	if len(ids) == 0 {
		return
	}
	done := s.locks[ids[0]]
	for _, id := range ids {
		delete(s.locks, id)
		if e := s.win.byID[id]; e != nil && e.stale {
			s.staleLocked(e)
		}
	}
	if done != nil {
		close(done)
		s.signal() // Claim passes over what is locked
	}
}

// staleLocked makes sure that e is read again before it is used.
func (s *Spool) staleLocked(e *entry) {
	if _, locked := s.locks[e.id]; locked {
		e.stale = true
		return
	}
	e.stale = false
	s.win.setFull(e, nil)
	s.win.place(e, micros(s.o.Now()))
}

func (s *Spool) lockedLocked(id mail.QueueID) bool {
	_, locked := s.locks[id]
	return locked
}
