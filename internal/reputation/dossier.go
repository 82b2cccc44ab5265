package reputation

import (
	"context"
	"slices"
	"time"
)

// State is where a dossier stands. Text reputation.state.STATE.
//
//	open ----> mending ----> requested ----> clean ----> closed
//
// open: listed, nobody has done anything. mending: somebody has ticked a step or said so. requested: the list was asked for removal. clean: all lists
// of the operator have dropped the target; it may come from any of the three. closed: clean for QuietFor, or by a person. A new listing leads from clean, and from
// closed by a person, back to open. After QuietFor without a listing it opens another dossier, which names this one (Former, Later).
type State string

// The states.
const (
	Open      State = "open"
	Mending   State = "mending"
	Requested State = "requested"
	Clean     State = "clean"
	Closed    State = "closed"
)

// States returns the states in their order.
func States() []State { return []State{Open, Mending, Requested, Clean, Closed} }

// Dossier joins what is known of the listings of one target by one operator.
type Dossier struct {
	ID       string
	Target   string
	Kind     Kind
	Operator string // who runs the lists: "Spamhaus"
	List     string // the list with the most weight
	Customer string // whose domain; "" the gateway's
	Weight   int    // 1..5
	State    State
	Opened   time.Time     // first listing
	Changed  time.Time     // last act or event
	Listed   time.Time     // beginning of the listing that lasts or was last
	Clean    time.Time     // since when not listed; zero: it is
	Quiet    time.Duration // how much of that is covered by answers: the dossier closes at QuietFor
	Times    int           // how often it was listed, from 1
	Due      time.Time     // when somebody is reminded; zero: never
	Gathered time.Time     // when the evidence was; zero: not yet
	Causes   []Cause       // the likeliest first
	Former   string        // ID of the dossier of an earlier matter of the same target and operator, which was over; "" none. It leaves by age
	Later    string        // ID of that of the next one; "" none

	quietAt time.Time // up to when Quiet is counted
	look    time.Time // when the evidence is gathered; zero: not by itself

	// What follows is only in the answer of Watch.Dossier.
	Listings  []Listing // of this operator, the newest first, at most 50
	Evidence  Evidence
	Checklist []Step
	Delisting []Delisting // one for each list with an own way out
	Acts      []Act       // the newest first, at most 200; more with Watch.Acts
	Related   []Dossier   // others that are not closed: of the same target, or of addresses of the same network; at most 20
}

// ForCustomer is what a customer may see of a dossier about his own domain: of the traffic only his own, and no reason, note or other dossier that names others.
func (d Dossier) ForCustomer(customer string) Dossier {
	name := ""
	senders := []Sender{}
	for _, s := range d.Evidence.Senders.Senders {
		if s.Customer == customer {
			name = s.name()
			senders = append(senders, s)
		}
	}
	d.Evidence.Senders.Senders, d.Evidence.Senders.More, d.Evidence.Senders.Customers = senders, 0, len(senders)
	d.Evidence.Senders.All, d.Evidence.Senders.Usual = Tally{}, -1
	d.Evidence.Recent, d.Evidence.RecentKnown = Tally{}, false
	if len(senders) > 0 {
		d.Evidence.Senders.All, d.Evidence.Senders.Usual = senders[0].Tally, senders[0].Usual
	}
	d.Evidence.Neighbours.Own, d.Evidence.Neighbours.Others = nil, nil
	d.Evidence.Traps = slices.Clone(d.Evidence.Traps)
	for i := range d.Evidence.Traps {
		d.Evidence.Traps[i].QueueID = ""
	}
	causes := slices.Clone(d.Causes)
	for i, c := range causes {
		causes[i].Reasons = slices.DeleteFunc(slices.Clone(c.Reasons), func(r Reason) bool {
			who, names := r.Args["Name"]
			return names && (name == "" || who != name)
		})
	}
	d.Causes = causes
	d.Checklist = slices.DeleteFunc(slices.Clone(d.Checklist), func(s Step) bool { return s.Who == ByOperator && !s.Done })
	for i := range d.Checklist {
		d.Checklist[i].Note, d.Checklist[i].By = "", ""
	}
	d.Acts = slices.DeleteFunc(slices.Clone(d.Acts), func(a Act) bool { return a.Kind == Noted || a.Kind == Reminded })
	for i := range d.Acts {
		d.Acts[i].Actor = ""
		if d.Acts[i].Kind == MovedTo || d.Acts[i].Kind == Ticked || d.Acts[i].Kind == Unticked {
			d.Acts[i].Text = ""
		}
	}
	d.Related = slices.DeleteFunc(slices.Clone(d.Related), func(o Dossier) bool { return o.Customer != customer })
	return d
}

// ActKind is what was done. Text reputation.act.KIND.
type ActKind string

// The kinds of acts.
const (
	Opened      ActKind = "opened"
	Joined      ActKind = "joined"   // another list of the operator has the target
	Left        ActKind = "left"     // one of several lists dropped it
	Reopened    ActKind = "reopened" // listed again
	MovedTo     ActKind = "moved"    // Text = "FROM TO note": the state changed
	Ticked      ActKind = "ticked"   // Step
	Unticked    ActKind = "unticked" // Step
	Noted       ActKind = "noted"    // Text = the note
	Reminded    ActKind = "reminded"
	GatheredNow ActKind = "gathered" // the causes changed. Text = the likeliest before and now
)

// Act is one line of a dossier's history.
type Act struct {
	ID      string
	Dossier string
	At      time.Time
	Kind    ActKind
	Actor   string // ByRule, or a person: "operator:anna"
	Step    string // code of a step
	From    State  // of MovedTo
	To      State
	Text    string
}

// DossierQuery selects dossiers. Zero fields do not restrict.
type DossierQuery struct {
	States   []State
	Target   string
	Operator string
	Customer string
	Cursor   string
	Limit    int // 1..200, default 50
}

// DossierPage is one page of dossiers, those that changed last first.
type DossierPage struct {
	Dossiers []Dossier
	Next     string
}

// Dossiers returns dossiers, one page at a time.
func (w *Watch) Dossiers(ctx context.Context, q DossierQuery) (DossierPage, error) {
	return w.readDossiers(ctx, q)
}

// Dossier returns one with everything that belongs to it, for operators: it names customers and their figures. What one customer may see is Dossier.ForCustomer.
// Errors: ErrNotFound.
func (w *Watch) Dossier(ctx context.Context, id string) (Dossier, error) {
	return w.readDossier(ctx, id)
}

// Acts returns a dossier's history, the newest first, one page (limit 1..500, default 100) at a time.
func (w *Watch) Acts(ctx context.Context, id, cursor string, limit int) (acts []Act, next string, err error) {
	return w.readActs(ctx, id, cursor, limit)
}

// Open opens a dossier for an open listing that has none: of an address of a range, or of weight 0. by answers for it. It returns that which there
// is already, if so. Errors: ErrNotFound.
func (w *Watch) Open(ctx context.Context, listing, by string) (id string, err error) {
	return w.openByHand(ctx, listing, by)
}

// Note writes a note (1..4,000 bytes) into a dossier. Errors: ErrNotFound, ErrInvalid.
func (w *Watch) Note(ctx context.Context, id, by, text string) error {
	return w.note(ctx, id, by, text)
}

// Tick says that a step of the checklist is done, or that it is not after all. The first tick moves an open dossier to mending. Errors: ErrNotFound, ErrInvalid for
// a step that does not exist.
func (w *Watch) Tick(ctx context.Context, id, step string, done bool, by, note string) error {
	return w.tick(ctx, id, step, done, by, note)
}

// Moves returns the states that a person may move a dossier of a state to.
func Moves(from State) []State {
	switch from {
	case Open:
		return []State{Mending, Requested, Closed}
	case Mending:
		return []State{Open, Requested, Closed}
	case Requested:
		return []State{Mending, Closed}
	case Clean:
		return []State{Closed}
	case Closed:
		return []State{Open}
	}
	return nil
}

// Move changes a dossier's state. A person must say why he closes one whose target is still listed. Errors: ErrNotFound, ErrInvalid.
func (w *Watch) Move(ctx context.Context, id string, to State, by, note string) error {
	return w.move(ctx, id, to, by, note)
}

// Refresh has the evidence gathered anew, soon; it does not wait. Errors: ErrNotFound.
func (w *Watch) Refresh(ctx context.Context, id string) error { return w.refresh(ctx, id) }
