package ingest

import (
	"fmt"
	"testing"

	"handprint/attribution"
	"handprint/schemas"
)

// An address is written when it is new, and once for each further hour of the
// log, with all that is known of its times.
func TestAProfileIsWrittenOnceAnHour(t *testing.T) {
	const attacker, hour = "6af1e32f-384d-4f7e-8f1b-ba38aeb755a8", 3600
	var p profiles
	for _, tt := range []struct {
		ts          float64
		sensor      string
		first, last float64 // of what is written; 0: nothing is
	}{
		{100 * hour, "hp1", 100 * hour, 100 * hour},
		{100*hour + 3599, "hp1", 0, 0},
		{100*hour + 3599, "hp2", 100*hour + 3599, 100*hour + 3599},
		{101 * hour, "hp1", 100 * hour, 101 * hour},
		{101*hour + 5, "hp1", 0, 0},
		{100*hour + 7, "hp1", 0, 0}, // late, within what is known
		{98*hour + 3, "hp1", 98*hour + 3, 101*hour + 5},
		{99 * hour, "hp1", 0, 0},
		{200 * hour, "", 200 * hour, 200 * hour}, // by the adapter's name
	} {
		o := Observation{Attacker: attacker, Address: "192.0.2.1", AddressKind: IP, Sensor: tt.sensor, Source: "adapter", TS: tt.ts}
		got, due := p.of(&o)
		if !due {
			if tt.first != 0 {
				t.Errorf("%+v: nothing is written", tt)
			}
			continue
		}
		want := schemas.Profile{
			Attacker: attacker, Stub: attribution.Stub([]byte(attacker)).String(), Address: "192.0.2.1", Kind: schemas.AddressIP,
			Sensor: tt.sensor, FirstSeen: tt.first, LastSeen: tt.last,
		}
		if want.Sensor == "" {
			want.Sensor = "adapter"
		}
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if _, due := p.of(&Observation{Attacker: attacker, Sensor: "hp1", TS: 1}); due {
		t.Error("an attacker without an address has a profile")
	}
}

func TestProfilesAreBounded(t *testing.T) {
	var p profiles
	for i := range 3 * maxProfiles {
		p.of(&Observation{Attacker: fmt.Sprint(i), Address: "x", AddressKind: Opaque, Sensor: "s", TS: 1})
		if len(p.now)+len(p.before) > 2*maxProfiles {
			t.Fatalf("%d and %d are remembered", len(p.now), len(p.before))
		}
	}
	if got, due := p.of(&Observation{Attacker: "0", Address: "x", AddressKind: Opaque, Sensor: "s", TS: 1}); !due || got.Kind != schemas.AddressOpaque {
		t.Errorf("%+v, %v", got, due)
	}
}
