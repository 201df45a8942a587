package processor

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// group is a consumer group without brokers: it runs the balancer over and over
// as members come and go, as the protocol would.
type group struct {
	topics     map[string]int32
	generation int32
	members    map[string]*groupMember
}

type groupMember struct {
	balancer taskBalancer
	owned    map[string][]int32
	joined   int32 // the generation it last took part in, -1 for none
}

func newGroup(tasks int32) *group {
	return &group{
		topics:  map[string]int32{"in": tasks, "commands": tasks, "single": 1},
		members: make(map[string]*groupMember),
	}
}

func (g *group) add(id string, copies map[int32]int64) {
	m := &groupMember{joined: -1}
	m.balancer.copies = func() map[int32]int64 { return copies }
	g.members[id] = m
}

// rebalance runs one round and returns whether somebody gave something up, so
// that another has to follow.
func (g *group) rebalance(fatalf func(string, ...any)) bool {
	var join []kmsg.JoinGroupResponseMember
	var topics []string
	for t := range g.topics {
		topics = append(topics, t)
	}
	slices.Sort(topics)
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		m := g.members[id]
		j := kmsg.NewJoinGroupResponseMember()
		j.MemberID = id
		j.ProtocolMetadata = m.balancer.JoinGroupMetadata(topics, m.owned, m.joined)
		join = append(join, j)
	}
	mb, _, err := new(taskBalancer).MemberBalancer(join)
	if err != nil {
		fatalf("MemberBalancer: %v", err)
	}
	plan, err := mb.(kgo.GroupMemberBalancerOrError).BalanceOrError(g.topics)
	if err != nil {
		fatalf("Balance: %v", err)
	}
	g.generation++
	again := false
	for _, a := range plan.IntoSyncAssignment() {
		m := g.members[a.MemberID]
		got, err := m.balancer.ParseSyncAssignment(a.MemberAssignment)
		if err != nil {
			fatalf("ParseSyncAssignment: %v", err)
		}
		for topic, partitions := range m.owned {
			for _, p := range partitions {
				again = again || !slices.Contains(got[topic], p)
			}
		}
		m.owned, m.joined = got, g.generation
	}
	g.disjoint(fatalf)
	return again
}

// settle rebalances until nobody gives anything up.
func (g *group) settle(fatalf func(string, ...any)) {
	for range 3 {
		if !g.rebalance(fatalf) {
			g.complete(fatalf)
			return
		}
	}
	fatalf("the group does not settle")
}

// disjoint fails if a partition has two owners.
func (g *group) disjoint(fatalf func(string, ...any)) {
	owners := make(map[TopicPartition]string)
	for id, m := range g.members {
		for topic, partitions := range m.owned {
			for _, p := range partitions {
				tp := TopicPartition{topic, p}
				if other, ok := owners[tp]; ok {
					fatalf("%v belongs to %s and %s", tp, other, id)
				}
				owners[tp] = id
			}
		}
	}
}

// owners returns who has each task, and fails unless all of its partitions are
// together.
func (g *group) owners(fatalf func(string, ...any)) map[int32]string {
	owners := make(map[int32]string)
	for id, m := range g.members {
		for topic, partitions := range m.owned {
			for _, p := range partitions {
				if other, ok := owners[p]; ok && other != id {
					fatalf("task %d is torn: %s has %s[%d], %s has the rest", p, id, topic, p, other)
				}
				owners[p] = id
			}
		}
	}
	return owners
}

// complete fails unless every partition is owned, tasks are whole and members
// have the same number of tasks, give or take one.
func (g *group) complete(fatalf func(string, ...any)) {
	owned := 0
	for _, m := range g.members {
		for _, partitions := range m.owned {
			owned += len(partitions)
		}
	}
	want := 0
	for _, n := range g.topics {
		want += int(n)
	}
	if owned != want {
		fatalf("%d of %d partitions are owned", owned, want)
	}
	counts := make(map[string]int)
	for id := range g.members {
		counts[id] = 0
	}
	for _, id := range g.owners(fatalf) {
		counts[id]++
	}
	all := slices.Collect(maps.Values(counts))
	if slices.Max(all)-slices.Min(all) > 1 {
		fatalf("not balanced: %v", counts)
	}
}

// fewestMoves is how many tasks have to change hands so that a group is
// balanced: nobody may keep more than its share, and the larger shares go to
// those who have most.
func fewestMoves(before map[int32]string, members []string, tasks int) int {
	counts := make([]int, 0, len(members))
	for _, m := range members {
		n := 0
		for _, owner := range before {
			if owner == m {
				n++
			}
		}
		counts = append(counts, n)
	}
	slices.SortFunc(counts, func(a, b int) int { return b - a })
	kept := 0
	for i, n := range counts {
		share := tasks / len(members)
		if i < tasks%len(members) {
			share++
		}
		kept += min(n, share)
	}
	return len(before) - kept
}

func TestBalancerProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tasks := rapid.Int32Range(1, 40).Draw(t, "tasks")
		g := newGroup(tasks)
		g.add("m0", nil)
		g.settle(t.Fatalf)
		for i := range rapid.IntRange(1, 8).Draw(t, "changes") {
			before := g.owners(t.Fatalf)
			if len(g.members) > 1 && rapid.Bool().Draw(t, "leave") {
				gone := rapid.SampledFrom(slices.Sorted(maps.Keys(g.members))).Draw(t, "who")
				delete(g.members, gone)
			} else {
				copies := rapid.MapOfN(rapid.Int32Range(0, 45), rapid.Int64Range(0, 100), 0, 10).Draw(t, "copies")
				g.add(fmt.Sprintf("m%d", i+1), copies)
			}
			g.settle(t.Fatalf)
			after := g.owners(t.Fatalf)
			moved := 0
			for task, owner := range before {
				if after[task] != owner {
					moved++
				}
			}
			if want := fewestMoves(before, slices.Collect(maps.Keys(g.members)), int(tasks)); moved != want {
				t.Fatalf("%d tasks moved, %d would do: %v to %v", moved, want, before, after)
			}
		}
	})
}

func TestBalancerPrefersCopies(t *testing.T) {
	g := newGroup(4)
	g.add("a", map[int32]int64{2: 10, 3: 10})
	g.add("b", map[int32]int64{0: 10, 1: 10, 2: 5})
	g.settle(t.Fatalf)
	want := map[int32]string{0: "b", 1: "b", 2: "a", 3: "a"}
	if got := g.owners(t.Fatalf); !maps.Equal(got, want) {
		t.Errorf("owners are %v, want %v", got, want)
	}
	// When b goes, the one with the fresher copy of each of its tasks gets it.
	delete(g.members, "b")
	g.add("c", map[int32]int64{0: 7, 1: 9})
	g.add("d", map[int32]int64{0: 9, 1: 7})
	g.settle(t.Fatalf)
	got := g.owners(t.Fatalf)
	if got[0] != "d" || got[1] != "c" {
		t.Errorf("owners are %v, want 0 with d and 1 with c", got)
	}
}

// A member that missed a rebalance claims what it had; the one that was given
// it meanwhile keeps it.
func TestBalancerIgnoresStaleClaims(t *testing.T) {
	g := newGroup(2)
	g.add("a", nil)
	g.settle(t.Fatalf)
	stale := g.members["a"]
	delete(g.members, "a")
	g.add("b", nil)
	g.add("c", nil)
	g.settle(t.Fatalf)
	before := g.owners(t.Fatalf)
	g.members["a"] = stale
	stale.owned = map[string][]int32{"in": {0, 1}, "commands": {0, 1}, "single": {0}}
	// The claim is its word against theirs: nothing may move because of it.
	var join []balanceMember
	for _, id := range []string{"a", "b", "c"} {
		m := g.members[id]
		owned := make(map[int32]int)
		for _, partitions := range m.owned {
			for _, p := range partitions {
				owned[p]++
			}
		}
		join = append(join, balanceMember{generation: m.joined, owned: owned})
	}
	for p, m := range assignTasks(join, 2) {
		if got := []string{"a", "b", "c"}[m]; got != before[int32(p)] {
			t.Errorf("task %d goes to %s, was with %s", p, got, before[int32(p)])
		}
	}
}

func TestCopiesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(rapid.Int32Min(0), rapid.Int64Min(0)).Draw(t, "copies")
		got, err := decodeCopies(appendCopies(nil, want))
		if err != nil || !maps.Equal(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	})
}

func FuzzDecodeCopies(f *testing.F) {
	f.Add(appendCopies(nil, nil))
	f.Add(appendCopies(nil, map[int32]int64{0: 0, 7: 1 << 40}))
	f.Add([]byte{copiesVersion, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		copies, err := decodeCopies(b)
		if err != nil {
			if copies != nil {
				t.Fatalf("%v with an error", copies)
			}
			return
		}
		again, err := decodeCopies(appendCopies(nil, copies))
		if err != nil || !maps.Equal(again, copies) {
			t.Fatalf("%v became %v, %v", copies, again, err)
		}
	})
}
