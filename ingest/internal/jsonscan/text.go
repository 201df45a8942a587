package jsonscan

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns the text of a value that Object handed out, if it is a string.
// The result may share the value's memory.
func Text(value []byte) (text []byte, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return nil, false
	}
	inner := value[1 : len(value)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, true
	}
	return appendUnescaped(make([]byte, 0, len(inner)), inner), true
}

// Texts returns the elements of a value that Object handed out, if it is an
// array of strings and nothing else; an empty array gives none and true.
func Texts(value []byte) (texts []string, ok bool) {
	if len(value) == 0 || value[0] != '[' {
		return nil, false
	}
	s := scanner{data: value, pos: 1}
	s.space()
	for s.next() == '"' {
		start := s.pos
		s.str()
		text, _ := Text(value[start:s.pos])
		texts = append(texts, string(text))
		s.space()
		s.eat(',')
		s.space()
	}
	return texts, s.next() == ']'
}

// Bytes returns what an array of numbers from 0 to 255 says, of a value that
// Object handed out; false if it is anything else, or empty.
func Bytes(value []byte) (text []byte, ok bool) {
	if len(value) < 3 || value[0] != '[' {
		return nil, false
	}
	n, digits := 0, 0
	for _, c := range value[1:] {
		switch {
		case c >= '0' && c <= '9' && digits < 3:
			n, digits = n*10+int(c-'0'), digits+1
		case c == ' ' || c == '\n' || c == '\r' || c == '\t':
		case (c == ',' || c == ']') && digits > 0 && n <= 0xff:
			text = append(text, byte(n))
			n, digits = 0, 0
		default:
			return nil, false
		}
	}
	return text, true
}

// Null reports whether a value that Object handed out is null.
func Null(value []byte) bool { return len(value) > 0 && value[0] == 'n' }

// True reports whether a value that Object handed out is true.
func True(value []byte) bool { return len(value) > 0 && value[0] == 't' }

// appendUnescaped appends the inside of a string that the scanner has passed,
// escapes resolved. Half a surrogate pair becomes the replacement character,
// which is all that UTF-8 can say of it.
func appendUnescaped(dst, inner []byte) []byte {
	for i := 0; i < len(inner); {
		c := inner[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		c = inner[i+1]
		i += 2
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(inner[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(0)
				if len(inner)-i >= 6 && inner[i] == '\\' && inner[i+1] == 'u' {
					low = hex4(inner[i+2:])
				}
				r = utf16.DecodeRune(r, low)
				if r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// hex4 reads the four hex digits at the start of b.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		r <<= 4
		switch {
		case c <= '9':
			r |= rune(c - '0')
		case c <= 'F':
			r |= rune(c - 'A' + 10)
		default:
			r |= rune(c - 'a' + 10)
		}
	}
	return r
}
