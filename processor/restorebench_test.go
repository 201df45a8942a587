package processor

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"handprint/state"
)

// BenchmarkRestore builds the stores of all tasks from their changelogs, as
// after the loss of a state directory: b.N records with keys of 40 bytes and
// values of 120, the keys in no order, half of them written twice. The broker is
// in the same process and the store on the disk.
func BenchmarkRestore(b *testing.B) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(testTasks, testChangelog))
	if err != nil {
		b.Fatal(err)
	}
	defer fake.Close()
	seeds := kgo.SeedBrokers(fake.ListenAddrs()...)
	writer, err := kgo.NewClient(seeds, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(1<<20),
		kgo.TransactionalID("bench"), kgo.TransactionTimeout(10*time.Minute))
	if err != nil {
		b.Fatal(err)
	}
	defer writer.Close()
	random := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, 120)
	for begin := 0; begin < b.N; begin += 100_000 {
		if err := writer.BeginTransaction(); err != nil {
			b.Fatal(err)
		}
		for range min(100_000, b.N-begin) {
			key := make([]byte, 40)
			binary.BigEndian.PutUint64(key[8:], random.Uint64N(uint64(b.N))*0x9e3779b97f4a7c15)
			binary.BigEndian.PutUint64(value, random.Uint64())
			writer.Produce(b.Context(), &kgo.Record{Topic: testChangelog, Partition: int32(random.IntN(testTasks)), Key: key, Value: append([]byte(nil), value...)}, nil)
		}
		if err := writer.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := writer.EndTransaction(b.Context(), kgo.TryCommit); err != nil {
			b.Fatal(err)
		}
	}
	store, err := state.Open(b.TempDir(), state.Options{Logger: testLogger()})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	cfg := Config{Client: []kgo.Opt{seeds}, Changelog: testChangelog, Store: store, Logger: testLogger()}.withDefaults()
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	var group errgroup.Group
	var count counters
	for p := range int32(testTasks) {
		group.Go(func() error {
			r := &restorer{cfg: &cfg, task: p, store: store.Partition(p), progress: new(progress), counters: &count, log: cfg.Logger}
			_, err := r.run(context.Background())
			return err
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if n := count.restoredRecords.Load(); n != int64(b.N) {
		b.Fatalf("%d records were restored, want %d", n, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// cpuTime returns what this process has had of the machine's processors, which
// says more than the time on a machine that does other things besides.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
