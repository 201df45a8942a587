package canonical

import (
	"math"
	"math/bits"
	"strconv"
)

// A decimal that strconv.ParseFloat takes its slow path for costs some 15 us, however
// short it is: 5e-324, which is below the normal doubles, or twenty digits next to the
// middle between two doubles. A record of 1 KiB can have a hundred of these. So only
// decimals that strconv reads quickly are given to it, and the others are compared with
// the middles next to them, exactly.

const (
	shortDigits = 19 // of a mantissa that a uint64 holds
	// decidingDigits are enough: the middle between two doubles has at most 768
	// digits. Of what comes behind them it matters only whether it is zero.
	decidingDigits = 800

	// The doubles from 10^minNormal to 10^maxNormal are normal ones.
	minNormal, maxNormal = -306, 308
	// The least double is about 0.5e-323, the greatest 0.2e309.
	minPoint, maxPoint = -323, 309
)

// decimal is a number as its text has it, 0.ddd times ten to the power of point. Zeros
// and an exponent cancel out, be they ever so long.
type decimal struct {
	digits   []byte // from the first on that is not zero, with the '.', to the exponent
	mantissa uint64 // the first shortDigits of the digits
	taken    int    // how many these are
	more     bool   // one of the rest is not zero
	point    int
}

// parse is the general way to read a number: text keeps to JSON's grammar.
func parse(text []byte) (float64, error) {
	negative := text[0] == '-'
	if negative {
		text = text[1:]
	}
	d, err := readDecimal(text)
	if err != nil {
		return 0, err
	}
	f := 0.0
	if d.mantissa > 0 && d.point >= minPoint {
		if d.point > maxPoint {
			return 0, ErrNotFinite
		}
		f = d.float()
	}
	switch {
	case math.IsInf(f, 0):
		return 0, ErrNotFinite
	case negative && f > 0: // never -0
		return -f, nil
	}
	return f, nil
}

func readDecimal(text []byte) (d decimal, err error) {
	fraction := false
	for i, c := range text {
		if c == '.' {
			fraction = true
			continue
		}
		if !isDigit(c) {
			if d.digits != nil {
				d.digits = d.digits[:len(d.digits)-(len(text)-i)]
			}
			e, _, err := scanExponent(text, i+1)
			d.point += e
			return d, err
		}
		if d.digits == nil && c != '0' {
			d.digits = text[i:]
		}
		switch {
		case d.digits == nil && fraction:
			d.point--
		case d.digits != nil && !fraction:
			d.point++
		}
		switch {
		case d.digits == nil:
		case d.taken < shortDigits:
			d.mantissa = d.mantissa*10 + uint64(c-'0')
			d.taken++
		default:
			d.more = d.more || c != '0'
		}
	}
	return d, nil
}

// float returns the double that is nearest, of two the even one. It may be infinite.
func (d *decimal) float() float64 {
	// Near the ends of the range a number that is 10^20 times as large, or as small, is
	// a normal one.
	const shift, greatest = 20, 1.7976931348623157e288 // times 10^20: the greatest double
	exp := d.point - d.taken
	if minNormal < d.point && (d.point <= maxNormal || shortFloat(d.mantissa, exp-shift) <= greatest) {
		f := shortFloat(d.mantissa, exp)
		if !d.more || f == shortFloat(d.mantissa+1, exp) {
			return f
		}
		return d.nearest(f)
	}
	if d.point > 0 {
		return d.nearest(min(shortFloat(d.mantissa, exp-shift)*1e20, math.MaxFloat64))
	}
	if f, sure := subnormal(d.mantissa, exp); sure {
		return f
	}
	return d.nearest(shortFloat(d.mantissa, exp+shift) / 1e20)
}

// subnormal returns the double nearest to a number that is less than the normal ones,
// if the first digits say it: mantissa times ten to the power of exp. Subnormal doubles
// are the multiples of the least one.
func subnormal(mantissa uint64, exp int) (f float64, sure bool) {
	const up = 310 // makes all of them normal, and the short ones short
	const (
		scale = 0x1p1074 / 1e310
		wrong = 0x1p-50 // of three roundings, and of the digits that are left out
		most  = 0x1p+48 // of larger ones that is too much
	)
	multiple := shortFloat(mantissa, exp+up) * scale
	whole := math.Floor(multiple)
	rest := multiple - whole - 0.5
	if multiple >= most || math.Abs(rest) <= multiple*wrong {
		return 0, false
	}
	if rest > 0 {
		whole++
	}
	return math.Float64frombits(uint64(whole)), true
}

// shortFloat is the double nearest to mantissa times ten to the power of exp, which
// is a normal one.
func shortFloat(mantissa uint64, exp int) float64 {
	if mantissa <= maxExact && -len(pow10) < exp && exp < len(pow10) {
		if exp < 0 {
			return float64(mantissa) / pow10[-exp]
		}
		return float64(mantissa) * pow10[exp]
	}
	if -shortDigits <= exp && exp <= 0 {
		return quotient(mantissa, -exp)
	}
	b := strconv.AppendUint(make([]byte, 0, 32), mantissa, 10)
	b = strconv.AppendInt(append(b, 'e'), int64(exp), 10)
	f, _ := strconv.ParseFloat(string(b), 64)
	return f
}

// quotient is the double nearest to mantissa divided by ten to the power of exp, which is
// at most shortDigits. Of these strconv takes long for middles between two doubles.
func quotient(mantissa uint64, exp int) float64 {
	by := uint64(1)
	for range exp {
		by *= 10
	}
	up, byUp := bits.LeadingZeros64(mantissa), bits.LeadingZeros64(by)
	mantissa, by = mantissa<<up, by<<byUp
	q, rest := bits.Div64(mantissa>>1, mantissa<<63, by)
	if rest > 0 {
		q |= 1 // q has more bits than a double, and so the rest decides between two
	}
	return math.Ldexp(float64(q), byUp-up-63)
}

// nearest is float, from a double that is at most the one after it.
func (d *decimal) nearest(about float64) float64 {
	var x scaled
	x.setDecimal(d)
	var fives natural // that the middles are to be multiplied by
	fives.set(1)
	if x.exp10 < 0 {
		fives.timesPower5(-x.exp10)
	} else {
		x.n.timesPower5(x.exp10)
	}
	b := math.Float64bits(about)
	for b -= min(b, 1); b < math.Float64bits(math.Inf(1)); b++ {
		// Of doubles that are not negative the bits are in the order of the numbers.
		m, exp2 := b&(1<<52-1), int(b>>52)
		if exp2 > 0 {
			m |= 1 << 52
		} else {
			exp2 = 1
		}
		// The middle between this double and the next one.
		middle := fives
		middle.timesAdd(2*m+1, 0)
		c := compare(&x.n, x.exp10, &middle, exp2-1075-1)
		if c < 0 || c == 0 && m&1 == 0 {
			break
		}
	}
	return math.Float64frombits(b)
}

// scaled is n times ten to the power of exp10.
type scaled struct {
	n     natural
	exp10 int
}

func (x *scaled) setDecimal(d *decimal) {
	if !d.more {
		x.n.set(d.mantissa)
		x.exp10 = d.point - d.taken
		return
	}
	chunk, power, n := uint64(0), uint64(1), 0
	sticky := false
	for _, c := range d.digits {
		switch {
		case c == '.':
		case n == decidingDigits:
			sticky = sticky || c != '0'
		default:
			n++
			chunk, power = chunk*10+uint64(c-'0'), power*10
			if power == 1e19 {
				x.n.timesAdd(power, chunk)
				chunk, power = 0, 1
			}
		}
	}
	x.n.timesAdd(power, chunk)
	if sticky {
		n++
		x.n.timesAdd(10, 1)
	}
	x.exp10 = d.point - n
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
