package attribution

import (
	"bytes"
	"hash/maphash"
)

// slotTable finds the places of a list by the hashes of what is there. It has no
// pointers, and takes some six bytes a member: a map has both, and takes thirty.
type slotTable struct {
	cells []uint32 // place plus 1, at the hash or behind it; 0: free
	count int
}

// find returns the place for which is says so, among those whose hash may be h.
func (t *slotTable) find(h uint64, is func(place uint32) bool) (place uint32, found bool) {
	if t.count == 0 {
		return 0, false
	}
	mask := uint64(len(t.cells) - 1)
	for i := h & mask; t.cells[i] != 0; i = (i + 1) & mask {
		if place = t.cells[i] - 1; is(place) {
			return place, true
		}
	}
	return 0, false
}

// add adds a place that is not there. hash returns the hash of any place.
func (t *slotTable) add(place uint32, hash func(place uint32) uint64) {
	if t.count++; t.count*4 > len(t.cells)*3 {
		t.resize(max(8, 2*len(t.cells)), hash)
	}
	t.put(place, hash)
}

func (t *slotTable) put(place uint32, hash func(place uint32) uint64) {
	mask := uint64(len(t.cells) - 1)
	i := hash(place) & mask
	for t.cells[i] != 0 {
		i = (i + 1) & mask
	}
	t.cells[i] = place + 1
}

func (t *slotTable) resize(n int, hash func(place uint32) uint64) {
	old := t.cells
	t.cells = make([]uint32, n)
	for _, c := range old {
		if c != 0 {
			t.put(c-1, hash)
		}
	}
}

// remove takes away a place that is there.
func (t *slotTable) remove(place uint32, hash func(place uint32) uint64) {
	t.count--
	mask := uint64(len(t.cells) - 1)
	i := hash(place) & mask
	for t.cells[i] != place+1 {
		i = (i + 1) & mask
	}
	// What stands behind it moves up, unless that is before its hash.
	for next := (i + 1) & mask; t.cells[next] != 0; next = (next + 1) & mask {
		if at := hash(t.cells[next]-1) & mask; (next-at)&mask >= (next-i)&mask {
			t.cells[i], i = t.cells[next], next
		}
	}
	t.cells[i] = 0
	if len(t.cells) > 8 && t.count*8 < len(t.cells) {
		t.resize(len(t.cells)/2, hash)
	}
}

// texts is a set of texts, each once, by numbers. A text is there as long as something
// has use for it.
type texts struct {
	list   []countedText
	free   []uint32
	table  slotTable
	length int // bytes, of all
}

type countedText struct {
	text []byte
	hash uint32
	uses uint32
}

var textSeed = maphash.MakeSeed()

func (t *texts) hash(place uint32) uint64 { return uint64(t.list[place].hash) }

// find returns the number of a text.
func (t *texts) find(text []byte) (n uint32, found bool) {
	h := uint32(maphash.Bytes(textSeed, text))
	return t.table.find(uint64(h), func(place uint32) bool {
		c := &t.list[place]
		return c.hash == h && bytes.Equal(c.text, text)
	})
}

// use returns the number of a text, for which there is a use more.
func (t *texts) use(text []byte) uint32 {
	n, found := t.find(text)
	if found {
		t.list[n].uses++
		return n
	}
	c := countedText{text: bytes.Clone(text), hash: uint32(maphash.Bytes(textSeed, text)), uses: 1}
	if last := len(t.free) - 1; last >= 0 {
		n, t.free = t.free[last], t.free[:last]
		t.list[n] = c
	} else {
		n = uint32(len(t.list))
		t.list = append(t.list, c)
	}
	t.table.add(n, t.hash)
	t.length += len(text)
	return n
}

// drop is told that there is a use less for a text.
func (t *texts) drop(n uint32) {
	c := &t.list[n]
	if c.uses--; c.uses > 0 {
		return
	}
	t.table.remove(n, t.hash)
	t.length -= len(c.text)
	c.text = nil
	if t.free = append(t.free, n); t.table.count == 0 {
		t.list, t.free = t.list[:0], t.free[:0]
	}
}

// text returns the text of a number. It stays as it is.
func (t *texts) text(n uint32) []byte { return t.list[n].text }

// compact gives up the room of texts that are gone, if that is most of it. Then the
// numbers change, not their order, and it returns the new ones by the old ones.
func (t *texts) compact() (numbers []uint32) {
	if len(t.list) < 16 || len(t.free) < len(t.list)/2 {
		return nil
	}
	old := t.list
	numbers = make([]uint32, len(old))
	t.list, t.free, t.table = make([]countedText, 0, t.table.count), nil, slotTable{}
	for n := range old {
		if old[n].uses > 0 {
			numbers[n] = uint32(len(t.list))
			t.list = append(t.list, old[n])
			t.table.add(numbers[n], t.hash)
		}
	}
	return numbers
}

// What a text takes besides itself, in bytes, with the room that lists have left.
const textBytes = 56

func (t *texts) size() int { return textBytes*len(t.list) + t.length }
