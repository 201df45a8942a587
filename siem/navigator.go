package siem

import (
	"maps"
	"slices"
	"strconv"
)

// Layer counts in how many identities each technique was seen, for a layer of
// the ATT&CK Navigator.
type Layer struct {
	seen map[string]map[string]bool // technique: identities
	why  map[string]map[string]bool // technique: primitives
}

// NewLayer returns an empty layer.
func NewLayer() *Layer {
	return &Layer{seen: map[string]map[string]bool{}, why: map[string]map[string]bool{}}
}

// Add takes the techniques of an event; tactics have no place of their own in a
// layer.
func (l *Layer) Add(e *Event) {
	for _, t := range e.Techniques {
		if t.IsTactic() {
			continue
		}
		if l.seen[t.ID] == nil {
			l.seen[t.ID], l.why[t.ID] = map[string]bool{}, map[string]bool{}
		}
		l.seen[t.ID][e.Identity] = true
		l.why[t.ID][e.Primitive] = true
	}
}

// Append appends the layer in version 4.5 of its format.
func (l *Layer) Append(dst []byte) []byte {
	m := DefaultAttackMap()
	most := 1
	for _, ids := range l.seen {
		most = max(most, len(ids))
	}
	dst = append(dst, `{"name":"handprint: observed behaviour","versions":{"attack":"17","navigator":"5.1.0","layer":"4.5"}`...)
	dst = appendField(dst, `,"domain":`, m.Domain)
	dst = append(dst, `,"description":"How many identities showed behaviour that stands for a technique. An identity is an opaque id, not a person or an organisation.","sorting":3,"techniques":[`...)
	for i, id := range slices.Sorted(maps.Keys(l.seen)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendField(append(dst, '\n'), `{"techniqueID":`, id)
		dst = strconv.AppendInt(append(dst, `,"score":`...), int64(len(l.seen[id])), 10)
		comment := strconv.Itoa(len(l.seen[id])) + " identities:"
		for _, p := range slices.Sorted(maps.Keys(l.why[id])) {
			comment += " " + p
		}
		dst = append(appendField(dst, `,"comment":`, comment), `,"enabled":true}`...)
	}
	dst = append(dst, "\n"+`],"gradient":{"colors":["#ffffff","#66b1ff"],"minValue":0,"maxValue":`...)
	dst = strconv.AppendInt(dst, int64(most), 10)
	return append(dst, "}}\n"...)
}
