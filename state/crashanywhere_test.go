package state

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// watchedFS calls at before and after each operation that changes something. The embedded
// disk cannot be copied while it links a file.
type watchedFS struct {
	vfs.FS
	links sync.Mutex
	at    func()
}

func (f *watchedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.at()
	file, err := f.FS.Create(name, c)
	f.at()
	return watchedFile{file, f}, err
}

func (f *watchedFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.at()
	f.links.Lock()
	file, err := f.FS.ReuseForWrite(from, to, c)
	f.links.Unlock()
	return watchedFile{file, f}, err
}

func (f *watchedFS) Link(from, to string) error {
	f.at()
	defer f.at()
	f.links.Lock()
	defer f.links.Unlock()
	return f.FS.Link(from, to)
}

func (f *watchedFS) Remove(name string) error {
	f.at()
	defer f.at()
	return f.FS.Remove(name)
}

func (f *watchedFS) Rename(from, to string) error {
	f.at()
	defer f.at()
	return f.FS.Rename(from, to)
}

func (f *watchedFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	return watchedFile{file, f}, err
}

type watchedFile struct {
	vfs.File
	fs *watchedFS
}

func (f watchedFile) Sync() error {
	f.fs.at()
	defer f.fs.at()
	return f.File.Sync()
}

func (f watchedFile) SyncData() error {
	f.fs.at()
	defer f.fs.at()
	return f.File.SyncData()
}

// committed is what a partition had after each of its commits.
type committed struct {
	at map[int64]map[string]string // by offset; -1: before the first
}

// After a crash at any operation of the disk, of four partitions that flush beside each
// other, small batches and large tables, each partition has what it had after one of its
// commits, and the checkpoint of that commit.
func TestACrashAnywhereLeavesACommit(t *testing.T) {
	const partitions = 4
	seeds := uint64(4)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			draw := rand.New(rand.NewPCG(seed, 7))
			mem := vfs.NewCrashableMem()
			var mu sync.Mutex
			var copies []*vfs.MemFS
			running := false
			disk := &watchedFS{FS: mem}
			disk.at = func() {
				mu.Lock()
				defer mu.Unlock()
				if !running || draw.IntN(4) > 0 {
					return
				}
				disk.links.Lock()
				defer disk.links.Unlock()
				copies = append(copies, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100 * draw.IntN(2), RNG: draw}))
			}
			s, err := Open("dir", quiet(disk))
			check(t, err)
			mu.Lock()
			running = true
			mu.Unlock()
			var histories [partitions]committed
			var wg sync.WaitGroup
			for p := range partitions {
				histories[p].at = map[int64]map[string]string{-1: {}}
				wg.Go(func() { histories[p].write(t, s.Partition(int32(p)), rand.New(rand.NewPCG(seed, uint64(p)))) })
			}
			wg.Wait()
			mu.Lock()
			running = false
			mu.Unlock()
			check(t, s.Close())
			if len(copies) < 20 {
				t.Errorf("%d crashes", len(copies))
			}
			for n, fs := range copies {
				o := quiet(fs)
				o.ReadOnly = n%2 == 0
				left, err := Open("dir", o)
				if err != nil {
					t.Fatalf("crash %d, read only %v: %v", n, o.ReadOnly, err)
				}
				for p := range partitions {
					all, at := readPartition(t, left.Partition(int32(p)))
					if want, ok := histories[p].at[at]; !ok || !maps.Equal(all, want) {
						t.Fatalf("crash %d: partition %d has %d keys at offset %d, want %d", n, p, len(all), at, len(want))
					}
				}
				check(t, left.Close())
			}
		})
	}
}

// write makes commits of a few keys and of many, and takes down what each has.
func (c *committed) write(t *testing.T, p *Partition, draw *rand.Rand) {
	tx := p.WriteBack()
	now := time.Unix(1_700_000_000, 0).UTC()
	has := map[string]string{}
	key := func() string { return fmt.Sprint("r", draw.IntN(300)) }
	for offset := int64(1); offset <= 60; offset++ {
		n := draw.IntN(6)
		if draw.IntN(3) == 0 {
			n = 60
		}
		for range n {
			k := key()
			if draw.IntN(5) == 0 {
				delete(has, k)
				tx.Delete([]byte(k))
				continue
			}
			has[k] = fmt.Sprint(offset, strings.Repeat("x", draw.IntN(300)))
			tx.Put([]byte(k), []byte(has[k]))
			if draw.IntN(4) == 0 {
				tx.Savepoint()
				tx.Put([]byte(k), []byte("undone"))
				tx.Put([]byte(key()), []byte("undone"))
				tx.RollbackToSavepoint()
			}
		}
		now = now.Add(time.Duration(draw.IntN(2)) * maxWriteBackDelay)
		c.at[offset] = maps.Clone(has)
		if err := tx.Commit(Checkpoint{Offset: offset, At: now}); err != nil {
			t.Error(err)
			return
		}
		if draw.IntN(4) == 0 {
			if err := tx.Land(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := tx.Close(); err != nil {
		t.Error(err)
	}
}
