package history

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Turn is a transition from one state to another; From is empty for a new row.
type Turn struct{ From, To string }

// turns counts transitions by the minute in which they were recorded, so that an
// overview need not read them. Counts are kept with the entries, in the same step,
// for longer than any window that is asked for.
type turns struct {
	mu      sync.RWMutex
	minutes map[int64]map[Turn]int64
}

// Keys 't' minute (8) from 0 to: the count (8).
const byMinute = 't'

// keptMinutes is for how long counts are kept.
const keptMinutes = 8 * 24 * 60

func minuteOf(recorded float64) int64 { return int64(max(0, recorded)) / 60 }

func turnKey(minute int64, t Turn) []byte {
	key := binary.BigEndian.AppendUint64([]byte{byMinute}, uint64(minute))
	return append(append(append(key, t.From...), 0), t.To...)
}

// load reads the counts.
func (t *turns) load(db *pebble.DB) error {
	t.minutes = map[int64]map[Turn]int64{}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{byMinute}, UpperBound: []byte{byMinute + 1}})
	if err != nil {
		return fmt.Errorf("reading counts: %w", err)
	}
	for valid := it.First(); valid; valid = it.Next() {
		key, value := it.Key(), it.Value()
		if len(key) < 10 || len(value) != 8 {
			continue
		}
		from, to, ok := bytes.Cut(key[9:], []byte{0})
		if ok {
			t.count(int64(binary.BigEndian.Uint64(key[1:])), Turn{string(from), string(to)}, int64(binary.BigEndian.Uint64(value)))
		}
	}
	return it.Close()
}

func (t *turns) count(minute int64, turn Turn, n int64) int64 {
	m := t.minutes[minute]
	if m == nil {
		m = map[Turn]int64{}
		t.minutes[minute] = m
	}
	m[turn] += n
	return m[turn]
}

// add counts entries, and writes the counts that have changed into b.
func (t *turns) add(b *pebble.Batch, entries []Entry) error {
	type place struct {
		minute int64
		turn   Turn
	}
	changed := map[place]int64{}
	t.mu.Lock()
	for i := range entries {
		if e := &entries[i]; e.Kind == State {
			p := place{minuteOf(e.Recorded), Turn{e.OldState, e.NewState}}
			changed[p] = t.count(p.minute, p.turn, 1)
		}
	}
	t.mu.Unlock()
	for p, n := range changed {
		if err := b.Set(turnKey(p.minute, p.turn), binary.BigEndian.AppendUint64(nil, uint64(n)), nil); err != nil {
			return fmt.Errorf("keeping counts: %w", err)
		}
	}
	return nil
}

// forget drops the counts of minutes that no window reaches.
func (t *turns) forget(db *pebble.DB, now int64) error {
	oldest := now - keptMinutes
	t.mu.Lock()
	gone := false
	for minute := range t.minutes {
		if minute < oldest {
			delete(t.minutes, minute)
			gone = true
		}
	}
	t.mu.Unlock()
	if !gone {
		return nil
	}
	end := binary.BigEndian.AppendUint64([]byte{byMinute}, uint64(oldest))
	if err := db.DeleteRange([]byte{byMinute}, end, pebble.NoSync); err != nil {
		return fmt.Errorf("thinning out counts: %w", err)
	}
	return nil
}

// Turned is how often rows turned from one state to another.
type Turned struct {
	Turn
	Count int64
}

// Turned counts the transitions that were recorded since a time, by whole minutes:
// the minute of that time counts as a whole. Most first.
func (h *History) Turned(since float64) []Turned {
	from := minuteOf(since)
	sum := map[Turn]int64{}
	h.turns.mu.RLock()
	for minute, m := range h.turns.minutes {
		if minute >= from {
			for t, n := range m {
				sum[t] += n
			}
		}
	}
	h.turns.mu.RUnlock()
	out := make([]Turned, 0, len(sum))
	for t, n := range sum {
		out = append(out, Turned{t, n})
	}
	slices.SortFunc(out, func(a, b Turned) int {
		if a.Count != b.Count {
			return int(min(max(b.Count-a.Count, -1), 1))
		}
		return bytes.Compare([]byte(a.To+"\x00"+a.From), []byte(b.To+"\x00"+b.From))
	})
	return out
}

// TurnedByMinute counts the transitions that were recorded in each of the minutes up
// to the one of a time, the oldest first.
func (h *History) TurnedByMinute(until float64, minutes int) []int64 {
	out := make([]int64, minutes)
	last := minuteOf(until)
	h.turns.mu.RLock()
	defer h.turns.mu.RUnlock()
	for i := range out {
		for _, n := range h.turns.minutes[last-int64(minutes-1-i)] {
			out[i] += n
		}
	}
	return out
}
