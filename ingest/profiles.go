package ingest

import (
	"math"

	"handprint/attribution"
	"handprint/schemas"
)

// profiles decides when an attacker's address is written to attacker.profile:
// at most once for an attacker, a sensor and an hour of the log.
type profiles struct {
	// now and before remember when addresses were written. When now is full it
	// takes the place of before, whose addresses are then forgotten, and written
	// again when they are seen.
	now, before map[profileKey]*profileTimes
}

type profileKey struct{ attacker, sensor string }

// profileTimes is what this adapter knows of an address, and the hours of the
// oldest and the newest time that it has written.
type profileTimes struct {
	first, last         float64 // Unix seconds
	firstHour, lastHour float64 // hours since 1970
}

// maxProfiles bounds the addresses of one generation.
const maxProfiles = 100_000

// of returns the profile to write for an observation, if one is due.
func (p *profiles) of(o *Observation) (profile schemas.Profile, due bool) {
	if o.Address == "" || o.Attacker == "" {
		return profile, false
	}
	key := profileKey{o.Attacker, o.Sensor}
	if key.sensor == "" {
		key.sensor = o.Source
	}
	if key.sensor == "" {
		return profile, false
	}
	hour := math.Floor(o.TS / 3600)
	t := p.find(key)
	if t == nil {
		t = &profileTimes{first: o.TS, last: o.TS, firstHour: hour, lastHour: hour}
		p.add(key, t)
	} else {
		t.first, t.last = min(t.first, o.TS), max(t.last, o.TS)
		if hour >= t.firstHour && hour <= t.lastHour {
			return profile, false
		}
		t.firstHour, t.lastHour = min(t.firstHour, hour), max(t.lastHour, hour)
	}
	kind := schemas.AddressOpaque
	if o.AddressKind == IP {
		kind = schemas.AddressIP
	}
	return schemas.Profile{
		Attacker: o.Attacker, Stub: attribution.Stub([]byte(o.Attacker)).String(), Address: o.Address, Kind: kind,
		Sensor: key.sensor, FirstSeen: t.first, LastSeen: t.last,
	}, true
}

func (p *profiles) find(key profileKey) *profileTimes {
	if t := p.now[key]; t != nil {
		return t
	}
	t := p.before[key]
	if t != nil {
		p.add(key, t)
	}
	return t
}

func (p *profiles) add(key profileKey, t *profileTimes) {
	if p.now == nil || len(p.now) >= maxProfiles {
		p.before, p.now = p.now, make(map[profileKey]*profileTimes)
	}
	p.now[key] = t
}
