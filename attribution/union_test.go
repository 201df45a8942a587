package attribution_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
)

// TestUnionConcludesAsItsSeriesDo keeps a union up to date observation by
// observation and compares it with the series it stands for.
func TestUnionConcludesAsItsSeriesDo(t *testing.T) {
	defer attribution.FewAreEnough()()
	refilled, reread, renewed := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.Bool().Draw(t, "few heads")
		thresholds := attribution.DefaultThresholds()
		thresholds.Window, thresholds.CategoricalMajority, thresholds.MinObservations = 2, 2, 2
		thresholds.SeriesEntries, thresholds.HashWindow = 6, 30
		kind := rapid.SampledFrom([]attribution.Kind{attribution.Categorical, attribution.Numeric, attribution.Hash}).Draw(t, "kind")
		merger, other := attribution.NewMerger(&thresholds), attribution.NewMerger(&thresholds)
		series := make([]attribution.Series, rapid.SampledFrom([]int{1, 2, 5, 20, 50}).Draw(t, "attackers"))
		values := rapid.SampledFrom([]int{1, 3, 30}).Draw(t, "values")
		gone := make([]bool, len(series)) // attackers that have left
		build := func() *attribution.Union {
			u := attribution.NewUnion(kind, &thresholds)
			for i := range series {
				if !gone[i] && series[i].Count > 0 {
					u.Add(&series[i], fmt.Append(nil, i))
				}
			}
			return u
		}
		u := build()
		for i := range rapid.IntRange(1, 120).Draw(t, "observations") {
			if rapid.IntRange(0, 9).Draw(t, "leaves") == 0 {
				who := rapid.IntRange(0, len(series)-1).Draw(t, "who leaves")
				switch {
				case gone[who]:
					u.Add(&series[who], fmt.Append(nil, who))
				case series[who].Count > 0:
					u.Leave(&series[who], fmt.Append(nil, who))
				}
				gone[who] = !gone[who] && series[who].Count > 0
			}
			who := rapid.IntRange(0, len(series)-1).Draw(t, "who")
			value := fmt.Sprint(rapid.IntRange(0, values).Draw(t, "value"))
			if kind == attribution.Hash {
				value = `"` + value + `"`
			}
			at := attribution.Arrival{Time: int64(rapid.IntRange(0, 3).Draw(t, "arrival")), Offset: int64(i)}
			e := attribution.Entry{
				TS: float64(rapid.IntRange(0, 60).Draw(t, "ts") + rapid.SampledFrom([]int{0, i}).Draw(t, "later")), Value: attribution.Value(value),
				Evidence: uint64(rapid.IntRange(0, 12).Draw(t, "evidence")), Place: at, Latest: at,
			}
			if gone[who] {
				continue
			}
			touched := []attribution.Value{e.Value}
			for _, old := range series[who].Entries {
				touched = append(touched, old.Value)
			}
			for _, old := range series[who].Gone {
				touched = append(touched, old.Value)
			}
			var was *attribution.Entry
			if h := attribution.HeadOf(&series[who]); h != nil {
				was = &attribution.Entry{TS: h.TS, Place: h.Place}
			}
			taken, left, had := series[who].Take(e, kind, &thresholds)
			for _, v := range touched {
				ts, kept := series[who].Latest(v)
				u.Latest(fmt.Append(nil, who), v, ts, kept)
			}
			u.Taken(fmt.Append(nil, who), e, taken, left, had, was, attribution.HeadOf(&series[who]))
			if few {
				switch rapid.IntRange(0, 8).Draw(t, "what is forgotten") {
				case 0:
					attribution.LoseHeads(u)
				case 1:
					u.Shrink()
				case 2:
					attribution.RememberFew(u, rapid.IntRange(1, 6).Draw(t, "few"))
				}
			}
			if err := attribution.CheckUnion(u); err != nil {
				t.Fatalf("after %d observations: %v", i+1, err)
			}
			if !u.Enough() && rapid.IntRange(0, 3).Draw(t, "concluded later") > 0 {
				source := &someSeries{all: series}
				enough, err := u.Refill(source)
				if err != nil || !enough && !few {
					t.Fatalf("the union cannot be filled up: %v", err)
				}
				if !enough {
					u.ForgetHeads(rapid.Bool().Draw(t, "room"))
					for i := range series {
						if h := attribution.HeadOf(&series[i]); h != nil && !gone[i] {
							u.AddHead(fmt.Append(nil, i), h)
						}
					}
					if enough, err := u.Refill(source); err != nil || !enough {
						t.Fatalf("the union cannot be filled up with new heads: %v", err)
					}
					reread++
					source.read = 0
				}
				if source.read > 4*thresholds.Window {
					t.Fatalf("%d series are read", source.read)
				}
				refilled++
				if !u.KnowsValues() {
					u = build()
					renewed++
				}
			}
			if !u.Enough() {
				continue
			}
			merger.Begin(kind)
			for j := range series {
				if !gone[j] {
					merger.Add(&series[j], j)
				}
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
	if !testing.Short() && (refilled == 0 || reread == 0 || renewed == 0) {
		t.Errorf("%d unions were filled up, with new heads %d, made anew %d: the test tests nothing", refilled, reread, renewed)
	}
}

// someSeries are the series of attackers named 0, 1, ...
type someSeries struct {
	all  []attribution.Series
	read int
}

func (s *someSeries) Entries(attacker []byte) ([]attribution.Entry, error) {
	s.read++
	n, err := strconv.Atoi(string(attacker))
	entries := slices.Clone(s.all[n].Entries)
	for i := range entries { // each stands for the text
		entries[i].Value = append(attribution.Value("ref "), entries[i].Value...)
	}
	return entries, err
}

func (s *someSeries) Text(_ []byte, v attribution.Value) (attribution.Value, error) {
	if !bytes.HasPrefix(v, []byte("ref ")) {
		return nil, fmt.Errorf("%q stands for nothing", v)
	}
	return v[len("ref "):], nil
}
