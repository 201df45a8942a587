package canonical

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// member is `"key":value` in the output, from start to end. key is where the
// closing quote of the key stands. first is the beginning of the key, from where keys are
// compared: as a rule it decides.
type member struct {
	start, key, end int
	first           uint64
}

func (m *member) name(out []byte) []byte { return out[m.start+1 : m.key] }

// firstOf returns the first eight bytes of b[from:to]; of a shorter text, zeros behind it.
// No key has a zero byte, so a shorter one is less.
func firstOf(b []byte, from, to int) uint64 {
	n := to - from
	switch {
	case n >= 8:
		return binary.BigEndian.Uint64(b[from:])
	case n <= 0:
		return 0
	case from+8 <= len(b):
		shift := 64 - 8*n
		return binary.BigEndian.Uint64(b[from:]) >> shift << shift
	}
	var first [8]byte
	copy(first[:], b[from:to])
	return binary.BigEndian.Uint64(first[:])
}

// sort puts the members of f, the end of dst, into the order of their keys and
// keeps the last member of each key.
func (w *work) sort(dst []byte, f *frame) []byte {
	members := w.members[f.members:]
	w.order(dst, members, 0)
	w.sorted = w.sorted[:0]
	for i := range members {
		m := &members[i]
		if i+1 < len(members) && m.first == members[i+1].first && bytes.Equal(m.name(dst), members[i+1].name(dst)) {
			continue
		}
		if len(w.sorted) > 0 {
			w.sorted = append(w.sorted, ',')
		}
		w.sorted = append(w.sorted, dst[m.start:m.end]...)
	}
	return append(dst[:f.start], w.sorted...)
}

// fewMembers are sorted by comparing them. Of more that takes longer than to look at each
// byte once.
const fewMembers = 48

// order puts members into the order of their keys, those of one key in the order in which
// they stand. The keys are the same up to the byte at, and first is what they have from
// there on; where several have the same there, it is changed.
func (w *work) order(out []byte, members []member, at int) {
	if len(members) <= fewMembers {
		slices.SortFunc(members, func(a, b member) int {
			switch {
			case a.first < b.first:
				return -1
			case a.first > b.first:
				return 1
			}
			if c := bytes.Compare(a.name(out), b.name(out)); c != 0 {
				return c
			}
			return a.start - b.start
		})
		return
	}
	w.orderByFirst(members)
	for i := 0; i < len(members); {
		j := i + 1
		for j < len(members) && members[j].first == members[i].first {
			j++
		}
		same := members[i:j]
		if i = j; len(same) == 1 || same[0].first&0xff == 0 { // zero: these keys end here
			continue
		}
		for k := range same {
			same[k].first = firstOf(out, same[k].start+1+at+8, same[k].key)
		}
		w.order(out, same, at+8)
	}
}

// orderByFirst sorts members by first, one byte after the other from the last on.
func (w *work) orderByFirst(members []member) {
	var counts [8][256]int32
	for i := range members {
		for k, first := 0, members[i].first; k < 8; k++ {
			counts[k][byte(first>>(8*k))]++
		}
	}
	w.moved = slices.Grow(w.moved[:0], len(members))[:len(members)]
	from, to := members, w.moved
	for k := range counts {
		count := &counts[k]
		if count[byte(from[0].first>>(8*k))] == int32(len(members)) {
			continue // all have the same
		}
		next := int32(0)
		for i := range count {
			count[i], next = next, next+count[i]
		}
		for i := range from {
			place := &count[byte(from[i].first>>(8*k))]
			to[*place] = from[i]
			*place++
		}
		from, to = to, from
	}
	if len(from) > 0 && &from[0] != &members[0] {
		copy(members, from)
	}
}
