package assignor

import (
	"cmp"
	"slices"
	"time"
)

// Rules are the leader's settings.
type Rules struct {
	Standbys      int   // copies of each task besides the active one
	AcceptableLag int64 // changelog offsets that a copy may lack and still count as caught up
	// MaxAge is from which age on a copy may lack deletions that the changelog keeps no
	// longer, and is rebuilt; 0: never.
	MaxAge time.Duration
	// Changelog is the id of the topic that a copy must be of; "" if not known.
	Changelog string
}

// placement is who gets what.
type placement struct {
	active   []int            // by task: the index of the member that runs it
	standbys []map[int32]bool // by member: the copies it keeps; true for a warm-up
}

// balanceMember is what the leader knows of a member.
type balanceMember struct {
	generation int32
	owned      map[int32]int // tasks it owns, with the number of partitions it claims of each
	process    string        // members with the same one share their copies
	rack       string
	must       map[string]string  // see Job
	copies     map[int32]CopyData // in its process's store
	// warms is true for a member that keeps standbys. A member whose data this
	// release cannot read keeps none, and is given tasks without a copy.
	warms bool
}

// newBalanceMember reads a member's user data. A member whose data cannot be read,
// because a newer release wrote them, takes part without copies.
func newBalanceMember(id string, generation int32, owned map[int32]int, userData []byte) balanceMember {
	m := balanceMember{generation: generation, owned: owned, process: "member " + id}
	d, err := DecodeMemberData(userData)
	if err != nil {
		return m
	}
	m.copies = d.Copies
	m.process, m.rack, m.warms = "process "+d.Process, d.Rack, true
	m.must = d.Job.Must
	return m
}

// place decides who runs each task and who keeps copies. It depends on nothing
// but its arguments, members' order included.
//
// Every member has its share of the tasks, the larger shares with those who own
// most now. A task that nobody owns goes to a member that can go on with it at
// once. A task of a member with more than its share goes to one with less, but
// only when a copy has caught up there; until then the copy is warmed up and
// the owner goes on.
func place(members []balanceMember, tasks int32, rules Rules) placement {
	members = shareCopies(members, &rules)
	p := &placer{members: members, rules: rules, owner: currentOwners(members, tasks)}
	result := placement{standbys: make([]map[int32]bool, len(members))}
	for i := range result.standbys {
		result.standbys[i] = make(map[int32]bool)
	}
	if len(members) == 0 {
		return result
	}
	before := slices.Clone(p.owner)
	p.survey(tasks)
	p.adopt()
	p.share()
	warmUps := p.level()
	result.active = p.owner
	p.standbys(result, warmUps)
	// A task changes hands in two rebalances. Until the second one its new
	// owner goes on reading, so that it is still caught up then.
	for task, from := range before {
		to := p.owner[task]
		if from >= 0 && p.processes[from] != p.processes[to] && p.members[to].warms {
			result.standbys[to][int32(task)] = false
		}
	}
	return result
}

// shareCopies gives each member the copies of its process, which one of its members
// has told of, without the ones that would have to be rebuilt: such a copy is worth no
// more than none.
func shareCopies(members []balanceMember, rules *Rules) []balanceMember {
	copies := make(map[string]map[int32]CopyData)
	for i := range members {
		m := &members[i]
		all := copies[m.process]
		if all == nil {
			all = make(map[int32]CopyData)
			copies[m.process] = all
		}
		for task, c := range m.copies {
			if best, ok := all[task]; !c.mustBeRebuilt(rules.Changelog, rules.MaxAge) && (!ok || c.Position > best.Position) {
				all[task] = c
			}
		}
	}
	members = slices.Clone(members)
	for i := range members {
		members[i].copies = copies[members[i].process]
	}
	return members
}

type placer struct {
	members   []balanceMember
	rules     Rules
	owner     []int   // by task, -1 for nobody
	counts    []int   // by member: tasks it runs
	room      []int   // by member: tasks below its share; negative above it
	processes []int   // by member: the index of the first member with the same process
	newest    []int64 // by task: the furthest that any copy has come, -1 without any
}

func (p *placer) survey(tasks int32) {
	p.counts = make([]int, len(p.members))
	for _, m := range p.owner {
		if m >= 0 {
			p.counts[m]++
		}
	}
	first := make(map[string]int)
	p.processes = make([]int, len(p.members))
	p.newest = slices.Repeat([]int64{-1}, int(tasks))
	for i, m := range p.members {
		if _, ok := first[m.process]; !ok {
			first[m.process] = i
		}
		p.processes[i] = first[m.process]
		for task, c := range m.copies {
			if task < tasks {
				p.newest[task] = max(p.newest[task], c.Position)
			}
		}
	}
}

// share gives every member its share, the larger ones to those who would
// otherwise have to give away most: that moves the fewest tasks.
func (p *placer) share() {
	order := make([]int, len(p.members))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.counts[b], p.counts[a]) })
	p.room = make([]int, len(p.members))
	for i, m := range order {
		p.room[m] = len(p.owner)/len(p.members) - p.counts[m]
		if i < len(p.owner)%len(p.members) {
			p.room[m]++
		}
	}
}

// position returns how far member m's copy of a task has come, -1 without one.
func (p *placer) position(m int, task int32) int64 {
	if c, ok := p.members[m].copies[task]; ok {
		return c.Position
	}
	return -1
}

// caughtUp reports whether member m's copy of a task is as good as the best.
func (p *placer) caughtUp(m int, task int32) bool {
	c, ok := p.members[m].copies[task]
	return ok && (c.Position >= p.newest[task]-p.rules.AcceptableLag || c.Lag >= 0 && c.Lag <= p.rules.AcceptableLag)
}

// mayRun reports whether member m may get a task that it does not own.
func (p *placer) mayRun(m int, task int32) bool {
	return p.newest[task] < 0 || !p.members[m].warms || p.caughtUp(m, task)
}

// adopt gives the tasks that nobody owns to members that may run them. Members
// below the largest share come first, then members whose copy is the furthest,
// then members that run the fewest tasks.
func (p *placer) adopt() {
	for task := range p.owner {
		if p.owner[task] >= 0 {
			continue
		}
		best := 0
		for m := 1; m < len(p.members); m++ {
			if p.compareHeirs(m, best, int32(task)) < 0 {
				best = m
			}
		}
		p.owner[task] = best
		p.counts[best]++
	}
}

func (p *placer) compareHeirs(a, b int, task int32) int {
	maxShare := (len(p.owner) + len(p.members) - 1) / len(p.members)
	roomA, roomB := p.counts[a] < maxShare, p.counts[b] < maxShare
	order := cmp.Or(trueFirst(p.mayRun(a, task), p.mayRun(b, task)), trueFirst(roomA, roomB))
	if order == 0 && roomA {
		order = cmp.Compare(p.position(b, task), p.position(a, task))
	}
	return cmp.Or(order, cmp.Compare(p.counts[a], p.counts[b]), cmp.Compare(p.position(b, task), p.position(a, task)))
}

// trueFirst compares booleans; true sorts first.
func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// level moves tasks from members with more than their share to those with less,
// where it can be done now, and returns where it has to be prepared: the members
// that warm up a copy, by task.
func (p *placer) level() map[int32]int {
	type move struct {
		task   int32
		to     int
		now    bool
		behind int64
	}
	var moves []move
	for task, from := range p.owner {
		if p.room[from] >= 0 {
			continue
		}
		for to := range p.members {
			if p.room[to] <= 0 {
				continue
			}
			t := int32(task)
			m := move{task: t, to: to, behind: max(p.newest[t], 0) - max(p.position(to, t), 0)}
			m.now = p.processes[to] == p.processes[from] || p.mayRun(to, t)
			if m.now {
				m.behind = 0
			}
			moves = append(moves, m)
		}
	}
	slices.SortStableFunc(moves, func(a, b move) int {
		return cmp.Or(trueFirst(a.now, b.now), cmp.Compare(a.behind, b.behind))
	})
	warmUps := make(map[int32]int)
	for _, m := range moves {
		from := p.owner[m.task]
		if _, planned := warmUps[m.task]; planned || p.room[from] >= 0 || p.room[m.to] <= 0 {
			continue
		}
		p.room[from]++
		p.room[m.to]--
		if m.now {
			p.owner[m.task] = m.to
		} else {
			warmUps[m.task] = m.to
		}
	}
	return warmUps
}

// standbys gives each task its copies: never in the process that runs it, in
// another rack if there is one, then where there is a copy already, then where
// fewest are kept.
func (p *placer) standbys(result placement, warmUps map[int32]int) {
	load := make(map[int]int) // by process
	workers := make(map[int][]int)
	var processes []int
	for i, m := range p.members {
		if !m.warms {
			continue
		}
		if p.processes[i] == i {
			processes = append(processes, i)
		}
		workers[p.processes[i]] = append(workers[p.processes[i]], i)
	}
	// give hands a copy to the worker of a process that has fewest; which one
	// it is does not matter, as they share the store.
	give := func(process int, task int32, warmUp bool) {
		least := workers[process][0]
		for _, m := range workers[process] {
			if len(result.standbys[m]) < len(result.standbys[least]) {
				least = m
			}
		}
		result.standbys[least][task] = warmUp
		load[process]++
	}
	for n, active := range p.owner {
		task, warming := int32(n), -1
		if to, ok := warmUps[task]; ok {
			warming = p.processes[to]
		}
		used := []int{p.processes[active]}
		for range p.rules.Standbys {
			best := -1
			for _, process := range processes {
				if slices.Contains(used, process) {
					continue
				}
				if best < 0 || p.compareKeepers(process, best, task, used, load) < 0 {
					best = process
				}
			}
			if best < 0 {
				break
			}
			give(best, task, best == warming)
			used = append(used, best)
		}
		// A warm-up comes on top: a standby that is there is not given up for
		// a copy that has just begun.
		if warming >= 0 && !slices.Contains(used, warming) {
			give(warming, task, true)
		}
	}
}

// compareKeepers says which of two processes, named by a member, is to keep a
// standby copy, besides those used already.
func (p *placer) compareKeepers(a, b int, task int32, used []int, load map[int]int) int {
	elsewhere := func(m int) bool {
		return !slices.ContainsFunc(used, func(u int) bool { return p.members[u].rack == p.members[m].rack })
	}
	return cmp.Or(
		trueFirst(elsewhere(a), elsewhere(b)),
		trueFirst(p.caughtUp(a, task), p.caughtUp(b, task)),
		trueFirst(p.members[a].copies[task].Standby, p.members[b].copies[task].Standby),
		cmp.Compare(load[a], load[b]),
	)
}

// currentOwners returns who owns each task now, -1 for nobody. Of several that
// claim one, the one that joined the latest generation is right; a member that
// missed a rebalance claims what it had before.
func currentOwners(members []balanceMember, tasks int32) []int {
	owners := make([]int, tasks)
	for p := range owners {
		owners[p] = -1
		for i, m := range members {
			n := m.owned[int32(p)]
			if n == 0 {
				continue
			}
			if best := owners[p]; best < 0 || m.generation > members[best].generation ||
				m.generation == members[best].generation && n > members[best].owned[int32(p)] {
				owners[p] = i
			}
		}
	}
	return owners
}
