package attribution

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A sorted list is what a slice that is kept sorted is, and takes a bounded number of
// times its members, whatever came and went.
func TestSortedIsASortedSlice(t *testing.T) {
	joined := 0
	rapid.Check(t, func(t *rapid.T) {
		var s tally
		var want []float64
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			n := rapid.IntRange(1, 400).Draw(t, "n")
			switch blocks := len(s.blocks); rapid.SampledFrom([]string{"add", "rising", "remove", "first"}).Draw(t, "what") {
			case "add":
				for i := range n {
					x := float64((i * 7919) % 1000)
					s.add(x)
					want = append(want, x)
				}
				slices.Sort(want)
			case "rising":
				for range n {
					x := 0.0
					if len(want) > 0 {
						x = want[len(want)-1] + 1
					}
					s.add(x)
					want = append(want, x)
				}
			case "remove":
				for range min(n, len(want)) {
					i := (len(want) - 1) / 2
					s.remove(want[i])
					want = slices.Delete(want, i, i+1)
				}
				joined += max(0, blocks-len(s.blocks))
			case "first":
				s.dropFirst(n)
				want = want[min(n, len(want)):]
			}
			if got := slices.Concat(s.blocks...); !slices.Equal(got, want) && len(got)+len(want) > 0 || s.count != len(want) {
				t.Fatalf("%d members in %d blocks, want %d", len(got), len(s.blocks), len(want))
			}
			for i := 0; i < len(want); i += 37 {
				first, _ := slices.BinarySearch(want, want[i])
				if got := s.from(want[i]); got != len(want)-first {
					t.Fatalf("%d members from %v on, want %d", got, want[i], len(want)-first)
				}
			}
			room := 0
			for i, b := range s.blocks {
				if room += cap(b); len(b) == 0 || len(b) > maxBlock {
					t.Fatalf("block %d has %d members", i, len(b))
				}
			}
			if most := 20*len(want) + 4*maxBlock; room > most {
				t.Fatalf("%d members take room for %d", len(want), room)
			}
		}
	})
	if joined == 0 {
		t.Error("no block was joined or dropped: the test tests little")
	}
}

// A union of very many attackers remembers nothing of an attacker that has left, and can
// forget the newest entries of attackers that are silent.
func TestAUnionRemembersWhoIsThere(t *testing.T) {
	thresholds := DefaultThresholds()
	u := NewUnion(Hash, &thresholds)
	series := func(i int) *Series {
		return &Series{Count: 1, Entries: []Entry{{TS: float64(i), Value: Value(`"b"`), Evidence: 1}}}
	}
	u.Add(series(0), []byte("stays"))
	one := u.Size()
	for i := range 3000 {
		u.Add(series(i), fmt.Append(nil, i))
		u.Leave(series(i), fmt.Append(nil, i))
	}
	if n := u.Size(); n > one+512 {
		t.Errorf("a union of one attacker takes %d bytes, %d when there was no other", n, one)
	}
	for i := range 5000 {
		u.Add(series(i), fmt.Append(nil, i))
	}
	for before := u.Size(); ; before = u.Size() {
		less := u.Shrink()
		if u.Size() != before-less {
			t.Errorf("it shrinks by %d from %d to %d", less, before, u.Size())
		}
		if less == 0 {
			break
		}
	}
	if n := u.Size(); n > 2*one+4096 {
		t.Errorf("a union of 5,000 attackers that remembers few takes %d bytes, one of a single attacker %d", n, one)
	}
}
