package attribution

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"handprint/internal/canonical"
)

// seriesOf makes a series of values, a second apart; a value "x@5" has ts 5.
func seriesOf(kind Kind, thresholds *Thresholds, values ...string) *Series {
	s := new(Series)
	for i, v := range values {
		ts := float64(i)
		if text, at, ok := strings.Cut(v, "@"); ok {
			v = text
			if _, err := fmt.Sscan(at, &ts); err != nil {
				panic(err)
			}
		}
		arrival := Arrival{Offset: int64(i)}
		s.Take(Entry{TS: ts, Value: Value(v), Evidence: uint64(i), Place: arrival, Latest: arrival, Confidence: -1}, kind, thresholds)
	}
	return s
}

func conclude(t testing.TB, kind Kind, values ...string) Conclusion {
	t.Helper()
	thresholds := DefaultThresholds()
	s := seriesOf(kind, &thresholds, values...)
	c, err := NewMerger(&thresholds).Conclude(kind, s)
	if err != nil {
		t.Fatalf("%v: %v", values, err)
	}
	c.Value = Value(string(c.Value))
	// A union of the one series says the same.
	union := NewMerger(&thresholds)
	union.Begin(kind)
	union.Add(s, 0)
	again, err := union.End()
	if err != nil || again.State != c.State || string(again.Value) != string(c.Value) || again.Confidence != c.Confidence || again.Count != c.Count || again.LastTS != c.LastTS {
		t.Errorf("%v: the union of the one series gives %+v, %v, not %+v", values, again, err, c)
	}
	return c
}

func TestCategoricalRules(t *testing.T) {
	tests := []struct {
		name       string
		values     string // letters, oldest first; n is null
		state      State
		value      string
		confidence float64
	}{
		{"nothing", "", Unknown, "n", 0},
		{"one", "a", Unknown, "a", 0},
		{"two: the last", "ab", Unknown, "b", 0},
		{"3 of 3", "aaa", Stable, "a", 1},
		{"2 of 3 are not clear", "aab", Conflicted, "b", 2.0 / 3},
		{"null is a value like any other", "nnn", Stable, "n", 1},
		{"4 of 4", "aaaa", Stable, "a", 1},
		{"3 of 4 are not clear", "aaab", Conflicted, "b", 0.75},
		{"4 of 5", "abaaa", Stable, "a", 0.8},
		{"4 of 5, the last differs", "aaaab", Stable, "a", 0.8},
		{"3 of 5, 3 flips", "ababb", MultiActor, "b", 0.6},
		{"3 of 5, 2 flips", "abbba", Conflicted, "a", 0.6},
		{"turns of 4", "abab", MultiActor, "b", 0.5},
		{"turns of 5", "ababa", MultiActor, "a", 0.6},
		{"turns of 3 are too few", "aba", Conflicted, "a", 2.0 / 3},
		{"one repeat: 3 flips", "aabab", MultiActor, "b", 0.6},
		{"two repeats: 2 flips", "aabba", Conflicted, "a", 0.6},
		{"2 flips and 1 repeat in 4", "abba", MultiActor, "a", 0.5},
		{"1 flip in 4", "aabb", Conflicted, "b", 0.5},
		{"turns of three values", "abcab", Conflicted, "b", 0.4},
		{"five values", "abcde", Conflicted, "e", 0.2},
		{"older agrees, one before", "aaaaaa", Stable, "a", 1},
		{"older is another, one before", "baaaaa", Drifting, "a", 1},
		{"older of 2 not clear", "abaaaaa", Drifting, "a", 1},
		{"older of 3, 3 of 3", "aaaaaaaa", Stable, "a", 1},
		{"older of 3, 2 of 3", "aabaaaaa", Drifting, "a", 1},
		{"older of 5, 4 of 5", "aaaabaaaaa", Stable, "a", 1},
		{"older of 5, 3 of 5", "aaabbaaaaa", Drifting, "a", 1},
		{"older of 5 another", "bbbbbaaaaa", Drifting, "a", 1},
		{"what stands before older does not matter", "bbbbbaaaaaaaaaa", Stable, "a", 1},
		{"multi_actor whatever is older", "aaaaaababa", MultiActor, "a", 0.6},
		{"conflicted whatever is older", "aaaaaabcde", Conflicted, "e", 0.2},
	}
	for _, kind := range []Kind{Categorical, Bool, FreeString, Array, Unregistered} {
		for _, tt := range tests {
			var values []string
			for _, c := range tt.values {
				values = append(values, letter(string(c)))
			}
			got := conclude(t, kind, values...)
			wantConclusion(t, fmt.Sprintf("%s, %s (%s)", kind, tt.name, tt.values), got, tt.state, letter(tt.value), tt.confidence, len(values))
		}
	}
}

func letter(s string) string {
	if s == "n" {
		return "null"
	}
	return `"` + s + `"`
}

func wantConclusion(t *testing.T, name string, got Conclusion, state State, value string, confidence float64, n int) {
	t.Helper()
	if got.State != state || string(got.Value) != value || math.Abs(got.Confidence-confidence) > 1e-12 || got.Count != int64(n) {
		t.Errorf("%s: %s %s %v of %d, want %s %s %v of %d", name, got.State, got.Value, got.Confidence, got.Count, state, value, confidence, n)
	}
	if want := float64(max(0, n-1)); !strings.Contains(name, "@") && got.LastTS != want {
		t.Errorf("%s: last ts %v, want %v", name, got.LastTS, want)
	}
}

// A tie goes to the value seen first: which one shows where a small majority
// makes a tie clear.
func TestTiesGoToTheValueSeenFirst(t *testing.T) {
	thresholds := DefaultThresholds()
	thresholds.CategoricalMajority = 2
	for values, want := range map[string]string{"aabb": "a", "bbaa": "b", "abba": "a", "cabab": "a", "cbaba": "b"} {
		var list []string
		for _, c := range values {
			list = append(list, letter(string(c)))
		}
		c, err := NewMerger(&thresholds).Conclude(Categorical, seriesOf(Categorical, &thresholds, list...))
		if err != nil || string(c.Value) != letter(want) {
			t.Errorf("%s: %s, %v, want %s", values, c.Value, err, want)
		}
	}
}

func TestNumericRules(t *testing.T) {
	const huge, tiny = "1.7976931348623157e308", "5e-324"
	tests := []struct {
		name       string
		values     string
		state      State
		value      float64
		confidence float64
	}{
		{"nothing", "", Unknown, 0, 0},
		{"one", "7", Unknown, 7, 0},
		{"two: the last", "7 9", Unknown, 9, 0},
		{"two, the last a boolean", "7 true", Unknown, 1, 0},
		{"alike", "4 4 4", Stable, 4, 1},
		{"zeros", "0 0 0", Stable, 0, 1},
		{"booleans and null", "true true true", Stable, 1, 1},
		{"false and null are 0", "false null 0", Stable, 0, 1},
		{"mean of 3", "1 2 3", Stable, 0.3*3 + 0.7*(0.3*2+0.7*1), -1},
		{"mean 0 of values that differ", "0 0 0 -7 3", Conflicted, 0.3*3 + 0.7*(0.3*-7), 0.5},
		{"cv above 1", "1 1 1 1 100", Conflicted, 0.3*100 + 0.7, 0.5},
		{"one before, no shift", "10 10 10 10 10 10", Stable, 10, 1},
		{"shift of just 0.30", "10 13 13 13 13 13", Drifting, 13, 1},
		{"shift below 0.30", "10 12.99 12.99 12.99 12.99 12.99", Stable, 12.99, 1},
		{"a shift down", "10 7 7 7 7 7", Drifting, 7, 1},
		{"to another sign", "-10 10 10 10 10 10", Drifting, 10, 1},
		{"from 0 by 0.30", "0 0.3 0.3 0.3 0.3 0.3", Drifting, 0.3, 1},
		{"from 0 by less", "0 0.29 0.29 0.29 0.29 0.29", Stable, 0.29, 1},
		{"the largest doubles", strings.Repeat(huge+" ", 10), Stable, math.MaxFloat64, 1},
		{"the largest, of both signs", "-" + huge + " " + strings.Repeat(huge+" ", 2), Conflicted, math.NaN(), 0.5},
		{"from the least to the largest", "-" + huge + " " + strings.Repeat(huge+" ", 5), Drifting, math.MaxFloat64, 1},
		{"the smallest doubles", strings.Repeat(tiny+" ", 10), Stable, 5e-324, 1},
		{"from the smallest to the largest", tiny + " " + strings.Repeat(huge+" ", 5), Drifting, math.MaxFloat64, 1},
		{"from the largest to the smallest", huge + " " + strings.Repeat("1e-300 ", 5), Drifting, 1e-300, 1},
		{"squares that would vanish", strings.Repeat("1e-200 ", 5), Stable, 1e-200, 1},
		{"squares that would overflow", strings.Repeat("1e200 ", 4) + "1.1e200", Stable, 1.03e200, -1},
	}
	for _, tt := range tests {
		values := strings.Fields(tt.values)
		for i, v := range values { // as the decoder hands them on
			text, _, err := canonical.Append(nil, []byte(v))
			if err != nil {
				t.Fatal(err)
			}
			values[i] = string(text)
		}
		got := conclude(t, Numeric, values...)
		if len(values) == 0 {
			wantConclusion(t, tt.name, got, Unknown, "null", 0, 0)
			continue
		}
		mean, ok := canonical.Number(got.Value)
		if !ok || math.IsNaN(mean) || math.IsInf(mean, 0) || math.IsNaN(got.Confidence) || got.Confidence < 0 || got.Confidence > 1 {
			t.Fatalf("%s: value %s, confidence %v", tt.name, got.Value, got.Confidence)
		}
		if got.State != tt.state || !math.IsNaN(tt.value) && math.Abs(mean-tt.value) > 1e-12*math.Abs(tt.value) || tt.confidence >= 0 && math.Abs(got.Confidence-tt.confidence) > 1e-9 {
			t.Errorf("%s: %s %v %v, want %s %v %v", tt.name, got.State, mean, got.Confidence, tt.state, tt.value, tt.confidence)
		}
	}
}

// The coefficient of variation does not depend on the unit, up to the ends of
// the doubles, and decides exactly at its limit.
func TestVariation(t *testing.T) {
	for _, scale := range []float64{1, 1e-300, 1e300, 1e-150, 1e150, -1} {
		got := variation([]float64{1 * scale, 2 * scale, 3 * scale}, 2*scale)
		if want := math.Sqrt(2.0/3) / 2; math.Abs(got-want) > 1e-12 {
			t.Errorf("scale %v: %v, want %v", scale, got, want)
		}
	}
	if got := variation([]float64{1, -1}, 0); got != zeroMeanCV {
		t.Errorf("around a mean of 0: %v", got)
	}
	if got := variation([]float64{0, 0}, 0); got != 0 {
		t.Errorf("of zeros: %v", got)
	}
	// 0, 2 and the mean 1: exactly 1, which is not above it.
	if got := variation([]float64{0, 2}, 1); got != 1 {
		t.Errorf("of 0 and 2: %v", got)
	}
}

func TestNumericRefusesWhatIsNoNumber(t *testing.T) {
	thresholds := DefaultThresholds()
	for _, v := range []string{`"1"`, `[1]`, `{}`} {
		_, err := NewMerger(&thresholds).Conclude(Numeric, seriesOf(Numeric, &thresholds, "1", v))
		if err == nil || !strings.Contains(err.Error(), v) {
			t.Errorf("%s: error %v", v, err)
		}
	}
}

func TestHashRules(t *testing.T) {
	const day = 86400
	tests := []struct {
		name      string
		values    []string
		state     State
		value     string
		rotations int
	}{
		{"nothing", nil, Unknown, "null", -1},
		{"one is enough", []string{`"a"`}, Stable, `"a"`, 0},
		{"null alone", []string{`null`}, Stable, `null`, 0},
		{"null does not rotate", []string{`"a"`, `null`, `"a"`, `null`}, Stable, `null`, 0},
		{"1 rotation", []string{`"a"`, `"b"`}, Drifting, `"b"`, 1},
		{"2 rotations", []string{`"a"`, `"b"`, `"c"`}, Drifting, `"c"`, 2},
		{"back and forth is 1", []string{`"a"`, `"b"`, `"a"`, `"b"`}, Drifting, `"b"`, 1},
		{"3 rotations", []string{`"a"`, `"b"`, `"c"`, `"d"`}, Conflicted, `"d"`, 3},
		{"case counts", []string{`"a"`, `"A"`}, Drifting, `"A"`, 1},
		{"exactly 24 h is inside", []string{`"a"@1000`, fmt.Sprintf(`"b"@%d`, 1000+day)}, Drifting, `"b"`, 1},
		{"a bit more is outside", []string{`"a"@999.5`, fmt.Sprintf(`"b"@%d`, 1000+day)}, Stable, `"b"`, 0},
		{"a vast ts", []string{`"a"@0`, `"b"@1e300`}, Stable, `"b"`, 0},
		{"vast ts alike", []string{`"a"@1e300`, `"b"@1e300`}, Drifting, `"b"`, 1},
	}
	for _, tt := range tests {
		got := conclude(t, Hash, tt.values...)
		confidence := 0.0
		if tt.rotations >= 0 {
			confidence = 1 / float64(1+tt.rotations)
		}
		wantConclusion(t, tt.name+" @", got, tt.state, tt.value, confidence, len(tt.values))
	}
	// Values beyond what a walk finds and beyond what is kept.
	var values []string
	for i := range 100 {
		values = append(values, fmt.Sprintf(`"%d"`, i))
	}
	wantConclusion(t, "a hundred @", conclude(t, Hash, values...), Conflicted, `"99"`, 0.01, 100)
	wantConclusion(t, "a hundred twice @", conclude(t, Hash, append(values, values...)...), Conflicted, `"99"`, 0.01, 200)
}

func TestMergersOfKindsThatDoNotExist(t *testing.T) {
	thresholds := DefaultThresholds()
	for _, kind := range []Kind{Array + 1, 255} {
		if _, err := NewMerger(&thresholds).Conclude(kind, &Series{}); err == nil {
			t.Errorf("%s has a merger", kind)
		}
	}
}

func TestAdvance(t *testing.T) {
	base := Row{State: Stable, Value: Value(`"a"`), Confidence: 1, Count: 3, LastChangeTS: 5, LastObservationTS: 9, UpdatedAt: 100}
	same := Conclusion{State: Stable, Value: Value(`"a"`), Confidence: 1, Count: 3, LastTS: 9}
	with := func(change func(*Conclusion)) Conclusion { c := same; change(&c); return c }
	tests := []struct {
		name   string
		before *Row
		c      Conclusion
		change Change
		since  float64
	}{
		{"a new row", nil, same, Moved, 9},
		{"a new unknown row", nil, Conclusion{State: Unknown, Value: Null, Count: 1, LastTS: 4}, Moved, 4},
		{"nothing new", &base, same, Same, 5},
		{"another count", &base, with(func(c *Conclusion) { c.Count = 4 }), Updated, 5},
		{"another value", &base, with(func(c *Conclusion) { c.Value = Value(`"b"`) }), Updated, 5},
		{"another confidence", &base, with(func(c *Conclusion) { c.Confidence = 0.8 }), Updated, 5},
		{"a later ts", &base, with(func(c *Conclusion) { c.LastTS = 10 }), Updated, 5},
		{"an earlier ts, before the state began", &base, with(func(c *Conclusion) { c.LastTS = 1 }), Updated, 5},
		{"another state", &base, with(func(c *Conclusion) { c.State = Drifting }), Moved, 9},
		{"another state and an earlier ts", &base, with(func(c *Conclusion) { c.State, c.LastTS = Drifting, 2 }), Moved, 2},
	}
	for _, tt := range tests {
		after, change := Advance(tt.before, &tt.c, 200)
		updated := 200.0
		if tt.change == Same {
			updated = 100
		}
		want := Row{State: tt.c.State, Value: tt.c.Value, Confidence: tt.c.Confidence, Count: tt.c.Count, LastChangeTS: tt.since, LastObservationTS: tt.c.LastTS, UpdatedAt: updated}
		if change != tt.change || fmt.Sprintf("%+v", after) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: %d %+v, want %d %+v", tt.name, change, after, tt.change, want)
		}
	}
}

func TestSweep(t *testing.T) {
	thresholds := DefaultThresholds()
	told := func(names string, total int) Told { return Told{strings.Fields(names), total} }
	tests := []struct {
		now, before     Told
		send, suspected bool
	}{
		{told("", 0), told("", 0), false, false},
		{told("a", 1), told("", 0), false, false},
		{told("a b", 2), told("", 0), true, true},
		{told("a b", 2), told("a b", 2), false, true},
		{told("a b c", 3), told("a b", 2), true, true},
		{told("a b", 2), told("a b c", 3), true, true},
		{told("a c", 2), told("a b", 2), true, true},
		{told("a b", 7), told("a b", 7), false, true}, // there are more than are named
		{told("a b", 8), told("a b", 7), true, true},
		{told("a", 1), told("a b", 2), false, false},
		{told("", 0), told("a b", 2), false, false},
	}
	for _, tt := range tests {
		send, suspected := Sweep(tt.now, tt.before, &thresholds)
		if send != tt.send || suspected != tt.suspected {
			t.Errorf("now %+v, before %+v: %v %v, want %v %v", tt.now, tt.before, send, suspected, tt.send, tt.suspected)
		}
	}
	thresholds.MultiActorPrimitives = 1
	if send, _ := Sweep(told("a", 1), Told{}, &thresholds); !send {
		t.Error("one is enough where the threshold says so")
	}
}
