package schemas

import (
	"testing"

	"handprint/attribution"
)

var (
	benchObservation = attribution.Observation{
		ID: []byte("6f9619ff-8b86-5011-b42d-00cf4fc964ff"), Attacker: []byte("0b9f2d1c-6e0b-5ad1-9c55-8a4f6c7f2b11"), Primitive: []byte("motor.input_modality"),
		Value: attribution.Value(`"paste"`), Evidence: []byte("cowrie/9f2d1c6e0b5ad19c"), Source: []byte("cowrie-3"), TS: 1_700_000_000.25,
		WindowStart: 1_699_999_910.25, WindowEnd: 1_700_000_000.25, Confidence: 0.85, HasConfidence: true,
	}
	benchTransition = attribution.Transition{
		EventID: "6f9619ff-8b86-5011-b42d-00cf4fc964ff", Identity: "0b9f2d1c-6e0b-8ad1-9c55-8a4f6c7f2b11", Primitive: "motor.input_modality",
		Old: attribution.Stable, New: attribution.Drifting, Value: attribution.Value(`"paste"`), Confidence: 0.8, Count: 41, TS: 1_700_000_000.25,
	}
	benchRow = StateRow{Identity: benchTransition.Identity, Primitive: benchTransition.Primitive, Row: attribution.Row{
		State: attribution.Drifting, Value: benchTransition.Value, Confidence: 0.8, Count: 41, LastChangeTS: 1_700_000_000.25, LastObservationTS: 1_700_000_000.25, UpdatedAt: 1_700_000_001.123456,
	}}
)

// Decoding an observation: ours from Avro, ours from JSON, goavro's to its
// generic maps (which are not a domain value yet).
func BenchmarkDecodeObservation(b *testing.B) {
	d := ObservationDecoder{Writers: testWriters()}
	var o attribution.Observation
	for _, c := range []struct {
		name   string
		format *Format
	}{{"avro", AvroFormat(testIDs())}, {"json", nil}} {
		record := c.format.AppendObservation(nil, &benchObservation)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(record)))
			for b.Loop() {
				if err := d.Decode(record, &o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	record := AvroFormat(testIDs()).AppendObservation(nil, &benchObservation)
	b.Run("goavro", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(record)))
		for b.Loop() {
			if _, _, err := goavroCodecs[ObservationContract].NativeFromBinary(record[5:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Encoding a transition and a row: ours to Avro, ours to JSON, goavro's from a
// map that is there already.
func BenchmarkEncode(b *testing.B) {
	for _, c := range []struct {
		name     string
		contract Contract
		write    func(f *Format, dst []byte) []byte
	}{
		{"transition", TransitionContract, func(f *Format, dst []byte) []byte { return f.AppendTransition(dst, &benchTransition) }},
		{"row", StateRowContract, func(f *Format, dst []byte) []byte { return f.AppendStateRow(dst, &benchRow) }},
	} {
		for _, format := range []struct {
			name   string
			format *Format
		}{{"avro", AvroFormat(testIDs())}, {"json", nil}} {
			b.Run(c.name+"/"+format.name, func(b *testing.B) {
				b.ReportAllocs()
				var buf []byte
				for b.Loop() {
					buf = c.write(format.format, buf[:0])
				}
				b.SetBytes(int64(len(buf)))
			})
		}
		b.Run(c.name+"/goavro", func(b *testing.B) {
			native, _, err := goavroCodecs[c.contract].NativeFromBinary(c.write(AvroFormat(testIDs()), nil)[5:])
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				if buf, err = goavroCodecs[c.contract].BinaryFromNative(buf[:0], native); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
