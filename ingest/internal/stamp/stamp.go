// Package stamp reads the times that sensors write, exactly, in whole
// microseconds.
package stamp

import "math/big"

// PerSecond is how many microseconds a second has.
const PerSecond = 1_000_000

// Seconds returns the double nearest to the exact value in seconds.
func Seconds(micros int64) float64 {
	const exact = 1 << 53
	if micros < exact && micros > -exact {
		return float64(micros) / PerSecond
	}
	f, _ := big.NewRat(micros, PerSecond).Float64()
	return f
}

// maxDigits bounds the whole part of a decimal number of seconds.
const maxDigits = 11

// Decimal reads a number of seconds that is written without an exponent, cut
// to whole microseconds. A negative one is none.
func Decimal(text []byte) (micros int64, ok bool) {
	i := 0
	for ; i < len(text) && isDigit(text[i]); i++ {
		micros = micros*10 + int64(text[i]-'0')
	}
	if i == 0 || i > maxDigits {
		return 0, false
	}
	fraction := text[i:]
	if len(fraction) > 0 {
		if fraction = fraction[1:]; text[i] != '.' || len(fraction) == 0 {
			return 0, false
		}
	}
	for j := range 6 {
		micros *= 10
		if j < len(fraction) && isDigit(fraction[j]) {
			micros += int64(fraction[j] - '0')
		}
	}
	for _, c := range fraction {
		if !isDigit(c) {
			return 0, false
		}
	}
	return micros, true
}

// Epoch reads a time since 1970 as a number of seconds, milliseconds,
// microseconds or nanoseconds, cut to whole microseconds. How many digits it has
// before its point says which: 10, 13, 16 or 19, so that times from September
// 2001 on can be read, and no other number is taken for one.
func Epoch(text []byte) (micros int64, ok bool) {
	whole, digits := 0, make([]byte, 0, 32)
	for whole < len(text) && isDigit(text[whole]) {
		whole++
	}
	const point = 10 // digits of the seconds
	if whole < point || whole > 19 || (whole-point)%3 != 0 || text[0] == '0' {
		return 0, false
	}
	digits = append(digits, text[:whole]...)
	if fraction := text[whole:]; len(fraction) > 0 {
		if fraction[0] != '.' || len(fraction) == 1 {
			return 0, false
		}
		for _, c := range fraction[1:] {
			if !isDigit(c) {
				return 0, false
			}
		}
		digits = append(digits, fraction[1:]...)
	}
	for i := range point + 6 {
		micros *= 10
		if i < len(digits) {
			micros += int64(digits[i] - '0')
		}
	}
	return micros, true
}

// Parse reads YYYY-MM-DDThh:mm:ss, a fraction or none, and Z, an
// offset or nothing, which means UTC, cut to whole microseconds. What is
// before 1970 cannot be read. The time is in microseconds since 1970.
func Parse(text []byte) (micros int64, ok bool) {
	const layout = "YYYY-MM-DDThh:mm:ss"
	if len(text) < len(layout) || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' {
		return 0, false
	}
	year := number(text[0:2])*100 + number(text[2:4])
	month, day := number(text[5:7]), number(text[8:10])
	hour, minute, second := number(text[11:13]), number(text[14:16]), number(text[17:19])
	if number(text[0:2]) < 0 || number(text[2:4]) < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return 0, false
	}

	rest := text[len(layout):]
	fraction := 0
	if len(rest) > 0 && rest[0] == '.' {
		digits := 1
		for scale := PerSecond / 10; digits < len(rest) && isDigit(rest[digits]); digits++ {
			fraction += int(rest[digits]-'0') * scale
			scale /= 10
		}
		if digits == 1 {
			return 0, false
		}
		rest = rest[digits:]
	}
	offset, ok := parseOffset(rest)
	if !ok {
		return 0, false
	}

	t := int64(daysSince1970(year, month, day))*86400 + int64(hour*3600+minute*60+second-offset)
	us := t*PerSecond + int64(fraction)
	return us, us >= 0
}

// parseOffset reads what follows the time of day: Z, ±hh:mm, ±hhmm or nothing.
// It returns seconds east of UTC.
func parseOffset(text []byte) (seconds int, ok bool) {
	switch {
	case len(text) == 0, len(text) == 1 && text[0] == 'Z':
		return 0, true
	case text[0] != '+' && text[0] != '-':
		return 0, false
	}
	var hour, minute int
	switch {
	case len(text) == 6 && text[3] == ':':
		hour, minute = number(text[1:3]), number(text[4:6])
	case len(text) == 5:
		hour, minute = number(text[1:3]), number(text[3:5])
	default:
		return 0, false
	}
	if hour < 0 || hour > 23 || minute < 0 || minute > 59 {
		return 0, false
	}
	seconds = hour*3600 + minute*60
	if text[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// number reads two digits; it is -1 if they are none.
func number(two []byte) int {
	if !isDigit(two[0]) || !isDigit(two[1]) {
		return -1
	}
	return int(two[0]-'0')*10 + int(two[1]-'0')
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSince1970 counts days in the Gregorian calendar, negative before 1970.
// It takes March as the first month, so that the leap day ends the year.
func daysSince1970(year, month, day int) int {
	if month <= 2 {
		year--
		month += 12
	}
	const to1970 = 719468 // from the 1st of March of year 0
	return year*365 + floorDiv(year, 4) - floorDiv(year, 100) + floorDiv(year, 400) +
		(153*(month-3)+2)/5 + day - 1 - to1970
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
