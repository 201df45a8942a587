package ui

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"handprint/serve/query"
)

// band is a stretch of a lane in which a row was in one state.
type band struct {
	state    string
	from, to int    // pixels
	says     string // what began it, in words
}

// tick is an observation that is kept.
type tick struct {
	x      int
	letter byte // 0: a mark alone
}

// lane is a row's history on the axis.
type lane struct {
	bands  []band
	ticks  []tick
	before int  // up to here the history does not say; 0: it does
	letter bool // the row has several values, so ticks have letters
	values []cell
}

// laneOf draws a row: its transitions as bands, its entries as letters.
func laneOf(a *axis, l letters, transitions []query.Happening, row *query.Row, entries []entry, p *page) lane {
	out := lane{}
	distinct := map[string]bool{}
	for _, e := range entries {
		distinct[key(e.Value)] = true
	}
	out.letter = len(distinct) > 1
	if !a.recorded { // a window does not know when its entries were written
		out.ticks = ticksOf(a, l, entries, out.letter)
		for _, e := range entries[max(0, len(entries)-maxColumns):] {
			out.values = append(out.values, cell{value: e.Value, ts: e.TS})
		}
	}
	if !a.linear && len(a.columns.times) == 0 {
		return out
	}
	changes := slices.DeleteFunc(slices.Clone(transitions), func(h query.Happening) bool {
		return h.Kind != "state" || h.Primitive != row.Primitive
	})
	slices.SortStableFunc(changes, func(x, y query.Happening) int { return cmp.Compare(a.when(&x), a.when(&y)) })
	end := a.width()
	if len(changes) == 0 { // no history: what it is now, since then
		out.before = a.place(row.ChangeTS)
		if b := (band{row.State, out.before, end, p.clock(row.ChangeTS) + ", " + words(row.Primitive) + ", " + stateWord(row.State) + " since then"}); b.to > b.from {
			out.bands = []band{b}
		}
		return out
	}
	if changes[0].OldState != nil {
		out.before = a.place(a.when(&changes[0]))
	}
	for i := range changes {
		h := &changes[i]
		b := band{state: h.NewState, from: a.place(a.when(h)), to: end, says: changeInWords(p, a, h)}
		if i+1 < len(changes) {
			b.to = a.place(a.when(&changes[i+1]))
		}
		if b.to > b.from {
			out.bands = append(out.bands, b)
		}
	}
	return out
}

// ticksOf are the entries of a row on the axis. Where letters would touch, the
// later ones are marks.
func ticksOf(a *axis, l letters, entries []entry, lettered bool) []tick {
	var out []tick
	free := math.MinInt
	for _, e := range entries[max(0, len(entries)-maxTicks):] {
		if !a.shows(e.TS) {
			continue
		}
		t := tick{x: a.place(e.TS)}
		if lettered && t.x >= free {
			t.letter = l[key(e.Value)]
			free = t.x + 11
		}
		if n := len(out); n > 0 && out[n-1].x == t.x {
			continue // the same pixel
		}
		out = append(out, t)
	}
	return out
}

// changeInWords is a transition as a sentence.
func changeInWords(p *page, a *axis, h *query.Happening) string {
	old := "new"
	if h.OldState != nil {
		old = "from " + stateWord(*h.OldState)
	}
	return fmt.Sprintf("%s, %s, %s to %s, value %s, confidence %s", p.clock(a.when(h)), words(h.Primitive), old, stateWord(h.NewState), valueText(h.Value), twoPlaces(h.Confidence))
}
