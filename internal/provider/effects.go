package provider

import (
	"strconv"
	"strings"
	"time"
)

// Effect is one thing that follows from an answer, for people: the text is locale's key "provider.effect." + Code with these arguments. Times are
// written as "30 min" or "2 h", the same in every language.
type Effect struct {
	Code string
	Args map[string]string
}

// Effects says in their order what follows from an answer of that code; code 0 stands for any.
func (m Meaning) Effects(code int) []Effect {
	var out []Effect
	add := func(code string, args ...string) {
		e := Effect{Code: code, Args: map[string]string{}}
		for i := 0; i < len(args); i += 2 {
			e.Args[args[i]] = args[i+1]
		}
		out = append(out, e)
	}
	switch {
	case m.Fate == Later:
		add("later")
	case m.Fate == Final:
		add("final")
	case code == 0:
		add("as_code")
	case m.Temporary(code):
		add("deferred")
	case code >= 400:
		add("bounced")
	}
	d := m.Do
	if d.Schedule != nil {
		add("schedule", "Every", times(d.Schedule.Every))
		if d.Schedule.For > 0 {
			out[len(out)-1] = Effect{"schedule_for", map[string]string{"Every": times(d.Schedule.Every), "For": times([]time.Duration{d.Schedule.For})}}
		}
	}
	if d.IPv4 {
		add("ipv4")
	}
	if d.After > 1 {
		add("after", "Number", strconv.Itoa(d.After), "Within", times([]time.Duration{d.Within}))
	}
	if d.Pause > 0 {
		code := "pause"
		if d.BulkOnly {
			code = "pause_bulk"
		}
		add(code, "Time", times([]time.Duration{d.Pause}))
	}
	if d.Probe {
		add("probe")
	}
	if d.Slow > 0 && d.Slow < 1 {
		add("slow", "Percent", strconv.Itoa(int(d.Slow*100+0.5)), "For", times([]time.Duration{d.For}))
	}
	if d.Connections > 0 {
		add("connections", "Number", strconv.Itoa(d.Connections), "For", times([]time.Duration{d.For}))
	}
	if d.Reconnect {
		add("reconnect")
	}
	if d.Watch {
		add("watch")
	}
	if d.Alarm {
		add("alarm")
	}
	if m.Permanent {
		add("permanent")
	}
	return out
}

// times writes times as people read them: "15 min, 30 min, 2 h".
func times(all []time.Duration) string {
	words := make([]string, len(all))
	for i, d := range all {
		switch {
		case d%time.Hour == 0:
			words[i] = strconv.Itoa(int(d/time.Hour)) + " h"
		case d%time.Minute == 0:
			words[i] = strconv.Itoa(int(d/time.Minute)) + " min"
		default:
			words[i] = strconv.Itoa(int(d/time.Second)) + " s"
		}
	}
	return strings.Join(words, ", ")
}

// String writes a schedule: "15 min, 4 h; for 48 h". "" stands for the configured one.
func (r Retry) String() string {
	if len(r.Every) == 0 {
		return ""
	}
	s := times(r.Every)
	if r.For > 0 {
		s += "; " + times([]time.Duration{r.For})
	}
	return s
}
