package endpoint

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what was taken, by sensor, as Prometheus reads it. A sensor that
// has gone quiet shows by the time of its last line.
type Metrics struct {
	lines, observations, ignored, dead, bytes *prometheus.CounterVec
	last                                      *prometheus.GaugeVec
}

func newMetrics() *Metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "handprint_ingest_" + name, Help: help}, []string{"sensor"})
	}
	return &Metrics{
		lines:        counter("lines_total", "Lines taken."),
		observations: counter("observations_total", "Observations sent."),
		ignored:      counter("ignored_total", "Rows that do not count."),
		dead:         counter("dead_letters_total", "Lines that could not be used."),
		bytes:        counter("bytes_total", "Bytes of lines taken, unpacked."),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "handprint_ingest_last_line_timestamp_seconds", Help: "When the last line was taken, in Unix seconds.",
		}, []string{"sensor"}),
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(to)
	}
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.lines, m.observations, m.ignored, m.dead, m.bytes, m.last}
}

func (m *Metrics) add(sensor string, a answer, bytes int64, now time.Time) {
	m.lines.WithLabelValues(sensor).Add(float64(a.Lines))
	m.observations.WithLabelValues(sensor).Add(float64(a.Observations))
	m.ignored.WithLabelValues(sensor).Add(float64(a.Ignored))
	m.dead.WithLabelValues(sensor).Add(float64(a.Dead))
	m.bytes.WithLabelValues(sensor).Add(float64(bytes))
	if a.Lines > 0 {
		m.last.WithLabelValues(sensor).Set(float64(now.UnixMicro()) / 1e6)
	}
}
