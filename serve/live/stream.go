package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"handprint/serve/history"
)

// Filter says which events a client wants. Empty fields want all.
type Filter struct {
	Types     []string
	Identity  string
	Primitive string
	Domain    string
	NewState  []string
	Rate      int // events a second; more are summed up
	// Observed are observations that the client has asked for besides; nil: none.
	Observed *Observed
}

// Observed hands the observations that one client has asked for from their reader to
// the client: more than fit are dropped and counted.
type Observed struct {
	events  chan *Event
	dropped atomic.Int64
}

// observedRoom is how many observations wait for a client.
const observedRoom = 256

// NewObserved returns one with room.
func NewObserved() *Observed { return &Observed{events: make(chan *Event, observedRoom)} }

// Publish hands an observation over. It never waits.
func (o *Observed) Publish(e Event) {
	e.prepare()
	select {
	case o.events <- &e:
	default:
		o.dropped.Add(1)
	}
}

// channel returns what a client waits for; nil if it has asked for none.
func (o *Observed) channel() <-chan *Event {
	if o == nil {
		return nil
	}
	return o.events
}

func (f *Filter) takes(e *Event) bool {
	return (len(f.Types) == 0 || slices.Contains(f.Types, e.Type)) && (f.Identity == "" || f.Identity == e.Identity || f.Identity == e.Other) &&
		(f.Primitive == "" || f.Primitive == e.Primitive) && (f.Domain == "" || f.Domain == e.domain) &&
		(len(f.NewState) == 0 || slices.Contains(f.NewState, e.NewState))
}

// Config is what streams are made of.
type Config struct {
	Ring       *Ring
	History    *history.History
	Snapshot   func() any              // the data of a snapshot
	Stale      func() (what string)    // read, input, or empty: fresh
	Clients    int                     // at most, at the same time
	PerSubject int                     // of these, of one subject
	Tick       func() <-chan time.Time // every second; nil: the system's clock. Tests give their own
	WriteTime  time.Duration           // how long a client may take for a piece; 0: 5 s
}

// Stream serves events to clients.
type Stream struct {
	Config
	mu       sync.Mutex
	clients  int
	subjects map[string]int
	stopping chan struct{}
	stopOnce sync.Once
	missed   atomic.Int64
	cut      atomic.Int64
}

// NewStream returns a Stream.
func NewStream(c Config) *Stream {
	if c.WriteTime == 0 {
		c.WriteTime = writeTime
	}
	return &Stream{Config: c, subjects: make(map[string]int), stopping: make(chan struct{})}
}

// Stop says goodbye to all clients.
func (s *Stream) Stop() { s.stopOnce.Do(func() { close(s.stopping) }) }

// Clients returns how many clients there are, how many events were missed by slow
// ones, and how many clients were cut off.
func (s *Stream) Clients() (now int, missed, cut int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clients, s.missed.Load(), s.cut.Load()
}

// Admit counts a client in and reports whether there is room; leave counts it out.
func (s *Stream) Admit(subject string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients >= s.Config.Clients || s.subjects[subject] >= s.PerSubject {
		return nil, false
	}
	s.clients++
	s.subjects[subject]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.clients--
		if s.subjects[subject]--; s.subjects[subject] == 0 {
			delete(s.subjects, subject)
		}
	}, true
}

const (
	writeTime  = 5 * time.Second
	keepAlive  = 3 // seconds
	replayBack = 5.0
	maxReplay  = 10_000
	readPiece  = 500
	// writePiece is how much is written at once: a client has to take that much within
	// the time for a write, or is cut off.
	writePiece = 16 << 10
	// sendBuffer is how much the operating system keeps of what a client has not
	// taken: by default it would be some MiB for each.
	sendBuffer = 64 << 10
)

// connKey is under which a request has its connection.
type connKey struct{}

// WithConn is for [http.Server]: requests have their connection with them, whose
// buffer a stream bounds.
func WithConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// narrow bounds what the operating system keeps for a client.
func narrow(ctx context.Context) {
	c, _ := ctx.Value(connKey{}).(net.Conn)
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = t.NetConn()
	}
	if b, ok := c.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = b.SetWriteBuffer(sendBuffer) // it works without
	}
}

// client is one connection.
type client struct {
	s      *Stream
	w      http.ResponseWriter
	rc     *http.ResponseController
	f      Filter
	place  uint64
	last   ID // sent last
	tokens int
	sum    summary
	stale  string
	b      bytes.Buffer
	read   []*Event
}

// summary is what was not sent one by one.
type summary struct {
	From    string         `json:"from"`
	To      string         `json:"to"`
	Skipped int            `json:"skipped"`
	By      map[string]int `json:"by"`
}

// Serve sends events to a client until it goes. lastID is the last event that it has
// seen; nil: none.
func (s *Stream) Serve(ctx context.Context, w http.ResponseWriter, f Filter, lastID *ID) error {
	narrow(ctx)
	c := &client{s: s, w: w, rc: http.NewResponseController(w), f: f, place: s.Ring.End(), tokens: f.Rate}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	c.b.WriteString("retry: 2000\n\n")
	if lastID == nil || float64(lastID.Millis)/1000 < s.History.Begins() {
		if lastID != nil {
			c.put("reset", nil, map[string]any{"reason": "the history does not reach back that far"})
		}
		c.put("snapshot", lastID, s.Snapshot())
	} else if err := c.replay(*lastID); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	tick, stop := s.ticks()
	defer stop()
	quiet := 0
	for {
		more, err := c.drain()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.stopping:
			c.put("bye", nil, map[string]any{"reason": "the process stops: connect again"})
			return c.flush()
		case <-more:
		case e := <-f.Observed.channel():
			c.observed(e)
		case <-tick:
			c.tokens = f.Rate
			c.summarise()
			c.unobserved()
			if stale := s.Stale(); stale != c.stale {
				c.stale = stale
				c.put("freshness", nil, map[string]any{"stale": stale})
			}
			// Said even if nothing happened: who hears nothing knows that the
			// connection is dead, and not only quiet.
			if quiet++; quiet >= keepAlive && c.b.Len() == 0 {
				c.put("freshness", nil, map[string]any{"stale": c.stale})
			}
			if c.b.Len() > 0 {
				quiet = 0
			}
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
}

func (s *Stream) ticks() (<-chan time.Time, func()) {
	if s.Tick != nil {
		return s.Tick(), func() {}
	}
	t := time.NewTicker(time.Second)
	return t.C, t.Stop
}

// drain sends what is in the ring, and returns what to wait for.
func (c *client) drain() (<-chan struct{}, error) {
	for {
		events, missed, more := c.s.Ring.Read(c.place, readPiece, c.read)
		c.read = events
		if missed > 0 {
			c.place += missed
			c.s.missed.Add(int64(missed))
			c.put("gap", nil, map[string]any{"missed": missed, "last_event_id": c.last.String()})
		}
		if len(events) == 0 {
			return more, c.flush()
		}
		c.place += uint64(len(events))
		for i := range events {
			c.event(events[i])
			if c.b.Len() >= writePiece {
				if err := c.flush(); err != nil {
					return nil, err
				}
			}
		}
		if err := c.flush(); err != nil {
			return nil, err
		}
	}
}

// observed sends an observation, or counts it where there are too many. It has no id:
// who comes back goes on behind the last event of the topics that everybody is told of.
func (c *client) observed(e *Event) {
	switch {
	case !c.f.takes(e):
	case c.tokens <= 0:
		c.f.Observed.dropped.Add(1)
	default:
		c.tokens--
		c.raw(e.Type, "", e.Data)
	}
}

// unobserved tells of the observations that were not sent.
func (c *client) unobserved() {
	if c.f.Observed == nil {
		return
	}
	if n := c.f.Observed.dropped.Swap(0); n > 0 {
		c.put("gap", nil, map[string]any{"missed": n, "of": Observation})
	}
}

// event sends an event, or sums it up where there are too many.
func (c *client) event(e *Event) {
	if !c.f.takes(e) {
		return
	}
	if c.tokens > 0 && c.sum.Skipped == 0 {
		c.tokens--
		c.raw(e.Type, e.ID.String(), e.Data)
		c.last = e.ID
		return
	}
	if c.sum.Skipped == 0 {
		c.sum = summary{From: e.ID.String(), By: map[string]int{}}
	}
	c.sum.Skipped++
	c.sum.To = e.ID.String()
	c.sum.By[e.what]++
	c.last = e.ID
}

func (c *client) summarise() {
	if c.sum.Skipped > 0 {
		c.put("summary", &c.last, c.sum)
		c.sum = summary{}
	}
}

// replay sends what was recorded since the last event that the client has seen, from
// a little before it, as replicas see partitions in other orders.
func (c *client) replay(last ID) error {
	c.last = last
	sent := 0
	cut := false
	var failed error
	err := c.s.History.Since(float64(last.Millis)/1000-replayBack, func(entry *history.Entry) bool {
		e, ok := Of(entry)
		e.prepare()
		if !ok || !c.f.takes(&e) || e.ID == last {
			return true
		}
		if sent++; sent > maxReplay {
			cut = true
			return false
		}
		c.raw(e.Type, e.ID.String(), e.Data)
		c.last = e.ID
		if c.b.Len() >= writePiece {
			failed = c.flush()
		}
		return failed == nil
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if cut {
		c.put("gap", nil, map[string]any{"missed": -1, "last_event_id": c.last.String()})
	}
	return c.flush()
}

// put writes an event of the stream itself.
func (c *client) put(event string, id *ID, data any) {
	b, err := json.Marshal(data)
	if err != nil {
		b = []byte("{}")
	}
	text := ""
	if id != nil {
		text = id.String()
	}
	c.raw(event, text, b)
}

func (c *client) raw(event, id string, data []byte) {
	c.b.WriteString("event: " + event + "\n")
	if id != "" {
		c.b.WriteString("id: " + id + "\n")
	}
	c.b.WriteString("data: ")
	c.b.Write(data)
	c.b.WriteString("\n\n")
}

// flush sends what was written. A client that does not take it for long is cut off.
func (c *client) flush() error {
	if c.b.Len() == 0 {
		return nil
	}
	_ = c.rc.SetWriteDeadline(time.Now().Add(c.s.WriteTime)) // not every writer can
	_, err := c.w.Write(c.b.Bytes())
	c.b.Reset()
	if err == nil {
		err = c.rc.Flush()
	}
	if err != nil {
		c.s.cut.Add(1)
		return fmt.Errorf("sending events: %w", err)
	}
	return nil
}
