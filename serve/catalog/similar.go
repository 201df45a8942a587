package catalog

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"handprint/attribution"
)

// commonness is the catalogue as attribution.Compare asks it. The read lock is
// held.
type commonness struct{ c *Catalog }

func (x commonness) primitive(name string) *primitive {
	if in, ok := x.c.primitiveIndex[name]; ok {
		return x.c.primitives[in-1]
	}
	return nil
}

// Holders implements attribution.Commonness.
func (x commonness) Holders(name string, v attribution.Value) int {
	if p := x.primitive(name); p != nil {
		if n, ok := p.dict.index[string(v)]; ok {
			return int(p.dict.values.at(n).states[attribution.Stable])
		}
	}
	return 0
}

// Of implements attribution.Commonness.
func (x commonness) Of(name string) int {
	if p := x.primitive(name); p != nil {
		return int(p.dict.stable)
	}
	return 0
}

// Chance implements attribution.Commonness.
func (x commonness) Chance(name string) float64 {
	if p := x.primitive(name); p != nil && p.dict.stable > 0 {
		return float64(p.dict.squares) / (float64(p.dict.stable) * float64(p.dict.stable))
	}
	return 0
}

// stableRows returns an identity's stable rows that are not null, by primitive.
func (c *Catalog) stableRows(n uint32) (rows []attribution.StableRow) {
	c.eachRow(c.identities.at(n), func(p *primitive, r *row) bool {
		if text := p.dict.values.at(r.value).text; r.state == attribution.Stable && text != string(attribution.Null) {
			rows = append(rows, attribution.StableRow{Primitive: p.name, Value: attribution.Value(text), Confidence: r.confidence})
		}
		return true
	})
	slices.SortFunc(rows, func(a, b attribution.StableRow) int { return strings.Compare(a.Primitive, b.Primitive) })
	return rows
}

// pair scores an identity, with its stable rows, and another one.
func (c *Catalog) pair(a uint32, rows []attribution.StableRow, b uint32) attribution.Suggestion {
	s := attribution.Compare(rows, c.stableRows(b), commonness{c})
	s.A, s.B = c.ids.text(a), c.ids.text(b)
	return s
}

// Compare scores two identities as attribution.Suggest does. ok is false if one is
// not known.
func (c *Catalog) Compare(a, b string) (s attribution.Suggestion, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	x, okA := c.ids.find([]byte(a))
	y, okB := c.ids.find([]byte(b))
	if !okA || !okB {
		return s, false
	}
	return c.pair(x, c.stableRows(x), y), true
}

// Bounds of the search for alike identities: a value that more share brings up no
// candidates, and no more pairs than this are scored.
const (
	maxSimilarHolders = 1000
	maxPairHolders    = 100
	maxPairs          = 1_000_000
	maxComparedRows   = 200_000_000 // of all pairs: a pair has some 70 as a rule

	maxSimilarScanned  = 200_000_000 // rows that are looked at for candidates
	maxSimilarCompared = 2_000_000   // rows of pairs that are compared while somebody waits
)

// pairRows is what a pair counts besides its rows: two identities without rows take time, too.
const pairRows = 20

// maxEvidence bounds what a suggestion says that its identities agree and disagree about,
// the weightiest: attackers may agree about any number of primitives that they have made up.
const maxEvidence = 128

// weightiest leaves out of a suggestion what is beyond the bound.
func weightiest(s attribution.Suggestion) attribution.Suggestion {
	if len(s.Agree) > maxEvidence {
		s.Agree = slices.Clone(s.Agree[:maxEvidence])
	}
	if len(s.Disagree) > maxEvidence {
		s.Disagree = slices.Clone(s.Disagree[:maxEvidence])
	}
	return s
}

// Similar returns the identities that score highest with one, above 0, at most
// limit. Candidates share a stable value with it that at most 1000 identities have.
// It looks at a bounded number of rows, of the rarest values first, and ends with ctx;
// complete says whether that was all. Writers have their turn in between.
func (c *Catalog) Similar(ctx context.Context, id string, limit int) (found []attribution.Suggestion, complete, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, ok := c.ids.find([]byte(id))
	if !ok {
		return nil, false, false
	}
	candidates, complete := c.alike(ctx, n)
	ours := c.stableRows(n)
	compared := 0
	for _, other := range candidates {
		if compared > maxSimilarCompared || ctx.Err() != nil {
			return best(found, limit), false, true
		}
		if s := c.pair(n, ours, other); s.Score > 0 {
			if found = append(found, weightiest(s)); len(found) >= 4*limit+64 {
				found = best(found, limit)
			}
		}
		compared = c.compared(compared, n, other)
	}
	return best(found, limit), complete, true
}

// alike returns identities that share a stable value with one, the rarest values first;
// complete says whether these are all. The read lock is held, and given back in between.
func (c *Catalog) alike(ctx context.Context, n uint32) (candidates []uint32, complete bool) {
	type held struct {
		p              *primitive
		value, holders uint32
	}
	var values []held // copied, since writers have their turn below
	c.eachRow(c.identities.at(n), func(p *primitive, r *row) bool {
		v := p.dict.values.at(r.value)
		if holders := v.states[attribution.Stable]; r.state == attribution.Stable && v.text != string(attribution.Null) && holders >= 2 && holders <= maxSimilarHolders {
			values = append(values, held{p, r.value, holders})
		}
		return true
	})
	slices.SortFunc(values, func(a, b held) int {
		return cmp.Or(cmp.Compare(a.holders, b.holders), strings.Compare(a.p.name, b.p.name))
	})
	known := make(map[uint32]struct{})
	scanned := 0
	for _, h := range values {
		if scanned > maxSimilarScanned {
			return candidates, false
		}
		for at := 0; at < h.p.rows.n; at++ {
			if scanned++; scanned%scanPlaces == 0 {
				c.breathe()
				if ctx.Err() != nil {
					return candidates, false
				}
			}
			o := h.p.rows.at(uint32(at))
			if o.flags&rowUsed == 0 || o.value != h.value || o.state != attribution.Stable || o.identity == n || c.identities.at(o.identity).merged != 0 {
				continue
			}
			if _, again := known[o.identity]; !again {
				known[o.identity] = struct{}{}
				if candidates = append(candidates, o.identity); len(candidates) > maxSimilarCompared/pairRows {
					return candidates, false
				}
			}
		}
	}
	return candidates, true
}

// Suggest returns the pairs that score highest, at least minScore and above 0, at
// most limit, as attribution.Suggest over all stable rows does. It scores at most a
// million pairs, fewer if their identities have very many rows; complete says whether that
// was all of them. It takes seconds where there is much: it ends with ctx, and writers have
// their turn in between.
func (c *Catalog) Suggest(ctx context.Context, minScore float64, limit int) (found []attribution.Suggestion, complete bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	pairs := make(map[[2]uint32]struct{})
	for p := range c.tables() {
		holders := make(map[uint32][]uint32)
		for at := range p.rows.n {
			if at%scanPlaces == scanPlaces-1 {
				c.breathe()
			}
			r := p.rows.at(uint32(at))
			if r.flags&rowUsed == 0 || r.state != attribution.Stable || c.identities.at(r.identity).merged != 0 {
				continue
			}
			v := p.dict.values.at(r.value)
			if n := v.states[attribution.Stable]; n >= 2 && n <= maxPairHolders && v.text != string(attribution.Null) {
				holders[r.value] = append(holders[r.value], r.identity)
			}
		}
		if ctx.Err() != nil {
			return nil, false
		}
		for _, list := range holders {
			for i, a := range list {
				for _, b := range list[i+1:] {
					if len(pairs) < maxPairs {
						if c.ids.compare(a, b) > 0 {
							a, b = b, a
						}
						pairs[[2]uint32{a, b}] = struct{}{}
					}
				}
			}
		}
		c.breathe()
	}
	compared := 0
	for p := range pairs {
		if compared > maxComparedRows || ctx.Err() != nil {
			return best(found, limit), false
		}
		if s := c.pair(p[0], c.stableRows(p[0]), p[1]); s.Score >= minScore && s.Score > 0 {
			if found = append(found, weightiest(s)); len(found) >= 4*limit+64 {
				found = best(found, limit)
			}
		}
		compared = c.compared(compared, p[0], p[1])
	}
	return best(found, limit), len(pairs) < maxPairs
}

// compared adds the rows of two identities to a count, and gives
// writers their turn after every scanPlaces of them: an identity may have tens of thousands.
func (c *Catalog) compared(before int, a, b uint32) (now int) {
	now = before + pairRows + c.identities.at(a).rows() + c.identities.at(b).rows()
	if now/scanPlaces > before/scanPlaces {
		c.breathe()
	}
	return now
}

func best(list []attribution.Suggestion, limit int) []attribution.Suggestion {
	slices.SortFunc(list, func(x, y attribution.Suggestion) int {
		return cmp.Or(cmp.Compare(y.Score, x.Score), strings.Compare(x.A, y.A), strings.Compare(x.B, y.B))
	})
	return list[:min(limit, len(list))]
}

// Commonness returns how many identities are stable with a value, as the store has
// it, and how many in the primitive; null counts for neither.
func (c *Catalog) Commonness(name string, v attribution.Value) (holders, of int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	x := commonness{c}
	if string(v) != string(attribution.Null) {
		holders = x.Holders(name, v)
	}
	return holders, x.Of(name)
}

// IsNamed reports whether an identity is known, if only because something is merged
// into it or linked to it.
func (c *Catalog) IsNamed(id string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, ok := c.ids.find([]byte(id))
	return ok && !c.identities.at(n).dropped
}
