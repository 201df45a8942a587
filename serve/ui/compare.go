package ui

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"handprint/serve/query"
)

// comparedKinds are the rows of a comparison that one may look at.
var comparedKinds = []order{{"all", "all"}, {"agree", "agree"}, {"differ", "differ"}, {"one", "only one"}}

// The groups of a comparison, in the order in which a page shows them.
const (
	counts = iota
	speaksAgainst
	nearlyEveryone
	covered
	notStable
	oneSided
)

var comparedTitles = []string{
	"Counts, the most uncommon first", "Speaks against", "Nearly everyone here has it", "A weightier one of its group counts instead", "Not stable in both", "Only one has it",
}

// groupCompared puts the rows of a comparison in order. groupOf is the evidence
// group of a primitive.
func (d *compareData) groupCompared(groupOf map[string]string) {
	d.counts = map[string]int{}
	weightiest := map[string]query.ComparedRow{}
	for _, r := range d.Rows {
		if r.Relation == "agree" && r.Bits > weightiest[groupOf[r.Primitive]].Bits {
			weightiest[groupOf[r.Primitive]] = r
		}
		d.most = max(d.most, math.Abs(r.Bits))
	}
	groups := make([][]comparedRow, len(comparedTitles))
	for _, r := range d.Rows {
		kind, g, row := "one", oneSided, comparedRow{ComparedRow: r}
		switch r.Relation {
		case "agree":
			kind, g = "agree", counts
			d.pro += r.Bits
			d.counted++
			if r.Bits == 0 {
				g = nearlyEveryone
				if w := weightiest[groupOf[r.Primitive]]; r.A != nil && r.A.Bits > 0 && w.Bits > 0 && groupOf[r.Primitive] != "" {
					g, row.instead = covered, w.Primitive
				}
			}
		case "disagree":
			kind, g = "differ", speaksAgainst
			d.against += r.Bits
			d.counted++
		case "not_stable":
			kind, g = "differ", notStable
			if r.A != nil && r.B != nil && key(r.A.Value) == key(r.B.Value) {
				kind = "agree"
			}
		}
		d.counts[kind]++
		d.counts["all"]++
		if d.show == "all" || d.show == kind {
			groups[g] = append(groups[g], row)
		}
	}
	for i, rows := range groups {
		if len(rows) == 0 {
			continue
		}
		slices.SortStableFunc(rows, func(x, y comparedRow) int {
			return cmp.Or(-cmp.Compare(math.Abs(x.Bits), math.Abs(y.Bits)), cmp.Compare(x.Primitive, y.Primitive))
		})
		d.groups = append(d.groups, comparedGroup{comparedTitles[i], rows})
	}
}

func comparedInWords(d *compareData) string {
	agree := 0
	for _, r := range d.Rows {
		if r.Relation == "agree" {
			agree++
		}
	}
	switch {
	case d.counted == 0:
		return "There is no primitive that both are stable in, so nothing counts."
	case agree == d.counted:
		return "They agree in " + allOf(d.counted) + " that both are stable in."
	default:
		return "They agree in " + itoa(agree) + " of " + plural(d.counted, "primitive", "primitives") + " that both are stable in."
	}
}

func allOf(n int) string {
	if n == 1 {
		return "the one primitive"
	}
	return "all " + itoa(n) + " primitives"
}

// bitsOf is a number of bits without a sign.
func bitsOf(f float64) string { return strconv.FormatFloat(math.Abs(f), 'f', 1, 64) }

// bitsWidth is how long the bar of a row's bits is, of 110 pixels.
func bitsWidth(bits, most float64) int {
	if most == 0 {
		return 0
	}
	return max(int(110*math.Abs(bits)/most), 2)
}

// shellWord is text as one word of a shell.
func shellWord(s string) string {
	s = printable(s, maxLinked)
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:/@", r))
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
