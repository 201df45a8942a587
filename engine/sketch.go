package engine

import (
	"encoding/binary"
	"fmt"

	"handprint/attribution"
)

// SketchKind is what a record of the store is about, for those who follow the
// changelog to know what is so now.
type SketchKind uint8

// What a [Sketcher] reads. Other records are how the work goes on.
const (
	OtherRecord SketchKind = iota
	RowRecord
	LinkRecord
	IdentityRecord
	MemberRecord
	UnsettledRecord
	HistoryRecord
	SuspectRecord
)

// Sketch is what a record says, as far as lists need it. Its slices are parts of
// the record or of the Sketcher, and valid until the next call of Read.
type Sketch struct {
	Kind      SketchKind
	Gone      bool   // the record was deleted: only Identity, Primitive, Attacker and Version are set
	Identity  []byte // of all kinds; of a link the one that the attacker was linked to, empty if Gone
	Primitive []byte // of a row
	Attacker  []byte // of a link or a member
	Version   uint64 // of a history entry
	Offset    int64  // of a history entry: of its event in the topic of identity events
	Time      int64  // of a history entry: timestamp of that event's record, Unix milliseconds

	Published  bool            // of a row: the world was told of it
	Row        attribution.Row // of a row; a value over 256 bytes stands as [StoredValue] has it
	Own        []byte          // of an identity: a stub's own attacker
	MergedInto []byte          // of an identity
}

// Sketcher reads records of the store, or of its changelog, without allocating. It
// is for one goroutine.
type Sketcher struct {
	row                row
	values             values
	sketch             Sketch
	identity, attacker []byte
}

// SketchPrefixes returns what the keys of records begin with that a Sketcher reads
// for lists: all kinds but history and suspects.
func SketchPrefixes() [][]byte {
	return [][]byte{{kindLink}, {kindIdentity}, {kindMember}, {kindRow}, {kindUnsettled}}
}

// Read reads one record: value is nil for one that was deleted.
func (s *Sketcher) Read(key, value []byte) (*Sketch, error) {
	k := &s.sketch
	*k = Sketch{Gone: value == nil}
	if len(key) == 0 {
		return k, fmt.Errorf("a record without a key")
	}
	rest, err := key[1:], error(nil)
	cut := func(into *[]byte) []byte {
		if err == nil {
			*into, rest, err = appendCutID((*into)[:0], rest)
		}
		return *into
	}
	switch key[0] {
	case kindRow:
		k.Kind, k.Identity = RowRecord, cut(&s.identity)
		if err == nil {
			k.Primitive, _, err = cutPrimitive(rest)
		}
	case kindLink:
		k.Kind, k.Attacker = LinkRecord, cut(&s.attacker)
	case kindIdentity:
		k.Kind, k.Identity = IdentityRecord, cut(&s.identity)
	case kindMember:
		k.Kind, k.Identity, k.Attacker = MemberRecord, cut(&s.identity), cut(&s.attacker)
	case kindUnsettled:
		k.Kind, k.Identity = UnsettledRecord, cut(&s.identity)
	case kindSuspect:
		k.Kind, k.Identity = SuspectRecord, cut(&s.identity)
	case kindHistory:
		k.Kind, k.Identity = HistoryRecord, cut(&s.identity)
		if err == nil && len(rest) == 8 {
			k.Version = binary.BigEndian.Uint64(rest)
		}
	default:
		return k, nil
	}
	if err != nil || k.Gone {
		return k, err
	}
	switch k.Kind {
	case RowRecord:
		err = decodeRow(value, &s.row, &s.values)
		k.Published, k.Row = s.row.published, s.row.was
	case LinkRecord:
		var l link
		l, err = decodeLink(value)
		k.Identity = l.Identity
	case IdentityRecord:
		var i identity
		i, err = decodeIdentity(value)
		k.Own, k.MergedInto = i.Own, i.MergedInto
	case HistoryRecord:
		var h HistoryEntry
		h, err = decodeHistory(value)
		k.Offset, k.Time = h.Offset, h.Time
	}
	return k, err
}
