package attribution

import (
	"bytes"
	"math"
	"slices"
)

// Returns reports whether a value of a series came back after another one
// (docs/attribution.md, "Returning fingerprints"): two tools that take turns,
// unless the turns come at a fixed short lag, as those of one script with two
// tools do.
func Returns(s *Series, t *Thresholds) bool {
	if len(s.Entries) <= maxQuick && !comesBack(s, t) {
		return false
	}
	runs, times := runsOf(s, t)
	return times > 0 && !fixedLag(runs, t)
}

// maxQuick is how many entries comesBack takes.
const maxQuick = 64

// comesBack reports whether runsOf has a value that had a run before. It takes no memory:
// of an identity of many attackers most series have none.
func comesBack(s *Series, t *Thresholds) bool {
	if sameValues(s) {
		return false
	}
	var number [maxQuick]int8 // of an entry's value, by where it is first seen
	var seen [maxQuick]int
	for i := range s.Entries {
		v := s.Entries[i].Value
		first := 0
		for !bytes.Equal(s.Entries[first].Value, v) {
			first++
		}
		number[i] = int8(first)
		seen[first]++
	}
	var had [maxQuick]bool
	last := -1
	for i := range s.Entries {
		n := int(number[i])
		if n == last || seen[n] < t.ReturnMinSeen || bytes.Equal(s.Entries[i].Value, Null) {
			continue
		}
		if had[n] {
			return true
		}
		had[n], last = true, n
	}
	return false
}

// run is a row of neighbours of equal value, among the entries that count.
type run struct {
	value       int // its number among the values that count
	entries     int
	first, last float64
}

// runsOf returns the runs of a series, and how many of them are of a value that
// had a run before.
func runsOf(s *Series, t *Thresholds) (runs []run, times int) {
	if sameValues(s) {
		return nil, 0
	}
	number, counted := countValues(s, t)
	var had []bool
	for i := range s.Entries {
		e := &s.Entries[i]
		n, known := number[string(e.Value)]
		if !known || !counted[n] {
			continue
		}
		if len(runs) > 0 && runs[len(runs)-1].value == n {
			runs[len(runs)-1].last = e.TS
			runs[len(runs)-1].entries++
			continue
		}
		if had == nil {
			had = make([]bool, len(counted))
		}
		if had[n] {
			times++
		}
		had[n] = true
		runs = append(runs, run{value: n, entries: 1, first: e.TS, last: e.TS})
	}
	return runs, times
}

// sameValues reports whether all entries have one value: most series do.
func sameValues(s *Series) bool {
	for i := 1; i < len(s.Entries); i++ {
		if !bytes.Equal(s.Entries[i].Value, s.Entries[0].Value) {
			return false
		}
	}
	return true
}

// countValues numbers the values of a series, null left out, and says which of
// them occur often enough to count.
func countValues(s *Series, t *Thresholds) (number map[string]int, counted []bool) {
	number = make(map[string]int)
	var seen []int
	for i := range s.Entries {
		v := s.Entries[i].Value
		if bytes.Equal(v, Null) {
			continue
		}
		n, known := number[string(v)]
		if !known {
			n = len(seen)
			number[string(v)] = n
			seen = append(seen, 0)
		}
		seen[n]++
	}
	counted = make([]bool, len(seen))
	for n := range seen {
		counted[n] = seen[n] >= t.ReturnMinSeen
	}
	return number, counted
}

// fixedLag reports whether the changes from one value to another come at a
// fixed short lag.
func fixedLag(runs []run, t *Thresholds) bool {
	for _, lags := range lagsOf(runs) {
		if fixed(lags, t) {
			return true
		}
	}
	return false
}

// change is an ordered pair of values, by their numbers.
type change struct{ from, to int }

// lagsOf returns the lags of the changes between runs, by pair of values.
func lagsOf(runs []run) map[change][]float64 {
	lags := make(map[change][]float64)
	for i := 1; i < len(runs); i++ {
		p := change{runs[i-1].value, runs[i].value}
		lags[p] = append(lags[p], runs[i].first-runs[i-1].last)
	}
	return lags
}

// fixed reports whether the lags of one pair are as many as count, short, and
// alike. It sorts them.
func fixed(lags []float64, t *Thresholds) bool {
	return len(lags) >= t.ReturnLagChanges && median(lags) < t.ReturnLag && spread(lags) < t.ReturnLagCV
}

// median sorts what it is given.
func median(list []float64) float64 {
	slices.Sort(list)
	n := len(list)
	high := list[n/2]
	if n%2 == 1 {
		return high
	}
	low := list[n/2-1]
	return low + (high-low)/2
}

// spread is the standard deviation of numbers that are not negative, divided by
// their mean; 0 if all are 0. All are divided by the largest, so that no square
// overflows.
func spread(list []float64) float64 {
	largest := slices.Max(list)
	if largest == 0 {
		return 0
	}
	n := float64(len(list))
	mean := 0.0
	for _, v := range list {
		mean += v / largest
	}
	mean /= n
	sum := 0.0
	for _, v := range list {
		d := v/largest - mean
		sum += d * d
	}
	return math.Sqrt(sum/n) / mean
}
