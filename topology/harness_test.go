package topology_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/broker"
	"handprint/internal/vectors"
	"handprint/processor"
	"handprint/processor/clocktest"
	"handprint/schemas"
	"handprint/state"
	"handprint/topology"
)

// TestMain lets more tests run at the same time than there are processors, unless
// -parallel says how many: an application that is fed record by record spends most
// of its time between two transactions, where the runtime waits a few milliseconds.
func TestMain(m *testing.M) {
	flag.Parse()
	const name, atOnce = "test.parallel", 16
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if !given {
		if err := flag.Set(name, strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0)))); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// app is one application on a broker of the test: the whole topology, with
// real transactions, a store in memory and a clock that the test moves.
type app struct {
	t          testing.TB
	prefix     string
	names      topology.Names
	partitions int32
	config     topology.Config
	fs         vfs.FS
	store      *state.Store
	rest       *topology.Rest
	client     *kgo.Client
	broker     *broker.Embedded
	bulk       int                                // of the store's options
	avro       *avroTopics                        // nil: JSON
	produced   map[processor.TopicPartition]int64 // ends of the outputs

	mu       sync.Mutex
	stop     context.CancelFunc
	finished chan error
}

type options struct {
	prefix     string
	partitions int32
	threads    int
	registry   *attribution.Registry
	thresholds *attribution.Thresholds // nil: the defaults
	fs         vfs.FS
	fault      func(processor.Step, []int32) error
	bulk       int // of the store's options
}

func startBroker(t testing.TB) *broker.Embedded {
	t.Helper()
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func logger() *slog.Logger {
	if os.Getenv("HANDPRINT_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

// newApp makes an application with topics of its own. It does not run yet.
func newApp(t testing.TB, b *broker.Embedded, o options) *app {
	t.Helper()
	if o.threads == 0 {
		o.threads = 1
	}
	a := &app{t: t, broker: b, bulk: o.bulk, prefix: o.prefix, partitions: o.partitions, names: topology.DefaultNames(o.prefix, "app"), produced: make(map[processor.TopicPartition]int64)}
	a.rest = topology.NewRest(a.names)
	var err error
	a.client, err = kgo.NewClient(append(b.ClientOpts(),
		kgo.RecordPartitioner(a.names.Partitioner()), kgo.ProducerLinger(0), kgo.RecordDeliveryTimeout(3*time.Minute))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.client.Close)
	specs := a.names.Specs(topology.Layout{Partitions: o.partitions, Replication: 1})
	if _, err := broker.Ensure(context.Background(), a.client, specs); err != nil {
		t.Fatal(err)
	}
	if problems, err := broker.Check(context.Background(), a.client, specs); err != nil || len(problems) > 0 {
		t.Fatalf("topics do not fit what they were created for: %v %v", problems, err)
	}
	if o.fs == nil {
		o.fs = vfs.NewMem()
	}
	a.open(o.fs)
	thresholds := attribution.DefaultThresholds()
	if o.thresholds != nil {
		thresholds = *o.thresholds
	}
	a.config = topology.Config{
		Names: a.names,
		Engine: engine.Config{
			Thresholds: thresholds,
			Registry:   o.registry,
			Counters:   new(engine.Counters),
		},
		Runtime: processor.Config{
			ApplicationID: o.prefix + "app",
			InstanceID:    "test",
			Client:        b.ClientOpts(),
			Partitions:    o.partitions,
			Threads:       o.threads,
			Clock:         clocktest.New(time.Unix(1_700_000_000, 0)),
			OnCommit:      a.onCommit,
			Fault:         o.fault,
			Logger:        logger(),
			FetchMaxWait:  20 * time.Millisecond,
		},
	}
	return a
}

func (a *app) open(fs vfs.FS) {
	a.t.Helper()
	s, err := state.Open("store", state.Options{FS: fs, CacheBytes: 1 << 20, MemtableBytes: 1 << 20, BulkBytes: a.bulk, Logger: logger()})
	if err != nil {
		a.t.Fatal(err)
	}
	a.store, a.fs = s, fs
}

func (a *app) onCommit(c processor.Commit) {
	a.mu.Lock()
	for tp, end := range c.Produced {
		a.produced[tp] = max(a.produced[tp], end)
	}
	rest := a.rest
	a.mu.Unlock()
	rest.OnCommit(c)
}

// start runs the application until end.
func (a *app) start() {
	a.t.Helper()
	a.config.Runtime.Store = a.store
	p, err := a.config.Processor()
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	a.stop, a.finished = cancel, done
}

// end stops the application and closes its store.
func (a *app) end() error {
	a.t.Helper()
	err := a.stopRunning()
	return errors.Join(err, a.store.Close())
}

// stopRunning stops the application; its store can be read then.
func (a *app) stopRunning() error {
	a.stop()
	return <-a.finished
}

// restart stops the application and starts it again on the same store.
func (a *app) restart() {
	a.t.Helper()
	if err := a.stopRunning(); err != nil {
		a.t.Fatal(err)
	}
	a.start()
}

// put writes records to the input topics, in order, and tells what follows.
func (a *app) put(records ...*kgo.Record) {
	a.t.Helper()
	for _, r := range records {
		if err := a.client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			a.t.Fatal(err)
		}
		a.rest.Expect(r.Topic, r.Partition, r.Offset)
	}
}

// settle waits until there is nothing left to do.
func (a *app) settle() {
	a.t.Helper()
	if err := a.await(); err != nil {
		a.t.Fatal(err)
	}
}

// await waits until there is nothing left to do, or the application ends.
func (a *app) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	rest := a.rest // forget may come before the goroutine has begun
	waited := make(chan error, 1)
	go func() { waited <- rest.Wait(ctx) }()
	select {
	case err := <-waited:
		return err
	case err := <-a.finished:
		cancel()
		<-waited
		a.finished <- err // for end
		return fmt.Errorf("the processor ended: %w", err)
	}
}

// forget begins anew what is known of the work that is left.
func (a *app) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rest = topology.NewRest(a.names)
}

// catchUp tells an application that was started anew, after a crash of which
// it is not known how far it came, what is left to do. offsets are the ones that
// the group had committed before the start.
func (a *app) catchUp(offsets map[processor.TopicPartition]int64) {
	a.t.Helper()
	a.rest.OnCommit(processor.Commit{Consumed: offsets})
	for _, r := range a.read(a.names.Commands, a.names.Observations, a.names.IdentityEvents) {
		a.rest.Expect(r.Topic, r.Partition, r.Offset)
	}
}

// offsets are what the group has committed.
func (a *app) offsets() map[processor.TopicPartition]int64 {
	a.t.Helper()
	fetched, err := kadm.NewClient(a.client).FetchOffsets(context.Background(), a.config.Runtime.ApplicationID)
	if err == nil {
		err = fetched.Error()
	}
	if err != nil {
		a.t.Fatal(err)
	}
	offsets := make(map[processor.TopicPartition]int64)
	fetched.Each(func(o kadm.OffsetResponse) {
		offsets[processor.TopicPartition{Topic: o.Topic, Partition: o.Partition}] = o.At
	})
	return offsets
}

// ends are the offsets behind the last records of the outputs.
func (a *app) ends() map[processor.TopicPartition]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	ends := make(map[processor.TopicPartition]int64, len(a.produced))
	for tp, end := range a.produced {
		ends[tp] = end
	}
	return ends
}

// outputs are the topics that the world reads.
func (a *app) outputs() []string {
	return []string{a.names.StateChanged, a.names.MultiActorSuspects, a.names.IdentityChanged, a.names.State, a.names.Identities, a.names.DeadLetter}
}

// read returns the committed records of the topics, each partition in order.
func (a *app) read(topics ...string) []*kgo.Record {
	a.t.Helper()
	records := readCommitted(a.t, a.broker, topics...)
	if a.avro != nil {
		for _, r := range records {
			a.avro.translate(a, r)
		}
	}
	return records
}

func readCommitted(t testing.TB, b *broker.Embedded, topics ...string) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(append(b.ClientOpts(), kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topics...)
	if err != nil {
		t.Fatal(err)
	}
	left := make(map[processor.TopicPartition]bool)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[processor.TopicPartition{Topic: o.Topic, Partition: o.Partition}] = true
		}
	})
	var records []*kgo.Record
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("reading the outputs: %v", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
			// What stands at the end may be of a transaction that is aborted
			// later; then the marker behind it tells.
			if end, _ := ends.Lookup(r.Topic, r.Partition); r.Offset >= end.Offset-1 {
				delete(left, processor.TopicPartition{Topic: r.Topic, Partition: r.Partition})
			}
		})
	}
	slices.SortFunc(records, func(x, y *kgo.Record) int {
		if c := bytes.Compare([]byte(x.Topic), []byte(y.Topic)); c != 0 {
			return c
		}
		if x.Partition != y.Partition {
			return int(x.Partition - y.Partition)
		}
		return int(x.Offset - y.Offset)
	})
	return records
}

// event reads a transition or a suspicion as the vectors have it.
func event(t testing.TB, kind string, record []byte) vectors.Event {
	t.Helper()
	var e vectors.Event
	if err := json.Unmarshal(record, &e); err != nil {
		t.Fatalf("event %s: %v", record, err)
	}
	e.Type = kind
	return e
}

func vectorRow(t testing.TB, r *kgo.Record) vectors.Row {
	t.Helper()
	var row vectors.Row
	if err := json.Unmarshal(r.Value, &row); err != nil {
		t.Fatalf("row %s: %v", r.Value, err)
	}
	if key := string(schemas.AppendStateRowKey(nil, row.Identity, row.Primitive)); key != string(r.Key) {
		t.Fatalf("row %s has key %s", r.Value, r.Key)
	}
	return row
}
