package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"handprint/attribution"
)

// The index of last days says when a tick has to look at a stub at the earliest. A
// record of its own for each would be one of the three that a new attacker opens,
// so an entry is a stub in a group: a record has up to groupStubs of them that have
// the same day. A new stub comes to the group of its day that was opened last.
// Within a transaction a group is written once to the changelog.
//
// An entry counts if the identity's record names its day. Others are left over from
// an entry that moved, or from a stub that was named or forgotten since. They are
// taken away when their day is over.

const (
	groupStubs  = 16
	groupHeader = 1 // its version

	// maxOpenGroups bounds the groups that a task remembers as not full, one for each
	// day: some 400 bytes each.
	maxOpenGroups = 256
)

// lastDays is what a task remembers of the index.
type lastDays struct {
	from  uint64 // no group is of a day before; 0: not known
	after []byte // no group has a key less than this, without its kind; nil: not known
	open  map[uint64]*openGroup
	made  uint32 // groups since the task was loaded
}

// openGroup is a group that is not full, as the store has it.
type openGroup struct{ key, value []byte }

// newGroup returns the key of a group that there was never one of. It is named after
// the record that opens it.
func (e *Engine) newGroup(day uint64) []byte {
	key := binary.BigEndian.AppendUint32(append(make([]byte, 0, 26), kindLastDay), uint32(day))
	key = binary.BigEndian.AppendUint64(key, uint64(e.now.Time))
	key = append(binary.BigEndian.AppendUint64(key, uint64(e.now.Offset)), byte(e.now.Source))
	e.retention.days.made++
	return binary.BigEndian.AppendUint32(key, e.retention.days.made)
}

// putLastDay adds an entry of a stub to the index.
func (e *Engine) putLastDay(day uint64, stub []byte) {
	u, is := attribution.ParseUUID(stub)
	if !is {
		return // no stub: they are UUIDs
	}
	d := &e.retention.days
	g := d.open[day]
	if g == nil {
		if len(d.open) >= maxOpenGroups {
			clear(d.open)
		}
		g = &openGroup{key: e.newGroup(day), value: append(make([]byte, 0, groupHeader+groupStubs*len(u)), 1)}
		d.open[day] = g
		d.from = min(d.from, day)
		if bytes.Compare(g.key[1:], d.after) < 0 {
			d.after = g.key[1:] // nothing is before it, as nothing was before after
		}
	}
	g.value = append(g.value, u[:]...)
	e.store.Put(g.key, g.value)
	if len(g.value) == cap(g.value) {
		delete(d.open, day)
	}
}

// takeGroup takes the first group out of the index, if it is of a day before, and
// returns its stubs, 16 bytes each; none: there is no such group. It begins where the
// last one was: a scan from the beginning would pass the tombstones of all.
func (e *Engine) takeGroup(before uint64) (day uint64, stubs []byte, err error) {
	d := &e.retention.days
	if d.from >= before {
		return 0, nil, nil
	}
	var key []byte
	start := append([]byte{kindLastDay}, d.after...)
	d.from, d.after = 1<<32, []byte{0xff} // behind all
	err = scan(e.store, []byte{kindLastDay}, start, func(rest, value []byte) error {
		if len(rest) < 4 {
			return fmt.Errorf("group of last days: %w", errShort)
		}
		d.from, d.after = uint64(binary.BigEndian.Uint32(rest)), bytes.Clone(rest)
		if d.from < before {
			day, key, stubs = d.from, append([]byte{kindLastDay}, rest...), bytes.Clone(value)
		}
		return errStop
	})
	if err == nil && key != nil {
		e.store.Delete(key)
		delete(d.open, day)
		stubs, err = decodeGroupStubs(stubs)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("reading which identities were not observed lately: %w", err)
	}
	return day, stubs, nil
}

func decodeGroupStubs(b []byte) (stubs []byte, err error) {
	in := reader{b: b}
	in.version(1)
	if in.err == nil && (len(in.b) == 0 || len(in.b)%len(attribution.UUID{}) != 0) {
		in.fail(errShort)
	}
	stubs, in.b = in.b, nil
	return stubs, in.end("group of last days")
}
