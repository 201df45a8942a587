package processor

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lines is a log that a test reads.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// count returns how many lines have all of the words.
func (l *lines) count(words ...string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for line := range strings.Lines(l.b.String()) {
		has := true
		for _, w := range words {
			has = has && strings.Contains(line, w)
		}
		if has {
			n++
		}
	}
	return n
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// deleteGroup waits until the group is empty, and deletes it.
func (c *cluster) deleteGroup(group string) {
	c.t.Helper()
	err := until(c.ctx, func() (bool, error) {
		_, err := kadm.NewClient(c.client).DeleteGroup(c.ctx, group)
		return err == nil, nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) deleteRecords(topic string, partition int32, before int64) {
	c.t.Helper()
	var o kadm.Offsets
	o.Add(kadm.Offset{Topic: topic, Partition: partition, At: before})
	if _, err := kadm.NewClient(c.client).DeleteRecords(c.ctx, o); err != nil {
		c.t.Fatal(err)
	}
}

// The group's offsets are gone, or somewhere else: the state knows where to go on.
func TestTheStateSaysWhereToGoOn(t *testing.T) {
	const keys, n = 10, 20
	move := func(to func(read int64) int64) func(*cluster, string) {
		return func(c *cluster, group string) {
			offsets := make(kadm.Offsets)
			for p, end := range c.ends(testInput) {
				offsets.AddOffset(testInput, p, to(end), -1)
			}
			err := until(c.ctx, func() (bool, error) {
				return kadm.NewClient(c.client).CommitAllOffsets(c.ctx, group, offsets) == nil, nil
			})
			if err != nil {
				c.t.Fatal(err)
			}
		}
	}
	for name, change := range map[string]func(*cluster, string){
		"deleted":  func(c *cluster, group string) { c.deleteGroup(group) },
		"at start": move(func(int64) int64 { return 0 }),
		"half way": move(func(read int64) int64 { return read / 2 }),
		"ahead":    move(func(read int64) int64 { return read + 7 }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, log := newCluster(t), new(lines)
			cfg := c.config(newStore(t))
			one := start(t, cfg)
			c.feed(testInput, keys, n)
			c.await(testOutput, 2*keys*n)
			one.halt()
			change(c, cfg.ApplicationID)
			cfg.Logger = log.logger()
			two := start(t, cfg)
			c.feed(testInput, keys, n)
			c.await(testOutput, 2*keys*2*n)
			moved := two.Status().Counters.MovedOffsets
			two.halt()
			for key, values := range c.values(testOutput) {
				if len(values) != 2*n {
					t.Errorf("%s has %d outputs, want %d", key, len(values), 2*n)
				}
			}
			c.checkStore(cfg)
			if said := log.count("level=WARN", "the group's offsets are not where the state has read to"); said != int(moved) || said == 0 || said > testTasks {
				t.Errorf("it was said %d times and counted %d times", said, moved)
			}
			// And the group is right again.
			committed, err := kadm.NewClient(c.client).FetchOffsets(c.ctx, cfg.ApplicationID)
			if err != nil {
				t.Fatal(err)
			}
			for p, end := range c.ends(testInput) {
				if o, ok := committed.Lookup(testInput, p); end > 0 && (!ok || o.At != end) {
					t.Errorf("the group has offset %d of partition %d, want %d", o.At, p, end)
				}
			}
		})
	}
}

// What was deleted before it was read is said once and counted; what is there is
// processed.
func TestInputThatWasDeleted(t *testing.T) {
	const keys, n = 10, 10
	for _, stop := range []bool{false, true} {
		t.Run(fmt.Sprintf("stop %v", stop), func(t *testing.T) {
			t.Parallel()
			c, log := newCluster(t), new(lines)
			cfg := c.config(newStore(t))
			one := start(t, cfg)
			c.feed(testInput, keys, n)
			c.await(testOutput, 2*keys*n)
			one.halt()
			read := c.ends(testInput)
			c.feed(testInput, keys, n)
			lost := int64(0)
			for p, end := range c.ends(testInput) {
				c.deleteRecords(testInput, p, end)
				lost += end - read[p]
			}
			c.feed(testInput, keys, n)
			cfg.Logger, cfg.StopOnLostInput = log.logger(), stop
			if stop {
				two := start(t, cfg)
				select {
				case <-two.done:
				case <-c.ctx.Done():
					t.Fatal("it did not stop")
				}
				if two.err == nil || !strings.Contains(two.err.Error(), "were deleted before they were read") || strings.Contains(two.err.Error(), "\n") {
					t.Fatalf("it ended with %v", two.err)
				}
				return
			}
			two := start(t, cfg)
			c.await(testOutput, 2*keys*2*n)
			s := two.Status()
			two.halt()
			if s.LostOffsets[testInput] != lost {
				t.Errorf("%d offsets were counted, %d are lost", s.LostOffsets[testInput], lost)
			}
			said := log.count("level=ERROR", "input was deleted before it was read")
			if said != len(s.Losses) || said == 0 || said > testTasks {
				t.Errorf("it was said %d times, and there are %+v", said, s.Losses)
			}
			three := start(t, cfg)
			c.feed(testInput, keys, n)
			c.await(testOutput, 2*keys*3*n)
			if s := three.Status(); len(s.Losses) > 0 {
				t.Errorf("after another start there are %+v", s.Losses)
			}
			three.halt()
		})
	}
}

// Retention overtakes a task that runs.
func TestInputThatIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	gate := make(chan struct{})
	var once sync.Once
	release := func() { once.Do(func() { close(gate) }) }
	t.Cleanup(release)
	cfg.MaxBatchBytes = 1 // a fetch brings one batch
	held := make(chan struct{}, 1)
	cfg.Fault = func(step Step, _ []int32) error {
		if step == AfterPoll {
			select {
			case held <- struct{}{}:
			default:
			}
			<-gate
		}
		return nil
	}
	p := start(t, cfg)
	put := func(n int) {
		for range n { // each a batch of its own
			c.produce(&kgo.Record{Topic: testInput, Key: []byte("key1"), Value: []byte("1")})
		}
	}
	put(1)
	<-held
	put(200)
	for q, end := range c.ends(testInput) {
		if end > 0 {
			c.deleteRecords(testInput, q, end)
		}
	}
	put(1)
	release()
	// Each record has two outputs here, and what was not lost is processed.
	var lost, outputs int64
	err := until(c.ctx, func() (bool, error) {
		lost, outputs = p.Status().LostOffsets[testInput], 0
		for _, values := range c.values(testOutput) {
			outputs += int64(len(values))
		}
		return lost > 0 && lost+outputs/2 == 202, nil
	})
	if err != nil {
		t.Fatalf("%v: %d offsets are lost and there are %d outputs, of 202 records", err, lost, outputs)
	}
	p.halt()
}

// A topic of the input is deleted and made anew while it is read.
func TestInputThatIsMadeAnew(t *testing.T) {
	t.Parallel()
	const keys, n = 10, 10
	c, log := newCluster(t), new(lines)
	cfg := c.config(newStore(t))
	cfg.Logger = log.logger()
	p := start(t, cfg)
	c.feed(testInput, keys, n)
	c.await(testOutput, 2*keys*n)
	admin := kadm.NewClient(c.client)
	if _, err := admin.DeleteTopics(c.ctx, testInput); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(c.ctx, testTasks, 1, nil, testInput); err != nil {
		t.Fatal(err)
	}
	c.client = c.newClient() // the old one knows the old topic
	c.feed(testInput, keys, n)
	c.await(testOutput, 2*keys*2*n)
	p.halt()
	if said := log.count("an input topic was made anew"); said == 0 || said > testTasks {
		t.Errorf("it was said %d times", said)
	}
	p.hasFault(TopicMadeAnew, testInput)
	if all := log.count("level="); all > 200 {
		t.Errorf("the log has %d lines", all)
	}
}
