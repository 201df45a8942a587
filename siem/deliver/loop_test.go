package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"handprint/schemas"
	"handprint/siem"
	"handprint/siem/siemtest"
)

var topics = siem.Topics{StateChanged: "t", Suspected: "s", IdentityChanged: "c", State: "r"}

// memoryLog is a topic of three partitions in memory, with the offsets of one group and
// the dead letters.
type memoryLog struct {
	mu        sync.Mutex
	records   map[int32][]*kgo.Record
	topic     string
	committed map[int32]int64
	dead      map[string]string // reason, by the record's value
}

func newLog(topic string) *memoryLog {
	return &memoryLog{topic: topic, records: map[int32][]*kgo.Record{}, committed: map[int32]int64{}, dead: map[string]string{}}
}

func (l *memoryLog) append(partition int32, key, value []byte) {
	l.records[partition] = append(l.records[partition], &kgo.Record{Topic: l.topic, Partition: partition, Offset: int64(len(l.records[partition])), Key: key, Value: value, Timestamp: time.UnixMilli(1795000000000)})
}

func (l *memoryLog) done() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, records := range l.records {
		if l.committed[p] < int64(len(records)) {
			return false
		}
	}
	return true
}

// reader is one process's view of the log: it reads on from what was committed
// when it began.
type reader struct {
	*memoryLog
	next map[int32]int64
	idle func() // called when there is nothing to read
}

func (l *memoryLog) reader(idle func()) *reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &reader{memoryLog: l, next: map[int32]int64{}, idle: idle}
	for p := range l.records {
		r.next[p] = l.committed[p]
	}
	return r
}

func (r *reader) Poll(ctx context.Context, limit int) ([]*kgo.Record, error) {
	r.mu.Lock()
	var all []*kgo.Record
	for p, records := range r.records {
		for r.next[p] < int64(len(records)) && len(all) < limit {
			all = append(all, records[r.next[p]])
			r.next[p]++
		}
	}
	r.mu.Unlock()
	if len(all) == 0 {
		r.idle()
		if _, ok := ctx.Deadline(); ok || ctx.Err() != nil {
			<-ctx.Done()
		}
	}
	return all, nil
}

func (r *reader) Commit(_ context.Context, next Offsets) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, at := range next[r.topic] {
		r.committed[p] = max(r.committed[p], at.Offset)
	}
	return nil
}

func (r *reader) Dead(_ context.Context, rec *kgo.Record, reason string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead[fmt.Sprintf("%d/%d", rec.Partition, rec.Offset)] = reason
	return nil
}

// quickClock lets no time pass in waits but on paper.
type quickClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *quickClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *quickClock) Sleep(ctx context.Context, d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err() == nil
}

func newConfig(source Source, receiver Receiver) Config {
	return Config{
		Name: "x", Type: "fake", Source: source, Receiver: receiver, Decoder: &siem.Decoder{Topics: topics}, Clock: &quickClock{now: time.Unix(1795000000, 0)},
		Log: slog.New(slog.DiscardHandler), Pace: Pace{BatchRecords: 7, BatchBytes: 4000},
	}
}

// fakeReceiver does what draw says, and counts what it took.
type fakeReceiver struct {
	draw   func(what string, n int) int
	got    map[string]int  // by place
	poison map[string]bool // refused whenever they come
	kill   context.CancelFunc
}

func place(it *Item) string { return fmt.Sprintf("%d/%d", it.Record.Partition, it.Record.Offset) }

func (f *fakeReceiver) Prepare(it *Item) { it.Body = []byte(it.Event.ID) }

func (f *fakeReceiver) Deliver(_ context.Context, items []*Item) error {
	switch f.draw("request", 12) {
	case 0:
		return errors.New("no connection")
	case 1:
		return &Busy{time.Second, errors.New("429")}
	case 2:
		// All of it arrived, but nobody says so: half a response.
		for _, it := range items {
			if !f.poison[place(it)] {
				f.got[place(it)]++
			}
		}
		return errShort
	case 3:
		f.kill()
		return errors.New("killed")
	case 4:
		if slices.ContainsFunc(items, func(it *Item) bool { return f.poison[place(it)] }) {
			return &Refused{"one is bad"}
		}
	}
	for _, it := range items {
		switch {
		case f.poison[place(it)]:
			it.Verdict = Verdict{Never, "bad"}
		case f.draw("item", 6) == 0:
			it.Verdict = Verdict{Again, "later"}
		case f.got[place(it)] > 0:
			it.Verdict = Verdict{Had, ""}
		default:
			f.got[place(it)]++
			it.Verdict = Verdict{Done, ""}
		}
	}
	return nil
}

func (f *fakeReceiver) Close(context.Context) error { return nil }

// Whatever a receiver does, and whenever the sink is killed: every event arrives
// or is in the dead letters, and nothing that would have arrived is.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := siemtest.New(rapid.Uint64().Draw(t, "seed"))
		log := newLog(topics.StateChanged)
		bad, poison := map[string]bool{}, map[string]bool{}
		for i := range rapid.IntRange(1, 60).Draw(t, "records") {
			p := int32(i % 3)
			at := fmt.Sprintf("%d/%d", p, len(log.records[p]))
			if rapid.IntRange(0, 15).Draw(t, "bad") == 0 {
				bad[at] = true
				log.append(p, nil, []byte("no event"))
				continue
			}
			poison[at] = rapid.IntRange(0, 15).Draw(t, "poison") == 0
			log.append(p, nil, schemas.AppendTransitionJSON(nil, records.Transition()))
		}
		receiver := &fakeReceiver{got: map[string]int{}, poison: poison, draw: func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }}
		for runs := 0; !log.done(); runs++ {
			if runs > 300 {
				t.Fatal("no end")
			}
			ctx, cancel := context.WithCancel(context.Background())
			receiver.kill = cancel
			if err := NewLoop(newConfig(log.reader(cancel), receiver)).Run(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
		}
		for p, list := range log.records {
			for i := range list {
				at := fmt.Sprintf("%d/%d", p, i)
				_, dead := log.dead[at]
				if lost := bad[at] || poison[at]; dead != lost || (receiver.got[at] > 0) == lost {
					t.Fatalf("%s: bad %v, poison %v, dead %v, received %d times", at, bad[at], poison[at], dead, receiver.got[at])
				}
			}
		}
	})
}

// ender takes everything but one event, which it never takes, and ends the loop as it
// answers.
type ender struct {
	fakeReceiver
	end context.CancelFunc
}

func (e *ender) Deliver(_ context.Context, items []*Item) error {
	judge(items, Done, "")
	items[0].Verdict = Verdict{Never, "bad"}
	e.end()
	return nil
}

// What a receiver has answered is committed although the end has come meanwhile, so
// that it is not sent once more after a good end.
func TestWhatWasAnsweredIsCommittedAtTheEnd(t *testing.T) {
	log := newLog(topics.StateChanged)
	for range 5 {
		log.append(0, nil, schemas.AppendTransitionJSON(nil, siemtest.New(1).Transition()))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := NewLoop(newConfig(log.reader(cancel), &ender{end: cancel})).Run(ctx); err != nil {
		t.Fatal(err)
	}
	if !log.done() || len(log.dead) != 1 {
		t.Errorf("committed %v of 5, dead letters %v", log.committed, log.dead)
	}
}

// stubborn fails a number of times, and notes how much it was given each time.
type stubborn struct {
	fakeReceiver
	fails int
	sizes []int
}

func (s *stubborn) Deliver(_ context.Context, items []*Item) error {
	s.sizes = append(s.sizes, len(items))
	if s.fails--; s.fails >= 0 {
		return errors.New("down")
	}
	judge(items, Done, "")
	return nil
}

// After some failures a receiver is only probed, with one event; when that is
// taken, the rest follows at once.
func TestTheCircuitOpens(t *testing.T) {
	log := newLog(topics.StateChanged)
	for range 5 {
		log.append(0, nil, []byte(`{"event_id":"x","identity_uuid":"i","primitive":"a.b","old_state":null,"new_state":"stable","current_value":1,"confidence":0.5,"observation_count":4,"ts":1}`))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := &stubborn{fails: 8}
	c := newConfig(log.reader(cancel), s)
	loop := NewLoop(c)
	if err := loop.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if want := []int{5, 5, 5, 5, 5, 1, 1, 1, 1, 4}; !slices.Equal(s.sizes, want) {
		t.Errorf("requests of %v events, not %v", s.sizes, want)
	}
	if st := loop.Status(); st.Delivered != 5 || st.Failures != 8 || st.Open || !log.done() {
		t.Errorf("%+v", st)
	}
	if waited := c.Clock.Now().Sub(time.Unix(1795000000, 0)); waited < 4*c.Pace.withDefaults().BreakWait/2 {
		t.Errorf("waited only %s", waited)
	}
}

func TestFilters(t *testing.T) {
	transition := &siem.Event{Kind: siem.Transition, Primitive: "toolchain.ssh.hassh_client", State: 2}
	for _, c := range []struct {
		f    Filter
		e    *siem.Event
		want bool
	}{
		{Filter{}, transition, true},
		{Filter{Events: []string{"state"}}, transition, false},
		{Filter{Primitives: []string{"toolchain.*"}}, transition, true},
		{Filter{Primitives: []string{"motor.*"}}, transition, false},
		{Filter{States: []string{"drifting"}}, transition, true},
		{Filter{States: []string{"stable"}}, transition, false},
		{Filter{States: []string{"stable"}}, &siem.Event{Kind: siem.Tombstone}, true},
		{Filter{Least: siem.Medium, Severity: func(*siem.Event) siem.Severity { return siem.Low }}, transition, false},
		{Filter{Least: siem.Medium, Severity: func(*siem.Event) siem.Severity { return siem.Low }}, &siem.Event{Kind: siem.Row}, true},
		{Filter{Primitives: []string{"b.*"}}, &siem.Event{Kind: siem.Suspicion, Primitives: []string{"a.x", "b.y"}}, true},
	} {
		if got := c.f.wants(c.e); got != c.want {
			t.Errorf("%+v of %+v: %v", c.f, c.e, got)
		}
	}
}
