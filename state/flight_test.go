package state

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// gatedFS stops who makes a table for a large commit, at its creation or before it is
// on the disk.
type gatedFS struct {
	vfs.FS
	clones  sync.RWMutex // see crashed
	mu      sync.Mutex
	stage   string // "create", "sync", or "" for nowhere
	gate    chan struct{}
	reached chan struct{}
}

// close has the next table stop at a stage; reached is closed when it has.
func (f *gatedFS) close(stage string) (reached chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stage, f.gate, f.reached = stage, make(chan struct{}), make(chan struct{})
	return f.reached
}

// open lets it go on.
func (f *gatedFS) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gate != nil {
		close(f.gate)
		f.gate, f.stage = nil, ""
	}
}

func (f *gatedFS) pass(stage string) {
	f.mu.Lock()
	gate := f.gate
	if f.stage != stage {
		f.mu.Unlock()
		return
	}
	close(f.reached)
	f.mu.Unlock()
	<-gate
}

func (f *gatedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if !strings.HasPrefix(f.PathBase(name), bulkFile) {
		return f.FS.Create(name, c)
	}
	f.pass("create")
	file, err := f.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return gatedFile{file, f}, nil
}

// crashed returns what a crash leaves of mem, on which f is. A link of a MemFS, and a log
// that is used again, take its lock for clones twice: one that begins between the two
// would wait for them, and they for it.
func (f *gatedFS) crashed(mem *vfs.MemFS, cfg vfs.CrashCloneCfg) *vfs.MemFS {
	f.clones.Lock()
	defer f.clones.Unlock()
	return mem.CrashClone(cfg)
}

func (f *gatedFS) Link(from, to string) error {
	f.clones.RLock()
	defer f.clones.RUnlock()
	return f.FS.Link(from, to)
}

func (f *gatedFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.clones.RLock()
	defer f.clones.RUnlock()
	return f.FS.ReuseForWrite(from, to, c)
}

type gatedFile struct {
	vfs.File
	fs *gatedFS
}

func (f gatedFile) Sync() error {
	f.fs.pass("sync")
	return f.File.Sync()
}

func (f gatedFile) SyncData() error {
	f.fs.pass("sync")
	return f.File.SyncData()
}

// readPartition returns all that the database has of a partition, and the offset of
// its checkpoint; -1 if there is none.
func readPartition(t rapid.TB, p *Partition) (all map[string]string, offset int64) {
	t.Helper()
	sn := p.Snapshot()
	defer sn.Close()
	all = map[string]string{}
	if err := sn.Scan(nil, nil, func(k, v []byte) bool { all[string(k)] = string(v); return true }); err != nil {
		t.Fatal(err)
	}
	cp, ok, err := sn.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return all, -1
	}
	return all, cp.Offset
}

// While a flush is under way, and when it is over and the transaction does not know
// yet, transactions read and change what they did before, and a crash leaves what
// some flush has brought to the database, with its checkpoint.
func TestAFlushUnderWayChangesNothing(t *testing.T) {
	var changed, crashed, rested atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		before := taken.Load()
		mem := vfs.NewCrashableMem()
		disk := &gatedFS{FS: mem}
		o := quiet(disk)
		o.BulkBytes = 1
		s, err := Open("dir", o)
		if err != nil {
			t.Fatal(err)
		}
		p := s.Partition(3)
		tx := p.WriteBack()
		defer func() {
			disk.open()
			if err := tx.Close(); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if n := taken.Load() - before; n != 0 {
				t.Fatalf("%d bytes are not given back", n)
			}
		}()
		now := time.Unix(1_700_000_000, 0).UTC()
		m := &model{committed: map[string]string{}}
		m.discard()
		offset, begun, ended := int64(0), int64(-1), int64(-1)
		history := map[int64]map[string]string{-1: {}}
		// A flush begins when the one before has ended.
		noteFlush := func(was Checkpoint) {
			if saved := tx.writeBack.saved; saved.Offset != was.Offset && saved.Offset == offset {
				ended, begun = begun, offset
			}
		}
		commit := func(after time.Duration) {
			offset++
			now = now.Add(after)
			was, resting := tx.writeBack.saved, tx.writeBack.resting
			if err := tx.Commit(Checkpoint{Offset: offset, At: now}); err != nil {
				t.Fatal(err)
			}
			if resting {
				noteFlush(was)
			}
			m.committed = maps.Clone(m.now)
			history[offset] = m.committed
			m.discard()
		}
		commit(0)
		commit(maxWriteBackDelay) // the first flush of a task comes sooner than others
		begun = offset
		put := func(k, v string) {
			tx.Put([]byte(k), []byte(v))
			m.now[k] = v
			if len(tx.flying) > 0 && !tx.writeBack.flight.landed() {
				changed.Add(1)
			}
		}
		again := func() {
			tx = p.WriteBack()
			now = now.Add(time.Hour)
			m.discard()
			commit(0)
			commit(maxWriteBackDelay)
			begun = offset
		}
		actions := map[string]func(*rapid.T){
			"put": func(t *rapid.T) { put(drawKey(t), drawValue(t)) },
			"delete": func(t *rapid.T) {
				k := drawKey(t)
				tx.Delete([]byte(k))
				delete(m.now, k)
			},
			"undo": func(t *rapid.T) {
				tx.Savepoint()
				was := maps.Clone(m.now)
				for range 3 {
					put(drawKey(t), drawValue(t))
				}
				tx.RollbackToSavepoint()
				m.now = was
			},
			"get": func(t *rapid.T) {
				for i := range 4 {
					k := drawKey(t)
					read := []func([]byte) ([]byte, error){tx.Get, tx.GetRare,
						func(k []byte) ([]byte, error) { return tx.GetPrefetch(k, len(k)/2) },
						func(k []byte) ([]byte, error) { return tx.GetGrouped(k, len(k)/2) }}[i]
					v, err := read([]byte(k))
					want, ok := m.now[k]
					if err != nil || (v != nil) != ok || string(v) != want {
						t.Fatalf("%q is %.20q, %v, want %.20q, %v", k, v, err, want, ok)
					}
				}
			},
			"scan": func(t *rapid.T) {
				prefix := drawKey(t)
				want := scanModel(m.now, prefix, "")
				got := scan(t, tx, []byte(prefix), nil, func(int) { put(drawKey(t), drawValue(t)) })
				if !slices.Equal(got, want) {
					t.Fatalf("scan of %q while it is changed: %.200q, want %.200q", prefix, got, want)
				}
				if got, want := scan(t, tx, []byte(prefix), nil, nil), scanModel(m.now, prefix, ""); !slices.Equal(got, want) {
					t.Fatalf("scan of %q: %.200q, want %.200q", prefix, got, want)
				}
			},
			"commit": func(*rapid.T) { commit(time.Millisecond) },
			"discard": func(*rapid.T) {
				tx.Discard()
				m.discard()
			},
			"evict": func(*rapid.T) {
				commit(time.Millisecond)
				tx.evict(0)
			},
			"rest": func(t *rapid.T) {
				tx.writeBack.resting = true // as Rest does if there is much
				was, live := tx.writeBack.saved, tx.live
				if err := tx.Land(); err != nil {
					t.Fatal(err)
				}
				noteFlush(was)
				if !tx.writeBack.resting {
					rested.Add(1)
					if tx.live != len(tx.held) {
						t.Fatalf("%d keys of %d are remembered, and %d are to be written", tx.live, live, len(tx.held))
					}
				}
			},
			"wake": func(*rapid.T) { tx.Wake(true) },
			"flush": func(t *rapid.T) {
				disk.open()
				if f := tx.writeBack.flight; f != nil {
					<-f.done
				}
				stage := rapid.SampledFrom([]string{"create", "sync", ""}).Draw(t, "stage")
				ended = begun
				reached := disk.close(stage)
				commit(maxWriteBackDelay)
				begun = offset
				if stage != "" {
					<-reached
				}
			},
			"landing": func(*rapid.T) {
				disk.open()
				if f := tx.writeBack.flight; f != nil {
					<-f.done
				}
				ended = begun
			},
			"crash": func(t *rapid.T) {
				rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
				clone := disk.crashed(mem, vfs.CrashCloneCfg{UnsyncedDataPercent: rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "kept"), RNG: rnd})
				left, err := Open("dir", quiet(clone))
				if err != nil {
					t.Fatal(err)
				}
				all, at := readPartition(t, left.Partition(3))
				if err := left.Close(); err != nil {
					t.Fatal(err)
				}
				if at != begun && at < ended || at > begun || !maps.Equal(all, history[at]) {
					t.Fatalf("a crash left %d keys at %d, want %d; flushes ended until %d and began until %d", len(all), at, len(history[at]), ended, begun)
				}
				if !tx.writeBack.flight.landed() && tx.writeBack.flight != nil {
					crashed.Add(1)
				}
			},
			"abandon": func(t *rapid.T) {
				disk.open()
				tx.Abandon()
				all, at := readPartition(t, p)
				if at != begun || !maps.Equal(all, history[at]) {
					t.Fatalf("given up, the database has %d keys at %d, want %d at %d", len(all), at, len(history[begun]), begun)
				}
				m.committed = maps.Clone(history[at])
				again()
			},
			"close": func(t *rapid.T) {
				disk.open()
				if err := tx.Close(); err != nil {
					t.Fatal(err)
				}
				if all, at := readPartition(t, p); at != offset || !maps.Equal(all, m.committed) {
					t.Fatalf("closed, the database has %d keys at %d, want %d at %d", len(all), at, len(m.committed), offset)
				}
				again()
			},
		}
		names := slices.Sorted(maps.Keys(actions))
		// More steps than rapid's Repeat has, as most need some before them.
		for range rapid.IntRange(30, 150).Draw(t, "steps") {
			actions[rapid.SampledFrom(names).Draw(t, "step")](t)
		}
	})
	if changed.Load() == 0 || crashed.Load() == 0 || rested.Load() == 0 {
		t.Errorf("%d changes and %d crashes while a flush was under way, %d times all was forgotten: this tests nothing", changed.Load(), crashed.Load(), rested.Load())
	}
}

// A commit goes on while what is held is written, what is changed meanwhile is held
// again, and nothing of it is lost. The next flush waits for the one before, and a
// store is not closed under it.
func TestCommitsDoNotWaitForAFlush(t *testing.T) {
	disk := &gatedFS{FS: vfs.NewMem()}
	o := quiet(disk)
	o.BulkBytes = 1
	s, err := Open("dir", o)
	check(t, err)
	p := s.Partition(0)
	tx := p.WriteBack()
	start := time.Unix(1_700_000_000, 0).UTC()
	commit := func(offset int64, after time.Duration, pairs ...string) {
		t.Helper()
		for i := 0; i < len(pairs); i += 2 {
			tx.Put([]byte(pairs[i]), []byte(pairs[i+1]))
		}
		check(t, tx.Commit(Checkpoint{Offset: offset, At: start.Add(after)}))
	}
	commit(1, 0, "a", "1", "b", "1")
	reached := disk.close("sync")
	commit(2, maxWriteBackDelay)
	<-reached
	commit(3, maxWriteBackDelay+1, "a", "2", "c", "2")
	tx.evict(0)
	if got := offsetOf(t, p); got != -1 {
		t.Fatalf("the database is at %d while the table is written", got)
	}
	want := []pair{{"a", "2"}, {"b", "1"}, {"c", "2"}}
	if got := scan(t, tx, nil, nil, nil); !slices.Equal(got, want) {
		t.Fatalf("meanwhile there is %q, want %q", got, want)
	}
	tx.Discard()
	disk.open()
	<-tx.writeBack.flight.done
	wantContents(t, p, 2, "a=1", "b=1")
	commit(4, maxWriteBackDelay+2)
	if n := len(tx.held); n != 2 {
		t.Fatalf("%d entries are held after the flush, want 2", n)
	}
	reached = disk.close("create")
	commit(5, 2*maxWriteBackDelay)
	<-reached
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	disk.open()
	check(t, <-closed)
	if tx.writeBack.flight.err != nil {
		t.Fatalf("the store was closed under a flush: %v", tx.writeBack.flight.err)
	}
	tx.Abandon()
	s, err = Open("dir", o)
	check(t, err)
	wantContents(t, s.Partition(0), 5, "a=2", "b=1", "c=2")
	check(t, s.Close())
}

// An error of a flush is the next commit's, or that of Close.
func TestAFlushThatFails(t *testing.T) {
	for _, end := range []string{"Commit", "Close"} {
		s, tx, at := afterFailedFlush(t)
		var err error
		if end == "Commit" {
			err = tx.Commit(Checkpoint{Offset: 3, At: at})
			tx.Abandon()
		} else {
			err = tx.Close()
		}
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "partition 0") {
			t.Errorf("%s after a flush that failed returns %v", end, err)
		}
		wantContents(t, s.Partition(0), -1)
		check(t, s.Close())
	}
}

// After a flush that failed nothing more reaches the database: what comes later without
// what it was to write would be a state that never was.
func TestNothingIsWrittenAfterAFlushThatFailed(t *testing.T) {
	s, tx, at := afterFailedFlush(t)
	tx.Put([]byte("later"), []byte("1"))
	if err := tx.Commit(Checkpoint{Offset: 3, At: at}); err == nil {
		t.Error("a commit after a flush that failed says nothing")
	}
	if err := tx.Close(); err == nil {
		t.Error("closing after a flush that failed says nothing")
	}
	wantContents(t, s.Partition(0), -1)
	check(t, s.Close())
}

// afterFailedFlush returns a transaction whose flush of 200 keys found no room on the
// disk, which has room again for smaller files, and the time of the last commit.
func afterFailedFlush(t *testing.T) (*Store, *Txn, time.Time) {
	t.Helper()
	full := new(atomic.Bool)
	s, err := Open("dir", quiet(bulkFS{vfs.NewMem(), full}))
	check(t, err)
	tx := s.Partition(0).WriteBack()
	at := time.Unix(1_700_000_000, 0).UTC()
	for i := range 200 {
		tx.Put(fmt.Append(nil, i), make([]byte, 100))
	}
	full.Store(true)
	check(t, tx.Commit(Checkpoint{Offset: 1, At: at}))
	at = at.Add(maxWriteBackDelay)
	check(t, tx.Commit(Checkpoint{Offset: 2, At: at}))
	<-tx.writeBack.flight.done
	return s, tx, at
}
