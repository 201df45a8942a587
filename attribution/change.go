package attribution

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Change says what a new conclusion does to a row.
type Change uint8

// What Advance answers.
const (
	Same    Change = iota // nothing is written
	Updated               // the row is written, no event
	Moved                 // the row is written, and the state changed: an event
)

// Advance gives the row that follows before (nil: there was none) when c is
// concluded at the wall clock now, and what that means (docs/attribution.md,
// "State row"). last_change_ts moves only with the state.
func Advance(before *Row, c *Conclusion, now float64) (Row, Change) {
	after := Row{
		State: c.State, Value: c.Value, Confidence: c.Confidence, Count: c.Count, Returns: c.Returns,
		LastChangeTS: c.LastTS, LastObservationTS: c.LastTS, UpdatedAt: now,
	}
	if before == nil || before.State != c.State {
		return after, Moved
	}
	after.LastChangeTS = before.LastChangeTS
	if before.Confidence == c.Confidence && before.Count == c.Count && before.Returns == c.Returns &&
		before.LastObservationTS == c.LastTS && bytes.Equal(before.Value, c.Value) {
		after.UpdatedAt = before.UpdatedAt
		return after, Same
	}
	return after, Updated
}

// Cause is the input record that an event is sent for. What an event is for is
// part of its id, so that a consumer that sees it twice can tell.
type Cause struct {
	Topic CauseTopic
	Arrival
}

// CauseTopic is the kind of input record that an event is sent for. It is a
// byte of the event's id, so the letters stay.
type CauseTopic byte

// The causes of events. A claim and a tick are commands.
const (
	CauseObservation   CauseTopic = 'o'
	CauseIdentityEvent CauseTopic = 'i'
	CauseClaim         CauseTopic = 'c' // an attacker was seen first when its stub had been merged
	CauseTick          CauseTopic = 't' // a sweep
	CauseSuspicion     CauseTopic = 's' // a sweep, for the id of the suspicion that it raises
	CauseForgetting    CauseTopic = 'f' // a tick at which the identity was forgotten
)

// EventID is a UUIDv8 over the cause, the identity and the primitive (empty
// for a suspicion).
func EventID(c Cause, identity, primitive []byte) UUID {
	var buf [256]byte
	in := append(buf[:0], "handprint.event.v1\x00"...)
	in = append(in, byte(c.Topic))
	in = binary.BigEndian.AppendUint64(in, uint64(c.Time))
	in = binary.BigEndian.AppendUint32(in, uint32(c.Partition))
	in = binary.BigEndian.AppendUint64(in, uint64(c.Offset))
	in = binary.AppendUvarint(in, uint64(len(identity)))
	in = append(in, identity...)
	in = append(in, primitive...)
	sum := sum256(in)
	u := UUID(sum[:16])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u
}

// Told is what the last suspicion of an identity said under [RulePrimitives].
type Told struct {
	Names []string // the primitives that were named, sorted; none: nothing was sent
	Total int      // how many were in multi_actor
}

// Sweep is the decision about one identity under [RulePrimitives]: now is what a
// suspicion would say, told is what the last one said, or nothing (none was sent, or it
// is forgotten). It returns whether a suspicion is to be sent; suspected is false if the
// identity is to be forgotten (docs/attribution.md, "The multi-actor sweep of the rule
// primitives").
func Sweep(now, told Told, t *Thresholds) (send, suspected bool) {
	if now.Total < t.MultiActorPrimitives {
		return false, false
	}
	return now.Total != told.Total || !slices.Equal(now.Names, told.Names), true
}
