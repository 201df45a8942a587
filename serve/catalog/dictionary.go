package catalog

import (
	"strings"

	"handprint/attribution"
)

// dictionary numbers the values of one primitive, as their canonical text or, of
// long ones, as the digest that the store has, and counts their rows by state. The
// place of a value that no row has any more is used again.
type dictionary struct {
	values table[value]
	index  map[string]uint32
	free   []uint32
	bytes  int

	stable  int64 // stable rows, null left out
	squares int64 // of the stable rows of each value, summed; null left out
}

type value struct {
	text   string
	states [states]uint32
}

func (v *value) holders() (n uint32) {
	for _, s := range v.states {
		n += s
	}
	return n
}

// add counts a row of a value in and returns the value's number.
func (d *dictionary) add(text []byte, s attribution.State) uint32 {
	n, ok := d.index[string(text)]
	if !ok {
		v := value{text: string(text)}
		if last := len(d.free) - 1; last >= 0 {
			n, d.free = d.free[last], d.free[:last]
			*d.values.at(n) = v
		} else {
			n = d.values.add(v)
		}
		if d.index == nil {
			d.index = make(map[string]uint32)
		}
		d.index[v.text] = n
		d.bytes += len(text)
	}
	d.count(d.values.at(n), s, 1)
	return n
}

// count counts rows of a value in or, below zero, out.
func (d *dictionary) count(v *value, s attribution.State, by int64) {
	if s == attribution.Stable && v.text != string(attribution.Null) {
		was := int64(v.states[s])
		d.stable += by
		d.squares += (was+by)*(was+by) - was*was
	}
	v.states[s] = uint32(int64(v.states[s]) + by)
}

// drop counts a row of a value out.
func (d *dictionary) drop(n uint32, s attribution.State) {
	v := d.values.at(n)
	d.count(v, s, -1)
	if v.holders() > 0 {
		return
	}
	d.bytes -= len(v.text)
	delete(d.index, v.text)
	*v = value{}
	d.free = append(d.free, n)
}

func (d *dictionary) memory() int { return d.values.n*valueBytes + d.bytes }

// hasTextPrefix reports whether a value is a JSON string whose text, as it is
// written in JSON, begins with prefix.
func (v *value) hasTextPrefix(prefix string) bool {
	return len(v.text) > 0 && v.text[0] == '"' && strings.HasPrefix(v.text[1:], prefix)
}
