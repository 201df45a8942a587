package canonical

import (
	"math"
	"strconv"
)

// Integers up to maxExact are doubles, and so are the powers of ten in pow10:
// one product or quotient of two such numbers is rounded once, hence correctly.
const maxExact = 1 << 53

var pow10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// Plain notation is for magnitudes in [minPlain, maxPlain), and for 0.
const (
	minPlain = 1e-6
	maxPlain = 1e16
)

// mantissaLimit keeps one more decimal digit from overflowing a uint64.
const mantissaLimit = 1e18

// number is a number as its text has it: mantissa times ten to the power of exp. If it has
// more digits, mantissa is the first shortDigits.
type number struct {
	mantissa  uint64
	exp       int
	negative  bool
	exact     bool // mantissa holds every digit
	rest      int  // otherwise, the index of the next digit in the text
	canonical bool // the text is canonical if the number is below maxShort, and within the bounds of its notation
	exponent  bool // which is with an exponent
}

// maxShort is above the numbers of up to 15 digits: such a decimal is the shortest of
// its double, as long as doubles lie closer than the decimals do.
const (
	maxShort       = 1e15
	maxShortDigits = 15
	// A number 0.ddd times ten to the power of a point is written plainly from minPlain to
	// below maxPlain.
	minPlainPoint, maxPlainPoint = -5, 16
)

// scanNumber reads the number that starts at src[i], a '-' or a digit, and returns its
// value and the index behind it. After an error, end is where the text went wrong.
func scanNumber(src []byte, i int) (f float64, end int, err error) {
	var n number
	if end, err = n.read(src, i); err != nil {
		return 0, end, err
	}
	if f, err = n.float(src[i:end]); err != nil {
		return 0, i, err
	}
	return f, end, nil
}

// appendNumber appends the canonical text of the number that starts at src[i], a '-' or a
// digit, and returns the index behind it. After an error, end is where the text went wrong,
// and dst as it was.
func appendNumber(dst, src []byte, i int) (out []byte, end int, err error) {
	var n number
	if end, err = n.read(src, i); err != nil {
		return dst, end, err
	}
	if n.isCanonical() {
		return append(dst, src[i:end]...), end, nil
	}
	if dst, err = n.appendTo(dst, src[i:end]); err != nil {
		return dst, i, err
	}
	return dst, end, nil
}

// isCanonical reports whether the text is canonical, if that is seen at once.
func (n *number) isCanonical() bool {
	if !n.canonical || !n.exact || n.mantissa >= maxShort {
		return false
	}
	if !n.exponent {
		return n.isPlain()
	}
	digits := 1
	for ; digits < maxShortDigits && n.mantissa >= uint64(pow10[digits]); digits++ {
	}
	point := digits + n.exp
	return (point < minPlainPoint || point > maxPlainPoint) && inShortRange(point, n.exp)
}

// appendTo appends the canonical text of a number, whose text is given. After an error dst
// is as it was.
func (n *number) appendTo(dst, text []byte) ([]byte, error) {
	if n.exact && n.mantissa < maxShort {
		if n.exp == leastExp && n.mantissa < manyLeast {
			// None of these is next to the middle between two multiples.
			multiple := uint64(float64(n.mantissa)*(1e-324/least) + 0.5)
			if n.negative && multiple > 0 {
				dst = append(dst, '-')
			}
			return append(dst, leastTexts[multiple]...), nil
		}
		if n.exp >= minShortExp {
			if out, ok := n.appendShort(dst); ok {
				return out, nil
			}
		}
	}
	f, err := n.float(text)
	if err != nil {
		return dst, err
	}
	return AppendFloat(dst, f), nil
}

// isPlain reports whether a number of at most 15 digits and without an exponent is 0, or at
// least minPlain.
func (n *number) isPlain() bool {
	const places = 6 // of minPlain
	return n.exp >= -places || n.mantissa == 0 && n.exp == 0 || n.exp >= -places-15 && float64(n.mantissa) >= pow10[-n.exp-places]
}

// read reads the number that starts at src[i], and returns the index behind it. After an
// error that is where the text went wrong.
func (n *number) read(src []byte, i int) (end int, err error) {
	start := i
	n.negative = src[i] == '-'
	if n.negative {
		i++
	}
	if i == len(src) {
		return i, errEnd
	}
	var mantissa uint64
	exp := 0
	n.exact = true
	digits := i
	switch c := src[i]; {
	case c == '0':
		i++
	case '1' <= c && c <= '9':
		for last := min(len(src), digits+shortDigits-1); i < last && isDigit(src[i]); i++ {
			mantissa = mantissa*10 + uint64(src[i]-'0')
		}
		for ; i < len(src) && isDigit(src[i]); i++ {
			if mantissa < mantissaLimit {
				mantissa = mantissa*10 + uint64(src[i]-'0')
				continue
			}
			if n.exact {
				n.exact, n.rest = false, i-start
			}
			exp++
		}
	default:
		return i, errNumber
	}
	n.canonical = true
	if i < len(src) && src[i] == '.' {
		i++
		first := i
		for last := min(len(src), digits+shortDigits-1); i < last && isDigit(src[i]); i++ {
			mantissa = mantissa*10 + uint64(src[i]-'0')
			exp--
		}
		for ; i < len(src) && isDigit(src[i]); i++ {
			if mantissa < mantissaLimit {
				mantissa = mantissa*10 + uint64(src[i]-'0')
				exp--
			} else if n.exact {
				n.exact, n.rest = false, i-start
			}
		}
		if i == first {
			return i, missingDigit(src, i)
		}
		n.canonical = src[i-1] != '0'
	}
	if i < len(src) && src[i]|0x20 == 'e' {
		// One digit stands before the point, and nothing that could be left out.
		n.canonical = n.canonical && src[i] == 'e' && src[digits] != '0' && (i == digits+1 || src[digits+1] == '.')
		n.exponent = true
		var e int
		from := i + 1
		e, i, err = scanExponent(src, from)
		if err != nil {
			return i, err
		}
		exp += e
		if src[from] == '-' {
			from++
		}
		n.canonical = n.canonical && '1' <= src[from] && src[from] <= '9'
	}
	n.mantissa, n.exp = mantissa, exp
	if mantissa == 0 && n.negative {
		n.canonical = false
	}
	return i, nil
}

// float returns the double that is nearest to the number, whose text is given.
func (n *number) float(text []byte) (f float64, err error) {
	switch {
	case n.mantissa == 0 && n.exact:
		return 0, nil
	case n.exact && n.exp == 0:
		f = float64(n.mantissa) // is rounded once
	case n.exact && n.mantissa <= maxExact && -22 <= n.exp && n.exp < 0:
		f = float64(n.mantissa) / pow10[-n.exp]
	case n.exact && n.mantissa <= maxExact && 0 < n.exp && n.exp <= 22:
		f = float64(n.mantissa) * pow10[n.exp]
	default:
		sure := false
		if f, sure = double(n.mantissa, n.exp, !n.exact); !sure {
			f = n.nearer(f, text)
		}
		if math.IsInf(f, 1) {
			return 0, ErrNotFinite
		}
	}
	if n.negative && f > 0 { // never -0
		f = -f
	}
	return f, nil
}

const (
	// From 10^-307 on, doubles of at most 15 digits are normal ones: they lie closer than
	// these decimals.
	minShortPoint, maxShortPoint = -306, 308
	// Doubles below lie 0.5e-323 from each other, decimals of so many places 1e-323.
	minShortExp = -323
	zeros       = "0000000000000000"

	leastExp  = -324 // of the decimals of few digits next to 0
	manyLeast = 1000
)

// inShortRange reports whether decimals of at most 15 digits are further from each other
// than doubles are, at 0.ddd times ten to the power of point, if the last digit stands for
// ten to the power of exp.
func inShortRange(point, exp int) bool {
	return point <= maxShortPoint && (point >= minShortPoint || exp >= minShortExp)
}

// appendShort appends the canonical text of a number of at most 15 digits without asking
// which double it is, and reports whether it could: see maxShort.
func (n *number) appendShort(dst []byte) (out []byte, ok bool) {
	m, exp := n.mantissa, n.exp
	if m == 0 {
		return append(dst, '0'), true
	}
	for m%10 == 0 {
		m /= 10
		exp++
	}
	var buf [maxDigits]byte
	digits := decimalDigits(&buf, m)
	if !inShortRange(len(digits)+exp, exp) {
		return dst, false
	}
	if n.negative {
		dst = append(dst, '-')
	}
	return appendDigits(dst, digits, exp), true
}

// maxDigits is how many digits canonical text has of a number.
const maxDigits = 17

// decimalDigits returns the digits of m, which is not 0.
func decimalDigits(buf *[maxDigits]byte, m uint64) []byte {
	at := len(buf)
	for ; m >= 10; m /= 100 {
		two := m % 100 * 2
		at -= 2
		buf[at], buf[at+1] = twoDigits[two], twoDigits[two+1]
	}
	if m > 0 {
		at--
		buf[at] = byte('0' + m)
	}
	return buf[at:]
}

const twoDigits = "0001020304050607080910111213141516171819" +
	"2021222324252627282930313233343536373839" +
	"4041424344454647484950515253545556575859" +
	"6061626364656667686970717273747576777879" +
	"8081828384858687888990919293949596979899"

// appendDigits appends the canonical text of a number. Its last digit is not 0, and stands
// for ten to the power of exp.
func appendDigits(dst, digits []byte, exp int) []byte {
	point := len(digits) + exp // the number is 0.digits times ten to the power of it
	switch {
	case point < minPlainPoint || point > maxPlainPoint:
		dst = append(dst, digits[0])
		if len(digits) > 1 {
			dst = append(append(dst, '.'), digits[1:]...)
		}
		return appendSmallInt(append(dst, 'e'), point-1)
	case exp >= 0:
		at := len(dst)
		dst = append(dst, zeros...)[:at+point]
		copy(dst[at:], digits)
		return dst
	case point > 0:
		dst = append(append(dst, digits[:point]...), '.')
		return append(dst, digits[point:]...)
	}
	dst = append(append(dst, "0."...), zeros[:-point]...)
	return append(dst, digits...)
}

// appendSmallInt appends a number of at most three digits.
func appendSmallInt(dst []byte, n int) []byte {
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	if n >= 100 {
		dst = append(dst, byte('0'+n/100))
	}
	if n >= 10 {
		dst = append(dst, byte('0'+n/10%10))
	}
	return append(dst, byte('0'+n%10))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func missingDigit(src []byte, i int) error {
	if i == len(src) {
		return errEnd
	}
	return errNumber
}

// scanExponent reads what follows the letter e. Its value saturates far beyond
// what the longest mantissa can make up for.
func scanExponent(src []byte, i int) (e, end int, err error) {
	negative := false
	if i < len(src) && (src[i] == '+' || src[i] == '-') {
		negative = src[i] == '-'
		i++
	}
	first := i
	for ; i < len(src) && isDigit(src[i]); i++ {
		if e < 1<<40 {
			e = e*10 + int(src[i]-'0')
		}
	}
	if i == first {
		return 0, i, missingDigit(src, i)
	}
	if negative {
		e = -e
	}
	return e, i, nil
}

// AppendFloat appends the canonical text of f, at most 24 bytes. NaN and the
// infinities, which JSON cannot say, are written as null.
func AppendFloat(dst []byte, f float64) []byte {
	magnitude := math.Abs(f)
	switch {
	case magnitude < maxPlain && f == math.Trunc(f):
		return strconv.AppendInt(dst, int64(f), 10)
	case minPlain <= magnitude && magnitude < maxPlain:
		if dst, ok := appendThousandths(dst, f, magnitude); ok {
			return dst
		}
		return appendShortest(dst, f)
	case magnitude < least*float64(len(leastTexts)):
		if f < 0 {
			dst = append(dst, '-')
		}
		return append(dst, leastTexts[math.Float64bits(magnitude)]...)
	case magnitude <= math.MaxFloat64:
		return appendShortest(dst, f)
	}
	return append(dst, "null"...)
}

// least is the double next to 0. The doubles there are its multiples.
const least = math.SmallestNonzeroFloat64

// leastTexts has the texts of the first multiples of least. strconv takes 100 ns for one,
// and decimals of 6 bytes can be one.
var leastTexts = func() (texts [256]string) {
	texts[0] = "0"
	for i := 1; i < len(texts); i++ {
		texts[i] = string(appendShortest(nil, math.Float64frombits(uint64(i))))
	}
	return texts
}()

// appendThousandths appends f if it is a number of thousandths of at most 15
// digits, as times mostly are. No other decimal of at most 15 digits is the same
// double, so that one is the shortest; looking for it takes strconv three times
// as long.
func appendThousandths(dst []byte, f, magnitude float64) ([]byte, bool) {
	scaled := magnitude * 1000
	if scaled >= 1e15 || scaled != math.Trunc(scaled) || scaled/1000 != magnitude {
		return dst, false
	}
	if f < 0 {
		dst = append(dst, '-')
	}
	n := uint64(scaled)
	dst = strconv.AppendUint(dst, n/1000, 10)
	part := n % 1000
	dst = append(dst, '.', byte('0'+part/100), byte('0'+part/10%10), byte('0'+part%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst, true
}

// appendShortest appends f, which is finite and not 0.
func appendShortest(dst []byte, f float64) []byte {
	if f < 0 {
		dst = append(dst, '-')
		f = -f
	}
	m, exp := shortest(f)
	for m%10 == 0 {
		m /= 10
		exp++
	}
	var buf [maxDigits]byte
	return appendDigits(dst, decimalDigits(&buf, m), exp)
}

// Number returns the value of v, the canonical text of a number, and true; or
// 0 and false if v is anything else.
func Number(v []byte) (float64, bool) {
	if len(v) == 0 || v[0] != '-' && !isDigit(v[0]) {
		return 0, false
	}
	f, end, err := scanNumber(v, 0)
	if err != nil || end != len(v) {
		return 0, false
	}
	return f, true
}
