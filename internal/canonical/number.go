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

// scanNumber reads the number that starts at src[i], a '-' or a digit. It
// returns the value, the index behind it, and whether its text is canonical
// already. After an error, end is where the text went wrong.
func scanNumber(src []byte, i int) (f float64, end int, canonical bool, err error) {
	start := i
	negative := src[i] == '-'
	if negative {
		i++
	}
	if i == len(src) {
		return 0, i, false, errEnd
	}
	var mantissa uint64
	exp := 0
	exact := true // mantissa holds every digit
	switch c := src[i]; {
	case c == '0':
		i++
	case '1' <= c && c <= '9':
		for ; i < len(src) && isDigit(src[i]); i++ {
			if mantissa < mantissaLimit {
				mantissa = mantissa*10 + uint64(src[i]-'0')
			} else {
				exact = false
			}
		}
	default:
		return 0, i, false, errNumber
	}
	canonical = true
	if i < len(src) && src[i] == '.' {
		i++
		first := i
		for ; i < len(src) && isDigit(src[i]); i++ {
			if mantissa < mantissaLimit {
				mantissa = mantissa*10 + uint64(src[i]-'0')
				exp--
			} else {
				exact = false
			}
		}
		if i == first {
			return 0, i, false, missingDigit(src, i)
		}
		canonical = src[i-1] != '0'
	}
	if i < len(src) && src[i]|0x20 == 'e' {
		i++
		var e int
		e, i, err = scanExponent(src, i)
		if err != nil {
			return 0, i, false, err
		}
		exp += e
		canonical = false
	}
	switch {
	case mantissa == 0 && exact:
		return 0, i, canonical && !negative, nil
	case exact && mantissa <= maxExact && -22 <= exp && exp <= 22:
		f = float64(mantissa)
		if exp < 0 {
			f /= pow10[-exp]
		} else {
			f *= pow10[exp]
		}
		if negative {
			f = -f
		}
		// Up to 15 digits a decimal is the shortest of its double.
		return f, i, canonical && mantissa < 1e15 && (f >= minPlain || -f >= minPlain), nil
	}
	if f, err = parse(src[start:i]); err != nil {
		return 0, start, false, err
	}
	return f, i, false, nil
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
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	case magnitude <= math.MaxFloat64:
		return appendExponent(dst, f)
	}
	return append(dst, "null"...)
}

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

// appendExponent drops from strconv's exponent the plus sign and the leading
// zero that JSON needs neither of.
func appendExponent(dst []byte, f float64) []byte {
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	e := start
	for dst[e] != 'e' {
		e++
	}
	digits := e + 2
	if dst[digits] == '0' {
		digits++
	}
	to := e + 1
	if dst[to] == '-' {
		to++
	}
	n := copy(dst[to:], dst[digits:])
	return dst[:to+n]
}

// Number returns the value of v, the canonical text of a number, and true; or
// 0 and false if v is anything else.
func Number(v []byte) (float64, bool) {
	if len(v) == 0 || v[0] != '-' && !isDigit(v[0]) {
		return 0, false
	}
	f, end, _, err := scanNumber(v, 0)
	if err != nil || end != len(v) {
		return 0, false
	}
	return f, true
}
