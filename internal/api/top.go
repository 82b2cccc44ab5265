package api

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Top is the queue at one moment: lanes and customers, those with the most mail first.
type Top struct {
	At         time.Time        `json:"at"`
	Queue      Queue            `json:"queue"`
	Oldest     time.Time        `json:"oldest,omitzero" doc:"Arrival of the oldest message that waits for delivery"`
	LastMinute map[string]int64 `json:"last_minute" doc:"Facts of the last minute by kind"`
	Alarms     int              `json:"alarms" doc:"Alarms that stand"`
	Lanes      []TopLane        `json:"lanes" nullable:"false"`
	Customers  []TopCustomer    `json:"customers" nullable:"false"`
}

// TopLane is a lane with what waits for it in the spool.
type TopLane struct {
	Lane
	Parked   int       `json:"parked" doc:"Recipients that wait for their turn in the spool"`
	OldestAt time.Time `json:"oldest,omitzero" doc:"Arrival of the oldest of them"`
	NextAt   time.Time `json:"next,omitzero" doc:"When the first of them comes forward"`
	Stands   bool      `json:"stands,omitempty" doc:"Nothing leaves now"`
	Until    time.Time `json:"until,omitzero" doc:"Until then at the latest"`
	Because  string    `json:"because,omitempty" doc:"Why it stands or is slow, in English"`
}

// TopCustomer is a customer's queued mail.
type TopCustomer struct {
	ID     string    `json:"id,omitempty" doc:"absent: the gateway's own mail"`
	Name   string    `json:"name"`
	Queued int       `json:"queued" doc:"Messages"`
	Parked int       `json:"parked" doc:"Recipients that wait for their turn in a lane"`
	Oldest time.Time `json:"oldest,omitzero"`
	Lanes  int       `json:"lanes" doc:"Lanes that they wait for"`
}

// mostTop bounds each of the two lists.
const mostTop = 200

func (s *server) top(ctx context.Context, _ *none) (*body[Top], error) {
	st, err := s.o.Spool.Stats(ctx)
	if err != nil {
		return nil, s.fail(err)
	}
	backlogs, err := s.o.Spool.Backlogs(ctx)
	if err != nil {
		return nil, s.fail(err)
	}
	accounts, err := s.o.Spool.Accounts(ctx)
	if err != nil {
		return nil, s.fail(err)
	}
	now := s.o.Now()
	counts, err := s.o.Journal.Counts(ctx, now.Add(-time.Minute))
	if err != nil {
		return nil, s.fail(err)
	}
	out := Top{At: now, Queue: queueOf(st), Oldest: st.Oldest, LastMinute: map[string]int64{}, Lanes: []TopLane{}, Customers: []TopCustomer{}}
	for kind, n := range counts {
		out.LastMinute[string(kind)] = n
	}
	if s.o.Alarms != nil {
		out.Alarms = len(s.o.Alarms.Raised())
	}
	lanes := map[string]*TopLane{}
	for _, l := range s.o.Delivery.Lanes() {
		x := &TopLane{Lane: s.lane(l)}
		x.Stands = standsStill(l.InForce)
		if len(x.InForce) > 0 && x.InForce[0].Scope == "" { // what concerns the whole lane stands first
			x.Until, x.Because = x.InForce[0].Ends, x.InForce[0].Text
		}
		lanes[x.Lane.Lane] = x
	}
	customers := map[string]*TopCustomer{}
	for _, x := range accounts {
		if x.Queued > 0 {
			customers[x.Customer] = &TopCustomer{ID: x.Customer, Name: s.nameOf(x.Customer), Queued: x.Queued, Oldest: x.Oldest}
		}
	}
	for _, b := range backlogs {
		if b.Lane == "" {
			continue
		}
		l := lanes[b.Lane]
		if l == nil {
			l = &TopLane{Lane: Lane{Lane: b.Lane}}
			lanes[b.Lane] = l
		}
		l.Parked += b.Recipients
		l.OldestAt, l.NextAt = earlier(l.OldestAt, b.Oldest), earlier(l.NextAt, b.Next)
		if c := customers[b.Customer]; c != nil {
			c.Parked += b.Recipients
			c.Lanes++
		}
	}
	for _, l := range lanes {
		out.Lanes = append(out.Lanes, *l)
	}
	for _, c := range customers {
		out.Customers = append(out.Customers, *c)
	}
	slices.SortFunc(out.Lanes, func(a, b TopLane) int {
		return cmp.Or(cmp.Compare(b.Waiting+b.Parked, a.Waiting+a.Parked), cmp.Compare(b.Sent, a.Sent), cmp.Compare(a.Lane.Lane, b.Lane.Lane))
	})
	slices.SortFunc(out.Customers, func(a, b TopCustomer) int { return cmp.Or(cmp.Compare(b.Queued, a.Queued), cmp.Compare(a.ID, b.ID)) })
	out.Lanes, out.Customers = out.Lanes[:min(len(out.Lanes), mostTop)], out.Customers[:min(len(out.Customers), mostTop)]
	return &body[Top]{out}, nil
}

// nameOf is what people call a customer.
func (s *server) nameOf(id string) string {
	if id == "" {
		return "the gateway itself"
	}
	c, _ := s.o.Accounts.Customer(id)
	return cmp.Or(c.Name, id)
}

// earlier is the earlier of two moments, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Top returns lanes and customers with mail waiting, the most first.
func (c *Client) Top(ctx context.Context) (Top, error) {
	return get[Top](ctx, c, "/v1/top", nil)
}
