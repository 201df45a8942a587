package engine

import (
	"fmt"

	"handprint/attribution"
)

// A union of a row with several contributions is held from the row's first
// contribution on, or from when a row with at least unionFrom of them was added
// up.
const maxUnions = 4096 // rows whose unions are held

var unionFrom = 8 // tests hold unions of small rows too

// holdUnion keeps the union of a row that was just added up.
func (e *Engine) holdUnion(identity, primitive []byte, u *attribution.Union) {
	if len(e.unions) >= maxUnions {
		for key := range e.unions { // any will do: it is built again when it is needed
			delete(e.unions, key)
			break
		}
	}
	e.setRowKey(identity, primitive)
	e.unions[string(e.keys.row)] = u
}

func (e *Engine) dropUnion(identity, primitive []byte) {
	if len(e.unions) > 0 {
		e.setRowKey(identity, primitive)
		delete(e.unions, string(e.keys.row))
	}
}

// unionTaken brings the union of a row up to date with an observation, or gives
// it up.
func (e *Engine) unionTaken(identity, primitive, attacker []byte, entry attribution.Entry, taken attribution.Taken, left attribution.Entry, had bool) {
	e.setRowKey(identity, primitive)
	u := e.unions[string(e.keys.row)]
	if u != nil && !u.Taken(string(attacker), entry, taken, left, had) {
		delete(e.unions, string(e.keys.row))
	}
}

// unionJoined adds what an attacker brings along to the union of a row.
func (e *Engine) unionJoined(identity, primitive, attacker, contribution []byte) error {
	e.setRowKey(identity, primitive)
	u := e.unions[string(e.keys.row)]
	if u == nil {
		return nil
	}
	s := series{Series: e.contrib}
	if err := decodeContribution(contribution, &s, &e.buf.contribValues); err != nil {
		return fmt.Errorf("contribution to %s: %w", primitive, err)
	}
	e.contrib = s.Series
	if s.spilled {
		delete(e.unions, string(e.keys.row))
		return nil
	}
	u.Add(&s.Series, string(attacker))
	e.unionReturns(identity, primitive, attacker, &s.Series)
	return nil
}

// unionReturns tells the union of a row whether the series of an attacker
// returns, of a primitive that can.
func (e *Engine) unionReturns(identity, primitive, attacker []byte, s *attribution.Series) {
	if len(e.unions) == 0 || !e.catalog.of(primitive).returning {
		return
	}
	e.setRowKey(identity, primitive)
	if u := e.unions[string(e.keys.row)]; u != nil {
		u.SetReturns(string(attacker), attribution.Returns(s, &e.cfg.Thresholds))
	}
}
