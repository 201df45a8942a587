package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"handprint/attribution"
)

// Identity changes run side by side if they have nothing in common: no attacker,
// and no identity that attackers come to or leave. The coordinator has seen
// every event, so it knows the identity that an attacker may have to leave:
//
//   - an attacker that an event has listed belongs to the identity that it went
//     to then (owner). If that identity was merged since, with all of its
//     attackers, the attacker belongs to its heir, and so on. Each merge begins
//     a new generation of the loser: an attacker that comes to the loser later
//     is not the winner's;
//   - any other attacker belongs to its stub, if the stub was never merged;
//   - if the stub was merged, it depends on when the attacker was first seen,
//     which only its home knows. Such a change runs alone.
//
// Changes begin in order. One that has to wait holds up the next ones.

const (
	// maxInProgress bounds the changes under way. Each step of a change is a
	// transaction, which all that are under way share, so few at a time make
	// many transactions.
	maxInProgress = 2048
	// maxTouched bounds the memory of what they touch, in bytes. A change alone may
	// touch more.
	maxTouched = 8 << 20
	// touchedBytes is what a name of what is touched takes besides its text.
	touchedBytes = 64
)

// maxBegun bounds how many changes begin in one step, and so what it sends; tests make
// it small.
var maxBegun = 256

// schedule is what the changes under way touch. It mirrors the store.
type schedule struct {
	running int
	alone   bool
	busy    map[string]struct{} // 'a' + attacker, 'i' + identity
	bytes   int                 // of busy
	times   map[uint64]int64    // record timestamps of the changes under way, Unix ms, by version
	order   []uint64            // versions as they began; the first may be over
	begun   uint64              // version of the change that began last
}

// eachTouched calls use for each attacker and identity that a change touches.
// An attacker's stub is always among them, because the attacker leaves it if no
// event has named the attacker before. That it is there without need makes
// another change wait now and then, and nothing else.
func (a *identityChange) eachTouched(use func(key string)) {
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

// fits reports whether a change may begin beside those under way.
func (s *schedule) fits(a *identityChange) bool {
	if s.running == 0 {
		return true
	}
	if s.alone || a.Alone || s.running >= maxInProgress {
		return false
	}
	free, touched := true, s.bytes
	a.eachTouched(func(key string) {
		touched += len(key) + touchedBytes
		if _, taken := s.busy[key]; taken {
			free = false
		}
	})
	return free && touched <= maxTouched
}

func (s *schedule) add(a *identityChange) {
	s.running++
	s.alone = s.alone || a.Alone
	s.times[a.By.Version] = a.By.Time
	s.order = append(s.order, a.By.Version)
	s.begun = max(s.begun, a.By.Version)
	a.eachTouched(func(key string) {
		if _, ok := s.busy[key]; !ok {
			s.busy[key] = struct{}{}
			s.bytes += len(key) + touchedBytes
		}
	})
}

func (s *schedule) remove(a *identityChange) {
	s.running--
	delete(s.times, a.By.Version)
	if a.Alone {
		s.alone = false
	}
	a.eachTouched(func(key string) {
		if _, ok := s.busy[key]; ok {
			delete(s.busy, key)
			s.bytes -= len(key) + touchedBytes
		}
	})
}

// oldest is the record timestamp of the change under way that began first, Unix ms;
// 0 if none is under way.
func (s *schedule) oldest() int64 {
	for len(s.order) > 0 {
		if t, running := s.times[s.order[0]]; running {
			return t
		}
		s.order = s.order[1:]
	}
	s.order = nil
	return 0
}

// reload reads from the store which changes are under way.
func (c *coordinator) reload(store Store) error {
	c.store, c.schedule = store, schedule{busy: make(map[string]struct{}), times: make(map[uint64]int64)}
	var fault error
	err := c.store.Scan([]byte{kindFootprint}, nil, func(_, value []byte) bool {
		a, err := decodeIdentityChange(value)
		if fault = err; err != nil {
			return false
		}
		c.schedule.add(&a)
		return true
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return fmt.Errorf("reading which identity events are under way: %w", err)
	}
	return c.findBegun()
}

// findBegun finds the version of the change that began last: the one before the
// first that waits.
func (c *coordinator) findBegun() error {
	taken, err := c.lastVersion()
	if err != nil {
		return fmt.Errorf("reading the version of the last identity event: %w", err)
	}
	c.taken, c.schedule.begun = taken, taken
	err = scan(c.store, []byte{kindQueue}, nil, func(rest, _ []byte) error {
		if len(rest) == 8 {
			c.schedule.begun = binary.BigEndian.Uint64(rest) - 1
		}
		return errStop
	})
	if err != nil {
		return fmt.Errorf("reading the next identity event: %w", err)
	}
	c.show()
	return nil
}

// show sets the gauges of what the coordinator is doing.
func (c *coordinator) show() {
	g := &c.counters.Changes
	g.Waiting.Store(int64(c.taken - c.schedule.begun))
	g.InProgress.Store(int64(c.schedule.running))
	g.Oldest.Store(c.schedule.oldest())
}

// progressed notes that the coordinator took a step, and sets the gauges.
func (c *coordinator) progressed() {
	c.counters.Changes.Progress.Store(int64(c.out.Now() * 1000))
	c.show()
}

// startReady begins as many of the waiting changes as may run now, at most maxBegun;
// a command to the task itself goes on with the others. It is called again at the
// end of each change. A change that has nothing to do ends while it begins: then the
// call that began it goes on.
func (c *coordinator) startReady() error {
	if c.starting {
		return nil
	}
	c.starting = true
	defer func() { c.starting = false }()
	for n := 0; c.schedule.running < maxInProgress; n++ {
		var key, value []byte
		err := c.store.Scan([]byte{kindQueue}, numberKey(nil, kindQueue, c.schedule.begun+1), func(k, v []byte) bool {
			key, value = bytes.Clone(k), bytes.Clone(v)
			return false
		})
		if err != nil {
			return fmt.Errorf("reading the next identity event: %w", err)
		}
		if key == nil {
			return nil
		}
		a, err := decodeIdentityChange(value)
		if err != nil {
			return err
		}
		if !c.schedule.fits(&a) {
			return nil
		}
		if n == maxBegun {
			c.send(CoordinatorTask, nil, appendCommand(c.command, cmdBegin))
			return nil
		}
		c.store.Delete(key)
		c.key = numberKey(c.key, kindFootprint, a.By.Version)
		c.store.Put(c.key, value)
		c.schedule.add(&a)
		if err := c.start(&a); err != nil {
			return err
		}
	}
	return nil
}

// changeOf returns the change of this version, which is under way.
func (c *coordinator) changeOf(version uint64) (identityChange, error) {
	c.key = numberKey(c.key, kindFootprint, version)
	b, err := c.store.Get(c.key)
	if err != nil {
		return identityChange{}, fmt.Errorf("reading what identity event %d touches: %w", version, err)
	}
	return decodeIdentityChange(bytes.Clone(b))
}

// finish ends a change that is over, and begins the ones that waited for it.
func (c *coordinator) finish(r *inProgress) error {
	version := r.By.Version
	a, err := c.changeOf(version)
	if err != nil {
		return err
	}
	c.tellChange(&a, &r.Moved)
	c.key = numberKey(c.key, kindFootprint, version)
	c.store.Delete(c.key)
	c.key = numberKey(c.key, kindRunning, version)
	c.store.Delete(c.key)
	c.schedule.remove(&a)
	return c.startReady()
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
func (c *coordinator) generation(identity []byte) (g group, merged bool, err error) {
	c.key = idKey(c.key, kindGeneration, identity)
	b, err := c.store.Get(c.key)
	if err != nil || b == nil {
		return group{Identity: identity}, false, err
	}
	g, err = decodeGroup(bytes.Clone(b))
	return g, true, err
}

func heirKey(dst []byte, g group) []byte {
	return binary.BigEndian.AppendUint64(idKey(dst, kindHeir, g.Identity), g.Generation)
}

// inherit notes that all attackers of the loser belong to the winner now.
func (c *coordinator) inherit(loser, winner []byte) error {
	from, _, err := c.generation(loser)
	if err != nil {
		return err
	}
	to, _, err := c.generation(winner)
	if err != nil {
		return err
	}
	c.store.Put(heirKey(nil, from), appendGroup(nil, to))
	c.key = idKey(c.key, kindGeneration, loser)
	c.store.Put(c.key, appendGroup(nil, group{Identity: loser, Generation: from.Generation + 1}))
	return nil
}

// maxOwners bounds the bytes of the owners in the record of a change. A change
// with more owners runs alone.
const maxOwners = 64 << 10

// findOwners finds the identities that the listed attackers of a change may have
// to leave, and then notes whose the attackers are after it.
func (c *coordinator) findOwners(a *identityChange) error {
	listed, size := make(map[string]bool), 0
	ends := make(map[string][]byte)
	for _, attacker := range a.Attackers {
		owner, known, err := c.ownerOf(attacker, ends)
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
		if size += len(owner); size <= maxOwners {
			a.Owners = append(a.Owners, owner)
		} else {
			a.Alone = true
		}
	}
	if a.Merge {
		if err := c.inherit(a.Loser, a.Winner); err != nil {
			return fmt.Errorf("noting that %s inherits from %s: %w", a.Winner, a.Loser, err)
		}
	}
	to, _, err := c.generation(a.Winner)
	if err != nil {
		return fmt.Errorf("finding out about identity %s: %w", a.Winner, err)
	}
	for _, attacker := range a.Attackers {
		c.key = idKey(c.key, kindOwner, attacker)
		c.store.Put(c.key, appendGroup(nil, to))
	}
	return nil
}

// ownerOf returns the identity of an attacker, if the events alone say it. ends has the
// identities at the ends of chains of heirs, by the keys of the heirs that were read
// for the same change: a change may list thousands that are at the beginning of one chain.
func (c *coordinator) ownerOf(attacker []byte, ends map[string][]byte) (owner []byte, known bool, err error) {
	c.key = idKey(c.key, kindOwner, attacker)
	b, err := c.store.Get(c.key)
	if err != nil {
		return nil, false, err
	}
	if b == nil {
		stub := []byte(attribution.Stub(attacker).String())
		_, merged, err := c.generation(stub)
		return stub, !merged, err
	}
	g, err := decodeGroup(bytes.Clone(b))
	if err != nil {
		return nil, false, err
	}
	var passed []string
	for owner == nil {
		key := heirKey(nil, g)
		if owner = ends[string(key)]; owner != nil {
			break
		}
		passed = append(passed, string(key))
		b, err := c.store.Get(key)
		if err != nil {
			return nil, false, err
		}
		if b == nil {
			owner = g.Identity
			break
		}
		if g, err = decodeGroup(bytes.Clone(b)); err != nil {
			return nil, false, err
		}
	}
	for _, key := range passed {
		ends[key] = owner
	}
	return owner, true, nil
}
