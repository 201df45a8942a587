package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"handprint/attribution"
)

// Identity events are carried out side by side if they have nothing in common:
// no attacker, no identity that attackers come to or leave. Whom an attacker
// may have to leave the coordinator knows without asking, for it has seen every
// event:
//
//   - an attacker that an event has listed belongs to the identity that it went
//     to then (owner), and if that was merged since, with all of its attackers,
//     to its heir, and so on. Each merge begins a new generation of the loser:
//     who comes to it later is not the winner's;
//   - any other belongs to its stub, if that was never merged;
//   - if it was, it depends on when the attacker was first seen, which only its
//     home knows: such an event is carried out alone.
//
// Events are taken up in order; one that must wait holds up those behind it.

// mostRunning bounds the events under way.
const mostRunning = 256

// schedule mirrors the store: what the events under way touch.
type schedule struct {
	running int
	alone   bool
	busy    map[string]struct{} // 'a' + attacker, 'i' + identity
}

// claims calls use for everything that an action touches. The stub of an
// attacker is what it has to leave if no event has named it; to claim it in any
// case costs nothing but a wait now and then.
func (a *action) claims(use func(key string)) {
	for _, id := range a.Attackers {
		use("a" + string(id))
		use("i" + attribution.Stub(id).String())
	}
	for _, id := range a.Owners {
		use("i" + string(id))
	}
	use("i" + string(a.Winner))
	if len(a.Loser) > 0 {
		use("i" + string(a.Loser))
	}
}

// fits reports whether an action may begin beside those under way.
func (s *schedule) fits(a *action) bool {
	if s.running == 0 {
		return true
	}
	if s.alone || a.Alone || s.running >= mostRunning {
		return false
	}
	free := true
	a.claims(func(key string) {
		if _, taken := s.busy[key]; taken {
			free = false
		}
	})
	return free
}

func (s *schedule) add(a *action) {
	s.running++
	s.alone = s.alone || a.Alone
	a.claims(func(key string) { s.busy[key] = struct{}{} })
}

func (s *schedule) remove(a *action) {
	s.running--
	if a.Alone {
		s.alone = false
	}
	a.claims(func(key string) { delete(s.busy, key) })
}

// loadSchedule reads which events are under way.
func (e *Engine) loadSchedule() error {
	e.schedule = schedule{busy: make(map[string]struct{})}
	if e.task != coordinatorTask {
		return nil
	}
	var fault error
	err := e.store.Scan([]byte{kindFootprint}, nil, func(_, value []byte) bool {
		a, err := decodeAction(value)
		if fault = err; err != nil {
			return false
		}
		e.schedule.add(&a)
		return true
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return fmt.Errorf("reading which identity events are under way: %w", err)
	}
	return nil
}

// startReady begins as many of the waiting events as may run now.
func (e *Engine) startReady() error {
	for e.schedule.running < mostRunning {
		var key, value []byte
		err := e.store.Scan([]byte{kindQueue}, nil, func(k, v []byte) bool {
			key, value = bytes.Clone(k), bytes.Clone(v)
			return false
		})
		if err != nil {
			return fmt.Errorf("reading the next identity event: %w", err)
		}
		if key == nil {
			return nil
		}
		a, err := decodeAction(value)
		if err != nil {
			return err
		}
		if !e.schedule.fits(&a) {
			return nil
		}
		e.store.Delete(key)
		e.keys.other = numberKey(e.keys.other, kindFootprint, a.By.Version)
		e.store.Put(e.keys.other, value)
		e.schedule.add(&a)
		if err := e.start(&a); err != nil {
			return err
		}
	}
	return nil
}

// footprint returns the action that is under way.
func (e *Engine) footprint(version uint64) (action, error) {
	e.keys.other = numberKey(e.keys.other, kindFootprint, version)
	b, err := e.store.Get(e.keys.other)
	if err != nil {
		return action{}, fmt.Errorf("reading what identity event %d touches: %w", version, err)
	}
	return decodeAction(bytes.Clone(b))
}

// finish ends an event that is over, and begins those that waited for it.
func (e *Engine) finish(version uint64) error {
	a, err := e.footprint(version)
	if err != nil {
		return err
	}
	e.keys.other = numberKey(e.keys.other, kindFootprint, version)
	e.store.Delete(e.keys.other)
	e.keys.other = numberKey(e.keys.other, kindRunning, version)
	e.store.Delete(e.keys.other)
	e.schedule.remove(&a)
	return e.startReady()
}

// group is the attackers that belonged to an identity between two merges of
// it into others.
type group struct {
	Identity   []byte
	Generation uint64
}

func appendGroup(dst []byte, g group) []byte {
	return binary.AppendUvarint(appendBytes(append(dst, 1), g.Identity), g.Generation)
}

func decodeGroup(b []byte) (g group, err error) {
	in := reader{b: b}
	in.version(1)
	g = group{Identity: in.bytes(), Generation: in.uvarint()}
	return g, in.end("group of attackers")
}

// generation returns the identity's group of now, and whether it ever was
// merged.
func (e *Engine) generation(identity []byte) (g group, merged bool, err error) {
	e.keys.other = idKey(e.keys.other, kindGeneration, identity)
	b, err := e.store.Get(e.keys.other)
	if err != nil || b == nil {
		return group{Identity: identity}, false, err
	}
	g, err = decodeGroup(bytes.Clone(b))
	return g, true, err
}

func heirKey(dst []byte, g group) []byte {
	return binary.BigEndian.AppendUint64(idKey(dst, kindHeir, g.Identity), g.Generation)
}

// inherit notes that all attackers of the loser are the winner's from now on.
func (e *Engine) inherit(loser, winner []byte) error {
	from, _, err := e.generation(loser)
	if err != nil {
		return err
	}
	to, _, err := e.generation(winner)
	if err != nil {
		return err
	}
	e.store.Put(heirKey(nil, from), appendGroup(nil, to))
	e.keys.other = idKey(e.keys.other, kindGeneration, loser)
	e.store.Put(e.keys.other, appendGroup(nil, group{Identity: loser, Generation: from.Generation + 1}))
	return nil
}

// mostOwners bounds the bytes of the owners that an action lists, and so the
// record of it. One that has more to list is carried out alone.
const mostOwners = 64 << 10

// findOwners finds out whom the listed attackers of an action may have to
// leave, as things are before it, and then notes what it makes of them.
func (e *Engine) findOwners(a *action) error {
	listed, size := make(map[string]bool), 0
	for _, attacker := range a.Attackers {
		owner, known, err := e.ownerOf(attacker)
		if err != nil {
			return fmt.Errorf("finding out whose attacker %s is: %w", attacker, err)
		}
		if !known {
			a.Alone = true
			continue
		}
		if listed[string(owner)] || string(owner) == attribution.Stub(attacker).String() {
			continue
		}
		listed[string(owner)] = true
		if size += len(owner); size <= mostOwners {
			a.Owners = append(a.Owners, owner)
		} else {
			a.Alone = true
		}
	}
	if a.Merge {
		if err := e.inherit(a.Loser, a.Winner); err != nil {
			return fmt.Errorf("noting that %s inherits from %s: %w", a.Winner, a.Loser, err)
		}
	}
	to, _, err := e.generation(a.Winner)
	if err != nil {
		return fmt.Errorf("finding out about identity %s: %w", a.Winner, err)
	}
	for _, attacker := range a.Attackers {
		e.keys.other = idKey(e.keys.other, kindOwner, attacker)
		e.store.Put(e.keys.other, appendGroup(nil, to))
	}
	return nil
}

// ownerOf returns whose an attacker is, if the events tell.
func (e *Engine) ownerOf(attacker []byte) (owner []byte, known bool, err error) {
	e.keys.other = idKey(e.keys.other, kindOwner, attacker)
	b, err := e.store.Get(e.keys.other)
	if err != nil {
		return nil, false, err
	}
	if b == nil {
		stub := []byte(attribution.Stub(attacker).String())
		_, merged, err := e.generation(stub)
		return stub, !merged, err
	}
	g, err := decodeGroup(bytes.Clone(b))
	if err != nil {
		return nil, false, err
	}
	for {
		b, err := e.store.Get(heirKey(nil, g))
		if err != nil {
			return nil, false, err
		}
		if b == nil {
			return g.Identity, true, nil
		}
		if g, err = decodeGroup(bytes.Clone(b)); err != nil {
			return nil, false, err
		}
	}
}
