package attribution

import "slices"

// tally is a multiset of numbers that counts those from a number on. It is a
// list of sorted blocks, so that adding and taking away move a block's numbers
// at most.
type tally struct {
	blocks [][]float64 // none is empty; each is sorted, and so are they
	count  int
}

const maxBlock = 512

// block returns the block that x belongs to, if there is any: the first whose
// last number is not below x, else the last.
func (t *tally) block(x float64) int {
	at, _ := slices.BinarySearchFunc(t.blocks, x, func(b []float64, x float64) int {
		if b[len(b)-1] < x {
			return -1
		}
		return 1
	})
	return min(at, len(t.blocks)-1)
}

func (t *tally) add(x float64) {
	t.count++
	if len(t.blocks) == 0 {
		t.blocks = append(t.blocks, []float64{x})
		return
	}
	i := t.block(x)
	b := t.blocks[i]
	at, _ := slices.BinarySearch(b, x)
	b = slices.Insert(b, at, x)
	t.blocks[i] = b
	if len(b) > maxBlock {
		half := len(b) / 2
		t.blocks = slices.Insert(t.blocks, i+1, slices.Clone(b[half:]))
		t.blocks[i] = b[:half:half]
	}
}

// remove takes one x away, which is there.
func (t *tally) remove(x float64) {
	i := t.block(x)
	at, found := slices.BinarySearch(t.blocks[i], x)
	if !found {
		panic("attribution: a number is taken from a tally that does not have it")
	}
	t.count--
	if t.blocks[i] = slices.Delete(t.blocks[i], at, at+1); len(t.blocks[i]) == 0 {
		t.blocks = slices.Delete(t.blocks, i, i+1)
	}
}

// from counts the numbers that are not below x.
func (t *tally) from(x float64) (n int) {
	for _, b := range slices.Backward(t.blocks) {
		if b[0] >= x {
			n += len(b)
			continue
		}
		at, _ := slices.BinarySearch(b, x)
		return n + len(b) - at
	}
	return n
}

// max returns the largest number of a tally that is not empty.
func (t *tally) max() float64 {
	b := t.blocks[len(t.blocks)-1]
	return b[len(b)-1]
}
