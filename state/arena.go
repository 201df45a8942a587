package state

import "sync"

const chunkSize = 256 << 10

// chunks passes the chunks of finished transactions on to the next ones, of
// whichever task.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// arena hands out byte slices that stay where they are until it is reset.
type arena struct {
	free []byte             // the rest of the newest chunk
	held []*[chunkSize]byte // the chunks handed out from
	size int                // bytes handed out
}

// alloc returns n bytes, with room for c (at least n) before they would have
// to move. Their content is undefined.
func (a *arena) alloc(n, c int) []byte {
	a.size += c
	if c > chunkSize/4 {
		return make([]byte, n, c)
	}
	if c > len(a.free) {
		chunk := chunks.Get().(*[chunkSize]byte)
		a.held = append(a.held, chunk)
		a.free = chunk[:]
	}
	b := a.free[:n:c]
	a.free = a.free[c:]
	return b
}

// reset takes everything back: slices handed out must no longer be used.
func (a *arena) reset() {
	if len(a.held) > 0 {
		for i, chunk := range a.held[1:] {
			chunks.Put(chunk)
			a.held[i+1] = nil
		}
		a.held = a.held[:1]
		a.free = a.held[0][:]
	}
	a.size = 0
}
