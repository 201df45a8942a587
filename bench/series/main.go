// Command series runs the benchmark several times and prints one table of what came
// out: loads beside Kafka Streams and the bare copy with the target of each, latency
// at several rates, or shares of linked attackers. It runs the command bench and reads
// its JSON; it measures nothing itself.
//
//	go run ./bench/series                      four loads, five rounds each
//	go run ./bench/series -latency             latency at 200, 2,000 and 20,000 a second
//	go run ./bench/series -linked              0, 1 and 10 % of the attackers linked
//
// What follows -- on the command line goes to bench: series -latency -- -static.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// series is what the flags say.
type series struct {
	program string // bench
	rounds  string // of each load
	memory  int
	more    []string
}

func main() {
	latency := flag.Bool("latency", false, "measure latency beside Kafka Streams at each of the rates instead")
	linked := flag.Bool("linked", false, "measure handprint with each of the shares of linked attackers instead")
	n := flag.String("n", "1000000,4000000", "observations of the loads, separated by commas; with -linked, the first; with -latency, 100000 unless it is given")
	breadths := flag.String("breadth", "17,50", "primitives an attacker of the loads, separated by commas")
	rounds := flag.String("rounds", "5", "rounds of each load; separated by commas: of each number of observations; with -linked and -latency, the first; with -latency, 1 unless it is given")
	memory := flag.Int("memory", 2048, "MiB that each contender may take; 0: as much as there is")
	rates := flag.String("rates", "200,2000,20000", "observations a second, separated by commas")
	hold := flag.Duration("hold", 20*time.Second, "how long latency is measured, after 15 s without")
	shares := flag.String("shares", "0,0.01,0.1", "shares of linked attackers, separated by commas")
	program := flag.String("bench", "", "program that is bench; default: it is built, by the release's profile")
	flag.Parse()
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	s := &series{program: *program, rounds: *rounds, memory: *memory, more: flag.Args()}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := s.built(ctx, func() error {
		switch {
		case *latency:
			if !given["n"] {
				*n = "100000"
			}
			if !given["rounds"] {
				s.rounds = "1"
			}
			return s.latency(ctx, os.Stdout, strings.Split(*n, ",")[0], strings.Split(*rates, ","), *hold)
		case *linked:
			return s.linked(ctx, os.Stdout, strings.Split(*n, ",")[0], strings.Split(*shares, ","))
		}
		return s.loads(ctx, os.Stdout, strings.Split(*n, ","), strings.Split(*breadths, ","))
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "series:", err)
		stop()
		os.Exit(1)
	}
}

// built builds bench, unless a program was named, and calls do.
func (s *series) built(ctx context.Context, do func() error) error {
	if s.program != "" {
		return do()
	}
	dir, err := os.MkdirTemp("", "handprint-series-")
	if err != nil {
		return err
	}
	s.program = filepath.Join(dir, "bench")
	build := exec.CommandContext(ctx, "go", "build", "-pgo=cmd/handprint/release.pgo", "-o", s.program, "./bench")
	build.Stderr = os.Stderr
	if err = build.Run(); err != nil {
		err = fmt.Errorf("building bench: %w", err)
	} else {
		err = do()
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// result is what is read of bench's JSON.
type result struct {
	Wall, CPU time.Duration
	Memory    int64
	Unbounded bool // there was no control group
	Audit     struct {
		DifferentRows, DifferentTransitions int64
		Example                             string
	}
	Latency []time.Duration
}

// bench runs the benchmark and returns its results by contender.
func (s *series) bench(ctx context.Context, args ...string) (map[string][]result, error) {
	args = slices.Concat([]string{"-json"}, args, s.more)
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends what it has started
	cmd.Stderr = os.Stderr
	fmt.Fprintln(os.Stderr, "bench", strings.Join(args, " "))
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("bench %s: %w", strings.Join(args, " "), err)
	}
	results := map[string][]result{}
	if err := json.Unmarshal(out, &results); err != nil {
		return nil, fmt.Errorf("reading what bench printed: %w", err)
	}
	return results, nil
}

// unbounded writes a line if nothing held the contenders to the memory limit, so that
// no target counts as met within it.
func (s *series) unbounded(w io.Writer, results map[string][]result) error {
	for _, rounds := range results {
		if len(rounds) > 0 && rounds[0].Unbounded {
			_, err := fmt.Fprintf(w, "not bounded: no control group, contenders were told to keep to %d MiB\n", s.memory)
			return err
		}
	}
	return nil
}

// median of a figure over the rounds; 0 if there are none.
func median(results []result, of func(*result) float64) float64 {
	var values []float64
	for i := range results {
		values = append(values, of(&results[i]))
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// target is what a ratio should be, and at which loads.
type target struct {
	least bool // it should be so much at least; otherwise at most
	ratio float64
}

func (t target) String() string {
	switch {
	case t.ratio == 0:
		return "-"
	case t.least:
		return fmt.Sprintf(">= %.3g", t.ratio)
	}
	return fmt.Sprintf("<= %.3g", t.ratio)
}

// verdict says whether a ratio is as it should be.
func (t target) verdict(ratio float64) string {
	switch {
	case t.ratio == 0:
		return ""
	case t.least == (ratio >= t.ratio) || ratio == t.ratio:
		return "met"
	}
	return "MISSED"
}

// targets are those of a load, by figure; the issue that asks for them has them for 1
// and 4 million observations, and they are shown beside other numbers likewise.
func targets(n float64, breadth string) map[string]target {
	many, wide := n >= 2_000_000, breadth != "17"
	pick := func(narrow, broad, manyNarrow, manyBroad float64) float64 {
		switch {
		case many && wide:
			return manyBroad
		case many:
			return manyNarrow
		case wide:
			return broad
		}
		return narrow
	}
	return map[string]target{
		"rate":   {true, pick(5, 4, 4, 3.5)},
		"CPU":    {false, pick(0.25, 0.25, 0.3, 0.3)},
		"memory": {false, 0.125},
		"copy":   {true, pick(0, 0, 0.35, 0)},
	}
}

// loads measures each load and prints the table.
func (s *series) loads(ctx context.Context, out io.Writer, ns, breadths []string) error {
	rounds := strings.Split(s.rounds, ",")
	if len(rounds) != 1 && len(rounds) != len(ns) {
		return fmt.Errorf("-rounds %s: one number, or one for each of -n", s.rounds)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "observations\tprimitives\trounds\t\thandprint\tKafka Streams\tratio\ttarget\t\t")
	different := 0
	for i, n := range ns {
		count, err := strconv.ParseFloat(n, 64)
		if err != nil {
			return fmt.Errorf("-n: %w", err)
		}
		for _, breadth := range breadths {
			round := rounds[min(i, len(rounds)-1)]
			r, err := s.bench(ctx, "-real", "-threads", "2", "-contenders", "handprint,streams,copy", "-hold", "0",
				"-n", n, "-breadth", breadth, "-rounds", round, "-memory", strconv.Itoa(s.memory))
			if err != nil {
				return err
			}
			ours, theirs, copied := r["handprint"], r["streams"], r["copy"]
			rate := func(r *result) float64 { return count / r.Wall.Seconds() }
			micros := func(r *result) float64 { return float64(r.CPU.Microseconds()) / count }
			megabytes := func(r *result) float64 { return float64(r.Memory) / 1e6 }
			t := targets(count, breadth)
			line := func(name, key, format string, a, b float64) {
				if b == 0 {
					return
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t"+format+"\t"+format+"\t%.2f\t%s\t%s\t\n", n, breadth, round, name, a, b, a/b, t[key], t[key].verdict(a/b))
			}
			line("observations/s", "rate", "%.0f", median(ours, rate), median(theirs, rate))
			line("CPU/observation, us", "CPU", "%.2f", median(ours, micros), median(theirs, micros))
			line("peak memory, MB", "memory", "%.0f", median(ours, megabytes), median(theirs, megabytes))
			line("observations/s, beside the copy", "copy", "%.0f", median(ours, rate), median(copied, rate))
			if example := difference(ours, theirs); example != "" {
				different++
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t\t\t\t\tDIFFERENT\t\n", n, breadth, round, example)
			}
			if err := errors.Join(s.unbounded(w, r), w.Flush()); err != nil {
				return err
			}
		}
	}
	if different > 0 {
		return errors.New("outputs are different")
	}
	return nil
}

// difference is the first output of any round that is not like the others'; "" if all
// are the same.
func difference(ours, theirs []result) string {
	for _, r := range slices.Concat(ours, theirs) {
		if r.Audit.DifferentRows > 0 || r.Audit.DifferentTransitions > 0 {
			return r.Audit.Example
		}
	}
	return ""
}

// latency measures each rate and prints the table.
func (s *series) latency(ctx context.Context, out io.Writer, n string, rates []string, hold time.Duration) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "observations/s\tof latency, ms\thandprint\tKafka Streams\tratio\ttarget\t\t")
	for _, rate := range rates {
		r, err := s.bench(ctx, "-real", "-threads", "2", "-contenders", "handprint,streams", "-audit=false",
			"-hold", hold.String(), "-warm", "15s", "-rate", rate, "-n", n, "-rounds", strings.Split(s.rounds, ",")[0], "-memory", strconv.Itoa(s.memory))
		if err != nil {
			return err
		}
		for _, q := range []struct {
			name  string
			share float64
			t     target
		}{{"p50", 0.5, target{ratio: 0.2}}, {"p99", 0.99, target{ratio: 0.2}}, {"p99.9", 0.999, target{}}} {
			of := func(r *result) float64 {
				if len(r.Latency) == 0 {
					return 0
				}
				return r.Latency[min(len(r.Latency)-1, int(q.share*float64(len(r.Latency))))].Seconds() * 1000
			}
			a, b := median(r["handprint"], of), median(r["streams"], of)
			if a == 0 || b == 0 {
				return fmt.Errorf("at %s a second no transition was measured: -hold is too short", rate)
			}
			fmt.Fprintf(w, "%s\t%s\t%.1f\t%.1f\t%.2f\t%s\t%s\t\n", rate, q.name, a, b, a/b, q.t, q.t.verdict(a/b))
		}
		if err := errors.Join(s.unbounded(w, r), w.Flush()); err != nil {
			return err
		}
	}
	return nil
}

// linked measures each share of linked attackers and prints the table.
func (s *series) linked(ctx context.Context, out io.Writer, n string, shares []string) error {
	count, err := strconv.ParseFloat(n, 64)
	if err != nil {
		return fmt.Errorf("-n: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "attackers linked\tobservations/s\tof the first\tCPU/observation, us\tof the first\tpeak memory, MB\t")
	var first [2]float64
	for _, share := range shares {
		r, err := s.bench(ctx, "-real", "-threads", "2", "-contenders", "handprint", "-hold", "0", "-audit=false", "-misrouted", "0",
			"-n", n, "-linked", share, "-rounds", strings.Split(s.rounds, ",")[0], "-memory", strconv.Itoa(s.memory))
		if err != nil {
			return err
		}
		rate := median(r["handprint"], func(r *result) float64 { return count / r.Wall.Seconds() })
		micros := median(r["handprint"], func(r *result) float64 { return float64(r.CPU.Microseconds()) / count })
		if first[0] == 0 {
			first = [2]float64{rate, micros}
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.0f\t\n", share, rate, rate/first[0], micros, micros/first[1],
			median(r["handprint"], func(r *result) float64 { return float64(r.Memory) / 1e6 }))
		if err := errors.Join(s.unbounded(w, r), w.Flush()); err != nil {
			return err
		}
	}
	return nil
}
