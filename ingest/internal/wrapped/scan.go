package wrapped

// scanner finds where objects begin and end. It looks at brackets and texts
// only: whether an object is right is for whoever reads it.
type scanner struct {
	depth   int // of brackets inside the object that is open
	quoted  bool
	escaped bool
}

// close returns the index behind the end of the object that is open in text,
// or that begins with it; -1 if it does not end there.
func (s *scanner) close(text []byte) int {
	for i, c := range text {
		switch {
		case s.escaped:
			s.escaped = false
		case s.quoted:
			switch c {
			case '\\':
				s.escaped = true
			case '"':
				s.quoted = false
			}
		default:
			switch c {
			case '"':
				s.quoted = true
			case '{', '[':
				s.depth++
			case '}', ']':
				if s.depth--; s.depth <= 0 {
					return i + 1
				}
			}
		}
	}
	return -1
}

// What may stand between objects: zeros are what GELF ends its messages with,
// and what a crash leaves in a file; the record separator is RFC 7464's.
const (
	recordSeparator = 0x1e
	escape          = 0x1b

	blanks = " \t\r\n\x00\x1e"
)

// found is what a piece of text holds.
type found struct {
	objects  [][]byte // that end in it
	open     int      // where an object begins that does not end in it, -1 if none does
	scan     scanner  // of that one
	brackets bool     // it has brackets or commas of an array around objects
	other    bool     // it holds something else too
}

// scan reads text that stands outside of any object.
func scan(text []byte, into [][]byte) found {
	f := found{objects: into[:0], open: -1}
	for i := 0; i < len(text); {
		switch text[i] {
		case ' ', '\t', '\r', '\n', 0, recordSeparator:
			i++
		case escape: // a terminal's colour
			end := i + 1
			for end < len(text) && (text[end] == '[' || text[end] == ';' || text[end] >= '0' && text[end] <= '9') {
				end++
			}
			if end == len(text) || text[end] != 'm' {
				f.other = true
				return f
			}
			i = end + 1
		case '[', ']', ',':
			f.brackets = true
			i++
		case '{':
			var s scanner
			n := s.close(text[i:])
			if n < 0 {
				f.open, f.scan = i, s
				return f
			}
			f.objects = append(f.objects, text[i:i+n])
			i += n
		default:
			f.other = true
			return f
		}
	}
	return f
}
