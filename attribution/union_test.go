package attribution_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
)

// TestUnionConcludesAsItsSeriesDo keeps a union up to date observation by
// observation and compares it with the series it stands for.
func TestUnionConcludesAsItsSeriesDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		thresholds := attribution.DefaultThresholds()
		thresholds.Window, thresholds.CategoricalMajority, thresholds.MinObservations = 2, 2, 2
		thresholds.SeriesEntries, thresholds.HashWindow = 6, 30
		kind := rapid.SampledFrom([]attribution.Kind{attribution.Categorical, attribution.Numeric, attribution.Hash}).Draw(t, "kind")
		merger, other := attribution.NewMerger(&thresholds), attribution.NewMerger(&thresholds)
		series := make([]attribution.Series, rapid.IntRange(1, 5).Draw(t, "attackers"))
		build := func() *attribution.Union {
			u := attribution.NewUnion(kind, &thresholds)
			for i := range series {
				u.Add(&series[i], fmt.Sprint(i))
			}
			return u
		}
		u := build()
		for i := range rapid.IntRange(1, 80).Draw(t, "observations") {
			who := rapid.IntRange(0, len(series)-1).Draw(t, "who")
			value := fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "value"))
			if kind == attribution.Hash {
				value = `"` + value + `"`
			}
			at := attribution.Arrival{Time: int64(rapid.IntRange(0, 3).Draw(t, "arrival")), Offset: int64(i)}
			e := attribution.Entry{
				TS: float64(rapid.IntRange(0, 60).Draw(t, "ts")), Value: attribution.Value(value),
				Evidence: uint64(rapid.IntRange(0, 12).Draw(t, "evidence")), Place: at, Latest: at,
			}
			values := []attribution.Value{e.Value}
			for _, old := range series[who].Entries {
				values = append(values, old.Value)
			}
			for _, old := range series[who].Gone {
				values = append(values, old.Value)
			}
			taken, left, had := series[who].Take(e, kind, &thresholds)
			for _, v := range values {
				ts, kept := series[who].Latest(v)
				u.Latest(fmt.Sprint(who), v, ts, kept)
			}
			if !u.Taken(fmt.Sprint(who), e, taken, left, had) {
				u = build()
			}
			merger.Begin(kind)
			for j := range series {
				merger.Add(&series[j], j)
			}
			want, err := merger.End()
			if err != nil {
				t.Fatal(err)
			}
			want.Value = slices.Clone(want.Value)
			got, err := other.Union(u)
			if err != nil {
				t.Fatal(err)
			}
			if got.Source >= 0 && u.Attacker(got.Source) != fmt.Sprint(want.Source) {
				t.Fatalf("the value is from %s, want %d", u.Attacker(got.Source), want.Source)
			}
			got.Source = want.Source
			if got.State != want.State || string(got.Value) != string(want.Value) || got.Confidence != want.Confidence || got.Count != want.Count || got.LastTS != want.LastTS {
				t.Fatalf("after %d observations the union says %+v %s, its series %+v %s", i+1, got, got.Value, want, want.Value)
			}
		}
	})
}
