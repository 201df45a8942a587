package engine

import (
	"bytes"
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
	places     map[string]int
	here       *standing // of the observation in hand
}

func (s *standings) reset() {
	s.byAttacker, s.byStub = make(map[string]*standing), make(map[attribution.UUID]*standing)
	s.here = nil
}

// place returns the place of a registered primitive among the first that
// standings know about.
func (s *standings) place(primitive []byte) (int, bool) {
	at, ok := s.places[string(primitive)]
	return at, ok
}

func newStandings(r *attribution.Registry) standings {
	s := standings{places: make(map[string]int)}
	for i, name := range r.Names() {
		if i < placed {
			s.places[name] = i
		}
	}
	s.reset()
	return s
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
func (s *standings) wrote(identity, primitive []byte) {
	if at := s.stub(identity); at != nil {
		if place, ok := s.place(primitive); ok {
			at.add(place)
		}
	}
}

func (s *standings) stub(identity []byte) *standing {
	if s.here != nil && string(identity) == string(s.here.stub[:]) {
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
// there. The first row of an attacker that is not there may be chance; at the
// second it is worth to see which ones are.
func (e *Engine) stubRow(at *standing, primitive []byte) (found bool, err error) {
	place, known := e.standings.place(primitive)
	if known && at.whole && !at.has(place) {
		e.noRow()
		return false, nil
	}
	found, err = e.loadRow(at.stub[:], primitive)
	if err != nil || found {
		at.asked = true
		return found, err
	}
	if at.asked && !at.whole {
		err = e.seeRows(at)
	}
	at.asked = true
	return false, err
}

// seeRows notes which rows of a stub are there.
func (e *Engine) seeRows(at *standing) error {
	prefix := idKey(nil, kindRow, at.stub[:])
	at.rows = [4]uint64{}
	err := e.store.Scan(prefix, nil, func(key, _ []byte) bool {
		if place, ok := e.standings.place(bytes.TrimSuffix(key[len(prefix):], []byte{0})); ok {
			at.add(place)
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("reading the rows of %s: %w", at.stub, err)
	}
	at.whole = true
	return nil
}
