package audit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/audit"
	"handprint/internal/broker"
	"handprint/processor"
	"handprint/processor/clocktest"
	"handprint/schemas"
	"handprint/state"
	"handprint/topology"
)

// app is one application on a broker of the test: the whole topology.
type app struct {
	t          testing.TB
	id         string
	names      topology.Names
	partitions int32
	registry   *attribution.Registry
	writers    *schemas.Writers
	thresholds attribution.Thresholds
	retention  time.Duration
	broker     *broker.Embedded
	client     *kgo.Client
	store      *state.Store
	clock      time.Time
	processor  *processor.Processor
	stop       func()
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

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// startApp runs an application with topics of its own until the test is over.
func startApp(t testing.TB, b *broker.Embedded, id string, partitions int32, registry *attribution.Registry) *app {
	t.Helper()
	return startAppIn(t, b, id, partitions, registry, "store", state.Options{FS: vfs.NewMem()})
}

func startAppIn(t testing.TB, b *broker.Embedded, id string, partitions int32, registry *attribution.Registry, dir string, so state.Options, configure ...func(*topology.Config)) *app {
	t.Helper()
	a := &app{t: t, id: id + "app", names: topology.DefaultNames(id, "app"), partitions: partitions, registry: registry, broker: b, clock: time.UnixMilli(1_800_000_000_000)}
	var err error
	a.client, err = kgo.NewClient(append(b.ClientOpts(), kgo.RecordPartitioner(a.names.Partitioner()), kgo.ProducerLinger(0))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.client.Close)
	if _, err := broker.Ensure(t.Context(), a.client, a.names.Specs(topology.Layout{Partitions: partitions, Replication: 1})); err != nil {
		t.Fatal(err)
	}
	so.CacheBytes, so.MemtableBytes, so.Logger = 1<<20, 1<<20, quiet
	a.store, err = state.Open(dir, so)
	if err != nil {
		t.Fatal(err)
	}
	config := topology.Config{
		Names:  a.names,
		Engine: engine.Config{Thresholds: attribution.DefaultThresholds(), Registry: registry, Counters: new(engine.Counters)},
		Runtime: processor.Config{
			ApplicationID: a.id, InstanceID: "test", Client: b.ClientOpts(), Partitions: partitions, Threads: 2, Store: a.store,
			Clock: clocktest.New(time.Unix(1_700_000_000, 0)), Logger: quiet, FetchMaxWait: 20 * time.Millisecond,
		},
	}
	for _, c := range configure {
		c(&config)
	}
	a.writers, a.thresholds, a.retention = config.Engine.Writers, config.Engine.Thresholds, config.Engine.Retention
	p, err := config.Processor()
	if err != nil {
		t.Fatal(err)
	}
	a.processor = p
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	ended := false
	a.stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the processor ended: %v", err)
		}
		if err := a.store.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { a.stop() })
	return a
}

// put writes records at once: those of a partition keep their order.
func (a *app) put(records ...*kgo.Record) {
	a.t.Helper()
	for _, r := range records {
		if r.Timestamp.IsZero() {
			a.clock = a.clock.Add(time.Millisecond)
			r.Timestamp = a.clock
		}
	}
	if err := a.client.ProduceSync(a.t.Context(), records...).FirstErr(); err != nil {
		a.t.Fatal(err)
	}
}

// tick makes every task sweep.
func (a *app) tick() {
	a.t.Helper()
	a.put(a.names.Ticks(a.partitions, a.clock)...)
}

func (a *app) options() audit.Options {
	return audit.Options{
		Client: a.broker.ClientOpts(), Topics: a.names, Group: a.id, Writers: a.writers,
		Rules: audit.Rules{Thresholds: a.thresholds, Registry: a.registry, Retention: a.retention},
	}
}

func (a *app) auditor(o audit.Options) *audit.Auditor {
	a.t.Helper()
	auditor, err := audit.New(o)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(auditor.Close)
	return auditor
}

// clean fails the test if an audit found something.
func clean(t testing.TB, r audit.Report, err error) audit.Report {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range r.Differences {
		t.Error(d)
	}
	if !r.OK() {
		t.FailNow()
	}
	return r
}

var storeOptions state.Options // on the disk

// writeStore changes a record of a stopped store, which is deleted if value is
// nil, and returns what puts it back.
func (a *app) writeStore(dir string, p int32, key, value []byte) (restore func()) {
	a.t.Helper()
	write := func(value []byte) (before []byte) {
		s, err := state.Open(dir+"/store", state.Options{Logger: quiet})
		if err != nil {
			a.t.Fatal(err)
		}
		part := s.Partition(p)
		snapshot := part.Snapshot()
		if before, err = snapshot.Get(key); err != nil {
			a.t.Fatal(err)
		}
		before = bytes.Clone(before)
		snapshot.Close()
		cp, _, err := part.Checkpoint()
		if err == nil {
			err = part.Restore(func(yield func(k, v []byte) bool) { yield(key, value) }, cp)
		}
		if err = errors.Join(err, s.Close()); err != nil {
			a.t.Fatal(err)
		}
		return before
	}
	before := write(value)
	return func() { write(before) }
}
