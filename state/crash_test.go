package state

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A machine crash at any moment, with any part of what was not yet on the disk
// lost, must bring each partition back as it was at one commit, with the
// checkpoint of that commit; and never before what was there when the store was
// last emptied in part, which waits for the disk. Where no commit is written as a
// table it is the same commit for all partitions.
func TestCrashComesBackAsSomeCommit(t *testing.T) {
	t.Run("batches", func(t *testing.T) { crashes(t, 1<<30) })
	t.Run("tables", func(t *testing.T) { crashes(t, 4<<10) })
}

func crashes(t *testing.T, bulkBytes int) {
	for seed := range uint64(3) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		mem := vfs.NewCrashableMem()
		options := quiet(mem)
		options.BulkBytes = bulkBytes
		s, err := Open("dir", options)
		check(t, err)
		bulks := 0
		// history[i] is the whole store after commit i; one counter serves all
		// partitions, so that their checkpoints tell commits apart.
		history := []string{dump(t, s)}
		durable, flushed := 0, 0
		lost := 0
		txns := []*Txn{s.Partition(0).Begin(), s.Partition(1).Begin(), s.Partition(2).Begin()}
		for i := 1; i <= 180; i++ {
			p := rnd.IntN(len(txns))
			tx := txns[p]
			switch {
			case i%60 == 0:
				check(t, s.Partition(int32(p)).Reset())
				durable = i
			case i%7 == 0:
				check(t, s.Partition(int32(p)).Restore(func(yield func(k, v []byte) bool) {
					_ = yield(fmt.Appendf(nil, "%d", rnd.IntN(40)), []byte("restored")) &&
						yield(fmt.Appendf(nil, "%d", rnd.IntN(40)), nil)
				}, Checkpoint{Offset: int64(i)}))
			default:
				for range rnd.IntN(8) {
					key := fmt.Appendf(nil, "%d", rnd.IntN(40))
					tx.Savepoint()
					if rnd.IntN(4) == 0 {
						tx.Delete(key)
					} else {
						tx.Put(key, fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", rnd.IntN(1500))))
					}
					if rnd.IntN(10) == 0 {
						tx.RollbackToSavepoint()
					}
				}
				if tx.Bytes() >= bulkBytes {
					bulks++
				}
				check(t, tx.Commit(Checkpoint{Offset: int64(i)}))
			}
			history = append(history, dump(t, s))
			if i%40 == 0 {
				check(t, s.db.Flush())
				flushed = i
			}
			if i%10 != 0 {
				continue
			}
			crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 90, 100}[rnd.IntN(4)], RNG: rnd})
			// Of a partition there may be nothing since, so that it is as it was
			// at any later commit, too.
			for p := range len(txns) {
				of := func(dump string) string { return line(dump, p) }
				if bulkBytes > 1<<20 {
					of = strings.Clone
				}
				if at := commitAfterCrash(t, crashed, history, max(durable, flushed), of); at < i {
					lost++
				}
			}
		}
		if lost == 0 {
			t.Error("no crash lost anything: the test tests nothing")
		}
		if bulks == 0 && bulkBytes < 1<<20 {
			t.Error("no commit was written as a table")
		}
		for _, tx := range txns {
			tx.Discard()
		}
		check(t, s.Close())
	}
}

// line returns what a dump says of one partition.
func line(dump string, partition int) string {
	for l := range strings.Lines(dump) {
		if strings.HasPrefix(l, fmt.Sprintf("partition %d ", partition)) {
			return l
		}
	}
	return ""
}

// commitAfterCrash opens what a crash left and returns the commit that it is, by
// a part of the dumps.
func commitAfterCrash(t *testing.T, crashed vfs.FS, history []string, atLeast int, of func(dump string) string) int {
	t.Helper()
	s, err := Open("dir", quiet(crashed))
	check(t, err)
	defer func() { check(t, s.Close()) }()
	if _, err := crashed.Stat("dir.corrupt-1"); err == nil {
		t.Fatal("a crash was taken for damage")
	}
	got := dump(t, s)
	for i := len(history) - 1; i >= atLeast; i-- {
		if of(history[i]) == of(got) {
			return i
		}
	}
	t.Fatalf("after %d commits, the crash left what was never there since commit %d:\n%.500s", len(history)-1, atLeast, got)
	return 0
}

// dump returns all that the store holds, as text.
func dump(t *testing.T, s *Store) string {
	t.Helper()
	list, err := s.Partitions()
	check(t, err)
	var b strings.Builder
	for _, n := range list {
		records, offset := contents(t, s.Partition(n))
		fmt.Fprintf(&b, "partition %d at %d: %s\n", n, offset, strings.Join(records, ","))
	}
	return b.String()
}
