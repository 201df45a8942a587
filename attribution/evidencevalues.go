package attribution

import (
	"bytes"
	"cmp"
	"slices"
)

// Bounds of the values that a reason shows.
const (
	maxReasonValues     = 8
	maxReasonValueBytes = 256 // a longer value is left out
)

// EvidenceValues collects the values that a reason of a suspicion shows
// (docs/attribution.md, "The record of a suspicion"). The zero value is empty.
type EvidenceValues struct {
	// Times is how often a value came back after another, in all series that
	// AddReturning was given.
	Times int

	index map[string]int
	list  []valueCount
}

type valueCount struct {
	value Value
	count int
	first Entry // the earliest with the value; its Value is not set
}

// AddReturning adds the values of an attacker's series that count, if the
// series returns.
func (v *EvidenceValues) AddReturning(s *Series, t *Thresholds) {
	runs, times := runsOf(s, t)
	if times == 0 || fixedLag(runs, t) {
		return
	}
	v.Times += times
	number, counted := countValues(s, t)
	for i := range s.Entries {
		if n, known := number[string(s.Entries[i].Value)]; known && counted[n] {
			v.add(&s.Entries[i])
		}
	}
}

// AddWindow adds the window of the newest entries of what the merger concluded
// from last.
func (v *EvidenceValues) AddWindow(m *Merger) {
	_, recent := m.windows()
	for i := range recent {
		v.add(&recent[i].Entry)
	}
}

func (v *EvidenceValues) add(e *Entry) {
	i, known := v.index[string(e.Value)]
	if !known {
		if v.index == nil {
			v.index = make(map[string]int)
		}
		i = len(v.list)
		v.index[string(e.Value)] = i
		v.list = append(v.list, valueCount{value: bytes.Clone(e.Value), first: *e})
	}
	c := &v.list[i]
	if e.before(&c.first) {
		c.first = *e
	}
	c.first.Value = nil
	c.count++
}

// Most returns the most frequent values, at most eight, of equally frequent
// ones the one first that was seen first. Values of more than 256 bytes are left
// out.
func (v *EvidenceValues) Most() []Value {
	slices.SortStableFunc(v.list, func(a, b valueCount) int {
		switch {
		case a.count != b.count:
			return cmp.Compare(b.count, a.count)
		case a.first.before(&b.first):
			return -1
		case b.first.before(&a.first):
			return 1
		}
		return 0
	})
	var values []Value
	for i := range v.list {
		if len(values) == maxReasonValues {
			break
		}
		if is := v.list[i].value; len(is) <= maxReasonValueBytes && is[0] > ' ' {
			values = append(values, is)
		}
	}
	v.index = nil // the list is in another order now
	return values
}
