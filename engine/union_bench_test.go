package engine

import (
	"fmt"
	"io"
	"log/slog"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"handprint/state"
)

// BenchmarkUnion is an observation of an attacker of a large identity, with the union of
// its row in memory, and where there is no memory for unions, so that all contributions
// to the row are read. CPU time is what to look at.
func BenchmarkUnion(b *testing.B) {
	for _, attackers := range []int{100, 800, 10_000} {
		for _, held := range []bool{true, false} {
			b.Run(fmt.Sprintf("attackers=%d/held=%v", attackers, held), func(b *testing.B) {
				store, err := state.Open("store", state.Options{FS: vfs.NewMem(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
				if err != nil {
					b.Fatal(err)
				}
				tx := store.Partition(0).WriteBack()
				identity := []byte("018f0000-0000-7000-8000-000000000001")
				name := func(i int) []byte { return fmt.Appendf(nil, "203.0.%d.%d", i/250, i%250) }
				for i := range attackers {
					tx.Put(idKey(nil, kindLink, name(i)), appendLink(nil, link{Identity: identity, By: origin{Version: 1}}))
					tx.Put(idsKey(nil, kindMember, identity, name(i)), appendMember(nil, member{Version: 1}))
				}
				cfg := testConfig(1)
				e, err := New(cfg, 0, tx)
				if err != nil {
					b.Fatal(err)
				}
				offset := int64(0)
				observe := func() {
					attacker := name(int(offset) % attackers)
					offset++
					r := Record{Source: Observations, Offset: offset, Time: 1_700_000_000_000 + offset, Key: attacker, Value: fmt.Appendf(nil,
						`{"attacker_uuid":%q,"primitive":"toolchain.ssh.hassh_client","value":"%032x","ts":%d,"evidence_ref":"s%d"}`, attacker, offset%7, 1_700_000_000+offset, offset)}
					tx.Savepoint()
					if err := e.Process(&r, tx, new(heard)); err != nil {
						b.Fatal(err)
					}
					if offset%1000 == 0 {
						if err := tx.Commit(state.Checkpoint{Offset: offset}); err != nil {
							b.Fatal(err)
						}
					}
				}
				for range 3 * attackers {
					observe()
				}
				if !held {
					e.cfg.Unions = NewUnionMemory(0)
					if err := tx.Commit(state.Checkpoint{Offset: offset}); err != nil {
						b.Fatal(err)
					}
					if err := e.Reload(tx); err != nil {
						b.Fatal(err)
					}
				}
				used := func() int64 {
					var u syscall.Rusage
					if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
						b.Fatal(err)
					}
					return u.Utime.Nano() + u.Stime.Nano()
				}
				before := used()
				b.ResetTimer()
				for range b.N {
					observe()
				}
				b.ReportMetric(float64(used()-before)/float64(b.N)/1000, "cpu-us/op")
				b.StopTimer()
				tx.Abandon()
				if err := store.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
