package app

import (
	"context"
	"errors"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"postern/internal/filter"
	"postern/internal/intake"
	"postern/internal/locale"
	"postern/internal/notice"
	"postern/internal/opinion"
	"postern/internal/smtp"
	"postern/internal/spool"
)

// metrics are the figures of docs/operator/metrics.md. No label holds an address, a domain or a customer: their number has no
// bound.
type metrics struct {
	registry *prometheus.Registry
	app      *App
	catalog  *locale.Catalog
	links    *notice.Links
	desk     *intake.Desk

	messages  *prometheus.CounterVec
	attempts  *prometheus.CounterVec
	receivers *prometheus.CounterVec
	hits      *prometheus.CounterVec
	score     prometheus.Histogram
	scan      prometheus.Histogram
	duration  prometheus.Histogram
	opinions  *prometheus.CounterVec
	opinionIn *prometheus.HistogramVec
	reloadOK  prometheus.Gauge
	reloadAt  prometheus.Gauge
	testNames map[string]bool
	operator  map[string]bool // tests that only the operator can mend
}

func newMetrics(a *App, catalog *locale.Catalog, links *notice.Links) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), app: a, catalog: catalog, links: links, testNames: map[string]bool{}, operator: map[string]bool{}}
	m.messages = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_intake_messages_total",
		Help: "Messages by what became of them at the door: accepted, held, rejected, refused with a reason, and what people did with held ones."}, []string{"result"})
	m.attempts = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_delivery_attempts_total",
		Help: "Recipients by what an attempt meant for them: delivered, deferred, bounced, expired, parked (not attempted: they wait for their turn); and connections: connected, unreachable."}, []string{"result"})
	m.receivers = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_delivery_receiver_total",
		Help: "The same by receiver: the names of the knowledge (postern provider list), \"default\" for those nobody knows, \"smarthost\"."}, []string{"provider", "result"})
	m.hits = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_filter_hits_total", Help: "How often each test fired."}, []string{"test"})
	m.score = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "postern_filter_score", Help: "Score of tested messages, in points.",
		Buckets: []float64{0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 15}})
	m.scan = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "postern_filter_duration_seconds", Help: "Time to test one message.",
		Buckets: []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}})
	m.duration = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "postern_delivery_duration_seconds",
		Help:    "Time from our 250 to the receiver's.",
		Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 900, 3600, 14400, 86400}})
	m.opinions = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_opinion_questions_total",
		Help: "Questions to other scanners by what came of them: answered, too_large, unavailable, protocol (an answer that cannot be understood)."}, []string{"scanner", "result"})
	m.opinionIn = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "postern_opinion_duration_seconds", Help: "Time of one question to another scanner.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60}}, []string{"scanner"})
	m.reloadOK = prometheus.NewGauge(prometheus.GaugeOpts{Name: "postern_config_reload_success", Help: "1 if the last reading of the configuration was taken, 0 if it was refused."})
	m.reloadAt = prometheus.NewGauge(prometheus.GaugeOpts{Name: "postern_config_reload_timestamp_seconds", Help: "When the configuration was last read with success."})
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "postern_build_info", Help: "Always 1; the label tells the version."}, []string{"version"})
	build.WithLabelValues(a.version).Set(1)
	m.registry.MustRegister(m.messages, m.attempts, m.receivers, m.hits, m.score, m.scan, m.duration, m.opinions, m.opinionIn, m.reloadOK, m.reloadAt, build, &spoolFigures{app: a}, &laneFigures{app: a}, &listFigures{app: a},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.reloaded(true)
	for _, t := range filter.Tests() {
		m.testNames[t.Name] = true
		m.operator[t.Name] = t.Operator
	}
	return m
}

func (m *metrics) intake(event string) { m.messages.WithLabelValues(event).Inc() }
func (m *metrics) delivery(event, _, receiver string) {
	m.attempts.WithLabelValues(event).Inc()
	m.receivers.WithLabelValues(receiver, event).Inc()
}
func (m *metrics) took(d time.Duration) { m.duration.Observe(d.Seconds()) }

// opinion counts a question to another scanner.
func (m *metrics) opinion(scanner string, took time.Duration, err error) {
	result := "answered"
	switch {
	case errors.Is(err, opinion.ErrTooLarge):
		result = "too_large"
	case errors.Is(err, opinion.ErrProtocol):
		result = "protocol"
	case err != nil:
		result = "unavailable"
	}
	m.opinions.WithLabelValues(scanner, result).Inc()
	m.opinionIn.WithLabelValues(scanner).Observe(took.Seconds())
}

func (m *metrics) tested(v filter.Verdict) {
	m.score.Observe(v.Score)
	m.scan.Observe(v.Elapsed.Seconds())
	m.app.findings.note(v, m.operator)
	for _, h := range v.Hits {
		if m.testNames[h.Test] {
			m.hits.WithLabelValues(h.Test).Inc()
		}
	}
}

func (m *metrics) reloaded(ok bool) {
	if !ok {
		m.reloadOK.Set(0)
		return
	}
	m.reloadOK.Set(1)
	m.reloadAt.SetToCurrentTime()
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// watchServers exposes the counters of one door, summed over the addresses it listens on.
func (m *metrics) watchServers(door string, servers []*smtp.Server) {
	if len(servers) == 0 {
		return
	}
	label := prometheus.Labels{"door": door}
	for _, c := range []struct {
		name, help string
		read       func(smtp.Stats) int64
	}{
		{"postern_smtp_connections_total", "Connections accepted.", func(s smtp.Stats) int64 { return s.Connections }},
		{"postern_smtp_refused_total", "Connections refused because of a limit.", func(s smtp.Stats) int64 { return s.Refused }},
		{"postern_smtp_auth_failures_total", "Logins refused.", func(s smtp.Stats) int64 { return s.AuthFailures }},
		{"postern_smtp_received_bytes_total", "Bytes of message data received.", func(s smtp.Stats) int64 { return s.Bytes }},
	} {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.name, Help: c.help, ConstLabels: label},
			func() float64 {
				var sum int64
				for _, s := range servers {
					sum += c.read(s.Stats())
				}
				return float64(sum)
			}))
	}
}

// spoolFigures reads the spool when it is asked for figures.
type spoolFigures struct{ app *App }

var (
	queueMessages = prometheus.NewDesc("postern_queue_messages", "Messages in the spool by state: queued (waiting or in an attempt), held (waiting for a person).", []string{"state"}, nil)
	queueOldest   = prometheus.NewDesc("postern_queue_oldest_seconds", "Age of the oldest message by state; 0 when there is none.", []string{"state"}, nil)
	queueBytes    = prometheus.NewDesc("postern_queue_bytes", "Bytes of all messages in the spool.", nil, nil)
	queueSilent   = prometheus.NewDesc("postern_queue_silent_messages", "Messages without a next event: must be 0.", nil, nil)
	spoolFull     = prometheus.NewDesc("postern_spool_full", "1 while no mail is taken because the disk is nearly full.", nil, nil)
	spoolFree     = prometheus.NewDesc("postern_spool_free_bytes", "Free bytes of the spool's file system when last looked; -1 unknown.", nil, nil)
)

// Describe is prometheus.Collector's.
func (s *spoolFigures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queueMessages, queueOldest, queueBytes, queueSilent, spoolFull, spoolFree} {
		ch <- d
	}
}

// Collect is prometheus.Collector's.
func (s *spoolFigures) Collect(ch chan<- prometheus.Metric) {
	if s.app.spool == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := s.app.spool.Stats(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(queueMessages, err)
		return
	}
	age := func(t time.Time) float64 {
		if t.IsZero() {
			return 0
		}
		return time.Since(t).Seconds()
	}
	full := 0.0
	if st.Full {
		full = 1
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(queueMessages, float64(st.Queued), string(spool.Queued))
	gauge(queueMessages, float64(st.Held), string(spool.Held))
	gauge(queueOldest, age(st.Oldest), string(spool.Queued))
	gauge(queueOldest, age(st.OldestHeld), string(spool.Held))
	gauge(queueBytes, float64(st.Bytes))
	gauge(queueSilent, float64(st.Silent))
	gauge(spoolFull, full)
	gauge(spoolFree, float64(st.Free))
}

// health answers load balancers and service managers: /healthz while the process lives, /readyz while mail is taken.
func (a *App) health(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		var why []string
		if !a.ready.Load() {
			why = append(why, "starting or stopping")
		}
		if err := a.spoolDB.Broken(); err != nil {
			why = append(why, "spool database: "+err.Error())
		}
		if err := a.mainDB.Broken(); err != nil {
			why = append(why, "main database: "+err.Error())
		}
		if a.spool.Full() {
			why = append(why, "disk nearly full")
		}
		answer(w, why)
	})
}

func answer(w http.ResponseWriter, why []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if len(why) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("not ready: " + strings.Join(why, "; ") + "\n"))
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// addProfiles serves pprof; only on the operator's socket.
func addProfiles(mux *http.ServeMux) {
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}
