package portal

import (
	"net/http"
	"strings"
	"time"

	"postern/internal/locale"
	"postern/internal/user"
)

// Setting is one key of the configuration that is in force.
type Setting struct {
	Key     string // dotted path: "delivery.retry"
	Value   string // as YAML on one line; of a secret "set" or "not set"
	Origin  string // FILE:LINE; "" for the default
	Default string // YAML; "" none
	Doc     string // what it means, in English
	Restart bool   // a change takes effect at the next start only
	Secret  bool
}

// configurationRoutes are the page of the configuration in force.
func (s *site) configurationRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/o/configuration", access: gateway(user.GatewayRead), do: s.opConfiguration},
		{method: http.MethodPost, path: "/o/configuration/reload", access: gateway(user.GatewayOperate), act: "configuration.reload", do: s.opReload},
	}
}

// opSettings is a group of keys.
type opSettings struct {
	Name string
	ID   string
	Rows []opSetting
}

// opSetting is a key with its value.
type opSetting struct {
	Setting
	ID      string
	Differs bool // from the default
}

type opConfigurationPage struct {
	page
	Groups  []opSettings
	About   []opAbout
	Only    string // address of the page with what differs alone, or with all
	Few     bool   // only what differs is shown
	Word    field
	Action  string
	Reload  *button
	Fault   string
	Differs string
}

// opConfiguration shows the configuration in force.
func (s *site) opConfiguration(v *visit) { s.opShowConfiguration(v, http.StatusOK, "") }

func (s *site) opShowConfiguration(v *visit, status int, fault string) {
	p, q := v.page, v.r.URL.Query()
	word := strings.ToLower(strings.TrimSpace(q.Get("q")))
	d := opConfigurationPage{page: p, Few: q.Get("only") == "own", Action: p.URL("/o/configuration"), Fault: fault, Word: field{Name: "q", Label: p.T("configuration.field.q"), Value: clean(q.Get("q"), 100)}}
	d.Title = p.T("configuration.title")
	now := s.o.Now()
	d.About = []opAbout{{Name: p.T("configuration.version"), Value: clean(s.o.Version, 100)}, {Name: p.T("configuration.host"), Value: s.o.Hostname},
		{Name: p.T("configuration.uptime"), Value: locale.Duration(p.Lang, now.Sub(s.started).Truncate(time.Second))}}
	d.Only = p.URL("/o/configuration", "only", "own")
	if d.Few {
		d.Only = p.URL("/o/configuration")
	}
	differ := 0
	var settings []Setting
	if s.o.Settings != nil {
		settings = s.o.Settings()
	}
	for _, x := range settings {
		x.Doc = s.keys.Text(p.Lang, x.Doc)
		row := opSetting{Setting: x, ID: "k-" + strings.Map(opIDRune, x.Key), Differs: x.Origin != ""}
		if row.Differs {
			differ++
		}
		if d.Few && !row.Differs || word != "" && !strings.Contains(strings.ToLower(x.Key), word) && !strings.Contains(strings.ToLower(x.Doc), word) {
			continue
		}
		row.Value, row.Doc, row.Origin = clean(row.Value, 2000), clean(row.Doc, 2000), clean(row.Origin, 300)
		name, _, _ := strings.Cut(x.Key, ".")
		name, _, _ = strings.Cut(name, "[")
		if n := len(d.Groups); n == 0 || d.Groups[n-1].Name != name {
			d.Groups = append(d.Groups, opSettings{Name: name, ID: "g-" + strings.Map(opIDRune, name)})
		}
		g := &d.Groups[len(d.Groups)-1]
		g.Rows = append(g.Rows, row)
	}
	d.Differs = p.T("configuration.differ", "Count", differ)
	if s.o.Reload != nil && v.who.May(user.GatewayOperate, "") {
		d.Reload = &button{URL: p.URL("/o/configuration/reload"), Label: p.T("configuration.reload"), Class: "second", Sure: p.T("configuration.reload.sure")}
	}
	v.show(status, "op-configuration.html", d)
}

// opIDRune makes a key usable as the id of an element.
func opIDRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.' {
		return r
	}
	return '-'
}

// opReload reads the configuration again.
func (s *site) opReload(v *visit) {
	v.about("configuration", "")
	if s.o.Reload == nil {
		v.opRefused(http.StatusConflict, v.page.T("configuration.fault.none"), "/o/configuration")
		return
	}
	if err := s.o.Reload(); err != nil {
		v.entry.Text = clean(err.Error(), 400)
		s.opShowConfiguration(v, http.StatusUnprocessableEntity, err.Error())
		return
	}
	s.o.Logger.Info("configuration reloaded on request", "actor", v.who.Actor())
	v.done("/o/configuration", "configuration.done.reload")
}
