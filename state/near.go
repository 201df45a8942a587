package state

import "github.com/cockroachdb/pebble/v2"

// nearness is what a transaction has done about keys that begin alike.
type nearness uint8

const (
	nearAsked nearness = iota + 1 // for one of them
	nearMany                      // there are too many to read them all
	nearRead                      // all: the overlay has every one that exists
)

// nearLimit is how many keys are read because two of them were asked for.
const nearLimit = 256

// GetNear is Get for a key whose neighbours, the keys that have its first n
// bytes, are likely to be asked for in the same transaction: when a second one
// is, all of them are read at once, which costs about as much as two or three
// reads. From then on neither those that exist nor those that do not cost one.
func (t *Txn) GetNear(key []byte, n int) (value []byte, err error) {
	e := t.lookup(key)
	if known := e != nil || t.near[string(key[:n])] == nearRead; known {
		t.count(true)
		if e == nil {
			return nil, nil
		}
		return t.read(e), nil
	}
	t.count(false)
	switch t.near[string(key[:n])] {
	case nearAsked:
		if t.scans > 0 || !t.roomy() {
			break
		}
		if err := t.readNear(key[:n]); err != nil {
			return nil, err
		}
		if e := t.lookup(key); e != nil {
			return t.read(e), nil
		}
		if t.near[string(key[:n])] == nearRead {
			return nil, nil
		}
	case nearMany:
	default:
		if t.near == nil {
			t.near = make(map[string]nearness)
		}
		t.near[string(key[:n])] = nearAsked
	}
	return t.ask(key)
}

// readNear brings the committed keys that begin with prefix into the overlay.
func (t *Txn) readNear(prefix []byte) error {
	if err := t.p.s.usable(); err != nil {
		return t.p.wrap("reading", err)
	}
	t.lower, t.upper = appendBounds(t.lower[:0], t.upper[:0], t.head, prefix, nil)
	if t.iter == nil {
		var err error
		if t.iter, err = t.p.s.db.NewIter(&pebble.IterOptions{LowerBound: t.lower, UpperBound: t.upper}); err != nil {
			return t.p.wrap("reading", t.p.s.readError(err))
		}
	} else {
		t.iter.SetBounds(t.lower, t.upper)
	}
	n := 0
	for valid := t.iter.First(); valid; valid = t.iter.Next() {
		if n++; n > nearLimit {
			t.near[string(prefix)] = nearMany
			return nil
		}
		key := t.iter.Key()[headLen:]
		if t.lookup(key) != nil {
			continue
		}
		v, err := t.iter.ValueAndErr()
		if err != nil {
			return t.p.wrap("reading", t.p.s.readError(err))
		}
		t.remember(key, v, true)
	}
	if err := t.iter.Error(); err != nil {
		return t.p.wrap("reading", t.p.s.readError(err))
	}
	t.near[string(prefix)] = nearRead
	return nil
}
