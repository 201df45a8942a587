package engine

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"fmt"

	"handprint/attribution"
)

// Bounds of one step of settle.
const (
	settleStep = 5_000 // contributions read; the row that reaches it is finished
	settleRows = 256   // rows compared
)

// loadUnsettled reads which identities wait for the end of an event.
func (e *Engine) loadUnsettled() error {
	e.unsettled, e.ofEvent = make(map[string]unsettled), make(map[uint64]*unsettledIDs)
	var fault error
	err := e.store.Scan([]byte{kindUnsettled}, nil, func(key, value []byte) bool {
		id, _, err := cutID(key[1:])
		var u unsettled
		if err == nil {
			u, err = decodeUnsettled(value)
		}
		if err == nil {
			e.noteUnsettled(string(id), u)
		}
		fault = err
		return err == nil
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return fmt.Errorf("task %d: reading its unsettled identities: %w", e.task, err)
	}
	return nil
}

// unsettle marks an identity as touched by an event, and counts what moved.
func (e *Engine) unsettle(id []byte, by origin, count func(*unsettled)) error {
	u, marked := e.unsettled[string(id)]
	if marked && u.Version != by.Version {
		return fmt.Errorf("identity %s: event %d touches it before event %d is over", id, by.Version, u.Version)
	}
	u.Version, u.Round = by.Version, max(u.Round, by.Round)
	count(&u)
	e.putUnsettled(id, u)
	return nil
}

func (e *Engine) putUnsettled(id []byte, u unsettled) {
	e.noteUnsettled(string(id), u)
	e.store.Put(idKey(nil, kindUnsettled, id), appendUnsettled(nil, u))
}

// waits reports whether a row must not be concluded yet: an event that touched
// its identity is not over, or the row has not been compared since.
func (e *Engine) waits(id, primitive []byte) (bool, error) {
	if len(e.unsettled) == 0 {
		return false, nil
	}
	u, marked := e.unsettled[string(id)]
	if !marked {
		return false, nil
	}
	if !u.Settling {
		return true, nil
	}
	b, err := e.store.Get(rowKey(nil, kindDirty, id, primitive))
	if err != nil {
		return false, fmt.Errorf("reading whether %s of %s waits: %w", primitive, id, err)
	}
	return b != nil, nil
}

func (e *Engine) markDirty(id, primitive []byte) {
	e.store.Put(rowKey(nil, kindDirty, id, primitive), []byte{1})
}

// settle handles settle: it compares each row that the event changed in this
// task, once, with what was published before the event.
func (e *Engine) settle(s *settle) error {
	rows := 0
	e.added, e.written = 0, 0
	for {
		id := e.toSettle(s.By.Version)
		if id == nil {
			e.send(CoordinatorTask, nil, appendSettled(e.buf.cmd, &settled{Version: s.By.Version, Round: s.By.Round, Moved: s.Moved}))
			return nil
		}
		n, over, err := e.settleIdentity(id, s, settleRows-rows)
		if err != nil {
			return fmt.Errorf("settling %s after event %d: %w", id, s.By.Version, err)
		}
		s.Moved.Rows, e.written = s.Moved.Rows+e.written, 0
		if rows += n; !over || rows >= settleRows || e.added >= settleStep {
			e.send(e.task, nil, appendSettle(e.buf.cmd, s))
			return nil
		}
	}
}

// toSettle picks the identity to go on with: the least, so that two runs do
// the same.
func (e *Engine) toSettle(version uint64) []byte {
	ids := e.ofEvent[version]
	for ids.Len() > 0 {
		if id := (*ids)[0]; e.unsettled[id].Version == version {
			return []byte(id)
		}
		heap.Pop(ids) // it is settled
	}
	delete(e.ofEvent, version)
	return nil
}

// unsettledIDs is a heap of the identities that wait for the end of one event, the
// least first: one event may touch as many as its record can name. An identity that is
// settled stays until it comes up.
type unsettledIDs []string

// Len implements heap.Interface; a nil heap is empty.
func (h *unsettledIDs) Len() int {
	if h == nil {
		return 0
	}
	return len(*h)
}

// Less implements heap.Interface.
func (h *unsettledIDs) Less(i, j int) bool { return (*h)[i] < (*h)[j] }

// Swap implements heap.Interface.
func (h *unsettledIDs) Swap(i, j int) { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }

// Push implements heap.Interface.
func (h *unsettledIDs) Push(x any) { *h = append(*h, x.(string)) }

// Pop implements heap.Interface.
func (h *unsettledIDs) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// noteUnsettled keeps an identity in memory as the store has it.
func (e *Engine) noteUnsettled(id string, u unsettled) {
	if was, marked := e.unsettled[id]; !marked || was.Version != u.Version {
		ids := e.ofEvent[u.Version]
		if ids == nil {
			ids = new(unsettledIDs)
			e.ofEvent[u.Version] = ids
		}
		heap.Push(ids, id)
	}
	e.unsettled[id] = u
}

func (e *Engine) settleIdentity(id []byte, s *settle, limit int) (rows int, over bool, err error) {
	u := e.unsettled[string(id)]
	if !u.Settling {
		u.Settling = true
		e.putUnsettled(id, u)
	}
	if rows, over, err = e.forgetLeft(id, limit); err != nil || !over {
		return rows, false, err
	}
	limit -= rows
	prefix := idKey(nil, kindDirty, id)
	var dirty [][]byte
	over = true
	var fault error
	err = e.store.Scan(prefix, nil, func(key, _ []byte) bool {
		if len(dirty) == limit {
			over = false
			return false
		}
		primitive, _, err := cutPrimitive(key[len(prefix):])
		dirty, fault = append(dirty, bytes.Clone(primitive)), err
		return err == nil
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return 0, false, err
	}
	topic := attribution.CauseIdentityEvent
	if s.By.Type == 0 {
		topic = attribution.CauseClaim // its place is in the commands, not in the events
	}
	cause := attribution.Cause{Topic: topic, Arrival: attribution.Arrival{Time: s.By.Time, Offset: s.By.Offset}}
	empty, err := e.deserted(id)
	if err != nil {
		return 0, false, err
	}
	for i, primitive := range dirty {
		if e.added >= settleStep {
			return rows + i, false, nil
		}
		e.store.Delete(rowKey(nil, kindDirty, id, primitive))
		if empty {
			err = e.retract(id, primitive)
		} else {
			err = e.conclude(id, primitive, cause)
		}
		if err != nil {
			return 0, false, err
		}
	}
	if rows += len(dirty); !over {
		return rows, false, nil
	}
	delete(e.unsettled, string(id))
	e.drop(kindUnsettled, id)
	s.Moved.add(moved{Attackers: u.Came, Total: u.In})
	if err := e.settledMembership(id, s, u); err != nil {
		return rows, true, err
	}
	return rows, true, e.remember(id, s, u)
}

// forgetLeft deletes the names of those who left a loser, at most limit of them.
func (e *Engine) forgetLeft(id []byte, limit int) (n int, over bool, err error) {
	var keys [][]byte
	prefix := idKey(nil, kindLeft, id)
	over = true
	err = scan(e.store, prefix, nil, func(rest, _ []byte) error {
		if len(keys) == limit {
			over = false
			return errStop
		}
		keys = append(keys, append(bytes.Clone(prefix), rest...))
		return nil
	})
	if err != nil {
		return 0, false, fmt.Errorf("reading who has left: %w", err)
	}
	for _, k := range keys {
		e.store.Delete(k)
	}
	return len(keys), over, nil
}

// deserted reports whether no attacker is left: then no row has a contribution,
// and there is no need to look for any among the many that were just deleted.
func (e *Engine) deserted(id []byte) (bool, error) {
	i, _, err := e.getIdentity(id)
	if err != nil || len(i.Own) > 0 {
		return false, err
	}
	empty := true
	err = e.store.Scan(idKey(nil, kindMember, id), nil, func(_, _ []byte) bool {
		empty = false
		return false
	})
	return empty, err
}

// HistoryEntry is one identity event as one identity saw it.
type HistoryEntry struct {
	Version uint64                // the order in which events were taken
	Type    attribution.EventType // 0: an attacker was seen first when its stub had been merged
	Offset  int64                 // of the event in identity.events
	Time    int64                 // of its record, Unix milliseconds
	Winner  string                // the identity that attackers went to
	Loser   string                // of a merge or an unmerge
	In, Out uint64                // attackers that came and went
	RowsIn  uint64                // contributions to rows that came with them
	RowsOut uint64
}

// remember adds the event to the identity's history and forgets the oldest
// over the limit.
func (e *Engine) remember(id []byte, s *settle, u unsettled) error {
	entry := appendOrigin([]byte{1}, s.By)
	entry = appendBytes(entry, s.Winner)
	entry = appendBytes(entry, s.Loser)
	for _, n := range [...]uint64{u.In, u.Out, u.RowsIn, u.RowsOut} {
		entry = binary.AppendUvarint(entry, n)
	}
	prefix := idKey(nil, kindHistory, id)
	e.store.Put(binary.BigEndian.AppendUint64(bytes.Clone(prefix), s.By.Version), entry)
	var keys [][]byte
	err := e.store.Scan(prefix, nil, func(key, _ []byte) bool {
		keys = append(keys, bytes.Clone(key))
		return true
	})
	if err != nil {
		return fmt.Errorf("reading the history: %w", err)
	}
	for len(keys) > e.cfg.HistoryKept {
		e.store.Delete(keys[0])
		keys = keys[1:]
	}
	return nil
}

func decodeHistory(b []byte) (h HistoryEntry, err error) {
	in := reader{b: b}
	in.version(1)
	o := in.origin()
	h = HistoryEntry{Version: o.Version, Type: o.Type, Offset: o.Offset, Time: o.Time, Winner: in.text(), Loser: in.text()}
	for _, n := range [...]*uint64{&h.In, &h.Out, &h.RowsIn, &h.RowsOut} {
		*n = in.uvarint()
	}
	return h, in.end("history entry")
}
