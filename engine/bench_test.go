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
						store.Put(idsKey(nil, kindMember, identity, []byte(attacker)), appendMember(nil, member{Version: 1}))
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

// BenchmarkRowCodec writes and reads rows with one entry, as half of all
// records have, with all that are kept, and with numbers, which all differ.
func BenchmarkRowCodec(b *testing.B) {
	kept := attribution.DefaultThresholds().SeriesEntries
	numbers := usualRow(kept)
	for i := range numbers.series.Entries {
		numbers.series.Entries[i].Value = attribution.Value(fmt.Sprint(100 + float64(i*i)/7))
	}
	numbers.was.Value, numbers.was.Confidence = attribution.Value("123.45678901234567"), 0.98765432109876
	for _, c := range []struct {
		name string
		row  row
	}{{"one", usualRow(1)}, {"full", usualRow(kept)}, {"numbers", numbers}} {
		benchRow(b, c.name, &c.row, version1(appendRow))
	}
}

func benchRow(b *testing.B, name string, r *row, write func([]byte, *row) []byte) {
	record := write(nil, r)
	b.Run(name+"/append", func(b *testing.B) {
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			buf = write(buf[:0], r)
		}
		b.ReportMetric(float64(len(record)), "bytes/row")
	})
	b.Run(name+"/decode", func(b *testing.B) {
		var got row
		var values values
		b.ReportAllocs()
		for b.Loop() {
			if err := decodeRow(record, &got, &values); err != nil {
				b.Fatal(err)
			}
		}
	})
}
