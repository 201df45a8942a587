package jsonscan

import (
	"errors"
	"unicode/utf8"
)

// ErrNotObject says that the text is not one JSON object and nothing else.
var ErrNotObject = errors.New("not a JSON object")

// Object calls visit for each member of the object that data is: its name,
// escapes resolved, and its value, as it stands in data. Both slices are valid
// during the call only. White space around the object is allowed. It returns
// ErrNotObject if data is anything else, possibly after calls for the members
// before the fault.
func Object(data []byte, visit func(name, value []byte)) error {
	if !utf8.Valid(data) {
		return ErrNotObject
	}
	s := scanner{data: data}
	s.space()
	if !s.object(visit) {
		return ErrNotObject
	}
	s.space()
	if s.pos != len(data) {
		return ErrNotObject
	}
	return nil
}

// Array calls visit for each element of the array that data is, as it stands
// in data. It returns ErrNotObject if data is anything else, possibly after
// calls for the elements before the fault.
func Array(data []byte, visit func(element []byte)) error {
	s := scanner{data: data}
	s.space()
	if !s.eat('[') {
		return ErrNotObject
	}
	s.space()
	for more := !s.eat(']'); more; {
		start := s.pos
		if !s.value() {
			return ErrNotObject
		}
		visit(data[start:s.pos])
		s.space()
		if more = s.eat(','); more {
			s.space()
		} else if !s.eat(']') {
			return ErrNotObject
		}
	}
	s.space()
	if s.pos != len(data) {
		return ErrNotObject
	}
	return nil
}

// Valid reports whether data is one JSON value in UTF-8.
func Valid(data []byte) bool {
	if !utf8.Valid(data) {
		return false
	}
	s := scanner{data: data}
	s.space()
	if !s.value() {
		return false
	}
	s.space()
	return s.pos == len(data)
}

// Blank reports whether data has nothing but JSON's white space in it.
func Blank(data []byte) bool {
	for _, c := range data {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

type scanner struct {
	data []byte
	pos  int
	// open holds the bracket of each array and object that the position is
	// in, below the top one. No recursion: depth costs a byte each.
	open []byte
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// next returns the byte at the position, 0 at the end.
func (s *scanner) next() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// eat steps over c, if that is what stands at the position.
func (s *scanner) eat(c byte) bool {
	if s.next() != c || s.pos == len(s.data) {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) object(visit func(name, value []byte)) bool {
	if !s.eat('{') {
		return false
	}
	s.space()
	if s.eat('}') {
		return true
	}
	var unescaped []byte
	for {
		start := s.pos
		escaped, ok := s.str()
		if !ok {
			return false
		}
		name := s.data[start+1 : s.pos-1]
		if escaped {
			unescaped = appendUnescaped(unescaped[:0], name)
			name = unescaped
		}
		s.space()
		if !s.eat(':') {
			return false
		}
		s.space()
		start = s.pos
		if !s.value() {
			return false
		}
		visit(name, s.data[start:s.pos])
		s.space()
		if s.eat('}') {
			return true
		}
		if !s.eat(',') {
			return false
		}
		s.space()
	}
}

// value steps over one value of any kind.
func (s *scanner) value() bool {
	depth := len(s.open)
	for {
		// At the start of a value, white space before it skipped.
		switch c := s.next(); {
		case c == '"':
			if _, ok := s.str(); !ok {
				return false
			}
		case c == '{':
			s.pos++
			s.space()
			if s.eat('}') {
				break
			}
			s.open = append(s.open, c)
			if !s.name() {
				return false
			}
			continue
		case c == '[':
			s.pos++
			s.space()
			if s.eat(']') {
				break
			}
			s.open = append(s.open, c)
			continue
		case c == 't':
			if !s.word("true") {
				return false
			}
		case c == 'f':
			if !s.word("false") {
				return false
			}
		case c == 'n':
			if !s.word("null") {
				return false
			}
		default:
			if !s.number() {
				return false
			}
		}
		// Behind a value: leave what it ends, up to the next value.
		for {
			if len(s.open) == depth {
				return true
			}
			s.space()
			top := len(s.open) - 1
			if s.eat(',') {
				s.space()
				if s.open[top] == '{' && !s.name() {
					return false
				}
				break
			}
			if !s.eat(s.open[top] + 2) { // '[' + 2 is ']', '{' + 2 is '}'
				return false
			}
			s.open = s.open[:top]
		}
	}
}

// name steps over a member's name, its colon and the space behind it.
func (s *scanner) name() bool {
	if _, ok := s.str(); !ok {
		return false
	}
	s.space()
	if !s.eat(':') {
		return false
	}
	s.space()
	return true
}

func (s *scanner) word(w string) bool {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return false
	}
	s.pos += len(w)
	return true
}

// str steps over a string and says whether it has escapes.
func (s *scanner) str() (escaped, ok bool) {
	if !s.eat('"') {
		return false, false
	}
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		s.pos++
		switch {
		case c == '"':
			return escaped, true
		case c < ' ':
			return escaped, false
		case c == '\\':
			escaped = true
			c = s.next()
			s.pos++
			switch c {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if len(s.data)-s.pos < 4 {
					return escaped, false
				}
				for range 4 {
					if !isHex(s.data[s.pos]) {
						return escaped, false
					}
					s.pos++
				}
			default:
				return escaped, false
			}
		}
	}
	return escaped, false
}

func (s *scanner) number() bool {
	s.eat('-')
	if !s.eat('0') && !s.digits() {
		return false
	}
	if s.eat('.') && !s.digits() {
		return false
	}
	if c := s.next(); c == 'e' || c == 'E' {
		s.pos++
		if !s.eat('+') {
			s.eat('-')
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
