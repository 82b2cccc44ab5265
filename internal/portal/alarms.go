package portal

import (
	"net/http"
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

type opAlarmPage struct {
	page
	Alarms []opAlarm
	Hooks  []opHook
	Test   *button
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
	v.show(http.StatusOK, "op-alarms.html", d)
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
