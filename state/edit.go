package state

// edit is what has to be remembered of a change until it is committed.
type edit struct {
	gen   uint64 // the savepoint after which it was last made
	entry int32  // -1: undone

	dropped bool // the committed value is in the database only

	// At the savepoint:
	changed, existed, marked bool
	prev                     buffer // the value, if changed and existed

	base buffer // the committed value, if there is one and it was not dropped
}

func (o *table) put(key, val []byte) {
	e := o.change(key)
	o.store(&e.val, val)
	e.exists = true
	o.count(e, 1)
}

func (o *table) delete(key []byte) {
	e := o.change(key)
	o.release(e.val)
	e.val, e.exists = buffer{}, false
	o.count(e, 1)
}

// change returns the entry of a key, ready to be given another value: its old
// value is safe if it will be needed, its val is room, and it is not counted.
func (o *table) change(key []byte) *entry {
	i, hash := o.seek(key)
	if i < 0 {
		i = o.add(key, hash)
	}
	e := o.entries.at(i)
	e.asked = true
	if e.edit == 0 {
		o.edits.push(edit{entry: int32(i), gen: o.gen, base: e.val, existed: e.exists})
		e.edit, e.val = int32(o.edits.len()), buffer{}
		o.undo = append(o.undo, e.edit-1)
		if !e.grouped {
			e.grouped = true
			g := o.group(key)
			g.order = append(g.order, int32(i))
		}
		return e
	}
	o.count(e, -1)
	if d := o.edits.at(int(e.edit - 1)); d.gen != o.gen {
		o.release(d.prev)
		d.gen, d.changed, d.existed, d.marked, d.prev = o.gen, true, e.exists, e.marked, e.val
		e.val = buffer{}
		o.undo = append(o.undo, e.edit-1)
	}
	return e
}

// mark notes of a key that was changed that it is of interest.
func (o *table) mark(key []byte) {
	if e := o.lookup(key); e != nil && e.edit != 0 {
		e.marked = true
	}
}

// count adds an entry to the totals, sign times.
func (o *table) count(e *entry, sign int) {
	if !e.pending() {
		return
	}
	o.changes += sign
	o.bytes += sign * (int(e.key.len) - headLen + int(e.val.len))
}

// pending reports whether the entry must be written. The delete of a key that
// the committed state is known not to have need not.
func (e *entry) pending() bool {
	return e.edit != 0 && (e.exists || e.committed != absent)
}

// savepoint makes the present state the one that rollback goes back to. Of what was
// changed since the last one, the values of before are released, as a transaction
// changes tens of thousands of rows: those of the last savepoint, which nobody goes
// back to any more, and committed ones that the database has.
func (o *table) savepoint() {
	for _, n := range o.undo {
		d := o.edits.at(int(n))
		if d.entry < 0 {
			continue
		}
		o.release(d.prev)
		d.prev = buffer{}
		if e := o.entries.at(int(d.entry)); d.base.len > 0 && !e.held && !e.flying {
			o.release(d.base)
			d.base, d.dropped = buffer{}, true
		}
	}
	o.gen++
	o.undo = o.undo[:0]
}

// rollback goes back to the savepoint.
func (o *table) rollback() {
	lost := false
	for _, n := range o.undo {
		d := o.edits.at(int(n))
		e := o.entries.at(int(d.entry))
		o.count(e, -1)
		if !d.changed {
			lost = o.uncommit(d) || lost
			d.entry = -1
			continue
		}
		o.release(e.val)
		e.val, e.exists, e.marked, d.prev = d.prev, d.existed, d.marked, buffer{}
		o.count(e, 1)
	}
	if lost {
		o.forgetUnknown()
	}
	o.savepoint()
}

// uncommit gives an edit's entry its committed value back, and reports whether
// that is not known here.
func (o *table) uncommit(d *edit) (lost bool) {
	e := o.entries.at(int(d.entry))
	o.release(e.val)
	o.release(d.prev)
	if d.dropped {
		e.committed = unknown
	}
	e.val, e.exists, e.edit, e.marked = d.base, e.committed == present, 0, false
	return e.committed == unknown
}

// forgetUnknown removes the entries that say nothing: keys that were written
// without having been read, or whose committed value is in the database only, and
// are written no more.
func (o *table) forgetUnknown() {
	for _, g := range o.groups {
		n, sorted := 0, g.sorted
		for at, i := range g.order {
			if e := o.entries.at(int(i)); e.committed == unknown && e.edit == 0 {
				if at < sorted {
					g.sorted--
				}
				o.remove(int(i))
				continue
			}
			g.order[n] = i
			n++
		}
		g.order = g.order[:n]
	}
}

// commitEdits makes what was changed the committed state. What has to be written to
// the database is held from then on.
func (o *table) commitEdits() {
	for n := range o.edits.len() {
		d := o.edits.at(n)
		if d.entry < 0 {
			continue
		}
		e := o.entries.at(int(d.entry))
		if e.pending() {
			if !e.held {
				e.held = true
				o.held = append(o.held, d.entry)
			}
			if e.flying {
				e.flying = false
				o.pinned = append(o.pinned, d.base)
				d.base = buffer{}
			}
		}
		if e.committed = absent; e.exists {
			e.committed = present
		}
		e.edit, e.marked = 0, false
		o.release(d.base)
		o.release(d.prev)
	}
	o.clearEdits()
}

// discardEdits goes back to the committed state.
func (o *table) discardEdits() {
	lost := false
	for n := range o.edits.len() {
		if d := o.edits.at(n); d.entry >= 0 {
			lost = o.uncommit(d) || lost
		}
	}
	if lost {
		o.forgetUnknown()
	}
	o.clearEdits()
}

// clearEdits begins anew with nothing changed.
func (o *table) clearEdits() {
	o.undo = o.undo[:0]
	o.edits.reset()
	o.changes, o.bytes = 0, 0
	o.savepoint()
}

// takeOff begins a flush: what is held is flying, and is returned to be written.
// Nothing may be changed, and no flush be under way.
func (o *table) takeOff() rows {
	o.held, o.flying = o.flying[:0], o.held
	return o.rowsOf(len(o.flying), func(yield func(*entry)) {
		for _, i := range o.flying {
			e := o.entries.at(int(i))
			e.held, e.flying = false, true
			yield(e)
		}
	})
}

// land ends a flush: the database has what was flying. Nothing may be changed, and
// no iterator be open that does not see it.
func (o *table) land() {
	for _, i := range o.flying {
		o.entries.at(int(i)).flying = false
	}
	o.flying = o.flying[:0]
	for _, b := range o.pinned {
		o.release(b)
	}
	o.pinned = o.pinned[:0]
	for _, g := range o.groups {
		n, sorted := 0, g.sorted
		for at, i := range g.order {
			e := o.entries.at(int(i))
			if e.grouped = e.held; e.held {
				g.order[n] = i
				n++
			} else if at < sorted {
				g.sorted--
			}
		}
		g.order = g.order[:n]
	}
}
