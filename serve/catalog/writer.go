package catalog

import (
	"math"
	"net/netip"
	"slices"

	"handprint/attribution"
)

// Row is what the catalogue keeps of a row.
type Row struct {
	State      attribution.State
	Returns    bool              // the value of one of its attackers came back after another
	Value      attribution.Value // as the store has it: a long one as its digest
	Confidence float64           // in [0, 1]
	Count      int64
	ChangeTS   float64 // Unix seconds
	SeenTS     float64 // Unix seconds
}

// Writer changes the catalogue, inside a call of [Catalog.Apply]. What it is
// given is not kept.
type Writer struct {
	c         *Catalog
	partition int32
	offset    int64
	stale     map[uint32]struct{} // identities whose latest times are no longer those of a row
}

// Apply calls f under the write lock. Queries wait meanwhile: give it a thousand
// records at a time.
func (c *Catalog) Apply(f func(w *Writer)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &Writer{c: c}
	f(w)
	for n := range w.stale {
		c.remeasure(c.identities.at(n))
	}
}

// noteStale notes that the row with an identity's latest times has gone or changed. They
// are found anew once, when all records are in: an identity that loses its rows one by one
// would else have all of them looked at for each.
func (w *Writer) noteStale(n uint32) {
	if w.stale == nil {
		w.stale = make(map[uint32]struct{})
	}
	w.stale[n] = struct{}{}
}

// At says where the next records stand in the changelog.
func (w *Writer) At(partition int32, offset int64) { w.partition, w.offset = partition, offset }

// identity returns an identity by its id, a new one if it is not known, and notes
// that it has changed.
func (w *Writer) identity(id []byte) (uint32, *identity) {
	n := w.number(id)
	i := w.c.identities.at(n)
	i.partition, i.offset = w.partition, w.offset
	return n, i
}

// number returns the number of an identity, a new one if it is not known.
func (w *Writer) number(id []byte) uint32 {
	n, isNew := w.c.ids.add(id)
	if isNew {
		w.c.identities.add(identity{change: math.Inf(-1), seen: math.Inf(-1)})
	} else {
		w.c.identities.at(n).dropped = false
	}
	return n
}

// known returns an identity if it is known.
func (w *Writer) known(id []byte) (uint32, *identity) {
	n, ok := w.c.ids.find(id)
	if !ok {
		return 0, nil
	}
	i := w.c.identities.at(n)
	i.partition, i.offset = w.partition, w.offset
	return n, i
}

// change runs f, which changes an identity, and counts whether it is shown.
func (w *Writer) change(i *identity, f func()) {
	was := i.isShown()
	f()
	switch now := i.isShown(); {
	case now && !was:
		w.c.listed++
	case was && !now:
		w.c.listed--
	}
}

func (w *Writer) attacker(id []byte) (uint32, *attacker) {
	n, isNew := w.c.attackerIDs.add(id)
	if isNew {
		w.c.attackers.add(attacker{})
	}
	return n, w.c.attackers.at(n)
}

// PutRow says what a row is now. If it was there with another value it returns what
// it was, and true.
func (w *Writer) PutRow(id, name []byte, to *Row) (was Row, changed bool) {
	c := w.c
	in, ok := c.primitiveIndex[string(name)]
	if !ok {
		if !c.hasRoom(string(name)) {
			c.crowded = true
			w.known(id) // it has changed
			return was, false
		}
		_, in = c.addPrimitive(string(name))
	}
	p := c.primitives[in-1]
	value := to.Value
	if len(value) == 0 {
		value = attribution.Null
	}
	n, i := w.identity(id)
	flags := uint8(rowUsed)
	if to.Returns {
		flags |= rowReturns
	}
	r := c.find(n, i, in)
	isNew, lower := r == nil, false
	if isNew {
		w.change(i, func() {
			next, nextIn := i.first, i.firstIn
			if last := len(p.free) - 1; last >= 0 {
				i.first, p.free = p.free[last], p.free[:last]
			} else {
				i.first = p.rows.add(row{})
			}
			i.firstIn = in
			r = p.rows.at(i.first)
			*r = row{identity: n, next: next, nextIn: nextIn}
		})
		r.value = p.dict.add(value, to.State)
	} else {
		i.states[r.state]--
		p.states[r.state]--
		lower = r.change == i.change && to.ChangeTS < r.change || r.seen == i.seen && to.SeenTS < r.seen
		if v := p.dict.values.at(r.value); v.text == string(value) {
			p.dict.count(v, r.state, -1)
			p.dict.count(v, to.State, 1)
		} else {
			was, changed = r.row(p), true
			p.dict.drop(r.value, r.state)
			r.value = p.dict.add(value, to.State)
		}
	}
	r.state, r.flags, r.confidence = to.State, flags, to.Confidence
	r.count = uint32(min(to.Count, math.MaxUint32))
	r.change, r.seen = to.ChangeTS, to.SeenTS
	i.states[r.state]++
	p.states[r.state]++
	if isNew {
		c.indexFirst(n, i)
	}
	if lower {
		w.noteStale(n)
	} else {
		i.change, i.seen = max(i.change, r.change), max(i.seen, r.seen)
	}
	return was, changed
}

// remeasure finds the latest times of an identity's rows anew.
func (c *Catalog) remeasure(i *identity) {
	i.change, i.seen = math.Inf(-1), math.Inf(-1)
	c.eachRow(i, func(_ *primitive, r *row) bool {
		i.change, i.seen = max(i.change, r.change), max(i.seen, r.seen)
		return true
	})
}

// DropRow says that there is no such row.
func (w *Writer) DropRow(id, name []byte) {
	c := w.c
	in, ok := c.primitiveIndex[string(name)]
	n, i := w.known(id)
	if !ok || i == nil {
		return
	}
	var place uint32
	if w.change(i, func() { place, ok = c.unlink(n, i, in) }); !ok {
		return
	}
	p := c.primitives[in-1]
	r := p.rows.at(place)
	i.states[r.state]--
	p.states[r.state]--
	p.dict.drop(r.value, r.state)
	latest := r.change >= i.change || r.seen >= i.seen
	*r = row{}
	if p.free = append(p.free, place); len(p.free) == p.rows.n {
		c.dropPrimitive(in)
	}
	if latest {
		w.noteStale(n)
	}
}

// PutIdentity says which attacker an identity has as its own, as a stub has, and
// what it is merged into; empty: none.
func (w *Writer) PutIdentity(id, own, mergedInto []byte) {
	n, i := w.identity(id)
	w.change(i, func() { w.setOwn(n, i, own) })
	merged := uint32(0)
	if len(mergedInto) > 0 {
		merged = w.number(mergedInto) + 1
	}
	w.change(i, func() { i.merged = merged })
}

func (w *Writer) setOwn(n uint32, i *identity, own []byte) {
	if i.own != 0 {
		if a := w.c.attackers.at(i.own - 1); a.stub == n+1 {
			a.stub = 0
		}
		i.own = 0
	}
	if len(own) > 0 {
		at, a := w.attacker(own)
		a.stub, i.own = n+1, at+1
	}
}

// DropIdentity says that nothing but rows and members is known of an identity.
func (w *Writer) DropIdentity(id []byte) {
	if n, i := w.known(id); i != nil {
		w.change(i, func() { w.setOwn(n, i, nil); i.merged = 0 })
		i.dropped = true
	}
}

// PutMember says that an attacker was brought to an identity by an event.
func (w *Writer) PutMember(id, attackerID []byte) {
	n, i := w.identity(id)
	at, _ := w.attacker(attackerID)
	if _, ok := w.c.members[membership{n, at}]; !ok {
		w.c.members[membership{n, at}] = struct{}{}
		w.change(i, func() { i.members++ })
	}
}

// DropMember says that the attacker has left.
func (w *Writer) DropMember(id, attackerID []byte) {
	n, i := w.known(id)
	at, ok := w.c.attackerIDs.find(attackerID)
	if i == nil || !ok {
		return
	}
	if _, ok := w.c.members[membership{n, at}]; ok {
		delete(w.c.members, membership{n, at})
		w.change(i, func() { i.members-- })
	}
}

// PutLink says which identity an attacker belongs to by an event.
func (w *Writer) PutLink(attackerID, id []byte) {
	n := w.number(id)
	_, a := w.attacker(attackerID)
	a.linked = n + 1
}

// DropLink says that no event has linked the attacker.
func (w *Writer) DropLink(attackerID []byte) {
	if n, ok := w.c.attackerIDs.find(attackerID); ok {
		w.c.attackers.at(n).linked = 0
	}
}

// SetUnsettled says whether an event that touches the identity is not over.
func (w *Writer) SetUnsettled(id []byte, unsettled bool) {
	if unsettled {
		_, i := w.identity(id)
		i.unsettled = true
	} else if _, i := w.known(id); i != nil {
		i.unsettled = false
	}
}

// Profile is what one sensor knows of an attacker's address.
type Profile struct {
	Attacker string
	Address  string
	Opaque   bool // the address is no IP address
	Sensor   string
	FirstTS  float64 // Unix seconds
	LastTS   float64 // Unix seconds
}

// PutProfile says what a sensor knows of an attacker's address. Of several
// sensors the first and the last time and the union of names are shown.
func (w *Writer) PutProfile(p *Profile) {
	n, a := w.attacker([]byte(p.Attacker))
	kept := *p
	w.c.profiles[profileKey{n, p.Sensor}] = &kept
	if a.profile == nil {
		a.profile = new(address)
	}
	from := slices.DeleteFunc(a.profile.from, func(o *Profile) bool { return o.Sensor == p.Sensor })
	a.profile.set(append(from, &kept))
}

// DropProfile says that the topic has no more of an attacker's address from a
// sensor.
func (w *Writer) DropProfile(attackerID, sensor string) {
	n, ok := w.c.attackerIDs.find([]byte(attackerID))
	if !ok {
		return
	}
	delete(w.c.profiles, profileKey{n, sensor})
	if a := w.c.attackers.at(n); a.profile != nil {
		a.profile.set(slices.DeleteFunc(a.profile.from, func(o *Profile) bool { return o.Sensor == sensor }))
		if len(a.profile.from) == 0 {
			a.profile = nil
		}
	}
}

// ForgetProfiles drops profiles that have had no record since a time: their
// records have left the topic.
func (w *Writer) ForgetProfiles(before float64) (forgotten int) {
	for k, p := range w.c.profiles {
		if p.LastTS < before {
			w.DropProfile(w.c.attackerIDs.text(k.attacker), k.sensor)
			forgotten++
		}
	}
	return forgotten
}

// ForgetEvents drops what event topics said: suspicions and addresses.
func (w *Writer) ForgetEvents() {
	clear(w.c.suspicions)
	w.c.suspicionBytes, w.c.over, w.c.overBytes = 0, 0, 0
	clear(w.c.latest)
	w.ForgetProfiles(math.Inf(1))
}

func (a *address) set(from []*Profile) {
	*a = address{from: from, first: math.Inf(1), last: math.Inf(-1)}
	for _, p := range from {
		a.first = min(a.first, p.FirstTS)
		if p.LastTS >= a.last {
			a.last, a.text = p.LastTS, p.Address
			a.ip = netip.Addr{}
			if ip, err := netip.ParseAddr(p.Address); err == nil && !p.Opaque {
				a.ip = ip.Unmap().WithZone("")
			}
		}
		a.sensors = append(a.sensors, p.Sensor)
	}
	slices.Sort(a.sensors)
}
