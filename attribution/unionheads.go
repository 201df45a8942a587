package attribution

import (
	"cmp"
	"strings"
)

// head is where the newest entry of an attacker stands.
type head struct {
	ts       float64
	place    Arrival
	attacker string
}

func headOf(e *Entry, attacker string) head { return head{e.TS, e.Place, attacker} }

// HeadOf returns the newest entry of a series, nil if it has none. It is valid until
// the series changes.
func HeadOf(s *Series) *Entry {
	if len(s.Entries) == 0 {
		return nil
	}
	return &s.Entries[len(s.Entries)-1]
}

type byPlace struct{}

func (byPlace) compare(x, y head) int {
	if c := cmp.Compare(x.ts, y.ts); c != 0 {
		return c
	}
	return cmp.Or(x.place.Compare(y.place), strings.Compare(x.attacker, y.attacker))
}

// compare compares where a head and an entry of the tail stand.
func (h *head) compare(e *unionEntry) int {
	return byPlace{}.compare(*h, headOf(&e.Entry, e.attacker))
}

// unionHeads knows which attackers of a union have the newest entries: the newest n
// entries of all are of the n attackers whose newest entries are the newest. So when
// entries leave the tail of the union, the next ones are found in the series of
// a few attackers, however many there are.
//
// The heads of all attackers are held until Shrink: then the newest, one in sixteen. A
// head may leave with each observation, and when too few are left the heads of all are
// read again: that is some sixteen series an observation.
type unionHeads struct {
	list      sorted[head, byPlace]
	names     int // bytes, of the attackers in the list
	attackers int
	some      bool // not all are held: the list has the heads from least on
	least     head
}

// headShare is which part of the heads of many attackers Shrink leaves: one in so many.
const headShare = 16

// holds reports whether the list has the head of an attacker: it has all heads, or
// those from least on.
func (h *unionHeads) holds(x head) bool {
	return !h.some || byPlace{}.compare(x, h.least) >= 0
}

// moved is told that the newest entry of an attacker was and is another one; nil: it
// had none, or has none.
func (h *unionHeads) moved(attacker string, was, is *Entry) {
	if was != nil && is != nil && was.TS == is.TS && was.Place == is.Place {
		return
	}
	if was != nil {
		if x := headOf(was, attacker); h.holds(x) {
			h.list.remove(x)
			h.names -= len(attacker)
		}
	}
	if is != nil {
		if x := headOf(is, attacker); h.holds(x) {
			h.list.add(x)
			h.names += len(attacker)
		}
	}
}

// trim drops the oldest heads if there are more than twice enough.
func (h *unionHeads) trim(enough int) {
	dropped := h.list.count - enough
	if dropped <= enough {
		return
	}
	left := dropped
	for _, block := range h.list.blocks {
		for _, x := range block[:min(left, len(block))] {
			h.names -= len(x.attacker)
			left--
		}
		if left == 0 {
			break
		}
	}
	h.list.dropFirst(dropped)
	h.some, h.least = true, h.list.min()
}

// Shrink makes the union remember less, if it can: some of the newest entries of
// attackers. All are read again when these do not do. It returns by how many bytes Size
// is less.
func (u *Union) Shrink() (less int) {
	before := u.Size()
	u.heads.trim(max(2*u.t.Window, u.heads.attackers/headShare))
	return before - u.Size()
}

// ForgetHeads forgets where the newest entries of attackers are: AddHead is then told of
// each attacker's.
func (u *Union) ForgetHeads() { u.heads = unionHeads{attackers: u.heads.attackers} }

// AddHead is told of the newest entry of an attacker.
func (u *Union) AddHead(attacker string, newest *Entry) { u.heads.moved(attacker, nil, newest) }
