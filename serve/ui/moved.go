package ui

import (
	"cmp"
	"slices"

	"handprint/serve/query"
)

// movedRow is a primitive that an identity event would read anew, and what both
// identities say of it now.
type movedRow struct {
	primitive     string
	winner, loser *query.Row
}

// maxMovedRows bounds the rows of a preview.
const maxMovedRows = 200

// movedRows are the primitives that a merge or an unmerge touches: of a merge those
// of the loser; of an unmerge those of both.
func movedRows(kind string, winner, loser *query.Identity) []movedRow {
	byName := map[string]*movedRow{}
	at := func(name string) *movedRow {
		if byName[name] == nil {
			byName[name] = &movedRow{primitive: name}
		}
		return byName[name]
	}
	for i := range loser.Rows {
		at(loser.Rows[i].Primitive).loser = &loser.Rows[i]
	}
	for i := range winner.Rows {
		if r := &winner.Rows[i]; kind == "unmerge" || byName[r.Primitive] != nil {
			at(r.Primitive).winner = r
		}
	}
	out := make([]movedRow, 0, len(byName))
	for _, r := range byName {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(x, y movedRow) int { return cmp.Compare(x.primitive, y.primitive) })
	return out[:min(len(out), maxMovedRows)]
}

// membersNamed are the members of an identity with these ids.
func membersNamed(members []query.Member, ids []string) []query.Member {
	return slices.DeleteFunc(slices.Clone(members), func(m query.Member) bool { return !slices.Contains(ids, m.Attacker) })
}
