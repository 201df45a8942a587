package state

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// restingKey returns a key of a group.
func restingKey(group, k int) []byte {
	key := append([]byte{'r', byte(group >> 8), byte(group)}, make([]byte, groupLen-3)...)
	return fmt.Appendf(key, "key %d", k)
}

// restingTxn returns a transaction of so many groups of ten keys, which it has committed,
// and the function that reads all of it, as often as it is told.
func restingTxn(t *testing.T, groups int) (tx *Txn, read func(times int)) {
	t.Helper()
	s := openIn(t, vfs.NewMem(), "dir")
	tx = s.Partition(0).WriteBack()
	value := func(g, k int) string { return fmt.Sprint(g, " ", k, strings.Repeat("x", 100)) }
	for g := range groups {
		for k := range 10 {
			tx.Put(restingKey(g, k), []byte(value(g, k)))
		}
	}
	check(t, tx.Commit(Checkpoint{Offset: 1, At: time.Unix(1_700_000_000, 0)}))
	return tx, func(times int) {
		t.Helper()
		for range times {
			for g := range groups {
				for k := range 10 {
					v, err := tx.GetGrouped(restingKey(g, k), groupLen)
					check(t, err)
					if string(v) != value(g, k) {
						t.Fatalf("key %d of group %d is %.20q", k, g, v)
					}
				}
			}
		}
	}
}

// landed waits for the flush that is under way, and has tx take note of it.
func landed(t *testing.T, tx *Txn) {
	t.Helper()
	if f := tx.writeBack.flight; f != nil {
		<-f.done
	}
	check(t, tx.Land())
}

func TestATransactionThatRestsGivesItsMemoryBack(t *testing.T) {
	before := taken.Load()
	tx, read := restingTxn(t, 8000)
	read(2)
	check(t, tx.Rest(false))
	if tx.live == 0 {
		t.Fatal("what the database does not have is forgotten")
	}
	landed(t, tx)
	if n := taken.Load() - before; tx.live != 0 || n > 1<<20 {
		t.Fatalf("%d keys are remembered, in %d bytes", tx.live, n)
	}
	tx.Wake(true)
	read(1)
	if n := tx.Loads(); n != 8000 {
		t.Errorf("%d groups are read, want each of 8000 once", n)
	}
	check(t, tx.Close())
}

// A transaction rests if it has done ten times as much as what is forgotten costs to read.
func TestATransactionRestsIfThatIsCheap(t *testing.T) {
	tx, read := restingTxn(t, 8000)
	check(t, tx.Rest(false))
	if tx.writeBack.resting {
		t.Fatal("it rests, though nothing was asked for a second time")
	}
	read(1)
	check(t, tx.Rest(false))
	landed(t, tx)
	if tx.live != 0 {
		t.Fatal("what was never read from the database is not forgotten after as many reads as there are keys")
	}
	tx.Wake(true)
	// Each read has a tenth of the work of a key, and a group costs as much as restGroup.
	for range (10 + restGroup) / 10 {
		check(t, tx.Rest(false))
		if tx.writeBack.resting {
			t.Fatalf("it rests after %d reads of %d keys in %d groups", tx.writeBack.reads, tx.live, tx.writeBack.groups)
		}
		tx.Wake(true)
		read(1)
	}
	check(t, tx.Rest(false))
	landed(t, tx)
	if tx.live != 0 {
		t.Error("what was asked for often enough is not forgotten")
	}
	check(t, tx.Close())
}

// One that is asked for a key now and then reads that alone, and stays small.
func TestATransactionThatRestsReadsNoGroups(t *testing.T) {
	tx, read := restingTxn(t, 8000)
	read(1)
	check(t, tx.Rest(false))
	landed(t, tx)
	for g := range 100 {
		v, err := tx.GetGrouped(restingKey(g, 3), groupLen)
		check(t, err)
		if v == nil {
			t.Fatalf("a key of group %d is gone", g)
		}
	}
	if tx.live != 100 || tx.Loads() != 0 {
		t.Errorf("%d keys are remembered of 100 that were asked for", tx.live)
	}
	check(t, tx.Close())
}

// One that is wanted again before its flush has landed keeps what it has.
func TestATransactionIsWokenBeforeItRests(t *testing.T) {
	tx, read := restingTxn(t, 8000)
	read(1)
	check(t, tx.Rest(false))
	tx.Wake(true)
	landed(t, tx)
	if tx.live != 80_000 {
		t.Errorf("%d keys are remembered, want all", tx.live)
	}
	check(t, tx.Close())
}

// One that changes all that it remembers again and again writes it once, and does not rest.
func TestATransactionThatIsChangedAllTheTimeDoesNotRest(t *testing.T) {
	tx, read := restingTxn(t, 10_000)
	read(2)
	check(t, tx.Rest(false))
	<-tx.writeBack.flight.done
	for g := range 10_000 {
		for k := range 10 {
			tx.Put(restingKey(g, k), fmt.Append(nil, g, k, strings.Repeat("x", 100)))
		}
	}
	check(t, tx.Commit(Checkpoint{Offset: 2, At: time.Unix(1_700_000_000, 0)}))
	check(t, tx.Land())
	if h := tx.writeBack; h.saved.Offset != 1 || h.resting || tx.live != 100_000 {
		t.Errorf("it was written until %d, rests: %v, and remembers %d keys", h.saved.Offset, h.resting, tx.live)
	}
	check(t, tx.Close())
}

// A change that is not committed is neither written nor forgotten.
func TestATransactionWithChangesDoesNotRest(t *testing.T) {
	tx, read := restingTxn(t, 8000)
	read(2)
	tx.Put([]byte("new"), []byte("value"))
	check(t, tx.Rest(false))
	landed(t, tx)
	if v, err := tx.Get([]byte("new")); err != nil || string(v) != "value" || tx.live <= 80_000 {
		t.Errorf("the change reads as %q, %v, and %d keys are remembered", v, err, tx.live)
	}
	check(t, tx.Commit(Checkpoint{Offset: 2, At: time.Unix(1_700_000_001, 0)}))
	landed(t, tx)
	landed(t, tx)
	if tx.live > 1 {
		t.Errorf("%d keys are remembered after the commit", tx.live)
	}
	check(t, tx.Close())
}

// One that has come to the end of what it had to do rests though it remembers less.
func TestATransactionThatIsDoneRestsFromLessOn(t *testing.T) {
	tx, read := restingTxn(t, 3000)
	read(1)
	if n := tx.Remembered(); n <= minDoneBytes || n >= minRestBytes {
		t.Fatalf("it remembers %d bytes, which shows nothing", n)
	}
	check(t, tx.Rest(false))
	if tx.writeBack.resting {
		t.Error("it rests, though it remembers little and will have much to do")
	}
	check(t, tx.Rest(true))
	landed(t, tx)
	if tx.live != 0 {
		t.Errorf("%d keys are remembered, though it is done", tx.live)
	}
	check(t, tx.Close())
}
