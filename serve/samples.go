package serve

import (
	"sync"
	"time"
)

// sampleStep is how long a sample stands for, and maxSamples how many are kept: an
// hour's.
const (
	sampleStep = 20 * time.Second
	maxSamples = 180
)

// samples are how far engine and read side were behind over the last hour, for the
// page of operations. What happened while this process was down is not in them.
type samples struct {
	mu     sync.Mutex
	input  []float64 // observations that waited, the most of each step
	behind []float64 // seconds that what is shown was old, the most of each step
	until  time.Time // end of the newest step
}

// add notes what was seen. A step that nothing was seen in is as the one before.
func (s *samples) add(now time.Time, input int64, behind float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.until.IsZero(), now.Sub(s.until) > maxSamples*sampleStep:
		s.input, s.behind, s.until = nil, nil, now.Truncate(sampleStep).Add(sampleStep)
		s.push(float64(input), behind)
	case now.Before(s.until):
		last := len(s.input) - 1
		s.input[last], s.behind[last] = max(s.input[last], float64(input)), max(s.behind[last], behind)
	default:
		for !now.Before(s.until) {
			last := len(s.input) - 1
			s.push(s.input[last], s.behind[last])
			s.until = s.until.Add(sampleStep)
		}
		last := len(s.input) - 1
		s.input[last], s.behind[last] = float64(input), behind
	}
}

func (s *samples) push(input, behind float64) {
	s.input, s.behind = append(s.input, input), append(s.behind, behind)
	if over := len(s.input) - maxSamples; over > 0 {
		s.input, s.behind = s.input[over:], s.behind[over:]
	}
}

// get returns copies, the newest last.
func (s *samples) get() (input, behind []float64, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]float64(nil), s.input...), append([]float64(nil), s.behind...), s.until
}
