package processor

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
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

// A task that has input and makes no progress is stuck, and no longer when it
// does; one without input is not, though markers of transactions are left in its
// partitions, nor is one that works.
func TestStuckTask(t *testing.T) {
	t.Parallel()
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
	p.awaitTasks(testTasks)
	// The clock rests until the worker has noted how far it came, which is after others
	// can see its output: it runs so fast that a minute without progress would pass between.
	noted := func(records int) {
		t.Helper()
		c.await(testOutput, records)
		p.awaitStatus(func(s Status) bool { return s.Counters.Records >= int64(records) })
	}
	noted(5 * 4 * 2)
	look := func(good func(Status) bool) {
		t.Helper()
		clock.WaitTickers(2)
		p.awaitStatus(func(s Status) bool {
			if clock.Taken() { // or a look would find another minute gone
				clock.Advance(15 * time.Second)
			}
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
	taken := func() { p.awaitStatus(func(Status) bool { return clock.Taken() }) }
	for range 8 {
		taken()
		clock.Advance(15 * time.Second)
	}
	taken() // or the next record would be old before a worker has polled it
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
	noted(5*4*2 + 2) // with the command to the next task
	look(func(s Status) bool {
		for _, task := range s.Tasks {
			if task.Stuck != "" {
				return false
			}
		}
		return true
	})
	if n := p.Status().Counters.Rejoins; n > 0 {
		t.Errorf("%d sessions were given up over a batch that took its time", n)
	}
	p.halt()
}

// blindWorkers lets the fetches of workers bring nothing while the answer is
// true, at the brokers that here says yes to, until another session begins.
func (c *cluster) blindWorkers(cfg *Config, here func() bool) *atomic.Bool {
	blind := new(atomic.Bool)
	c.ControlKey(int16(kmsg.InitProducerID), func(in kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if in.(*kmsg.InitProducerIDRequest).TransactionalID != nil {
			blind.Store(false)
		}
		return nil, nil, false
	})
	wait := int32(cfg.FetchMaxWait.Milliseconds())
	c.ControlKey(int16(kmsg.Fetch), func(in kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := in.(*kmsg.FetchRequest)
		if !blind.Load() || req.MaxWaitMillis != wait || !here() {
			return nil, nil, false
		}
		return req.ResponseKind(), nil, true // of no partition
	})
	return blind
}

// A client that does not fetch what is there is replaced by another.
func TestStarvedTask(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg := c.config(newStore(t))
	cfg.Clock, cfg.StallTimeout = clock, time.Minute
	blind := c.blindWorkers(&cfg, func() bool { return true })
	c.feed(testInput, 5, 4)
	p := start(t, cfg)
	c.await(testOutput, 5*4*2)
	p.awaitTasks(testTasks)
	blind.Store(true)
	clock.WaitTickers(2)
	rounds := 0
	p.awaitStatus(func(s Status) bool {
		c.feed(testInput, 5, 1) // a fetch that was under way may bring the first
		rounds++
		clock.Advance(15 * time.Second)
		return s.Counters.Rejoins > 0
	})
	c.await(testOutput, 5*4*2+rounds*5*2)
	p.halt()
	c.checkStore(cfg)
}

// So is one that has lost sight of one partition of a task that makes progress
// with another.
func TestStarvedPartition(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.NumBrokers(2))
	const inputs, commands = 0, 1 // brokers
	for task := range int32(testTasks) {
		for topic, node := range map[string]int32{testInput: inputs, testCommands: commands} {
			if err := c.MoveTopicPartition(topic, task, node); err != nil {
				t.Fatal(err)
			}
		}
	}
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg := c.config(newStore(t))
	cfg.Clock, cfg.StallTimeout = clock, time.Minute
	blind := c.blindWorkers(&cfg, func() bool { return c.CurrentNode() == inputs })
	c.feed(testInput, 5, 4)
	p := start(t, cfg)
	c.await(testOutput, 5*4*2)
	p.awaitTasks(testTasks)
	blind.Store(true)
	clock.WaitTickers(2)
	rounds := 0
	p.awaitStatus(func(s Status) bool {
		c.feed(testInput, 5, 1) // a fetch that was under way may bring the first
		c.feed(testCommands, 50, 1)
		rounds++
		clock.Advance(5 * time.Second)
		return s.Counters.Rejoins > 0
	})
	c.await(testOutput, 5*4*2+rounds*(5*2+50))
	p.halt()
	c.checkStore(cfg)
}

// A partition that nobody can read makes its task stuck, and stays so; other
// sessions would not read it either.
func TestUnreadablePartition(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg := c.config(newStore(t))
	cfg.Clock, cfg.StallTimeout = clock, time.Minute
	var offline atomic.Bool
	c.ControlKey(int16(kmsg.Fetch), func(in kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return in.ResponseKind(), nil, offline.Load() // of no partition
	})
	c.feed(testInput, 5, 4)
	p := start(t, cfg)
	c.await(testOutput, 5*4*2)
	p.awaitTasks(testTasks)
	offline.Store(true)
	clock.WaitTickers(2)
	stuck := func(s Status) bool {
		for _, task := range s.Tasks {
			if task.Stuck != "" {
				return true
			}
		}
		return false
	}
	p.awaitStatus(func(s Status) bool {
		c.feed(testInput, 5, 1) // a fetch that was under way may bring the first
		clock.Advance(10 * time.Second)
		return stuck(s)
	})
	for range 60 {
		clock.Advance(10 * time.Second)
		if !stuck(p.Status()) {
			t.Fatal("a task is not stuck any more, though its input cannot be read")
		}
	}
	if n := p.Status().Counters.Rejoins; n > 0 {
		t.Errorf("%d sessions were given up because of what nobody can read", n)
	}
	offline.Store(false)
	p.awaitStatus(func(s Status) bool {
		clock.Advance(10 * time.Second)
		return !stuck(s)
	})
	p.halt()
}

// watched is a processor of one worker with running tasks, each with
// input that the watch has seen and nobody reads.
func watched(tasks int32) *Processor {
	p := &Processor{cfg: Config{Inputs: []string{testInput}, Commands: testCommands, Partitions: tasks, StallTimeout: time.Minute, Logger: testLogger()}}
	p.log, p.watch = p.cfg.Logger, newWatch(&p.cfg)
	w := newWorker(p, 0)
	p.workers = []*worker{w}
	p.watch.workers = p.workers
	for n := range tasks {
		t := &task{partition: n}
		t.state.Store(TaskRunning)
		w.tasks[n] = t
		p.watch.reached(TopicPartition{testInput, n}, 0, 10)
		p.watch.reached(TopicPartition{testCommands, n}, 0, 0)
		p.watch.inputs[TopicPartition{testInput, n}].proven = true
	}
	return p
}

// What counts as no progress, look by look, ten seconds apart.
func TestWhenAPartitionStarves(t *testing.T) {
	first := TopicPartition{testInput, 0}
	for _, test := range []struct {
		name    string
		tasks   int32
		look    func(p *Processor, look int, now time.Time) // before each
		starved int                                         // the look at which the session is given up
	}{
		{"from the first look on", 1, nil, 3},
		{"after a session that began before the markers again", 1, func(p *Processor, look int, _ time.Time) {
			p.watch.inputs[first].next = []int64{4, 4, 2, 4, 4, 4}[min(look, 5)]
		}, 3},
		{"read now and then", 1, func(p *Processor, look int, _ time.Time) {
			p.watch.inputs[first].next = int64(look / 2)
			p.watch.inputs[first].end = 100
		}, 0},
		{"one of many that wait", 101, nil, 8},
		{"held up by a record that comes round", 1, func(p *Processor, _ int, now time.Time) {
			p.workers[0].held.Store(now.UnixNano())
		}, 0},
		{"held up by a record that has not come again", 1, func(p *Processor, look int, now time.Time) {
			if look == 0 {
				p.workers[0].held.Store(now.UnixNano())
			}
		}, 8},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := watched(test.tasks)
			at := 0
			for look := range 20 {
				now := time.Unix(1e9, 0).Add(time.Duration(look) * 10 * time.Second)
				if test.look != nil {
					test.look(p, look, now)
				}
				p.watch.lookForStuck(now)
				if _, starved := p.workers[0].clearWake(); starved != nil && at == 0 {
					at = look
				}
				if why := p.watch.why(0); why != "" && (test.starved == 0 || look < test.starved) {
					t.Fatalf("look %d: stuck: %s", look, why)
				}
			}
			if at != test.starved {
				t.Errorf("the session was given up at look %d, want %d", at, test.starved)
			}
		})
	}
}
