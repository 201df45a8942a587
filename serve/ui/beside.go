package ui

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"slices"

	"handprint/serve/query"
)

// maxBeside is how many of a value's holders are asked what else they have, and
// maxBesideRows how many values are shown for it.
const (
	maxBeside     = 12
	maxBesideRows = 8
)

// besideRow is a value that goes with another one.
type besideRow struct {
	primitive   string
	value       json.RawMessage
	here        int // holders of the other value that have it
	holders, of int // rows that have it, of all rows of the primitive
}

// beside finds the values that the holders of a value have in common. Values that
// nearly everyone has come last.
func (h *Handler) beside(ctx context.Context, d *valueData) {
	type pair struct{ primitive, value string }
	seen := map[pair]int{}
	for _, it := range d.holders.Items[:min(len(d.holders.Items), maxBeside)] {
		id, err := h.o.Source.Identity(ctx, it.Identity)
		if err != nil {
			continue // it has gone since
		}
		d.looked++
		for _, r := range id.Rows {
			if r.Primitive != d.Primitive && len(r.Value) <= maxLinked {
				seen[pair{r.Primitive, key(r.Value)}]++
			}
			if r.Primitive == d.Primitive && key(r.Value) == key(d.Value) && (d.since == 0 || r.ChangeTS < d.since) {
				d.since = r.ChangeTS
			}
		}
	}
	if d.looked < 2 {
		return // one identity's values are its own page
	}
	for p, n := range seen {
		if 2*n > d.looked {
			row := besideRow{primitive: p.primitive, value: json.RawMessage(p.value), here: n}
			if v, err := h.o.Source.Value(ctx, p.primitive, row.value); err == nil {
				row.holders, row.of = v.Holders, v.Of
			}
			d.beside = append(d.beside, row)
		}
	}
	lift := func(r besideRow) float64 { // how much more common here than anywhere
		if r.holders == 0 {
			return 0
		}
		return float64(r.here) / float64(d.looked) * float64(r.of) / float64(r.holders)
	}
	slices.SortFunc(d.beside, func(x, y besideRow) int {
		return cmp.Or(cmp.Compare(lift(y), lift(x)), cmp.Compare(x.primitive, y.primitive), cmp.Compare(key(x.value), key(y.value)))
	})
	d.beside = d.beside[:min(len(d.beside), maxBesideRows)]
}

// weightiest are the agreements that weigh something, the weightiest first.
func weightiest(agree []query.Agreement) []query.Agreement {
	out := slices.DeleteFunc(slices.Clone(agree), func(a query.Agreement) bool { return a.Bits == 0 })
	slices.SortStableFunc(out, func(x, y query.Agreement) int { return cmp.Compare(y.Bits, x.Bits) })
	return out
}

// hasValue reports whether an agreement says its value; a long one is known by its
// digest alone.
func hasValue(v json.RawMessage) bool { return len(v) > 0 && string(v) != "null" }

// valueQuery is the list of identities that have a value, as a query.
func valueQuery(d *valueData) string {
	return url.Values{"primitive": {cutID(d.Primitive)}, "value": {cutID(string(d.Value))}}.Encode()
}
