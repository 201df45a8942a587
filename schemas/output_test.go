package schemas

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/internal/canonical"
)

func TestAppendTransitionJSON(t *testing.T) {
	tr := attribution.Transition{
		EventID: "e-1", Identity: "I/1", Primitive: "motor.input_modality", Old: attribution.Stable, New: attribution.MultiActor,
		Value: attribution.Value(`{"a":1}`), Previous: attribution.Value(`"paste"`), Confidence: 0.6, Count: 12, TS: 1701015245.825,
	}
	want := `{"event_id":"e-1","identity_uuid":"I/1","primitive":"motor.input_modality","old_state":"stable","new_state":"multi_actor",` +
		`"current_value":{"a":1},"previous_value":"paste","confidence":0.6,"observation_count":12,"ts":1701015245.825}`
	if got := AppendTransitionJSON(nil, &tr); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	tr.IsNew, tr.Value, tr.Previous = true, nil, nil
	want = strings.NewReplacer(`"stable"`, "null", `{"a":1}`, "null", `"paste"`, "null").Replace(want)
	if got := AppendTransitionJSON(nil, &tr); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendSuspicionJSON(t *testing.T) {
	u := attribution.Suspicion{EventID: "e-2", Identity: "I", Primitives: []string{"a.b", "c.d"}, Confidence: 0.6, TS: 5}
	want := `{"event_id":"e-2","identity_uuid":"I","primitives":["a.b","c.d"],"evidence_summary":"2 primitives flagged multi_actor","confidence":0.6,"ts":5}`
	if got := AppendSuspicionJSON(nil, &u); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	u.Total = 3000
	want = `{"event_id":"e-2","identity_uuid":"I","primitives":["a.b","c.d"],"primitives_total":3000,"evidence_summary":"3000 primitives flagged multi_actor","confidence":0.6,"ts":5}`
	if got := AppendSuspicionJSON(nil, &u); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendSuspicionJSONWithALife(t *testing.T) {
	u := attribution.Suspicion{
		EventID: "e-2", Identity: "I", Primitives: []string{"a.b", "c.d"}, Confidence: 0.6, TS: 5,
		Status: attribution.SuspicionGrown, ID: "s-1", Groups: []string{"client", "timing"}, Summary: "two hands",
		Reasons: []attribution.Reason{
			{Primitive: "a.b", Kind: attribution.ReasonAlternates, Group: "timing", Values: []attribution.Value{[]byte(`"x"`), []byte(`{"a":1}`)}},
			{Primitive: "c.d", Kind: attribution.ReasonReturns, Group: "client", New: true},
		},
	}
	want := `{"event_id":"e-2","identity_uuid":"I","status":"grown","suspicion_id":"s-1","primitives":["a.b","c.d"],` +
		`"reasons":[{"primitive":"a.b","kind":"alternates","group":"timing","values":["x",{"a":1}],"new":false},` +
		`{"primitive":"c.d","kind":"returns","group":"client","values":[],"new":true}],"groups":["client","timing"],` +
		`"evidence_summary":"two hands","confidence":0.6,"ts":5}`
	if got := AppendSuspicionJSON(nil, &u); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendStateRowJSON(t *testing.T) {
	r := StateRow{Identity: "I", Primitive: "a.b", Row: attribution.Row{
		State: attribution.Drifting, Value: attribution.Value(`"x"`), Confidence: 0.5, Count: 3, LastChangeTS: 1.5, LastObservationTS: 2, UpdatedAt: 1701015245.125,
	}}
	want := `{"identity_uuid":"I","primitive":"a.b","current_value":"x","state":"drifting","confidence":0.5,"observation_count":3,` +
		`"last_change_ts":1.5,"last_observation_ts":2,"schema_version":1,"updated_at":1701015245.125}`
	if got := AppendStateRowJSON(nil, &r); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r.Row.Returns = true
	want = strings.TrimSuffix(want, "}") + `,"returns":true}`
	if got := AppendStateRowJSON(nil, &r); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestStateRowKeys(t *testing.T) {
	for _, identity := range []string{"I", "", "a/b", "/", "é"} {
		key := AppendStateRowKey(nil, identity, "x.y")
		if string(key) != identity+"/x.y" {
			t.Errorf("key %q", key)
		}
		if i, p, ok := SplitStateRowKey(key); i != identity || p != "x.y" || !ok {
			t.Errorf("%q splits into %q, %q, %v", key, i, p, ok)
		}
	}
	if _, _, ok := SplitStateRowKey([]byte("x.y")); ok {
		t.Error("a key without a slash splits")
	}
}

func drawState(t *rapid.T, name string) attribution.State {
	return attribution.State(rapid.IntRange(0, int(attribution.MultiActor)).Draw(t, name))
}

func drawValue(t *rapid.T) attribution.Value {
	return rapid.SampledFrom([]attribution.Value{[]byte("null"), []byte(`"é\n"`), []byte("0.25"), []byte(`{"a":[1,{"b":"\ud800"}]}`)}).Draw(t, "value")
}

// drawOptional is drawValue, or nil. A null is not told apart from that.
func drawOptional(t *rapid.T) attribution.Value {
	if v := drawValue(t); !bytes.Equal(v, attribution.Null) {
		return v
	}
	return nil
}

func drawSuspicion(t *rapid.T) attribution.Suspicion {
	id := rapid.StringN(1, 12, -1)
	u := attribution.Suspicion{
		EventID: id.Draw(t, "event"), Identity: id.Draw(t, "identity"), Primitives: rapid.SliceOfNDistinct(id, 1, 9, rapid.ID).Draw(t, "primitives"),
		Confidence: rapid.Float64Range(0, 1).Draw(t, "confidence"), TS: drawFinite(t, "ts"), Summary: id.Draw(t, "summary"),
	}
	u.Status = rapid.SampledFrom([]attribution.SuspicionStatus{"", attribution.SuspicionRaised, attribution.SuspicionGrown, attribution.SuspicionCleared}).Draw(t, "status")
	if u.Status == "" {
		if rapid.Bool().Draw(t, "more than are named") {
			u.Total = len(u.Primitives) + rapid.IntRange(1, 1<<40).Draw(t, "unnamed")
		}
		return u
	}
	u.ID, u.Groups = id.Draw(t, "id"), rapid.SliceOfNDistinct(id, 1, 3, rapid.ID).Draw(t, "groups")
	for _, primitive := range u.Primitives {
		r := attribution.Reason{Primitive: primitive, Kind: attribution.ReasonReturns, Group: u.Groups[0], New: rapid.Bool().Draw(t, "is new")}
		for range rapid.IntRange(0, 3).Draw(t, "values") {
			r.Values = append(r.Values, drawValue(t))
		}
		u.Reasons = append(u.Reasons, r)
	}
	return u
}

func drawProfile(t *rapid.T) Profile {
	id := rapid.StringN(1, 12, -1)
	return Profile{
		Attacker: id.Draw(t, "attacker"), Stub: id.Draw(t, "stub"), Address: id.Draw(t, "address"), Sensor: id.Draw(t, "sensor"),
		Kind:      rapid.SampledFrom([]AddressKind{AddressIP, AddressOpaque}).Draw(t, "kind"),
		FirstSeen: drawFinite(t, "first"), LastSeen: drawFinite(t, "last"),
	}
}

func drawEventType(t *rapid.T) attribution.EventType {
	return attribution.EventType(rapid.IntRange(int(attribution.Formed), int(attribution.Unmerged)).Draw(t, "type"))
}

func drawAttackers(t *rapid.T) []string {
	if list := rapid.SliceOfNDistinct(rapid.StringN(1, 12, -1), 0, 5, rapid.ID).Draw(t, "attackers"); len(list) > 0 {
		return list
	}
	return nil
}

func drawMembership(t *rapid.T) attribution.Membership {
	m := attribution.Membership{
		Identity: rapid.StringN(1, 12, -1).Draw(t, "identity"), Attackers: drawAttackers(t), Total: rapid.Int64Range(0, 1<<53).Draw(t, "total"),
		MergedInto: rapid.StringN(0, 5, -1).Draw(t, "merged into"), Version: rapid.Uint64Range(0, 1<<53).Draw(t, "version"),
		EventTS: drawFinite(t, "event ts"), UpdatedAt: drawFinite(t, "updated"),
	}
	if rapid.Bool().Draw(t, "by an event") {
		m.LastEvent, m.Offset = drawEventType(t), rapid.Int64Range(0, 1<<53).Draw(t, "offset")
	}
	return m
}

func drawIdentityChange(t *rapid.T) attribution.IdentityChange {
	count := rapid.Int64Range(0, 1<<53)
	return attribution.IdentityChange{
		EventID: rapid.StringN(1, 12, -1).Draw(t, "event"), Type: drawEventType(t), Identity: rapid.StringN(1, 12, -1).Draw(t, "identity"),
		Other: rapid.StringN(0, 5, -1).Draw(t, "other"), Attackers: drawAttackers(t), Moved: count.Draw(t, "moved"), Rows: count.Draw(t, "rows"),
		Version: rapid.Uint64Range(0, 1<<53).Draw(t, "version"), Offset: count.Draw(t, "offset"), TS: drawFinite(t, "ts"),
	}
}

// readsBack draws a record, and checks that decode gives back what append wrote.
func readsBack[T any](t *rapid.T, draw func(*rapid.T) T, appendTo func([]byte, *T) []byte, decode func([]byte) (T, error)) []byte {
	want := draw(t)
	record := appendTo(nil, &want)
	if got, err := decode(record); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: %+v, %v; want %+v", record, got, err, want)
	}
	return record
}

func TestOutputsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringN(1, 12, -1)
		ts := rapid.Float64Range(0, 1e300)
		tr := attribution.Transition{
			EventID: id.Draw(t, "event"), Identity: id.Draw(t, "identity"), Primitive: "a.b", IsNew: rapid.Bool().Draw(t, "new"), New: drawState(t, "new state"),
			Value: drawValue(t), Previous: drawOptional(t), Confidence: rapid.Float64Range(0, 1).Draw(t, "confidence"), Count: rapid.Int64Range(0, 1<<53).Draw(t, "count"), TS: ts.Draw(t, "ts"),
		}
		if !tr.IsNew {
			tr.Old = drawState(t, "old state")
		}
		record := AppendTransitionJSON(nil, &tr)
		if got, err := DecodeTransitionJSON(record); err != nil || !reflect.DeepEqual(got, tr) || !json.Valid(record) {
			t.Fatalf("%s: %+v, %v; want %+v", record, got, err, tr)
		}
		for _, record := range [][]byte{
			readsBack(t, drawSuspicion, AppendSuspicionJSON, DecodeSuspicionJSON),
			readsBack(t, drawProfile, AppendProfileJSON, DecodeProfileJSON),
			readsBack(t, drawMembership, AppendMembershipJSON, DecodeMembershipJSON),
			readsBack(t, drawIdentityChange, AppendIdentityChangeJSON, DecodeIdentityChangeJSON),
		} {
			if !json.Valid(record) {
				t.Fatalf("no JSON: %q", record)
			}
		}
		r := StateRow{Identity: tr.Identity, Primitive: tr.Primitive, Row: attribution.Row{
			State: tr.New, Value: tr.Value, Confidence: tr.Confidence, Count: tr.Count, LastChangeTS: ts.Draw(t, "change"), LastObservationTS: tr.TS, UpdatedAt: ts.Draw(t, "updated"), Returns: rapid.Bool().Draw(t, "returns"),
		}}
		record = AppendStateRowJSON(nil, &r)
		if got, err := DecodeStateRowJSON(record); err != nil || !reflect.DeepEqual(got, r) || !json.Valid(record) {
			t.Fatalf("%s: %+v, %v; want %+v", record, got, err, r)
		}
	})
}

// TestOutputsMayBeLongerThanInputs: the value of the largest record that is
// taken, where every number grows as much as one can.
func TestOutputsMayBeLongerThanInputs(t *testing.T) {
	record := without("value", "["+strings.Repeat("1e15,", (DefaultMaxBytes-100)/5)+"0]")
	var d ObservationDecoder
	var o attribution.Observation
	if err := d.Decode([]byte(record), &o); err != nil {
		t.Fatal(err)
	}
	row := AppendStateRowJSON(nil, &StateRow{Identity: "I", Primitive: "x.y", Row: attribution.Row{Value: o.Value}})
	if len(row) > 1_000_000 { // a broker takes 1048588 bytes by default, headers and all
		t.Errorf("a record of %d bytes makes a row of %d", len(record), len(row))
	}
	if _, err := DecodeStateRowJSON(row); err != nil {
		t.Errorf("a row of %d bytes: %v", len(row), err)
	}
}

// TestOutputDecodersAreStrict breaks each member of a good record in turn.
func TestOutputDecodersAreStrict(t *testing.T) {
	tr := attribution.Transition{EventID: "e", Identity: "I", Primitive: "a.b", New: attribution.Stable, Value: attribution.Null}
	u := attribution.Suspicion{
		EventID: "e", Identity: "I", Primitives: []string{"a.b"}, Status: attribution.SuspicionRaised, ID: "s", Groups: []string{"g"}, Summary: "words", Total: 7,
		Reasons: []attribution.Reason{{Primitive: "a.b", Kind: attribution.ReasonReturns, Group: "g"}},
	}
	row := StateRow{Identity: "I", Primitive: "a.b", Row: attribution.Row{Returns: true}}
	profile := Profile{Attacker: "a", Stub: "I", Address: "192.0.2.1", Kind: AddressIP, Sensor: "s"}
	member := attribution.Membership{Identity: "I", Attackers: []string{"a"}, Total: 1, LastEvent: attribution.Linked, MergedInto: "J"}
	changed := attribution.IdentityChange{EventID: "e", Type: attribution.Merged, Identity: "I", Other: "J", Attackers: []string{"a"}}
	for _, decoder := range []struct {
		name     string
		good     []byte
		optional string // members that may be absent or null, by words
		any      string // a member that may be anything
		decode   func([]byte) error
	}{
		{"transition", AppendTransitionJSON(nil, &tr), "old_state previous_value", "current_value", func(b []byte) error { _, err := DecodeTransitionJSON(b); return err }},
		{"suspicion", AppendSuspicionJSON(nil, &u), "evidence_summary status suspicion_id reasons groups primitives_total", "", func(b []byte) error { _, err := DecodeSuspicionJSON(b); return err }},
		{"row", AppendStateRowJSON(nil, &row), "returns", "current_value", func(b []byte) error { _, err := DecodeStateRowJSON(b); return err }},
		{"profile", AppendProfileJSON(nil, &profile), "", "", func(b []byte) error { _, err := DecodeProfileJSON(b); return err }},
		{"identity", AppendMembershipJSON(nil, &member), "attackers merged_into last_event", "", func(b []byte) error { _, err := DecodeMembershipJSON(b); return err }},
		{"identity change", AppendIdentityChangeJSON(nil, &changed), "attackers other_identity_uuid", "", func(b []byte) error { _, err := DecodeIdentityChangeJSON(b); return err }},
	} {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(decoder.good, &members); err != nil {
			t.Fatal(err)
		}
		if err := decoder.decode(decoder.good); err != nil {
			t.Errorf("%s: %v", decoder.good, err)
		}
		for name, good := range members {
			for _, broken := range []string{"", "null", `"no such state"`, "-1.5", "[]", `[""]`, "{}", "true", "1e999"} {
				members[name] = json.RawMessage(broken)
				if broken == "" {
					delete(members, name)
				}
				var record []byte
				if broken == "1e999" { // which encoding/json does not write
					members[name] = json.RawMessage("9e99")
					record, _ = json.Marshal(members)
					record = bytes.Replace(record, []byte("9e99"), []byte(broken), 1)
				} else {
					record, _ = json.Marshal(members)
				}
				members[name] = good
				err := decoder.decode(record)
				anything := name == decoder.any || name == "previous_value"
				ok := slices.Contains(strings.Fields(decoder.optional), name) && (broken == "" || broken == "null") || anything && broken != "" && broken != "1e999" ||
					good[0] == '[' && (broken == "[]" && name != "primitives") ||
					broken == `"no such state"` && good[0] == '"' && !strings.HasSuffix(name, "state") && name != "kind" && name != "last_event" ||
					broken == "-1.5" && (name == "confidence" || strings.HasSuffix(name, "ts") || name == "updated_at") || // as written
					broken == "true" && good[0] == 't'
				if ok {
					if err != nil {
						t.Errorf("%s: %v", record, err)
					}
				} else if wantBad(t, string(record), err) && !strings.Contains(err.Error(), name) && !strings.HasPrefix(err.Error(), "not JSON") {
					t.Errorf("%s: %q does not name %s", record, err, name)
				}
			}
		}
	}
}

func TestEncodersAllocateNothing(t *testing.T) {
	tr := attribution.Transition{EventID: "e", Identity: "I", Primitive: "a.b", New: attribution.Stable, Value: attribution.Null, Confidence: 0.6, TS: 1701015245.825}
	u := attribution.Suspicion{EventID: "e", Identity: "I", Primitives: []string{"a.b", "c.d"}}
	row := StateRow{Identity: "I", Primitive: "a.b"}
	beat := Heartbeat{Worker: "w"}
	dst := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		dst = AppendTransitionJSON(dst[:0], &tr)
		dst = AppendSuspicionJSON(dst[:0], &u)
		dst = AppendStateRowJSON(dst[:0], &row)
		dst = AppendHeartbeat(dst[:0], &beat)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzTransitionDecode(f *testing.F) {
	f.Add(AppendTransitionJSON(nil, &attribution.Transition{EventID: "e", Identity: "I", Primitive: "a.b", Value: attribution.Null}))
	f.Add([]byte(`{"old_state":"stable","current_value":{"b":1,"a":"\ud800"}}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		tr, err := DecodeTransitionJSON(record)
		if err != nil {
			wantBad(t, string(record), err)
			return
		}
		again, err := DecodeTransitionJSON(AppendTransitionJSON(nil, &tr))
		if err != nil || !reflect.DeepEqual(again, tr) {
			t.Fatalf("%q became %+v, then %+v, %v", record, tr, again, err)
		}
	})
}

func FuzzSuspicionDecode(f *testing.F) {
	f.Add(AppendSuspicionJSON(nil, &attribution.Suspicion{EventID: "e", Identity: "I", Primitives: []string{"a.b", "c.d"}}))
	f.Fuzz(func(t *testing.T, record []byte) {
		u, err := DecodeSuspicionJSON(record)
		if err != nil {
			wantBad(t, string(record), err)
			return
		}
		again, err := DecodeSuspicionJSON(AppendSuspicionJSON(nil, &u))
		if err != nil || !reflect.DeepEqual(again, u) {
			t.Fatalf("%q became %+v, then %+v, %v", record, u, again, err)
		}
	})
}

func FuzzStateRowDecode(f *testing.F) {
	f.Add(AppendStateRowJSON(nil, &StateRow{Identity: "I", Primitive: "a.b"}))
	f.Add([]byte(`{"state":"unknown","schema_version":1,"current_value":[1e2]}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		r, err := DecodeStateRowJSON(record)
		if err != nil {
			wantBad(t, string(record), err)
			return
		}
		if text, rest, err := canonical.Append(nil, r.Row.Value); err != nil || len(rest) > 0 || !bytes.Equal(text, r.Row.Value) {
			t.Fatalf("%q: the value %s is not canonical", record, r.Row.Value)
		}
		again, err := DecodeStateRowJSON(AppendStateRowJSON(nil, &r))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q became %+v, then %+v, %v", record, r, again, err)
		}
	})
}

func BenchmarkAppendTransitionJSON(b *testing.B) {
	tr := attribution.Transition{
		EventID: "0b7a9c1e2d3f4a5b", Identity: "53c969f8-4239-8f5e-936b-702f302386a1", Primitive: "toolchain.ssh.hassh_client", New: attribution.Stable,
		Value: attribution.Value(`"ec7378c1a92f5a8dde7e8b7a1ddf33d1"`), Confidence: 0.5, Count: 3, TS: 1701015245.825,
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendTransitionJSON(dst[:0], &tr)
	}
}
