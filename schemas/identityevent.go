package schemas

import (
	"fmt"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// TypeHeader is the record header that may name the type of an identity event
// in place of the field type.
const TypeHeader = "type"

var eventTypes = [...]struct {
	name string
	typ  attribution.EventType
}{
	{"identity.formed", attribution.Formed},
	{"identity.observation.linked", attribution.Linked},
	{"identity.merged", attribution.Merged},
	{"identity.unmerged", attribution.Unmerged},
}

// EventTypes are the types of identity events, by the names that records have
// for them.
func EventTypes() []string {
	var names []string
	for _, t := range eventTypes {
		names = append(names, t.name)
	}
	return names
}

// eventFields are the members of an identity event that are looked at.
type eventFields struct {
	typ, identity, winner, loser, attacker field
	attackers                              list
}

// IdentityEventDecoder reads records of identity.events. The zero value is
// ready, and any number of goroutines may use it.
type IdentityEventDecoder struct {
	// MaxBytes is the most bytes of a record that are taken; 0 means
	// DefaultMaxBytes.
	MaxBytes int
	// Writers are the schemas of Avro records; nil: JSON alone is taken.
	Writers *Writers
}

// DecodeIdentityEvent is Decode of the zero IdentityEventDecoder.
func DecodeIdentityEvent(typeHeader string, record []byte) (attribution.IdentityEvent, error) {
	return IdentityEventDecoder{}.Decode(typeHeader, record)
}

// Decode reads a record. typeHeader is the value of its header TypeHeader,
// empty if it has none. Header or field must name the type; where both do they
// must agree. Members that the type does not have are ignored, whatever they
// hold.
//
// The error is always a *Bad. A merge of an identity with itself is no error
// here: what a name stands for is not known.
func (d IdentityEventDecoder) Decode(typeHeader string, record []byte) (attribution.IdentityEvent, error) {
	var e attribution.IdentityEvent
	var f eventFields
	read := f.read
	if IsAvro(record) {
		read = func(record []byte, limit int) error { return f.readAvro(d.Writers, record, limit) }
	}
	if err := read(record, d.MaxBytes); err != nil {
		return e, err
	}
	typ, err := f.eventType(typeHeader)
	if err != nil {
		return e, err
	}
	e.Type = typ
	switch typ {
	case attribution.Linked:
		if e.Identity, err = f.identity.identityID("identity_uuid"); err != nil {
			return e, err
		}
		var attacker string
		if attacker, err = f.attacker.requiredString("observation_uuid"); err != nil {
			return e, err
		}
		e.Attackers = []string{attacker}
		return e, nil
	case attribution.Formed:
		e.Identity, err = f.identity.identityID("identity_uuid")
	default:
		if e.Identity, err = f.winner.identityID("winner_uuid"); err != nil {
			return e, err
		}
		e.Loser, err = f.loser.identityID("loser_uuid")
	}
	if err != nil {
		return e, err
	}
	e.Attackers, err = f.attackers.strings("observation_uuids")
	return e, err
}

// identityID returns the id of an identity.
func (f *field) identityID(name string) (string, error) {
	id, err := f.requiredString(name)
	if err == nil && len(id) > attribution.MaxIdentityID {
		err = bad(fmt.Sprintf("%s: too large: %d bytes, at most %d are taken", name, len(id), attribution.MaxIdentityID))
	}
	return id, err
}

func (f *eventFields) read(record []byte, limit int) error {
	return readObject(record, limit, func(s *canonical.Scanner, key string) (known bool, err error) {
		switch key {
		case "type":
			return true, f.typ.scan(s)
		case "identity_uuid":
			return true, f.identity.scan(s)
		case "winner_uuid":
			return true, f.winner.scan(s)
		case "loser_uuid":
			return true, f.loser.scan(s)
		case "observation_uuid":
			return true, f.attacker.scan(s)
		case "observation_uuids":
			return true, f.attackers.scan(s, key)
		}
		return false, s.Skip()
	})
}

func (f *eventFields) eventType(header string) (attribution.EventType, error) {
	text, _, err := f.typ.text("type", nil)
	if err != nil {
		return 0, err
	}
	name := string(text)
	switch {
	case f.typ.absent() && header == "":
		return 0, bad("type: missing")
	case f.typ.absent():
		name = header
	case header != "" && header != name:
		return 0, bad(fmt.Sprintf("type: the header says %s, the field %s", excerpt(header), excerpt(name)))
	}
	for _, t := range eventTypes {
		if t.name == name {
			return t.typ, nil
		}
	}
	return 0, bad("type: unknown " + excerpt(name))
}

// AppendIdentityEvent appends e as JSON, its type in the field type. It panics
// if e.Type is none of the four, or is Linked with not exactly one attacker:
// no record says such a thing.
func AppendIdentityEvent(dst []byte, e *attribution.IdentityEvent) []byte {
	dst = append(dst, '{')
	dst = appendString(dst, "type", EventTypeName(e.Type))
	switch e.Type {
	case attribution.Linked:
		if len(e.Attackers) != 1 {
			panic(fmt.Sprintf("schemas: a link of %d attackers", len(e.Attackers)))
		}
		dst = appendString(dst, "identity_uuid", e.Identity)
		dst = appendString(dst, "observation_uuid", e.Attackers[0])
		return append(dst, '}')
	case attribution.Formed:
		dst = appendString(dst, "identity_uuid", e.Identity)
	default:
		dst = appendString(dst, "winner_uuid", e.Identity)
		dst = appendString(dst, "loser_uuid", e.Loser)
	}
	dst = appendStrings(dst, "observation_uuids", e.Attackers)
	return append(dst, '}')
}

// EventTypeName returns the name that records have for a type of identity event. It panics
// on what is none.
func EventTypeName(typ attribution.EventType) string {
	for _, t := range eventTypes {
		if t.typ == typ {
			return t.name
		}
	}
	panic(fmt.Sprintf("schemas: no identity event has type %d", typ))
}
