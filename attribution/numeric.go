package attribution

import (
	"fmt"
	"math"

	"handprint/internal/canonical"
)

// zeroMeanCV stands for "infinitely spread" where the mean is zero and the
// values are not.
const zeroMeanCV = 1e9

// numeric is the merger of measured quantities (docs/attribution.md, "Numeric
// merger").
func (m *Merger) numeric(c *Conclusion) error {
	n := len(m.tail)
	if n == 0 {
		return nil
	}
	values := make([]float64, 0, 16)
	for i := range m.tail {
		f, ok := number(m.tail[i].Value)
		if !ok {
			return fmt.Errorf("numeric merger: a value of the series is not a number: %.40s", m.tail[i].Value)
		}
		values = append(values, f)
	}
	if m.count < int64(m.t.MinObservations) {
		c.Value = m.formatted(values[n-1])
		return nil
	}
	up := raise(values)
	at := max(0, n-m.t.Window)
	recent, older := values[at:], values[max(0, at-m.t.Window):at]
	mean := m.ewma(recent)
	cv := variation(recent, mean)
	c.Value = m.formatted(mean / up)
	if cv > m.t.ConflictCV {
		c.State, c.Confidence = Conflicted, 0.5
		return nil
	}
	c.State, c.Confidence = Stable, max(0, 1-min(cv, 1))
	if len(older) > 0 {
		was := m.ewma(older)
		if was == 0 {
			mean /= up // its shift is not relative
		}
		if shift(mean, was) >= m.t.DriftMeanShift {
			c.State = Drifting
		}
	}
	return nil
}

// raise multiplies values that are all so small that a product of them would
// lose digits by a power of two, which loses none, and returns it.
func raise(values []float64) (up float64) {
	for _, v := range values {
		if math.Abs(v) >= 0x1p-900 {
			return 1
		}
	}
	up = 0x1p+600
	for i := range values {
		values[i] *= up
	}
	return up
}

func (m *Merger) formatted(f float64) Value {
	m.text = canonical.AppendFloat(m.text[:0], f)
	return Value(m.text)
}

// ewma is the exponentially weighted mean, seeded by the first value. It lies
// between the least and the largest of them; rounding may not carry it past
// the largest double.
func (m *Merger) ewma(values []float64) float64 {
	s := values[0]
	for _, v := range values[1:] {
		s = m.t.EWMAAlpha*v + (1-m.t.EWMAAlpha)*s
		s = max(-math.MaxFloat64, min(s, math.MaxFloat64))
	}
	return s
}

// variation is the coefficient of variation around mean. Any finite double is
// legal, so everything is divided by the largest before it is squared.
func variation(values []float64, mean float64) float64 {
	if mean == 0 {
		for _, v := range values {
			if v != 0 {
				return zeroMeanCV
			}
		}
		return 0
	}
	scale := 0.0
	for _, v := range values {
		scale = max(scale, math.Abs(v))
	}
	sum := 0.0
	for _, v := range values {
		d := (v - mean) / scale
		if math.IsInf(d, 0) {
			d = v/scale - mean/scale
		}
		sum += d * d
	}
	return math.Sqrt(sum/float64(len(values))) / (math.Abs(mean) / scale)
}

// shift is how far the mean moved, relative to where it was.
func shift(mean, older float64) float64 {
	base := math.Abs(older)
	if base == 0 {
		base = 1
	}
	d := math.Abs(mean - older)
	if math.IsInf(d, 0) {
		return math.Abs(mean/base - older/base)
	}
	return d / base
}

// number reads a canonical value as the numeric merger sees it: booleans count
// as 1 and 0, null as 0.
func number(v Value) (float64, bool) {
	switch v[0] {
	case 't':
		return 1, true
	case 'f', 'n':
		return 0, true
	}
	return canonical.Number(v)
}
