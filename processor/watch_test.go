package processor

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/processor/clocktest"
)

// lags returns the lags of the tasks that run, -1 for one that is not known.
func lags(s Status) map[int32]int64 {
	m := make(map[int32]int64)
	for _, t := range s.Tasks {
		m[t.Partition] = -1
		if t.Lag != nil {
			m[t.Partition] = *t.Lag
		}
	}
	return m
}

// A task that has input and does not get on is stuck, and no longer when it
// does; one without input is not, though markers of transactions are left in its
// partitions, nor is one that works.
func TestStuckTask(t *testing.T) {
	c := newCluster(t)
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg := c.config(newStore(t))
	cfg.Clock, cfg.StallTimeout = clock, time.Minute
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &emitter{counter{task}, func(_ *Context, r *kgo.Record) error {
			if string(r.Value) == "hold" {
				held <- struct{}{}
				<-hold
			}
			return nil
		}}, nil
	}
	c.feed(testInput, 5, 4)
	p := start(t, cfg)
	c.await(testOutput, 5*4*2)
	p.awaitTasks(testTasks)
	look := func(good func(Status) bool) {
		t.Helper()
		clock.WaitTickers(1)
		p.awaitStatus(func(s Status) bool {
			clock.Advance(15 * time.Second)
			return good(s)
		})
	}
	look(func(s Status) bool {
		for _, lag := range lags(s) {
			if lag != 0 {
				return false
			}
		}
		return true
	})
	for range 8 {
		clock.Advance(15 * time.Second)
	}
	for _, task := range p.Status().Tasks {
		if task.Stuck != "" {
			t.Errorf("task %d has nothing to do and is stuck: %s", task.Partition, task.Stuck)
		}
	}
	c.produce(&kgo.Record{Topic: testInput, Key: []byte("key0"), Value: []byte("hold")})
	<-held
	look(func(s Status) bool {
		for _, task := range s.Tasks {
			if strings.Contains(task.Stuck, "1 offsets of input") {
				return true
			}
		}
		return false
	})
	close(hold)
	look(func(s Status) bool {
		for _, task := range s.Tasks {
			if task.Stuck != "" {
				return false
			}
		}
		return true
	})
	p.halt()
}

// A client that does not fetch what is there is replaced by another.
func TestStarvedTask(t *testing.T) {
	c := newCluster(t)
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg := c.config(newStore(t))
	cfg.Clock, cfg.StallTimeout = clock, time.Minute
	var sessions, blind atomic.Int64
	c.ControlKey(int16(kmsg.InitProducerID), func(in kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if in.(*kmsg.InitProducerIDRequest).TransactionalID != nil {
			sessions.Add(1)
		}
		return nil, nil, false
	})
	c.ControlKey(int16(kmsg.Fetch), func(in kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := in.(*kmsg.FetchRequest)
		if blind.Load() == 0 || sessions.Load() > 1 || req.IsolationLevel == 0 {
			return nil, nil, false
		}
		return req.ResponseKind(), nil, true // of no partition
	})
	c.feed(testInput, 5, 4)
	p := start(t, cfg)
	c.await(testOutput, 5*4*2)
	p.awaitTasks(testTasks)
	blind.Store(1)
	c.feed(testInput, 5, 4)
	clock.WaitTickers(1)
	p.awaitStatus(func(s Status) bool {
		clock.Advance(15 * time.Second)
		return s.Counters.Rejoins > 0
	})
	c.await(testOutput, 2*5*4*2)
	p.halt()
	c.checkStore(cfg)
}
