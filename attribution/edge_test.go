package attribution_test

import (
	"testing"

	"handprint/attribution"
)

func TestListedValuesWithMarkupAreListed(t *testing.T) {
	r, err := attribution.NewRegistry([]attribution.Primitive{{Name: "a.b", Kind: attribution.Categorical, Values: []string{"<15 min", "a&b"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{`"<15 min"`, `"a&b"`} {
		if _, fit := r.Check([]byte("a.b"), attribution.Value(v)); fit != attribution.Fits {
			t.Errorf("%s does not fit its own list", v)
		}
	}
}

// TestTheSmallestNumbersKeepTheirDigits takes values that a product with a
// weight would round away.
func TestTheSmallestNumbersKeepTheirDigits(t *testing.T) {
	thresholds := attribution.DefaultThresholds()
	merger := attribution.NewMerger(&thresholds)
	series := func(values ...string) *attribution.Series {
		s := new(attribution.Series)
		for i, v := range values {
			at := attribution.Arrival{Offset: int64(i)}
			s.Take(attribution.Entry{TS: float64(i), Value: attribution.Value(v), Evidence: uint64(i), Place: at, Latest: at}, attribution.Numeric, &thresholds)
		}
		return s
	}
	const small, larger = "2.5e-323", "3e-323"
	same, err := merger.Conclude(attribution.Numeric, series(small, small, small, small, small, small))
	if err != nil || same.State != attribution.Stable || string(same.Value) != small || same.Confidence != 1 {
		t.Errorf("the same value six times: %v %s %v %v, want stable %s 1", same.State, same.Value, same.Confidence, err, small)
	}
	shifted, err := merger.Conclude(attribution.Numeric, series(small, small, small, small, small, larger, larger, larger, larger, larger))
	if err != nil || shifted.State != attribution.Stable {
		t.Errorf("a shift by a fifth: %v %v, want stable", shifted.State, err)
	}
}
