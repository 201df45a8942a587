package history

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"handprint/attribution"
)

// states is how many states a row can be in; one more stands for no row.
const states = int(attribution.MultiActor) + 1

// Changes are transitions by the state before, where [NoRow] stands for a row that is
// new, and the state after.
type Changes [states + 1][states]uint32

// NoRow is the state before of a row that is new.
const NoRow = states

// Total returns the sum.
func (c *Changes) Total() (n int) {
	for _, row := range c {
		for _, count := range row {
			n += int(count)
		}
	}
	return n
}

// tallyMinutes is for how many minutes transitions are counted: a little more than a
// week.
const tallyMinutes = 7*24*60 + 60

// tally counts transitions by the minute in which they were recorded, so that nobody
// has to read them to know how many there were. It is kept with the entries, in the
// same writes.
type tally struct {
	mu      sync.Mutex
	minutes map[int64]*Changes
	newest  int64
}

const tallyLen = (states + 1) * states * 4

func minuteOf(recorded float64) int64 { return int64(recorded) / 60 }

func tallyKey(minute int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{byMinute}, uint64(minute))
}

// count counts the transitions of entries, and puts the minutes that have changed into
// the batch.
func (t *tally) count(entries []Entry, b *pebble.Batch) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed := map[int64]*Changes{}
	for i := range entries {
		e := &entries[i]
		if e.Kind != State || !(e.Recorded >= 0) {
			continue
		}
		from := NoRow
		if e.OldState != "" {
			s, err := attribution.ParseState(e.OldState)
			if err != nil {
				continue // of a newer release
			}
			from = int(s)
		}
		to, err := attribution.ParseState(e.NewState)
		if err != nil {
			continue
		}
		minute := minuteOf(e.Recorded)
		if minute <= t.newest-tallyMinutes {
			continue
		}
		c := t.minutes[minute]
		if c == nil {
			c = new(Changes)
			t.minutes[minute] = c
		}
		c[from][to]++
		changed[minute] = c
		t.newest = max(t.newest, minute)
	}
	for minute, c := range changed {
		value := make([]byte, 0, tallyLen)
		for _, row := range c {
			for _, n := range row {
				value = binary.LittleEndian.AppendUint32(value, n)
			}
		}
		if err := b.Set(tallyKey(minute), value, nil); err != nil {
			return fmt.Errorf("counting transitions: %w", err)
		}
	}
	return t.forget(b)
}

// forget drops the minutes that are too old to be asked for.
func (t *tally) forget(b *pebble.Batch) error {
	oldest := t.newest - tallyMinutes
	if len(t.minutes) <= tallyMinutes || oldest <= 0 {
		return nil
	}
	for minute := range t.minutes {
		if minute <= oldest {
			delete(t.minutes, minute)
		}
	}
	if err := b.DeleteRange(tallyKey(0), tallyKey(oldest+1), nil); err != nil {
		return fmt.Errorf("counting transitions: %w", err)
	}
	return nil
}

// load reads the minutes that are kept.
func (t *tally) load(db *pebble.DB) error {
	t.minutes = make(map[int64]*Changes)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{byMinute}, UpperBound: []byte{byMinute + 1}})
	if err != nil {
		return fmt.Errorf("reading the numbers of transitions: %w", err)
	}
	for valid := it.First(); valid; valid = it.Next() {
		key, value := it.Key(), it.Value()
		if len(key) != 9 || len(value) != tallyLen {
			continue
		}
		minute := int64(binary.BigEndian.Uint64(key[1:]))
		c := new(Changes)
		for i := range c {
			for j := range c[i] {
				c[i][j] = binary.LittleEndian.Uint32(value[4*(i*states+j):])
			}
		}
		t.minutes[minute] = c
		t.newest = max(t.newest, minute)
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("reading the numbers of transitions: %w", err)
	}
	return nil
}

// Changes returns how many transitions were recorded since the minute in which a time
// lies, in Unix seconds; of the last week at most.
func (h *History) Changes(since float64) (sum Changes) {
	h.tally.mu.Lock()
	defer h.tally.mu.Unlock()
	for minute, c := range h.tally.minutes {
		if minute < minuteOf(max(0, since)) {
			continue
		}
		for i := range c {
			for j := range c[i] {
				sum[i][j] += c[i][j]
			}
		}
	}
	return sum
}
