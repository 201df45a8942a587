package processor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

const (
	testInput     = "in"
	testSingle    = "single"
	testCommands  = "app-commands"
	testChangelog = "app-changelog"
	testOutput    = "out"
	testHealth    = "health"
	testControl   = "control"
	testTasks     = 4

	// testPatience bounds every wait of a test, and what a test does as a whole;
	// none is expected to come near it, even on a busy machine with the race
	// detector.
	testPatience = 3 * time.Minute
)

func testLogger() *slog.Logger {
	if os.Getenv("TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

// cluster is a broker in this process with the topics of the tests.
type cluster struct {
	*kfake.Cluster
	t      *testing.T
	ctx    context.Context
	client *kgo.Client
}

func newCluster(t *testing.T, opts ...kfake.Opt) *cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	t.Cleanup(cancel)
	opts = append([]kfake.Opt{
		kfake.NumBrokers(1),
		kfake.GroupMinSessionTimeout(100 * time.Millisecond),
		kfake.SeedTopics(testTasks, testInput, testCommands, testChangelog, testOutput),
		kfake.SeedTopics(1, testSingle, testHealth, testControl),
	}, opts...)
	fake, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c := &cluster{Cluster: fake, t: t, ctx: ctx}
	c.client = c.newClient()
	return c
}

func (c *cluster) newClient(opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.DisableClientMetrics()}, opts...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	return client
}

// feed produces n records per key to topic, each key's in order.
func (c *cluster) feed(topic string, keys, n int) {
	c.t.Helper()
	var records []*kgo.Record
	for i := range n {
		for k := range keys {
			records = append(records, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "key%d", k), Value: fmt.Appendf(nil, "%d", i)})
		}
	}
	c.produce(records...)
}

func (c *cluster) produce(records ...*kgo.Record) {
	c.t.Helper()
	if err := c.client.ProduceSync(c.ctx, records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

// ends returns the high watermarks of topic.
func (c *cluster) ends(topic string) map[int32]int64 {
	c.t.Helper()
	listed, err := kadm.NewClient(c.client).ListEndOffsets(c.ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	ends := make(map[int32]int64)
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends
}

// open reports whether topic has records of a transaction that has not ended.
func (c *cluster) open(topic string) (bool, error) {
	admin := kadm.NewClient(c.client)
	stable, err := admin.ListCommittedOffsets(c.ctx, topic)
	if err != nil {
		return false, err
	}
	ends, err := admin.ListEndOffsets(c.ctx, topic)
	if err != nil {
		return false, err
	}
	open := false
	ends.Each(func(end kadm.ListedOffset) {
		o, ok := stable.Lookup(topic, end.Partition)
		open = open || ok && o.Offset < end.Offset
	})
	return open, nil
}

// awaitOpen waits until that is so.
func (c *cluster) awaitOpen(topic string) error {
	return until(c.ctx, func() (bool, error) { return c.open(topic) })
}

// until asks a broker, which tells of nothing by itself, again and again until it is
// so.
func until(ctx context.Context, good func() (bool, error)) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if is, err := good(); is || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// committed reads the committed records of topic up to its end, per partition, but
// for those that say how far a task has read.
func (c *cluster) committed(topic string) map[int32][]*kgo.Record {
	c.t.Helper()
	records := c.all(topic)
	for p, list := range records {
		records[p] = slices.DeleteFunc(list, func(r *kgo.Record) bool { return IsPositions(r.Key) })
	}
	return records
}

// all is committed with those.
func (c *cluster) all(topic string) map[int32][]*kgo.Record {
	c.t.Helper()
	records := make(map[int32][]*kgo.Record)
	for p, end := range c.ends(topic) {
		r := newChangelogReader(c.client, topic, p, 10*time.Millisecond, 1<<20)
		ends, err := r.bounds(c.ctx)
		if err != nil {
			c.t.Fatal(err)
		}
		r.position = ends.start
		for r.position < end {
			got, err := r.read(c.ctx)
			if err != nil {
				c.t.Fatal(err)
			}
			records[p] = append(records[p], got...)
		}
	}
	return records
}

// values returns the committed values of topic by key, in order.
func (c *cluster) values(topic string) map[string][]string {
	c.t.Helper()
	values := make(map[string][]string)
	for _, records := range c.committed(topic) {
		for _, r := range records {
			values[string(r.Key)] = append(values[string(r.Key)], string(r.Value))
		}
	}
	return values
}

// await returns when n committed records of topic have been seen by f, which
// may be nil, from the start.
func (c *cluster) await(topic string, n int) {
	c.t.Helper()
	client := c.newClient(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	defer client.Close()
	for seen := 0; seen < n; {
		fetches := client.PollFetches(c.ctx)
		if c.ctx.Err() != nil {
			c.t.Fatalf("saw %d of %d records of %s", seen, n, topic)
		}
		seen += fetches.NumRecords()
	}
}

// counter is the handler of the tests. For every record of an input it counts
// the record's key, emits the count, and tells the next task, which counts and
// emits what it is told as well.
type counter struct{ task Task }

func (h *counter) Process(c *Context, r *kgo.Record) error {
	prefix := r.Topic
	if err := h.count(c, prefix+"/"+string(r.Key), r); err != nil {
		return err
	}
	if r.Topic == testInput {
		c.Send((h.task.Partition+1)%h.task.Partitions, c.Copy(r.Key), c.Copy(r.Value))
	}
	return nil
}

func (h *counter) count(c *Context, key string, r *kgo.Record) error {
	v, err := c.Store().Get([]byte(key))
	if err != nil {
		return err
	}
	var n uint64
	if v != nil {
		n = binary.BigEndian.Uint64(v)
	}
	n++
	c.Store().Put([]byte(key), binary.BigEndian.AppendUint64(nil, n))
	c.Store().Mark([]byte(key)) // for a projector
	// A key that comes and goes, for the deletions in the changelog.
	if flip := []byte("flip/" + key); n%2 == 0 {
		c.Store().Delete(flip)
	} else {
		c.Store().Put(flip, r.Value)
	}
	c.Emit(&kgo.Record{Topic: testOutput, Key: []byte(key), Value: fmt.Appendf(nil, "%d", n)})
	return nil
}

func (*counter) Flush(*Context) error { return nil }
func (*counter) Reset()               {}

func newCounter(task Task) (Handler, error) { return &counter{task}, nil }

// openStore opens a store on fs.
func openStore(t *testing.T, fs vfs.FS) *state.Store {
	t.Helper()
	s, err := state.Open("state", state.Options{FS: fs, CacheBytes: 1 << 20, MemtableBytes: 64 << 10, Logger: testLogger()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newStore(t *testing.T) *state.Store {
	t.Helper()
	s := openStore(t, vfs.NewMem())
	closeAtEnd(t, s)
	return s
}

func closeAtEnd(t *testing.T, s *state.Store) {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// afterCrash makes cfg that of the next process: without a fault, and with the
// store on fs opened again, or an empty one.
func (cfg *Config) afterCrash(t *testing.T, fs vfs.FS, empty bool) {
	t.Helper()
	if err := cfg.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if empty {
		fs = vfs.NewMem()
	}
	cfg.Store, cfg.Fault = openStore(t, fs), nil
	closeAtEnd(t, cfg.Store)
}

func (c *cluster) config(store *state.Store) Config {
	return Config{
		ApplicationID: "app", InstanceID: "one", StaticMembership: true,
		Client: []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.MetadataMinAge(10 * time.Millisecond), kgo.DisableClientMetrics()},
		Inputs: []string{testInput}, Singles: []string{testSingle},
		Commands: testCommands, Changelog: testChangelog,
		Partitions: testTasks, Threads: 1, Store: store, NewHandler: newCounter,
		TurnRecords:  2, // so that a transaction has several turns
		FetchMaxWait: 20 * time.Millisecond, SessionTimeout: 2 * time.Second,
		Logger: testLogger(),
	}
}

// running is a processor that runs.
type running struct {
	*Processor
	t    *testing.T
	stop context.CancelFunc
	done chan struct{}
	err  error
}

func start(t *testing.T, cfg Config) *running {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	r := &running{Processor: p, t: t, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = p.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-r.done })
	return r
}

// wait waits for Run to return.
func (r *running) wait() error {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(testPatience):
		r.t.Fatal("the processor does not end")
	}
	return r.err
}

// halt stops the processor cleanly.
func (r *running) halt() {
	r.t.Helper()
	r.stop()
	if err := r.wait(); err != nil {
		r.t.Fatalf("a clean stop returned %v", err)
	}
}

// contents returns all of a task's store.
func contents(t *testing.T, s *state.Store, task int32) map[string]string {
	t.Helper()
	txn := s.Partition(task).Begin()
	defer txn.Discard()
	m := make(map[string]string)
	if err := txn.Scan(nil, nil, func(k, v []byte) bool { m[string(k)] = string(v); return true }); err != nil {
		t.Fatal(err)
	}
	return m
}

// checkCounts fails unless every key of the inputs has been counted from 1 to n
// without a gap or a repetition, in every stage that it passes.
func (c *cluster) checkCounts(keys, n int, topics ...string) {
	c.t.Helper()
	got := c.values(testOutput)
	want := make(map[string]bool)
	for _, topic := range topics {
		for k := range keys {
			key := fmt.Sprintf("%s/key%d", topic, k)
			want[key] = true
			var sequence []string
			for i := range n {
				sequence = append(sequence, fmt.Sprint(i+1))
			}
			if g, w := strings.Join(got[key], " "), strings.Join(sequence, " "); g != w {
				c.t.Errorf("%s was counted %s, want %s", key, g, w)
			}
		}
	}
	for key := range got {
		if !want[key] {
			c.t.Errorf("unexpected key %s: %v", key, got[key])
		}
	}
}

var errTest = errors.New("test")

// once returns a function that is true the n-th time it is called (from 1) and
// false otherwise.
func once(n int) func() bool {
	var mu sync.Mutex
	calls := 0
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		calls++
		return calls == n
	}
}
