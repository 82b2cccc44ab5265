package portal

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"postern/internal/alarm"
	"postern/internal/locale"
	"postern/internal/user"
)

// alarmRoutes are the page of what the operator must know now.
func (s *site) alarmRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/o/alarms", access: gateway(user.GatewayRead), do: s.opAlarms},
		{method: http.MethodPost, path: "/o/alarms/test", access: gateway(user.GatewayOperate), act: "alarm.test", do: s.opTestHooks},
	}
}

// opAlarm is an alarm that stands.
type opAlarm struct {
	Title    string
	Lines    []block // what it means and what to do
	Level    string  // critical, warning
	Word     string
	Since    opMoment
	Links    []opLink
	Critical bool
}

// opHook is how a webhook for alarms fares.
type opHook struct{ Name, Waiting, Taken, Dropped, Last string }

// opAlarmLine is a line of the history of alarms.
type opAlarmLine struct {
	Title, Level, Word string
	Raised             opMoment
	Ended              *opMoment // nil: it stands, or Once
	Once               bool
	Told               []string
	Again              string
}

// alarmLines is how many lines of the history a page shows.
const alarmLines = 50

type opAlarmPage struct {
	page
	Alarms []opAlarm
	Hooks  []opHook
	Test   *button

	Later  bool // a page of the history after the first: it alone is shown
	Action string
	Code   field
	Lines  []opAlarmLine
	Pager  pager
}

// opAlarms shows what stands.
func (s *site) opAlarms(v *visit) {
	const most = 200
	p := v.page
	d := opAlarmPage{page: p}
	d.Title = p.T("alarms.title")
	if s.o.Alarms == nil {
		v.show(http.StatusOK, "op-alarms.html", d)
		return
	}
	all := s.o.Alarms.Raised()
	slices.SortStableFunc(all, func(a, b alarm.Alarm) int { // what is critical first, then the oldest
		switch {
		case a.Severity == b.Severity:
			return 0
		case a.Severity == alarm.Critical:
			return -1
		}
		return 1
	})
	for _, x := range all[:min(len(all), most)] {
		a := opAlarm{Title: clean(s.o.Alarms.Title(p.Lang, x), 300), Level: "slow", Word: p.T("alarms.warning"), Since: p.opWhen(x.Since), Critical: x.Severity == alarm.Critical}
		if a.Critical {
			a.Level, a.Word = "bad", p.T("alarms.critical")
		}
		for _, line := range strings.Split(s.o.Alarms.Text(p.Lang, x), "\n") {
			if line = clean(line, 2000); line != "" {
				a.Lines = append(a.Lines, block{Spans: []span{{Text: line}}})
			}
		}
		a.Links = p.opAlarmLinks(x)
		d.Alarms = append(d.Alarms, a)
	}
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	for _, h := range s.o.Alarms.Hooks() {
		d.Hooks = append(d.Hooks, opHook{clean(h.Name, 100), number(h.Waiting), number(h.Taken), number(h.Dropped), clean(h.Last, 300)})
	}
	if len(d.Hooks) > 0 && v.who.May(user.GatewayOperate, "") {
		d.Test = &button{URL: p.URL("/o/alarms/test"), Label: p.T("alarms.test"), Class: "second", Hint: p.T("alarms.test.hint")}
	}
	if err := s.alarmHistory(v, &d); err != nil {
		v.broken("history of alarms not read", err)
		return
	}
	v.show(http.StatusOK, "op-alarms.html", d)
}

// alarmHistory adds what was told, a page at a time, of all codes or one.
func (s *site) alarmHistory(v *visit, d *opAlarmPage) error {
	const here = "/o/alarms"
	p, q := v.page, v.r.URL.Query()
	code, before := clean(q.Get("code"), 64), clean(q.Get("before"), 30)
	d.Action, d.Later = p.URL(here), before != ""
	d.Code = field{Name: "code", Label: p.T("alarms.history.code"), Type: "select", Options: []option{{"", p.T("alarms.history.all"), code == ""}}}
	for _, c := range s.o.Alarms.Codes() {
		d.Code.Options = append(d.Code.Options, option{c, p.T("alarms.code." + c), c == code})
	}
	slices.SortStableFunc(d.Code.Options[1:], func(a, b option) int { return strings.Compare(a.Label, b.Label) })
	lines, next, err := s.o.Alarms.History(v.r.Context(), alarm.HistoryQuery{Code: code, Before: before, Limit: alarmLines})
	if err != nil {
		return err
	}
	for _, l := range lines {
		x := opAlarmLine{Title: clean(s.o.Alarms.Title(p.Lang, l.Alarm), 300), Level: "slow", Word: p.T("alarms.warning"), Raised: p.opWhen(l.Since), Once: l.Once}
		if l.Severity == alarm.Critical {
			x.Level, x.Word = "bad", p.T("alarms.critical")
		}
		if !l.Cleared.IsZero() {
			ended := p.opWhen(l.Cleared)
			x.Ended = &ended
		}
		if l.Again > 0 {
			x.Again = p.T("alarms.history.again", "Count", l.Again)
		}
		for _, who := range l.Told {
			way, name, _ := strings.Cut(who, ":")
			if way == "webhook" {
				name = p.T("alarms.history.hook", "Name", name)
			}
			if name = clean(name, 300); name != "" {
				x.Told = append(x.Told, name)
			}
		}
		d.Lines = append(d.Lines, x)
	}
	if next != "" {
		d.Pager.Next = p.URL(here, "code", code, "before", next)
	}
	if before != "" {
		d.Pager.First = p.URL(here, "code", code)
	}
	return nil
}

// opAlarmLinks lead to where an alarm is seen to.
func (p page) opAlarmLinks(x alarm.Alarm) []opLink {
	kind, about, _ := strings.Cut(x.Key, " ")
	switch {
	case kind == "queue.lane" && about != "":
		return []opLink{{p.T("alarms.see.lane"), p.URL(opLanePath(about))}, {p.T("alarms.see.queue"), p.URL("/o/queue", "lane", about)}}
	case kind == "queue.customer" && about != "":
		return []opLink{{p.T("alarms.see.customer"), p.URL("/o/customers/" + strings.ReplaceAll(about, "/", ""))}, {p.T("alarms.see.queue"), p.URL("/o/queue", "customer", about)}}
	case strings.HasPrefix(kind, "queue."):
		return []opLink{{p.T("alarms.see.queue"), p.URL("/o/queue/top")}}
	case kind == "reputation" && strings.Contains(about, " "):
		target, _, _ := strings.Cut(about, " ")
		return []opLink{{p.T("alarms.see.listing"), p.URL("/o/reputation/target/" + url.PathEscape(target))}, {p.T("menu.dossiers"), p.URL("/o/dossiers", "target", target)}}
	case kind == "reputation":
		return []opLink{{p.T("menu.reputation"), p.URL("/o/reputation")}}
	case strings.HasPrefix(kind, "reports.") && about != "":
		return []opLink{{p.T("alarms.see.reports"), p.URL("/o/reports/" + url.PathEscape(about))}}
	case strings.HasPrefix(kind, "reports."):
		return []opLink{{p.T("menu.reports"), p.URL("/o/reports")}}
	case strings.HasPrefix(kind, "snds."):
		return []opLink{{p.T("menu.snds"), p.URL("/o/snds")}}
	case strings.HasPrefix(kind, "gmail.") && about != "":
		return []opLink{{about, p.URL("/o/postmaster-tools/" + strings.ReplaceAll(about, "/", ""))}}
	case strings.HasPrefix(kind, "lane."):
		return []opLink{{p.T("alarms.see.lanes"), p.URL("/o/lanes")}}
	}
	return nil
}

// opTestHooks posts a test to every webhook for alarms.
func (s *site) opTestHooks(v *visit) {
	v.about("webhooks", "")
	if s.o.Alarms == nil || len(s.o.Alarms.Hooks()) == 0 {
		v.opRefused(http.StatusConflict, v.page.T("alarms.fault.none"), "/o/alarms")
		return
	}
	s.o.Alarms.Test()
	s.o.Logger.Info("webhooks are tested on request", "actor", v.who.Actor())
	v.done("/o/alarms", "alarms.done.test", "Count", len(s.o.Alarms.Hooks()))
}
