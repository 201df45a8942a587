package attribution

import "slices"

// sorted is a multiset in order. It is a list of sorted blocks, so that adding and
// taking away move a block's members at most.
type sorted[T any, O order[T]] struct {
	order  O
	blocks [][]T // none is empty; each is sorted, and so are they
	count  int
}

// order is an order of members. What it says of two members may not change while they are there.
type order[T any] interface{ compare(x, y T) int }

// maxBlock is how long a block may be. One that is shorter than minBlock is joined to a
// neighbour, so that blocks that drain do not add up.
const (
	maxBlock = 512
	minBlock = maxBlock / 8
)

// block returns the block that x belongs to, if there is any: the first whose
// last member is not below x, else the last.
func (s *sorted[T, O]) block(x T) int {
	low, high := 0, len(s.blocks)
	for low < high {
		mid := int(uint(low+high) / 2)
		b := s.blocks[mid]
		if s.order.compare(b[len(b)-1], x) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return min(low, len(s.blocks)-1)
}

// within returns where x is in a sorted block, or would be.
func (s *sorted[T, O]) within(b []T, x T) (at int, found bool) {
	low, high := 0, len(b)
	for low < high {
		mid := int(uint(low+high) / 2)
		if s.order.compare(b[mid], x) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(b) && s.order.compare(b[low], x) == 0
}

func (s *sorted[T, O]) add(x T) {
	s.count++
	if len(s.blocks) == 0 {
		s.blocks = append(s.blocks, []T{x})
		return
	}
	i := s.block(x)
	b := s.blocks[i]
	at, _ := s.within(b, x)
	b = slices.Insert(b, at, x)
	s.blocks[i] = b
	if len(b) > maxBlock {
		half := len(b) / 2
		s.blocks = slices.Insert(s.blocks, i+1, slices.Clone(b[half:]))
		s.blocks[i] = slices.Clone(b[:half]) // the array goes
	}
}

// remove takes one x away, which is there.
func (s *sorted[T, O]) remove(x T) {
	if !s.take(x) {
		panic("attribution: what is taken from a sorted list is not in it")
	}
}

// take takes one x away, and reports whether it was there.
func (s *sorted[T, O]) take(x T) (found bool) {
	if s.count == 0 {
		return false
	}
	i := s.block(x)
	at, found := s.within(s.blocks[i], x)
	if !found {
		return false
	}
	s.count--
	if s.blocks[i] = slices.Delete(s.blocks[i], at, at+1); len(s.blocks[i]) < minBlock {
		s.join(i)
	}
	return true
}

// join joins a short block to a neighbour, or drops it if it is empty. A block that is
// joined has room for as much again.
func (s *sorted[T, O]) join(i int) {
	if len(s.blocks[i]) == 0 {
		s.blocks = slices.Delete(s.blocks, i, i+1)
		return
	}
	low := max(0, i-1)
	if low+1 == len(s.blocks) {
		return // there is no other
	}
	a, b := s.blocks[low], s.blocks[low+1]
	if n := len(a) + len(b); n <= maxBlock/2 {
		s.blocks[low] = append(append(make([]T, 0, 2*n), a...), b...)
		s.blocks = slices.Delete(s.blocks, low+1, low+2)
	}
}

// from counts the members that are not below x.
func (s *sorted[T, O]) from(x T) (n int) {
	if s.count == 0 {
		return 0
	}
	i := s.block(x)
	at, _ := s.within(s.blocks[i], x)
	if i < len(s.blocks)/2 { // the lengths of the fewer blocks are added up
		n = s.count - at
		for _, b := range s.blocks[:i] {
			n -= len(b)
		}
		return n
	}
	n = len(s.blocks[i]) - at
	for _, b := range s.blocks[i+1:] {
		n += len(b)
	}
	return n
}

// max returns the last member of a list that is not empty.
func (s *sorted[T, O]) max() T {
	b := s.blocks[len(s.blocks)-1]
	return b[len(b)-1]
}

// min returns the first member of a list that is not empty.
func (s *sorted[T, O]) min() T { return s.blocks[0][0] }

// dropFirst drops the first n members, or all.
func (s *sorted[T, O]) dropFirst(n int) {
	for n > 0 && len(s.blocks) > 0 {
		b := s.blocks[0]
		if n < len(b) {
			s.blocks[0] = slices.Clone(b[n:]) // the array goes
			s.count -= n
			return
		}
		n -= len(b)
		s.count -= len(b)
		s.blocks = slices.Delete(s.blocks, 0, 1)
	}
}

// tally is a multiset of numbers.
type tally = sorted[float64, byNumber]

type byNumber struct{}

func (byNumber) compare(x, y float64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}
