package schemas

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"handprint/attribution"
	"handprint/schemas/avro"
)

// avroObservationRecord makes the record of an observation, its value and ts as
// given.
func avroObservationRecord(value string, ts float64) []byte {
	return AvroFormat(testIDs()).AppendObservation(nil, &attribution.Observation{
		Attacker: []byte("a"), Primitive: []byte("x.y"), Value: attribution.Value(value), Evidence: []byte("e"), TS: ts,
	})
}

func TestAvroObservationsAreRefused(t *testing.T) {
	good := avroObservationRecord("1", 5)
	writers := testWriters()
	writers.Add(7, []byte(`{"type":"record","name":"X","fields":[{"name":"attacker_uuid","type":"string"}]}`))
	writers.Add(8, []byte(`{"type":`))
	writers.AddMissing(9, "the registry does not have it\x00")
	with := func(id uint32) []byte { return append(AppendHeader(nil, id), good[5:]...) }
	for _, tt := range []struct {
		name   string
		record []byte
		reason string
	}{
		{"wrong magic", append([]byte{1}, good[1:]...), "not JSON: no JSON value at byte 0"},
		{"no id", good[:4], "not JSON, and too short for Avro: the schema id is truncated"},
		{"nothing but the id", good[:5], "Avro: id: truncated"},
		{"unknown schema id", with(6), "Avro: schema 6 is not known"},
		{"a schema that lacks a field", with(7), "Avro: schema 7 does not read as observation: primitive: the schema does not have it, and it has no default"},
		{"a schema that is none", with(8), "Avro: schema 8: avro: unexpected end of JSON input"},
		{"a schema that is not there", with(9), "Avro: schema 9: the registry does not have it?"},
		{"of another topic", with(testIDs()[HeartbeatContract]), "Avro: schema 106 does not read as observation: attacker_uuid: the schema does not have it, and it has no default"},
		{"truncated", good[:len(good)-1], "Avro: identity_ref: truncated"},
		{"trailing bytes", append(good[:len(good):len(good)], 0), "Avro: 1 bytes behind the record's end"},
		{"a length of 2^31", append(good[:6:6], avro.AppendLong(nil, 1<<31)...), "Avro: attacker_uuid: a length beyond the record's end"},
		{"NaN", avroObservationRecord("1", math.NaN()), "ts: not finite"},
		{"infinity", avroObservationRecord("1", math.Inf(1)), "ts: not finite"},
		{"a negative ts", avroObservationRecord("1", -1), "ts: negative"},
		{"no value", avroObservationRecord("", 1), "value: not JSON text: unexpected end at byte 0"},
		{"a value that is no JSON", avroObservationRecord("paste", 1), "value: not JSON text: no JSON value at byte 0"},
		{"more than a value", avroObservationRecord("1 2", 1), "value: not JSON text: more after the value at byte 1"},
		{"a number that no double holds", avroObservationRecord("[1e999]", 1), "value: not finite"},
		{"deep recursion", avroObservationRecord(strings.Repeat("[", 100_000), 1), "value: nested deeper than 128"},
		{"text that is no UTF-8", AvroFormat(testIDs()).AppendObservation(nil, &attribution.Observation{Attacker: []byte("\xff"), Primitive: []byte("x.y"), Value: attribution.Null, Evidence: []byte("e")}), "Avro: attacker_uuid: not UTF-8"},
		{"an empty attacker", AvroFormat(testIDs()).AppendObservation(nil, &attribution.Observation{Primitive: []byte("x.y"), Value: attribution.Null, Evidence: []byte("e")}), "attacker_uuid: empty"},
		{"too large", avroObservationRecord(`"`+strings.Repeat("x", DefaultMaxBytes)+`"`, 1), "too large: 262194 bytes, at most 262144 are taken"},
	} {
		d := ObservationDecoder{Writers: writers}
		var o attribution.Observation
		err := d.Decode(tt.record, &o)
		if !wantBad(t, tt.name, err) {
			t.Logf("%s became %+v", tt.name, o)
		} else if err.Error() != tt.reason {
			t.Errorf("%s: %q, want %q", tt.name, err, tt.reason)
		}
	}
	var d ObservationDecoder
	if err := d.Decode(good, new(attribution.Observation)); err == nil || err.Error() != "Avro: no schema registry is configured" {
		t.Errorf("without a registry: %v", err)
	}
}

// TestAvroValuesBecomeCanonical: what a sensor writes in its own way is the same
// value as in JSON.
func TestAvroValuesBecomeCanonical(t *testing.T) {
	d := ObservationDecoder{Writers: testWriters()}
	for text, want := range map[string]string{
		" 1.50 ": "1.5", `{"b":1,"a":[true,null]}`: `{"a":[true,null],"b":1}`, `"\u00e9"`: `"é"`, "1e2": "100", "12345678901234567890": "1.2345678901234567e19", "null": "null", "-0": "0",
	} {
		var o, viaJSON attribution.Observation
		if err := d.Decode(avroObservationRecord(text, 1), &o); err != nil || string(o.Value) != want {
			t.Errorf("%s became %s, %v; want %s", text, o.Value, err, want)
		}
		var j ObservationDecoder
		if err := j.Decode([]byte(`{"attacker_uuid":"a","primitive":"x.y","evidence_ref":"e","ts":1,"value":`+text+`}`), &viaJSON); err != nil || string(viaJSON.Value) != want {
			t.Errorf("%s in JSON became %s, %v", text, viaJSON.Value, err)
		}
	}
}

func TestAvroIdentityEventsAreRefused(t *testing.T) {
	format, d := AvroFormat(testIDs()), IdentityEventDecoder{Writers: testWriters()}
	for _, tt := range []struct {
		event  attribution.IdentityEvent
		header string
		reason string
	}{
		{attribution.IdentityEvent{Type: attribution.Formed}, "", "identity_uuid: null"},
		{attribution.IdentityEvent{Type: attribution.Formed, Identity: "I", Attackers: []string{"a", ""}}, "", "observation_uuids[1]: empty"},
		{attribution.IdentityEvent{Type: attribution.Merged, Identity: "W"}, "", "loser_uuid: null"},
		{attribution.IdentityEvent{Type: attribution.Merged, Identity: "W", Loser: "L"}, "identity.formed", `type: the header says "identity.formed", the field "identity.merged"`},
	} {
		record := format.AppendIdentityEvent(nil, &tt.event)
		if _, err := d.Decode(tt.header, record); err == nil || err.Error() != tt.reason {
			t.Errorf("%+v: %v, want %q", tt.event, err, tt.reason)
		}
	}
}

// FuzzAvroObservation: no record makes the decoder panic, and what it takes
// comes out the same when it is written again.
func FuzzAvroObservation(f *testing.F) {
	writers, format := testWriters(), AvroFormat(testIDs())
	f.Add(avroObservationRecord(`{"a":[1,"x"]}`, 5))
	f.Add(avroObservationRecord(`null`, 0)[:20])
	f.Add(AppendHeader(nil, testIDs()[StateRowContract]))
	f.Fuzz(func(t *testing.T, record []byte) {
		d, again := ObservationDecoder{Writers: writers}, ObservationDecoder{Writers: writers}
		var o, back attribution.Observation
		if d.Decode(record, &o) != nil {
			return
		}
		written := format.AppendObservation(nil, &o)
		if err := again.Decode(written, &back); err != nil || !sameObservation(&o, &back) {
			t.Fatalf("%q: %+v, %v; was %+v", record, back, err, o)
		}
		if jsonText := (*Format)(nil).AppendObservation(nil, &o); !bytes.HasPrefix(jsonText, []byte("{")) {
			t.Fatalf("%q", jsonText)
		}
	})
}

// FuzzAvroIdentityEvent: no record makes the decoder panic, and what it takes
// comes out the same when it is written again.
func FuzzAvroIdentityEvent(f *testing.F) {
	writers, format := testWriters(), AvroFormat(testIDs())
	for _, e := range []attribution.IdentityEvent{
		{Type: attribution.Formed, Identity: "I", Attackers: []string{"a", "b"}}, {Type: attribution.Linked, Identity: "I", Attackers: []string{"a"}},
		{Type: attribution.Merged, Identity: "W", Loser: "L"}, {Type: attribution.Unmerged, Identity: "W", Loser: "L", Attackers: []string{"a"}},
	} {
		f.Add("", format.AppendIdentityEvent(nil, &e))
	}
	f.Add("identity.merged", AppendHeader(nil, testIDs()[IdentityEventContract]))
	f.Fuzz(func(t *testing.T, header string, record []byte) {
		d := IdentityEventDecoder{Writers: writers}
		e, err := d.Decode(header, record)
		if err != nil {
			wantBad(t, string(record), err)
			return
		}
		again, err := d.Decode("", format.AppendIdentityEvent(nil, &e))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%q became %+v, then %+v, %v", record, e, again, err)
		}
	})
}

// FuzzAvroOutputs: no record makes the readers of the outputs panic, and what
// they take goes through JSON unchanged.
func FuzzAvroOutputs(f *testing.F) {
	writers, format := testWriters(), AvroFormat(testIDs())
	f.Add(format.AppendTransition(nil, &attribution.Transition{EventID: "e", Identity: "i", Primitive: "a.b", Value: attribution.Value("1")}))
	f.Add(format.AppendStateRow(nil, &StateRow{Identity: "i", Primitive: "a.b"}))
	f.Add(format.AppendSuspicion(nil, &attribution.Suspicion{EventID: "e", Identity: "i", Primitives: []string{"a.b"}}))
	f.Add(format.DeadLetterValue([]byte("x"), nil))
	f.Fuzz(func(t *testing.T, record []byte) {
		if e, err := writers.Transition(record); err == nil {
			if _, err := DecodeTransitionJSON(AppendTransitionJSON(nil, &e)); err != nil {
				t.Fatalf("%+v: %v", e, err)
			}
		}
		if r, err := writers.StateRow(record); err == nil {
			if _, err := DecodeStateRowJSON(AppendStateRowJSON(nil, &r)); err != nil {
				t.Fatalf("%+v: %v", r, err)
			}
		}
		if u, err := writers.Suspicion(record); err == nil {
			if _, err := DecodeSuspicionJSON(AppendSuspicionJSON(nil, &u)); err != nil {
				t.Fatalf("%+v: %v", u, err)
			}
		}
		_ = writers.Original(record)
	})
}
