package engine

import (
	"testing"

	"handprint/attribution"
)

// A Sketcher reads what View and Owner read, and allocates nothing for a row.
func TestASketchSaysWhatTheRecordsSay(t *testing.T) {
	const attacker = "2d9c1c1e-3d2f-4f60-9e5e-aaaaaaaaaaaa"
	stub := attribution.Stub([]byte(attacker)).String()
	r := row{published: true, was: attribution.Row{State: attribution.Drifting, Value: attribution.Value(`"x"`), Confidence: 0.5, Count: 7, LastChangeTS: 10, LastObservationTS: 12, UpdatedAt: 13}}
	record := appendRow(nil, &r, RecordVersion, nil)
	key := rowKey(nil, kindRow, []byte(stub), []byte("motor.x"))
	var s Sketcher
	got, err := s.Read(key, record)
	if err != nil || got.Kind != RowRecord || string(got.Identity) != stub || string(got.Primitive) != "motor.x" || !got.Published {
		t.Fatalf("%+v, %v", got, err)
	}
	if w := got.Row; w.State != r.was.State || string(w.Value) != `"x"` || w.Count != 7 || w.LastChangeTS != 10 || w.LastObservationTS != 12 || w.UpdatedAt != 13 {
		t.Fatalf("row %+v", w)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Read(key, record); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a row", n)
	}
	for _, c := range []struct {
		name       string
		key, value []byte
		want       Sketch
	}{
		{"link", idKey(nil, kindLink, []byte(attacker)), appendLink(nil, link{Identity: []byte("i")}), Sketch{Kind: LinkRecord, Attacker: []byte(attacker), Identity: []byte("i")}},
		{"identity", idKey(nil, kindIdentity, []byte(stub)), appendIdentity(nil, identity{Own: []byte(attacker), MergedInto: []byte("w")}), Sketch{Kind: IdentityRecord, Identity: []byte(stub), Own: []byte(attacker), MergedInto: []byte("w")}},
		{"member", idsKey(nil, kindMember, []byte("i"), []byte(attacker)), appendMember(nil, member{Version: 3}), Sketch{Kind: MemberRecord, Identity: []byte("i"), Attacker: []byte(attacker)}},
		{"deleted member", idsKey(nil, kindMember, []byte("i"), []byte(attacker)), nil, Sketch{Kind: MemberRecord, Gone: true, Identity: []byte("i"), Attacker: []byte(attacker)}},
		{"deleted row", key, nil, Sketch{Kind: RowRecord, Gone: true, Identity: []byte(stub), Primitive: []byte("motor.x")}},
		{"unsettled", idKey(nil, kindUnsettled, []byte("i")), appendUnsettled(nil, unsettled{}), Sketch{Kind: UnsettledRecord, Identity: []byte("i")}},
	} {
		got, err := s.Read(c.key, c.value)
		if err != nil || got.Kind != c.want.Kind || got.Gone != c.want.Gone || string(got.Identity) != string(c.want.Identity) || string(got.Attacker) != string(c.want.Attacker) ||
			string(got.Own) != string(c.want.Own) || string(got.MergedInto) != string(c.want.MergedInto) || string(got.Primitive) != string(c.want.Primitive) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	if _, err := s.Read(key, []byte{99}); err == nil {
		t.Error("a record of an unknown version is taken")
	}
}
