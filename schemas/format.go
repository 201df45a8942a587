package schemas

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"handprint/attribution"
	"handprint/internal/canonical"
	"handprint/schemas/avro"
)

// Format is how records are written: JSON, or Avro behind the ids that a
// registry has given to the schemas. A nil Format is JSON. It does not change,
// and any number of goroutines may use it.
type Format struct {
	ids [contractCount]uint32
	has [contractCount]bool
}

// AvroFormat returns the format of records that are written by the schemas with
// these ids. Records of a contract that is not among them are written as JSON.
func AvroFormat(ids map[Contract]uint32) *Format {
	f := new(Format)
	for c, id := range ids {
		f.ids[c], f.has[c] = id, true
	}
	return f
}

// header appends the header of an Avro record, or reports that the record is to
// be JSON.
func (f *Format) header(dst []byte, c Contract) ([]byte, bool) {
	if f == nil || !f.has[c] {
		return dst, false
	}
	return AppendHeader(dst, f.ids[c]), true
}

// AppendTransition appends t as a record of attribution.profile.state_changed.
func (f *Format) AppendTransition(dst []byte, t *attribution.Transition) []byte {
	dst, ok := f.header(dst, TransitionContract)
	if !ok {
		return AppendTransitionJSON(dst, t)
	}
	dst = avro.AppendText(dst, t.EventID)
	dst = avro.AppendText(dst, t.Identity)
	dst = avro.AppendText(dst, t.Primitive)
	if t.IsNew {
		dst = avro.AppendLong(dst, 0)
	} else {
		dst = appendSymbol(avro.AppendLong(dst, 1), t.Old)
	}
	dst = appendSymbol(dst, t.New)
	dst = appendValueText(dst, t.Value)
	if len(t.Previous) == 0 || bytes.Equal(t.Previous, attribution.Null) {
		dst = append(dst, 0)
	} else {
		dst = avro.AppendText(append(dst, 2), t.Previous)
	}
	dst = avro.AppendDouble(dst, t.Confidence)
	dst = avro.AppendLong(dst, t.Count)
	return avro.AppendDouble(dst, t.TS)
}

// AppendStateRow appends r as a record of attribution.state.
func (f *Format) AppendStateRow(dst []byte, r *StateRow) []byte {
	dst, ok := f.header(dst, StateRowContract)
	if !ok {
		return AppendStateRowJSON(dst, r)
	}
	dst = avro.AppendText(dst, r.Identity)
	dst = avro.AppendText(dst, r.Primitive)
	dst = appendValueText(dst, r.Row.Value)
	dst = appendSymbol(dst, r.Row.State)
	dst = avro.AppendDouble(dst, r.Row.Confidence)
	dst = avro.AppendLong(dst, r.Row.Count)
	dst = avro.AppendDouble(dst, r.Row.LastChangeTS)
	dst = avro.AppendDouble(dst, r.Row.LastObservationTS)
	dst = avro.AppendLong(dst, attribution.SchemaVersion)
	dst = avro.AppendDouble(dst, r.Row.UpdatedAt)
	return avro.AppendBool(dst, r.Row.Returns)
}

// AppendSuspicion appends u as a record of
// attribution.profile.multi_actor_suspected.
func (f *Format) AppendSuspicion(dst []byte, u *attribution.Suspicion) []byte {
	dst, ok := f.header(dst, SuspicionContract)
	if !ok {
		return AppendSuspicionJSON(dst, u)
	}
	dst = avro.AppendText(dst, u.EventID)
	dst = avro.AppendText(dst, u.Identity)
	dst = avro.AppendTexts(dst, u.Primitives)
	if u.Summary != "" {
		dst = avro.AppendText(dst, u.Summary)
	} else {
		dst = avro.AppendText(dst, strconv.FormatInt(flagged(u), 10)+plainSummary)
	}
	dst = avro.AppendDouble(dst, u.Confidence)
	dst = avro.AppendDouble(dst, u.TS)
	dst = avro.AppendText(dst, u.Status)
	dst = avro.AppendText(dst, u.ID)
	if len(u.Reasons) > 0 {
		dst = avro.AppendLong(dst, int64(len(u.Reasons)))
	}
	for i := range u.Reasons {
		r := &u.Reasons[i]
		dst = avro.AppendText(dst, r.Primitive)
		dst = avro.AppendText(dst, r.Kind)
		dst = avro.AppendText(dst, r.Group)
		if len(r.Values) > 0 {
			dst = avro.AppendLong(dst, int64(len(r.Values)))
		}
		for _, v := range r.Values {
			dst = avro.AppendText(dst, v)
		}
		dst = append(dst, 0) // the end of the values
		dst = avro.AppendBool(dst, r.New)
	}
	dst = append(dst, 0) // the end of the reasons
	dst = avro.AppendTexts(dst, u.Groups)
	return avro.AppendLong(dst, int64(u.Total))
}

// AppendProfile appends p as a record of attacker.profile.
func (f *Format) AppendProfile(dst []byte, p *Profile) []byte {
	dst, ok := f.header(dst, AttackerProfileContract)
	if !ok {
		return AppendProfileJSON(dst, p)
	}
	dst = avro.AppendText(dst, p.Attacker)
	dst = avro.AppendText(dst, p.Stub)
	dst = avro.AppendText(dst, p.Address)
	dst = avro.AppendText(dst, p.Kind)
	dst = avro.AppendText(dst, p.Sensor)
	dst = avro.AppendDouble(dst, p.FirstSeen)
	return avro.AppendDouble(dst, p.LastSeen)
}

// AppendMembership appends m as a record of attribution.identity.
func (f *Format) AppendMembership(dst []byte, m *attribution.Membership) []byte {
	dst, ok := f.header(dst, IdentityContract)
	if !ok {
		return AppendMembershipJSON(dst, m)
	}
	dst = avro.AppendText(dst, m.Identity)
	dst = avro.AppendTexts(dst, m.Attackers)
	dst = avro.AppendLong(dst, m.Total)
	dst = appendOptional(dst, m.MergedInto)
	dst = avro.AppendLong(dst, int64(m.Version))
	if m.LastEvent == 0 {
		dst = append(dst, 0, 0)
	} else {
		dst = appendOptional(dst, EventTypeName(m.LastEvent))
		dst = avro.AppendLong(append(dst, 2), m.Offset)
	}
	dst = avro.AppendDouble(dst, m.EventTS)
	return avro.AppendDouble(dst, m.UpdatedAt)
}

// AppendIdentityChange appends c as a record of
// attribution.profile.identity_changed.
func (f *Format) AppendIdentityChange(dst []byte, c *attribution.IdentityChange) []byte {
	dst, ok := f.header(dst, IdentityChangeContract)
	if !ok {
		return AppendIdentityChangeJSON(dst, c)
	}
	dst = avro.AppendText(dst, c.EventID)
	dst = avro.AppendText(dst, changeKind(c.Type))
	dst = avro.AppendText(dst, c.Identity)
	dst = appendOptional(dst, c.Other)
	dst = avro.AppendTexts(dst, c.Attackers)
	dst = avro.AppendLong(dst, c.Moved)
	dst = avro.AppendLong(dst, c.Rows)
	dst = avro.AppendLong(dst, int64(c.Version))
	dst = avro.AppendLong(dst, c.Offset)
	return avro.AppendDouble(dst, c.TS)
}

// AppendIdentityEvent appends e as a record of identity.events. It panics where
// the function AppendIdentityEvent does.
func (f *Format) AppendIdentityEvent(dst []byte, e *attribution.IdentityEvent) []byte {
	dst, ok := f.header(dst, IdentityEventContract)
	if !ok {
		return AppendIdentityEvent(dst, e)
	}
	dst = appendOptional(dst, EventTypeName(e.Type))
	switch e.Type {
	case attribution.Linked:
		if len(e.Attackers) != 1 {
			panic("schemas: a link of " + strconv.Itoa(len(e.Attackers)) + " attackers")
		}
		dst = appendOptional(dst, e.Identity)
		dst = appendOptional(dst, e.Attackers[0])
		dst = append(dst, 0, 0) // winner, loser: null
		return avro.AppendTexts(dst, nil)
	case attribution.Formed:
		dst = appendOptional(dst, e.Identity)
		dst = append(dst, 0, 0, 0) // attacker, winner, loser: null
	default:
		dst = append(dst, 0, 0) // identity, attacker: null
		dst = appendOptional(dst, e.Identity)
		dst = appendOptional(dst, e.Loser)
	}
	return avro.AppendTexts(dst, e.Attackers)
}

// AppendObservation appends o as a record of attacker.observation. Empty texts
// that may be absent are.
func (f *Format) AppendObservation(dst []byte, o *attribution.Observation) []byte {
	dst, ok := f.header(dst, ObservationContract)
	if !ok {
		return appendObservationJSON(dst, o)
	}
	dst = appendOptional(dst, o.ID)
	dst = avro.AppendText(dst, o.Attacker)
	dst = avro.AppendText(dst, o.Primitive)
	dst = avro.AppendText(dst, o.Value)
	if o.HasConfidence {
		dst = avro.AppendDouble(append(dst, 2), o.Confidence)
	} else {
		dst = append(dst, 0)
	}
	dst = avro.AppendDouble(append(dst, 2), o.WindowStart)
	dst = avro.AppendDouble(append(dst, 2), o.WindowEnd)
	dst = appendOptional(dst, o.Source)
	dst = avro.AppendText(dst, o.Evidence)
	dst = append(dst, 2, 2) // envelope_v: 1
	dst = avro.AppendDouble(dst, o.TS)
	return appendOptional(dst, o.IdentityRef)
}

func appendObservationJSON(dst []byte, o *attribution.Observation) []byte {
	dst = append(dst, '{')
	if len(o.ID) > 0 {
		dst = canonical.AppendString(appendMember(dst, "id"), o.ID)
	}
	dst = canonical.AppendString(appendMember(dst, "attacker_uuid"), o.Attacker)
	dst = canonical.AppendString(appendMember(dst, "primitive"), o.Primitive)
	dst = append(appendMember(dst, "value"), o.Value...)
	if o.HasConfidence {
		dst = appendNumber(dst, "confidence", o.Confidence)
	}
	dst = appendNumber(dst, "window_start_ts", o.WindowStart)
	dst = appendNumber(dst, "window_end_ts", o.WindowEnd)
	if len(o.Source) > 0 {
		dst = canonical.AppendString(appendMember(dst, "source"), o.Source)
	}
	dst = canonical.AppendString(appendMember(dst, "evidence_ref"), o.Evidence)
	dst = appendCount(dst, "envelope_v", 1)
	dst = appendNumber(dst, "ts", o.TS)
	if len(o.IdentityRef) > 0 {
		dst = canonical.AppendString(appendMember(dst, "identity_ref"), o.IdentityRef)
	}
	return append(dst, '}')
}

// AppendHeartbeat appends h as a record of system.attribution.health.
func (f *Format) AppendHeartbeat(dst []byte, h *Heartbeat) []byte {
	dst, ok := f.header(dst, HeartbeatContract)
	if !ok {
		return AppendHeartbeat(dst, h)
	}
	dst = avro.AppendText(dst, valid(h.Worker))
	dst = avro.AppendDouble(dst, h.TS)
	dst = avro.AppendText(dst, valid(h.Version))
	for _, n := range []int64{
		h.Running, h.Restoring, h.Records, h.Commits, h.Aborts, h.DeadLetters, h.Observations, h.Replaced, h.Beyond,
		h.OutOfRange, h.Misrouted, h.Forwarded, h.Transitions, h.Suspicions, h.Events, h.Moves,
	} {
		dst = avro.AppendLong(dst, n)
	}
	return appendTaskBeats(dst, h.Tasks)
}

// appendSymbol appends a state as its number in the enum, which has the states
// in their order.
func appendSymbol(dst []byte, s attribution.State) []byte { return avro.AppendLong(dst, int64(s)) }

// appendValueText appends current_value and current_value_number.
func appendValueText(dst []byte, v attribution.Value) []byte {
	if len(v) == 0 {
		v = attribution.Null
	}
	dst = avro.AppendText(dst, v)
	if n, ok := canonical.Number(v); ok {
		return avro.AppendDouble(append(dst, 2), n)
	}
	return append(dst, 0)
}

// appendOptional appends a union of null and string: null for an empty text.
func appendOptional[S ~string | ~[]byte](dst []byte, text S) []byte {
	if len(text) == 0 {
		return append(dst, 0)
	}
	return avro.AppendText(append(dst, 2), text)
}

// valid returns text as UTF-8, which all of Avro's strings are.
func valid(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
