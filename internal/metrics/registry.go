package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"handprint/processor"
)

// measured are the metrics that hooks feed; the others are asked for.
var measured = map[*Metric]bool{
	batches: true, batchRecords: true, batchStep: true, bytesIn: true, bytesOut: true, changes: true, latency: true,
}

// Registry holds the metrics of one process.
type Registry struct {
	registry *prometheus.Registry
	now      func() time.Time

	batches, bytesIn, bytesOut, changes *prometheus.CounterVec
	records, step                       *prometheus.HistogramVec
	latency                             prometheus.Histogram
}

// New returns the metrics of a process. look is called at each scrape, from
// several goroutines; now is the clock that timestamps are held against.
func New(look func() View, now func() time.Time) *Registry {
	seconds := prometheus.ExponentialBuckets(0.0005, 2, 17) // to 32.8 s
	r := &Registry{
		registry: prometheus.NewPedanticRegistry(), now: now,
		batches: counters(batches), bytesIn: counters(bytesIn), bytesOut: counters(bytesOut), changes: counters(changes),
		records: histograms(batchRecords, prometheus.ExponentialBuckets(1, 4, 9)), // to 65,536
		step:    histograms(batchStep, seconds),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{Name: latency.Name, Help: latency.Help, Buckets: prometheus.ExponentialBuckets(0.001, 2, 20)}), // to 524 s
	}
	r.registry.MustRegister(collector{look}, r.batches, r.bytesIn, r.bytesOut, r.changes, r.records, r.step, r.latency,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func counters(m *Metric) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

func histograms(m *Metric, buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: buckets}, m.Labels)
}

// Gatherer is for the handler that serves the metrics.
func (r *Registry) Gatherer() prometheus.Gatherer { return r.registry }

// Hooks returns what feeds the metrics of batches.
func (r *Registry) Hooks() processor.Hooks { return processor.Hooks{Batch: r.batch} }

func (r *Registry) batch(b processor.BatchReport) {
	worker := strconv.Itoa(b.Worker)
	r.batches.WithLabelValues(worker, string(b.Outcome)).Inc()
	r.bytesIn.WithLabelValues(worker).Add(float64(b.BytesIn))
	r.bytesOut.WithLabelValues(worker).Add(float64(b.BytesOut))
	r.changes.WithLabelValues(worker).Add(float64(b.Changes))
	r.records.WithLabelValues(worker).Observe(float64(b.Records))
	for _, s := range []struct {
		name string
		took time.Duration
	}{{"poll", b.Poll}, {"process", b.Process}, {"produce", b.Produce}, {"flush", b.Flush}, {"commit", b.Commit}, {"apply", b.Apply}} {
		if s.took > 0 {
			r.step.WithLabelValues(s.name).Observe(s.took.Seconds())
		}
	}
	if b.Outcome == processor.Committed && !b.Oldest.IsZero() {
		// A producer's clock may be ahead of this one's.
		r.latency.Observe(max(0, r.now().Sub(b.Oldest).Seconds()))
	}
}
