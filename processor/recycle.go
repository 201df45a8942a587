package processor

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fetchPools are the memory of what the workers' clients have fetched: the texts of
// batches, decompressed, and the records that are parts of them. What a turn has
// processed is used again for a later fetch, of any worker. It would else be most of the
// garbage of a worker that is behind.
//
// It bounds what nobody uses, not what there is: of records that go back, or that
// an ended session has, nothing is used again, and the collector gets them.
type fetchPools struct {
	texts   freeList[byte]
	records freeList[kgo.Record]
}

const (
	// freeOfFetch is how many bytes are free at most, of each kind, for a byte of a worker's
	// compressed fetch: two fetches that decompress to four times as much.
	freeOfFetch = 8
	leastFree   = 1 << 20 // a batch may be larger than the fetch that was asked for
	maxFree     = 16 << 20
)

func newFetchPools(fetchBytes, workers int) *fetchPools {
	maxBytes := workers * max(leastFree, min(freeOfFetch*fetchBytes, maxFree))
	return &fetchPools{texts: freeList[byte]{maxBytes: maxBytes}, records: freeList[kgo.Record]{maxBytes: maxBytes}}
}

// GetDecompressBytes implements kgo.PoolDecompressBytes.
func (p *fetchPools) GetDecompressBytes(compressed []byte, codec kgo.CompressionCodecType) []byte {
	size := uint64(0) // not known
	if codec == kgo.CodecSnappy {
		size = snappySize(compressed)
	}
	const maxBelieved = 4 << 20
	return p.texts.get(int(min(size, maxBelieved)))
}

// snappySize is what the blocks of snappy say that they decompress to: there is
// one, or several in the frame of the Java clients.
func snappySize(b []byte) (size uint64) {
	const header = 16 // of the frame: its name, and two versions
	if len(b) < header || !bytes.HasPrefix(b, []byte("\x82SNAPPY\x00")) {
		size, _ = binary.Uvarint(b)
		return size
	}
	for b = b[header:]; len(b) > 4; {
		n := uint64(binary.BigEndian.Uint32(b))
		if b = b[4:]; n > uint64(len(b)) {
			break
		}
		block, _ := binary.Uvarint(b[:n])
		size += block
		b = b[n:]
	}
	return size
}

// PutDecompressBytes implements kgo.PoolDecompressBytes.
func (p *fetchPools) PutDecompressBytes(b []byte) {
	reused(b[:cap(b)])
	p.texts.put(b)
}

// GetRecords implements kgo.PoolRecords.
func (p *fetchPools) GetRecords(n int) []kgo.Record {
	if n == 0 {
		return nil // the client would not give it back
	}
	return p.records.get(n)
}

// PutRecords implements kgo.PoolRecords.
func (p *fetchPools) PutRecords(r []kgo.Record) { p.records.put(r) }

// freeList is slices that nobody uses, the latest at its end.
type freeList[T any] struct {
	mu       sync.Mutex
	maxBytes int // bytes
	bytes    int
	list     [][]T
}

// maxListed bounds how many there are, as all are looked at.
const maxListed = 256

// get returns the smallest slice that has room for n elements, or a new one; of
// one that is much too large the rest would be idle for as long as it is used. For
// 0 it returns the largest, or nil.
func (f *freeList[T]) get(n int) []T {
	f.mu.Lock()
	defer f.mu.Unlock()
	best := -1
	for i, s := range f.list {
		switch {
		case n == 0 && (best < 0 || cap(s) > cap(f.list[best])):
			best = i
		case n > 0 && cap(s) >= n && cap(s) <= 4*n && (best < 0 || cap(s) < cap(f.list[best])):
			best = i
		}
	}
	if best < 0 {
		if n == 0 {
			return nil
		}
		room := roundUp(n)
		if f.maxBytes < bytesOf[T](room) {
			room = n // it would not come back, or is large: half as much again is much memory
		}
		return make([]T, 0, room)
	}
	return f.take(best)[:0]
}

// roundUp returns the next power of two from n on, or three quarters of it. Batches are of
// any size, and of slices of just their sizes most are too small for the next one: half of
// what was asked for was made anew, a quarter of all garbage.
func roundUp(n int) int {
	power := 1 << bits.Len(uint(n-1))
	if quarters := power / 4 * 3; n <= quarters {
		return quarters
	}
	return power
}

func (f *freeList[T]) take(i int) []T {
	s := f.list[i]
	f.list = slices.Delete(f.list, i, i+1)
	f.bytes -= size(s)
	return s
}

// put takes a slice. Where there are too many, it drops the slices that have
// waited longest.
func (f *freeList[T]) put(s []T) {
	if size(s) > f.maxBytes {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, s)
	f.bytes += size(s)
	for len(f.list) > maxListed || f.bytes > f.maxBytes {
		f.take(0)
	}
}

func size[T any](s []T) int { return bytesOf[T](cap(s)) }

// bytesOf returns how much memory n elements take.
func bytesOf[T any](n int) int {
	var element T
	return n * int(unsafe.Sizeof(element))
}

// recycle gives the memory of the turn's records back: all have been processed.
func (b *batch) recycle() {
	for _, f := range b.turn.parts {
		for _, r := range f.records {
			r.Recycle()
		}
	}
}
