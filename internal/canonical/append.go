package canonical

import "sync"

// Append appends to dst the canonical text of the JSON value that src starts
// with, after white space if there is any, and returns the rest of src behind
// the value. Once its pooled buffers have grown it allocates nothing but room in
// dst.
//
// After an error out is dst as it was, and rest starts where src went wrong.
// The error is ErrNotFinite, ErrInvalidUTF8, ErrTooDeep, or one that tells what
// is wrong with the grammar.
func Append(dst, src []byte) (out, rest []byte, err error) {
	s := Scanner{src: src}
	out, err = s.Value(dst)
	return out, src[s.pos:], err
}

// works are shared by all scanners. After a value of very many members one takes some 3 MB,
// which is garbage when nobody has needed it for a while.
var works = sync.Pool{New: func() any { return new(work) }}

// Value consumes one value of any type and appends its canonical text to dst.
// After an error it returns dst as it was.
func (s *Scanner) Value(dst []byte) ([]byte, error) {
	switch s.Peek() {
	case ObjectToken, ArrayToken:
		w := works.Get().(*work)
		out, err := w.container(s, dst)
		works.Put(w)
		if err != nil {
			return dst, err
		}
		return out, nil
	case NoToken:
		return dst, s.missing(errValue)
	}
	return s.scalar(dst)
}

// scalar appends a value that is neither an array nor an object. The caller
// has seen its first byte.
func (s *Scanner) scalar(dst []byte) ([]byte, error) {
	start := s.pos
	switch s.src[start] {
	case '"':
		end, escaped, err := scanString(s.src, start)
		s.pos = end
		switch {
		case err != nil:
			return dst, err
		case escaped:
			return appendRaw(dst, s.src[start+1:end-1]), nil
		}
		return append(dst, s.src[start:end]...), nil
	case 'n', 't', 'f':
		if err := s.literal(); err != nil {
			return dst, err
		}
		return append(dst, s.src[start:s.pos]...), nil
	}
	dst, end, err := appendNumber(dst, s.src, start)
	s.pos = end
	return dst, err
}
