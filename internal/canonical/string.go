package canonical

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// plain returns the index, from i on, of the first byte that a string cannot
// hold without a second look: a quote, a backslash, a control character, or
// the start of a longer UTF-8 sequence. It looks at eight bytes at a time: in
// each term the lowest top bit set is that of the first such byte.
func plain(src []byte, i int) int {
	for ; i+8 <= len(src); i += 8 {
		x := binary.LittleEndian.Uint64(src[i:])
		quote := x ^ ones*'"'
		slash := x ^ ones*'\\'
		found := x | (x-ones*0x20)&^x | (quote-ones)&^quote | (slash-ones)&^slash
		if found &= tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(src) && src[i] >= 0x20 && src[i] < utf8.RuneSelf && src[i] != '"' && src[i] != '\\' {
		i++
	}
	return i
}

// scanString checks the string whose opening quote is src[i]. It returns the
// index behind the closing quote and whether the string has escapes. After an
// error, end is where the text went wrong.
func scanString(src []byte, i int) (end int, escaped bool, err error) {
	i++
	for {
		i = plain(src, i)
		if i == len(src) {
			return i, escaped, errEnd
		}
		c := src[i]
		if c == '"' {
			return i + 1, escaped, nil
		}
		switch {
		case c == '\\':
			escaped = true
			n, err := escapeLen(src[i:])
			if err != nil {
				return i, escaped, err
			}
			i += n
		case c < 0x20:
			return i, escaped, errControl
		default:
			r, n := utf8.DecodeRune(src[i:])
			if r == utf8.RuneError && n == 1 {
				return i, escaped, ErrInvalidUTF8
			}
			i += n
		}
	}
}

// escapeLen checks the escape that b starts with and returns its length.
func escapeLen(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, errEnd
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
		for k := 2; k < 6; k++ {
			if k >= len(b) {
				return 0, errEnd
			}
			if hexValue[b[k]] < 0 {
				return 0, errEscape
			}
		}
		return 6, nil
	}
	return 0, errEscape
}

var hexValue = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i := range 10 {
		t['0'+i] = int8(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = int8(10+i), int8(10+i)
	}
	return t
}()

// unescape decodes the escape that raw, a checked string, starts with. A
// surrogate without its other half comes back as itself.
func unescape(raw []byte) (r rune, n int) {
	switch c := raw[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default:
		return rune(c), 2
	}
	r = unit(raw)
	if utf16.IsSurrogate(r) && len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
		if pair := utf16.DecodeRune(r, unit(raw[6:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return r, 6
}

// unit is the UTF-16 code unit of the escape \uXXXX that b starts with.
func unit(b []byte) rune {
	return rune(hexValue[b[2]])<<12 | rune(hexValue[b[3]])<<8 | rune(hexValue[b[4]])<<4 | rune(hexValue[b[5]])
}

// appendRaw appends the canonical text of a checked string with escapes; raw
// is what stands between its quotes.
func appendRaw(dst, raw []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			from := i
			for i < len(raw) && raw[i] != '\\' {
				i++
			}
			dst = append(dst, raw[from:i]...)
			continue
		}
		switch raw[i+1] {
		case 'n', 't', 'r', 'b', 'f', '"', '\\': // as it is written
			dst = append(dst, raw[i], raw[i+1])
			i += 2
			continue
		}
		r, n := unescape(raw[i:])
		i += n
		switch {
		case r < utf8.RuneSelf:
			dst = appendASCII(dst, byte(r))
		case utf16.IsSurrogate(r):
			dst = append(dst, '\\', 'u', 'd', lowerHex[r>>8&15], lowerHex[r>>4&15], lowerHex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

const lowerHex = "0123456789abcdef"

func appendASCII(dst []byte, c byte) []byte {
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c >= 0x20:
		return append(dst, c)
	}
	switch c {
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
}

// AppendString appends s as a canonical JSON string, quotes included. Bytes of
// s that are not valid UTF-8 become U+FFFD, one each.
func AppendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; ; {
		if i = plain([]byte(s), i); i == len(s) { // copies nothing
			break
		}
		c := s[i]
		if c < utf8.RuneSelf {
			dst = append(dst, s[from:i]...)
			dst = appendASCII(dst, c)
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, s[from:i]...)
			dst = utf8.AppendRune(dst, utf8.RuneError)
			from = i + 1
		}
		i += n
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// Unescape appends the text of a string whose raw form, between the quotes,
// Scanner.Text gave. It reports false if the string holds a surrogate without
// its other half, which is no Unicode text: such a one is appended as the
// three bytes that UTF-8 would have for it.
func Unescape(dst, raw []byte) (text []byte, ok bool) {
	ok = true
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			i++
			continue
		}
		r, n := unescape(raw[i:])
		i += n
		if utf16.IsSurrogate(r) {
			ok = false
			dst = append(dst, 0xED, 0x80|byte(r>>6&0x3F), 0x80|byte(r&0x3F))
			continue
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, ok
}
