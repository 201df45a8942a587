package state

import (
	"sync"
	"sync/atomic"
)

// chunks are the memory of all arenas and lists of the process. A chunk that one
// gives back is used by another, of any task. The operating system gets nearly all
// unused chunks back.
//
// They are not of Go's heap where that can be avoided: they live long and have
// no pointers, but the collector would let the heap grow by a share of them
// before it looks for garbage.
var chunks struct {
	mu   sync.Mutex
	free [][]byte // with their memory
	bare [][]byte // without
}

// taken is how many bytes of chunks, and of regions that are an index, are in
// use. The collector does not look for lost ones.
var taken atomic.Int64

// keptChunks is how many free chunks keep their memory: what the changes of a
// transaction, which come and go with it, are listed in.
const keptChunks = 2 << 20 / chunkSize

// regionChunks is how many chunks are asked of the operating system at once.
const regionChunks = 16

// newChunk returns a chunk. What is in it is not defined.
func newChunk() []byte {
	taken.Add(chunkSize)
	chunks.mu.Lock()
	defer chunks.mu.Unlock()
	list := &chunks.free
	if len(*list) == 0 {
		list = &chunks.bare
	}
	if len(*list) == 0 {
		region := newRegion(regionChunks * chunkSize)
		for at := 0; at < len(region); at += chunkSize {
			*list = append(*list, region[at:at+chunkSize:at+chunkSize])
		}
	}
	last := len(*list) - 1
	c := (*list)[last]
	(*list)[last] = nil
	*list = (*list)[:last]
	return c
}

// freeChunk takes a chunk back; nothing of it must be used any more.
func freeChunk(c []byte) {
	taken.Add(-chunkSize)
	chunks.mu.Lock()
	keep := len(chunks.free) < keptChunks
	if keep {
		chunks.free = append(chunks.free, c)
	}
	chunks.mu.Unlock()
	if keep {
		return
	}
	forget(c)
	chunks.mu.Lock()
	defer chunks.mu.Unlock()
	chunks.bare = append(chunks.bare, c)
}
