package state

import "unsafe"

// list is a sequence of elements that only grows, in chunks of its own, so that
// growing copies nothing, an element stays where it is, and none of it is of
// Go's heap. T must have no pointers, since the collector would not see them,
// and at most elementSize bytes.
type list[T any] struct {
	chunks []*[elements]T
	n      int
}

const (
	elementBits = 5
	elementSize = 1 << elementBits
	elements    = chunkSize >> elementBits // of a chunk
)

func (l *list[T]) len() int { return l.n }

// at returns the element of a number below len.
func (l *list[T]) at(i int) *T {
	return &l.chunks[uint(i)/elements][uint(i)%elements]
}

func (l *list[T]) push(v T) {
	if l.n == len(l.chunks)*elements {
		l.chunks = append(l.chunks, (*[elements]T)(unsafe.Pointer(unsafe.SliceData(newChunk()))))
	}
	*l.at(l.n) = v // all of it: what a chunk has in it is anything
	l.n++
}

// reset gives all chunks back: no element must be used any more.
func (l *list[T]) reset() {
	for i, c := range l.chunks {
		freeChunk(unsafe.Slice((*byte)(unsafe.Pointer(c)), chunkSize))
		l.chunks[i] = nil
	}
	l.chunks, l.n = l.chunks[:0], 0
}
