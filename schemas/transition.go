package schemas

import (
	"strconv"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// AppendTransitionJSON appends t as the record of
// attribution.profile.state_changed. Nil values are written as null, and so is
// the old state of a row that is new.
func AppendTransitionJSON(dst []byte, t *attribution.Transition) []byte {
	dst = append(dst, '{')
	dst = appendString(dst, "event_id", t.EventID)
	dst = appendString(dst, "identity_uuid", t.Identity)
	dst = appendString(dst, "primitive", t.Primitive)
	if t.IsNew {
		dst = append(dst, `,"old_state":null`...)
	} else {
		dst = appendString(dst, "old_state", t.Old.String())
	}
	dst = appendString(dst, "new_state", t.New.String())
	dst = appendValue(dst, "current_value", t.Value)
	dst = appendValue(dst, "previous_value", t.Previous)
	dst = appendNumber(dst, "confidence", t.Confidence)
	dst = appendCount(dst, "observation_count", t.Count)
	dst = appendNumber(dst, "ts", t.TS)
	return append(dst, '}')
}

func appendCount(dst []byte, name string, n int64) []byte {
	return strconv.AppendInt(appendMember(dst, name), n, 10)
}

// appendValue appends a member that may be any JSON; nil is written as null.
func appendValue(dst []byte, name string, v attribution.Value) []byte {
	dst = appendMember(dst, name)
	if len(v) == 0 {
		return append(dst, attribution.Null...)
	}
	return append(dst, v...)
}

// transitionFields are the members of a transition that are looked at.
type transitionFields struct {
	id, identity, primitive, from, to, value, previous, confidence, count, ts field
}

// DecodeTransitionJSON reads a record of attribution.profile.state_changed.
// The error is always a *Bad.
func DecodeTransitionJSON(record []byte) (attribution.Transition, error) {
	var f transitionFields
	f.value.whole, f.previous.whole = true, true
	err := readObject(record, noLimit, func(s *canonical.Scanner, key string) (bool, error) {
		switch key {
		case "event_id":
			return true, f.id.scan(s)
		case "identity_uuid":
			return true, f.identity.scan(s)
		case "primitive":
			return true, f.primitive.scan(s)
		case "old_state":
			return true, f.from.scan(s)
		case "new_state":
			return true, f.to.scan(s)
		case "current_value":
			return true, f.value.scan(s)
		case "previous_value":
			return true, f.previous.scan(s)
		case "confidence":
			return true, f.confidence.scan(s)
		case "observation_count":
			return true, f.count.scan(s)
		case "ts":
			return true, f.ts.scan(s)
		}
		return false, s.Skip()
	})
	if err != nil {
		return attribution.Transition{}, err
	}
	return f.transition()
}

// transition holds the fields to what a transition has.
func (f *transitionFields) transition() (t attribution.Transition, err error) {
	if t.EventID, err = f.id.requiredString("event_id"); err != nil {
		return t, err
	}
	if t.Identity, err = f.identity.requiredString("identity_uuid"); err != nil {
		return t, err
	}
	if t.Primitive, err = f.primitive.requiredString("primitive"); err != nil {
		return t, err
	}
	if t.IsNew = f.from.absent(); !t.IsNew {
		if t.Old, err = f.from.state("old_state"); err != nil {
			return t, err
		}
	}
	if t.New, err = f.to.state("new_state"); err != nil {
		return t, err
	}
	if t.Value, err = f.value.value("current_value"); err != nil {
		return t, err
	}
	if !f.previous.absent() {
		t.Previous = f.previous.raw
	}
	if t.Confidence, err = f.confidence.requiredNumber("confidence"); err != nil {
		return t, err
	}
	if t.Count, err = f.count.requiredCount("observation_count"); err != nil {
		return t, err
	}
	t.TS, err = f.ts.requiredNumber("ts")
	return t, err
}

// state returns the state that f names.
func (f *field) state(name string) (attribution.State, error) {
	text, err := f.requiredString(name)
	if err != nil {
		return 0, err
	}
	state, err := attribution.ParseState(text)
	if err != nil {
		return 0, bad(name + ": unknown state " + excerpt(text))
	}
	return state, nil
}

// value returns the canonical text of f, which must be there.
func (f *field) value(name string) (attribution.Value, error) {
	if f.token == canonical.NoToken {
		return nil, bad(name + ": missing")
	}
	return f.raw, nil
}
