package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// table is what is shown: a column for each contender.
type table struct {
	hand, one, same []report
	latency         latencies
}

func (t *table) add(hand, one, same report) {
	t.hand, t.one, t.same = append(t.hand, hand), append(t.one, one), append(t.same, same)
}

// figure is a line of the table.
type figure struct {
	name   string
	format string
	of     func(r *report) float64
}

func (t *table) print(out io.Writer, p plan) {
	n := float64(p.observations)
	micros := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / n }
	figures := []figure{
		{"observations/s", "%.0f", func(r *report) float64 { return n / r.Wall.Seconds() }},
		{"  from the first commit on", "%.0f", func(r *report) float64 { return n / (r.Wall - r.FirstCommit).Seconds() }},
		{"CPU/observation, us", "%.2f", func(r *report) float64 { return micros(r.Used.CPU) }},
		{"  of the broker, us", "%.2f", func(r *report) float64 { return micros(r.Broker) }},
		{"allocations/observation", "%.2f", func(r *report) float64 { return float64(r.Mallocs) / n }},
		{"records written/observation", "%.2f", func(r *report) float64 { return float64(r.Produced) / n }},
		{"  bytes", "%.0f", func(r *report) float64 { return float64(r.Uncompressed) / n }},
		{"  bytes on the wire", "%.0f", func(r *report) float64 { return float64(r.Compressed) / n }},
		{"changelog records/observation", "%.2f", func(r *report) float64 { return float64(r.Changes) / n }},
		{"  bytes", "%.0f", func(r *report) float64 { return float64(r.ChangelogRaw) / n }},
		{"  bytes on the wire", "%.0f", func(r *report) float64 { return float64(r.Changelog) / n }},
		{"transitions/observation", "%.2f", func(r *report) float64 { return float64(r.Transitions) / n }},
		{"first commit, s", "%.2f", func(r *report) float64 { return r.FirstCommit.Seconds() }},
		{"commits", "%.0f", func(r *report) float64 { return float64(r.Commits) }},
		{"collections", "%.0f", func(r *report) float64 { return float64(r.GCs) }},
		{"peak memory, MB", "%.0f", func(r *report) float64 { return float64(r.Used.Memory) / 1e6 }},
		{"store on disk, MB", "%.0f", func(r *report) float64 { return float64(r.StoreBytes) / 1e6 }},
	}
	fmt.Fprintf(out, "%d observations of %d attackers, %d partitions, %d threads, medians of %d\n",
		p.observations, p.load.Attackers, p.load.Partitions, p.threads, p.rounds)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\thandprint\tcopy 1:1\tof it\tcopy of as much\tof it\t")
	for _, f := range figures {
		hand, one, same := median(t.hand, f.of), median(t.one, f.of), median(t.same, f.of)
		fmt.Fprintf(w, "%s\t"+f.format+"\t"+f.format+"\t%s\t"+f.format+"\t%s\t\n", f.name, hand, one, ratio(hand, one), same, ratio(hand, same))
	}
	if len(t.latency) > 0 {
		for _, share := range []float64{0.5, 0.95, 0.99, 0.999} {
			ms := float64(t.latency.at(share).Microseconds()) / 1000
			fmt.Fprintf(w, "latency p%v at %d/s, ms\t%.1f\t\t\t\t\t\n", share*100, p.rate, ms)
		}
	}
	_ = w.Flush()
}

func ratio(a, b float64) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}

func median(reports []report, of func(*report) float64) float64 {
	values := make([]float64, len(reports))
	for i := range reports {
		values[i] = of(&reports[i])
	}
	slices.Sort(values)
	return values[len(values)/2]
}
