package engine_test

import (
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/load"
	"handprint/state"
)

// noOutbox takes what a record causes and forgets it.
type noOutbox struct{}

func (noOutbox) StateChanged(_, _ []byte)    {}
func (noOutbox) Suspected(_, _ []byte)       {}
func (noOutbox) Identity(_, _ []byte)        {}
func (noOutbox) IdentityChanged(_, _ []byte) {}
func (noOutbox) RowChanged(_ []byte)         {}
func (noOutbox) StateRow(_, _ []byte)        {}
func (noOutbox) DeadLetter(_, _ string)      {}
func (noOutbox) Send(_ int32, _, _ []byte)   {}
func (noOutbox) Now() float64                { return load.Start }

// BenchmarkTask is an observation from its record to its row, with its share of
// a commit to the store for every 5000, Pebble's work in the background
// included. New: nearly every row is one that was not there before, of many
// attackers. Known: nearly every row was there. CPU time is what to look at:
// it does not depend on what else the machine does.
func BenchmarkTask(b *testing.B) {
	for _, c := range []struct {
		name            string
		attackers, warm int
	}{{"new", 20_000, 0}, {"known", 1000, 400_000}} {
		b.Run(c.name, func(b *testing.B) {
			store, err := state.Open("store", state.Options{FS: vfs.NewMem(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
			if err != nil {
				b.Fatal(err)
			}
			tx := store.Partition(0).Begin()
			e, err := engine.New(engine.Config{Thresholds: attribution.DefaultThresholds(), Partitions: 1}, 0, tx)
			if err != nil {
				b.Fatal(err)
			}
			g, err := load.New(load.Config{Seed: 1, Attackers: c.attackers, Partitions: 1, Change: 0.1})
			if err != nil {
				b.Fatal(err)
			}
			var batch [5000][]byte
			offset := int64(0)
			run := func(n int) {
				for i := range n {
					tx.Savepoint()
					offset++
					r := engine.Record{Source: engine.Observations, Offset: offset, Time: offset, Value: batch[i]}
					if err := e.Process(&r, tx, noOutbox{}); err != nil {
						b.Fatal(err)
					}
				}
				if err := tx.Commit(state.Checkpoint{Offset: offset}); err != nil {
					b.Fatal(err)
				}
			}
			fill := func(n int) {
				for i := range n {
					batch[i] = append(batch[i][:0], g.Next().Value...)
				}
			}
			for done := 0; done < c.warm; done += len(batch) {
				fill(len(batch))
				run(len(batch))
			}
			b.ReportAllocs()
			var used time.Duration
			b.ResetTimer()
			for done := 0; done < b.N; done += len(batch) {
				n := min(len(batch), b.N-done)
				b.StopTimer()
				fill(n)
				b.StartTimer()
				before := cpu(b)
				run(n)
				used += cpu(b) - before
			}
			b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/op")
			b.StopTimer()
			tx.Discard()
			if err := store.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// cpu is what the process has used so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
