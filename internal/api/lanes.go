package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"postern/internal/locale"
	"postern/internal/shaping"
)

// Lane is the queue towards one provider from one egress address.
type Lane struct {
	Lane        string     `json:"lane" doc:"Name: the provider's, or the exchangers of a receiver nobody knows (mx:…), and the egress address; * for what is in force on all lanes of an address"`
	Provider    string     `json:"provider" doc:"The provider, for people"`
	Egress      string     `json:"egress,omitempty" doc:"Address mail leaves from; absent: whichever the system chooses"`
	Waiting     int        `json:"waiting" doc:"Messages in memory that wait for their turn"`
	Busy        int        `json:"busy" doc:"Messages being sent"`
	Connections int        `json:"connections" doc:"Open or being opened"`
	Limit       int        `json:"limit" doc:"Connections allowed now"`
	Rate        float64    `json:"rate,omitempty" doc:"Messages a minute allowed now; absent: no limit"`
	Sent        int        `json:"sent" doc:"Messages taken by the provider in the last minute"`
	Today       int        `json:"today" doc:"Messages taken by the provider today"`
	Customers   int        `json:"customers" doc:"Customers with mail waiting"`
	InForce     []Reaction `json:"in_force,omitempty" doc:"What is in force, the newest first"`
}

// Reaction is something in force on a lane.
type Reaction struct {
	ID          string    `json:"id"`
	Lane        string    `json:"lane"`
	Kind        string    `json:"kind" enum:"pause,slow,watch,governor,unreachable,operator" doc:"pause: nothing leaves. slow: slower, fewer connections. watch: a provider with the same filter blocks us. governor: too many unknown recipients. unreachable: nobody answers. operator: a person paused it"`
	Text        string    `json:"text" doc:"The reason, in English"`
	Rule        string    `json:"rule,omitempty" doc:"Rule about answers that asked for it"`
	Evidence    string    `json:"evidence,omitempty" doc:"The answer that caused it"`
	Started     time.Time `json:"started"`
	Ends        time.Time `json:"ends"`
	Factor      float64   `json:"factor,omitempty" doc:"The rate is multiplied by it"`
	Connections int       `json:"connections,omitempty" doc:"Connections at most"`
	Probe       bool      `json:"probe,omitempty" doc:"One message goes first when it ends"`
	BulkOnly    bool      `json:"bulk_only,omitempty" doc:"Transactional mail goes on"`
	By          string    `json:"by"`
	Customer    string    `json:"customer,omitempty" doc:"It stops this customer's mail alone"`
	Scope       string    `json:"scope,omitempty" enum:"sender,stream,route" doc:"What it stops when that is less than the lane, or the customer's mail on it. sender: mail in the name of the domain in target. stream: mail sent with the login in target. route: mail to the exchangers in target"`
	Target      string    `json:"target,omitempty" doc:"What the scope is about"`
	Ended       time.Time `json:"ended,omitzero" doc:"When it ended; absent: it is in force"`
	EndedBy     string    `json:"ended_by,omitempty" doc:"time, probe, answer, rule, or operator:NAME"`
	EndedText   string    `json:"ended_text,omitempty" doc:"The same in English"`
}

// Lanes are the lanes that have work or something in force.
type Lanes struct {
	Lanes []Lane `json:"lanes" nullable:"false"`
}

// Reactions are what is in force on all lanes.
type Reactions struct {
	Reactions []Reaction `json:"reactions" nullable:"false"`
}

// Pools are the addresses mail leaves from, by the class of mail.
type Pools struct {
	Pools []Pool `json:"pools" nullable:"false"`
}

// What is told of pools.
type (
	Pool        = shaping.PoolInfo
	PoolAddress = shaping.EgressInfo
	WarmUp      = shaping.WarmUpInfo
	Floor       = shaping.FloorInfo
)

// PauseRequest stops a lane.
type PauseRequest struct {
	Lane   string    `json:"lane" minLength:"1" maxLength:"400" doc:"Name of the lane, as the list says; it need not have mail now. A provider's name alone stands for all addresses; * and an address for all lanes of that address, also those to come; * alone for all lanes of all addresses"`
	Until  time.Time `json:"until" doc:"Nothing leaves until then"`
	Reason string    `json:"reason,omitempty" maxLength:"200"`
}

// standsStill reports whether nothing leaves on a lane.
func standsStill(all []shaping.Reaction) bool {
	for _, r := range all {
		if r.Customer != "" || r.Scope != shaping.WholeLane {
			continue // others go on
		}
		switch r.Kind {
		case shaping.Pause, shaping.Unreachable, shaping.Governor, shaping.Operator:
			return true
		}
	}
	return false
}

// Why tells people why something waits. Without words for it, it is the code and its arguments.
func Why(c *locale.Catalog, language string, w shaping.Why) string {
	if c == nil || !c.Has(w.Key()) {
		return strings.TrimSpace(strings.Join(append([]string{w.Code}, w.Args...), " "))
	}
	key := w.Key()
	if w.Code == "operator" && w.Values()["Reason"] == "" {
		key = "notice.wait.operator" // without a reason
	}
	return c.Text(language, key, w.Values())
}

func (s *server) why(w shaping.Why) string { return Why(s.o.Catalog, locale.English, w) }

func (s *server) reaction(r shaping.Reaction) Reaction {
	out := Reaction{ID: r.ID, Lane: r.Lane.String(), Kind: string(r.Kind), Text: s.why(r.Why), Rule: r.Rule, Evidence: r.Evidence, Started: r.Started, Ends: r.Ends, Factor: r.Factor,
		Connections: r.Connections, Probe: r.Probe, BulkOnly: r.BulkOnly, By: r.By, Customer: r.Customer, Scope: string(r.Scope), Target: r.Target}
	if !r.Ended.IsZero() {
		out.Ended, out.EndedBy, out.EndedText = r.Ended, r.EndedBy, s.endedBy(r.EndedBy)
	}
	return out
}

// endedBy tells people how a reaction ended.
func (s *server) endedBy(by string) string {
	name, lifted := strings.CutPrefix(by, "operator:")
	key := "shaping.ended." + by
	if lifted {
		key = "shaping.ended.operator"
	}
	if s.o.Catalog == nil || !s.o.Catalog.Has(key) {
		return by
	}
	text := s.o.Catalog.Text(locale.English, key, nil)
	if lifted {
		text += " " + name
	}
	return text
}

func (s *server) lane(l shaping.LaneInfo) Lane {
	out := Lane{Lane: l.Lane, Provider: l.Provider, Egress: l.Egress, Waiting: l.Waiting, Busy: l.Busy, Connections: l.Connections, Limit: l.Limit, Rate: l.Rate, Sent: l.Sent,
		Today: l.Today, Customers: l.Customers}
	for _, r := range l.InForce {
		out.InForce = append(out.InForce, s.reaction(r))
	}
	return out
}

func (s *server) lanes(context.Context, *none) (*body[Lanes], error) {
	out := Lanes{Lanes: []Lane{}}
	for _, l := range s.o.Delivery.Lanes() {
		out.Lanes = append(out.Lanes, s.lane(l))
	}
	return &body[Lanes]{out}, nil
}

func (s *server) reactions(context.Context, *none) (*body[Reactions], error) {
	out := Reactions{Reactions: []Reaction{}}
	for _, r := range s.o.Delivery.InForce() {
		out.Reactions = append(out.Reactions, s.reaction(r))
	}
	return &body[Reactions]{out}, nil
}

func (s *server) history(ctx context.Context, in *struct {
	Lane  string `query:"lane" maxLength:"400" doc:"A lane's name, or a provider's for all its lanes; absent: all"`
	Limit int    `query:"limit" minimum:"1" maximum:"10000" default:"100"`
}) (*body[Reactions], error) {
	all, err := s.o.Delivery.History(ctx, in.Lane, in.Limit)
	if err != nil {
		return nil, s.fail(err)
	}
	out := Reactions{Reactions: make([]Reaction, 0, len(all))}
	for _, r := range all {
		out.Reactions = append(out.Reactions, s.reaction(r))
	}
	return &body[Reactions]{out}, nil
}

func (s *server) pools(context.Context, *none) (*body[Pools], error) {
	return &body[Pools]{Pools{append([]Pool{}, s.o.Delivery.Pools()...)}}, nil
}

func (s *server) pauseLane(ctx context.Context, in *bodyOf[PauseRequest]) (*body[Reactions], error) {
	if !in.Body.Until.After(s.o.Now()) {
		return nil, problem(http.StatusUnprocessableEntity, "invalid", "the pause would already be over; give a time that is to come")
	}
	key, err := shaping.ParseKey(in.Body.Lane)
	if err != nil {
		return nil, invalid("this is no lane: %v; the list of lanes has their names", err)
	}
	about(ctx, in.Body.Lane, in.Body.Reason)
	made, err := s.o.Delivery.PauseLane(ctx, key, in.Body.Until, in.Body.Reason, actor(ctx))
	if err != nil {
		return nil, s.fail(err)
	}
	out := Reactions{Reactions: make([]Reaction, 0, len(made))}
	for _, r := range made {
		out.Reactions = append(out.Reactions, s.reaction(r))
	}
	return &body[Reactions]{out}, nil
}

func (s *server) liftReaction(ctx context.Context, in *struct {
	ID string `path:"id" doc:"Id of the reaction"`
}) (*body[Done], error) {
	r, err := s.o.Delivery.Lift(ctx, in.ID, actor(ctx))
	if errors.Is(err, shaping.ErrNotFound) {
		return nil, problem(http.StatusNotFound, "not-found", "nothing with this id is in force; the list of reactions tells what is")
	}
	if err != nil {
		return nil, s.fail(err)
	}
	return done("%s lifted: %s may send again", r.Kind, r.Lane), nil
}

// LaneRequest names a lane.
type LaneRequest struct {
	Lane string `json:"lane" minLength:"1" maxLength:"400" doc:"Name of the lane, as the list says"`
}

func (s *server) retryLane(ctx context.Context, in *bodyOf[LaneRequest]) (*body[Done], error) {
	about(ctx, in.Body.Lane, "")
	key, err := shaping.ParseKey(in.Body.Lane)
	if err != nil {
		return nil, invalid("this is no lane: %v; the list of lanes has their names", err)
	}
	n, err := s.o.Delivery.BringForward(ctx, key, actor(ctx))
	if err != nil {
		return nil, s.fail(err)
	}
	out := done("%d recipients come forward on lane %s within a minute", n, key)
	out.Body.Count = n
	return out, nil
}
