package engine

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
)

// checkIdentities compares what the tasks have told of identities with the
// model: one change for each good event, and the last record of each identity.
func checkIdentities(t *rapid.T, c *cluster, m *model) {
	changes := slices.Clone(c.changes)
	slices.SortFunc(changes, func(a, b attribution.IdentityChange) int { return int(a.Offset - b.Offset) })
	if len(changes) != len(m.events) {
		t.Fatalf("%d changes of %d events", len(changes), len(m.events))
	}
	pointers := map[string]string{}
	for i, e := range m.events {
		got := &changes[i]
		want := attribution.IdentityChange{Type: e.Type, Identity: m.resolve(pointers, e.Identity)}
		switch e.Type {
		case attribution.Merged:
			if loser := m.resolve(pointers, e.Loser); loser != want.Identity {
				want.Other = loser
				pointers[loser] = want.Identity
			}
		case attribution.Unmerged:
			want.Identity = e.Loser
			if was := m.resolve(pointers, e.Loser); was != e.Loser {
				want.Other = was
			}
			delete(pointers, e.Loser)
		}
		if got.Type != want.Type || got.Identity != want.Identity || got.Other != want.Other || int64(len(got.Attackers)) != got.Moved {
			t.Fatalf("event %d is told as %+v, want %+v", i, *got, want)
		}
	}
	members := map[string][]string{}
	all := map[string]bool{}
	for attacker := range m.series {
		all[attacker] = true
	}
	for _, e := range m.events {
		for _, attacker := range e.Attackers {
			all[attacker] = true
		}
	}
	for attacker := range all {
		owner := c.owner(attacker)
		members[owner] = append(members[owner], attacker)
	}
	for id, got := range c.identities {
		want := slices.Sorted(slices.Values(members[id]))
		if !slices.Equal(got.Attackers, want) || got.Total != int64(len(want)) || got.MergedInto != m.pointers[id] {
			t.Fatalf("identity %+v, has %v and points to %q", got, want, m.pointers[id])
		}
	}
	for id, list := range members {
		if _, told := c.identities[id]; !told && (len(list) > 1 || attribution.Stub([]byte(list[0])).String() != id) {
			t.Fatalf("nothing tells that %v belong to %s", list, id)
		}
	}
	for id, to := range m.pointers {
		if c.identities[id].MergedInto != to {
			t.Fatalf("nothing tells that %s is merged into %s", id, to)
		}
	}
}

// A record lists the first attackers, whatever the order in which they come, and
// none with an id that makes it large.
func TestListedAttackers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all [][]byte
		for i := range rapid.IntRange(0, 250).Draw(t, "attackers") {
			all = append(all, fmt.Appendf(nil, "attacker-%03d", i))
		}
		all = append(all, make([]byte, attribution.MaxListedID+1), []byte("018f0000-0000-7000-8000-000000000001"))
		var list [][]byte
		for _, attacker := range rapid.Permutation(all).Draw(t, "order") {
			list = withListed(list, attacker)
		}
		if len(list) != min(len(all)-1, attribution.MaxListedAttackers) || string(list[0]) != "018f0000-0000-7000-8000-000000000001" {
			t.Fatalf("%d are listed of %d: %s", len(list), len(all), list)
		}
		for i, attacker := range list[1:] {
			if string(attacker) != string(all[i]) {
				t.Fatalf("number %d is %s", i, attacker)
			}
		}
	})
}
