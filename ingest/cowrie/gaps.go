package cowrie

import (
	"math/big"
	"math/bits"
	"time"
)

// fromGaps sends what the spacing of the lines says (docs/cowrie.md, "Computed
// from the gaps"). Only a paced session says anything: in the others the
// spacing is the network's.
func (r *report) fromGaps(s *session, a *activity) {
	if !s.facts.terminal && !s.facts.telnet && len(a.lines) < r.settings.PacedLines {
		return
	}
	if len(a.lines) > 1 {
		gaps := make([]micros, len(a.lines)-1)
		for i := range gaps {
			gaps[i] = a.lines[i+1].at - a.lines[i].at
		}
		r.planning(gaps, a)
		twice := twiceMedian(gaps)
		r.latency(twice, a)
		if len(gaps) >= r.settings.ConsistencyGaps && twice > 2*microsOf(r.settings.ConsistencyAbove) {
			r.consistency(gaps, a)
		}
	}
	r.escalation(s, a)
}

// byLines is the confidence of a row about gaps.
func (r *report) byLines(full float64, a *activity) float64 {
	return r.confidence(full, len(a.lines), r.settings.FullFrom)
}

func (r *report) latency(twiceMedian micros, a *activity) {
	upTo := func(d time.Duration) bool { return twiceMedian <= 2*microsOf(d) }
	label := "long"
	switch {
	case upTo(r.settings.LatencyInstant):
		label = "instant"
	case upTo(r.settings.LatencyTyping):
		label = "typing_speed"
	case upTo(r.settings.LatencyDeliberate):
		label = "deliberate"
	case upTo(r.settings.LatencyLight):
		label = "llm_lightweight"
	case upTo(r.settings.LatencyHeavy):
		label = "llm_heavyweight"
	}
	r.label("cognitive.inter_command_latency_class", label, r.byLines(r.settings.LatencyConfidence, a))
}

func (r *report) consistency(gaps []micros, a *activity) {
	label := "variable"
	switch {
	case compareCV(gaps, r.settings.ConsistencyMetronomic) < 0:
		label = "metronomic"
	case compareCV(gaps, r.settings.ConsistencyBimodal) >= 0:
		label = "bimodal"
	}
	r.label("cognitive.inter_command_consistency", label, r.byLines(r.settings.ConsistencyConfidence, a))
}

func (r *report) planning(gaps []micros, a *activity) {
	pauses, instant := 0, 0
	for _, g := range gaps {
		if g > microsOf(r.settings.PlanningPause) {
			pauses++
		}
		if g <= microsOf(r.settings.PlanningInstant) {
			instant++
		}
	}
	label := "shallow"
	switch {
	case r.settings.PlanningDeep.atMost(pauses, len(gaps)):
		label = "deep"
	case r.settings.PlanningReactive.atMost(instant, len(gaps)):
		label = "reactive"
	}
	r.label("cognitive.planning_depth", label, r.byLines(r.settings.PlanningConfidence, a))
}

func (r *report) escalation(s *session, a *activity) {
	length := s.latest - s.first
	if length <= 0 || len(a.lines) == 0 {
		return
	}
	windows := int(min(max(length/microsOf(r.settings.EscalationWindow), 1), micros(r.settings.EscalationMaxWindows)))
	counts := make([]int64, windows)
	for _, l := range a.lines {
		// Offset times windows over length, exact: the product may need more
		// than 64 bits. The last window holds the session's end too.
		high, low := bits.Mul64(uint64(l.at-s.first), uint64(windows))
		window, _ := bits.Div64(high, low, uint64(length))
		counts[min(int(window), windows-1)]++
	}
	empty := 0
	for _, n := range counts {
		if n == 0 {
			empty++
		}
	}
	label := "erratic"
	switch {
	case r.settings.EscalationEmpty.atMost(empty, windows) && compareCV(counts, r.settings.EscalationBursty) >= 0:
		label = "bursty"
	case compareCV(counts, r.settings.EscalationSustained) < 0:
		label = "sustained"
	}
	confidence := r.byLines(r.settings.EscalationConfidence, a)
	if windows < r.settings.EscalationFullFrom {
		confidence = r.settings.LowConfidence
	}
	r.label("temporal.escalation_pattern", label, confidence)
}

// compareCV compares the coefficient of variation of values, which are not
// negative and not all zero, with threshold, exactly: -1, 0 or 1. It is the
// sample standard deviation over the mean, and 0 for a single value.
//
// With k values, their sum S and the sum of their squares Q, its square is
// k(kQ - S²) / ((k-1)S²).
func compareCV[T ~int64](values []T, threshold Ratio) int {
	k := big.NewInt(int64(len(values)))
	var sum, squares, v big.Int
	for _, value := range values {
		v.SetInt64(int64(value))
		sum.Add(&sum, &v)
		squares.Add(&squares, v.Mul(&v, &v))
	}
	if len(values) == 1 {
		return -min(int(threshold), 1)
	}
	var left, right big.Int
	sum.Mul(&sum, &sum)
	left.Mul(k, &squares)
	left.Sub(&left, &sum).Mul(&left, k)
	left.Mul(&left, v.SetInt64(int64(One))).Mul(&left, &v)
	right.Sub(k, big.NewInt(1)).Mul(&right, &sum)
	right.Mul(&right, v.SetInt64(int64(threshold))).Mul(&right, &v)
	return left.Cmp(&right)
}
