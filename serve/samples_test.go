package serve

import (
	"slices"
	"testing"
	"time"
)

func TestSamplesAreAnHourByTheirSteps(t *testing.T) {
	t.Parallel()
	var s samples
	at := time.Unix(1000, 0)
	s.add(at, 5, 1)
	s.add(at.Add(2*time.Second), 3, 2) // the same step: the most of it
	s.add(at.Add(3*sampleStep), 9, 0)  // two steps that nothing was seen in
	input, behind, until := s.get()
	if !slices.Equal(input, []float64{5, 5, 5, 9}) || !slices.Equal(behind, []float64{2, 2, 2, 0}) || !until.Equal(time.Unix(1000, 0).Add(4*sampleStep)) {
		t.Errorf("input %v, behind %v, until %v", input, behind, until)
	}
	for i := range 2 * maxSamples {
		s.add(at.Add(time.Duration(4+i)*sampleStep), int64(i), 0)
	}
	if input, _, _ = s.get(); len(input) != maxSamples || input[maxSamples-1] != 2*maxSamples-1 {
		t.Errorf("%d samples, the last %v", len(input), input[len(input)-1])
	}
	s.add(at.Add(1000*time.Hour), 1, 1) // after a long pause it begins anew
	if input, _, _ = s.get(); len(input) != 1 {
		t.Errorf("%d samples after a pause", len(input))
	}
}
