package assignor

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
	rules      Rules
	written    map[int32]int64 // by task: the end of its changelog
	// interrupted has the tasks that somebody has given up.
	interrupted map[int32]bool
}

type groupMember struct {
	balancer Assignor
	owned    map[string][]int32
	joined   int32 // the generation it last took part in, -1 for none

	process, rack string
	copies        map[int32]CopyData
	standbys      map[int32]bool
	refused       string
	job           Job
	raw           func() []byte // instead of what this release says; nil for that
}

func newGroup(tasks int32) *group {
	return &group{
		topics:  map[string]int32{"in": tasks, "commands": tasks, "single": 1},
		members: make(map[string]*groupMember),
		rules:   Rules{Standbys: 1, AcceptableLag: 10_000},
		written: make(map[int32]int64), interrupted: make(map[int32]bool),
	}
}

func (g *group) add(id string, copies map[int32]int64) *groupMember {
	m := &groupMember{joined: -1, process: id, copies: make(map[int32]CopyData)}
	for p, position := range copies {
		m.copies[p] = CopyData{Position: position, Lag: -1}
	}
	m.balancer.Rules = g.rules
	m.balancer.Describe = func() MemberData { return MemberData{Process: m.process, Rack: m.rack, Job: m.job, Copies: m.copies} }
	m.balancer.Decided = func(standbys map[int32]bool, refused string) { m.standbys, m.refused = standbys, refused }
	g.members[id] = m
	return m
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
		if m.raw != nil {
			var meta kmsg.ConsumerMemberMetadata
			if err := meta.ReadFrom(j.ProtocolMetadata); err != nil {
				fatalf("%v", err)
			}
			meta.UserData = m.raw()
			j.ProtocolMetadata = meta.AppendTo(nil)
		}
		join = append(join, j)
	}
	mb, _, err := (&Assignor{Rules: g.rules, Partitions: func(topic string) int32 { return g.topics[topic] }}).MemberBalancer(join)
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
				if !slices.Contains(got[topic], p) {
					again, g.interrupted[p] = true, true
				}
			}
		}
		m.owned, m.joined = got, g.generation
	}
	g.disjoint(fatalf)
	return again
}

// settle rebalances until nobody gives anything up and every warm-up is over. A
// copy that a member was told to keep catches up between two rebalances, if
// catchUp says so of it. It returns how many rebalances that took.
func (g *group) settle(fatalf func(string, ...any), catchUp func(id string, task int32) bool) int {
	for n := 1; n <= 200; n++ {
		again := g.rebalance(fatalf)
		g.work(fatalf, catchUp)
		warming := false
		for _, m := range g.members {
			for _, warmUp := range m.standbys {
				warming = warming || warmUp
			}
		}
		if !again && !warming {
			g.complete(fatalf)
			return n
		}
	}
	fatalf("the group does not settle")
	return 0
}

func always(string, int32) bool { return true }

// work lets active tasks write and copies read. Whoever keeps a copy must be in
// the group for it, and away from the one that runs the task.
func (g *group) work(fatalf func(string, ...any), catchUp func(id string, task int32) bool) {
	for _, m := range g.members {
		for p := range m.copies {
			c := m.copies[p]
			c.Lag, c.Standby = -1, false
			m.copies[p] = c
		}
	}
	ends := make(map[int32]int64)
	for task, id := range g.owners(fatalf) {
		ends[task] = g.written[task] + 100_000
		g.written[task] = ends[task]
		g.members[id].copies[task] = CopyData{Position: ends[task], Lag: 0}
	}
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		m := g.members[id]
		for _, task := range slices.Sorted(maps.Keys(m.standbys)) {
			c := m.copies[task]
			switch end, active := ends[task]; {
			case !active: // between two owners, nobody writes
				c = CopyData{Position: g.written[task], Lag: 0}
			case catchUp(id, task):
				c = CopyData{Position: end, Lag: 0}
			default:
				c.Lag = end - c.Position
			}
			c.Standby = true
			m.copies[task] = c
		}
	}
}

// disjoint fails if a partition has two owners.
func (g *group) disjoint(fatalf func(string, ...any)) {
	type partition struct {
		topic  string
		number int32
	}
	owners := make(map[partition]string)
	for id, m := range g.members {
		for topic, partitions := range m.owned {
			for _, p := range partitions {
				tp := partition{topic, p}
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

// Members come and go. The group settles, with every task run by one member and
// the members' shares within one; as few tasks are interrupted as that takes.
func TestBalancerProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tasks := rapid.Int32Range(1, 24).Draw(t, "tasks")
		g := newGroup(tasks)
		g.rules.Standbys = rapid.IntRange(0, 2).Draw(t, "standbys")
		catchUp := func(id string, task int32) bool { return rapid.Bool().Draw(t, "catchUp") }
		g.add("m0", nil)
		g.settle(t.Fatalf, always)
		for i := range rapid.IntRange(1, 6).Draw(t, "changes") {
			before := g.owners(t.Fatalf)
			orphans := 0
			if len(g.members) > 1 && rapid.Bool().Draw(t, "leave") {
				gone := rapid.SampledFrom(slices.Sorted(maps.Keys(g.members))).Draw(t, "who")
				delete(g.members, gone)
				for _, owner := range before {
					if owner == gone {
						orphans++
					}
				}
			} else {
				copies := rapid.MapOfN(rapid.Int32Range(0, tasks+5), rapid.Int64Range(0, 100), 0, 10).Draw(t, "copies")
				g.add(fmt.Sprintf("m%d", i+1), copies)
			}
			g.interrupted = make(map[int32]bool)
			n := g.settle(t.Fatalf, catchUp)
			after := g.owners(t.Fatalf)
			moved := 0
			for task, owner := range before {
				if after[task] != owner || g.interrupted[task] {
					moved++
				}
			}
			// A task whose owner is gone goes where its copy is, whether there
			// is room or not, and another may have to make room for it then.
			if want := fewestMoves(before, slices.Collect(maps.Keys(g.members)), int(tasks)); moved < want || moved > want+orphans {
				t.Fatalf("%d tasks were interrupted, %d would do: %v to %v", moved, want, before, after)
			}
			if most := 60 + 4*int(tasks); n > most {
				t.Fatalf("it took %d rebalances", n)
			}
		}
	})
}

// When every copy catches up at once, two rebalances prepare a move and two
// make it.
func TestBalancerConverges(t *testing.T) {
	for _, processes := range []int{2, 3, 5} {
		g := newGroup(16)
		for i := range processes {
			g.add(fmt.Sprintf("m%d", i), nil)
			if n := g.settle(t.Fatalf, always); n > 4 {
				t.Errorf("the group of %d took %d rebalances", i+1, n)
			}
		}
	}
}

// A task is not taken from its owner before there is a copy that has caught up,
// however often the group rebalances.
func TestBalancerWarmsUpFirst(t *testing.T) {
	g := newGroup(4)
	g.rules.Standbys = 0
	g.add("a", nil)
	g.settle(t.Fatalf, always)
	b := g.add("b", nil)
	for range 5 {
		g.rebalance(t.Fatalf)
		g.work(t.Fatalf, func(string, int32) bool { return false })
		if len(b.owned) != 0 || !maps.Equal(b.standbys, map[int32]bool{0: true, 1: true}) && len(b.standbys) != 2 {
			t.Fatalf("b owns %v and keeps %v", b.owned, b.standbys)
		}
	}
	g.settle(t.Fatalf, always)
	if owners := g.owners(t.Fatalf); len(owners) != 4 {
		t.Errorf("owners %v", owners)
	}
}

// Workers of one process share their store: tasks move between them without a
// warm-up, and no copy is kept beside the task.
func TestBalancerWorkersOfOneProcess(t *testing.T) {
	g := newGroup(6)
	g.add("a0", nil)
	g.settle(t.Fatalf, always)
	second := g.add("a1", nil)
	second.process, second.copies = "a0", g.members["a0"].copies
	if n := g.settle(t.Fatalf, func(string, int32) bool { t.Fatal("a copy is kept beside its task"); return false }); n > 3 {
		t.Errorf("it took %d rebalances", n)
	}
}

// A member of a newer release, and one that says nothing of itself, get their share
// at once, and no copies.
func TestBalancerOtherReleases(t *testing.T) {
	for name, data := range map[string][]byte{"new": {99, 1, 2, 3}, "none": nil} {
		g := newGroup(4)
		g.add("a", nil)
		g.add("b", nil)
		g.settle(t.Fatalf, always)
		other := g.add("c", nil)
		other.raw = func() []byte { return data }
		if n := g.settle(t.Fatalf, always); n > 3 {
			t.Errorf("%s: it took %d rebalances", name, n)
		}
		if len(other.standbys) != 0 || len(other.owned["in"]) == 0 {
			t.Errorf("%s: it owns %v and keeps %v", name, other.owned, other.standbys)
		}
		before := g.owners(t.Fatalf)
		g.settle(t.Fatalf, always)
		if after := g.owners(t.Fatalf); !maps.Equal(before, after) {
			t.Errorf("%s: tasks moved without a reason: %v to %v", name, before, after)
		}
	}
}

// Whatever members say of themselves: each task has one owner; copies are kept
// by other processes, as many as there are processes for, in other racks where
// there are any.
func TestPlacementProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tasks := rapid.Int32Range(1, 12).Draw(t, "tasks")
		rules := Rules{Standbys: rapid.IntRange(0, 3).Draw(t, "standbys"), AcceptableLag: 10}
		members := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) balanceMember {
			process := rapid.SampledFrom([]string{"p", "q", "r", "s"}).Draw(t, "process")
			return balanceMember{
				process: process, rack: map[string]string{"p": "1", "q": "1", "r": "2", "s": "2"}[process],
				warms:      process != "s",
				generation: rapid.Int32Range(-1, 3).Draw(t, "generation"),
				owned:      rapid.MapOfN(rapid.Int32Range(0, tasks), rapid.IntRange(1, 3), 0, 6).Draw(t, "owned"),
				copies: rapid.MapOf(rapid.Int32Range(0, tasks), rapid.Custom(func(t *rapid.T) CopyData {
					return CopyData{Position: rapid.Int64Range(0, 50).Draw(t, "position"), Lag: rapid.Int64Range(-1, 20).Draw(t, "lag"), Standby: rapid.Bool().Draw(t, "standby")}
				})).Draw(t, "copies"),
			}
		}), 1, 6).Draw(t, "members")
		got, before := place(members, tasks, rules), currentOwners(members, tasks)
		keeping, racks := make(map[string]bool), make(map[string]bool)
		for _, m := range members {
			if m.warms {
				keeping[m.process], racks[m.rack] = true, true
			}
		}
		for p, owner := range got.active {
			if owner < 0 || owner >= len(members) {
				t.Fatalf("task %d belongs to %d", p, owner)
			}
			warm, keepers, elsewhere := 0, make(map[string]bool), false
			for i, standbys := range got.standbys {
				isWarm, ok := standbys[int32(p)]
				if !ok {
					continue
				}
				m := members[i]
				if m.process == members[owner].process && before[p] >= 0 && members[before[p]].process != m.process {
					continue // it is on its way there
				}
				if m.process == members[owner].process || keepers[m.process] || !m.warms {
					t.Fatalf("task %d is with %s and has a copy with %s, besides %v", p, members[owner].process, m.process, keepers)
				}
				keepers[m.process] = true
				elsewhere = elsewhere || m.rack != members[owner].rack
				if isWarm {
					warm++
				}
			}
			others := len(keeping)
			if keeping[members[owner].process] {
				others--
			}
			if want := min(rules.Standbys, others); len(keepers) < want || len(keepers) > want+warm || warm > 1 {
				t.Fatalf("task %d has %d copies, %d of them warm-ups, want %d", p, len(keepers), warm, want)
			}
			delete(racks, "")
			if rules.Standbys > 0 && (racks["1"] && members[owner].rack == "2" || racks["2"] && members[owner].rack == "1") && !elsewhere {
				t.Fatalf("task %d has no copy in another rack", p)
			}
		}
	})
}

func TestBalancerPrefersCopies(t *testing.T) {
	g := newGroup(4)
	g.rules = Rules{}
	g.add("a", map[int32]int64{2: 10, 3: 10})
	g.add("b", map[int32]int64{0: 10, 1: 10, 2: 5})
	for g.rebalance(t.Fatalf) {
	}
	want := map[int32]string{0: "b", 1: "b", 2: "a", 3: "a"}
	if got := g.owners(t.Fatalf); !maps.Equal(got, want) {
		t.Errorf("owners are %v, want %v", got, want)
	}
	// When b goes, the one with the fresher copy of each of its tasks gets it.
	delete(g.members, "b")
	g.add("c", map[int32]int64{0: 7, 1: 9})
	g.add("d", map[int32]int64{0: 9, 1: 7})
	for g.rebalance(t.Fatalf) {
	}
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
	g.settle(t.Fatalf, always)
	stale := g.members["a"]
	delete(g.members, "a")
	g.add("b", nil)
	g.add("c", nil)
	g.settle(t.Fatalf, always)
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
		join = append(join, balanceMember{generation: m.joined, owned: owned, process: id})
	}
	for p, m := range place(join, 2, Rules{}).active {
		if got := []string{"a", "b", "c"}[m]; got != before[int32(p)] {
			t.Errorf("task %d goes to %s, was with %s", p, got, before[int32(p)])
		}
	}
}
