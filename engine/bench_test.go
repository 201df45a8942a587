package engine

import (
	"fmt"
	"testing"

	"handprint/attribution"
)

// BenchmarkObservation takes observations of known attackers, from the bytes of
// the record to the row: of attackers that are alone, and of one that belongs
// to an identity of two. The store is a map.
func BenchmarkObservation(b *testing.B) {
	const attackers, sessions = 200, 64
	for _, linked := range []bool{false, true} {
		b.Run(fmt.Sprintf("linked=%v", linked), func(b *testing.B) {
			store, out := newMemStore(), new(heard)
			e, err := New(testConfig(1), 0, store)
			if err != nil {
				b.Fatal(err)
			}
			identity := []byte("018f0000-0000-7000-8000-000000000001")
			var records []Record
			for s := range sessions {
				for i := range attackers {
					attacker := fmt.Sprintf("203.0.113.%d", i)
					if s == 0 && linked {
						store.Put(idKey(nil, kindLink, []byte(attacker)), appendLink(nil, link{Identity: identity, By: origin{Version: 1}}))
						store.Put(idsKey(nil, kindMember, identity, []byte(attacker)), appendMember(nil, 1))
					}
					records = append(records, Record{Source: Observations, Time: 1_700_000_000_000, Key: []byte(attacker), Value: fmt.Appendf(nil,
						`{"id":"%d","attacker_uuid":%q,"primitive":"toolchain.ssh.hassh_client","value":"%032x","confidence":0.9,"source":"bench","evidence_ref":"cowrie/sensor/%d","envelope_v":1,"ts":%d}`,
						s, attacker, i%3, s, 1_700_000_000+60*s)})
					if linked && i == 1 {
						break
					}
				}
			}
			offset, pass := int64(0), 0
			process := func(r *Record) {
				offset++
				r.Offset = offset
				if err := e.Process(r, store, out); err != nil {
					b.Fatal(err)
				}
				store.commit()
			}
			for i := range records { // attackers are known and series are full
				process(&records[i])
			}
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				process(&records[pass%len(records)])
				pass++
			}
		})
	}
}

func BenchmarkRowCodec(b *testing.B) {
	r := row{published: true, was: sampleRow, inline: true}
	for i := range attribution.DefaultThresholds().SeriesEntries {
		at := attribution.Arrival{Time: 1_700_000_000_000 + int64(i)*60_000, Partition: 3, Offset: int64(1000 * i)}
		r.series.Entries = append(r.series.Entries, attribution.Entry{
			TS: float64(i), Value: attribution.Value(fmt.Sprintf(`"%032x"`, i/16)), Evidence: uint64(i) * 0x9e3779b97f4a7c15, Confidence: 0.9, Place: at, Latest: at,
		})
	}
	record := appendRow(nil, &r)
	b.Run("append", func(b *testing.B) {
		buf := make([]byte, 0, len(record))
		b.ReportAllocs()
		for b.Loop() {
			buf = appendRow(buf[:0], &r)
		}
		b.ReportMetric(float64(len(record)), "bytes/row")
	})
	b.Run("decode", func(b *testing.B) {
		var got row
		var values [][]byte
		b.ReportAllocs()
		for b.Loop() {
			if err := decodeRow(record, &got, &values); err != nil {
				b.Fatal(err)
			}
		}
	})
}
