package checkup

import (
	"errors"
	"time"

	"postern/internal/dnsbl"
	"postern/internal/locale"
)

// CheckJSON is a check-up for programs, with the texts of one language. Its names are stable; new ones may come. The command line and the API
// print it as it is.
type CheckJSON struct {
	Target   string        `json:"target" doc:"What was looked at, as written: a domain, an IP, a mail address"`
	Kind     Kind          `json:"kind" enum:"domain,ip,address"`
	At       time.Time     `json:"at"`
	TookMS   int64         `json:"took_ms" doc:"Milliseconds"`
	State    State         `json:"state" enum:"fine,advice,unknown,problem" doc:"The worst of what is not optional"`
	Score    Score         `json:"score"`
	Groups   []GroupJSON   `json:"groups" doc:"In the order in which to read and mend them; only those looked at"`
	Listings []ListingJSON `json:"listings" doc:"Every blocklist, also those that are clean, unknown or not in use"`
	SPF      *SPFTree      `json:"spf,omitempty" doc:"The SPF record with all that it includes"`
}

// GroupJSON is one group of a check-up.
type GroupJSON struct {
	Group    Group         `json:"group"`
	Name     string        `json:"name"`
	Why      string        `json:"why" doc:"Why it matters"`
	State    State         `json:"state"`
	Findings []FindingJSON `json:"findings"`
}

// FindingJSON is one finding.
type FindingJSON struct {
	Code     string         `json:"code" doc:"Stable: spf.missing"`
	State    State          `json:"state"`
	Subject  string         `json:"subject,omitempty" doc:"What of the group it is about: a selector, a name server, an address"`
	Optional bool           `json:"optional,omitempty" doc:"The target is well without it"`
	What     string         `json:"what" doc:"What is the case"`
	Do       string         `json:"do,omitempty" doc:"What to do"`
	Records  []RecordJSON   `json:"records,omitempty" doc:"To publish"`
	Evidence []QuestionJSON `json:"evidence,omitempty" doc:"What was asked, and what was found"`
}

// RecordJSON is a record to publish.
type RecordJSON struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	TTL     int      `json:"ttl" doc:"Seconds"`
	Value   string   `json:"value"`
	Replace []string `json:"replace,omitempty" doc:"Values of the same name and type that this one takes the place of"`
	Choice  int      `json:"choice,omitempty" doc:"Records of one finding with different numbers are ways to choose between"`
	Zone    string   `json:"zone" doc:"The same as a line of a zone file"`
}

// QuestionJSON is one question with its answer.
type QuestionJSON struct {
	Name   string   `json:"name"`
	Type   string   `json:"type" doc:"A DNS type; of other questions what was done: CONNECT, GET, a blocklist"`
	Server string   `json:"server,omitempty" doc:"The server that was asked, when it was not the resolver"`
	Status string   `json:"status" enum:"found,nothing,try later"`
	NoName bool     `json:"no_name,omitempty" doc:"With nothing: the name does not exist at all"`
	Values []string `json:"values,omitempty" doc:"As published: text of strangers"`
	Why    string   `json:"why,omitempty" doc:"With try later: what went wrong"`
}

// ListingJSON is the answer of one blocklist.
type ListingJSON struct {
	List    string      `json:"list"`
	Zone    string      `json:"zone" doc:"A key in it is not shown"`
	Target  string      `json:"target"`
	State   dnsbl.State `json:"state" enum:"listed,clean,unknown,disabled"`
	Weight  int         `json:"weight" doc:"0..5: how much a listing hurts delivery"`
	Allow   bool        `json:"allow,omitempty" doc:"An allow list: to be listed is good"`
	Codes   []string    `json:"codes,omitempty" doc:"The answers as they came"`
	Meaning []string    `json:"meaning,omitempty" doc:"What the list says they mean"`
	Reason  string      `json:"reason,omitempty" doc:"The list's own words: text of strangers"`
	Why     string      `json:"why,omitempty" doc:"With unknown and disabled"`
	Lookup  string      `json:"lookup_url,omitempty"`
	Delist  string      `json:"delist_url,omitempty"`
}

// JSON is the report with the texts of a language.
func (r CheckReport) JSON(c *locale.Catalog, lang string) CheckJSON {
	out := CheckJSON{Target: r.Target.String(), Kind: r.Target.Kind, At: r.At.UTC(), TookMS: r.Took.Milliseconds(), State: r.State(), Score: r.Score(),
		Groups: []GroupJSON{}, Listings: []ListingJSON{}, SPF: r.SPF}
	for _, g := range Groups() {
		found := r.Of(g)
		if len(found) == 0 {
			continue
		}
		group := GroupJSON{Group: g, State: r.StateOf(g)}
		group.Name, group.Why = GroupName(c, lang, g)
		for _, f := range found {
			group.Findings = append(group.Findings, f.json(c, lang))
		}
		out.Groups = append(out.Groups, group)
	}
	for _, l := range r.Listings {
		out.Listings = append(out.Listings, ListingOf(l, lang))
	}
	return out
}

func (f Finding) json(c *locale.Catalog, lang string) FindingJSON {
	words := Words(c, lang, f)
	out := FindingJSON{Code: f.Code, State: f.State, Subject: f.Subject, Optional: f.Optional, What: words.What, Do: words.Do}
	for _, r := range f.Records {
		out.Records = append(out.Records, RecordJSON{Name: r.Name, Type: r.Type, TTL: r.TTL, Value: r.Value, Replace: r.Replace, Choice: r.Choice, Zone: r.Zone()})
	}
	for _, q := range f.Evidence {
		out.Evidence = append(out.Evidence, QuestionJSON(q))
	}
	return out
}

// ListingOf is the answer of a blocklist for programs, in a language.
func ListingOf(l dnsbl.Listing, lang string) ListingJSON {
	out := ListingJSON{Target: l.Target, State: l.State, Reason: l.Reason}
	if l.List != nil {
		out.List, out.Zone, out.Weight, out.Allow, out.Lookup, out.Delist = l.List.Name, l.List.Zone, l.List.Weight, l.List.Allow, l.List.LookupURL, l.List.DelistURL
	}
	for _, a := range l.Codes {
		out.Codes = append(out.Codes, a.String())
	}
	for _, m := range l.Matched {
		out.Meaning = append(out.Meaning, meaning(m.Meaning, lang))
	}
	if l.Err != nil {
		out.Why = listingReason(l.Err)
	}
	return out
}

func meaning(t dnsbl.Text, lang string) string {
	if lang == "fr" && t.FR != "" {
		return t.FR
	}
	return t.EN
}

// listingReason is why a list gave no answer.
func listingReason(err error) string {
	for _, known := range []error{dnsbl.ErrDead, dnsbl.ErrKey, dnsbl.ErrRegistration, dnsbl.ErrRefused, dnsbl.ErrPaused, dnsbl.ErrUndocumented, dnsbl.ErrTarget} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return reason(err)
}
