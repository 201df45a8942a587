package schemas

import (
	"bytes"
	"fmt"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// StateRow is a row with its key, as the state topic carries it.
type StateRow struct {
	Identity  string
	Primitive string
	Row       attribution.Row
}

// AppendStateRowKey appends the key of a row in the state topic:
// identity + "/" + primitive.
func AppendStateRowKey(dst []byte, identity, primitive string) []byte {
	dst = append(dst, identity...)
	dst = append(dst, '/')
	return append(dst, primitive...)
}

// SplitStateRowKey splits a key of the state topic, at its last slash: no
// primitive has one, an identity may. It reports false if there is none.
func SplitStateRowKey(key []byte) (identity, primitive string, ok bool) {
	i := bytes.LastIndexByte(key, '/')
	if i < 0 {
		return "", "", false
	}
	return string(key[:i]), string(key[i+1:]), true
}

// AppendStateRowJSON appends r as the record of attribution.state. It names
// identity and primitive too, for consumers that drop keys. A nil value is
// written as null.
func AppendStateRowJSON(dst []byte, r *StateRow) []byte {
	dst = append(dst, '{')
	dst = appendString(dst, "identity_uuid", r.Identity)
	dst = appendString(dst, "primitive", r.Primitive)
	dst = appendValue(dst, "current_value", r.Row.Value)
	dst = appendString(dst, "state", r.Row.State.String())
	dst = appendNumber(dst, "confidence", r.Row.Confidence)
	dst = appendCount(dst, "observation_count", r.Row.Count)
	dst = appendNumber(dst, "last_change_ts", r.Row.LastChangeTS)
	dst = appendNumber(dst, "last_observation_ts", r.Row.LastObservationTS)
	dst = appendCount(dst, "schema_version", attribution.SchemaVersion)
	dst = appendNumber(dst, "updated_at", r.Row.UpdatedAt)
	if r.Row.Returns {
		dst = append(dst, `,"returns":true`...)
	}
	return append(dst, '}')
}

// rowFields are the members of a state row.
type rowFields struct {
	identity, primitive, value, state, confidence, count, change, observation, version, updated, returns field
}

// DecodeStateRowJSON reads a record of attribution.state that is no tombstone.
// Another schema version than attribution.SchemaVersion is refused. The error
// is always a *Bad.
func DecodeStateRowJSON(record []byte) (StateRow, error) {
	var f rowFields
	f.value.whole = true
	err := readObject(record, noLimit, func(s *canonical.Scanner, key string) (bool, error) {
		switch key {
		case "identity_uuid":
			return true, f.identity.scan(s)
		case "primitive":
			return true, f.primitive.scan(s)
		case "current_value":
			return true, f.value.scan(s)
		case "state":
			return true, f.state.scan(s)
		case "confidence":
			return true, f.confidence.scan(s)
		case "observation_count":
			return true, f.count.scan(s)
		case "last_change_ts":
			return true, f.change.scan(s)
		case "last_observation_ts":
			return true, f.observation.scan(s)
		case "schema_version":
			return true, f.version.scan(s)
		case "updated_at":
			return true, f.updated.scan(s)
		case "returns":
			return true, f.returns.scan(s)
		}
		return false, s.Skip()
	})
	if err != nil {
		return StateRow{}, err
	}
	return f.row()
}

// row holds the fields to what a state row has.
func (f *rowFields) row() (r StateRow, err error) {
	v, err := f.version.requiredNumber("schema_version")
	if err != nil {
		return r, err
	}
	if v != attribution.SchemaVersion {
		return r, bad(fmt.Sprintf("schema_version: %v, only %d is known", v, attribution.SchemaVersion))
	}
	if r.Identity, err = f.identity.requiredString("identity_uuid"); err != nil {
		return r, err
	}
	if r.Primitive, err = f.primitive.requiredString("primitive"); err != nil {
		return r, err
	}
	if r.Row.Value, err = f.value.value("current_value"); err != nil {
		return r, err
	}
	if r.Row.State, err = f.state.state("state"); err != nil {
		return r, err
	}
	if r.Row.Confidence, err = f.confidence.requiredNumber("confidence"); err != nil {
		return r, err
	}
	if r.Row.Count, err = f.count.requiredCount("observation_count"); err != nil {
		return r, err
	}
	if r.Row.LastChangeTS, err = f.change.requiredNumber("last_change_ts"); err != nil {
		return r, err
	}
	if r.Row.LastObservationTS, err = f.observation.requiredNumber("last_observation_ts"); err != nil {
		return r, err
	}
	if r.Row.UpdatedAt, err = f.updated.requiredNumber("updated_at"); err != nil {
		return r, err
	}
	r.Row.Returns, err = f.returns.flag("returns")
	return r, err
}
