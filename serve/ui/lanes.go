package ui

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"slices"
)

// maxColumns is how many sessions a picture has a column for. The newest are
// shown where there are more.
const maxColumns = 12

// columns are the sessions of an identity in order of time. The observations of
// one session have one time, so a time is a session.
type columns struct {
	times  []float64
	bursts []int     // for each column, the number of its burst
	left   int       // sessions before the first column that are not drawn
	all    []float64 // the times of all sessions
	geometry
}

// columnsOf finds the sessions in the entries of all primitives.
func columnsOf(all [][]entry) columns {
	var times []float64
	for _, entries := range all {
		for _, e := range entries {
			times = append(times, e.TS)
		}
	}
	slices.Sort(times)
	times = slices.Compact(times)
	c := columns{left: max(0, len(times)-maxColumns), geometry: cellGeometry, all: times}
	c.times = times[c.left:]
	c.bursts = make([]int, len(c.times))
	gap := burstGap(c.times)
	for i := 1; i < len(c.times); i++ {
		c.bursts[i] = c.bursts[i-1]
		if c.times[i]-c.times[i-1] > gap {
			c.bursts[i]++
		}
	}
	return c
}

// burstGap is how long a pause parts two bursts: four times the median pause, as
// far as some pause is longer than that.
func burstGap(times []float64) float64 {
	if len(times) < 3 {
		return math.Inf(1)
	}
	pauses := make([]float64, len(times)-1)
	for i := range pauses {
		pauses[i] = times[i+1] - times[i]
	}
	slices.Sort(pauses)
	return max(4*pauses[len(pauses)/2], 1e-3)
}

func (c *columns) at(ts float64) (int, bool) { return slices.BinarySearch(c.times, ts) }

// geometry is that of pictures with a column for each session, in pixels.
type geometry struct{ cell, gap, burst int }

var (
	cellGeometry = geometry{37, 3, 22} // of the evidence, with boxes
	laneGeometry = geometry{18, 2, 14} // of a row's lane, with letters alone, and of a narrow window
)

// maxLaneCell is how wide a lane's column is where there are few.
const maxLaneCell = 26

// maxBurstPad is what the gaps between bursts take together in a narrow picture.
const maxBurstPad = 46

// laneWidth is how wide a lane with a column for each session may be, in pixels: it
// fits a telephone.
const laneWidth = 286

// lanes are the same columns, narrower; as wide as they fit.
func (c *columns) lanes() *columns {
	out := *c
	out.geometry = laneGeometry
	n := len(c.bursts)
	if n == 0 {
		return &out
	}
	bursts := c.bursts[n-1]
	if bursts > 0 {
		out.burst = min(out.burst, maxBurstPad/bursts)
	}
	out.cell = min(max((laneWidth-bursts*out.burst)/n-out.gap, laneGeometry.cell), maxLaneCell)
	return &out
}

// x is where a column begins.
func (c *columns) x(i int) int { return 1 + i*(c.cell+c.gap) + c.bursts[i]*c.burst }

// middle is the middle of a column.
func (c *columns) middle(i int) int { return c.x(i) + c.cell/2 }

// width is that of a picture of all columns.
func (c *columns) width() int {
	if len(c.times) == 0 {
		return c.cell
	}
	return c.x(len(c.times)-1) + c.cell + 1
}

// letters names the values of a row A, B, C as its picture shows them.
type letters map[string]byte

func key(value json.RawMessage) string { return string(bytes.TrimSpace(value)) }

// lettersOf names the values of the topmost row in the order in which they come.
func lettersOf(entries []entry) letters {
	l := letters{}
	for _, e := range entries {
		if _, ok := l[key(e.Value)]; !ok {
			l[key(e.Value)] = 'A' + byte(min(len(l), 25))
		}
	}
	return l
}

// follow names the values of another row: each value gets the letter of the
// topmost row's value that it most often comes with, ties by the earlier letter,
// each letter once; a value that comes with none gets the next free letter.
func (l letters) follow(top, entries []entry) letters {
	at := map[float64]byte{}
	for _, e := range top {
		at[e.TS] = l[key(e.Value)]
	}
	type pair struct {
		value  string
		letter byte
		times  int
		first  int
	}
	var pairs []pair
	first := map[string]int{}
	for i, e := range entries {
		v := key(e.Value)
		if _, ok := first[v]; !ok {
			first[v] = i
		}
		letter, ok := at[e.TS]
		if !ok {
			continue
		}
		found := slices.IndexFunc(pairs, func(p pair) bool { return p.value == v && p.letter == letter })
		if found < 0 {
			pairs = append(pairs, pair{value: v, letter: letter})
			found = len(pairs) - 1
		}
		pairs[found].times++
	}
	for i := range pairs {
		pairs[i].first = first[pairs[i].value]
	}
	slices.SortStableFunc(pairs, func(x, y pair) int {
		return cmp.Or(cmp.Compare(y.times, x.times), cmp.Compare(x.letter, y.letter), cmp.Compare(x.first, y.first))
	})
	out, used := letters{}, map[byte]bool{}
	for _, p := range pairs {
		if _, ok := out[p.value]; !ok && !used[p.letter] {
			out[p.value], used[p.letter] = p.letter, true
		}
	}
	rest := make([]string, 0, len(first))
	for v := range first {
		if _, ok := out[v]; !ok {
			rest = append(rest, v)
		}
	}
	slices.SortFunc(rest, func(x, y string) int { return cmp.Compare(first[x], first[y]) })
	next := byte('A')
	for _, v := range rest {
		for used[next] && next < 'Z' {
			next++
		}
		out[v], used[next] = next, true
	}
	return out
}

// cell is one session's value in a picture.
type cell struct {
	column int
	letter byte
	value  json.RawMessage
	ts     float64
	before bool // before the window
	back   bool // came back after another
}

// cellsOf are the cells of a row, the entries that have a column. back marks
// runs of a value that had a run before.
func cellsOf(c *columns, l letters, older, recent []entry, returns bool) []cell {
	var cells []cell
	seen, last := map[string]bool{}, ""
	for i, e := range slices.Concat(older, recent) {
		v := key(e.Value)
		back := returns && v != last && seen[v]
		seen[v], last = true, v
		column, ok := c.at(e.TS)
		if !ok {
			continue
		}
		cells = append(cells, cell{column: column, letter: l[v], value: e.Value, ts: e.TS, before: i < len(older), back: back})
	}
	return cells
}

// place is where a time lies: in the middle of its session's column, between two
// columns in proportion, at the edge outside of them.
func (c *columns) place(ts float64) int {
	i, found := c.at(ts)
	switch {
	case found:
		return c.middle(i)
	case i == 0:
		return 0
	case i == len(c.times):
		return c.width()
	}
	from, to := float64(c.middle(i-1)), float64(c.middle(i))
	return int(from + (to-from)*(ts-c.times[i-1])/(c.times[i]-c.times[i-1]))
}
