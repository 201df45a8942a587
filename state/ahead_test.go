package state

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// aheadGroup is the prefix of a group.
func aheadGroup(n int) []byte {
	g := make([]byte, groupLen)
	g[0], g[1], g[2], g[groupLen-1] = 'r', 1, byte(n*37), byte(n)
	return g
}

// What transactions read is the same with reading ahead and without, whatever they
// change, commit, evict and flush between two turns.
func TestReadingAheadChangesNoAnswer(t *testing.T) {
	const groups, partitions = 120, 3
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		s, err := Open("dir", Options{FS: vfs.NewMem(), CacheBytes: 1 << 20, MemtableBytes: 64 << 10, BulkBytes: 4 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}()
		s.writeBacks.bytes = rapid.SampledFrom([]int{8 << 10, 1 << 20}).Draw(t, "held")
		a := s.NewAhead()
		var txns [partitions]*Txn
		var want, committed [partitions]map[string]string
		for p := range txns {
			txns[p] = s.Partition(int32(p)).WriteBack()
			want[p], committed[p] = map[string]string{}, map[string]string{}
		}
		rnd := rapid.IntRange(0, 1<<20)
		for turn := range rapid.IntRange(1, 12).Draw(t, "turns") {
			var list [][2]int
			for range rapid.IntRange(0, 150).Draw(t, "groups") {
				g := [2]int{rnd.Draw(t, "partition") % partitions, rnd.Draw(t, "group") % groups}
				list = append(list, g)
				if rnd.Draw(t, "told")%8 > 0 {
					a.Add(txns[g[0]], aheadGroup(g[1]))
				}
			}
			a.Start()
			if a.started && rnd.Draw(t, "late")%2 == 0 {
				<-a.done // all of it is there
			}
			for i, g := range list {
				txn, m := txns[g[0]], want[g[0]]
				prefix := aheadGroup(g[1])
				for range 1 + rnd.Draw(t, "keys")%3 {
					keys := 4
					if g[1]%16 == 0 {
						keys = 90 // more than are read at once
					}
					key := fmt.Appendf(prefix[:groupLen:groupLen], "key %d", rnd.Draw(t, "key")%keys)
					got, err := txn.GetPrefetch(key, groupLen)
					if err != nil {
						t.Fatal(err)
					}
					if w, ok := m[string(key)]; ok != (got != nil) || w != string(got) {
						t.Fatalf("turn %d: key %x of partition %d is %q, want %q (%v)", turn, key, g[0], got, w, ok)
					}
					switch rnd.Draw(t, "change") % 4 {
					case 0:
						txn.Delete(key)
						delete(m, string(key))
					case 1, 2:
						value := fmt.Sprint("value ", turn, i, string(bytes.Repeat([]byte("x"), rnd.Draw(t, "size")%300)))
						txn.Put(key, []byte(value))
						m[string(key)] = value
					}
				}
			}
			taken += a.used
			a.Stop()
			a.skip = 0
			for p, txn := range txns {
				if rnd.Draw(t, "discard")%6 == 0 {
					txn.Discard()
					want[p] = maps.Clone(committed[p])
					continue
				}
				if err := txn.Commit(Checkpoint{Offset: int64(turn), Identity: "test"}); err != nil {
					t.Fatal(err)
				}
				committed[p] = maps.Clone(want[p])
				if rnd.Draw(t, "flush")%2 == 0 {
					if err := txn.writeBack.flush(txn); err != nil {
						t.Fatal(err)
					}
					txn.evict(rnd.Draw(t, "evict") % (64 << 10))
				}
			}
		}
		for p, txn := range txns {
			if err := txn.Close(); err != nil {
				t.Fatal(err)
			}
			snap := s.Partition(int32(p)).Snapshot()
			got := map[string]string{}
			if err := snap.Scan(nil, nil, func(k, v []byte) bool { got[string(k)] = string(v); return true }); err != nil {
				t.Fatal(err)
			}
			snap.Close()
			if !maps.Equal(got, committed[p]) {
				t.Fatalf("partition %d has %d keys, want %d: %q", p, len(got), len(committed[p]), slices.Sorted(maps.Keys(got)))
			}
		}
	})
	if taken == 0 {
		t.Error("nothing was asked for that was read ahead")
	}
}

// What was read ahead is used. After a turn that asked for little of it the next turns
// are not read ahead.
func TestReadingAheadStopsWhenItIsOfNoUse(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	tx := s.Partition(3).Begin()
	const n = 100
	for i := range n {
		tx.Put(append(aheadGroup(i), 'k'), []byte("value"))
	}
	check(t, tx.Commit(Checkpoint{}))
	a := s.NewAhead()
	if a.Worthwhile(n, 0) || !a.Worthwhile(n, n) {
		t.Error("reading ahead must follow from how much had to be read")
	}
	for i := range n {
		a.Add(tx, aheadGroup(i))
		a.Add(tx, aheadGroup(i)) // twice is once
		a.Add(tx, []byte("no group"))
	}
	if len(a.slots) != n {
		t.Fatalf("%d groups are to be read, want %d", len(a.slots), n)
	}
	a.Start()
	<-a.done
	for i := range n {
		v, err := tx.GetPrefetch(append(aheadGroup(i), 'k'), groupLen)
		check(t, err)
		// The first ones are left to the transaction.
		if again := tx.rare != nil; string(v) != "value" || again != (i < aheadLead-1) {
			t.Errorf("group %d: %q, and read by the transaction: %v", i, v, again)
		}
		if tx.rare != nil {
			check(t, tx.rare.Close())
			tx.rare = nil
		}
	}
	if got := tx.Loads(); got != n {
		t.Errorf("%d groups were loaded, want %d", got, n)
	}
	a.Stop()
	for i := range n { // nobody asks for them
		a.Add(tx, aheadGroup(i))
	}
	a.Start()
	a.Stop()
	for i := range aheadPause {
		if a.Worthwhile(n, n) {
			t.Fatalf("turn %d after one of no use is read ahead", i)
		}
	}
	if !a.Worthwhile(n, n) {
		t.Error("reading ahead does not begin again")
	}
	tx.Discard()
}
