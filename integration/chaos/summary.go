package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"handprint/integration/lab"
)

// summary counts what was done and checked in all rounds.
type summary struct {
	rounds  int
	faults  map[string]int
	crashes map[string]int
	left    int // faults that could not be done as planned
	broken  int64
	ended   int64
	total   lab.Checked
}

func newSummary() *summary {
	return &summary{faults: make(map[string]int), crashes: make(map[string]int)}
}

func (s *summary) fault(name string)  { s.faults[name]++ }
func (s *summary) crash(point string) { s.crashes[point]++ }

func (s *summary) checked(c lab.Checked) { s.total.Add(c) }

func (s *summary) print(out io.Writer, took time.Duration) {
	fmt.Fprintf(out, "\n%d rounds in %v, %.1f s each\n", s.rounds, took.Round(time.Second), took.Seconds()/float64(max(1, s.rounds)))
	for _, name := range slices.Sorted(maps.Keys(s.faults)) {
		fmt.Fprintf(out, "  %4d %s\n", s.faults[name], name)
	}
	for _, point := range slices.Sorted(maps.Keys(s.crashes)) {
		fmt.Fprintf(out, "       %4d died %s\n", s.crashes[point], point)
	}
	fmt.Fprintf(out, "  %4d more could not be done as planned\n", s.left)
	fmt.Fprintf(out, "  %4d requests broken; %d instances ended by themselves and were started again\n", s.broken, s.ended)
	fmt.Fprintf(out, "checked, all audits together: %s\n", s.total)
}
