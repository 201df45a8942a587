package cowrie

import (
	"fmt"
	"strconv"
	"strings"
)

// Ratio is a share or a coefficient of variation as a threshold, in millionths:
// 0.40 is 400000. Integers, so that a value on the threshold falls on the side
// that the rule says.
type Ratio int64

// One is the ratio 1.
const One Ratio = 1_000_000

const ratioDigits = 6

// ParseRatio reads a decimal number that is not negative, such as "0.4" or
// "1.5", with at most 6 digits behind the point and 6 before it.
func ParseRatio(s string) (Ratio, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	if len(whole) == 0 || len(whole) > ratioDigits || len(fraction) > ratioDigits {
		return 0, fmt.Errorf("%q is not a decimal number with at most %d digits on either side of the point", s, ratioDigits)
	}
	n, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", ratioDigits-len(fraction)), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not a decimal number", s)
	}
	return Ratio(n), nil
}

// String returns the ratio as a decimal number, which ParseRatio reads.
func (r Ratio) String() string {
	s := fmt.Sprintf("%d.%06d", int64(r/One), int64(r%One))
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// atMost reports whether the ratio r is at most part/whole. whole is positive;
// both are counts, far below the bound of an int64 in millionths.
func (r Ratio) atMost(part, whole int) bool {
	return int64(part)*int64(One) >= int64(whole)*int64(r)
}
