package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// planned is a fault and when and whom it hits.
type planned struct {
	kind   *kind
	fault  fault
	target int
	after  time.Duration
	left   leftOut // why it was not done after all
}

// leftOut is why a fault could not be done as planned.
type leftOut string

// Error returns the reason.
func (l leftOut) Error() string { return string(l) }

func (p *planned) String() string {
	text := p.kind.name
	if p.kind.on != onWire && p.kind.on != onBrokers && p.kind.on != onGroup && p.kind.on != onInput {
		text += fmt.Sprint(" ", p.target+1)
	}
	text += " " + p.fault.what
	if p.left != "" {
		text += " (not done: " + string(p.left) + ")"
	}
	return text
}

// possible are the kinds of faults whose names begin with one of only, which commas
// part; those of brokers are possible where the brokers are ours.
func possible(only string, ours bool) []kind {
	var list []kind
	named := func(name string) bool {
		return slices.ContainsFunc(strings.Split(only, ","), func(only string) bool { return strings.HasPrefix(name, only) })
	}
	for _, k := range kinds {
		if named(k.name) && (ours || k.on.instance() || k.on == onGroup || k.on == onInput) {
			list = append(list, k)
		}
	}
	return list
}

// plan draws the faults of a round: one to three. No two hit the same
// instance, and at most one each hits the brokers, the wire, the input, and the group:
// how many instances there are, or all of them. Candidates are whom a fault may hit.
func plan(r *rand.Rand, kinds []kind, candidates func(target) []int, load time.Duration) []planned {
	var list []planned
	instances, others := make(map[int]bool), make(map[string]bool) // that are hit already
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	for want, tries := 1+r.IntN(3), 0; total > 0 && len(list) < want && tries < 20; tries++ {
		n := r.IntN(total)
		var k *kind
		for i := range kinds {
			if k = &kinds[i]; n < k.weight {
				break
			}
			n -= k.weight
		}
		p := planned{kind: k, fault: k.plan(r), after: time.Duration(r.Int64N(int64(load*2/3) + 1))}
		free := those(candidates(k.on), func(n int) bool { return !k.on.instance() || !instances[n] })
		once := k.on.once()
		if others[once] || len(free) == 0 {
			continue
		}
		p.target = free[r.IntN(len(free))]
		if once != "" {
			others[once] = true
		}
		if k.on.instance() {
			instances[p.target] = true
		}
		list = append(list, p)
	}
	return list
}

// candidates are whom a fault may hit, now that the instances in busy have
// tasks.
func (e *epoch) candidates(on target, busy map[int]bool) []int {
	switch on {
	case onFaulty:
		faulty := those(e.members, func(n int) bool { return e.app.Instance(n).Config.Binary == e.app.Lab.Binaries.Faulty })
		if working := those(faulty, func(n int) bool { return busy[n] }); len(working) > 0 {
			return working
		}
		return faulty
	case onLeaving:
		if len(e.members) == 1 {
			return nil
		}
	case onAbsent:
		return those(upTo(most), func(n int) bool { return !slices.Contains(e.members, n) })
	case onBroker:
		return upTo(e.app.Lab.Cluster.Size())
	case onBrokers, onWire, onGroup, onInput:
		return upTo(1)
	}
	return e.members
}

// upTo returns the numbers below n.
func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// those returns the numbers of a list that are so.
func those(list []int, so func(int) bool) []int {
	return slices.DeleteFunc(slices.Clone(list), func(n int) bool { return !so(n) })
}

func texts(faults []planned) string {
	var list []string
	for i := range faults {
		list = append(list, faults[i].String())
	}
	return strings.Join(list, "; ")
}
