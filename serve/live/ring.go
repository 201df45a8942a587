package live

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// ID is where an event was recorded: time of append, partition and offset. Any
// replica understands it.
type ID struct {
	Millis    int64 // Unix milliseconds
	Partition int32
	Offset    int64
}

// String returns the id as clients see it.
func (i ID) String() string { return fmt.Sprintf("%d.%d.%d", i.Millis, i.Partition, i.Offset) }

// ParseID reads what String returns.
func ParseID(s string) (ID, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return ID{}, fmt.Errorf("an event id has three numbers joined by dots")
	}
	millis, err := strconv.ParseInt(parts[0], 10, 64)
	partition, perr := strconv.ParseInt(parts[1], 10, 32)
	offset, oerr := strconv.ParseInt(parts[2], 10, 64)
	if cmp.Or(err, perr, oerr) != nil || millis < 0 || partition < 0 || offset < 0 {
		return ID{}, fmt.Errorf("an event id has three numbers joined by dots")
	}
	return ID{millis, int32(partition), offset}, nil
}

// Event is one event, encoded once for all clients.
type Event struct {
	ID        ID
	Type      string // state_changed, multi_actor_suspected, identity_formed, ...
	Identity  string
	Other     string // of an identity event: the second identity
	Primitive string // of a transition
	OldState  string // of a transition; empty: new
	NewState  string // of a transition
	Data      []byte // JSON, one line

	domain string // of Primitive
	what   string // what summaries count it as
}

// prepare works out what every client would work out for itself.
func (e *Event) prepare() {
	e.domain, _, _ = strings.Cut(e.Primitive, ".")
	switch {
	case e.Type != StateChanged:
		e.what = e.Type
	case e.OldState == "":
		e.what = "new"
	default:
		e.what = e.OldState + ">" + e.NewState
	}
}

// Ring holds the newest events for all clients. A client is a place in it: it has
// no queue of its own, so any number of slow ones take no memory and stop nobody.
type Ring struct {
	mu     sync.Mutex
	events []*Event // by sequence number modulo the size
	next   uint64   // sequence number of the next event
	woken  chan struct{}
}

// NewRing returns a ring of so many events.
func NewRing(size int) *Ring {
	return &Ring{events: make([]*Event, size), woken: make(chan struct{})}
}

// Publish puts events into the ring and wakes all who wait. It never waits.
func (r *Ring) Publish(events ...Event) {
	if len(events) == 0 {
		return
	}
	for i := range events {
		events[i].prepare()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range events {
		e := events[i] // on its own, so that the ring alone keeps it
		r.events[r.next%uint64(len(r.events))] = &e
		r.next++
	}
	close(r.woken)
	r.woken = make(chan struct{})
}

// End returns the sequence number behind the newest event.
func (r *Ring) End() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// Read returns events from a sequence number on, at most limit, how many of those
// before are gone, and a channel that is closed when there is more. The events are not
// to be changed; into is used again.
func (r *Ring) Read(from uint64, limit int, into []*Event) (events []*Event, missed uint64, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if size := uint64(len(r.events)); r.next > size && from < r.next-size {
		missed = r.next - size - from
		from = r.next - size
	}
	events = into[:0]
	for ; from < r.next && len(events) < limit; from++ {
		events = append(events, r.events[from%uint64(len(r.events))])
	}
	return events, missed, r.woken
}
