package canonical

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
)

// Append appends to dst the canonical text of the JSON value that src starts
// with, after white space if there is any, and returns the rest of src behind
// the value. Once its pooled buffers have grown it allocates nothing but room in
// dst.
//
// After an error out is dst as it was, and rest starts where src went wrong.
// The error is ErrNotFinite, ErrInvalidUTF8, ErrTooDeep, or one that tells what
// is wrong with the grammar.
func Append(dst, src []byte) (out, rest []byte, err error) {
	w := works.Get().(*work)
	s := Scanner{src: src, work: w}
	out, err = s.Value(dst)
	works.Put(w)
	return out, src[s.pos:], err
}

var works = sync.Pool{New: func() any { return new(work) }}

// Value consumes one value of any type and appends its canonical text to dst.
// After an error it returns dst as it was.
func (s *Scanner) Value(dst []byte) ([]byte, error) {
	switch s.Peek() {
	case ObjectToken, ArrayToken:
		if s.work == nil {
			s.work = new(work)
		}
		out, err := s.work.container(s, dst)
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
	f, end, canonical, err := scanNumber(s.src, start)
	s.pos = end
	switch {
	case err != nil:
		return dst, err
	case canonical:
		return append(dst, s.src[start:end]...), nil
	}
	return AppendFloat(dst, f), nil
}

// work is what it takes to write arrays and objects: a stack instead of
// recursion, and where the members of the open objects lie in the output. It
// holds nothing from one value to the next.
type work struct {
	open    []frame
	members []member
	sorted  []byte
}

type frame struct {
	object  bool
	ordered bool // keys so far are strictly ascending
	start   int  // of the container's content in the output
	members int  // index of its first member
}

// member is `"key":value` in the output, from start to end. key is where the
// closing quote of the key stands. first is the beginning of the key, while members are
// sorted: as a rule it decides.
type member struct {
	start, key, end int
	first           uint64
}

func (m member) name(out []byte) []byte { return out[m.start+1 : m.key] }

// container appends an array or object, whose opening brace is next.
func (w *work) container(s *Scanner, dst []byte) ([]byte, error) {
	w.open, w.members = w.open[:0], w.members[:0]
	var err error
	for {
		// A value starts here.
		opened := false
		switch t := s.Peek(); t {
		case NoToken:
			return dst, s.missing(errValue)
		case ObjectToken, ArrayToken:
			if len(w.open) == MaxDepth {
				return dst, ErrTooDeep
			}
			dst = append(dst, s.src[s.pos])
			s.pos++
			w.open = append(w.open, frame{t == ObjectToken, true, len(dst), len(w.members)})
			opened = true
		default:
			if dst, err = s.scalar(dst); err != nil {
				return dst, err
			}
		}
		// Behind a value, or at the start of a container: on to the next.
		s.first = opened
		for {
			if !opened && w.endValue(dst) {
				return dst, nil
			}
			var ok bool
			if dst, ok, err = w.next(s, dst, opened); err != nil {
				return dst, err
			}
			if ok {
				break
			}
			opened = false
		}
	}
}

// endValue notes that a value ends where dst does, and reports whether it was
// the outermost.
func (w *work) endValue(dst []byte) bool {
	if len(w.open) == 0 {
		return true
	}
	if w.open[len(w.open)-1].object {
		w.members[len(w.members)-1].end = len(dst)
	}
	return false
}

// next goes to the next element or to the value of the next member of the
// innermost container; at its end it closes it and reports false.
func (w *work) next(s *Scanner, dst []byte, first bool) ([]byte, bool, error) {
	f := &w.open[len(w.open)-1]
	if !f.object {
		ok, err := s.next(']')
		switch {
		case err != nil:
			return dst, false, err
		case !ok:
			w.open = w.open[:len(w.open)-1]
			return append(dst, ']'), false, nil
		case !first:
			dst = append(dst, ',')
		}
		return dst, true, nil
	}
	ok, err := s.next('}')
	switch {
	case err != nil:
		return dst, false, err
	case !ok:
		if !f.ordered {
			dst = w.sort(dst, f)
		}
		w.members = w.members[:f.members]
		w.open = w.open[:len(w.open)-1]
		return append(dst, '}'), false, nil
	case !first:
		dst = append(dst, ',')
	}
	if s.space() != '"' {
		return dst, false, s.missing(errKey)
	}
	m := member{start: len(dst)}
	if dst, err = s.scalar(dst); err != nil {
		return dst, false, err
	}
	m.key = len(dst) - 1
	if s.space() != ':' {
		return dst, false, s.missing(errColon)
	}
	s.pos++
	if f.ordered && len(w.members) > f.members {
		last := w.members[len(w.members)-1]
		f.ordered = bytes.Compare(last.name(dst), m.name(dst)) < 0
	}
	w.members = append(w.members, m)
	return append(dst, ':'), true, nil
}

// sort puts the members of f, the end of dst, into the order of their keys and
// keeps the last member of each key.
func (w *work) sort(dst []byte, f *frame) []byte {
	members := w.members[f.members:]
	for i := range members {
		// No key has a zero byte, so a shorter one is less.
		var first [8]byte
		copy(first[:], members[i].name(dst))
		members[i].first = binary.BigEndian.Uint64(first[:])
	}
	slices.SortFunc(members, func(a, b member) int {
		if a.first != b.first {
			return cmp.Compare(a.first, b.first)
		}
		if c := bytes.Compare(a.name(dst), b.name(dst)); c != 0 {
			return c
		}
		return a.start - b.start
	})
	w.sorted = w.sorted[:0]
	for i, m := range members {
		if i+1 < len(members) && bytes.Equal(m.name(dst), members[i+1].name(dst)) {
			continue
		}
		if len(w.sorted) > 0 {
			w.sorted = append(w.sorted, ',')
		}
		w.sorted = append(w.sorted, dst[m.start:m.end]...)
	}
	return append(dst[:f.start], w.sorted...)
}
