package state

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func quiet(fs vfs.FS) Options {
	return Options{FS: fs, CacheBytes: 1 << 20, MemtableBytes: 64 << 10, BulkBytes: 4 << 10, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openIn opens a store that the test closes at its end, if it has not before.
func openIn(t testing.TB, fs vfs.FS, dir string) *Store {
	t.Helper()
	s, err := Open(dir, quiet(fs))
	check(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// write commits one key and value in a transaction of its own.
func write(t testing.TB, p *Partition, key, value string, offset int64) {
	t.Helper()
	tx := p.Begin()
	tx.Put([]byte(key), []byte(value))
	check(t, tx.Commit(Checkpoint{Offset: offset}))
}

// contents returns all that is committed in a partition, as "key=value", and
// the offset of its checkpoint, -1 if there is none.
func contents(t testing.TB, p *Partition) ([]string, int64) {
	t.Helper()
	sn := p.Snapshot()
	defer sn.Close()
	var list []string
	check(t, sn.Scan(nil, nil, func(k, v []byte) bool {
		list = append(list, string(k)+"="+string(v))
		return true
	}))
	cp, ok, err := sn.Checkpoint()
	check(t, err)
	if !ok {
		return list, -1
	}
	return list, cp.Offset
}

func wantContents(t testing.TB, p *Partition, offset int64, want ...string) {
	t.Helper()
	got, at := contents(t, p)
	if !slices.Equal(got, want) || at != offset {
		t.Fatalf("partition %d holds %q at offset %d, want %q at %d", p.Number(), got, at, want, offset)
	}
}

func TestPartitionsDoNotSeeEachOther(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	numbers := []int32{0, 1, 255, 256, 65535, 65536, 1<<31 - 1}
	for i, n := range numbers {
		write(t, s.Partition(n), "\xff\xff", "edge", int64(i))
		write(t, s.Partition(n), "", "empty", int64(i))
	}
	for i, n := range numbers {
		wantContents(t, s.Partition(n), int64(i), "=empty", "\xff\xff=edge")
	}
	got, err := s.Partitions()
	check(t, err)
	if !slices.Equal(got, numbers) {
		t.Fatalf("partitions %v, want %v", got, numbers)
	}
}

func TestResetEmptiesOnePartitionOnly(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	for _, n := range []int32{6, 7, 8, 1<<31 - 1} {
		write(t, s.Partition(n), "k", "v", 5)
		write(t, s.Partition(n), "\xff", "w", 6)
	}
	check(t, s.Partition(7).Reset())
	check(t, s.Partition(1<<31-1).Reset())
	wantContents(t, s.Partition(7), -1)
	wantContents(t, s.Partition(1<<31-1), -1)
	for _, n := range []int32{6, 8} {
		wantContents(t, s.Partition(n), 6, "k=v", "\xff=w")
	}
	got, err := s.Partitions()
	check(t, err)
	if !slices.Equal(got, []int32{6, 8}) {
		t.Fatalf("partitions %v after the reset of 7", got)
	}
	write(t, s.Partition(7), "n", "1", 1)
	wantContents(t, s.Partition(7), 1, "n=1")
}

func TestRestoreTakesRecordsInOrder(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	p := s.Partition(3)
	write(t, p, "gone", "x", 1)
	write(t, p, "kept", "x", 2)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	key := []byte("a")
	err := p.Restore(func(yield func(k, v []byte) bool) {
		// The same buffer again and again: nothing may be kept.
		for _, r := range []struct{ k, v string }{{"a", "1"}, {"b", "1"}, {"a", "2"}, {"c", "1"}} {
			key = append(key[:0], r.k...)
			if !yield(key, []byte(r.v)) {
				return
			}
		}
		_ = yield([]byte("gone"), nil) && yield([]byte("c"), nil) && yield([]byte("c"), []byte{})
	}, Checkpoint{Offset: 9, Identity: "topic", At: at})
	check(t, err)
	wantContents(t, p, 9, "a=2", "b=1", "c=", "kept=x")
	cp, ok, err := p.Checkpoint()
	if want := (Checkpoint{Offset: 9, Identity: "topic", At: at}); err != nil || !ok || cp != want {
		t.Fatalf("checkpoint %v, %v, %v", cp, ok, err)
	}
	if err := p.Restore(func(func(k, v []byte) bool) {}, Checkpoint{Offset: -1}); err == nil {
		t.Fatal("a negative offset was taken")
	}
	wantContents(t, p, 9, "a=2", "b=1", "c=", "kept=x")
}

func TestSnapshotStaysAsItWas(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	p := s.Partition(1)
	write(t, p, "a", "1", 1)
	write(t, p, "b", "", 2)
	sn := p.Snapshot()
	write(t, p, "a", "2", 3)
	check(t, p.Reset())
	v, err := sn.Get([]byte("a"))
	if err != nil || string(v) != "1" {
		t.Fatalf("a is %q, %v", v, err)
	}
	if v, err := sn.Get([]byte("b")); err != nil || v == nil || len(v) != 0 {
		t.Fatalf("b is %v, %v", v, err)
	}
	if v, err := sn.Get([]byte("c")); err != nil || v != nil {
		t.Fatalf("c is %v, %v", v, err)
	}
	cp, ok, err := sn.Checkpoint()
	if err != nil || !ok || cp.Offset != 2 {
		t.Fatalf("checkpoint %v, %v, %v", cp, ok, err)
	}
	n := 0
	check(t, sn.Scan(nil, []byte("b"), func(k, _ []byte) bool { n++; return true }))
	if n != 1 {
		t.Fatalf("%d keys from b on", n)
	}
	sn.Close()
	sn.Close()
}

func TestCloseWaitsForSnapshots(t *testing.T) {
	s, err := Open("dir", quiet(vfs.NewMem()))
	check(t, err)
	write(t, s.Partition(1), "a", "1", 1)
	sn := s.Partition(1).Snapshot()
	done := make(chan error)
	go func() { done <- s.Close() }()
	// Whether or not Close has begun, the snapshot can be read.
	if v, err := sn.Get([]byte("a")); err != nil || string(v) != "1" {
		t.Fatalf("a is %q, %v", v, err)
	}
	sn.Close()
	check(t, <-done)
}

func TestClosedStoreAnswersWithAnError(t *testing.T) {
	s, err := Open("dir", quiet(vfs.NewMem()))
	check(t, err)
	p := s.Partition(1)
	tx := p.Begin()
	check(t, s.Close())
	tx.Put([]byte("k"), []byte("v"))
	sn := p.Snapshot()
	defer sn.Close()
	_, _, cpErr := p.Checkpoint()
	_, getErr := tx.Get([]byte("a"))
	_, snGetErr := sn.Get([]byte("a"))
	_, _, snCpErr := sn.Checkpoint()
	_, listErr := s.Partitions()
	for name, err := range map[string]error{
		"Close": s.Close(), "Checkpoint": cpErr, "Get": getErr, "Partitions": listErr,
		"Scan":   tx.Scan(nil, nil, func(k, v []byte) bool { return true }),
		"Commit": tx.Commit(Checkpoint{}), "Reset": p.Reset(), "Err": s.Err(),
		"Restore":      p.Restore(func(func(k, v []byte) bool) {}, Checkpoint{}),
		"Snapshot.Get": snGetErr, "Snapshot.Checkpoint": snCpErr,
		"Snapshot.Scan": sn.Scan(nil, nil, func(k, v []byte) bool { return true }),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m := s.Metrics(); m != (Metrics{}) {
		t.Errorf("metrics %+v", m)
	}
}

func TestMetricsCountWhatHappens(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	if r := (Metrics{}).CacheHitRatio(); r != 0 {
		t.Fatalf("ratio of nothing is %v", r)
	}
	p := s.Partition(1)
	write(t, p, "a", strings.Repeat("x", 1000), 1)
	check(t, s.db.Flush())
	for range 3 {
		_, err := p.Begin().Get([]byte("a"))
		check(t, err)
	}
	m := s.Metrics()
	if m.DiskBytes == 0 || m.Flushes == 0 || m.CacheHits == 0 || m.WALBytes < 1000 || m.ReadAmp != 1 {
		t.Fatalf("metrics %+v", m)
	}
	if r := m.CacheHitRatio(); r <= 0 || r > 1 {
		t.Fatalf("hit ratio %v", r)
	}
}

func TestCheckpointFormat(t *testing.T) {
	// testdata/checkpoint-v1 was written by the first version, and every later
	// one must read it.
	golden, err := os.ReadFile("testdata/checkpoint-v1")
	check(t, err)
	want := Checkpoint{Offset: 1204, Identity: "3pUhVXbNQhyIvHBkFCpTqA", Note: "a note", At: time.Date(2026, 5, 17, 8, 30, 0, 123456789, time.UTC)}
	got, err := decodeCheckpoint(golden)
	if err != nil || got != want {
		t.Fatalf("golden file is %+v, %v, want %+v", got, err, want)
	}
	b, err := appendCheckpoint(nil, want)
	if err != nil || !bytes.Equal(b, golden) {
		t.Fatalf("written as %x, %v, want %x", b, err, golden)
	}
	for _, bad := range [][]byte{nil, {2}, golden[:18], golden[:40], append([]byte{1, 0x80}, golden[2:]...)} {
		if cp, err := decodeCheckpoint(bad); !errors.Is(err, errCheckpointFormat) {
			t.Errorf("%x read as %+v, %v", bad, cp, err)
		}
	}
	for _, bad := range []Checkpoint{{Offset: -1}, {At: time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC)}, {At: time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)}} {
		if _, err := appendCheckpoint(nil, bad); err == nil {
			t.Errorf("%+v was written", bad)
		}
	}
	if b, err := appendCheckpoint(nil, Checkpoint{}); err != nil || len(b) != 19 {
		t.Errorf("zero checkpoint is %x, %v", b, err)
	}
}

func FuzzDecodeCheckpoint(f *testing.F) {
	golden, err := os.ReadFile("testdata/checkpoint-v1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		cp, err := decodeCheckpoint(b)
		if err != nil {
			return
		}
		again, err := appendCheckpoint(nil, cp)
		if err != nil {
			// The format holds a few years more than are written.
			return
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x reads as %+v, which is written as %x", b, cp, again)
		}
	})
}
