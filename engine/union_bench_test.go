package engine

import (
	"fmt"
	"io"
	"log/slog"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"handprint/attribution"
	"handprint/state"
)

// BenchmarkUnion is an observation of an attacker of a large identity: of one HASH row with
// its union in memory; of one of eight rows in turn, where there is an eighth of the memory
// that their unions would take; and where there is no memory for unions, so that all
// contributions to the row are read. CPU time is what to look at. B/union is what the
// unions say they take at the end.
func BenchmarkUnion(b *testing.B) {
	for _, attackers := range []int{100, 800, 10_000} {
		for _, memory := range []string{"all", "eighth", "none"} {
			b.Run(fmt.Sprintf("attackers=%d/memory=%s", attackers, memory), func(b *testing.B) {
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
				cfg.Unions = NewUnionMemory(1 << 30)
				e, err := New(cfg, 0, tx)
				if err != nil {
					b.Fatal(err)
				}
				primitives := []string{"toolchain.ssh.hassh_client"}
				if memory == "eighth" {
					primitives = hashPrimitives(8)
				}
				n := 0
				observe := func() {
					attacker, primitive := name(n/len(primitives)%attackers), primitives[n%len(primitives)]
					n++
					r := Record{Source: Observations, Offset: int64(n), Time: 1_700_000_000_000 + int64(n), Key: attacker, Value: fmt.Appendf(nil,
						`{"attacker_uuid":%q,"primitive":%q,"value":"%032x","ts":%d,"evidence_ref":"s%d"}`, attacker, primitive, n%7, 1_700_000_000+n/len(primitives), n)}
					tx.Savepoint()
					if err := e.Process(&r, tx, new(heard)); err != nil {
						b.Fatal(err)
					}
					if n%1000 == 0 {
						if err := tx.Commit(state.Checkpoint{Offset: int64(n)}); err != nil {
							b.Fatal(err)
						}
					}
				}
				for range 3 * attackers * len(primitives) {
					observe()
				}
				switch memory {
				case "eighth":
					cfg.Unions = NewUnionMemory(int(e.cfg.Unions.Taken()) / 8)
				case "none":
					cfg.Unions = NewUnionMemory(0)
				}
				if memory != "all" {
					if err := tx.Commit(state.Checkpoint{Offset: int64(n)}); err != nil {
						b.Fatal(err)
					}
					e.cfg.Unions = cfg.Unions
					if err := e.Reload(tx); err != nil {
						b.Fatal(err)
					}
					for range 200 { // unions are made until there is no more room
						observe()
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
				b.ReportMetric(float64(e.cfg.Unions.Taken())/float64(max(len(e.unions.rows), 1)), "B/union")
				b.StopTimer()
				tx.Abandon()
				if err := store.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// hashPrimitives returns some of the registry's that are HASH.
func hashPrimitives(n int) (names []string) {
	registry := attribution.DefaultRegistry()
	for _, name := range registry.Names() {
		if registry.Kind([]byte(name)) == attribution.Hash && len(names) < n {
			names = append(names, name)
		}
	}
	return names
}
