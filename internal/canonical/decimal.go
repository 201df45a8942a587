package canonical

import (
	"math"
	"math/bits"
)

// A decimal that strconv.ParseFloat takes its slow path for costs some 15 us, however
// short it is: 5e-324, which is below the normal doubles, or twenty digits next to the
// middle between two doubles. A record of 1 KiB can have a hundred of these. So decimals
// are not given to it: where their first digits do not say which double is the nearest,
// they are compared with the middle next to them, exactly.

const (
	shortDigits = 19 // of a mantissa that a uint64 holds
	// decidingDigits are enough: the middle between two doubles has at most 768
	// digits. Of what comes behind them it matters only whether it is zero.
	decidingDigits = 800
)

// nearer returns f or the double after it, whichever is nearer to the number, whose text is
// given; if both are as near, the even one. No other double is nearer.
func (n *number) nearer(f float64, text []byte) float64 {
	var x, middle natural // the number, and the middle between the two
	exp := n.digits(&x, text)
	m, exp2 := math.Float64bits(f)&(1<<mantissaBits-1), int(math.Float64bits(f)>>mantissaBits)
	if exp2 > 0 {
		m |= 1 << mantissaBits
	} else {
		exp2 = 1
	}
	middle.set(2*m + 1)
	if exp < 0 {
		middle.timesPower5(-exp)
	} else {
		x.timesPower5(exp)
	}
	c := compare(&x, exp, &middle, exp2-bias-mantissaBits-1)
	if c > 0 || c == 0 && m&1 == 1 {
		f = math.Float64frombits(math.Float64bits(f) + 1)
	}
	return f
}

// digits sets x to the digits of the number, and returns what the last one stands for: ten
// to the power of exp.
func (n *number) digits(x *natural, text []byte) (exp int) {
	x.set(n.mantissa)
	if n.exact {
		return n.exp
	}
	count := shortDigits
	chunk, power := uint64(0), uint64(1)
	sticky := false
	for _, c := range text[n.rest:] {
		if !isDigit(c) {
			if c == '.' {
				continue
			}
			break
		}
		if count == decidingDigits {
			sticky = sticky || c != '0'
			continue
		}
		count++
		chunk, power = chunk*10+uint64(c-'0'), power*10
		if power == 1e19 {
			x.timesAdd(power, chunk)
			chunk, power = 0, 1
		}
	}
	x.timesAdd(power, chunk)
	if sticky {
		count++
		x.timesAdd(10, 1)
	}
	return n.exp + shortDigits - count
}

// natural is a number of up to 3072 bits: of the 801 digits of a decimal, or of a middle
// between two doubles times the power of five that decimal has a part of. The low word
// is the first.
type natural struct {
	words [48]uint64
	len   int
}

func (n *natural) set(v uint64) {
	n.words[0], n.len = v, 1
}

// timesAdd multiplies by f, which is not 0, and adds a.
func (n *natural) timesAdd(f, a uint64) {
	for i := range n.len {
		hi, lo := bits.Mul64(n.words[i], f)
		lo, carry := bits.Add64(lo, a, 0)
		n.words[i], a = lo, hi+carry
	}
	if a > 0 {
		n.words[n.len] = a
		n.len++
	}
}

// timesPower5 multiplies by five to the power of e.
func (n *natural) timesPower5(e int) {
	const most, power = 27, 7450580596923828125 // 5^27, the greatest in a uint64
	for ; e >= most; e -= most {
		n.timesAdd(power, 0)
	}
	f := uint64(1)
	for ; e > 0; e-- {
		f *= 5
	}
	n.timesAdd(f, 0)
}

func (n *natural) bits() int { return 64*n.len - bits.LeadingZeros64(n.words[n.len-1]) }

// word returns the word i of n times two to the power of shift.
func (n *natural) word(i, shift int) (w uint64) {
	i, shift = i-shift/64, shift%64
	if 0 <= i && i < n.len {
		w = n.words[i] << shift
	}
	if 0 < i && i <= n.len && shift > 0 {
		w |= n.words[i-1] >> (64 - shift)
	}
	return w
}

// compare compares x times two to the power of xExp with y times two to the power of
// yExp: -1, 0 or 1.
func compare(x *natural, xExp int, y *natural, yExp int) int {
	xBits, yBits := x.bits()+xExp, y.bits()+yExp
	switch {
	case xBits < yBits:
		return -1
	case xBits > yBits:
		return 1
	}
	least := min(xExp, yExp)
	for i := (xBits - least - 1) / 64; i >= 0; i-- {
		switch a, b := x.word(i, xExp-least), y.word(i, yExp-least); {
		case a < b:
			return -1
		case a > b:
			return 1
		}
	}
	return 0
}
