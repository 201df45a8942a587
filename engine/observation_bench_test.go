package engine_test

import (
	"io"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"handprint/attribution"
	"handprint/bench/load"
	"handprint/engine"
	"handprint/state"
)

// noOutbox takes what a record causes and forgets it.
type noOutbox struct{}

func (noOutbox) StateChanged(_, _ []byte)  {}
func (noOutbox) Suspected(_, _ []byte)     {}
func (noOutbox) StateRow(_, _ []byte)      {}
func (noOutbox) DeadLetter(_, _ string)    {}
func (noOutbox) Send(_ int32, _, _ []byte) {}
func (noOutbox) Now() float64              { return load.Start }

// BenchmarkObservationInStore is an observation from its record to its row, with its
// share of a commit to the store for every 5000. The first ones of an attacker
// make rows, later ones find them.
func BenchmarkObservationInStore(b *testing.B) {
	for _, c := range []struct {
		name      string
		attackers int
	}{{"few attackers", 100}, {"many attackers", 20_000}} {
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
			records := make([][]byte, 100_000)
			for i := range records {
				records[i] = append([]byte(nil), g.Next().Value...)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				tx.Savepoint()
				r := engine.Record{Source: engine.Observations, Offset: int64(i), Time: int64(i), Value: records[i%len(records)]}
				if err := e.Process(&r, tx, noOutbox{}); err != nil {
					b.Fatal(err)
				}
				if i%5000 == 4999 {
					if err := tx.Commit(state.Checkpoint{Offset: int64(i)}); err != nil {
						b.Fatal(err)
					}
				}
			}
			tx.Discard()
			if err := store.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
