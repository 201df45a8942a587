package history

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// Kind is what an entry is about.
type Kind string

// The kinds.
const (
	State     Kind = "state"     // a row is new or changed its state
	Value     Kind = "value"     // a row has another value in the same state
	Suspicion Kind = "suspicion" // raised, grown or cleared
	Identity  Kind = "identity"  // formed, linked, merged or unmerged
)

// Source is where the record of an entry came from.
type Source byte

// The sources.
const (
	Transitions Source = 't'
	Suspicions  Source = 's'
	Identities  Source = 'i'
	Changelog   Source = 'c'
)

// Entry is one thing that happened to an identity.
type Entry struct {
	Identity   string          `json:"identity_uuid"`
	Kind       Kind            `json:"kind"`
	TS         float64         `json:"ts"`       // when it was observed, Unix seconds
	Recorded   float64         `json:"recorded"` // when its record was written, Unix seconds
	EventID    string          `json:"event_id,omitempty"`
	Primitive  string          `json:"primitive,omitempty"`
	OldState   string          `json:"old_state,omitempty"` // empty: the row is new
	NewState   string          `json:"new_state,omitempty"`
	Value      json.RawMessage `json:"current_value,omitempty"`
	Previous   json.RawMessage `json:"previous_value,omitempty"`
	Confidence float64         `json:"confidence"`
	Count      int64           `json:"observation_count,omitempty"`
	Sampled    bool            `json:"sampled,omitempty"` // seen while catching up: compaction may have hidden some before it
	Status     string          `json:"status,omitempty"`  // of a suspicion; of an identity event its type
	Record     json.RawMessage `json:"record,omitempty"`  // of a suspicion or an identity event, as JSON
	Origin     *int64          `json:"origin,omitempty"`  // of an identity event: its offset, which is over with it
	Source     Source          `json:"source"`
	Partition  int32           `json:"partition"`
	Offset     int64           `json:"offset"`
}

// History is the store. Its methods may be called by several goroutines at the same
// time.
type History struct {
	db     *pebble.DB
	log    *slog.Logger
	begins atomic.Uint64 // bits of Unix seconds
	tally  tally

	adding sync.Mutex // held while entries are added: from when on they are complete is kept with them
}

// Keys: 'i' identity's digest (16), the time descending (8), place (13): the entry.
// 'a' recorded in milliseconds (8), place (13): its key by identity.
// 'm' name: what the caller keeps.
// 'n' minute (8): how many transitions were recorded in it. A place is source, partition, offset.
const (
	byIdentity = 'i'
	byArrival  = 'a'
	mark       = 'm'
	byMinute   = 'n'
	digestLen  = 16
	placeLen   = 13
)

// Open opens the history in a directory, which need not exist. One that is damaged
// gives an error that names it.
func Open(dir string, log *slog.Logger) (*History, error) {
	db, err := pebble.Open(dir, &pebble.Options{Logger: discard{}, MemTableSize: 16 << 20, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		return nil, fmt.Errorf("opening the history (if it is damaged, delete its folder, and it begins anew): %w", err)
	}
	h := &History{db: db, log: log}
	h.begins.Store(math.Float64bits(math.Inf(1)))
	if b, err := h.get(beginsKey); err == nil && len(b) == 8 {
		h.begins.Store(binary.BigEndian.Uint64(b))
	}
	if err := h.tally.load(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return h, nil
}

// discard drops what Pebble tells of its work.
type discard struct{}

func (discard) Infof(string, ...any)  {}
func (discard) Errorf(string, ...any) {}
func (discard) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("the history cannot be used: "+format, args...))
}

// Close writes what is in memory and closes the store.
func (h *History) Close() error { return errors.Join(h.db.Flush(), h.db.Close()) }

// beginsKey is the mark that keeps from when on entries are complete.
var beginsKey = []byte{mark, 'b', 'e', 'g', 'i', 'n', 's'}

// Begins returns from when on entries are complete, in Unix seconds; +Inf if there
// are none.
func (h *History) Begins() float64 { return math.Float64frombits(h.begins.Load()) }

func appendPlace(dst []byte, e *Entry) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, byte(e.Source)), uint32(e.Partition))
	return binary.BigEndian.AppendUint64(dst, uint64(e.Offset))
}

func identityKey(id string) []byte {
	sum := sha256.Sum256([]byte(id))
	return append([]byte{byIdentity}, sum[:digestLen]...)
}

// descending turns a time into bytes that sort the latest first.
func descending(ts float64) uint64 { return ^ascending(ts) }

func ascending(ts float64) uint64 {
	bits := math.Float64bits(ts)
	if bits>>63 == 1 {
		return ^bits
	}
	return bits | 1<<63
}

func arrivalKey(e *Entry) []byte {
	key := arrivalBound(e.Recorded)
	return appendPlace(key, e)
}

// Add keeps entries, and what the caller says of how far it has come, in one step.
func (h *History) Add(entries []Entry, marks map[string][]byte) error {
	h.adding.Lock()
	defer h.adding.Unlock()
	b := h.db.NewBatch()
	defer b.Close()
	for i := range entries {
		e := &entries[i]
		value, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("keeping an entry of %s[%d] offset %d: %w", string(e.Source), e.Partition, e.Offset, err)
		}
		key := appendPlace(binary.BigEndian.AppendUint64(identityKey(e.Identity), descending(e.TS)), e)
		if err := errors.Join(b.Set(key, value, nil), b.Set(arrivalKey(e), key, nil)); err != nil {
			return fmt.Errorf("keeping entries: %w", err)
		}
		if e.Origin != nil {
			if err := b.Set(eventKey(*e.Origin, eventMillis(e)), []byte{1}, nil); err != nil {
				return fmt.Errorf("keeping entries: %w", err)
			}
		}
		if e.Recorded < h.Begins() {
			h.begins.Store(math.Float64bits(e.Recorded))
			if err := b.Set(beginsKey, binary.BigEndian.AppendUint64(nil, math.Float64bits(e.Recorded)), nil); err != nil {
				return fmt.Errorf("keeping entries: %w", err)
			}
		}
	}
	if err := h.tally.count(entries, b); err != nil {
		return err
	}
	if err := putMarks(b, marks); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("keeping %d entries: %w", len(entries), err)
	}
	return nil
}

// Mark returns what the caller has kept under a name, nil if nothing.
func (h *History) Mark(name string) ([]byte, error) {
	v, err := h.get(append([]byte{mark}, name...))
	if err != nil {
		return nil, fmt.Errorf("reading the position %s: %w", name, err)
	}
	return v, nil
}

// KeepMarks keeps what the caller says of how far it has come. It may be called beside
// Add; what was added before is kept before.
func (h *History) KeepMarks(marks map[string][]byte) error {
	b := h.db.NewBatch()
	defer b.Close()
	if err := putMarks(b, marks); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("keeping positions: %w", err)
	}
	return nil
}

// Reset empties the history: it was made from another application's topics. What was
// published stays, and so do the marks with these names: it comes of a topic of its own,
// which says itself when it was made anew.
func (h *History) Reset(published ...string) error {
	h.adding.Lock()
	defer h.adding.Unlock()
	b := h.db.NewBatch()
	defer b.Close()
	var err error
	from := []byte{0}
	for _, name := range slices.Sorted(slices.Values(published)) {
		key := append([]byte{mark}, name...)
		err = errors.Join(err, b.DeleteRange(from, key, nil))
		from = append(key, 0)
	}
	err = errors.Join(err, b.DeleteRange(from, []byte{byPublished}, nil), b.DeleteRange([]byte{byPublished + 1}, []byte{255}, nil))
	if err != nil {
		return fmt.Errorf("emptying the history: %w", err)
	}
	h.begins.Store(math.Float64bits(math.Inf(1)))
	h.tally.mu.Lock()
	h.tally.minutes, h.tally.newest = make(map[int64]*Changes), 0
	h.tally.mu.Unlock()
	return b.Commit(pebble.Sync)
}

// Place is where a page of a timeline ended.
type Place []byte

// Query says which entries of an identity are asked for.
type Query struct {
	Identity  string
	Primitive string  // empty: all
	From, To  float64 // Unix seconds; To 0: no end
	Kinds     []Kind  // none: all
	After     Place   // of the page before; nil: the first
	Limit     int
}

// maxLooked bounds the entries that one page looks at.
const maxLooked = 100_000

// Timeline returns entries of an identity, the latest first, and the place to go on
// from, nil if there are no more.
func (h *History) Timeline(q Query) (page []Entry, next Place, err error) {
	prefix := identityKey(q.Identity)
	lower := prefix
	if q.To != 0 {
		lower = binary.BigEndian.AppendUint64(prefix[:len(prefix):len(prefix)], descending(q.To))
	}
	if len(q.After) > 0 {
		lower = append(append(prefix[:len(prefix):len(prefix)], q.After...), 0)
	}
	upper := append(prefix[:len(prefix):len(prefix)], binary.BigEndian.AppendUint64(nil, descending(q.From))...)
	upper = append(upper, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255)
	it, err := h.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, nil, fmt.Errorf("reading a timeline: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	looked := 0
	for valid := it.First(); valid; valid = it.Next() {
		var e Entry
		if err := json.Unmarshal(it.Value(), &e); err != nil {
			return nil, nil, fmt.Errorf("reading an entry: %w", err)
		}
		looked++
		if q.takes(&e) {
			page = append(page, e)
		}
		if len(page) == q.Limit || looked == maxLooked {
			next = append(Place{}, it.Key()[len(prefix):]...)
			if !it.Next() {
				next = nil
			}
			break
		}
	}
	return page, next, nil
}

func (q *Query) takes(e *Entry) bool {
	if e.Identity != q.Identity || q.Primitive != "" && e.Primitive != q.Primitive {
		return false
	}
	for _, k := range q.Kinds {
		if k == e.Kind {
			return true
		}
	}
	return len(q.Kinds) == 0
}

// Since yields the entries that were recorded at a time or later, in the order of
// their arrival, until yield returns false.
func (h *History) Since(recorded float64, yield func(e *Entry) bool) (err error) {
	lower := arrivalBound(recorded)
	it, err := h.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: []byte{byArrival + 1}})
	if err != nil {
		return fmt.Errorf("reading the history: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for valid := it.First(); valid; valid = it.Next() {
		v, closer, err := h.db.Get(it.Value())
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the history: %w", err)
		}
		var e Entry
		err = json.Unmarshal(v, &e)
		if cerr := closer.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fmt.Errorf("reading an entry: %w", err)
		}
		if !yield(&e) {
			return nil
		}
	}
	return nil
}

// Latest returns the entries of a kind that were recorded last, the newest first,
// at most limit. It looks at ten times as many at most, or at 3,000.
func (h *History) Latest(limit int, kind Kind) (entries []Entry, err error) {
	it, err := h.db.NewIter(&pebble.IterOptions{LowerBound: []byte{byArrival}, UpperBound: []byte{byArrival + 1}})
	if err != nil {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for valid, looked := it.Last(), 0; valid && len(entries) < limit && looked < max(10*limit, 3000); valid, looked = it.Prev(), looked+1 {
		v, closer, err := h.db.Get(it.Value())
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the history: %w", err)
		}
		var e Entry
		err = json.Unmarshal(v, &e)
		if err = errors.Join(err, closer.Close()); err != nil {
			return nil, fmt.Errorf("reading an entry: %w", err)
		}
		if e.Kind == kind {
			entries = append(entries, e)
		}
	}
	return entries, nil
}
