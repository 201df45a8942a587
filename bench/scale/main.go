// Command scale runs the benchmark at growing numbers of attackers, and with
// more workers, and that of the sweep, and draws what comes out as an SVG.
//
// Every attacker that is observed is an identity of its own, so the number of
// attackers is the number of identities. It runs the command bench and reads
// its JSON, and the sweep's benchmark in engine; it measures nothing itself.
//
//	go run ./bench/scale -out docs/scale.svg
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// point is one run.
type point struct {
	Attackers, Threads int
	PerSecond          float64 // observations
	Changes            float64 // changelog records a second
	Memory             float64 // the peak, MB
	CPU                float64 // us an observation
	ChangeCPU          float64 // us a changelog record
	Sweep              float64 // ms, with a hundred suspects
}

func main() {
	sizes := flag.String("attackers", "10000,100000,1000000,5000000", "numbers of attackers, separated by commas")
	threads := flag.String("threads", "1,2,4", "numbers of workers, separated by commas, run with the first number of attackers")
	least := flag.Int("n", 1_000_000, "observations of a run; at least one and a half for each attacker")
	out := flag.String("out", "docs/scale.svg", "where the drawing goes")
	flag.Parse()
	if err := run(*sizes, *threads, *least, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// run makes the runs, prints each, and draws them. What more there is on the
// command line goes to bench.
func run(sizes, threads string, least int, out string, more []string) error {
	counts, err := numbers(sizes)
	if err != nil {
		return err
	}
	workers, err := numbers(threads)
	if err != nil {
		return err
	}
	var bySize, byThreads []point
	sweeps, err := measureSweeps()
	if err != nil {
		return err
	}
	for _, n := range counts {
		p, err := measure(n, workers[0], max(least, n*3/2), more)
		if err != nil {
			return err
		}
		bySize = append(bySize, p)
	}
	fmt.Println("attackers take turns, each having shown each of its three primitives before:")
	for _, n := range counts {
		// Larger transactions would change a row of the smallest number several times.
		if _, err := measure(n, workers[0], max(least, n*3/2), append([]string{"-seen", "-even", "-breadth", "3", "-transaction", "3000"}, more...)); err != nil {
			return err
		}
	}
	fmt.Println("a sweep that has a hundred suspects, ms:", sweeps)
	var bySweep []point
	for _, n := range slices.Sorted(maps.Keys(sweeps)) {
		bySweep = append(bySweep, point{Attackers: n, Sweep: sweeps[n]})
	}
	byThreads = append(byThreads, bySize[0])
	for _, t := range workers[1:] {
		p, err := measure(counts[0], t, max(least, counts[0]*3/2), more)
		if err != nil {
			return err
		}
		byThreads = append(byThreads, p)
	}
	return os.WriteFile(out, []byte(draw(bySize, byThreads, bySweep)), 0o644)
}

func numbers(list string) (out []int, err error) {
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a list of numbers above 0", list)
		}
		out = append(out, n)
	}
	return out, nil
}

// sweepLine is a line of the benchmark of the sweep whose suspects are a hundred
// however many identities there are.
var sweepLine = regexp.MustCompile(`^BenchmarkSweep/identities=(\d+)/suspects=100(?:-\d+)?\s+\d+\s+(\d+(?:\.\d+)?) ns/op`)

// measureSweeps returns how many milliseconds a sweep takes by the number of
// identities.
func measureSweeps() (map[int]float64, error) {
	cmd := exec.Command("go", "test", "./engine", "-run", "^$", "-bench", "Sweep", "-benchtime", "20x", "-timeout", "60m")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("the benchmark of the sweep: %w", err)
	}
	fmt.Printf("%s", text)
	return readSweeps(string(text))
}

func readSweeps(text string) (map[int]float64, error) {
	sweeps := make(map[int]float64)
	for line := range strings.Lines(text) {
		m := sweepLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, fmt.Errorf("the benchmark of the sweep says %q: %w", line, err)
		}
		ns, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return nil, fmt.Errorf("the benchmark of the sweep says %q: %w", line, err)
		}
		sweeps[n] = ns / 1e6
	}
	if len(sweeps) == 0 {
		return nil, fmt.Errorf("the benchmark of the sweep says nothing of sweeps: %.200q", text)
	}
	return sweeps, nil
}

// measure runs bench once.
func measure(attackers, threads, observations int, more []string) (p point, err error) {
	args := append([]string{"run", "-pgo=cmd/handprint/release.pgo", "./bench", "-json", "-hold", "0", "-audit=false", "-contenders", "handprint",
		"-attackers", strconv.Itoa(attackers), "-threads", strconv.Itoa(threads), "-n", strconv.Itoa(observations)}, more...)
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return p, fmt.Errorf("bench with %d attackers and %d workers: %w", attackers, threads, err)
	}
	var results map[string][]struct {
		Wall, CPU time.Duration
		Memory    int64
		Report    struct{ Changes int64 }
	}
	if err := json.Unmarshal(text, &results); err != nil {
		return p, fmt.Errorf("what bench says: %w", err)
	}
	if len(results["handprint"]) == 0 {
		return p, fmt.Errorf("bench says nothing of handprint: %.200s", text)
	}
	r := results["handprint"][0]
	p = point{Attackers: attackers, Threads: threads, PerSecond: float64(observations) / r.Wall.Seconds(),
		Memory: float64(r.Memory) / 1e6, CPU: float64(r.CPU.Nanoseconds()) / 1e3 / float64(observations)}
	if n := float64(r.Report.Changes); n > 0 {
		p.Changes, p.ChangeCPU = n/r.Wall.Seconds(), float64(r.CPU.Nanoseconds())/1e3/n
	}
	fmt.Printf("%d attackers, %d workers: %.0f observations/s, %.2f us CPU each; %.0f changelog records/s, %.2f us CPU each; %.0f MB\n",
		attackers, threads, p.PerSecond, p.CPU, p.Changes, p.ChangeCPU, p.Memory)
	return p, nil
}
