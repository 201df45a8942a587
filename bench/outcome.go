package main

import (
	"fmt"
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// maxApart is how far two values or confidences may lie apart, by their size, and still
// be the same: libraries sum in other orders. Times are compared as they are.
const maxApart = 1e-9

// written is one thing that a contender wrote: a hash of what has to be the same to
// the last byte, and the numbers that need not be.
type written struct {
	exact   uint64
	numbers []float64
}

// exact is a double as it is.
func exact(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// write returns what a value, its confidence and other fields say. A value that is a
// number is one of the numbers.
func write(value []byte, confidence float64, fields ...string) written {
	numbers := []float64{confidence}
	h := xxhash.New()
	add := func(field string) {
		_, _ = h.WriteString(field)
		_, _ = h.Write([]byte{0})
	}
	for _, f := range fields {
		add(f)
	}
	if f, err := strconv.ParseFloat(string(value), 64); err == nil {
		numbers = append(numbers, f)
	} else {
		add(string(value))
	}
	return written{exact: h.Sum64(), numbers: numbers}
}

// is reports whether two are the same.
func (w written) is(o written) bool {
	if w.exact != o.exact || len(w.numbers) != len(o.numbers) {
		return false
	}
	for i, a := range w.numbers {
		if b := o.numbers[i]; math.Abs(a-b) > maxApart*max(math.Abs(a), math.Abs(b)) {
			return false
		}
	}
	return true
}

// outcome is what a contender wrote that has to be the same for each that does the
// job: its last rows, or its transitions, by name.
type outcome map[string]written

// difference counts the names that two outcomes do not have in common, or not with the
// same content, and returns the smallest of these names.
func (o outcome) difference(other outcome) (n int64, example string) {
	note := func(name string) {
		if n++; n == 1 || name < example {
			example = name
		}
	}
	for name, w := range o {
		if x, ok := other[name]; !ok || !w.is(x) {
			note(name)
		}
	}
	for name := range other {
		if _, ok := o[name]; !ok {
			note(name)
		}
	}
	return n, example
}

// outcomes are what the first contender that concludes wrote in its first round. All
// that come later are compared with it.
type outcomes struct {
	rows, transitions outcome
}

// compare notes in a what is different from the first.
func (first *outcomes) compare(rows, transitions outcome, a *audit) {
	if first.rows == nil {
		first.rows, first.transitions = rows, transitions
		return
	}
	var row, transition string
	a.DifferentRows, row = first.rows.difference(rows)
	a.DifferentTransitions, transition = first.transitions.difference(transitions)
	if a.DifferentRows > 0 {
		a.Example = fmt.Sprintf("row %s", row)
	} else if a.DifferentTransitions > 0 {
		a.Example = fmt.Sprintf("transition %s", transition)
	}
}
