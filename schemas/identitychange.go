package schemas

import (
	"strings"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// changeKind returns the word for a type of identity event: formed, linked,
// merged or unmerged.
func changeKind(typ attribution.EventType) string {
	name := EventTypeName(typ)
	return name[strings.LastIndexByte(name, '.')+1:]
}

// AppendIdentityChangeJSON appends c as a record of
// attribution.profile.identity_changed.
func AppendIdentityChangeJSON(dst []byte, c *attribution.IdentityChange) []byte {
	dst = append(dst, '{')
	dst = appendString(dst, "event_id", c.EventID)
	dst = appendString(dst, "kind", changeKind(c.Type))
	dst = appendString(dst, "identity_uuid", c.Identity)
	dst = appendTextOrNull(dst, "other_identity_uuid", c.Other)
	dst = appendStrings(dst, "attackers", c.Attackers)
	dst = appendCount(dst, "attackers_moved", c.Moved)
	dst = appendCount(dst, "rows_changed", c.Rows)
	dst = appendCount(dst, "version", int64(c.Version))
	dst = appendCount(dst, "origin_offset", c.Offset)
	dst = appendNumber(dst, "ts", c.TS)
	return append(dst, '}')
}

// changeFields are the members of a record of
// attribution.profile.identity_changed.
type changeFields struct {
	id, kind, identity, other, moved, rows, version, offset, ts field
	attackers                                                   list
}

// DecodeIdentityChangeJSON reads a record of
// attribution.profile.identity_changed. The error is always a *Bad.
func DecodeIdentityChangeJSON(record []byte) (attribution.IdentityChange, error) {
	var f changeFields
	err := readObject(record, noLimit, func(s *canonical.Scanner, key string) (bool, error) {
		switch key {
		case "event_id":
			return true, f.id.scan(s)
		case "kind":
			return true, f.kind.scan(s)
		case "identity_uuid":
			return true, f.identity.scan(s)
		case "other_identity_uuid":
			return true, f.other.scan(s)
		case "attackers":
			return true, f.attackers.scan(s, key)
		case "attackers_moved":
			return true, f.moved.scan(s)
		case "rows_changed":
			return true, f.rows.scan(s)
		case "version":
			return true, f.version.scan(s)
		case "origin_offset":
			return true, f.offset.scan(s)
		case "ts":
			return true, f.ts.scan(s)
		}
		return false, s.Skip()
	})
	if err != nil {
		return attribution.IdentityChange{}, err
	}
	return f.change()
}

// change holds the fields to what a record of
// attribution.profile.identity_changed has.
func (f *changeFields) change() (c attribution.IdentityChange, err error) {
	if c.EventID, err = f.id.requiredString("event_id"); err != nil {
		return c, err
	}
	kind, err := f.kind.requiredString("kind")
	if err != nil {
		return c, err
	}
	if c.Type, err = parseChangeKind(kind); err != nil {
		return c, err
	}
	if c.Identity, err = f.identity.requiredString("identity_uuid"); err != nil {
		return c, err
	}
	if c.Other, err = f.other.optionalString("other_identity_uuid"); err != nil {
		return c, err
	}
	if c.Attackers, err = f.attackers.strings("attackers"); err != nil {
		return c, err
	}
	if c.Moved, err = f.moved.requiredCount("attackers_moved"); err != nil {
		return c, err
	}
	if c.Rows, err = f.rows.requiredCount("rows_changed"); err != nil {
		return c, err
	}
	version, err := f.version.requiredCount("version")
	if err != nil {
		return c, err
	}
	c.Version = uint64(version)
	if c.Offset, err = f.offset.requiredCount("origin_offset"); err != nil {
		return c, err
	}
	c.TS, err = f.ts.requiredNumber("ts")
	return c, err
}

func parseChangeKind(word string) (attribution.EventType, error) {
	for _, t := range eventTypes {
		if changeKind(t.typ) == word {
			return t.typ, nil
		}
	}
	return 0, bad("kind: unknown " + excerpt(word))
}
