package audit

import (
	"slices"

	"handprint/attribution"
)

// identityEvent takes one event, as docs/attribution.md, "Identities", has it.
// It reports whether it is a bad record.
func (m *model) identityEvent(e *attribution.IdentityEvent, at attribution.Arrival) (bad bool) {
	cause := attribution.Cause{Topic: attribution.CauseIdentityEvent, Arrival: attribution.Arrival{Time: at.Time, Offset: at.Offset}}
	to := m.identity(e.Identity)
	switch e.Type {
	case attribution.Merged:
		named := m.identity(e.Loser)
		winner, loser := to.resolve(), named.resolve()
		if to == named || winner == named {
			return true
		}
		if winner != loser {
			m.merge(winner, loser, cause)
		}
		to = winner
	case attribution.Unmerged:
		to = m.identity(e.Loser)
		m.unmerge(to, cause)
	default:
		to = to.resolve()
	}
	for _, name := range e.Attackers {
		m.list(name, to, cause)
	}
	return false
}

func (m *model) merge(winner, loser *identity, cause attribution.Cause) {
	m.touch(loser, cause)
	m.touch(winner, cause)
	loser.naming = true
	if loser.isUnseen() {
		m.mayAlso(m.newcomerOf(loser), loser)
	} else {
		m.track(loser.own)
	}
	for a := range loser.holders {
		winner.naming = winner.naming || m.isSurelyIn(a, loser) // a loser that nobody belongs to leaves no mark there
		m.visit(a, loser)
		at := slices.Index(a.may, loser)
		a.may = slices.Delete(a.may, at, at+1)
		delete(loser.holders, a)
		m.mayAlso(a, winner)
	}
	below := loser.below(nil)
	loser.pointer = winner
	m.pointing[loser] = struct{}{}
	if winner.children == nil {
		winner.children = make(map[*identity]struct{})
	}
	winner.children[loser] = struct{}{}
	m.newcomersMay(below, winner)
}

func (m *model) unmerge(loser *identity, cause attribution.Cause) {
	m.touch(loser, cause)
	loser.naming = true
	if loser.pointer == nil {
		return
	}
	m.touch(loser.resolve(), cause)
	delete(loser.pointer.children, loser)
	loser.pointer = nil
	delete(m.pointing, loser)
	m.newcomersMay(loser.below(nil), loser)
}

// below lists the identities that stand for i, i included.
func (i *identity) below(list []*identity) []*identity {
	list = append(list, i)
	for c := range i.children {
		list = c.below(list)
	}
	return list
}

// newcomersMay says that an attacker whose stub is one of these, and which is
// first seen now, belongs to an identity.
func (m *model) newcomersMay(stubs []*identity, to *identity) {
	for _, stub := range stubs {
		if stub.isUnseen() {
			m.mayAlso(m.newcomerOf(stub), to)
		}
	}
}

func (m *model) newcomerOf(stub *identity) *attacker {
	if n := stub.unseen(); n != nil {
		return n
	}
	stub.newcomer = &attacker{own: stub, may: []*identity{}}
	return stub.newcomer
}

// isUnseen reports whether a stub's attacker is not known: it was never seen, or was
// forgotten.
func (i *identity) isUnseen() bool { return i.own == nil || i.own.gone }

// unseen returns what stands for a stub's attacker that is not known; nil: nothing does.
func (i *identity) unseen() *attacker {
	if i.own != nil && i.own.gone {
		return i.own
	}
	return i.newcomer
}

// list moves an attacker that an event lists.
func (m *model) list(name string, to *identity, cause attribution.Cause) {
	a := m.attackers[name]
	if a == nil {
		a = m.newAttacker(name)
		if a.may == nil { // it may be seen first before this
			m.touch(a.own, cause)
			m.visit(a, a.own)
		}
	} else if a.gone {
		m.comeBack(a)
		m.touch(a.own, cause)
		m.visit(a, a.own)
	}
	m.track(a)
	for _, from := range a.may {
		m.touch(from, cause)
	}
	m.touch(to, cause)
	to.naming = true
	m.batchListed[a] = struct{}{}
	m.setMay(a, to)
}

// newAttacker makes an attacker known by name.
func (m *model) newAttacker(name string) *attacker {
	own := m.identity(attribution.Stub([]byte(name)).String())
	a := &attacker{name: name, own: own, in: own}
	own.own = a
	m.attackers[name] = a
	if own.newcomer == nil {
		return a
	}
	unknown := own.newcomer
	own.newcomer = nil
	a.may = unknown.may
	for _, i := range a.may {
		delete(i.holders, unknown)
		i.holders[a] = struct{}{}
	}
	for i := range m.visited(unknown) {
		delete(i.visitors, unknown)
		m.visit(a, i)
	}
	m.batchTracked[a] = struct{}{}
	delete(m.batchTracked, unknown)
	m.batchClaims[name] = nil // its home may have had to ask whose it is
	return a
}

func (m *model) visited(a *attacker) map[*identity]struct{} {
	found := make(map[*identity]struct{})
	for _, i := range m.batchDirty {
		if _, been := i.visitors[a]; been {
			found[i] = struct{}{}
		}
	}
	for _, i := range a.may {
		found[i] = struct{}{}
	}
	return found
}

// track begins to follow whose an attacker is.
func (m *model) track(a *attacker) {
	m.batchTracked[a] = struct{}{}
	if a.may == nil {
		a.may = []*identity{}
		if a.in != nil {
			m.mayAlso(a, a.in)
		}
	}
}

// setMay says whose an attacker is, whatever was before.
func (m *model) setMay(a *attacker, to *identity) {
	for _, i := range a.may {
		m.visit(a, i)
		delete(i.holders, a)
	}
	a.may = a.may[:0]
	m.mayAlso(a, to)
}

func (m *model) mayAlso(a *attacker, to *identity) {
	m.visit(a, to)
	m.batchTracked[a] = struct{}{}
	if slices.Contains(a.may, to) {
		return
	}
	a.may = append(a.may, to)
	if to.holders == nil {
		to.holders = make(map[*attacker]struct{})
	}
	to.holders[a] = struct{}{}
}
