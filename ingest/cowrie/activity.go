package cowrie

import (
	"cmp"
	"slices"
)

// activity is what was done in a session: its lines and commands in order. It
// is used again for each session that ends.
type activity struct {
	shell    shell
	lines    []line
	commands []command // the commands of all lines that count
	failures []failure
	spare    []int
}

// line is one line of a session.
type line struct {
	text      string
	at        micros
	pipes     int
	help      bool // a word of it is --help or -h
	low, high int  // its commands are commands[low:high]
}

// failure is a program that the fake shell does not know.
type failure struct {
	line    int    // the line before it
	program string // empty if the event names none
}

// read takes the entries of a session that has ended.
func (a *activity) read(f *facts) {
	clear(a.lines)
	clear(a.commands)
	clear(a.failures)
	a.lines, a.commands, a.failures = a.lines[:0], a.commands[:0], a.failures[:0]
	if f.unordered {
		slices.SortStableFunc(f.entries, func(x, y entry) int { return cmp.Compare(x.at, y.at) })
	}
	for _, e := range f.entries {
		if !e.failed {
			a.shell.read(e.text)
			low := len(a.commands)
			a.commands = append(a.commands, a.shell.commands...)
			a.lines = append(a.lines, line{e.text, e.at, a.shell.pipes, a.shell.help, low, len(a.commands)})
			continue
		}
		if len(a.lines) == 0 {
			continue // a failure before the first line does not count
		}
		a.shell.read(e.text)
		failed := failure{line: len(a.lines) - 1}
		if len(a.shell.commands) > 0 {
			failed.program = a.shell.commands[0].head
		}
		a.failures = append(a.failures, failed)
	}
}

// last returns the last n commands, fewer if there are fewer.
func (a *activity) last(n int) []command { return a.commands[max(0, len(a.commands)-n):] }

// heads reports whether the line has a command whose head is in names.
func (a *activity) heads(l line, names func(head string) bool) bool {
	return slices.ContainsFunc(a.commands[l.low:l.high], func(c command) bool { return names(c.head) })
}

// twiceMedian returns twice the median of values, which is whole where the
// mean of the two in the middle is not. It sorts values, which must not be empty.
func twiceMedian[T ~int | ~int64](values []T) T {
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return 2 * values[middle]
	}
	return values[middle-1] + values[middle]
}
