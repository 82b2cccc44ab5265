package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/shaping"
)

// laneFigures reads the lanes when it is asked for figures.
type laneFigures struct{ app *App }

var (
	lanesAtWork      = prometheus.NewDesc("postern_lanes", "Lanes (a provider from one of our addresses) that have work or something in force.", nil, nil)
	lanesInForce     = prometheus.NewDesc("postern_lane_reactions", "What is in force on lanes by kind: pause, slow, watch, governor, unreachable, operator.", []string{"kind"}, nil)
	laneWaiting      = prometheus.NewDesc("postern_lane_waiting_messages", "Messages in memory that wait for their turn, by receiver (\"other\": all that nobody knows).", []string{"provider"}, nil)
	laneConnections  = prometheus.NewDesc("postern_lane_connections", "Connections open or being opened, by receiver.", []string{"provider"}, nil)
	laneUnaccounted  = prometheus.NewDesc("postern_delivery_unaccounted_recipients", "Recipients that delivery took from the spool and lost sight of: must be 0.", nil, nil)
	laneReactionKind = []shaping.Kind{shaping.Pause, shaping.Slow, shaping.Watch, shaping.Governor, shaping.Unreachable, shaping.Operator}
)

// Describe is prometheus.Collector's.
func (f *laneFigures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lanesAtWork, lanesInForce, laneWaiting, laneConnections, laneUnaccounted} {
		ch <- d
	}
}

// Collect is prometheus.Collector's.
func (f *laneFigures) Collect(ch chan<- prometheus.Metric) {
	d := f.app.delivery
	if d == nil {
		return
	}
	names := map[string]bool{"smarthost": true}
	for _, p := range f.app.knowledge().Providers() {
		names[p.Name] = true
	}
	lanes := d.Lanes()
	waiting, connections := map[string]float64{}, map[string]float64{}
	for _, l := range lanes {
		name := "other"
		if k, err := shaping.ParseKey(l.Lane); err == nil && names[k.Provider] {
			name = k.Provider
		}
		waiting[name] += float64(l.Waiting)
		connections[name] += float64(l.Connections)
	}
	kinds := map[shaping.Kind]float64{}
	for _, r := range d.InForce() {
		kinds[r.Kind]++
	}
	gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
	}
	gauge(lanesAtWork, float64(len(lanes)))
	for _, kind := range laneReactionKind {
		gauge(lanesInForce, kinds[kind], string(kind))
	}
	for name, n := range waiting {
		gauge(laneWaiting, n, name)
	}
	for name, n := range connections {
		gauge(laneConnections, n, name)
	}
	gauge(laneUnaccounted, float64(d.Unaccounted()))
}
