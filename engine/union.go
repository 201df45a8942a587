package engine

import "handprint/attribution"

// A row with fewer contributions than unionFrom is added up anew for each
// observation. Of the others the union is held, of at most mostUnions rows.
const mostUnions = 4096

var unionFrom = 8 // tests hold unions of small rows too

// holdUnion keeps the union of a row that was just added up.
func (e *Engine) holdUnion(identity, primitive []byte, u *attribution.Union) {
	if len(e.unions) >= mostUnions {
		for key := range e.unions { // any will do: it is built again when it is needed
			delete(e.unions, key)
			break
		}
	}
	e.keys.row = rowKey(e.keys.row, kindRow, identity, primitive)
	e.unions[string(e.keys.row)] = u
}

func (e *Engine) dropUnion(identity, primitive []byte) {
	if len(e.unions) > 0 {
		e.keys.row = rowKey(e.keys.row, kindRow, identity, primitive)
		delete(e.unions, string(e.keys.row))
	}
}

// unionTaken brings the union of a row up to date with an observation, or gives
// it up.
func (e *Engine) unionTaken(identity, primitive, attacker []byte, entry attribution.Entry, taken attribution.Taken, left attribution.Entry, had bool) {
	e.keys.row = rowKey(e.keys.row, kindRow, identity, primitive)
	u := e.unions[string(e.keys.row)]
	if u != nil && !u.Taken(string(attacker), entry, taken, left, had) {
		delete(e.unions, string(e.keys.row))
	}
}
