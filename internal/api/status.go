package api

import (
	"context"
	"net/http"
	"time"

	"postern/internal/spool"
	"postern/internal/user"
)

// Status is how the gateway is.
type Status struct {
	Version    string           `json:"version"`
	Started    time.Time        `json:"started"`
	Customers  int              `json:"customers"`
	Queue      Queue            `json:"queue"`
	Lanes      int              `json:"lanes" doc:"Lanes (a provider from one of our addresses) that have work or something in force"`
	LanesDown  int              `json:"lanes_down" doc:"Lanes on which nothing leaves now"`
	LastDay    map[string]int64 `json:"last_day" doc:"Facts of the last 24 hours by kind"`
	Refusals   []Refusal        `json:"refusals" nullable:"false" doc:"Blocklists that refuse our name server: their tests are not measured"`
	OldestMail time.Time        `json:"oldest,omitzero" doc:"Arrival of the oldest message that waits for delivery"`
	OldestHeld time.Time        `json:"oldest_held,omitzero" doc:"Arrival of the oldest held message"`
}

// Queue counts the spool.
type Queue struct {
	Queued    int   `json:"queued" doc:"Messages that wait for an attempt or are in one"`
	Claimed   int   `json:"claimed" doc:"Messages in an attempt or in memory for one"`
	Held      int   `json:"held" doc:"Messages that wait for a person"`
	Bytes     int64 `json:"bytes" doc:"Bodies of all messages"`
	HeldBytes int64 `json:"held_bytes"`
	Silent    int   `json:"silent" doc:"Messages without a next event: must be 0"`
	Recovered int   `json:"recovered" doc:"Messages that an earlier life of the process had left"`
	Damaged   int64 `json:"damaged" doc:"Bodies that were not what was accepted"`
	Full      bool  `json:"full" doc:"No mail is taken, because the disk is nearly full"`
	FreeBytes int64 `json:"free_bytes" doc:"Free space; -1 unknown"`
}

func queueOf(st spool.Stats) Queue {
	return Queue{Queued: st.Queued, Claimed: st.Claimed, Held: st.Held, Bytes: st.Bytes, HeldBytes: st.HeldBytes, Silent: st.Silent,
		Recovered: st.Recovered, Damaged: st.Damaged, Full: st.Full, FreeBytes: st.Free}
}

// Refusal is a blocklist that refuses our name server.
type Refusal struct {
	Zone  string    `json:"zone"`
	Code  string    `json:"code"`
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
}

// addGateway registers what concerns the gateway as a whole.
func (s *server) addGateway() {
	get, post := http.MethodGet, http.MethodPost
	read, act := gateway(user.GatewayRead), gateway(user.GatewayOperate)
	add(s, get, "/v1/status", "status", "How the gateway is", read, s.status)
	add(s, get, "/v1/top", "queue-top", "Lanes and customers with mail waiting, the most first", read, s.top)
	add(s, get, "/v1/lanes", "list-lanes", "Lanes that have work or something in force", read, s.lanes)
	add(s, post, "/v1/lanes/pause", "pause-lane", "Let nothing leave on a lane for a while", act.as("lane.pause"), s.pauseLane)
	add(s, post, "/v1/lanes/retry", "retry-lane", "Bring forward what waits for a lane, within a minute", act.as("lane.retry").anew(), s.retryLane)
	add(s, get, "/v1/reactions", "list-reactions", "What is in force on the lanes", read, s.reactions)
	add(s, get, "/v1/reactions/history", "reaction-history", "What was in force in the last 30 days and has ended", read, s.history)
	add(s, post, "/v1/reactions/{id}/lift", "lift-reaction", "End what is in force now", act.as("lane.lift").anew(), s.liftReaction)
	add(s, get, "/v1/pools", "list-pools", "Pools of addresses, warm-ups and floors", read, s.pools)
	add(s, get, "/v1/addresses", "list-addresses", "Addresses that mail leaves from, and what DNS says of them", read, s.addresses)
	add(s, get, "/v1/configuration", "show-configuration", "Every value in force and where it comes from, without secrets", read, s.configuration)
	add(s, post, "/v1/reload", "reload", "Read the configuration again", act.as("configuration.reload").anew(), s.reload)
}

func (s *server) status(ctx context.Context, _ *none) (*body[Status], error) {
	st, err := s.o.Spool.Stats(ctx)
	if err != nil {
		return nil, s.fail(err)
	}
	now := s.o.Now()
	counts, err := s.o.Journal.Counts(ctx, now.Add(-24*time.Hour))
	if err != nil {
		return nil, s.fail(err)
	}
	out := Status{Version: s.o.Version, Started: s.started, Customers: len(s.o.Accounts.Customers()), LastDay: map[string]int64{}, Refusals: []Refusal{},
		OldestMail: st.Oldest, OldestHeld: st.OldestHeld,
		Queue: queueOf(st)}
	for kind, n := range counts {
		out.LastDay[string(kind)] = n
	}
	for _, l := range s.o.Delivery.Lanes() {
		out.Lanes++
		if standsStill(l.InForce) {
			out.LanesDown++
		}
	}
	if s.o.Filter != nil {
		for _, r := range s.o.Filter.Refusals() {
			code := "REFUSED"
			if r.Code.IsValid() {
				code = r.Code.String()
			}
			out.Refusals = append(out.Refusals, Refusal{r.Zone, code, r.Text, r.Since})
		}
	}
	return &body[Status]{out}, nil
}

func (s *server) reload(ctx context.Context, _ *none) (*body[Done], error) {
	if s.o.Reload == nil {
		return nil, problem(http.StatusConflict, "no-reload", "this gateway was started without a configuration file; start it with -c FILE")
	}
	if err := s.o.Reload(); err != nil {
		return nil, problem(http.StatusUnprocessableEntity, "refused", "the configuration was refused, the running one stays: %v", err)
	}
	s.o.Logger.Info("configuration reloaded on request", "actor", actor(ctx))
	return done("the configuration was read again; the log names what changed and what needs a restart"), nil
}

// Setting is one value of the configuration in force.
type Setting struct {
	Key     string `json:"key" doc:"Dotted path: delivery.retry"`
	Value   string `json:"value" doc:"YAML on one line; of a secret: set or not set"`
	Origin  string `json:"origin,omitempty" doc:"FILE:LINE; absent: the default"`
	Default string `json:"default,omitempty"`
	Doc     string `json:"doc,omitempty"`
	Restart bool   `json:"restart,omitempty" doc:"A change takes effect at the next start only"`
	Secret  bool   `json:"secret,omitempty"`
}

// Settings are the configuration in force.
type Settings struct {
	Settings []Setting `json:"settings" nullable:"false"`
}

func (s *server) configuration(context.Context, *none) (*body[Settings], error) {
	out := Settings{Settings: []Setting{}}
	if s.o.Settings != nil {
		out.Settings = append(out.Settings, s.o.Settings()...)
	}
	return &body[Settings]{out}, nil
}
