package engine

import (
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"handprint/attribution"
	"handprint/state"
)

// nobody takes what a sweep sends.
type nobody struct{ Outbox }

func (nobody) Suspected(_, _ []byte)       {}
func (nobody) Identity(_, _ []byte)        {}
func (nobody) IdentityChanged(_, _ []byte) {}
func (nobody) Now() float64                { return 1_700_000_000 }

// BenchmarkSweep is one sweep of a task whose store has so many identities, of
// three rows each. One in a hundred is a suspect that was reported before, or a
// hundred of them are, whatever the number: a sweep looks at suspects only.
func BenchmarkSweep(b *testing.B) {
	for _, identities := range []int{10_000, 100_000, 1_000_000, 5_000_000} {
		for _, of := range []struct {
			name     string
			suspects int
		}{{"1%", identities / 100}, {"100", 100}} {
			b.Run(fmt.Sprintf("identities=%d/suspects=%s", identities, of.name), func(b *testing.B) {
				if testing.Short() && identities > 100_000 {
					b.Skip("takes minutes to fill")
				}
				store, err := state.Open("store", state.Options{FS: vfs.NewMem(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
				if err != nil {
					b.Fatal(err)
				}
				tx := store.Partition(0).WriteBack()
				e, err := New(Config{Thresholds: attribution.DefaultThresholds(), Partitions: 1}, 0, tx)
				if err != nil {
					b.Fatal(err)
				}
				e.store, e.out, e.now = tx, nobody{}, &Record{}
				names := []string{"net.client_banner", "proc.tool", "time.hour"}
				row := make([]byte, 120)
				var open attribution.OpenSuspicion
				for _, name := range names {
					open.Named = append(open.Named, attribution.Reason{Primitive: name, Kind: attribution.ReasonAlternates})
				}
				for i := range identities {
					id := fmt.Appendf(nil, "%08x-0000-4000-8000-000000000001", uint32(i)*2654435761)
					e.putIdentity(id, identity{Own: id})
					for _, name := range names {
						e.setRowKey(id, []byte(name))
						tx.Put(e.keys.row, row)
					}
					if i%(identities/of.suspects) == 0 {
						for _, name := range names {
							tx.Put(rowKey(nil, kindFlagged, id, []byte(name)), flagRecord)
						}
						tx.Put(idKey(nil, kindFlagCount, id), appendCount(nil, uint64(len(names))))
						e.putTold(id, attribution.Told{Names: names, Total: len(names)})
						tx.Put(idKey(nil, kindSuspicion, id), appendSuspicion(nil, &open))
					}
					if i%5000 == 4999 {
						if err := tx.Commit(state.Checkpoint{Offset: int64(i + 1)}); err != nil {
							b.Fatal(err)
						}
					}
				}
				now := Record{Source: Commands, Value: TickCommand(1_700_000_000)}
				for b.Loop() {
					if err := e.Process(&now, tx, nobody{}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(of.suspects), "ns/suspect")
				if err := tx.Close(); err != nil {
					b.Fatal(err)
				}
				if err := store.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
