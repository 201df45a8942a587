package ui

import (
	"cmp"
	"encoding/json"
	"slices"

	"handprint/serve/query"
)

// evidence is a suspicion drawn: one column for each session, one row for each
// piece of evidence.
type evidence struct {
	columns columns
	rows    []evidenceRow
}

type evidenceRow struct {
	query.Reason
	first    bool // of its group
	cells    []cell
	returned int
	values   []keyed
}

// keyed is a value of a row's key: its letter, and how often it is in the window.
type keyed struct {
	letter byte
	value  json.RawMessage
	times  int
}

// evidenceOf draws the reasons of a suspicion. Returns come first, then the
// groups in the order of their names. The letters are those of the topmost row.
func evidenceOf(c columns, reasons []query.Reason, explained map[string]*explanation) (*evidence, letters, []entry) {
	sorted := slices.Clone(reasons)
	slices.SortStableFunc(sorted, func(x, y query.Reason) int {
		return cmp.Or(-cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Group, y.Group), cmp.Compare(x.Primitive, y.Primitive))
	})
	e := &evidence{columns: c}
	var top []entry
	var names letters
	for i, r := range sorted {
		row := evidenceRow{Reason: r, first: i == 0 || sorted[i-1].Group != r.Group}
		if x := explained[r.Primitive]; x != nil {
			entries := x.Window.entries()
			l := lettersOf(entries)
			if top == nil {
				top, names = entries, l
			} else {
				l = names.follow(top, entries)
			}
			older, recent := x.Window.Older, x.Window.Recent
			if r.Kind == "returns" {
				older, recent = nil, entries
			}
			row.cells = cellsOf(&e.columns, l, older, recent, r.Kind == "returns")
			for _, c := range row.cells {
				if c.back {
					row.returned++
				}
			}
			row.values = keyOf(l, recent)
		}
		e.rows = append(e.rows, row)
	}
	return e, names, top
}

// keyOf lists the values of entries with their letters and numbers.
func keyOf(l letters, entries []entry) []keyed {
	var out []keyed
	for _, e := range entries {
		letter := l[key(e.Value)]
		i := slices.IndexFunc(out, func(k keyed) bool { return key(k.value) == key(e.Value) })
		if i < 0 {
			i = len(out)
			out = append(out, keyed{letter: letter, value: e.Value})
		}
		out[i].times++
	}
	slices.SortStableFunc(out, func(x, y keyed) int { return cmp.Compare(x.letter, y.letter) })
	return out
}

// mark is a time on the linear scale above the columns.
type mark struct {
	x      int
	column int
	ts     float64
	label  bool
}

// scale ties each column to its time: a line of the picture's width on which
// each session has a dot, and a label at the ends and at a burst's begin.
func (c *columns) scale() []mark {
	if len(c.times) == 0 {
		return nil
	}
	width, first, last := c.width()-12, c.times[0], c.times[len(c.times)-1]
	marks := make([]mark, len(c.times))
	free := 0
	for i, ts := range c.times {
		x := 6
		if last > first {
			x += int(float64(width-12) * (ts - first) / (last - first))
		}
		marks[i] = mark{x: x, column: c.middle(i), ts: ts}
		end := i == 0 || i == len(c.times)-1
		if (end || c.bursts[i] != c.bursts[i-1]) && (x >= free && (end || x < width-110)) {
			marks[i].label = true
			free = x + 70
		}
	}
	return marks
}

func letterClass(b byte) string {
	if b >= 'A' && b <= 'E' {
		return "c" + string(b)
	}
	return "cB"
}
