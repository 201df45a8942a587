package state

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Every key of the database begins with the partition it belongs to and a tag,
// so that a partition is one contiguous range, its checkpoint included:
//
//	+---------------------------+-----+--------------------------+
//	| partition, 4 bytes, big   | tag | the key as the task has  |
//	| endian, highest bit clear |     | it; empty for tag 0      |
//	+---------------------------+-----+--------------------------+
//
// Tag 0 is the checkpoint, tag 1 a record. Tag 2 is never written: it bounds
// the range from above.
const (
	tagCheckpoint byte = iota
	tagRecord
	tagEnd

	partitionLen = 4
	headLen      = partitionLen + 1
)

// head is what every key of one partition and tag begins with.
type head [headLen]byte

func makeHead(p int32, tag byte) head {
	if p < 0 {
		panic(fmt.Sprintf("state: negative partition %d", p))
	}
	var h head
	binary.BigEndian.PutUint32(h[:], uint32(p))
	h[partitionLen] = tag
	return h
}

// partitionOf returns the partition that a key of the database belongs to.
func partitionOf(key []byte) (int32, bool) {
	if len(key) < headLen || key[0]&0x80 != 0 {
		return 0, false
	}
	return int32(binary.BigEndian.Uint32(key)), true
}

// appendBounds appends to lower and upper the range of database keys that
// begin with h and prefix and are not below h and from. See emptyBounds.
func appendBounds(lower, upper []byte, h head, prefix, from []byte) (lo, hi []byte) {
	upper = append(append(upper, h[:]...), prefix...)
	// The tag of a record is not 0xff, so a byte to increment is always found
	// and the bound never leaves the partition.
	for i := len(upper) - 1; ; i-- {
		if upper[i] != 0xff {
			upper[i]++
			upper = upper[:i+1]
			break
		}
	}
	start := prefix
	if string(from) > string(prefix) {
		start = from
	}
	return append(append(lower, h[:]...), start...), upper
}

// emptyBounds reports whether no key can lie in the range, because from was
// above all that begin with prefix. Such a range must not be given to a Pebble
// iterator: one whose bounds are the wrong way round misses keys after its
// bounds are set anew.
func emptyBounds(lower, upper []byte) bool { return string(lower) >= string(upper) }

// groupLen is how many first bytes the keys of a group have in common. Keys of some
// kinds are read by group (isGroupedKind): the engine's records that lie by identity
// begin with a byte for the kind, and a UUID in 17 bytes.
//
// Tables have a filter of their groups, and of all other keys as a whole. So one
// question tells that an identity has no row, however many it might have, and the
// filters of rows are as large as there are identities.
const groupLen = 18

// grouped reports whether keys of the task that begin with prefix are all of one
// group.
func grouped(prefix []byte) bool {
	return len(prefix) >= groupLen && isGroupedKind(prefix[0])
}

func isGroupedKind(kind byte) bool {
	switch kind {
	case 'r', 'd', 'm', 'l', 'y':
		return true
	}
	return false
}

// splitKey returns how many bytes of a key of the database name its group, or all
// of them. It goes by the first bytes of a key alone, so the order of groups is
// that of the keys.
func splitKey(key []byte) int {
	if len(key) > headLen+groupLen && key[partitionLen] == tagRecord && isGroupedKind(key[headLen]) {
		return headLen + groupLen
	}
	return len(key)
}

// newComparer returns the order of the database's keys, which is that of their bytes.
// Its name is in the database, which opens with no other. It must change when splitKey
// does: filters of before would answer for other groups.
func newComparer() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Name = "handprint.groups"
	c.Split = splitKey
	c.ComparePointSuffixes, c.CompareRangeSuffixes = bytes.Compare, bytes.Compare
	return &c
}
