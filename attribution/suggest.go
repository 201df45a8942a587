package attribution

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strings"
)

// StableRow is a row in the state stable, for Suggest.
type StableRow struct {
	Identity   string
	Primitive  string
	Value      Value
	Confidence float64
}

// Agreement is a primitive in which two identities are stable with the same
// value.
type Agreement struct {
	Primitive string
	Value     Value
	Holders   int     // identities that are stable with this value
	Of        int     // identities that are stable in this primitive
	Bits      float64 // what the agreement counts for; 0 if a rarer one of its group does
}

// Disagreement is a primitive in which two identities are stable with
// different values.
type Disagreement struct {
	Primitive string
	Bits      float64 // below 0; 0 if a worse one of its group counts
}

// Suggestion is a pair of identities that may be the same hands.
type Suggestion struct {
	A, B     string // A < B
	Score    float64
	Agree    []Agreement // the weightiest first
	Disagree []Disagreement
}

// SuggestOptions bound a Suggest.
type SuggestOptions struct {
	// Most is how many suggestions are returned. 0: all.
	Most int
	// MostHolders is how many identities may share a value for it to bring
	// pairs up; a value that more share still counts, for next to nothing, in
	// pairs that another one brought up. 0: 100.
	MostHolders int
	// MinScore is the least score of a suggestion, in bits.
	MinScore float64
}

// agreeing is how likely the same hands are taken to show the same stable
// value twice (m of Fellegi and Sunter, "A Theory for Record Linkage", 1969).
const agreeing = 0.9

// Suggest ranks pairs of identities by how much their stable rows speak for
// the same hands. It is arithmetic over what was seen, in the manner of record
// linkage: that two identities agree on a value counts log2(m/u) bits, u being
// the share of all identities (stable in that primitive) that have the value,
// so what is common counts for next to nothing; that they differ counts
// log2((1-m)/(1-u)), u being how likely two of them agree by chance, and so
// below zero. m is 0.9. Both are weighted by the smaller confidence of the two
// rows. Primitives of one group (their first two tokens, such as
// toolchain.ssh) tend to follow from the same tool: only the weightiest
// agreement and the weightiest disagreement of each group count.
func Suggest(rows []StableRow, o SuggestOptions) []Suggestion {
	if o.MostHolders == 0 {
		o.MostHolders = 100
	}
	index := newValueIndex(rows)
	pairs := make(map[[2]string]struct{})
	for _, holders := range index.holders {
		if len(holders) > o.MostHolders {
			continue
		}
		for i, a := range holders {
			for _, b := range holders[i+1:] {
				pairs[[2]string{min(a, b), max(a, b)}] = struct{}{}
			}
		}
	}
	var list []Suggestion
	for p := range pairs {
		if s := index.compare(p[0], p[1]); s.Score >= o.MinScore && s.Score > 0 {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(x, y Suggestion) int {
		return cmp.Or(cmp.Compare(y.Score, x.Score), strings.Compare(x.A, y.A), strings.Compare(x.B, y.B))
	})
	if o.Most > 0 && len(list) > o.Most {
		list = list[:o.Most]
	}
	return list
}

// valueIndex knows who is stable with what.
type valueIndex struct {
	rows    map[string][]StableRow // by identity, sorted by primitive
	holders map[string][]string    // by primitive and value
	of      map[string]int         // by primitive: identities
	chance  map[string]float64     // by primitive: how likely two of them agree
}

func newValueIndex(rows []StableRow) *valueIndex {
	x := &valueIndex{rows: map[string][]StableRow{}, holders: map[string][]string{}, of: map[string]int{}, chance: map[string]float64{}}
	for _, r := range rows {
		if bytes.Equal(r.Value, Null) {
			continue // "nothing could be told" is nothing to agree on
		}
		x.rows[r.Identity] = append(x.rows[r.Identity], r)
		key := valueKey(r.Primitive, r.Value)
		x.holders[key] = append(x.holders[key], r.Identity)
		x.of[r.Primitive]++
	}
	for _, list := range x.rows {
		slices.SortFunc(list, func(a, b StableRow) int { return strings.Compare(a.Primitive, b.Primitive) })
	}
	for key, holders := range x.holders {
		primitive, _, _ := strings.Cut(key, "\x00")
		share := float64(len(holders)) / float64(x.of[primitive])
		x.chance[primitive] += share * share
	}
	return x
}

func valueKey(primitive string, v Value) string { return primitive + "\x00" + string(v) }

func (x *valueIndex) compare(a, b string) Suggestion {
	s := Compare(x.rows[a], x.rows[b], x)
	s.A, s.B = a, b
	return s
}

// Holders implements Commonness.
func (x *valueIndex) Holders(primitive string, v Value) int {
	return len(x.holders[valueKey(primitive, v)])
}

// Of implements Commonness.
func (x *valueIndex) Of(primitive string) int { return x.of[primitive] }

// Chance implements Commonness.
func (x *valueIndex) Chance(primitive string) float64 { return x.chance[primitive] }

// Commonness says how common stable values are among all identities.
type Commonness interface {
	Holders(primitive string, v Value) int // identities that are stable with the value
	Of(primitive string) int               // identities that are stable in the primitive, null left out
	Chance(primitive string) float64       // how likely two of them agree
}

// Bits is what an agreement on a value weighs, before confidence, where holders of
// "of" identities have the value: 0 for what most have.
func Bits(holders, of int) float64 {
	if holders <= 0 || of <= 0 {
		return 0
	}
	return max(0, math.Log2(agreeing*float64(of)/float64(holders)))
}

// Compare scores one pair as [Suggest] does, by their stable rows, each sorted by
// primitive and without nulls. A and B are left empty.
func Compare(ours, theirs []StableRow, x Commonness) (s Suggestion) {
	for _, r := range ours {
		at, found := slices.BinarySearchFunc(theirs, r.Primitive, func(o StableRow, p string) int { return strings.Compare(o.Primitive, p) })
		if !found {
			continue
		}
		confidence := min(r.Confidence, theirs[at].Confidence)
		if bytes.Equal(r.Value, theirs[at].Value) {
			holders, of := x.Holders(r.Primitive, r.Value), x.Of(r.Primitive)
			s.Agree = append(s.Agree, Agreement{Primitive: r.Primitive, Value: r.Value, Holders: holders, Of: of, Bits: Bits(holders, of) * confidence})
			continue
		}
		bits := math.Log2((1 - agreeing) / (1 - x.Chance(r.Primitive)))
		s.Disagree = append(s.Disagree, Disagreement{Primitive: r.Primitive, Bits: min(0, bits) * confidence})
	}
	slices.SortStableFunc(s.Agree, func(p, q Agreement) int { return cmp.Compare(q.Bits, p.Bits) })
	slices.SortStableFunc(s.Disagree, func(p, q Disagreement) int { return cmp.Compare(p.Bits, q.Bits) })
	counted := map[string]bool{}
	for i := range s.Agree {
		if g := group(s.Agree[i].Primitive); counted[g] {
			s.Agree[i].Bits = 0
		} else {
			counted[g] = true
			s.Score += s.Agree[i].Bits
		}
	}
	clear(counted)
	for i := range s.Disagree {
		if g := group(s.Disagree[i].Primitive); counted[g] {
			s.Disagree[i].Bits = 0
		} else {
			counted[g] = true
			s.Score += s.Disagree[i].Bits
		}
	}
	return s
}

// group is the first two tokens of a primitive.
func group(primitive string) string {
	for i, dots := 0, 0; i < len(primitive); i++ {
		if primitive[i] == '.' {
			if dots++; dots == 2 {
				return primitive[:i]
			}
		}
	}
	return primitive
}
