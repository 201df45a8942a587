package engine

import (
	"fmt"

	"handprint/attribution"
)

// standing is what a task remembers of an attacker that is its own identity,
// the stub, so that a row that is new costs no read. It only ever says that
// something is not there, or has not changed:
//
//   - mine: the attacker has no link, and its stub's record names it. Cleared
//     by every write of either.
//   - whole: a registered primitive that is not in rows has no row. Every row
//     that is written is added; one that is taken away may stay.
//
// Like the unions it is void when the task's memory is: see [Engine.Reload].
type standing struct {
	stub  [36]byte
	key   [18]byte // what the keys of its rows begin with
	mine  bool
	asked bool // a row of it was read before
	whole bool
	rows  [4]uint64 // by the place of the primitive in the registry
}

func (s *standing) has(place int) bool { return s.rows[place>>6]>>(place&63)&1 == 1 }

func (s *standing) add(place int) { s.rows[place>>6] |= 1 << (place & 63) }

// placed is how many primitives of the registry a standing knows about.
const placed = 4 * 64

// mostStandings bounds what a task remembers: some 300 bytes each.
var mostStandings = 8192 // tests forget more often

// standings are those of a task, by attacker and by stub.
type standings struct {
	byAttacker map[string]*standing
	byStub     map[attribution.UUID]*standing
	here       *standing // of the observation in hand
}

func (s *standings) reset() {
	s.byAttacker, s.byStub = make(map[string]*standing), make(map[attribution.UUID]*standing)
	s.here = nil
}

// of returns the standing of an attacker at its home.
func (s *standings) of(attacker []byte) *standing {
	if at := s.byAttacker[string(attacker)]; at != nil {
		return at
	}
	if len(s.byAttacker) >= mostStandings {
		s.reset() // rare, and what matters comes back at once
	}
	stub := attribution.Stub(attacker)
	at := new(standing)
	stub.AppendText(at.stub[:0])
	idKey(at.key[:0], kindRow, at.stub[:])
	s.byAttacker[string(attacker)], s.byStub[stub] = at, at
	return at
}

// linked is told of every write of an attacker's link.
func (s *standings) linked(attacker []byte) {
	if at := s.byAttacker[string(attacker)]; at != nil {
		at.mine = false
	}
}

// changed is told of every write of an identity's record.
func (s *standings) changed(identity []byte) {
	if at := s.stub(identity); at != nil {
		at.mine = false
	}
}

// wrote is told of every write of a row.
func (s *standings) wrote(identity []byte, primitive listing) {
	if primitive.place < 0 {
		return
	}
	if at := s.stub(identity); at != nil {
		at.add(primitive.place)
	}
}

// isHere reports whether an identity is the stub of the observation in hand.
func (s *standings) isHere(identity []byte) bool {
	return s.here != nil && string(identity) == string(s.here.stub[:])
}

func (s *standings) stub(identity []byte) *standing {
	if s.isHere(identity) {
		return s.here
	}
	if len(s.byStub) > 0 {
		if u, ok := attribution.ParseUUID(identity); ok {
			return s.byStub[u]
		}
	}
	return nil
}

// stubRow reads the row of a stub into e.row, unless it is known not to be
// there. The first row of an attacker that is asked for may be the only one; at
// the second it is worth to see which ones there are. From then on each is read
// by itself: a session has a part of them, and a read of all costs as much as
// twenty.
func (e *Engine) stubRow(at *standing, primitive []byte) (found bool, err error) {
	if at.whole {
		if place := e.catalog.of(primitive).place; place >= 0 && !at.has(place) {
			e.noRow()
			return false, nil
		}
		return e.loadRowBy(e.store.Get, at.stub[:], primitive)
	}
	if found, err = e.loadRow(at.stub[:], primitive); err != nil {
		return found, err
	}
	if at.asked {
		err = e.seeRows(at)
	}
	at.asked = true
	return found, err
}

// seeRows notes which rows of a stub are there. A store that reads near keys
// together has all of them in memory.
func (e *Engine) seeRows(at *standing) error {
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
	at.whole = true
	return nil
}
