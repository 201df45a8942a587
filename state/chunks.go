package state

import "sync"

// chunks are the memory of all arenas of the process. What an arena gives back
// another takes, of whichever task; the operating system gets none of it back,
// so that the process has as many as were ever in use at once.
//
// They are not of Go's heap where that can be avoided: they live long and have
// no pointers, but the collector would let the heap grow by a share of them
// before it looks for garbage.
var chunks struct {
	mu   sync.Mutex
	free [][]byte
}

// regionChunks is how many chunks are asked of the operating system at once.
const regionChunks = 16

func newChunk() []byte {
	chunks.mu.Lock()
	defer chunks.mu.Unlock()
	if len(chunks.free) == 0 {
		region := newRegion(regionChunks * chunkSize)
		for at := 0; at < len(region); at += chunkSize {
			chunks.free = append(chunks.free, region[at:at+chunkSize:at+chunkSize])
		}
	}
	last := len(chunks.free) - 1
	c := chunks.free[last]
	chunks.free[last] = nil
	chunks.free = chunks.free[:last]
	return c
}

// freeChunk takes a chunk back; nothing of it must be used any more.
func freeChunk(c []byte) {
	chunks.mu.Lock()
	defer chunks.mu.Unlock()
	chunks.free = append(chunks.free, c)
}
