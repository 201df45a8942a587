package canonical

// Token is the type of a JSON value, told from its first byte.
type Token uint8

// The tokens. NoToken is what cannot start a value, the end of the text
// included.
const (
	NoToken Token = iota
	NullToken
	BoolToken
	NumberToken
	StringToken
	ArrayToken
	ObjectToken
)

var tokenNames = [...]string{"nothing", "null", "a boolean", "a number", "a string", "an array", "an object"}

// String returns the token as it reads in a sentence: "a number".
func (t Token) String() string {
	if int(t) < len(tokenNames) {
		return tokenNames[t]
	}
	return "an unknown token"
}

// Scanner walks JSON text value by value. Each method but Peek, Offset and
// Reset consumes what it names, with white space before it; after an error
// Offset is where the text went wrong, and only Reset makes sense. What it
// returns as bytes is part of the text unless said otherwise. The zero value
// scans empty text. A Scanner keeps buffers from text to text and is for one
// goroutine.
type Scanner struct {
	src   []byte
	pos   int
	first bool   // the next Member or Element is its container's first
	key   []byte // of a member whose key has escapes
}

// Reset makes s scan src from its start.
func (s *Scanner) Reset(src []byte) {
	s.src, s.pos, s.first = src, 0, false
}

// Offset is the number of bytes consumed.
func (s *Scanner) Offset() int { return s.pos }

// space consumes white space and returns the byte behind it, 0 at the end.
// (A zero byte in the text is as wrong as the end, wherever this is asked.)
func (s *Scanner) space() byte {
	src, i := s.src, s.pos
	for i < len(src) {
		c := src[i]
		if c > ' ' {
			s.pos = i
			return c
		}
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			break
		}
		i++
	}
	s.pos = i
	return 0
}

// missing is the error for a text that goes on with something else than what,
// or does not go on.
func (s *Scanner) missing(what error) error {
	if s.pos == len(s.src) {
		return errEnd
	}
	return what
}

// Peek returns the type of the next value and consumes only the white space
// before it.
func (s *Scanner) Peek() Token {
	switch c := s.space(); c {
	case '"':
		return StringToken
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return NumberToken
	case '{':
		return ObjectToken
	case '[':
		return ArrayToken
	case 'n':
		return NullToken
	case 't', 'f':
		return BoolToken
	}
	return NoToken
}

// Text consumes a string and returns what stands between its quotes, checked
// but not decoded: if escaped, the text is what Unescape makes of it.
func (s *Scanner) Text() (raw []byte, escaped bool, err error) {
	if s.space() != '"' {
		return nil, false, s.missing(errValue)
	}
	return s.text()
}

// text is Text where the opening quote is known to be next.
func (s *Scanner) text() (raw []byte, escaped bool, err error) {
	start := s.pos + 1
	end, escaped, err := scanString(s.src, s.pos)
	s.pos = end
	if err != nil {
		return nil, false, err
	}
	return s.src[start : end-1], escaped, nil
}

// Float consumes a number and returns the nearest double, or ErrNotFinite.
func (s *Scanner) Float() (float64, error) {
	if c := s.space(); c != '-' && !isDigit(c) {
		return 0, s.missing(errValue)
	}
	f, end, err := scanNumber(s.src, s.pos)
	s.pos = end
	return f, err
}

// Object consumes the brace that opens an object; Member then gives its keys.
func (s *Scanner) Object() error { return s.open('{') }

// Array consumes the bracket that opens an array; Element then leads through
// its elements.
func (s *Scanner) Array() error { return s.open('[') }

func (s *Scanner) open(brace byte) error {
	if s.space() != brace {
		return s.missing(errValue)
	}
	s.pos++
	s.first = true
	return nil
}

// Member goes to the next member of the object that is open and returns its
// key, decoded; the caller consumes its value. At the object's end it consumes
// the closing brace and reports false. A key with escapes is valid until the
// next Member.
func (s *Scanner) Member() (key []byte, ok bool, err error) {
	if ok, err = s.next('}'); !ok {
		return nil, false, err
	}
	if s.space() != '"' {
		return nil, false, s.missing(errKey)
	}
	raw, escaped, err := s.text()
	if err != nil {
		return nil, false, err
	}
	if s.space() != ':' {
		return nil, false, s.missing(errColon)
	}
	s.pos++
	if escaped {
		s.key, _ = Unescape(s.key[:0], raw)
		raw = s.key
	}
	return raw, true, nil
}

// Element goes to the next element of the array that is open; the caller
// consumes it. At the array's end it consumes the closing bracket and reports
// false.
func (s *Scanner) Element() (ok bool, err error) { return s.next(']') }

// next consumes the comma before the next member or element, or the brace that
// closes the container. A container that is left leaves first false, which is
// right for the one around it.
func (s *Scanner) next(closing byte) (bool, error) {
	c := s.space()
	if c == closing {
		s.pos++
		s.first = false
		return false, nil
	}
	if s.first {
		s.first = false
		return true, nil
	}
	if c != ',' {
		return false, s.missing(errComma)
	}
	s.pos++
	return true, nil
}

// End returns an error unless only white space is left.
func (s *Scanner) End() error {
	s.space()
	if s.pos != len(s.src) {
		return errTrail
	}
	return nil
}

// literal consumes null, true or false.
func (s *Scanner) literal() error {
	word := "null"
	switch s.src[s.pos] {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	}
	rest := s.src[s.pos:]
	if len(rest) >= len(word) && string(rest[:len(word)]) == word {
		s.pos += len(word)
		return nil
	}
	for i := range rest {
		if rest[i] != word[i] {
			s.pos += i
			return errLiteral
		}
	}
	s.pos = len(s.src)
	return errEnd
}

// Skip consumes one value of any type, checked like any other: its numbers
// are finite, its strings valid UTF-8, its nesting at most MaxDepth.
func (s *Scanner) Skip() error {
	var objects [MaxDepth/64 + 1]uint64 // bit d: the container at depth d is an object
	depth := 0
	for {
		// A value starts here.
		opened := false
		switch t := s.Peek(); t {
		case StringToken:
			var err error
			if s.pos, _, err = scanString(s.src, s.pos); err != nil {
				return err
			}
		case NumberToken:
			_, end, err := scanNumber(s.src, s.pos)
			s.pos = end
			if err != nil {
				return err
			}
		case NullToken, BoolToken:
			if err := s.literal(); err != nil {
				return err
			}
		case ObjectToken, ArrayToken:
			if depth == MaxDepth {
				return ErrTooDeep
			}
			depth++
			if objects[depth/64] &^= 1 << (depth % 64); t == ObjectToken {
				objects[depth/64] |= 1 << (depth % 64)
			}
			s.pos++
			opened = true
		default:
			return s.missing(errValue)
		}
		// Behind a value, or at the start of a container: on to the next.
		s.first = opened
		for {
			if depth == 0 {
				return nil
			}
			ok, err := s.step(objects[depth/64]>>(depth%64)&1 == 1)
			if err != nil {
				return err
			}
			if ok {
				break
			}
			depth--
		}
	}
}

// step goes to the next element, or to the value of the next member, of the
// innermost container.
func (s *Scanner) step(object bool) (ok bool, err error) {
	if !object {
		return s.next(']')
	}
	if ok, err = s.next('}'); !ok {
		return false, err
	}
	if s.space() != '"' {
		return false, s.missing(errKey)
	}
	if s.pos, _, err = scanString(s.src, s.pos); err != nil {
		return false, err
	}
	if s.space() != ':' {
		return false, s.missing(errColon)
	}
	s.pos++
	return true, nil
}
