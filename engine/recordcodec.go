package engine

import (
	"encoding/binary"
	"fmt"
	"slices"

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
	Members    uint64 // how many attackers were linked to it and are here
	Told       uint64 // version of the last event for which it was told what the identity is; 0: it never was

	// Of a stub that an identity-retention may end: the day of its entry in the index
	// of last days, and, if its attacker was first seen under one, the first
	// observation.
	Due   uint64
	Since attribution.Arrival
}

// The record of an identity has version 1, or datedIdentity if it has the fields of
// a stub under an identity-retention as well.
const datedIdentity = 2

func appendIdentity(dst []byte, i identity) []byte {
	dated := i.Due != 0 || i.Since != (attribution.Arrival{})
	version := byte(1)
	if dated {
		version = datedIdentity
	}
	dst = append(dst, version)
	dst = appendBytes(dst, i.Own)
	dst = appendBytes(dst, i.MergedInto)
	dst = binary.AppendUvarint(appendOrigin(dst, i.By), i.Members)
	dst = binary.AppendUvarint(dst, i.Told)
	if dated {
		dst = appendArrival(binary.AppendUvarint(dst, i.Due), i.Since, attribution.Arrival{})
	}
	return dst
}

func decodeIdentity(b []byte) (i identity, err error) {
	in := reader{b: b}
	dated := len(b) > 0 && b[0] == datedIdentity
	if dated {
		in.byte()
	} else {
		in.version(1)
	}
	i = identity{Own: in.bytes(), MergedInto: in.bytes(), By: in.origin(), Members: in.uvarint(), Told: in.uvarint()}
	if dated {
		i.Due, i.Since = in.uvarint(), in.arrival(attribution.Arrival{})
	}
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

// How many observations wait, the released ones included.
func appendCount(dst []byte, n uint64) []byte { return binary.AppendUvarint(append(dst, 1), n) }

func decodeCount(b []byte) (n uint64, err error) {
	in := reader{b: b}
	in.version(1)
	n = in.uvarint()
	return n, in.end("count")
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
	Came     [][]byte // the first attackers that came, see moved
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
	return appendList(dst, u.Came)
}

func decodeUnsettled(b []byte) (u unsettled, err error) {
	in := reader{b: b}
	in.version(1)
	u.Settling = in.byte() == 1
	for _, n := range [...]*uint64{&u.Version, &u.Round, &u.In, &u.Out, &u.RowsIn, &u.RowsOut} {
		*n = in.uvarint()
	}
	u.Came = in.list()
	return u, in.end("unsettled identity")
}

// An open suspicion: version 1, its id (16 bytes), when it was raised, whether
// it is quiet (a byte) and since when, and a list of what it has named, each a
// primitive, a kind (1 alternates, 2 returns), how often it returned, and a list
// of values.
const suspicionVersion = 1

var reasonKinds = [...]attribution.ReasonKind{"", attribution.ReasonAlternates, attribution.ReasonReturns}

func appendSuspicion(dst []byte, o *attribution.OpenSuspicion) []byte {
	dst = append(append(dst, suspicionVersion), o.ID[:]...)
	dst = appendFloat(dst, o.Raised)
	dst = appendFloat(appendBool(dst, o.Quiet), o.QuietSince)
	dst = binary.AppendUvarint(dst, uint64(len(o.Named)))
	for i := range o.Named {
		r := &o.Named[i]
		dst = append(appendBytes(dst, r.Primitive), byte(slices.Index(reasonKinds[:], r.Kind)))
		dst = binary.AppendUvarint(dst, uint64(r.Times))
		dst = binary.AppendUvarint(dst, uint64(len(r.Values)))
		for _, v := range r.Values {
			dst = appendBytes(dst, v)
		}
	}
	return dst
}

func decodeSuspicion(b []byte) (o *attribution.OpenSuspicion, err error) {
	in := reader{b: b}
	in.version(suspicionVersion)
	o = new(attribution.OpenSuspicion)
	if len(in.b) >= len(o.ID) {
		in.b = in.b[copy(o.ID[:], in.b):]
	} else {
		in.fail(errShort)
	}
	o.Raised, o.Quiet, o.QuietSince = in.float(), in.byte() == 1, in.float()
	for range in.count(minReason) {
		r := attribution.Reason{Primitive: in.text()}
		if kind := in.byte(); kind > 0 && int(kind) < len(reasonKinds) {
			r.Kind = reasonKinds[kind]
		} else {
			in.fail(fmt.Errorf("no kind of reason has number %d", kind))
		}
		r.Times = int(in.uvarint())
		for range in.count(1) {
			r.Values = append(r.Values, in.bytes())
		}
		o.Named = append(o.Named, r)
	}
	return o, in.end("open suspicion")
}

// minReason is how many bytes a reason takes at least.
const minReason = 4

// What the last suspicion of an identity said under the rule primitives: version 1, how
// many primitives were in multi_actor, and the names that it listed, sorted. All is 0
// where nothing was sent of a suspect.
func appendTold(dst []byte, t attribution.Told) []byte {
	dst = binary.AppendUvarint(append(dst, 1), uint64(t.Total))
	dst = binary.AppendUvarint(dst, uint64(len(t.Names)))
	for _, n := range t.Names {
		dst = appendBytes(dst, n)
	}
	return dst
}

func decodeTold(b []byte) (t attribution.Told, err error) {
	in := reader{b: b}
	in.version(1)
	t.Total = int(in.uvarint())
	for range in.count(1) {
		t.Names = append(t.Names, in.text())
	}
	return t, in.end("what was said of a suspect")
}

// decodeToldTotal reads the Total alone.
func decodeToldTotal(b []byte) (total uint64, err error) {
	in := reader{b: b}
	in.version(1)
	total = in.uvarint()
	return total, in.err
}
