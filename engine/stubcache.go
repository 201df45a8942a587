package engine

import (
	"fmt"

	"handprint/attribution"
)

// stubCache remembers of an attacker that is its own identity, the stub, which
// rows it has, so that a row that is new costs no read. It only ever says that
// something is not there, or has not changed:
//
//   - ownsItself: the attacker has no link, and its stub's record names it.
//     Cleared by every write of either.
//   - rowsKnown: a registered primitive that is not in rows has no row. Every
//     row that is written is added; one that is taken away may stay.
//
// It is emptied with the rest of the task's memory: see [Engine.Reload].
type stubCache struct {
	stub       [36]byte
	key        [18]byte // what the keys of its rows begin with
	ownsItself bool
	reads      uint8 // of its rows, until rowsKnown
	rowsKnown  bool
	rows       [4]uint64 // by the place of the primitive in the registry
}

func (s *stubCache) has(place int) bool { return s.rows[place>>6]>>(place&63)&1 == 1 }

func (s *stubCache) add(place int) { s.rows[place>>6] |= 1 << (place & 63) }

// placed is how many primitives of the registry a stubCache knows about.
const placed = 4 * 64

// maxStubs and maxStubNames bound what a task remembers of stubs: how many, some 300
// bytes each, and the bytes of the names of their attackers besides, as a name may be as
// long as a record. Tests forget more often.
var (
	maxStubs     = 8192
	maxStubNames = 1 << 20
)

// stubCaches holds the stubs of a task, by attacker and by stub id. When the young ones
// are half of what may be remembered they become the old ones, and the old ones are
// forgotten. A stub that was asked for meanwhile is young again: who is seen all the time
// is remembered among many who are seen once.
type stubCaches struct {
	young, old stubAge
	here       *stubCache // of the current observation; nil: none
}

// stubAge is half of the stubs.
type stubAge struct {
	byAttacker map[string]*stubCache
	byStub     map[attribution.UUID]*stubCache
	names      int // bytes, of the keys of byAttacker
}

func newStubAge() stubAge {
	return stubAge{byAttacker: make(map[string]*stubCache), byStub: make(map[attribution.UUID]*stubCache)}
}

func (s *stubCaches) reset() { *s = stubCaches{young: newStubAge(), old: newStubAge()} }

// of returns the cache of an attacker at its home.
func (s *stubCaches) of(attacker []byte) *stubCache {
	if at := s.young.byAttacker[string(attacker)]; at != nil {
		return at
	}
	if n := len(s.young.byAttacker); n > 0 && (n >= maxStubs/2 || s.young.names+len(attacker) > maxStubNames/2) {
		s.young, s.old = s.old, s.young
		clear(s.young.byAttacker)
		clear(s.young.byStub)
		s.young.names = 0
	}
	stub := attribution.UUID{}
	at := s.old.byAttacker[string(attacker)]
	if at == nil {
		stub = attribution.Stub(attacker)
		at = new(stubCache)
		stub.AppendText(at.stub[:0])
		idKey(at.key[:0], kindRow, at.stub[:])
	} else {
		stub, _ = attribution.ParseUUID(at.stub[:])
	}
	s.young.names += len(attacker)
	s.young.byAttacker[string(attacker)], s.young.byStub[stub] = at, at
	return at
}

// known returns the cache of an attacker, nil if there is none.
func (s *stubCaches) known(attacker []byte) *stubCache {
	if at := s.young.byAttacker[string(attacker)]; at != nil {
		return at
	}
	return s.old.byAttacker[string(attacker)]
}

// linked is told of every write of an attacker's link.
func (s *stubCaches) linked(attacker []byte) {
	if at := s.known(attacker); at != nil {
		at.ownsItself = false
	}
}

// changed is told of every write of an identity's record.
func (s *stubCaches) changed(identity []byte) {
	if at := s.stub(identity); at != nil {
		at.ownsItself = false
	}
}

// wrote is told of every write of a row.
func (s *stubCaches) wrote(identity []byte, primitive listing) {
	if primitive.place < 0 {
		return
	}
	if at := s.stub(identity); at != nil {
		at.add(primitive.place)
	}
}

// isHere reports whether an identity is the stub of the current observation.
func (s *stubCaches) isHere(identity []byte) bool {
	return s.here != nil && string(identity) == string(s.here.stub[:])
}

func (s *stubCaches) stub(identity []byte) *stubCache {
	if s.isHere(identity) {
		return s.here
	}
	if u, ok := attribution.ParseUUID(identity); ok {
		if at := s.young.byStub[u]; at != nil {
			return at
		}
		return s.old.byStub[u]
	}
	return nil
}

// seenAfter is how many rows of a stub are read before it is worth to see which
// ones it has, which takes a look for each registered primitive. A session is
// shorter: most attackers never come back, and within a transaction the store
// remembers which rows are absent once it has read them together.
var seenAfter uint8 = 24 // tests see them sooner

// ReadAhead returns what the keys begin with that the first observation of an attacker
// is likely to read: those of its stub's rows. nil: it is not at home here, or its rows
// were read lately, so the store has most of them in memory. The slice is valid until
// the next call of e.
func (e *Engine) ReadAhead(attacker []byte) (prefix []byte) {
	// The key of a record may be anything; what is remembered of it is bounded.
	const maxKey = 256
	if len(attacker) > maxKey || e.attackerHome(attacker) != e.task {
		return nil
	}
	at := e.stubs.of(attacker)
	if at.reads > 0 {
		return nil
	}
	return at.key[:]
}

// stubRow reads the row of a stub into e.row, unless it is known not to be
// there.
func (e *Engine) stubRow(at *stubCache, primitive []byte) (found bool, err error) {
	if at.rowsKnown {
		if place := e.catalog.of(primitive).place; place >= 0 && !at.has(place) {
			e.noRow()
			return false, nil
		}
		if near, ok := e.store.(nearStore); ok {
			return e.loadRowBy(func(key []byte) ([]byte, error) {
				return near.GetGrouped(key, len(key)-len(primitive)-1)
			}, at.stub[:], primitive)
		}
		return e.loadRowBy(e.store.Get, at.stub[:], primitive)
	}
	if found, err = e.loadRow(at.stub[:], primitive); err != nil {
		return found, err
	}
	if at.reads++; at.reads >= seenAfter {
		err = e.seeRows(at)
	}
	return found, err
}

// seeRows notes which rows of a stub are there. A store that reads near keys
// together has all of them in memory.
func (e *Engine) seeRows(at *stubCache) error {
	key := idKey(nil, kindRow, at.stub[:])
	n := len(key)
	get := e.store.Get
	if near, ok := e.store.(nearStore); ok {
		get = func(key []byte) ([]byte, error) { return near.GetPrefetch(key, n) }
	}
	at.rows = [4]uint64{}
	for name, l := range e.catalog.byName {
		if l.place < 0 {
			continue
		}
		key = append(append(key[:n], name...), 0)
		b, err := get(key)
		if err != nil {
			return fmt.Errorf("reading the rows of %s: %w", at.stub, err)
		}
		if b != nil {
			at.add(l.place)
		}
	}
	at.rowsKnown = true
	return nil
}
