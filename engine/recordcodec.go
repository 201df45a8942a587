package engine

import (
	"encoding/binary"

	"handprint/attribution"
)

// The smaller records. Each begins with version 1.

// origin is the identity event that something was done for.
type origin struct {
	Version uint64 // the order in which the coordinator took the event
	Type    attribution.EventType
	Offset  int64  // in identity.events
	Time    int64  // of its record, Unix milliseconds
	Round   uint64 // how many times the coordinator had to begin anew, because commands were lost
}

func appendOrigin(dst []byte, o origin) []byte {
	dst = binary.AppendUvarint(dst, o.Version)
	dst = append(dst, byte(o.Type))
	dst = binary.AppendVarint(dst, o.Offset)
	dst = binary.AppendVarint(dst, o.Time)
	return binary.AppendUvarint(dst, o.Round)
}

func (r *reader) origin() origin {
	return origin{Version: r.uvarint(), Type: attribution.EventType(r.byte()), Offset: r.varint(), Time: r.varint(), Round: r.uvarint()}
}

// link is whose an attacker is, at the attacker's home. An attacker without
// one belongs to its stub, or has never been seen.
type link struct {
	Identity []byte
	By       origin
	Old      []byte // the identity before; empty: none, the attacker was new
	Release  uint64 // of the observations that waited at the stub, the number of the next to forward, plus 1; 0: none waits
}

func appendLink(dst []byte, l link) []byte {
	dst = append(dst, 1)
	dst = appendBytes(dst, l.Identity)
	dst = appendOrigin(dst, l.By)
	dst = appendBytes(dst, l.Old)
	return binary.AppendUvarint(dst, l.Release)
}

func decodeLink(b []byte) (l link, err error) {
	in := reader{b: b}
	in.version(1)
	l = link{Identity: in.bytes(), By: in.origin(), Old: in.bytes(), Release: in.uvarint()}
	return l, in.end("link")
}

// identity is what is known of an identity besides its rows, at its home.
type identity struct {
	Own        []byte // a stub's own attacker, once it was seen and until it is linked; else empty
	MergedInto []byte // empty: not merged
	By         origin // the merge, or the unmerge, that set this
}

func appendIdentity(dst []byte, i identity) []byte {
	dst = append(dst, 1)
	dst = appendBytes(dst, i.Own)
	dst = appendBytes(dst, i.MergedInto)
	return appendOrigin(dst, i.By)
}

func decodeIdentity(b []byte) (i identity, err error) {
	in := reader{b: b}
	in.version(1)
	i = identity{Own: in.bytes(), MergedInto: in.bytes(), By: in.origin()}
	return i, in.end("identity")
}

// member is an attacker that was linked to an identity and has arrived.
type member struct {
	Version uint64 // of its link
	Release uint64 // of the observations that waited for it, the number of the next to take, plus 1; 0: none waits
}

func appendMember(dst []byte, m member) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(append(dst, 1), m.Version), m.Release)
}

func decodeMember(b []byte) (m member, err error) {
	in := reader{b: b}
	in.version(1)
	m = member{Version: in.uvarint(), Release: in.uvarint()}
	return m, in.end("member")
}

// How many observations wait, those that were released included.
func appendCount(dst []byte, n uint64) []byte { return binary.AppendUvarint(append(dst, 1), n) }

func decodeCount(b []byte) (n uint64, err error) {
	in := reader{b: b}
	in.version(1)
	n = in.uvarint()
	return n, in.end("number of waiting observations")
}

// waitingObservation is an observation that waits, in the form of appendObserved.
type waitingObservation struct {
	Primitive []byte
	Entry     attribution.Entry
}

func decodeObserved(b []byte) (o waitingObservation, err error) {
	in := reader{b: b}
	o.Primitive, o.Entry = in.observed()
	return o, in.end("waiting observation")
}

// unsettled marks an identity whose rows are not compared before an identity
// event is over, and counts what the event did to it.
type unsettled struct {
	Version  uint64
	Round    uint64 // the latest one, see origin
	Settling bool   // the event is over, rows are being compared
	In, Out  uint64
	RowsIn   uint64
	RowsOut  uint64
}

func appendUnsettled(dst []byte, u unsettled) []byte {
	settling := byte(0)
	if u.Settling {
		settling = 1
	}
	dst = append(dst, 1, settling)
	for _, n := range [...]uint64{u.Version, u.Round, u.In, u.Out, u.RowsIn, u.RowsOut} {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

func decodeUnsettled(b []byte) (u unsettled, err error) {
	in := reader{b: b}
	in.version(1)
	u.Settling = in.byte() == 1
	for _, n := range [...]*uint64{&u.Version, &u.Round, &u.In, &u.Out, &u.RowsIn, &u.RowsOut} {
		*n = in.uvarint()
	}
	return u, in.end("unsettled identity")
}

// Names: a sorted set of primitives, of a flagged or of a suspect identity.
func appendNames(dst []byte, names []string) []byte {
	dst = binary.AppendUvarint(append(dst, 1), uint64(len(names)))
	for _, n := range names {
		dst = appendBytes(dst, n)
	}
	return dst
}

func decodeNames(b []byte) (names []string, err error) {
	in := reader{b: b}
	in.version(1)
	for range in.count(1) {
		names = append(names, in.text())
	}
	return names, in.end("set of primitives")
}
