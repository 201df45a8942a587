package engine

import (
	"fmt"
	"slices"

	"handprint/attribution"
)

// The primitives of an identity that are in multi_actor are a set of names, and the ones
// that return are another: an index that spares the sweep a look at all rows. Each name
// is a record of its own, without a value, as [attribution.ShortPrimitive] has it. So a
// row that enters multi_actor or leaves it writes a small record, however many others
// are in it and however long its name is, and the first names are read in their order
// without the rest.
//
// How many are in multi_actor is a record too, so they are never counted. What returns is
// registered, and so bounded.

// flagRecord is the value of the record of a name: its version.
var flagRecord = []byte{1}

// setFlag adds a primitive to a set of an identity, or takes it away.
func (e *Engine) setFlag(kind byte, identity, primitive []byte, is bool) {
	e.due.mark(identity)
	if key := rowKey(nil, kind, identity, primitive); is {
		e.store.Put(key, flagRecord)
	} else {
		e.store.Delete(key)
	}
}

// hasFlag reports whether a name is in a set of an identity.
func hasFlag(from Reader, kind byte, identity []byte, name string) (bool, error) {
	b, err := from.Get(rowKey(nil, kind, identity, []byte(name)))
	if err != nil {
		return false, fmt.Errorf("flag %s of %s: %w", name, identity, err)
	}
	return b != nil, nil
}

// returning returns the primitives of an identity that return, sorted.
func returning(from Reader, identity []byte) (names []string, err error) {
	err = scan(from, idKey(nil, kindReturning, identity), nil, func(rest, _ []byte) error {
		name, _, err := cutPrimitive(rest)
		names = append(names, string(name))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("flags of %s: %w", identity, err)
	}
	return names, nil
}

// alternating returns the primitives of an identity in multi_actor that a suspicion may
// name, as [attribution.Nameable] has them. It reads no more than these, and looks each
// registered one up if there are others beyond. all reports whether there are none.
func alternating(from Reader, identity []byte, r *attribution.Registry, t *attribution.Thresholds) (names []string, all bool, err error) {
	others, next := 0, ""
	all = true
	err = scan(from, idKey(nil, kindFlagged, identity), nil, func(rest, _ []byte) error {
		name, _, err := cutPrimitive(rest)
		if err != nil {
			return err
		}
		if r.Lookup(name) == nil {
			if others++; others > t.NamedPrimitives {
				next, all = string(name), false
				return errStop
			}
		}
		names = append(names, string(name))
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("flags of %s: %w", identity, err)
	}
	if all {
		return names, true, nil
	}
	registered := r.Names()
	at, _ := slices.BinarySearch(registered, next)
	for _, name := range registered[at:] {
		is, err := hasFlag(from, kindFlagged, identity, name)
		if err != nil {
			return nil, false, err
		}
		if is {
			names = append(names, name)
		}
	}
	return names, false, nil
}

// flagged returns how many primitives of an identity are in multi_actor.
func flagged(from getter, identity []byte) (n int, err error) {
	count, _, err := get(from, idKey(nil, kindFlagCount, identity), decodeCount)
	if err != nil {
		return 0, fmt.Errorf("number of flags of %s: %w", identity, err)
	}
	return int(count), nil
}

// addFlagged changes how many primitives of an identity are in multi_actor, and returns
// how many there are now.
func (e *Engine) addFlagged(identity []byte, more int) (n int, err error) {
	if n, err = flagged(e.rare(), identity); err != nil {
		return 0, err
	}
	key := idKey(nil, kindFlagCount, identity)
	if n = max(n+more, 0); n == 0 {
		e.store.Delete(key)
	} else {
		e.store.Put(key, appendCount(nil, uint64(n)))
	}
	return n, nil
}
