package attribution

import "cmp"

// head is where the newest entry of an attacker stands.
type head struct {
	ts           float64
	time, offset int64 // its place, with partition
	partition    int32
	attacker     uint32
}

func headOf(e *Entry, attacker uint32) head {
	return head{e.TS, e.Place.Time, e.Place.Offset, e.Place.Partition, attacker}
}

func (h head) place() Arrival { return Arrival{h.time, h.partition, h.offset} }

// HeadOf returns the newest entry of a series, nil if it has none. It is valid until
// the series changes.
func HeadOf(s *Series) *Entry {
	if len(s.Entries) == 0 {
		return nil
	}
	return &s.Entries[len(s.Entries)-1]
}

// byPlace is the order of a series. No two attackers have entries at one place, as a
// record is of one attacker.
type byPlace struct{}

func (byPlace) compare(x, y head) int {
	if c := cmp.Compare(x.ts, y.ts); c != 0 {
		return c
	}
	return cmp.Or(x.place().Compare(y.place()), cmp.Compare(x.attacker, y.attacker))
}

// unionHeads knows which attackers of a union have the newest entries: the newest n
// entries of all are of the n attackers whose newest entries are the newest. So when
// entries leave the tail of the union, the next ones are found in the series of
// a few attackers, however many there are.
//
// The heads of all attackers are held until [Union.Shrink]: then the newest. A
// head may leave with each observation, and when too few are left the heads of all are
// read again.
type unionHeads struct {
	list      sorted[head, byPlace]
	attackers int
	some      bool // not all are held: the list has the heads from least on
	least     head
}

// holds reports whether the list has the head of an attacker: it has all heads, or
// those from least on.
func (h *unionHeads) holds(x head) bool {
	return !h.some || byPlace{}.compare(x, h.least) >= 0
}

// moved is told that the newest entry of an attacker was and is another one; nil: it
// had none, or has none.
func (u *Union) moved(attacker []byte, was, is *Entry) {
	if was != nil && is != nil && was.TS == is.TS && was.Place == is.Place {
		return
	}
	h := &u.heads
	if was != nil {
		if n, named := u.names.find(attacker); named && h.list.take(headOf(was, n)) {
			defer u.names.drop(n)
		}
	}
	if is != nil {
		x := headOf(is, u.names.use(attacker))
		if !h.holds(x) {
			u.names.drop(x.attacker)
			return
		}
		if h.list.add(x); u.few > 0 && h.list.count > 2*u.few {
			u.trimHeads()
		}
	}
}

// trimHeads drops the oldest heads if there are more than few.
func (u *Union) trimHeads() {
	h := &u.heads
	dropped := h.list.count - u.few
	if dropped <= 0 {
		return
	}
	left := dropped
	for _, block := range h.list.blocks {
		for _, x := range block[:min(left, len(block))] {
			u.names.drop(x.attacker)
			left--
		}
		if left == 0 {
			break
		}
	}
	h.list.dropFirst(dropped)
	h.some, h.least = true, h.list.min()
}

// ForgetHeads forgets where the newest entries of attackers are: AddHead is then told of
// each attacker's. room says that there is memory for those of all.
func (u *Union) ForgetHeads(room bool) {
	if room {
		u.few = 0
	}
	h := &u.heads
	for _, block := range h.list.blocks {
		for _, x := range block {
			u.names.drop(x.attacker)
		}
	}
	*h = unionHeads{attackers: h.attackers}
}

// AddHead is told of the newest entry of an attacker.
func (u *Union) AddHead(attacker []byte, newest *Entry) { u.moved(attacker, nil, newest) }
