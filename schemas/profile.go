package schemas

import (
	"bytes"

	"handprint/internal/canonical"
)

// Profile is a record of attacker.profile: under which address a sensor's
// adapter knows an attacker.
type Profile struct {
	Attacker  string      // the observations' attacker_uuid
	Stub      string      // id of the attacker's own identity
	Address   string      // what the sensor recorded
	Kind      AddressKind // what Address is
	Sensor    string      // its name; the adapter's where the log has none
	FirstSeen float64     // Unix seconds, as far as this adapter knows
	LastSeen  float64     // Unix seconds, at most an hour behind
}

// AddressKind is what stands in the place of an address.
type AddressKind string

// The kinds of addresses.
const (
	AddressIP     AddressKind = "ip"     // an IP address in its canonical form
	AddressOpaque AddressKind = "opaque" // anything else, such as a hash
)

// AppendProfileKey appends the key of a record of attacker.profile:
// attacker_uuid + "/" + sensor.
func AppendProfileKey(dst []byte, attacker, sensor string) []byte {
	dst = append(dst, attacker...)
	dst = append(dst, '/')
	return append(dst, sensor...)
}

// SplitProfileKey splits a key of attacker.profile, at its first slash: an
// attacker that an adapter names has none, a sensor may. It reports false if
// there is none.
func SplitProfileKey(key []byte) (attacker, sensor string, ok bool) {
	a, s, ok := bytes.Cut(key, []byte("/"))
	if !ok {
		return "", "", false
	}
	return string(a), string(s), true
}

// AppendProfileJSON appends p as a record of attacker.profile.
func AppendProfileJSON(dst []byte, p *Profile) []byte {
	dst = append(dst, '{')
	dst = appendString(dst, "attacker_uuid", p.Attacker)
	dst = appendString(dst, "identity_stub", p.Stub)
	dst = appendString(dst, "address", p.Address)
	dst = appendString(dst, "kind", string(p.Kind))
	dst = appendString(dst, "sensor", p.Sensor)
	dst = appendNumber(dst, "first_seen_ts", p.FirstSeen)
	dst = appendNumber(dst, "last_seen_ts", p.LastSeen)
	return append(dst, '}')
}

// profileFields are the members of a profile.
type profileFields struct {
	attacker, stub, address, kind, sensor, first, last field
}

// DecodeProfileJSON reads a record of attacker.profile that is no tombstone. The
// error is always a *Bad.
func DecodeProfileJSON(record []byte) (Profile, error) {
	var f profileFields
	err := readObject(record, noLimit, func(s *canonical.Scanner, key string) (bool, error) {
		switch key {
		case "attacker_uuid":
			return true, f.attacker.scan(s)
		case "identity_stub":
			return true, f.stub.scan(s)
		case "address":
			return true, f.address.scan(s)
		case "kind":
			return true, f.kind.scan(s)
		case "sensor":
			return true, f.sensor.scan(s)
		case "first_seen_ts":
			return true, f.first.scan(s)
		case "last_seen_ts":
			return true, f.last.scan(s)
		}
		return false, s.Skip()
	})
	if err != nil {
		return Profile{}, err
	}
	return f.profile()
}

// profile holds the fields to what a profile has.
func (f *profileFields) profile() (p Profile, err error) {
	if p.Attacker, err = f.attacker.requiredString("attacker_uuid"); err != nil {
		return p, err
	}
	if p.Stub, err = f.stub.requiredString("identity_stub"); err != nil {
		return p, err
	}
	if p.Address, err = f.address.requiredString("address"); err != nil {
		return p, err
	}
	kind, err := f.kind.requiredString("kind")
	if err != nil {
		return p, err
	}
	if p.Kind = AddressKind(kind); p.Kind != AddressIP && p.Kind != AddressOpaque {
		return p, bad("kind: unknown " + excerpt(kind))
	}
	if p.Sensor, err = f.sensor.requiredString("sensor"); err != nil {
		return p, err
	}
	if p.FirstSeen, err = f.first.requiredNumber("first_seen_ts"); err != nil {
		return p, err
	}
	p.LastSeen, err = f.last.requiredNumber("last_seen_ts")
	return p, err
}
