package engine

import (
	"fmt"
	"hash/fnv"
	"slices"
)

// The primitives of an identity that are in multi_actor are a set of names, and the ones
// that return are another: an index that spares the sweep a look at all rows. A set is
// in parts, by a hash of the name, each a record of its own. So a row that enters
// multi_actor or leaves it writes a part, however many others are in it.
//
// A part has at most maxPart bytes of names, which is ten thousand of usual length in
// all. What goes beyond is not flagged, unless it is registered: names that somebody
// makes up keep none of the registry's out.
const (
	flagParts = 256
	maxPart   = 4096
)

// flagPart is the part of a set that a name belongs to.
func flagPart(name string) byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	sum := h.Sum32()
	return byte(sum ^ sum>>8 ^ sum>>16 ^ sum>>24)
}

func flagKey(dst []byte, kind byte, identity []byte, part byte) []byte {
	return append(idKey(dst, kind, identity), part)
}

// setFlag adds a primitive to a set of an identity, or takes it away.
func (e *Engine) setFlag(kind byte, identity, primitive []byte, is bool) error {
	e.due.mark(identity)
	name := string(primitive)
	key := flagKey(nil, kind, identity, flagPart(name))
	names, _, err := get(e.rare(), key, decodeNames)
	if err != nil {
		return fmt.Errorf("flags of %s: %w", identity, err)
	}
	at, there := slices.BinarySearch(names, name)
	switch {
	case is == there:
		return nil
	case is && sizeOfNames(names)+len(name) > maxPart && e.cfg.Registry.Lookup(primitive) == nil:
		return nil
	case is:
		names = slices.Insert(names, at, name)
	default:
		names = slices.Delete(names, at, at+1)
	}
	if len(names) == 0 {
		e.store.Delete(key)
	} else {
		e.store.Put(key, appendNames(nil, names))
	}
	return nil
}

func sizeOfNames(names []string) (n int) {
	for _, name := range names {
		n += len(name)
	}
	return n
}

// flags returns a set of an identity, sorted.
func flags(from Reader, kind byte, identity []byte) (names []string, err error) {
	err = scan(from, idKey(nil, kind, identity), nil, func(_, value []byte) error {
		part, err := decodeNames(value)
		names = append(names, part...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("flags of %s: %w", identity, err)
	}
	slices.Sort(names)
	return names, nil
}

// countFlags counts a set of an identity up to most.
func (e *Engine) countFlags(kind byte, identity []byte, most int) (n int, err error) {
	err = scan(e.store, idKey(nil, kind, identity), nil, func(_, value []byte) error {
		part, err := decodeNames(value)
		if n += len(part); err == nil && n >= most {
			n, err = most, errStop
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("flags of %s: %w", identity, err)
	}
	return n, nil
}

// dropFlags deletes a set of an identity, and returns how many records it had.
func (e *Engine) dropFlags(kind byte, identity []byte) (n int, err error) {
	n, over, err := e.deleteSome(idKey(nil, kind, identity), flagParts)
	if err == nil && !over {
		err = fmt.Errorf("it has more than %d parts", flagParts)
	}
	return n, err
}

// Flags returns names, a sorted set of an identity by the records before, with what
// this one, a [FlaggedFact] or a [ReturningFact], says of a part of it.
func (f *Fact) Flags(names []string) []string {
	left := make([]string, 0, len(names)+len(f.Names))
	for _, name := range names {
		if flagPart(name) != f.part {
			left = append(left, name)
		}
	}
	left = append(left, f.Names...)
	slices.Sort(left)
	return left
}
