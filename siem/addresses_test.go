package siem

import (
	"reflect"
	"testing"

	"handprint/schemas"
)

func TestAddresses(t *testing.T) {
	table := NewAddresses()
	put := func(attacker, stub, address, sensor string, kind schemas.AddressKind) {
		table.PutProfile(&schemas.Profile{Attacker: attacker, Stub: stub, Address: address, Sensor: sensor, Kind: kind, FirstSeen: 10, LastSeen: 20})
	}
	put("a", "stub-a", "192.0.2.9", "s1", schemas.AddressIP)
	put("a", "stub-a", "192.0.2.9", "s2", schemas.AddressIP)
	put("b", "stub-b", "::ffff:192.0.2.1", "s1", schemas.AddressIP)
	put("c", "stub-c", "no address", "s1", schemas.AddressIP)
	put("c", "stub-c", "192.0.2.5", "s1", schemas.AddressOpaque)
	check := func(identity string, want ...string) {
		t.Helper()
		var got []string
		for _, a := range table.Of(identity) {
			got = append(got, a.IP)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, not %v", identity, got, want)
		}
	}
	check("stub-a", "192.0.2.9")
	check("stub-c")
	check("nobody")
	table.PutMembers("merged", []string{"a", "b", "c"})
	check("merged", "192.0.2.1", "192.0.2.9")
	table.PutMembers("stub-a", nil) // its attacker belongs to another identity now
	check("stub-a")
	table.DropProfile("b", "s1")
	table.DropProfile("a", "s1")
	check("merged", "192.0.2.9")
	table.DropProfile("a", "s2")
	check("merged")
}
