package attribution

import (
	"fmt"
	"testing"
)

func benchmarkSeries(kind Kind, t *Thresholds, entries int) *Series {
	values := make([]string, entries)
	for i := range values {
		values[i] = fmt.Sprintf(`"value %d"`, i%7/6)
		if kind == Numeric {
			values[i] = fmt.Sprint(100 + i%7)
		}
	}
	return seriesOf(kind, t, values...)
}

func BenchmarkConclude(b *testing.B) {
	thresholds := DefaultThresholds()
	for _, kind := range []Kind{Categorical, Numeric, Hash} {
		b.Run(kind.String(), func(b *testing.B) {
			s, merger := benchmarkSeries(kind, &thresholds, 32), NewMerger(&thresholds)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := merger.Conclude(kind, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUnion adds up a row of a hundred attackers.
func BenchmarkUnion(b *testing.B) {
	thresholds := DefaultThresholds()
	for _, kind := range []Kind{Categorical, Numeric, Hash} {
		b.Run(kind.String(), func(b *testing.B) {
			s, merger := benchmarkSeries(kind, &thresholds, 32), NewMerger(&thresholds)
			b.ReportAllocs()
			for b.Loop() {
				merger.Begin(kind)
				for i := range 100 {
					merger.Add(s, i)
				}
				if _, err := merger.End(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTake(b *testing.B) {
	thresholds := DefaultThresholds()
	for _, kind := range []Kind{Categorical, Hash} {
		for _, full := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/full=%v", kind, full), func(b *testing.B) {
				entries := 8
				if full {
					entries = thresholds.SeriesEntries
				}
				s := benchmarkSeries(kind, &thresholds, entries)
				value, n := Value(`"value 0"`), 1000
				b.ReportAllocs()
				for b.Loop() {
					n++
					at := Arrival{Offset: int64(n)}
					s.Take(Entry{TS: float64(n), Value: value, Evidence: uint64(n), Place: at, Latest: at}, kind, &thresholds)
					if !full {
						s.Entries = s.Entries[:entries]
					}
				}
			})
		}
	}
}

func BenchmarkStub(b *testing.B) {
	attacker := []byte("203.0.113.77")
	b.ReportAllocs()
	for b.Loop() {
		_ = Stub(attacker)
	}
}

func BenchmarkEventID(b *testing.B) {
	identity, primitive := []byte(Stub([]byte("203.0.113.77")).String()), []byte("toolchain.ssh.hassh_client")
	b.ReportAllocs()
	for b.Loop() {
		_ = EventID(Cause{Topic: 'o', Arrival: Arrival{Time: 1, Offset: 2}}, identity, primitive)
	}
}
