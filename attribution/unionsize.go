package attribution

// headShare is which part Shrink leaves at first of the attackers that are remembered
// because their entries may come to count: one in so many. An observation may take one of
// them away, and when too few are left the series of all are read again: that is some
// sixteen series an observation.
const headShare = 16

// Shrink makes the union remember less, if it can: fewer of the attackers whose newest
// entries come behind the tail, fewer of the attackers that have a HASH value,
// and no HASH values that do not count. Each call leaves half, down to a number that does
// not grow with the attackers. Usual observations need no more; all are read again when
// these do not do. It returns by how many bytes Size is less.
func (u *Union) Shrink() (less int) {
	before := u.Size()
	for less <= 0 && u.rememberFewer() {
		less = before - u.Size()
	}
	return max(less, 0)
}

// rememberFewer reports false if the union remembers as few as it can.
func (u *Union) rememberFewer() bool {
	least := 2 * u.t.Window
	switch {
	case u.few == 0:
		u.few = max(least, u.heads.attackers/headShare)
	case u.few > least:
		u.few = max(least, u.few/2)
	default:
		return false
	}
	u.forgetMore()
	return true
}

// forgetMore brings the union down to few.
func (u *Union) forgetMore() {
	u.trimHeads()
	if u.values != nil {
		for _, o := range u.values.shared {
			if o != nil {
				u.values.trim(o, u.keptHolders())
			}
		}
		u.swept = 0
		u.sweep()
	}
	u.compact()
}

// keptHolders is how many attackers of a HASH value are remembered; 0: all.
func (u *Union) keptHolders() int {
	if u.few == 0 {
		return 0
	}
	return max(minHolders, u.few/2)
}

// Tests have less of both.
var (
	minHolders = 4
	// sweepFrom is how many HASH values a union that remembers few has before it looks
	// for values that do not count.
	sweepFrom = 32
)

// sweep forgets the HASH values that do not count any more, of a union that remembers
// few, when there are twice as many as the last time.
func (u *Union) sweep() {
	if v := u.values; u.few > 0 && v.latest.count > max(sweepFrom, 2*u.swept) && len(u.tail) > 0 {
		v.forgetBefore(u.from())
		u.swept = v.latest.count
	}
}

// compact gives up room that is free.
func (u *Union) compact() {
	numbers := u.names.compact()
	if numbers == nil {
		return
	}
	for i := range u.tail {
		u.tail[i].attacker = numbers[u.tail[i].attacker]
	}
	for _, block := range u.heads.list.blocks {
		for i := range block {
			block[i].attacker = numbers[block[i].attacker]
		}
	}
	if h := &u.heads; h.some && h.list.count > 0 {
		h.least = h.list.min()
	}
	if u.values != nil {
		u.values.renumber(numbers)
	}
}

// What a union takes, in bytes: itself, with its key in the table of its owner, and what
// it remembers of each entry of its tail, each attacker and each value. Measured, with the
// room that lists have left.
const (
	unionBytes  = 640
	valuesBytes = 320 // of HASH
	tailBytes   = 48
	headBytes   = 42
	valueBytes  = 50
	sharedBytes = 160 // a value that several have
	holderBytes = 22  // of each that has it
	mapBytes    = 26  // more, of many
	returnBytes = 44  // an attacker whose series returns, besides the name
)

// Size is about how many bytes the union takes.
func (u *Union) Size() int {
	n := unionBytes + tailBytes*cap(u.tail) + headBytes*u.heads.list.count + u.names.size() + u.texts.size() + returnBytes*len(u.returning) + u.returningNames
	if v := u.values; v != nil {
		n += valuesBytes + valueBytes*len(v.list) + sharedBytes*(len(v.shared)-len(v.vacant)) + holderBytes*v.pairs + mapBytes*v.mapped
	}
	return n
}
