package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"postern/internal/dnsbl"
	"postern/internal/locale"
	"postern/internal/user"
)

// Blocklist is a blocklist in use and how it fares.
type Blocklist struct {
	Name      string     `json:"name"`
	Zone      string     `json:"zone" doc:"Where it is asked in DNS; a personal key shows as <key>"`
	Operator  string     `json:"operator"`
	State     string     `json:"state" enum:"usable,closed,unhealthy,unproven,refused,resting,budget" doc:"closed: no key or registration; unhealthy: its test points are wrong; unproven: known from hearsay only and no test point has proved it; refused: it refuses our name server; resting: it did not answer and is left alone; budget: the questions of the day are used up"`
	Why       string     `json:"why,omitempty" doc:"When it is not usable: why"`
	Weight    int        `json:"weight" minimum:"0" maximum:"5" doc:"How much a listing hurts; 0 is for display only"`
	Evidence  string     `json:"evidence" enum:"A,B,C" doc:"How well its facts are attested"`
	Takes     []string   `json:"takes" nullable:"false" doc:"ip4, ip6, domain"`
	Allow     bool       `json:"allow,omitempty" doc:"An allow list: being on it is good"`
	Asked     int        `json:"asked" doc:"Questions of this day (UTC)"`
	PerDay    int        `json:"per_day,omitempty" doc:"Questions that it may be asked in a day; absent: no bound"`
	PerSecond float64    `json:"per_second,omitempty" doc:"Questions that it may be asked in a second; absent: no bound"`
	Listed    uint64     `json:"listed" doc:"Answers since the start"`
	Clean     uint64     `json:"clean"`
	Unknown   uint64     `json:"unknown"`
	Refused   uint64     `json:"refused"`
	Checked   *time.Time `json:"checked,omitempty" doc:"When its test points were last measured"`
	URL       string     `json:"url,omitempty" doc:"Where a person sees a listing"`
}

// BlocklistRefusal is an operator of blocklists that refuses our name server.
type BlocklistRefusal struct {
	Operator string    `json:"operator"`
	Zones    []string  `json:"zones" nullable:"false"`
	Code     string    `json:"code,omitempty" doc:"The answer that meant the refusal; absent: the DNS response code REFUSED"`
	Text     string    `json:"text"`
	Resolver string    `json:"resolver,omitempty" doc:"The address that was refused, where the operator names it"`
	Since    time.Time `json:"since"`
	Remedy   string    `json:"remedy" doc:"What to do about it"`
}

// Blocklists are the blocklists in use, and who refuses us.
type Blocklists struct {
	Blocklists []Blocklist        `json:"blocklists" nullable:"false"`
	Refusals   []BlocklistRefusal `json:"refusals" nullable:"false"`
}

func (s *server) addBlocklists() {
	add(s, http.MethodGet, "/v1/blocklists", "list-blocklists", "How the blocklists in use fare", gateway(user.GatewayRead), s.listBlocklists)
}

func (s *server) listBlocklists(_ context.Context, in *InLanguage) (*body[Blocklists], error) {
	out := Blocklists{Blocklists: []Blocklist{}, Refusals: []BlocklistRefusal{}}
	if s.o.Blocklists == nil {
		return &body[Blocklists]{out}, nil
	}
	for _, z := range s.o.Blocklists.Zones() {
		l := z.List
		x := Blocklist{Name: l.Name, Zone: l.Zone, Operator: l.Operator, State: string(z.Standing()), Weight: l.Weight, Evidence: string(l.Evidence), Takes: []string{}, Allow: l.Allow,
			Asked: z.Asked, PerDay: z.Budget.PerDay, PerSecond: z.Budget.PerSecond, Listed: z.Answers.Listed, Clean: z.Answers.Clean, Unknown: z.Answers.Unknown, Refused: z.Answers.Refused, URL: l.LookupURL}
		if z.Why != nil {
			x.Why = strings.TrimPrefix(z.Why.Error(), l.Zone+": ")
		}
		if !z.Checked.IsZero() {
			x.Checked = &z.Checked
		}
		for _, k := range []struct {
			kind dnsbl.Kind
			word string
		}{{dnsbl.IP4, "ip4"}, {dnsbl.IP6, "ip6"}, {dnsbl.Domain, "domain"}} {
			if l.Kinds&k.kind != 0 {
				x.Takes = append(x.Takes, k.word)
			}
		}
		out.Blocklists = append(out.Blocklists, x)
	}
	for _, r := range s.o.Blocklists.Refusals() {
		x := BlocklistRefusal{Operator: r.Operator, Zones: r.Zones, Text: r.Text, Since: r.Since, Remedy: r.Out.EN}
		if in.Lang == locale.French {
			x.Remedy = r.Out.FR
		}
		if r.Code.IsValid() {
			x.Code = r.Code.String()
		}
		if r.Resolver.IsValid() {
			x.Resolver = r.Resolver.String()
		}
		out.Refusals = append(out.Refusals, x)
	}
	return &body[Blocklists]{out}, nil
}

// Blocklists returns how the blocklists in use fare.
func (c *Client) Blocklists(ctx context.Context, lang string) (Blocklists, error) {
	return get[Blocklists](ctx, c, "/v1/blocklists", values("lang", lang))
}
