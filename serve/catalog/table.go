package catalog

import (
	"bytes"
	"math/bits"
	"strings"

	"handprint/attribution"
)

// How many entries a table allocates at once. Growing never copies what is there, which
// at a million identities would stop everybody for a moment. The first chunks are small,
// each twice the one before: there may be as many primitives as an attacker has made up,
// and each has a table of rows and one of values.
const (
	firstChunk  = 4
	chunk       = 1 << 14
	smallChunks = 12                                        // that are smaller than chunk
	inSmall     = uint32(firstChunk * (1<<smallChunks - 1)) // entries of all of them
)

// table is an array that grows by chunks.
type table[T any] struct {
	chunks [][]T
	n      int
}

// place returns where an entry is: in which chunk, and where there.
func place(i uint32) (in, at uint32) {
	if i < inSmall {
		in = uint32(bits.Len32(i/firstChunk+1) - 1)
		return in, i - firstChunk*(1<<in-1)
	}
	i -= inSmall
	return smallChunks + i/chunk, i % chunk
}

func (t *table[T]) at(i uint32) *T {
	in, at := place(i)
	return &t.chunks[in][at]
}

func (t *table[T]) add(v T) uint32 {
	in, at := place(uint32(t.n))
	if at == 0 {
		t.chunks = append(t.chunks, make([]T, 0, firstChunk<<min(in, smallChunks)))
	}
	t.chunks[in] = append(t.chunks[in], v)
	t.n++
	return uint32(t.n - 1)
}

// ids numbers ids in the order in which they come. A UUID takes its 16 bytes;
// any other id is kept as text. An id keeps its number.
type ids struct {
	uuids  table[attribution.UUID]
	byUUID map[attribution.UUID]uint32
	texts  map[uint32]string // of ids that are no UUIDs
	byText map[string]uint32
	bytes  int // of texts
}

func newIDs() ids {
	return ids{byUUID: make(map[attribution.UUID]uint32), texts: make(map[uint32]string), byText: make(map[string]uint32)}
}

func (t *ids) find(id []byte) (uint32, bool) {
	if u, ok := attribution.ParseUUID(id); ok {
		n, ok := t.byUUID[u]
		return n, ok
	}
	n, ok := t.byText[string(id)]
	return n, ok
}

// add returns the number of an id, a new one if it has none.
func (t *ids) add(id []byte) (n uint32, isNew bool) {
	u, isUUID := attribution.ParseUUID(id)
	if isUUID {
		if n, ok := t.byUUID[u]; ok {
			return n, false
		}
		n = t.uuids.add(u)
		t.byUUID[u] = n
		return n, true
	}
	if n, ok := t.byText[string(id)]; ok {
		return n, false
	}
	n = t.uuids.add(attribution.UUID{})
	text := string(id)
	t.texts[n], t.byText[text] = text, n
	t.bytes += len(text)
	return n, true
}

func (t *ids) text(n uint32) string {
	if len(t.texts) > 0 {
		if s, ok := t.texts[n]; ok {
			return s
		}
	}
	return t.uuids.at(n).String()
}

// compare orders ids by their text.
func (t *ids) compare(a, b uint32) int {
	if len(t.texts) == 0 {
		x, y := t.uuids.at(a), t.uuids.at(b)
		return bytes.Compare(x[:], y[:]) // hexadecimal digits have the order of the bytes
	}
	return strings.Compare(t.text(a), t.text(b))
}

// prefixOf is the beginning of ids, made ready for comparing with many.
type prefixOf struct {
	t       *ids
	text    string
	digits  attribution.UUID // of a UUID that begins with the text
	nibbles int              // how many of the digits count
	isUUID  bool             // false: no UUID begins with the text
}

// prefix makes the beginning of ids ready.
func (t *ids) prefix(text string) prefixOf {
	p := prefixOf{t: t, text: text, isUUID: len(text) <= 36}
	for i := 0; i < len(text) && p.isUUID; i++ {
		c := text[i]
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		switch {
		case hyphen:
			p.isUUID = c == '-'
			continue
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			p.isUUID = false
			continue
		}
		p.digits[p.nibbles/2] |= c << (4 * (1 - p.nibbles%2))
		p.nibbles++
	}
	return p
}

// holds reports whether the text of an id begins with the prefix.
func (p *prefixOf) holds(n uint32) bool {
	if len(p.t.texts) > 0 {
		if s, ok := p.t.texts[n]; ok {
			return strings.HasPrefix(s, p.text)
		}
	}
	if !p.isUUID {
		return false
	}
	u, whole := p.t.uuids.at(n), p.nibbles/2
	return bytes.Equal(u[:whole], p.digits[:whole]) && (p.nibbles%2 == 0 || u[whole]>>4 == p.digits[whole]>>4)
}

// Sizes of what a map has for an entry, for the account of the memory.
const (
	idBytes   = 16 + 32 // the UUID, and its entry in byUUID
	textBytes = 2*16 + 2*16
)

func (t *ids) memory() int { return t.uuids.n*idBytes + 2*t.bytes + len(t.texts)*textBytes }
