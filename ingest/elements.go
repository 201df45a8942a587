package ingest

// elements finds the parts of a line that is too long to be held: an array of
// objects, or objects one behind the other. Documents as stores and their
// interfaces answer with (`{"hits":{"hits":[...]}}`) are on one line of any
// length; what is of use in them are the objects, and the arrays, that stand in
// an array. The outermost that fit are handed out; of what does not fit, what
// is in it.
//
// It holds one part at most, and looks at brackets and texts only: whether a
// part is right is for whoever reads it.
type elements struct {
	max     int
	held    []byte // from the beginning of the outermost part that is open
	read    int64  // bytes of the line so far
	stack   []bracket
	deeper  int64 // brackets that are open beyond those
	quoted  bool
	escaped bool

	again []byte // what is looked at once more, since the part around it does not fit
	part  []byte // found; it is overwritten when more is looked at
	whole int64  // its length, which is more than is held where it does not fit
}

// bracket is one that is open.
type bracket struct {
	kind  byte
	start int   // in held, of a part; -1: it is none
	at    int64 // in the line
	// over: it is a part that does not fit; found: parts were found in it.
	over, found bool
	excerpt     []byte // its beginning
}

// maxParts bounds how deep parts are looked for. Brackets that stand deeper are
// counted only.
const maxParts = 32

// next looks at more of the line, and returns the rest of it and whether a part
// was found.
func (e *elements) next(text []byte) (rest []byte, found bool) {
	for {
		from, again := text, len(e.again) > 0
		if again {
			from, e.again = e.again, nil
		}
		if len(from) == 0 {
			return nil, false
		}
		n, found := e.look(from)
		if again {
			// What has to be looked at before that, if anything, is there now.
			if e.again == nil {
				e.again = from[n:]
			} else {
				e.again = append(e.again, from[n:]...)
			}
		} else {
			text = from[n:]
		}
		if found {
			return text, true
		}
	}
}

// look steps over text up to the end of a part, or until something has to be
// looked at again. It returns how far it got.
func (e *elements) look(text []byte) (n int, found bool) {
	for i, c := range text {
		holding := len(e.held) > 0
		if holding {
			e.held = append(e.held, c)
		}
		e.read++
		if len(e.held) > e.max {
			// Before c is looked at: it may be the end of what is held.
			e.skip()
			return i + 1, false
		}
		switch {
		case e.escaped:
			e.escaped = false
		case e.quoted:
			switch c {
			case '\\':
				e.escaped = true
			case '"':
				e.quoted = false
			}
		case c == '"':
			e.quoted = true
		case c == '{' || c == '[':
			e.open(c)
		case c == '}' || c == ']':
			if e.close() {
				return i + 1, true
			}
		}
	}
	return len(text), false
}

func (e *elements) open(c byte) {
	depth := len(e.stack)
	if depth == maxParts {
		e.deeper++
		return
	}
	b := bracket{kind: c, start: -1, at: e.read - 1}
	if depth > 0 && e.stack[depth-1].kind == '[' || depth == 0 && c == '{' {
		if len(e.held) == 0 {
			e.held = append(e.held, c)
		}
		b.start = len(e.held) - 1
	}
	e.stack = append(e.stack, b)
}

// close takes a closing bracket and reports whether a part ends with it.
func (e *elements) close() bool {
	last := len(e.stack) - 1
	switch {
	case e.deeper > 0:
		e.deeper--
		return false
	case last < 0:
		return false
	}
	b := e.stack[last]
	e.stack = e.stack[:last]
	switch {
	case b.over && !b.found:
		e.part, e.whole = b.excerpt, e.read-b.at
	case b.start == 0:
		e.part, e.whole = e.held, int64(len(e.held))
		e.held = e.held[:0]
	default:
		return false
	}
	for i := range e.stack {
		e.stack[i].found = true
	}
	return true
}

// skip gives up the outermost part that is held: it does not fit. What is in it
// is looked at again.
func (e *elements) skip() {
	for i := range e.stack {
		b := &e.stack[i]
		if b.start != 0 {
			continue
		}
		b.start, b.over, b.excerpt = -1, true, append([]byte(nil), e.held[:min(len(e.held), excerpt)]...)
		e.stack, e.deeper = e.stack[:i+1], 0
		e.quoted, e.escaped = false, false
		inside := e.held[1:]
		e.read -= int64(len(inside))
		e.again = append([]byte(nil), inside...)
		e.held = e.held[:0]
		return
	}
	e.held = e.held[:0] // no part is open
}

// end takes the end of the line, and returns what was not whole, if nothing was
// found in it.
func (e *elements) end() (found bool) {
	for _, b := range e.stack {
		if b.found {
			continue
		}
		switch {
		case b.over:
			e.part = b.excerpt
		case b.start == 0:
			e.part = e.held[:min(len(e.held), excerpt)]
		default:
			continue
		}
		e.whole = e.read - b.at
		return true
	}
	return false
}
