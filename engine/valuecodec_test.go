package engine

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"handprint/attribution"
)

func TestValuesTakeWhatTheirFormNeeds(t *testing.T) {
	tests := []struct {
		value string
		bytes int
	}{
		{`"ec7378c1a92f5a8dde7e8b7a1ddf33d1"`, 1 + 16},
		{`"` + strings.Repeat("5f", 32) + `"`, 2 + 32},
		{`"EC7378c1a92f5a8dde7e8b7a1ddf33d1"`, 2 + 32}, // not all lower case
		{`"abc"`, 1 + 3}, // no whole byte
		{`"vim"`, 1 + 3},
		{`""`, 1 + 2},
		{`"`, 1 + 1},
		{`"a\"b"`, 1 + 4},
		{`7`, 1 + 1},
		{`-1`, 1 + 1},
		{`123.45678901234567`, 1 + 9},
		{`1e+300`, 1 + 3},
		{`2.2250738585072011e-308`, 1 + 12},
		{`true`, 1 + 4},
		{`null`, 1 + 4},
		{`[1,2]`, 1 + 5},
		{`{"a":null}`, 1 + 10},
		{"\x01sixteen bytes ok", 1 + 17},
		{strings.Repeat("[", 300), 2 + 300},
		{"", 1},
	}
	for _, tt := range tests {
		packed := appendValue(nil, attribution.Value(tt.value))
		if len(packed) != tt.bytes {
			t.Errorf("%s takes %d bytes, want %d", tt.value, len(packed), tt.bytes)
		}
		var values values
		in := reader{b: packed}
		if got := in.value(&values); !in.whole() || string(got) != tt.value {
			t.Errorf("%s became %s, %v", tt.value, got, in.err)
		}
	}
}

func TestMalformedValuesAreRefused(t *testing.T) {
	for _, packed := range [][]byte{
		{1<<2 | valueNumber, 0x1e}, {1<<2 | valueNumber, 0xe1}, {1<<2 | valueNumber, 0xff}, {2<<2 | valueNumber, 0x1f, 0x11},
		{2<<2 | valueHex, 0x11}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, {},
	} {
		in := reader{b: packed}
		if v := in.value(new(values)); in.err == nil {
			t.Errorf("%x is read as %q", packed, v)
		}
	}
}

func TestEveryConfidenceIsReadBitByBit(t *testing.T) {
	tried := []float64{-1, math.Copysign(0, -1), math.NaN(), math.Inf(1), -5, 2, math.SmallestNonzeroFloat64, math.Nextafter(1, 0), 0.1 + 0.2}
	for n := range 1001 {
		tried = append(tried, float64(n)/1000, math.Nextafter(float64(n)/1000, 2))
	}
	for n := 1; n < 20; n++ {
		for k := range n + 1 {
			tried = append(tried, float64(k)/float64(n))
		}
	}
	for _, c := range tried {
		packed := appendConfidence(nil, c)
		in := reader{b: packed}
		if got := in.confidence(); !in.whole() || math.Float64bits(got) != math.Float64bits(c) {
			t.Errorf("%v became %v, %v (%x)", c, got, in.err, packed)
		}
	}
	for n := 1; n <= 10; n++ {
		for k := range n + 1 {
			if packed := appendConfidence(nil, float64(k)/float64(n)); len(packed) > 3 || n != 8 && len(packed) > 1 {
				t.Errorf("%d of %d takes %d bytes", k, n, len(packed))
			}
		}
	}
	for code := confidenceFraction + len(fractions); code < 256; code++ {
		in := reader{b: []byte{byte(code)}}
		if c := in.confidence(); in.err == nil {
			t.Errorf("code %d is read as %v", code, c)
		}
	}
}

// Any double is a ts, whatever those around it are.
func TestEveryTSIsReadBitByBit(t *testing.T) {
	odd := []float64{
		0, math.Copysign(0, -1), math.SmallestNonzeroFloat64, 1e-300, 0.1, 1, 1<<31 - 1, 1 << 31, 1_700_000_000.25, 1_700_000_000.123456,
		math.MaxFloat64, -math.MaxFloat64, -1, math.Inf(1), math.Inf(-1), math.NaN(), 1e15,
	}
	times := []int64{0, 1_700_000_000_000, -1, math.MaxInt64, math.MinInt64}
	var s attribution.Series
	for i, a := range odd {
		for j, b := range odd {
			s = attribution.Series{Count: int64(i)}
			for k, ts := range []float64{a, b} {
				at := attribution.Arrival{Time: times[(i+j+k)%len(times)], Partition: math.MinInt32 + int32(k), Offset: math.MaxInt64 - int64(j)}
				s.Entries = append(s.Entries, attribution.Entry{TS: ts, Value: attribution.Null, Place: at, Latest: attribution.Arrival{Time: math.MinInt64}})
			}
			s.Gone = []attribution.Gone{{Value: attribution.Value(`"x"`), TS: b}, {Value: attribution.Value(`"y"`), TS: a}}
			r := row{published: true, inline: i%2 == 0, was: attribution.Row{Value: attribution.Null, LastObservationTS: a, LastChangeTS: b, UpdatedAt: a}}
			if r.inline {
				r.series.Series = s
			}
			got, err := readRow(appendRow(nil, &r, RecordVersion, nil))
			if err != nil || bitsOf(&got) != bitsOf(&r) {
				t.Errorf("%v and %v: %s became %s, %v", a, b, bitsOf(&r), bitsOf(&got), err)
			}
		}
	}
}

// bitsOf is all of a row, its doubles as bits.
func bitsOf(r *row) string {
	var b bytes.Buffer
	f := math.Float64bits
	fmt.Fprintf(&b, "%x %x %x %d", f(r.was.LastChangeTS), f(r.was.LastObservationTS), f(r.was.UpdatedAt), r.series.Count)
	for _, e := range r.series.Entries {
		fmt.Fprintf(&b, " %x %x %v %v", f(e.TS), f(e.Confidence), e.Place, e.Latest)
	}
	for _, g := range r.series.Gone {
		fmt.Fprintf(&b, " %s %x", g.Value, f(g.TS))
	}
	return b.String()
}

// More values than the table of those seen takes are written anew each time.
func TestASeriesOfMoreValuesThanAreTold(t *testing.T) {
	var s series
	for i := range maxSeen + 3000 {
		s.Entries = append(s.Entries, drawEntryAt(i%(maxSeen+1000)))
	}
	got, err := readContribution(appendContribution(nil, &s, RecordVersion, nil))
	if err != nil || len(got.Entries) != len(s.Entries) {
		t.Fatalf("%d entries, %v", len(got.Entries), err)
	}
	for i := range got.Entries {
		if text(got.Entries[i]) != text(s.Entries[i]) {
			t.Fatalf("entry %d is %+v, want %+v", i, got.Entries[i], s.Entries[i])
		}
	}
}

// A usual row stays as small as it is: what is written for each observation is
// most of what the application writes.
func TestUsualRowsAreSmall(t *testing.T) {
	for _, tt := range []struct{ entries, bytes int }{{1, 50}, {32, 657}} {
		r := usualRow(tt.entries)
		if is := len(appendRow(nil, &r, RecordVersion, nil)); is != tt.bytes {
			t.Errorf("%d entries take %d bytes, want %d", tt.entries, is, tt.bytes)
		}
	}
}
