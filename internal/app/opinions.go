package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"postern/internal/alarm"
	"postern/internal/config"
	"postern/internal/filter"
	"postern/internal/opinion"
)

// scanners are the other scanners that the filter asks (clamd, rspamd), and how they do. The zero value has none.
type scanners struct {
	mu     sync.Mutex
	made   scannerKeys      // what list was made of
	list   []filter.Opinion // shared by all filters of the gateway: they share its bound on connections
	health map[string]*scannerHealth
}

// scannerKeys are the configuration that scanners are made of.
type scannerKeys struct {
	clamd  config.Clamd
	rspamd config.Rspamd
}

// scannerHealth is what the questions to one scanner came to.
type scannerHealth struct {
	asked, failed int       // since the last look
	why           error     // of the last failure
	failing       bool      // the operator's log says so
	since         time.Time // of failing
}

// scanner is what a scanner can be asked beside an opinion.
type scanner interface {
	filter.OpinionAsker
	Version(context.Context) (string, error)
}

// opinions are the scanners of a configuration; the same ones as long as it says the same of them.
func (a *App) opinions(c *config.Config) []filter.Opinion {
	s := &a.scanners
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := scannerKeys{c.Filter.Clamd, c.Filter.Rspamd}
	if s.made == keys {
		return s.list
	}
	var list []filter.Opinion
	add := func(o filter.Opinion, asker filter.OpinionAsker, err error) {
		if err == nil {
			o.Asker = asker
		} else {
			a.log.Error("scanner cannot be asked", "scanner", o.Name, "error", err) // the filter refuses an opinion without one
		}
		list = append(list, o)
	}
	if x := keys.clamd; x.Address != "" {
		asker, err := opinion.NewClamd(opinion.ClamdOptions{Address: x.Address, Timeout: x.Timeout, MaxSize: int64(x.MaxSize), Connections: x.Connections})
		add(filter.Opinion{Name: "clamd", Closed: x.OnError != "pass"}, asker, err)
	}
	if x := keys.rspamd; x.URL != "" {
		asker, err := opinion.NewRspamd(opinion.RspamdOptions{URL: x.URL, Password: string(x.Password), Timeout: x.Timeout, MaxSize: int64(x.MaxSize),
			Connections: x.Connections})
		add(filter.Opinion{Name: "rspamd", Closed: x.OnError != "pass", Factor: x.Factor, MaxPoints: x.MaxPoints}, asker, err)
	}
	s.made, s.list = keys, list
	return list
}

// greeting bounds the first question to a scanner.
const greeting = 5 * time.Second

// greetScanners writes down which scanners are asked, and whether they are there. Mail does not wait for it.
func (a *App) greetScanners(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, greeting)
	defer cancel()
	var wg sync.WaitGroup
	for _, o := range a.opinions(a.config.Load()) {
		x, ok := o.Asker.(scanner)
		if !ok {
			continue
		}
		wg.Go(func() {
			if version, err := x.Version(ctx); err != nil {
				a.log.Warn("scanner does not answer", "scanner", o.Name, "without_it", fate(o.Closed), "error", err)
			} else {
				a.log.Info("scanner answers", "scanner", o.Name, "version", version)
			}
		})
	}
	wg.Wait()
}

// fate says what becomes of mail that a scanner gives no opinion on.
func fate(closed bool) string {
	if closed {
		return "mail is deferred"
	}
	return "mail is judged without it"
}

// scannerAsked counts a question to a scanner. A failing one is one line in the log, however many messages show it.
func (a *App) scannerAsked(name string, took time.Duration, err error) {
	if a.metrics != nil {
		a.metrics.opinion(name, took, err)
	}
	s := &a.scanners
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.health == nil {
		s.health = make(map[string]*scannerHealth)
	}
	h := s.health[name]
	if h == nil {
		h = new(scannerHealth)
		s.health[name] = h
	}
	h.asked++
	if err == nil || errors.Is(err, opinion.ErrTooLarge) { // a large message is no fault of the scanner
		return
	}
	h.failed, h.why = h.failed+1, err
	if !h.failing {
		h.failing, h.since = true, time.Now()
		a.log.Warn("scanner fails", "scanner", name, "error", err)
	}
}

// scannerAlarms tells the operator which scanners failed since the last look, and him and the log which have come back.
func (a *App) scannerAlarms(raise func(alarm.Alarm), clear func(key string)) {
	closed := map[string]bool{}
	for _, o := range a.opinions(a.config.Load()) {
		closed[o.Name] = o.Closed
	}
	s := &a.scanners
	s.mu.Lock()
	looks := map[string]scannerHealth{}
	for name, h := range s.health {
		if _, asked := closed[name]; !asked {
			delete(s.health, name)
			clear("scanner " + name)
			continue
		}
		looks[name] = *h
		if h.failing && h.failed == 0 && h.asked > 0 {
			h.failing = false
		}
		h.asked, h.failed = 0, 0
	}
	s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(looks)) {
		h := looks[name]
		switch {
		case h.failed > 0:
			x := alarm.Alarm{Key: "scanner " + name, Severity: alarm.Warning, Code: "scanner", Since: h.since, Args: map[string]string{
				"Name": name, "Failed": fmt.Sprint(h.failed), "Asked": fmt.Sprint(h.asked), "Why": h.why.Error(),
				"Consequence":    "Messages it gives no answer about are judged without it (filter." + name + ".on_error: pass): they leave without its look.",
				"Consequence.fr": "Les messages sur lesquels il ne répond pas sont jugés sans lui (filter." + name + ".on_error: pass) : ils partent sans son examen."}}
			if closed[name] {
				x.Severity = alarm.Critical
				x.Args["Consequence"] = "Messages it gives no answer about are not taken (filter." + name + ".on_error: defer): clients hear 451 and try again later. No mail is lost, but none leaves without its answer."
				x.Args["Consequence.fr"] = "Les messages sur lesquels il ne répond pas ne sont pas acceptés (filter." + name + ".on_error: defer) : les clients reçoivent 451 et réessaient plus tard. Aucun message n'est perdu, mais aucun ne part sans sa réponse."
			}
			raise(x)
		case h.failing && h.asked > 0:
			clear("scanner " + name)
			a.log.Info("scanner answers again", "scanner", name, "failed_for", time.Since(h.since).Round(time.Second))
		}
	}
}
