package attribution_test

import (
	"encoding/json"
	"math"
	"testing"

	"handprint/attribution"
	"handprint/internal/canonical"
	"handprint/internal/vectors"
)

// TestConformanceMerge runs every line of merge.jsonl against the mergers.
func TestConformanceMerge(t *testing.T) {
	thresholds := attribution.DefaultThresholds()
	merger := attribution.NewMerger(&thresholds)
	for _, line := range vectors.Load(t, "merge.jsonl") {
		var v struct {
			Kind   *string
			Series []struct {
				Value json.RawMessage
				TS    float64
			}
			Expect struct {
				State             string
				CurrentValue      json.RawMessage `json:"current_value"`
				Confidence        float64
				ObservationCount  int64   `json:"observation_count"`
				LastObservationTS float64 `json:"last_observation_ts"`
			}
		}
		if err := json.Unmarshal(line.Text, &v); err != nil {
			t.Fatalf("%s: %v", line.Where(), err)
		}
		kind := attribution.Unregistered
		if v.Kind != nil {
			var err error
			if kind, err = attribution.ParseKind(*v.Kind); err != nil {
				t.Fatalf("%s: %v", line.Where(), err)
			}
		}
		var s attribution.Series
		for i, o := range v.Series {
			value, _, err := canonical.Append(nil, o.Value)
			if err != nil {
				t.Fatalf("%s: value %d: %v", line.Where(), i, err)
			}
			at := attribution.Arrival{Offset: int64(i)}
			s.Take(attribution.Entry{TS: o.TS, Value: value, Evidence: uint64(i), Place: at, Latest: at}, kind, &thresholds)
		}
		got, err := merger.Conclude(kind, &s)
		if err != nil {
			t.Errorf("%s: %v", line.Where(), err)
			continue
		}
		want := v.Expect
		same := got.State.String() == want.State && near(got.Confidence, want.Confidence) && got.Count == want.ObservationCount &&
			near(got.LastTS, want.LastObservationTS) && vectors.SameValue(json.RawMessage(got.Value), want.CurrentValue)
		if !same {
			t.Errorf("%s: got %s %s confidence %v count %d last %v, want %+v %s", line.Where(),
				got.State, got.Value, got.Confidence, got.Count, got.LastTS, want, want.CurrentValue)
		}
	}
}

func near(a, b float64) bool {
	return a == b || math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b))
}
