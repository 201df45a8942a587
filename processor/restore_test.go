package processor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"handprint/processor/clocktest"
	"handprint/state"
)

// changelog is a changelog of one partition that a test writes by hand.
type changelog struct {
	*cluster
	topic  string
	writer *kgo.Client
	clock  *clocktest.Clock
}

func newChangelog(t *testing.T, c *cluster, topic string) *changelog {
	t.Helper()
	l := &changelog{cluster: c, topic: topic, clock: clocktest.New(time.Unix(1e9, 0))}
	l.create()
	l.writer = c.newClient(kgo.TransactionalID(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionTimeout(testPatience), kgo.MetadataMinAge(10*time.Millisecond), kgo.ProducerLinger(0))
	return l
}

func (l *changelog) create() {
	l.t.Helper()
	compact := "compact"
	_, err := kadm.NewClient(l.client).CreateTopic(l.ctx, 1, 1, map[string]*string{"cleanup.policy": &compact}, l.topic)
	if err != nil {
		l.t.Fatal(err)
	}
}

type change struct{ key, value string } // an empty value deletes

// write writes changes in a transaction and leaves it open.
func (l *changelog) write(changes ...change) {
	l.t.Helper()
	if err := l.writer.BeginTransaction(); err != nil {
		l.t.Fatal(err)
	}
	for _, c := range changes {
		r := &kgo.Record{Topic: l.topic, Key: []byte(c.key)}
		if c.value != "" {
			r.Value = []byte(c.value)
		}
		if err := l.writer.ProduceSync(l.ctx, r).FirstErr(); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *changelog) end(commit bool) {
	l.t.Helper()
	endTransaction(l.t, l.writer, commit)
}

func endTransaction(t *testing.T, cl *kgo.Client, commit bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	if err := settleTopics(ctx, cl); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
		t.Fatal(err)
	}
}

func (l *changelog) restorer(store *state.Store) *restorer {
	return &restorer{
		cfg: &Config{
			Client:    []kgo.Opt{kgo.SeedBrokers(l.ListenAddrs()...), kgo.MetadataMinAge(10 * time.Millisecond)},
			Changelog: l.topic, Clock: l.clock, ChangelogRetention: 24 * time.Hour,
		},
		store: store.Partition(0), progress: new(progress), counters: new(counters), log: testLogger(),
	}
}

func (l *changelog) restore(store *state.Store) *restorer {
	l.t.Helper()
	r := l.restorer(store)
	cp, err := r.run(l.ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	stored, found, err := store.Partition(0).Checkpoint()
	if err != nil || !found || stored.Offset != cp.Offset || stored.Identity != cp.Identity {
		l.t.Fatalf("restored to %+v, but the store has %+v, %v, %v", cp, stored, found, err)
	}
	if end := l.ends(l.topic)[0]; cp.Offset < end {
		l.t.Fatalf("restored to %d of %d", cp.Offset, end)
	}
	return r
}

// Whatever was committed, aborted and compacted away, and wherever a store
// stood when it began, a restored store holds what the committed changes say.
func TestRestoreProperty(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var topics atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		l := newChangelog(t, c, fmt.Sprintf("changelog-%d", topics.Add(1)))
		defer l.writer.Close()
		store := openStore(t, vfs.NewMem())
		defer store.Close()
		model := make(map[string]string)
		check := func(s *state.Store) {
			if got := contents(t, s, 0); !maps.Equal(got, model) {
				rt.Fatalf("restored %v, want %v", got, model)
			}
		}
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"commit", "commit", "abort", "compact", "restore"}).Draw(rt, "step") {
			case "commit":
				changes := drawChanges(rt)
				l.write(changes...)
				l.end(true)
				for _, c := range changes {
					if c.value == "" {
						delete(model, c.key)
					} else {
						model[c.key] = c.value
					}
				}
			case "abort":
				l.write(drawChanges(rt)...)
				l.end(false)
			case "compact":
				c.Compact()
			case "restore":
				l.restore(store)
				check(store)
			}
		}
		l.restore(store)
		check(store)
		fresh := openStore(t, vfs.NewMem())
		defer fresh.Close()
		l.restore(fresh)
		check(fresh)
	})
}

func drawChanges(t *rapid.T) []change {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) change {
		return change{
			rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"),
			rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, "value"),
		}
	}), 1, 4).Draw(t, "changes")
}

func TestRestoreReadsNothingTwice(t *testing.T) {
	t.Parallel()
	l := newChangelog(t, newCluster(t), "changelog")
	store := newStore(t)
	l.write(change{"a", "1"}, change{"b", "1"})
	l.end(true)
	if r := l.restore(store); r.progress.recordsIn.Load() != 2 {
		t.Errorf("%d records restored, want 2", r.progress.recordsIn.Load())
	}
	if r := l.restore(store); r.progress.recordsIn.Load() != 0 {
		t.Errorf("%d records restored again", r.progress.recordsIn.Load())
	}
	l.write(change{"a", "2"})
	l.end(true)
	if r := l.restore(store); r.progress.recordsIn.Load() != 1 {
		t.Errorf("%d records restored, want the new one", r.progress.recordsIn.Load())
	}
}

// A transaction that is still open below the high watermark may turn out to be
// committed, so the restore waits for it.
func TestRestoreWaitsForOpenTransaction(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		t.Run(fmt.Sprintf("commit %v", commit), func(t *testing.T) {
			c := newCluster(t)
			l := newChangelog(t, c, "changelog")
			store := newStore(t)
			l.write(change{"a", "1"})
			l.end(true)
			l.write(change{"a", "2"})
			reads := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true, Count: -1})
			defer reads.Remove()
			done := make(chan error, 1)
			r := l.restorer(store)
			go func() { _, err := r.run(c.ctx); done <- err }()
			if err := reads.Wait(c.ctx, 3); err != nil { // the third finds nothing to read
				t.Fatal(err)
			}
			select {
			case err := <-done:
				t.Fatalf("the restore ended (%v) with a transaction open", err)
			default:
			}
			p := r.progress.snapshot(l.clock.Now())
			if p.Total != 3 || p.Done != 2 || p.Records != 1 {
				t.Errorf("progress is %+v", *p)
			}
			l.end(commit)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			want := map[bool]string{true: "2", false: "1"}[commit]
			if got := contents(t, store, 0)["a"]; got != want {
				t.Errorf("a is %q, want %q", got, want)
			}
		})
	}
}

// Until the end is reached, the store is as old as when the restore began: what
// it read early may be deleted further up, by a deletion that is kept only so
// long.
func TestRestoreAgesUntilItsEnd(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l := newChangelog(t, c, "changelog")
	store := newStore(t)
	l.write(change{"a", "1"})
	l.end(true)
	began := l.clock.Now()
	l.restore(store)
	l.write(change{"a", "2"})
	l.end(true)
	l.write(change{"a", ""}) // stays open
	l.clock.Advance(time.Hour)
	reads := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true, Count: -1})
	defer reads.Remove()
	ctx, cancel := context.WithCancel(c.ctx)
	done := make(chan error, 1)
	go func() { _, err := l.restorer(store).run(ctx); done <- err }()
	if err := reads.Wait(c.ctx, 3); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	if cp, _, err := store.Partition(0).Checkpoint(); err != nil || cp.Offset != 4 || !cp.At.Equal(began) {
		t.Errorf("half way, the checkpoint is %+v, %v; want offset 4 at %v", cp, err, began)
	}
	l.end(true)
	l.restore(store)
	if cp, _, err := store.Partition(0).Checkpoint(); err != nil || cp.Offset != 6 || !cp.At.Equal(began.Add(time.Hour)) {
		t.Errorf("at the end, the checkpoint is %+v, %v", cp, err)
	}
	if got := contents(t, store, 0); len(got) != 0 {
		t.Errorf("the store has %v", got)
	}
}

func TestRestoreEndsWithContext(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l := newChangelog(t, c, "changelog")
	l.write(change{"a", "1"})
	reads := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true, Count: -1})
	defer reads.Remove()
	ctx, cancel := context.WithCancel(c.ctx)
	done := make(chan error, 1)
	r := l.restorer(newStore(t))
	go func() { _, err := r.run(ctx); done <- err }()
	if err := reads.Wait(c.ctx, 2); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("run returned %v", err)
	}
}

// A store that cannot be brought up to date from its checkpoint is rebuilt.
func TestRestoreRebuilds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		between func(l *changelog)
		rebuilt bool
	}{
		{"nothing happened", func(*changelog) {}, false},
		{"another topic under the name", func(l *changelog) {
			if _, err := kadm.NewClient(l.client).DeleteTopic(l.ctx, l.topic); err != nil {
				l.t.Fatal(err)
			}
			l.create()
			l.writer.Close()
			l.writer = l.newClient(kgo.TransactionalID("other"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionTimeout(testPatience))
			// So that the checkpoint lies inside the new topic.
			l.write(change{"d", "1"}, change{"e", "1"}, change{"f", "1"})
			l.end(true)
		}, true},
		{"the log begins after the checkpoint", func(l *changelog) {
			l.write(change{"b", "1"}, change{"b", "2"})
			l.end(true)
			trim := make(kadm.Offsets)
			trim.AddOffset(l.topic, 0, 5, -1)
			if _, err := kadm.NewClient(l.client).DeleteRecords(l.ctx, trim); err != nil {
				l.t.Fatal(err)
			}
		}, true},
		{"a store younger than the deletions that are kept", func(l *changelog) {
			l.clock.Advance(24*time.Hour - 1)
		}, false},
		{"a store as old as the deletions that are kept", func(l *changelog) {
			l.clock.Advance(24 * time.Hour)
		}, true},
		{"a clock that was set a little", func(l *changelog) {
			l.clock.Advance(-time.Minute)
		}, false},
		// What was written by a clock of tomorrow would look fresh for a day
		// longer than it is.
		{"a store from the future", func(l *changelog) {
			l.clock.Advance(-time.Minute - 1)
		}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newChangelog(t, newCluster(t), "changelog")
			store := newStore(t)
			l.write(change{"a", "1"}, change{"b", "1"})
			l.end(true)
			l.restore(store)
			test.between(l)
			l.write(change{"c", "1"})
			l.end(true)
			r := l.restore(store)
			if got := r.counters.rebuilds.Load() == 1; got != test.rebuilt {
				t.Errorf("rebuilt: %v, want %v", got, test.rebuilt)
			}
			want := make(map[string]string)
			for _, rec := range l.committed(l.topic)[0] {
				want[string(rec.Key)] = string(rec.Value)
			}
			if got := contents(t, store, 0); !maps.Equal(got, want) {
				t.Errorf("the store has %v, the changelog %v", got, want)
			}
		})
	}
}

// The log may lose its beginning, or its topic, while it is read.
func TestRestoreSurvivesErrors(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l := newChangelog(t, c, "changelog")
	l.write(change{"a", "1"})
	l.end(true)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.NotLeaderForPartition},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.OffsetOutOfRange})
	store := newStore(t)
	r := l.restore(store)
	if got := contents(t, store, 0); !maps.Equal(got, map[string]string{"a": "1"}) {
		t.Errorf("restored %v", got)
	}
	if n := r.counters.rebuilds.Load(); n != 1 {
		t.Errorf("%d rebuilds, want 1", n)
	}
}

// A restore that takes longer than deletions are kept begins anew.
func TestRestoreThatTakesTooLong(t *testing.T) {
	t.Parallel()
	l := newChangelog(t, newCluster(t), "slow")
	l.write()
	big := make([]byte, 512<<10) // nothing that can be compressed
	random := rand.NewChaCha8([32]byte{1})
	for i := range 20 { // more than a fetch brings
		_, _ = random.Read(big)
		r := &kgo.Record{Topic: l.topic, Key: fmt.Appendf(nil, "k%d", i), Value: big}
		if err := l.writer.ProduceSync(l.ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	l.end(true)
	store := newStore(t)
	r := l.restorer(store)
	slow := once(2) // of what is written, the first is the checkpoint
	emptied := 0
	r.watcher = &CopyWatcher{
		Applied: func(int32, []*kgo.Record, state.Checkpoint) {
			if slow() {
				l.clock.Advance(24 * time.Hour)
			}
		},
		Emptied: func(int32) { emptied++ },
	}
	cp, err := r.run(l.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.counters.rebuilds.Load(); n != 1 || emptied != 3 {
		t.Errorf("it was rebuilt %d times and emptied %d times", n, emptied)
	}
	if !cp.At.Equal(l.clock.Now()) || len(contents(t, store, 0)) != 20 {
		t.Errorf("the checkpoint is of %v with %d keys, the time is %v", cp.At, len(contents(t, store, 0)), l.clock.Now())
	}
}
