package engine

import (
	"bytes"
	"slices"

	"handprint/attribution"
)

// sweepDue knows which identities a sweep of a replay has to look at: those whose
// evidence or rows have changed since the last one, and those whose quiet time may
// be over. Of any other it would find what the last one found. A replay may have a
// sweep for each observation, so it cannot look at all suspects each time; a live
// task does, in steps. It is void when the task's memory is: the next sweep looks
// at all of them.
type sweepDue struct {
	all     bool
	changed map[string]struct{}
	quiet   map[string]float64 // open suspicions that are quiet, and since when
}

// maxChanged bounds what is remembered. More than that is all.
const maxChanged = 1 << 16

func (d *sweepDue) reset() {
	*d = sweepDue{all: true, changed: make(map[string]struct{}), quiet: make(map[string]float64)}
}

// mark is told of every change of an identity's flags, and of every row that is
// taken away.
func (d *sweepDue) mark(identity []byte) {
	if d.all {
		return
	}
	if len(d.changed) >= maxChanged {
		d.reset()
		return
	}
	d.changed[string(identity)] = struct{}{}
}

// judged is told of each identity that a tick has judged: its suspicion may be
// quiet from now on, or not any more.
func (d *sweepDue) judged(identity []byte, open *attribution.OpenSuspicion, status attribution.SuspicionStatus) {
	if d.all {
		return
	}
	if open != nil && open.Quiet && status != attribution.SuspicionCleared {
		d.quiet[string(identity)] = open.QuietSince
	} else {
		delete(d.quiet, string(identity))
	}
}

// take returns the identities that have changed, or whose quiet time is over at
// now or begins anew, in the order of their ids, and begins to remember anew. It
// is not for a sweep that looks at all.
func (d *sweepDue) take(now, quiet float64) (list [][]byte) {
	for id := range d.changed {
		list = append(list, []byte(id))
	}
	clear(d.changed)
	for id, since := range d.quiet {
		if now < since || now-since >= quiet {
			list = append(list, []byte(id))
		}
	}
	slices.SortFunc(list, bytes.Compare)
	return slices.CompactFunc(list, bytes.Equal)
}
