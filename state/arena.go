package state

import "encoding/binary"

// An arena counts in units, so that 32 bits reach far enough.
const (
	unit       = 8
	chunkBits  = 13
	chunkUnits = 1 << chunkBits
	chunkSize  = chunkUnits * unit
	mostShared = chunkUnits / 4 // units of the largest buffer that shares a chunk
)

// Buffers are made in classes of sizes, so that what one gives back fits another:
// every unit up to 16, from there on in steps of an eighth.
var (
	classUnits []uint32              // how many units a buffer of each class has
	classOf    [mostShared + 1]uint8 // the class of a number of units
)

// bigClass is that of a buffer with a chunk of its own.
const bigClass = 255

func init() {
	for n := uint32(0); n <= mostShared; n = max(n+1, n+n/8) {
		classUnits = append(classUnits, n)
	}
	if last := classUnits[len(classUnits)-1]; last < mostShared {
		classUnits = append(classUnits, mostShared)
	}
	class := 0
	for n := range classOf {
		if uint32(n) > classUnits[class] {
			class++
		}
		classOf[n] = uint8(class)
	}
}

// buffer is bytes in an arena. The zero buffer has none.
//
// It is no slice because a table has hundreds of thousands of them, and what
// has no pointers costs the garbage collector nothing. Its class follows from
// len, and is not in it either.
type buffer struct {
	at  uint32 // the number of the chunk, and below chunkBits how many units into it
	len uint32 // bytes
}

// sizeClass returns the class of buffers of n bytes; 0 is that of those of none.
func sizeClass(n int) uint8 {
	units := (n + unit - 1) / unit
	if units > mostShared {
		return bigClass
	}
	return classOf[units]
}

func (b buffer) class() uint8 { return sizeClass(int(b.len)) }

// arena hands out buffers, and takes them back. They stay where they are.
type arena struct {
	list   [][]byte // the chunks; nil: none at this number
	holes  []uint32 // numbers in list that have none
	shared int      // the chunk that buffers are cut from now, plus 1; 0: none
	next   uint32   // units of it that are handed out
	free   []uint32 // by class: the last buffer that was given back, plus 1; its first bytes name the one before
	size   int      // bytes that are handed out
	total  int      // bytes of all chunks
}

// alloc returns a buffer of n bytes, whose content is undefined.
func (a *arena) alloc(n int) buffer {
	class := sizeClass(n)
	if class == bigClass {
		return a.allocBig(n)
	}
	b := buffer{len: uint32(n)}
	room := classUnits[class]
	a.size += int(room) * unit
	if class == 0 {
		return b
	}
	if a.free == nil {
		a.free = make([]uint32, len(classUnits))
	}
	if head := a.free[class]; head != 0 {
		b.at = head - 1
		a.free[class] = binary.LittleEndian.Uint32(a.units(b.at, room))
		return b
	}
	if a.shared == 0 || a.next+room > chunkUnits {
		a.shared, a.next = int(a.addChunk(newChunk()))+1, 0
	}
	b.at = uint32(a.shared-1)<<chunkBits | a.next
	a.next += room
	return b
}

// take returns a copy of a buffer of another arena. One with a chunk of its own
// brings that along.
func (a *arena) take(from *arena, b buffer) buffer {
	if b.class() == bigClass {
		at := b.at >> chunkBits
		c := from.list[at]
		from.list[at] = nil
		a.size += len(c)
		return buffer{at: a.addChunk(c) << chunkBits, len: b.len}
	}
	n := a.alloc(int(b.len))
	copy(a.bytes(n), from.bytes(b))
	return n
}

func (a *arena) allocBig(n int) buffer {
	size := n
	if size == chunkSize {
		size++ // by its size a chunk is known that is to go back to chunks
	}
	a.size += size
	return buffer{at: a.addChunk(make([]byte, size)) << chunkBits, len: uint32(n)}
}

func (a *arena) addChunk(c []byte) uint32 {
	a.total += len(c)
	if n := len(a.holes); n > 0 {
		at := a.holes[n-1]
		a.holes = a.holes[:n-1]
		a.list[at] = c
		return at
	}
	a.list = append(a.list, c)
	return uint32(len(a.list) - 1)
}

// release takes a buffer back.
func (a *arena) release(b buffer) {
	switch class := b.class(); class {
	case 0:
	case bigClass:
		at := b.at >> chunkBits
		n := len(a.list[at])
		a.size, a.total = a.size-n, a.total-n
		a.list[at] = nil
		a.holes = append(a.holes, at)
	default:
		room := classUnits[class]
		a.size -= int(room) * unit
		binary.LittleEndian.PutUint32(a.units(b.at, room), a.free[class])
		a.free[class] = b.at + 1
	}
}

// fits reports whether b has room for n bytes, and is not much too large.
func (b buffer) fits(n int) bool {
	class := sizeClass(n)
	return class != bigClass && class == b.class()
}

// bytes returns what b holds, never nil. There is no room to append to it.
func (a *arena) bytes(b buffer) []byte {
	return bytesOf(a.list, b)
}

// bytesOf is bytes of the arena whose chunks are given.
func bytesOf(chunks [][]byte, b buffer) []byte {
	if b.len == 0 {
		return []byte{}
	}
	from := b.at % chunkUnits * unit
	return chunks[b.at>>chunkBits][from : from+b.len : from+b.len]
}

func (a *arena) units(at, n uint32) []byte {
	from := at % chunkUnits * unit
	return a.list[at>>chunkBits][from : from+n*unit]
}

// drop gives up a chunk: what was handed out of it must no longer be used.
func (a *arena) drop(at int) {
	if len(a.list[at]) == chunkSize {
		freeChunk(a.list[at])
	}
	a.list[at] = nil
}

// reset takes everything back: what was handed out must no longer be used.
func (a *arena) reset() {
	for at := range a.list {
		a.drop(at)
	}
	clear(a.free)
	*a = arena{list: a.list[:0], holes: a.holes[:0], free: a.free}
}
