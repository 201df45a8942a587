package schemas

import (
	"handprint/attribution"
	"handprint/internal/canonical"
)

// AppendMembershipJSON appends m as a record of attribution.identity.
func AppendMembershipJSON(dst []byte, m *attribution.Membership) []byte {
	dst = append(dst, '{')
	dst = appendString(dst, "identity_uuid", m.Identity)
	dst = appendStrings(dst, "attackers", m.Attackers)
	dst = appendCount(dst, "attackers_total", m.Total)
	dst = appendTextOrNull(dst, "merged_into", m.MergedInto)
	dst = appendCount(dst, "version", int64(m.Version))
	if m.LastEvent == 0 {
		dst = append(dst, `,"last_event":null,"origin_offset":null`...)
	} else {
		dst = appendString(dst, "last_event", EventTypeName(m.LastEvent))
		dst = appendCount(dst, "origin_offset", m.Offset)
	}
	dst = appendNumber(dst, "last_event_ts", m.EventTS)
	dst = appendNumber(dst, "updated_at", m.UpdatedAt)
	return append(dst, '}')
}

// membershipFields are the members of a record of attribution.identity.
type membershipFields struct {
	identity, total, mergedInto, version, event, offset, ts, updated field
	attackers                                                        list
}

// DecodeMembershipJSON reads a record of attribution.identity. The error is
// always a *Bad.
func DecodeMembershipJSON(record []byte) (attribution.Membership, error) {
	var f membershipFields
	err := readObject(record, noLimit, func(s *canonical.Scanner, key string) (bool, error) {
		switch key {
		case "identity_uuid":
			return true, f.identity.scan(s)
		case "attackers":
			return true, f.attackers.scan(s, key)
		case "attackers_total":
			return true, f.total.scan(s)
		case "merged_into":
			return true, f.mergedInto.scan(s)
		case "version":
			return true, f.version.scan(s)
		case "last_event":
			return true, f.event.scan(s)
		case "origin_offset":
			return true, f.offset.scan(s)
		case "last_event_ts":
			return true, f.ts.scan(s)
		case "updated_at":
			return true, f.updated.scan(s)
		}
		return false, s.Skip()
	})
	if err != nil {
		return attribution.Membership{}, err
	}
	return f.membership()
}

// membership holds the fields to what a record of attribution.identity has.
func (f *membershipFields) membership() (m attribution.Membership, err error) {
	if m.Identity, err = f.identity.requiredString("identity_uuid"); err != nil {
		return m, err
	}
	if m.Attackers, err = f.attackers.strings("attackers"); err != nil {
		return m, err
	}
	if m.Total, err = f.total.requiredCount("attackers_total"); err != nil {
		return m, err
	}
	if m.MergedInto, err = f.mergedInto.optionalString("merged_into"); err != nil {
		return m, err
	}
	version, err := f.version.requiredCount("version")
	if err != nil {
		return m, err
	}
	m.Version = uint64(version)
	if !f.event.absent() {
		name, err := f.event.requiredString("last_event")
		if err != nil {
			return m, err
		}
		if m.LastEvent, err = parseEventType(name); err != nil {
			return m, err
		}
		if m.Offset, err = f.offset.requiredCount("origin_offset"); err != nil {
			return m, err
		}
	}
	if m.EventTS, err = f.ts.requiredNumber("last_event_ts"); err != nil {
		return m, err
	}
	m.UpdatedAt, err = f.updated.requiredNumber("updated_at")
	return m, err
}

func parseEventType(name string) (attribution.EventType, error) {
	for _, t := range eventTypes {
		if t.name == name {
			return t.typ, nil
		}
	}
	return 0, bad("last_event: unknown " + excerpt(name))
}
