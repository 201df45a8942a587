package schemas

import (
	"reflect"
	"testing"

	"handprint/attribution"
)

func TestAppendProfileJSON(t *testing.T) {
	p := Profile{Attacker: "A", Stub: "I", Address: "192.0.2.7", Kind: AddressIP, Sensor: "lab/1", FirstSeen: 1.5, LastSeen: 2}
	want := `{"attacker_uuid":"A","identity_stub":"I","address":"192.0.2.7","kind":"ip","sensor":"lab/1","first_seen_ts":1.5,"last_seen_ts":2}`
	if got := AppendProfileJSON(nil, &p); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	key := AppendProfileKey(nil, p.Attacker, p.Sensor)
	if attacker, sensor, ok := SplitProfileKey(key); string(key) != "A/lab/1" || attacker != "A" || sensor != "lab/1" || !ok {
		t.Errorf("%q splits into %q, %q, %v", key, attacker, sensor, ok)
	}
	if _, _, ok := SplitProfileKey([]byte("A")); ok {
		t.Error("a key without a slash splits")
	}
}

func TestAppendMembershipJSON(t *testing.T) {
	m := attribution.Membership{Identity: "I", Attackers: []string{"a", "b"}, Total: 812, MergedInto: "J", Version: 7, LastEvent: attribution.Merged, Offset: 3, EventTS: 1.25, UpdatedAt: 2}
	want := `{"identity_uuid":"I","attackers":["a","b"],"attackers_total":812,"merged_into":"J","version":7,"last_event":"identity.merged","origin_offset":3,"last_event_ts":1.25,"updated_at":2}`
	if got := AppendMembershipJSON(nil, &m); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	m = attribution.Membership{Identity: "I", Version: 8}
	want = `{"identity_uuid":"I","attackers":[],"attackers_total":0,"merged_into":null,"version":8,"last_event":null,"origin_offset":null,"last_event_ts":0,"updated_at":0}`
	if got := AppendMembershipJSON(nil, &m); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendIdentityChangeJSON(t *testing.T) {
	c := attribution.IdentityChange{EventID: "e", Type: attribution.Linked, Identity: "I", Attackers: []string{"a"}, Moved: 1, Rows: 12, Version: 7, Offset: 3, TS: 1.25}
	want := `{"event_id":"e","kind":"linked","identity_uuid":"I","other_identity_uuid":null,"attackers":["a"],"attackers_moved":1,"rows_changed":12,"version":7,"origin_offset":3,"ts":1.25}`
	if got := AppendIdentityChangeJSON(nil, &c); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzProfileDecode(f *testing.F) {
	f.Add(AppendProfileJSON(nil, &Profile{Attacker: "a", Stub: "I", Address: "x", Kind: AddressOpaque, Sensor: "s"}))
	fuzzDecoder(f, AppendProfileJSON, DecodeProfileJSON)
}

func FuzzMembershipDecode(f *testing.F) {
	f.Add(AppendMembershipJSON(nil, &attribution.Membership{Identity: "I", LastEvent: attribution.Formed, Attackers: []string{"a"}}))
	fuzzDecoder(f, AppendMembershipJSON, DecodeMembershipJSON)
}

func FuzzIdentityChangeDecode(f *testing.F) {
	f.Add(AppendIdentityChangeJSON(nil, &attribution.IdentityChange{EventID: "e", Type: attribution.Unmerged, Identity: "I"}))
	fuzzDecoder(f, AppendIdentityChangeJSON, DecodeIdentityChangeJSON)
}

// fuzzDecoder checks that a record is refused as bad, or read back as it was
// read.
func fuzzDecoder[T any](f *testing.F, appendTo func([]byte, *T) []byte, decode func([]byte) (T, error)) {
	f.Fuzz(func(t *testing.T, record []byte) {
		got, err := decode(record)
		if err != nil {
			wantBad(t, string(record), err)
			return
		}
		again, err := decode(appendTo(nil, &got))
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%q became %+v, then %+v, %v", record, got, again, err)
		}
	})
}
