package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"handprint/attribution"
)

// A key is a kind, one byte, and then:
//
//	'a' link          attacker
//	'i' identity      identity
//	'm' member        identity, attacker
//	'l' has left      identity, attacker (until the merge is over)
//	'r' row           identity, primitive
//	'c' contribution  identity, primitive, attacker
//	'g' gone value    identity, primitive, attacker, the value
//	'b' large value   identity, primitive, its digest, attacker
//	'B' long value    identity, primitive, attacker unless it is a row's, its digest
//	                  (in these three an attacker of more than 48 bytes is a digest;
//	                  in these, 'f' and 't' a primitive of more than 128 bytes is cut)
//	'q' waiting       identity, attacker, number (8 bytes, big endian)
//	'w' how many wait identity, attacker
//	'u' unsettled     identity
//	'd' dirty row     identity, primitive
//	'f' flagged       identity, primitive
//	'C' flag count    identity
//	't' returning     identity, primitive
//	's' suspect       identity
//	'k' suspicion     identity
//	'y' history       identity, version (8 bytes, big endian)
//	'p' pointer       identity           (task 0)
//	'o' owner         attacker           (task 0)
//	'n' generation    identity           (task 0)
//	'h' heir          identity, generation (8 bytes, big endian) (task 0)
//	'e' queued event  version            (task 0)
//	'x' under way     version            (task 0)
//	'z' its footprint version            (task 0)
//	'v' coordinator                      (task 0)
//	'I' index         nothing: what the index of suspects was made for
//	'O' last day      day (4 bytes, big endian), a name: stubs that identity-retention may end
//	'R' last days     nothing: the index of last days is complete and kept up
//	'L' look          nothing: stubs of the index that a tick is looking at
//	'X' forgetting    identity: a stub whose rows are being taken away
//	'F' fresh row     identity, primitive: of such a stub, not one of those rows
//	'j' time          nothing: that of the observations, in a replay
//
// An id is 1 and its 16 bytes if it is a UUID in lower case with hyphens, else
// 2, its bytes with 0 written as 0 255, and 0 1. A primitive is its bytes and 0.
// So no key is the prefix of another of its kind, and what is read together
// lies together.
const (
	kindLink         = 'a'
	kindIdentity     = 'i'
	kindMember       = 'm'
	kindLeft         = 'l'
	kindRow          = 'r'
	kindContribution = 'c'
	kindGone         = 'g'
	kindLarge        = 'b'
	kindLong         = 'B'
	kindWaiting      = 'q'
	kindWaitingCount = 'w'
	kindUnsettled    = 'u'
	kindDirty        = 'd'
	kindFlagged      = 'f'
	kindFlagCount    = 'C'
	kindReturning    = 't'
	kindSuspect      = 's'
	kindSuspicion    = 'k'
	kindHistory      = 'y'
	kindPointer      = 'p'
	kindOwner        = 'o'
	kindGeneration   = 'n'
	kindHeir         = 'h'
	kindQueue        = 'e'
	kindRunning      = 'x'
	kindFootprint    = 'z'
	kindCoordinator  = 'v'
	kindTime         = 'j'
	kindIndex        = 'I'
	kindLastDay      = 'O'
	kindLastDays     = 'R'
	kindLook         = 'L'
	kindForgetting   = 'X'
	kindFresh        = 'F'
)

// Two kinds of one letter do not compile.
var _ = map[byte]struct{}{
	kindLink:         {},
	kindIdentity:     {},
	kindMember:       {},
	kindLeft:         {},
	kindRow:          {},
	kindContribution: {},
	kindGone:         {},
	kindLarge:        {},
	kindLong:         {},
	kindWaiting:      {},
	kindWaitingCount: {},
	kindUnsettled:    {},
	kindDirty:        {},
	kindFlagged:      {},
	kindFlagCount:    {},
	kindReturning:    {},
	kindSuspect:      {},
	kindSuspicion:    {},
	kindHistory:      {},
	kindPointer:      {},
	kindOwner:        {},
	kindGeneration:   {},
	kindHeir:         {},
	kindQueue:        {},
	kindRunning:      {},
	kindFootprint:    {},
	kindCoordinator:  {},
	kindTime:         {},
	kindIndex:        {},
	kindLastDay:      {},
	kindLastDays:     {},
	kindLook:         {},
	kindForgetting:   {},
	kindFresh:        {},
}

const (
	packedID = 1
	textID   = 2
	digestID = 3 // of an attacker: see shortened

	// maxKeyAttacker is how many bytes of an attacker are in the keys of records that
	// are looked for by their series.
	maxKeyAttacker = 48
)

func appendID(dst, id []byte) []byte {
	if u, ok := attribution.ParseUUID(id); ok {
		return append(append(dst, packedID), u[:]...)
	}
	dst = append(dst, textID)
	for {
		i := bytes.IndexByte(id, 0)
		if i < 0 {
			break
		}
		dst = append(append(dst, id[:i]...), 0, 255)
		id = id[i+1:]
	}
	return append(append(dst, id...), 0, 1)
}

// cutID takes an id off the front of a key.
func cutID(key []byte) (id, rest []byte, err error) { return appendCutID(nil, key) }

// appendCutID takes an id off the front of a key and appends it to id.
func appendCutID(id, key []byte) (longer, rest []byte, err error) {
	if len(key) >= 17 && key[0] == packedID {
		return attribution.UUID(key[1:17]).AppendText(slices.Grow(id, 36)), key[17:], nil
	}
	if len(key) > 0 && key[0] == textID {
		key = key[1:]
		for {
			i := bytes.IndexByte(key, 0)
			if i < 0 || i+1 >= len(key) {
				break
			}
			id = append(id, key[:i]...)
			mark := key[i+1]
			key = key[i+2:]
			if mark == 1 {
				return id, key, nil
			}
			id = append(id, 0)
		}
	}
	return nil, nil, fmt.Errorf("malformed key %x", key)
}

// cutPrimitive takes a primitive off the front of a key.
func cutPrimitive(key []byte) (primitive, rest []byte, err error) {
	i := bytes.IndexByte(key, 0)
	if i < 0 {
		return nil, nil, fmt.Errorf("malformed key %x", key)
	}
	return key[:i], key[i+1:], nil
}

// keyBuffers are reused, one for each key that is in use at the same time.
type keyBuffers struct {
	// row is the key of the row that setRowKey was given last, rowIdentity and
	// rowPrimitive. Every use is behind a call of setRowKey, or of a method that
	// calls it: loadRow, saveRow.
	row                       []byte
	rowIdentity, rowPrimitive []byte

	contrib []byte // a contribution's, in loadContribution and saveContribution
	part    []byte // what largeKey returned, until its next call
}

func appendPrimitive(dst, primitive []byte) []byte {
	return append(append(dst, primitive...), 0)
}

func idKey(dst []byte, kind byte, id []byte) []byte {
	return appendID(append(dst[:0], kind), id)
}

func idsKey(dst []byte, kind byte, id, second []byte) []byte {
	return appendID(idKey(dst, kind, id), second)
}

// rowKey is a key of a row, or what such keys begin with.
func rowKey(dst []byte, kind byte, identity, primitive []byte) []byte {
	return appendCutPrimitive(idKey(dst, kind, identity), kind, primitive)
}

// appendCutPrimitive appends a primitive to the key of a kind of record. An observation
// may write ten records of a series, so a long name stands whole only in the key of the
// row, and is cut in the others.
func appendCutPrimitive(dst []byte, kind byte, primitive []byte) []byte {
	if len(primitive) > attribution.MaxPrimitiveName {
		switch kind {
		case kindContribution, kindGone, kindLarge, kindLong, kindFlagged, kindReturning:
			return append(append(dst, attribution.ShortPrimitive(primitive)...), 0)
		}
	}
	return appendPrimitive(dst, primitive)
}

// seriesKey is the key of a contribution, or what the keys of a kind of record begin
// with that belong to one.
func seriesKey(dst []byte, kind byte, identity, primitive, attacker []byte) []byte {
	dst = rowKey(dst, kind, identity, primitive)
	at := len(dst)
	if dst = appendID(dst, attacker); kind == kindContribution {
		return dst
	}
	return shortened(dst, at)
}

// shortened has a digest in the place of a long attacker that a key has from at on: an
// observation may write ten records of a series.
func shortened(key []byte, at int) []byte {
	if len(key)-at <= maxKeyAttacker {
		return key
	}
	sum := sha256.Sum256(key[at:])
	return append(append(key[:at], digestID), sum[:digestSize]...)
}

// longPrefix is what the keys of the long values of a series begin with, by the key of
// its row or contribution.
func longPrefix(dst, key []byte) []byte {
	dst = append(append(dst[:0], kindLong), key[1:]...)
	if len(key) <= maxKeyAttacker {
		return dst
	}
	_, of, err := cutID(key[1:])
	if err != nil { // it is a key that this program made
		return dst
	}
	primitive, attacker, err := cutPrimitive(of)
	if err != nil {
		return dst
	}
	dst = appendCutPrimitive(dst[:len(key)-len(of)], kindLong, primitive)
	at := len(dst)
	return shortened(append(dst, attacker...), at)
}

func numberKey(dst []byte, kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst[:0], kind), n)
}
