package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// figure is a line of the table.
type figure struct {
	name   string
	format string
	of     func(r *result) float64 // 0: there is none
}

// figures are the lines of the table.
func figures(p *plan) []figure {
	n := float64(p.observations)
	micros := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / n }
	own := func(of func(r *report) float64) func(*result) float64 {
		return func(r *result) float64 {
			if r.Report == nil {
				return 0
			}
			return of(r.Report)
		}
	}
	quantile := func(share float64) func(*result) float64 {
		return func(r *result) float64 { return at(r.Latency, share).Seconds() * 1000 }
	}
	return []figure{
		{"observations/s", "%.0f", func(r *result) float64 { return n / r.Wall.Seconds() }},
		{"  from the first commit on", "%.0f", func(r *result) float64 { return n / (r.Wall - r.FirstCommit).Seconds() }},
		{"CPU/observation, us", "%.2f", func(r *result) float64 { return micros(r.CPU) }},
		{"  of the broker, us", "%.2f", func(r *result) float64 { return micros(r.Broker) }},
		{"first commit, s", "%.2f", func(r *result) float64 { return r.FirstCommit.Seconds() }},
		{"peak memory, MB", "%.0f", func(r *result) float64 { return float64(r.Memory) / 1e6 }},
		{"store on disk, MB", "%.1f", func(r *result) float64 { return float64(r.StoreBytes) / 1e6 }},
		{"changelog on disk, MB", "%.1f", func(r *result) float64 { return float64(r.Audit.ChangelogDisk) / 1e6 }},
		{"changelog records/observation", "%.2f", func(r *result) float64 { return float64(r.Audit.Changes) / n }},
		{"  bytes, uncompressed", "%.0f", func(r *result) float64 { return float64(r.Audit.ChangelogBytes) / n }},
		{"  bytes on the broker's disk", "%.0f", func(r *result) float64 { return float64(r.Audit.ChangelogDisk) / n }},
		{"transitions/observation", "%.3f", func(r *result) float64 { return float64(r.Audit.Transitions) / n }},
		{"rows", "%.0f", func(r *result) float64 { return float64(r.Audit.Rows) }},
		{"allocations/observation", "%.2f", own(func(r *report) float64 { return float64(r.Mallocs) / n })},
		{"records written/observation", "%.2f", own(func(r *report) float64 { return float64(r.Produced) / n })},
		{"  of them changelog", "%.2f", own(func(r *report) float64 { return float64(r.Changes) / n })},
		{"CPU/changelog record, us", "%.2f", func(r *result) float64 {
			if r.Report == nil || r.Report.Changes == 0 {
				return 0
			}
			return float64(r.CPU.Nanoseconds()) / 1000 / float64(r.Report.Changes)
		}},
		{"  bytes", "%.0f", own(func(r *report) float64 { return float64(r.Uncompressed) / n })},
		{"  bytes on the wire", "%.0f", own(func(r *report) float64 { return float64(r.Compressed) / n })},
		{"commits", "%.0f", own(func(r *report) float64 { return float64(r.Commits) })},
		{"collections", "%.0f", own(func(r *report) float64 { return float64(r.GCs) })},
		{fmt.Sprintf("latency p50 at %d/s, ms", p.rate), "%.1f", quantile(0.5)},
		{"  p95", "%.1f", quantile(0.95)},
		{"  p99", "%.1f", quantile(0.99)},
		{"  p99.9", "%.1f", quantile(0.999)},
		{fmt.Sprintf("beside a flood of %d/s that nobody reads: p50, ms", p.flood), "%.1f", func(r *result) float64 { return at(r.Beside.Others, 0.5).Seconds() * 1000 }},
		{"  p99", "%.1f", func(r *result) float64 { return at(r.Beside.Others, 0.99).Seconds() * 1000 }},
		{"while it goes to one partition, of the others: p50, ms", "%.1f", func(r *result) float64 { return at(r.Flooded.Others, 0.5).Seconds() * 1000 }},
		{"  p99", "%.1f", func(r *result) float64 { return at(r.Flooded.Others, 0.99).Seconds() * 1000 }},
		{"  observations/s of the flooded partition", "%.0f", func(r *result) float64 { return r.Flooded.Done }},
		{"  its lag at the end", "%.0f", func(r *result) float64 { return float64(r.Flooded.Lag) }},
		{"start with kept state to commit, s", "%.2f", func(r *result) float64 { return r.Restarts.Kept.First.Seconds() }},
		{"  of all partitions", "%.2f", func(r *result) float64 { return r.Restarts.Kept.All.Seconds() }},
		{"kill -9 to commit, s", "%.2f", func(r *result) float64 { return r.Restarts.Killed.First.Seconds() }},
		{"  of all partitions", "%.2f", func(r *result) float64 { return r.Restarts.Killed.All.Seconds() }},
		{"start with wiped state to commit, s", "%.2f", func(r *result) float64 { return r.Restarts.Wiped.First.Seconds() }},
		{"  of all partitions", "%.2f", func(r *result) float64 { return r.Restarts.Wiped.All.Seconds() }},
		{"records restored/s", "%.0f", func(r *result) float64 { return r.Restarts.rate() }},
	}
}

// print writes the table: a column for each contender, and beside it how the
// first contender's figure relates to its.
func printTable(out io.Writer, p *plan, results map[string][]result) {
	fmt.Fprintf(out, "%d observations of %d attackers, %d partitions, %d threads, medians of %d\n",
		p.observations, p.load.Attackers, p.load.Partitions, p.threads, p.rounds)
	if p.warmup {
		fmt.Fprintln(out, "after a warm-up round, which is not counted")
	}
	if first := results[p.contenders[0].name]; len(first) > 0 && first[0].Unbounded {
		fmt.Fprintf(out, "memory is not bounded: no control group; contenders were told to keep to %d MiB\n", p.memory)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i := range p.contenders {
		fmt.Fprintf(w, "\t%s", p.contenders[i].name)
		if i > 0 {
			fmt.Fprint(w, "\tof it")
		}
	}
	fmt.Fprintln(w, "\t")
	first := results[p.contenders[0].name]
	for _, f := range figures(p) {
		line, some := f.name, false
		for i := range p.contenders {
			m, base := median(results[p.contenders[i].name], f.of), median(first, f.of)
			cell := ""
			if m != 0 {
				cell, some = fmt.Sprintf(f.format, m), true
			}
			line += "\t" + cell
			if i > 0 {
				line += "\t" + ratio(base, m)
			}
		}
		if some {
			fmt.Fprintln(w, line+"\t")
		}
	}
	if p.audit {
		for _, v := range verdicts {
			line := v.name
			for i := range p.contenders {
				line += "\t" + v.of(p, &p.contenders[i], results)
				if i > 0 {
					line += "\t"
				}
			}
			fmt.Fprintln(w, line+"\t")
		}
	}
	_ = w.Flush()
}

// verdicts compare what contenders have written.
var verdicts = []struct {
	name string
	of   func(p *plan, c *contender, results map[string][]result) string
}{
	{"observations that its rows count", func(p *plan, c *contender, results map[string][]result) string {
		return verdict(c, results, func(r *result) bool { return r.Audit.Observations == p.observations }, "all", "not all")
	}},
	{"its final rows", func(p *plan, c *contender, results map[string][]result) string {
		return verdict(c, results, func(r *result) bool { return r.Audit.DifferentRows == 0 }, "equal", "different")
	}},
	{"its transitions", func(p *plan, c *contender, results map[string][]result) string {
		return verdict(c, results, func(r *result) bool { return r.Audit.DifferentTransitions == 0 }, "equal", "different")
	}},
}

// verdict is yes if every round of a contender is as it should be.
func verdict(c *contender, results map[string][]result, good func(r *result) bool, yes, no string) string {
	if !c.concludes {
		return ""
	}
	for i := range results[c.name] {
		if !good(&results[c.name][i]) {
			return no
		}
	}
	return yes
}

func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}

func median(results []result, of func(*result) float64) float64 {
	values := make([]float64, 0, len(results))
	for i := range results {
		if v := of(&results[i]); v != 0 {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}
