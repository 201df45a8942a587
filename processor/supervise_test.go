package processor

import (
	"context"
	"encoding/json"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/processor/clocktest"
)

func TestControlStops(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	// A stop from before the start is not for us.
	c.produce(&kgo.Record{Topic: testControl, Value: []byte(`{"action":"stop"}`)})
	cfg := c.config(newStore(t))
	cfg.Control = testControl
	p := start(t, cfg)
	p.awaitTasks(testTasks)
	ignored := []string{``, `stop`, `[]`, `{"action":"halt"}`, `{"action":1}`, `{}`, `{"requested_by":"me"}`, `"stop"`}
	for _, v := range ignored {
		c.produce(&kgo.Record{Topic: testControl, Value: []byte(v)})
	}
	c.feed(testInput, 2, 2)
	c.await(testOutput, 2*2*2)
	c.produce(&kgo.Record{Topic: testControl, Value: []byte(`{"action":"stop","requested_by":{"name":"me"},"more":1}`)})
	if err := p.wait(); err != nil {
		t.Errorf("a stop returned %v", err)
	}
	if n := p.Status().Counters.ControlIgnored; n != int64(len(ignored)) {
		t.Errorf("%d control messages were ignored, want %d", n, len(ignored))
	}
	c.checkCounts(2, 2, testInput, testCommands)
}

// A control topic that may not be read any more is asked for less and less
// often, and heard again when it may.
func TestControlErrorsArePaced(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.Control = testControl
	const errors = 6
	refused := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: testControl, Err: kerr.TopicAuthorizationFailed, Count: errors})
	p := start(t, cfg)
	if err := refused.Wait(c.ctx, 1); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := refused.Wait(c.ctx, errors); err != nil {
		t.Fatal(err)
	}
	// The client asks once ahead of who waits.
	if took, least := time.Since(began), (50+100+200+400)*time.Millisecond; took < least {
		t.Errorf("%d errors came within %v, want at least %v", errors, took, least)
	}
	c.produce(&kgo.Record{Topic: testControl, Value: []byte(`{"action":"stop"}`)})
	if err := p.wait(); err != nil {
		t.Errorf("a stop returned %v", err)
	}
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg := c.config(newStore(t))
	cfg.Health, cfg.Clock = testHealth, clock
	// The first one fails, which is survived.
	refused := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testHealth, Err: kerr.InvalidRecord})
	p := start(t, cfg)
	if err := refused.Wait(c.ctx, 1); err != nil {
		t.Fatal(err)
	}
	clock.WaitTickers(2)
	clock.Advance(30 * time.Second)
	c.await(testHealth, 1)
	clock.Advance(29 * time.Second)
	clock.Advance(time.Second)
	c.await(testHealth, 2)
	p.halt()
	records := c.committed(testHealth)[0]
	if len(records) != 2 {
		t.Fatalf("%d heartbeats, want 2", len(records))
	}
	for i, r := range records {
		var beat struct {
			Worker string  `json:"worker"`
			TS     float64 `json:"ts"`
		}
		if err := json.Unmarshal(r.Value, &beat); err != nil {
			t.Fatal(err)
		}
		if want := 1e9 + 30*float64(i+1); beat.Worker != "one" || beat.TS != want {
			t.Errorf("heartbeat %d is %+v, want ts %v", i, beat, want)
		}
	}
	if s := p.Status().Counters; s.Heartbeats != 2 || s.HeartbeatErrors != 1 {
		t.Errorf("counted %+v", s)
	}
}

// A tick that cannot be written is counted and survived.
func TestTickFails(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg := c.config(newStore(t))
	cfg.Clock, cfg.TickInterval = clock, time.Second
	cfg.Tick = func(time.Time) (key, value []byte) { return []byte("key0"), []byte("tick") }
	refused := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testCommands, Partitions: []int32{3}, Err: kerr.InvalidRecord})
	p := start(t, cfg)
	p.awaitTasks(testTasks)
	clock.WaitTickers(2)
	clock.Advance(time.Second)
	if err := refused.Wait(c.ctx, 1); err != nil {
		t.Fatal(err)
	}
	c.await(testOutput, testTasks-1)
	clock.Advance(time.Second)
	c.await(testOutput, 2*testTasks-1)
	p.halt()
	if s := p.Status().Counters; s.TickFailures != 1 || s.Ticks != 2*testTasks-1 {
		t.Errorf("counted %+v", s)
	}
}

// A clean stop leaves the group, so that others need not wait for a timeout,
// and nothing of a batch in hand is lost.
func TestCleanStop(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.StaticMembership = false
	left := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.LeaveGroup}, Observe: true, Count: -1})
	c.feed(testInput, 5, 4)
	ctx, cancel := context.WithCancel(c.ctx)
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &emitter{counter{task}, func(*Context, *kgo.Record) error { cancel(); return nil }}, nil
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(ctx); err != nil {
		t.Errorf("Run returned %v", err)
	}
	if left.Hits() != 1 {
		t.Errorf("the group was left %d times", left.Hits())
	}
	if s := p.Status(); s.Counters.Commits != 1 || s.Counters.Aborts != 0 || len(s.Tasks) != 0 {
		t.Errorf("after the stop: %+v", s)
	}
	if err := p.Run(c.ctx); err == nil {
		t.Error("Run can be called twice")
	}
	cfg.NewHandler = newCounter
	next := start(t, cfg)
	c.await(testOutput, 5*4*2)
	next.halt()
	c.checkCounts(5, 4, testInput, testCommands)
	c.checkStore(cfg)
}

func TestOnCommitTellsOffsets(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	commits := make(chan Commit, 1000)
	cfg.OnCommit = func(c Commit) {
		c.Consumed = maps.Clone(c.Consumed)
		commits <- c
	}
	c.feed(testInput, 3, 2)
	p := start(t, cfg)
	c.await(testOutput, 3*2*2)
	p.halt()
	close(commits)
	consumed := make(map[TopicPartition]int64)
	produced := make(map[TopicPartition]int64)
	for commit := range commits {
		for tp, offset := range commit.Consumed {
			if offset <= consumed[tp] {
				t.Errorf("%v went from %d to %d", tp, consumed[tp], offset)
			}
			consumed[tp] = offset
		}
		for tp, end := range commit.Produced {
			if end <= produced[tp] {
				t.Errorf("%v went from %d to %d", tp, produced[tp], end)
			}
			produced[tp] = end
		}
	}
	for p, end := range c.ends(testInput) {
		if got := consumed[TopicPartition{testInput, p}]; got != end {
			t.Errorf("partition %d was read to %d of %d", p, got, end)
		}
	}
	for _, topic := range []string{testOutput, testChangelog, testCommands} {
		for p, records := range c.all(topic) {
			end := int64(0)
			if n := len(records); n > 0 {
				end = records[n-1].Offset + 1
			}
			if told := produced[TopicPartition{topic, p}]; told != end {
				t.Errorf("%s[%d]: told of records up to %d, has them up to %d", topic, p, told, end)
			}
		}
	}
}

// TestStopWhileNoBrokerAnswers stops a process whose heartbeat is on its way to
// brokers that are gone: nobody will say what became of it, and the stop must not
// wait for that.
func TestStopWhileNoBrokerAnswers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.Health, cfg.HeartbeatInterval = testHealth, time.Millisecond
	reached, over := make(chan struct{}), make(chan struct{})
	var once, end sync.Once
	t.Cleanup(func() { end.Do(func() { close(over) }) })
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if r.(*kmsg.ProduceRequest).TransactionID != nil {
			return nil, nil, false
		}
		once.Do(func() { close(reached) })
		c.SleepControl(func() { <-over })
		return nil, nil, false
	})
	p := start(t, cfg)
	p.awaitTasks(testTasks)
	select {
	case <-reached:
	case <-c.ctx.Done():
		t.Fatal("no heartbeat was sent")
	}
	p.stop()
	if err := p.wait(); err != nil {
		t.Error(err)
	}
}
