package schemas

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// testIDs gives every contract an id: 100 and up.
func testIDs() map[Contract]uint32 {
	ids := make(map[Contract]uint32)
	for _, c := range Contracts() {
		ids[c] = 100 + uint32(c)
	}
	return ids
}

// testWriters knows the schemas of testIDs.
func testWriters() *Writers {
	w := NewWriters()
	for c, id := range testIDs() {
		w.Add(id, []byte(c.Schema()))
	}
	return w
}

var goavroCodecs = func() (list [contractCount]*goavro.Codec) {
	for i := range list {
		var err error
		if list[i], err = goavro.NewCodec(Contract(i).Schema()); err != nil {
			panic(err)
		}
	}
	return list
}()

// viaGoavro reads record with goavro, writes what it read again and fails if
// the bytes differ.
func viaGoavro(t interface{ Fatalf(string, ...any) }, c Contract, record []byte) map[string]any {
	if id, ok := SchemaID(record); !ok || id != testIDs()[c] {
		t.Fatalf("%s: header %x", c, record[:min(len(record), 5)])
	}
	native, rest, err := goavroCodecs[c].NativeFromBinary(record[5:])
	if err != nil || len(rest) > 0 {
		t.Fatalf("%s: goavro: %v, %d bytes left of %x", c, err, len(rest), record)
	}
	again, err := goavroCodecs[c].BinaryFromNative(nil, native)
	if err != nil || !bytes.Equal(again, record[5:]) {
		t.Fatalf("%s: goavro writes %x, not %x (%v)", c, again, record[5:], err)
	}
	return native.(map[string]any)
}

func drawFinite(t *rapid.T, name string) float64 {
	return rapid.OneOf(rapid.Float64Range(0, 1e300), rapid.SampledFrom([]float64{0, 0.25, 1701015245.825, math.SmallestNonzeroFloat64, math.MaxFloat64})).Draw(t, name)
}

func TestAvroReadsBackAndGoavroAgrees(t *testing.T) {
	format, writers := AvroFormat(testIDs()), testWriters()
	var decoder ObservationDecoder
	decoder.Writers = writers
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringN(1, 12, -1)
		tr := attribution.Transition{
			EventID: id.Draw(t, "event"), Identity: id.Draw(t, "identity"), Primitive: "a.b", IsNew: rapid.Bool().Draw(t, "new"), New: drawState(t, "new state"),
			Value: drawValue(t), Previous: drawOptional(t), Confidence: rapid.Float64Range(0, 1).Draw(t, "confidence"), Count: rapid.Int64Range(0, 1<<53).Draw(t, "count"), TS: drawFinite(t, "ts"),
		}
		if !tr.IsNew {
			tr.Old = drawState(t, "old state")
		}
		record := format.AppendTransition(nil, &tr)
		if got, err := writers.Transition(record); err != nil || !reflect.DeepEqual(got, tr) {
			t.Fatalf("%x: %+v, %v; want %+v", record, got, err, tr)
		}
		native := viaGoavro(t, TransitionContract, record)
		if native["current_value"] != string(tr.Value) || native["new_state"] != tr.New.String() || native["ts"] != tr.TS {
			t.Fatalf("goavro reads %v from %+v", native, tr)
		}
		if n, isNumber := canonical.Number(tr.Value); isNumber != (native["current_value_number"] != nil) || isNumber && native["current_value_number"].(map[string]any)["double"] != n {
			t.Fatalf("current_value_number %v of %s", native["current_value_number"], tr.Value)
		}

		viaGoavro(t, SuspicionContract, readsBack(t, drawSuspicion, format.AppendSuspicion, writers.Suspicion))
		viaGoavro(t, AttackerProfileContract, readsBack(t, drawProfile, format.AppendProfile, writers.Profile))
		viaGoavro(t, IdentityContract, readsBack(t, drawMembership, format.AppendMembership, writers.Membership))
		viaGoavro(t, IdentityChangeContract, readsBack(t, drawIdentityChange, format.AppendIdentityChange, writers.IdentityChange))

		r := StateRow{Identity: tr.Identity, Primitive: tr.Primitive, Row: attribution.Row{
			State: tr.New, Value: tr.Value, Confidence: tr.Confidence, Count: tr.Count, LastChangeTS: drawFinite(t, "change"), LastObservationTS: tr.TS, UpdatedAt: drawFinite(t, "updated"), Returns: rapid.Bool().Draw(t, "returns"),
		}}
		record = format.AppendStateRow(nil, &r)
		if got, err := writers.StateRow(record); err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%x: %+v, %v; want %+v", record, got, err, r)
		}
		viaGoavro(t, StateRowContract, record)

		o := attribution.Observation{
			ID: []byte(rapid.StringN(0, 5, -1).Draw(t, "id")), Attacker: []byte(tr.Identity), Primitive: []byte("a.b"), Value: tr.Value, Evidence: []byte(tr.EventID),
			Source: []byte(rapid.StringN(0, 5, -1).Draw(t, "source")), TS: tr.TS, WindowStart: drawFinite(t, "start"), WindowEnd: drawFinite(t, "end"),
			HasConfidence: rapid.Bool().Draw(t, "has confidence"),
		}
		if o.HasConfidence {
			o.Confidence = tr.Confidence
		}
		for _, f := range []*Format{format, nil} {
			record = f.AppendObservation(nil, &o)
			var got attribution.Observation
			if err := decoder.Decode(record, &got); err != nil || !sameObservation(&got, &o) {
				t.Fatalf("%q: %+v, %v; want %+v", record, got, err, o)
			}
		}
		viaGoavro(t, ObservationContract, format.AppendObservation(nil, &o))
	})
}

func sameObservation(a, b *attribution.Observation) bool {
	x, y := *a, *b
	for _, f := range []struct{ a, b *[]byte }{{&x.ID, &y.ID}, {&x.Attacker, &y.Attacker}, {&x.Primitive, &y.Primitive}, {&x.Evidence, &y.Evidence}, {&x.Source, &y.Source}, {&x.IdentityRef, &y.IdentityRef}} {
		if !bytes.Equal(*f.a, *f.b) {
			return false
		}
		*f.a, *f.b = nil, nil
	}
	if !bytes.Equal(x.Value, y.Value) {
		return false
	}
	x.Value, y.Value = nil, nil
	return reflect.DeepEqual(x, y)
}

func TestAvroIdentityEventsReadBack(t *testing.T) {
	format, decoder := AvroFormat(testIDs()), IdentityEventDecoder{Writers: testWriters()}
	for _, e := range []attribution.IdentityEvent{
		{Type: attribution.Formed, Identity: "I", Attackers: []string{"a", "é"}},
		{Type: attribution.Formed, Identity: "I"},
		{Type: attribution.Linked, Identity: "I", Attackers: []string{"нападник"}},
		{Type: attribution.Merged, Identity: "W", Loser: "L", Attackers: []string{"a"}},
		{Type: attribution.Unmerged, Identity: "W", Loser: "L"},
	} {
		record := format.AppendIdentityEvent(nil, &e)
		if got, err := decoder.Decode("", record); err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%x: %+v, %v; want %+v", record, got, err, e)
		}
		viaGoavro(t, IdentityEventContract, record)
	}
}

func TestAvroDeadLettersHoldTheOriginal(t *testing.T) {
	format, writers := AvroFormat(testIDs()), testWriters()
	observation := format.AppendObservation(nil, &attribution.Observation{Attacker: []byte("a"), Primitive: []byte("a.b"), Value: attribution.Null, Evidence: []byte("e")})
	for _, original := range [][]byte{nil, {}, []byte("{"), {0, 0xff}, {0, 0, 0, 0, 9, 1}, observation} {
		r := &kgo.Record{Topic: "t", Partition: 3, Offset: 7, Value: original}
		record := format.DeadLetterValue(original, DeadLetterHeaders(r, "observation", "ts: negative"))
		native := viaGoavro(t, DeadLetterContract, record)
		if native["reason"] != "ts: negative" || native["source_offset"].(map[string]any)["long"] != int64(7) || native["source_file"] != nil {
			t.Errorf("%q: %v", original, native)
		}
		if got := writers.Original(record); !bytes.Equal(got, original) || (got == nil) != (original == nil) {
			t.Errorf("%q became %q", original, got)
		}
		if got := writers.Original(original); !bytes.Equal(got, original) {
			t.Errorf("%q as it was became %q", original, got)
		}
	}
}

// TestHeartbeatSchemaHasEveryField: whoever adds a field to the JSON adds it to
// the schema and to AppendHeartbeat too.
func TestHeartbeatSchemaHasEveryField(t *testing.T) {
	var h Heartbeat
	v := reflect.ValueOf(&h).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(v.Type().Field(i).Name)
		case reflect.Float64:
			f.SetFloat(0.5 + float64(i))
		case reflect.Int64:
			f.SetInt(int64(i))
		case reflect.Slice:
			h.Tasks = []TaskBeat{{Task: 1, Phase: "running", Lag: -1}, {Task: 2, Phase: "restoring", Done: 3, Total: 4, Left: 0.5, Lag: 6, Stuck: "no"}}
		default:
			t.Fatalf("%s is of no kind that this test knows", v.Type().Field(i).Name)
		}
	}
	native := viaGoavro(t, HeartbeatContract, AvroFormat(testIDs()).AppendHeartbeat(nil, &h))
	var want map[string]any
	if err := json.Unmarshal(AppendHeartbeat(nil, &h), &want); err != nil {
		t.Fatal(err)
	}
	numbers := func(of map[string]any) {
		for name, value := range of {
			if n, ok := value.(int64); ok {
				of[name] = float64(n)
			}
		}
	}
	numbers(native)
	for _, task := range native["tasks"].([]any) {
		numbers(task.(map[string]any))
	}
	if !reflect.DeepEqual(native, want) {
		t.Errorf("Avro %v\nJSON %v", native, want)
	}
}

func TestAvroStatesAreThoseOfTheDomain(t *testing.T) {
	for _, c := range []Contract{TransitionContract, StateRowContract} {
		for _, f := range contracts()[c].read.Fields {
			for _, s := range append(f.Type.Branches, f.Type) {
				for i, symbol := range s.Symbols {
					if attribution.State(i).String() != symbol {
						t.Errorf("%s.%s: symbol %d is %s, the state %s", c, f.Name, i, symbol, attribution.State(i))
					}
				}
				if len(s.Symbols) > 0 && len(s.Symbols) != int(attribution.MultiActor)+1 {
					t.Errorf("%s.%s: %d symbols", c, f.Name, len(s.Symbols))
				}
			}
		}
	}
}
