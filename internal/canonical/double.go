package canonical

import (
	"math"
	"math/bits"
)

// Decimals become doubles, and doubles the shortest decimals, by the first 128 bits of the
// power of ten between them. strconv does the same, and takes twice as long for the way
// there and back: each time for the text that it needs, and that it makes.

// power is the first 128 bits of a power of ten, rounded up. The first of them is 1.
type power struct{ hi, lo uint64 }

// From minPower on, 19 digits can be a double; up to maxPower, the least double a number
// of 17 digits.
const minPower, maxPower = -342, 324

var powers = func() (all [maxPower - minPower + 1]power) {
	const (
		maxExact = 55  // of the powers of five that 128 bits hold
		room     = 896 // bits: of the greatest power of five, and some more
	)
	var n natural
	n.set(1)
	for e := range maxPower + 1 {
		all[e-minPower] = n.first(e > maxExact)
		n.timesAdd(5, 0)
	}
	n = natural{len: room/64 + 3}
	n.words[n.len-1] = 1
	for e := -1; e >= minPower; e-- {
		n.by5()
		all[e-minPower] = n.first(true)
	}
	return all
}()

// by5 divides by five.
func (n *natural) by5() {
	rest := uint64(0)
	for i := n.len - 1; i >= 0; i-- {
		n.words[i], rest = bits.Div64(rest, n.words[i], 5)
	}
	if n.words[n.len-1] == 0 {
		n.len--
	}
}

// first returns the first 128 bits, rounded up if there are others.
func (n *natural) first(others bool) power {
	shift := 128 + bits.LeadingZeros64(n.words[n.len-1])
	last := n.len + 1 // of the words, shifted
	p := power{n.word(last, shift), n.word(last-1, shift)}
	if others {
		carry := uint64(0)
		p.lo, carry = bits.Add64(p.lo, 1, 0)
		p.hi += carry
	}
	return p
}

// log2Pow10 returns the whole part of the binary logarithm of ten to the power of e.
func log2Pow10(e int) int { return e * 1741647 >> 19 }

const (
	mantissaBits = 52 // of a double, without the first one
	bias         = 1023
)

// double returns the double nearest to mantissa times ten to the power of exp, which may be
// infinite, if 128 bits of the power say which one it is. With more there are further digits
// behind those of the mantissa, which then has shortDigits. If it is not sure, the double is
// f or the next one. The mantissa is not 0.
func double(mantissa uint64, exp int, more bool) (f float64, sure bool) {
	switch {
	case exp < minPower:
		return 0, true
	case exp > maxPower:
		return math.Inf(1), true
	}
	p := &powers[exp-minPower]
	shift := bits.LeadingZeros64(mantissa)
	mantissa <<= shift
	hi, lo := bits.Mul64(mantissa, p.hi)
	less, _ := bits.Mul64(mantissa, p.lo)
	lo, carry := bits.Add64(lo, less, 0)
	hi += carry
	// The number is hi and lo, give or take 1, times a power of two. There is room for one
	// bit more.
	hi, lo = hi>>1, hi<<63|lo>>1
	first := bits.Len64(hi)
	exp2 := first + 1 + log2Pow10(exp) - shift // of the first bit
	drop := first - mantissaBits - 1           // of the bits of hi
	if exp2 < 1-bias {
		drop += 1 - bias - exp2
	}
	if drop > 64 {
		return 0, true // less than a quarter of the least double
	}
	rest, half := hi&(1<<drop-1), uint64(1)<<(drop-1)
	m := hi >> drop
	if exp2 >= 1-bias {
		m += uint64(exp2+bias-1) << mantissaBits
	}
	slack := uint64(0)
	if more {
		slack = 1<<shift + 1
	}
	switch {
	case rest > half || rest == half && lo > 1:
		m++
		sure = true
	case rest+slack < half && lo < math.MaxUint64:
		sure = true
	}
	if m >= math.MaxUint64>>1&^(1<<mantissaBits-1) {
		return math.Inf(1), true
	}
	return math.Float64frombits(m), sure
}

// shortest returns the decimal of the fewest digits whose nearest double is f, and of those
// with as many digits the one next to f: m times ten to the power of exp. f is greater than
// 0. The way is Raffaello Giulietti's (The Schubfach way to render doubles, 2021).
func shortest(f float64) (m uint64, exp int) {
	b := math.Float64bits(f)
	c, q := b&(1<<mantissaBits-1), int(b>>mantissaBits)
	if q > 0 {
		c |= 1 << mantissaBits
		q--
	}
	q -= bias + mantissaBits - 1 // f is c times two to the power of q
	odd := c & 1
	// Four times f, and four times the middles between it and its neighbours.
	below, at, above := 4*c-2, 4*c, 4*c+2
	exp = q * 1262611 >> 22 // log10 of two to the power of q
	if c == 1<<mantissaBits && b>>mantissaBits > 1 {
		below++ // the neighbour is half as far
		exp = (q*1262611 - 524031) >> 22
	}
	p := powers[-exp-minPower]
	shift := q + log2Pow10(-exp) + 1
	below, at, above = p.times(below<<shift), p.times(at<<shift), p.times(above<<shift)
	below += odd // of an even one, the middles belong to it
	above -= odd
	m = at / 4
	if m >= 10 {
		tens := m / 10
		down, up := below <= 40*tens, 40*tens+40 <= above
		if down != up {
			if up {
				tens++
			}
			return tens, exp + 1
		}
	}
	down, up := below <= 4*m, 4*m+4 <= above
	if down == up { // the one that is nearer, of two the even one
		middle := 4*m + 2
		up = at > middle || at == middle && m&1 == 1
	}
	if up {
		m++
	}
	return m, exp
}

// times returns what p times c has above 128 bits; its last bit is 1 if what is below, or
// more than the rounding of p, is not 0.
func (p power) times(c uint64) uint64 {
	less, _ := bits.Mul64(p.lo, c)
	hi, lo := bits.Mul64(p.hi, c)
	lo, carry := bits.Add64(lo, less, 0)
	hi += carry
	if lo > 1 {
		hi |= 1
	}
	return hi
}
