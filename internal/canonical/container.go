package canonical

import "bytes"

// work is what it takes to write arrays and objects: a stack instead of
// recursion, and where the members of the open objects lie in the output. It
// holds nothing from one value to the next.
type work struct {
	open    []frame
	members []member
	sorted  []byte
	moved   []member // scratch of order
}

type frame struct {
	object  bool
	ordered bool // keys so far are strictly ascending
	start   int  // of the container's content in the output
	members int  // index of its first member
}

// container appends an array or object, whose opening brace is next. What is canonical
// already is copied in pieces as long as can be: src[from:i] is not copied yet, and base
// is where the text would begin in dst.
func (w *work) container(s *Scanner, dst []byte) (_ []byte, err error) {
	w.open, w.members = w.open[:0], w.members[:0]
	src, i := s.src, s.pos
	from, base := i, len(dst)-i
	object := false // the innermost container is one
	empty := false  // it has only been opened
value:
	c := byte(0)
	if i < len(src) {
		c = src[i]
	}
	if c <= ' ' {
		dst = append(dst, src[from:i]...)
		s.pos = i
		c, i = s.space(), s.pos
		from, base = i, len(dst)-i
	}
token:
	switch {
	case c == '[' || c == '{':
		if len(w.open) == MaxDepth {
			s.pos = i
			return dst, ErrTooDeep
		}
		i++
		object = c == '{'
		w.open = append(w.open, frame{object, true, base + i, len(w.members)})
		if empty = true; object {
			goto member
		}
		goto value
	case '1' <= c && c <= '9':
		end := i + 1
		for end < len(src) && isDigit(src[end]) {
			end++
		}
		if end-i < 16 && end < len(src) && (src[end] == ',' || src[end] == ']' || src[end] == '}') {
			i = end // an integer that doubles have
			break
		}
		// Behind the digits of a short integer, .0 goes, and e5 becomes five zeros.
		if count := end - i; end+2 < len(src) && (src[end+2] == ',' || src[end+2] == ']' || src[end+2] == '}') {
			switch {
			case count > maxShortDigits:
			case src[end] == '.' && src[end+1] == '0':
				dst = append(dst, src[from:end]...)
				from, base = end+2, len(dst)-end-2
				i = end + 2
				break token
			case src[end]|0x20 == 'e' && isDigit(src[end+1]) && count+int(src[end+1]-'0') <= maxPlainPoint:
				dst = append(append(dst, src[from:end]...), zeros[:src[end+1]-'0']...)
				from, base = end+2, len(dst)-end-2
				i = end + 2
				break token
			}
		}
		fallthrough
	case c == '0', c == '-':
		if c == '-' && i+2 < len(src) && src[i+1] == '0' && (src[i+2] == ',' || src[i+2] == ']' || src[i+2] == '}') {
			dst = append(dst, src[from:i]...) // -0 is 0
			from, base = i+1, len(dst)-i-1
			i += 2
			break
		}
		var n number
		end, err := n.read(src, i)
		if err != nil {
			s.pos = end
			return dst, err
		}
		if !n.isCanonical() {
			dst = append(dst, src[from:i]...)
			if dst, err = n.appendTo(dst, src[i:end]); err != nil {
				s.pos = i
				return dst, err
			}
			from, base = end, len(dst)-end
		}
		i = end
	case c == '"':
		end, escaped, err := scanString(src, i)
		if err != nil {
			s.pos = end
			return dst, err
		}
		if escaped {
			dst = appendRaw(append(dst, src[from:i]...), src[i+1:end-1])
			from, base = end, len(dst)-end
		}
		i = end
	case c == 'n' || c == 't' || c == 'f':
		s.pos = i
		if err := s.literal(); err != nil {
			return dst, err
		}
		i = s.pos
	case c == ']' && empty:
		goto closing
	default:
		s.pos = i
		return dst, s.missing(errValue)
	}
behind: // a value
	if object {
		w.members[len(w.members)-1].end = base + i
	}
	if c = 0; i < len(src) {
		c = src[i]
	}
	if c <= ' ' {
		dst = append(dst, src[from:i]...)
		s.pos = i
		c, i = s.space(), s.pos
		from, base = i, len(dst)-i
	}
	switch {
	case c == ',':
		i++
		if empty = false; object {
			goto member
		}
		goto value
	case object && c == '}' || !object && c == ']':
		goto closing
	}
	s.pos = i
	return dst, s.missing(errComma)
member:
	{
		if c = 0; i < len(src) {
			c = src[i]
		}
		if c <= ' ' {
			dst = append(dst, src[from:i]...)
			s.pos = i
			c, i = s.space(), s.pos
			from, base = i, len(dst)-i
		}
		if c == '}' && empty {
			goto closing
		}
		if c != '"' {
			s.pos = i
			return dst, s.missing(errKey)
		}
		end, escaped, err := scanString(src, i)
		if err != nil {
			s.pos = end
			return dst, err
		}
		m := member{start: base + i}
		if escaped {
			dst = appendRaw(append(dst, src[from:i]...), src[i+1:end-1])
			from, base = end, len(dst)-end
			m.first = firstOf(dst, m.start+1, len(dst)-1)
		} else {
			m.first = firstOf(src, i+1, end-1)
		}
		i = end
		m.key = base + i - 1
		if f := &w.open[len(w.open)-1]; f.ordered && len(w.members) > f.members {
			last := &w.members[len(w.members)-1]
			if last.first >= m.first {
				dst = append(dst, src[from:i]...)
				from, base = i, len(dst)-i
				f.ordered = last.first == m.first && bytes.Compare(last.name(dst), m.name(dst)) < 0
			}
		}
		w.members = append(w.members, m)
		if c = 0; i < len(src) {
			c = src[i]
		}
		if c <= ' ' {
			dst = append(dst, src[from:i]...)
			s.pos = i
			c, i = s.space(), s.pos
			from, base = i, len(dst)-i
		}
		if c != ':' {
			s.pos = i
			return dst, s.missing(errColon)
		}
		i++
		empty = false
		goto value
	}
closing:
	last := len(w.open) - 1
	if f := &w.open[last]; f.object {
		if !f.ordered {
			dst = w.sort(append(dst, src[from:i]...), f)
			from, base = i, len(dst)-i
		}
		w.members = w.members[:f.members]
	}
	w.open = w.open[:last]
	i++
	if last > 0 {
		object = w.open[last-1].object
		goto behind
	}
	s.pos, s.first = i, false
	return append(dst, src[from:i]...), nil
}
