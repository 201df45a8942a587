package cowrie

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDefaultsAreValid(t *testing.T) {
	s := DefaultSettings()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if s.SessionTimeout != time.Hour || s.MaxOpenSessions != 100_000 {
		t.Errorf("session timeout %v, most open sessions %d", s.SessionTimeout, s.MaxOpenSessions)
	}
	names := map[string]bool{}
	for _, p := range s.Params() {
		if names[p.Name] || p.Usage == "" || p.Get() != p.Default {
			t.Errorf("setting %s is %s, default %s, %q", p.Name, p.Get(), p.Default, p.Usage)
		}
		names[p.Name] = true
		if err := p.Set(p.Default); err != nil || p.Get() != p.Default {
			t.Errorf("setting %s does not read its default %s: %v", p.Name, p.Default, err)
		}
		if err := p.Set("x"); err == nil {
			t.Errorf("setting %s takes x", p.Name)
		}
	}
}

func TestInvalidSettingsAreNamed(t *testing.T) {
	for name, spoil := range map[string]func(*Settings){
		"session-timeout":                                func(s *Settings) { s.SessionTimeout = 0 },
		"microseconds":                                   func(s *Settings) { s.LatencyInstant = 1 },
		"max-open-sessions":                              func(s *Settings) { s.MaxOpenSessions = 0 },
		"ja4-confidence":                                 func(s *Settings) { s.JA4Confidence = 1.5 },
		"locale-confidence":                              func(s *Settings) { s.LocaleConfidence = math.NaN() },
		"planning-deep":                                  func(s *Settings) { s.PlanningDeep = -1 },
		"latency-typing and latency-deliberate":          func(s *Settings) { s.LatencyTyping = 3 * time.Second },
		"duration-short and duration-medium":             func(s *Settings) { s.DurationShort = time.Hour },
		"vocabulary-narrow and vocabulary-broad":         func(s *Settings) { s.VocabularyNarrow = 10 },
		"consistency-metronomic and consistency-bimodal": func(s *Settings) { s.ConsistencyBimodal = 0 },
	} {
		s := DefaultSettings()
		spoil(&s)
		if _, err := New(s, nil, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestRatioText(t *testing.T) {
	for text, want := range map[string]Ratio{"0": 0, "0.4": 400_000, "1.5": 1_500_000, "1": One, "0.000001": 1, "999999.999999": 999999_999999} {
		got, err := ParseRatio(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("ParseRatio(%s) = %v, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", ".5", "-1", "1e3", "0.1234567", "1000000", "+1", "0x1", "1.+2"} {
		if got, err := ParseRatio(text); err == nil {
			t.Errorf("ParseRatio(%s) = %v, want an error", text, got)
		}
	}
}

// The coefficient of variation by its definition, in rational numbers.
func TestCompareCVAgreesWithTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, 1<<uint(rapid.IntRange(1, 60).Draw(t, "bits"))), 1, 12).Draw(t, "values")
		values[0]++ // not all zero
		threshold := Ratio(rapid.Int64Range(0, 3_000_000).Draw(t, "threshold"))
		k := int64(len(values))
		mean := new(big.Rat)
		for _, v := range values {
			mean.Add(mean, big.NewRat(v, k))
		}
		square := new(big.Rat)
		if k > 1 {
			for _, v := range values {
				d := new(big.Rat).Sub(new(big.Rat).SetInt64(v), mean)
				square.Add(square, d.Mul(d, d))
			}
			square.Quo(square, big.NewRat(k-1, 1))
			square.Quo(square, new(big.Rat).Mul(mean, mean))
		}
		limit := big.NewRat(int64(threshold), int64(One))
		if got, want := compareCV(values, threshold), square.Cmp(limit.Mul(limit, limit)); got != want {
			t.Fatalf("compareCV(%v, %v) = %d, want %d", values, threshold, got, want)
		}
	})
}

func TestMedianIsTheMeanOfTheMiddleTwo(t *testing.T) {
	for _, c := range []struct {
		values []int
		twice  int
	}{{[]int{3}, 6}, {[]int{3, 0}, 3}, {[]int{9, 1, 5}, 10}, {[]int{4, 1, 2, 9}, 6}} {
		if got := twiceMedian(c.values); got != c.twice {
			t.Errorf("twiceMedian(%v) = %d, want %d", c.values, got, c.twice)
		}
	}
}
