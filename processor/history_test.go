package processor

import (
	"flag"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

// remake deletes a topic and makes it anew.
func (c *cluster) remake(topic string) {
	c.t.Helper()
	admin := kadm.NewClient(c.client)
	if _, err := admin.DeleteTopics(c.ctx, topic); err != nil {
		c.t.Fatal(err)
	}
	if _, err := admin.CreateTopic(c.ctx, testTasks, 1, nil, topic); err != nil {
		c.t.Fatal(err)
	}
	c.client = c.newClient() // the old one knows the old topic
}

// forge gives the stores of all tasks another history.
func forge(t *testing.T, s *state.Store, change func(*history)) {
	t.Helper()
	for task := range int32(testTasks) {
		cp, found, err := s.Partition(task).Checkpoint()
		if err != nil || !found {
			t.Fatalf("task %d has no checkpoint: %v", task, err)
		}
		h, err := historyOf(cp)
		if err != nil {
			t.Fatal(err)
		}
		if h.at < 0 {
			continue // it has never read anything
		}
		change(&h)
		h.value = AppendPositions(nil, &h.positions)
		cp.Note = h.note()
		if err := s.Partition(task).Begin().Commit(cp); err != nil {
			t.Fatal(err)
		}
	}
}

// A store of another history than the changelog is rebuilt, whether compaction has
// left the record that it knows or not.
func TestAStoreOfAnotherHistoryIsRebuilt(t *testing.T) {
	const keys, n = 10, 10
	for name, change := range map[string]func(*history){
		"its last record is another one": func(h *history) { h.positions.Nonce++ },
		"its last record is gone": func(h *history) {
			h.at-- // where there is no record of positions
			h.positions.Terms[len(h.positions.Terms)-1].ID++
		},
		"its leader epoch ended before": func(h *history) { h.epoch, h.epochAt = 0, 1<<40 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, log := newCluster(t), new(lines)
			cfg := c.config(newStore(t))
			one := start(t, cfg)
			c.feed(testInput, keys, n)
			c.await(testOutput, 2*keys*n)
			one.halt()
			forge(t, cfg.Store, change)
			cfg.Logger = log.logger()
			two := start(t, cfg)
			c.feed(testInput, keys, n)
			c.await(testOutput, 2*keys*2*n)
			rebuilds := two.Status().Counters.Rebuilds
			two.halt()
			if said := log.count("level=WARN", "rebuilding the task's store"); rebuilds == 0 || said != int(rebuilds) {
				t.Errorf("%d stores were rebuilt, which was said %d times", rebuilds, said)
			}
			c.checkStore(cfg)
			c.checkCounts(keys, 2*n, testInput, testCommands)
		})
	}
}

var restarts = flag.Int("restarts", 60, "how often TestAHealthyStoreIsNeverRebuilt starts the application again")

// reads follows how far commits have come.
type reads struct {
	mu sync.Mutex
	at map[TopicPartition]int64
}

func (r *reads) committed(c Commit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(r.at, c.Consumed)
}

// await waits until everything in topic is read.
func (r *reads) await(c *cluster, topic string) {
	c.t.Helper()
	ends := c.ends(topic)
	err := until(c.ctx, func() (bool, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for p, end := range ends {
			if r.at[TopicPartition{topic, p}] < end {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// However often a healthy application is started again, and whatever compaction
// takes away meanwhile, no store is rebuilt.
func TestAHealthyStoreIsNeverRebuilt(t *testing.T) {
	t.Parallel()
	const keys = 10
	n := *restarts
	c := newCluster(t)
	compact := "compact"
	alter := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &compact}}
	if _, err := kadm.NewClient(c.client).AlterTopicConfigs(c.ctx, alter, testChangelog); err != nil {
		t.Fatal(err)
	}
	read := &reads{at: make(map[TopicPartition]int64)}
	cfgs := []Config{c.config(newStore(t)), c.config(newStore(t))}
	for i := range cfgs {
		cfgs[i].OnCommit = read.committed
	}
	for i := range n {
		cfg := cfgs[0]
		if i%5 == 4 {
			cfg = cfgs[1] // a store that is behind
		}
		p := start(t, cfg)
		c.feed(testInput, keys, 1)
		read.await(c, testInput)
		s := p.Status()
		p.halt()
		if s.Counters.Rebuilds > 0 || len(s.Losses) > 0 || s.Counters.MovedOffsets > 0 {
			t.Fatalf("start %d: %+v, %+v", i, s.Counters, s.Losses)
		}
		if i%3 == 0 {
			c.Compact()
		}
	}
	p := start(t, cfgs[0])
	p.awaitTasks(testTasks) // have read what the other store's instance has done last
	c.await(testOutput, 2*keys*n)
	p.halt()
	c.checkStore(cfgs[0])
}

// A changelog that knows less than the state or the group is refused in one line,
// and the store is left as it is.
func TestAChangelogThatIsGoneIsRefused(t *testing.T) {
	const keys, n = 10, 10
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprintf("store kept %v", kept), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			cfg := c.config(newStore(t))
			one := start(t, cfg)
			c.feed(testInput, keys, n)
			c.await(testOutput, 2*keys*n)
			one.halt()
			before := make(map[int32]map[string]string)
			for task := range int32(testTasks) {
				before[task] = contents(t, cfg.Store, task)
			}
			c.remake(testChangelog)
			if !kept {
				cfg.Store = newStore(t)
			}
			for range 2 { // it is not a matter of trying again
				two := start(t, cfg)
				err := two.wait()
				if err == nil || !strings.Contains(err.Error(), "handprint reset") || strings.Contains(err.Error(), "\n") {
					t.Fatalf("it ended with %v", err)
				}
			}
			for task := range int32(testTasks) {
				if got := contents(t, cfg.Store, task); kept && !maps.Equal(got, before[task]) {
					t.Errorf("task %d: the store has %v, had %v", task, got, before[task])
				}
			}
		})
	}
}

// A changelog that was put back from a backup has something, but less than the group
// has read by transactions of the application. Without a store to tell it by it is
// refused as well, in one line.
func TestAnOlderChangelogIsRefused(t *testing.T) {
	t.Parallel()
	const keys, n = 10, 10
	c := newCluster(t)
	cfg := c.config(newStore(t))
	run := func(times int) {
		p := start(t, cfg)
		c.feed(testInput, keys, n)
		c.await(testOutput, 2*keys*n*times)
		p.halt()
	}
	run(1)
	backup := c.all(testChangelog)
	run(2)
	c.remake(testChangelog)
	writer := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for partition, records := range backup {
		for _, r := range records {
			put := &kgo.Record{Topic: testChangelog, Partition: partition, Key: r.Key, Value: r.Value}
			if err := writer.ProduceSync(c.ctx, put).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	cfg.Store = newStore(t)
	for range 2 {
		p := start(t, cfg)
		err := p.wait()
		if err == nil || !strings.Contains(err.Error(), "by its own transactions") || !strings.Contains(err.Error(), "handprint reset") || strings.Contains(err.Error(), "\n") {
			t.Fatalf("it ended with %v", err)
		}
	}
	// Whoever deletes the group wants to go on from there.
	c.deleteGroup(cfg.ApplicationID)
	p := start(t, cfg)
	c.await(testOutput, 2*keys*n*3) // what the changelog does not know of is read again
	p.halt()
	c.checkStore(cfg)
}

// After a reset old stores are void, and tasks begin where the reset says.
func TestReset(t *testing.T) {
	const keys, n = 10, 10
	for _, from := range []bool{false, true} {
		t.Run(fmt.Sprintf("from %v", from), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			cfg := c.config(newStore(t))
			one := start(t, cfg)
			c.feed(testInput, keys, n)
			c.await(testOutput, 2*keys*n)
			one.halt()
			c.deleteGroup(cfg.ApplicationID)
			c.remake(testCommands)
			c.remake(testChangelog)
			c.remake(testOutput)
			topics, err := kadm.NewClient(c.client).ListTopics(c.ctx, testInput)
			if err != nil {
				t.Fatal(err)
			}
			writer := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
			for task, end := range c.ends(testInput) {
				p := Positions{Nonce: 1, Reset: time.Now().UnixMilli()}
				if from {
					p.Inputs = []Position{{Topic: testInput, ID: topics[testInput].ID, Next: end, Epoch: -1}}
				}
				if err := writer.ProduceSync(c.ctx, ResetRecord(testChangelog, task, &p)).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			two := start(t, cfg)
			c.feed(testInput, keys, n)
			want := 2 * n
			if from {
				want = n
			}
			c.await(testOutput, 2*keys*want)
			two.halt()
			c.checkStore(cfg)
			c.checkCounts(keys, want, testInput, testCommands)
		})
	}
}

// repairing is a counter that goes on without commands.
type repairing struct {
	Handler
	told func(task int32, from, to int64)
}

func (r repairing) CommandsLost(c *Context, from, to int64) error {
	c.Store().Put([]byte("repaired"), fmt.Appendf(nil, "%d to %d", from, to))
	r.told(c.Task().Partition, from, to)
	return nil
}

// Commands that are deleted before they were read are made good by the handler, or
// the processor stops.
func TestCommandsThatWereDeleted(t *testing.T) {
	const keys, n = 10, 10
	for _, repairs := range []bool{true, false} {
		t.Run(fmt.Sprintf("repairs %v", repairs), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			cfg := c.config(newStore(t))
			one := start(t, cfg)
			c.feed(testInput, keys, n)
			c.await(testOutput, 2*keys*n)
			one.halt()
			read := make(map[int32]int64) // behind that there are markers
			for task, records := range c.all(testCommands) {
				read[task] = records[len(records)-1].Offset + 1
			}
			for range 3 * testTasks {
				c.produce(&kgo.Record{Topic: testCommands, Value: []byte("1")})
			}
			lost := int64(0)
			for task, end := range c.ends(testCommands) {
				c.deleteRecords(testCommands, task, end)
				lost += end - read[task]
			}
			if !repairs {
				two := start(t, cfg)
				if err := two.wait(); err == nil || !strings.Contains(err.Error(), "commands to it") || strings.Contains(err.Error(), "\n") {
					t.Fatalf("it ended with %v", err)
				}
				return
			}
			told := make(chan Loss, 100)
			inner := cfg.NewHandler
			cfg.NewHandler = func(task Task) (Handler, error) {
				h, err := inner(task)
				return repairing{h, func(task int32, from, to int64) { told <- Loss{Partition: task, From: from, To: to} }}, err
			}
			two := start(t, cfg)
			c.feed(testInput, keys, n)
			c.await(testOutput, 2*keys*2*n)
			s := two.Status()
			two.halt()
			if s.LostOffsets[testCommands] != lost {
				t.Errorf("%d commands were counted, %d are lost", s.LostOffsets[testCommands], lost)
			}
			close(told)
			sum := int64(0)
			for l := range told {
				sum += l.Offsets()
				if got := contents(t, cfg.Store, l.Partition)["repaired"]; got != fmt.Sprintf("%d to %d", l.From, l.To) {
					t.Errorf("task %d has %q", l.Partition, got)
				}
			}
			if sum != lost {
				t.Errorf("handlers heard of %d lost commands, want %d", sum, lost)
			}
			c.checkCounts(keys, 2*n, testInput, testCommands)
		})
	}
}

// Commands are deleted when they have been read and are old, and not before.
func TestOldCommandsAreDeleted(t *testing.T) {
	t.Parallel()
	const keys, n = 10, 10
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.CommandRetention = time.Hour
	one := start(t, cfg)
	c.feed(testInput, keys, n)
	c.await(testOutput, 2*keys*n)
	starts := func() (sum int64) {
		listed, err := kadm.NewClient(c.client).ListStartOffsets(c.ctx, testCommands)
		if err != nil {
			t.Fatal(err)
		}
		listed.Each(func(o kadm.ListedOffset) { sum += o.Offset })
		return sum
	}
	read := int64(0)
	for _, records := range c.all(testCommands) {
		if n := len(records); n > 0 {
			read += records[n-1].Offset + 1
		}
	}
	if err := one.trimOnce(c.ctx, time.Now()); err != nil || starts() != 0 {
		t.Fatalf("young commands were deleted up to %d, %v", starts(), err)
	}
	// What was read last may not be committed yet.
	err := until(c.ctx, func() (bool, error) {
		err := one.trimOnce(c.ctx, time.Now().Add(2*time.Hour))
		return starts() >= read, err
	})
	if err != nil {
		t.Fatalf("old commands were deleted up to %d of %d: %v", starts(), read, err)
	}
	one.halt()
	two := start(t, cfg)
	c.feed(testInput, keys, n)
	c.await(testOutput, 2*keys*2*n)
	if s := two.Status(); len(s.Losses) > 0 {
		t.Errorf("what was deleted was not read: %+v", s.Losses)
	}
	two.halt()
	c.checkCounts(keys, 2*n, testInput, testCommands)
}
