package state

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// filesOf returns the names and contents of all files in dir but the lock.
func filesOf(t testing.TB, fs vfs.FS, dir string) map[string]string {
	t.Helper()
	names, err := fs.List(dir)
	check(t, err)
	files := map[string]string{}
	for _, n := range names {
		if n == "LOCK" {
			continue
		}
		files[n] = fileOf(t, fs, fs.PathJoin(dir, n))
	}
	return files
}

func fileOf(t testing.TB, fs vfs.FS, path string) string {
	t.Helper()
	f, err := fs.Open(path)
	check(t, err)
	defer f.Close()
	st, err := f.Stat()
	check(t, err)
	b := make([]byte, st.Size())
	if len(b) > 0 {
		_, err = f.ReadAt(b, 0)
		check(t, err)
	}
	return string(b)
}

func writeOver(t testing.TB, fs vfs.FS, path, content string) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	check(t, err)
	_, err = f.Write([]byte(content))
	check(t, errors.Join(err, f.Close()))
}

// oneClearLine fails the test unless err is one line that names the directory.
func oneClearLine(t testing.TB, err error, dir string) {
	t.Helper()
	if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), dir) {
		t.Errorf("not one line that names %s: %v", dir, err)
	}
}

func TestOpenFindsWhatWasWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for i := range 3 {
		s, err := Open(dir, Options{CacheBytes: 1 << 20})
		check(t, err)
		if s.Dir() != dir || s.Err() != nil {
			t.Fatalf("store in %s: %v", s.Dir(), s.Err())
		}
		if i > 0 {
			wantContents(t, s.Partition(1), int64(i), fmt.Sprintf("k=%d", i))
		}
		write(t, s.Partition(1), "k", fmt.Sprint(i+1), int64(i+1))
		check(t, s.Close())
	}
	b, err := os.ReadFile(filepath.Join(dir, formatFile))
	check(t, err)
	if string(b) != "handprint-state 1\n" {
		t.Fatalf("%s holds %q", formatFile, b)
	}
}

func TestOpenRefusesADirectoryInUse(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"disk": vfs.Default, "memory": vfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := "dir"
			if fs == vfs.Default {
				dir = t.TempDir()
			}
			s := openIn(t, fs, dir)
			_, err := Open(dir, quiet(fs))
			if !errors.Is(err, ErrLocked) {
				t.Fatal(err)
			}
			oneClearLine(t, err, dir)
			check(t, s.Close())
			openIn(t, fs, dir)
		})
	}
}

func TestOpenRefusesWhatItCannotWriteTo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	full := func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite {
			return &fs.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
		}
		return nil
	}
	denied := func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate {
			return &fs.PathError{Op: "open", Path: op.Path, Err: syscall.EACCES}
		}
		return nil
	}
	written := vfs.NewMem()
	check(t, openIn(t, written, "dir").Close())
	for name, c := range map[string]struct {
		fs  vfs.FS
		dir string
	}{
		"below a file":        {vfs.Default, filepath.Join(file, "dir")},
		"a file":              {vfs.Default, file},
		"full disk":           {errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(full)), "dir"},
		"no rights":           {errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(denied)), "dir"},
		"no rights, not new":  {errorfs.Wrap(written, errorfs.InjectorFunc(denied)), "dir"},
		"disk is full by now": {errorfs.Wrap(written, errorfs.InjectorFunc(full)), "dir"},
	} {
		_, err := Open(c.dir, quiet(c.fs))
		if !errors.Is(err, ErrUnwritable) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		oneClearLine(t, err, c.dir)
	}
	// Nothing of that was damage.
	if _, err := written.Stat("dir.corrupt-1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was set aside: %v", err)
	}
}

func TestOpenLeavesANewerVersionAlone(t *testing.T) {
	fs := vfs.NewMem()
	s := openIn(t, fs, "dir")
	write(t, s.Partition(1), "k", "v", 1)
	check(t, s.Close())
	// With more in the file than this version knows of.
	writeOver(t, fs, "dir/FORMAT", "handprint-state 2\nand more\n")
	before := filesOf(t, fs, "dir")
	for _, readOnly := range []bool{false, true} {
		o := quiet(fs)
		o.ReadOnly = readOnly
		_, err := Open("dir", o)
		if !errors.Is(err, ErrNewerVersion) {
			t.Fatal(err)
		}
		oneClearLine(t, err, "dir")
	}
	after := filesOf(t, fs, "dir")
	if len(after) != len(before) {
		t.Fatalf("%d files became %d", len(before), len(after))
	}
	for n, b := range before {
		if after[n] != b {
			t.Errorf("%s was changed", n)
		}
	}
	writeOver(t, fs, "dir/FORMAT", "handprint-state 1\n")
	wantContents(t, openIn(t, fs, "dir").Partition(1), 1, "k=v")
}

func TestOpenLeavesOtherDatabasesAlone(t *testing.T) {
	fs := vfs.NewMem()
	check(t, openIn(t, fs, "dir").Close())
	check(t, fs.Remove("dir/FORMAT"))
	before := len(filesOf(t, fs, "dir"))
	_, err := Open("dir", quiet(fs))
	if !errors.Is(err, ErrNotAStore) || len(filesOf(t, fs, "dir")) != before {
		t.Fatal(err)
	}
	oneClearLine(t, err, "dir")
}

func TestReadOnlyChangesNothing(t *testing.T) {
	mem := vfs.NewMem()
	o := quiet(mem)
	o.ReadOnly = true
	if _, err := Open("dir", o); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a directory that is not there: %v", err)
	}
	check(t, mem.MkdirAll("empty", 0o755))
	if _, err := Open("empty", o); !errors.Is(err, ErrNotAStore) {
		t.Fatalf("an empty directory: %v", err)
	}

	s := openIn(t, mem, "dir")
	write(t, s.Partition(1), "k", "v", 1)
	check(t, s.Close())
	before := filesOf(t, mem, "dir")
	s, err := Open("dir", o)
	check(t, err)
	wantContents(t, s.Partition(1), 1, "k=v")
	tx := s.Partition(1).Begin()
	tx.Put([]byte("k"), []byte("w"))
	if err := tx.Commit(Checkpoint{Offset: 2}); err == nil {
		t.Error("written to a store opened for reading")
	}
	if err := s.Partition(1).Reset(); err == nil {
		t.Error("emptied a store opened for reading")
	}
	wantContents(t, s.Partition(1), 1, "k=v")
	check(t, s.Close())
	after := filesOf(t, mem, "dir")
	for n, b := range before {
		if after[n] != b {
			t.Errorf("%s was changed", n)
		}
	}

	writeOver(t, mem, "dir/FORMAT", "")
	if _, err := Open("dir", o); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a damaged directory: %v", err)
	}
	if _, err := mem.Stat("dir.corrupt-1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("set aside: %v", err)
	}
}

// damages are what a disk may do to a file.
var damages = map[string]func(content string, rnd *rand.Rand) string{
	"emptied":   func(string, *rand.Rand) string { return "" },
	"cut short": func(c string, _ *rand.Rand) string { return c[:len(c)/2] },
	"zeroed":    func(c string, _ *rand.Rand) string { return strings.Repeat("\x00", len(c)) },
	"flipped": func(c string, rnd *rand.Rand) string {
		b := []byte(c)
		for i := 0; len(b) > 0 && i < 4; i++ {
			b[rnd.IntN(len(b))] ^= 0x55
		}
		return string(b)
	},
}

func TestDamageIsSetAsideOrHarmless(t *testing.T) {
	// One store with tables and a log, damaged in one file after the other.
	// What is opened then is either an earlier commit, or an empty store beside
	// the whole damaged one; and damage that only a read finds is set aside when
	// the store is opened for the next time.
	healthy := vfs.NewMem()
	s := openIn(t, healthy, "dir")
	at := []string{""}
	for i := range 300 {
		write(t, s.Partition(1), fmt.Sprintf("%03d", i%50), strings.Repeat("x", i), int64(i))
		if i == 100 || i == 200 {
			check(t, s.db.Flush())
		}
		list, _ := contents(t, s.Partition(1))
		at = append(at, strings.Join(list, " "))
	}
	check(t, s.Close())
	files := filesOf(t, healthy, "dir")

	restored := 0
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range files {
			_ = yield(n)
		}
	}) {
		for kind, damage := range damages {
			rnd := rand.New(rand.NewPCG(1, uint64(len(name)+len(kind))))
			fs := vfs.NewMem()
			check(t, fs.MkdirAll("dir", 0o755))
			for n, c := range files {
				if n == name {
					c = damage(c, rnd)
				}
				writeOver(t, fs, "dir/"+n, c)
			}
			if restoredAfter(t, fs, name+" "+kind, at) {
				restored++
			}
		}
		fs := vfs.NewMem()
		check(t, fs.MkdirAll("dir", 0o755))
		for n, c := range files {
			if n != name && name != formatFile {
				writeOver(t, fs, "dir/"+n, c)
			}
		}
		if restoredAfter(t, fs, name+" lost", at) {
			restored++
		}
	}
	if restored == 0 {
		t.Error("no damage was ever found")
	}
}

// restoredAfter opens the damaged store and reads all of it. It reports whether
// it was set aside, and fails the test if it then holds anything but a commit.
func restoredAfter(t *testing.T, mem vfs.FS, what string, at []string) bool {
	t.Helper()
	for range 2 {
		s, err := Open("dir", quiet(mem))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return false
		}
		var list []string
		sn := s.Partition(1).Snapshot()
		err = sn.Scan(nil, nil, func(k, v []byte) bool {
			list = append(list, string(k)+"="+string(v))
			return true
		})
		cp, ok, cpErr := sn.Checkpoint()
		sn.Close()
		if err = errors.Join(err, cpErr); err == nil && s.Err() == nil {
			commit := 0
			if ok {
				commit = int(cp.Offset) + 1
			}
			if strings.Join(list, " ") != at[commit] {
				t.Errorf("%s: the store holds no commit", what)
			}
			check(t, s.Close())
			_, err := mem.Stat("dir.corrupt-1")
			if err == nil && ok {
				t.Errorf("%s: set aside, and still there", what)
			}
			return err == nil
		}
		if !errors.Is(err, ErrCorrupt) && !errors.Is(s.Err(), ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
		if err := s.Partition(2).Begin().Commit(Checkpoint{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: a damaged store was written to: %v", what, err)
		}
		_ = s.Close()
	}
	t.Errorf("%s: damaged again after it was opened anew", what)
	return false
}

func TestSetAsideKeepsEarlierOnes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	for n := 1; n <= 3; n++ {
		s := openIn(t, vfs.Default, dir)
		wantContents(t, s.Partition(1), -1)
		write(t, s.Partition(1), "k", fmt.Sprint(n), 1)
		check(t, s.Close())
		writeOver(t, vfs.Default, filepath.Join(dir, formatFile), "?")
	}
	check(t, openIn(t, vfs.Default, dir).Close())
	for n := 1; n <= 3; n++ {
		aside := fmt.Sprintf("%s.corrupt-%d", dir, n)
		writeOver(t, vfs.Default, filepath.Join(aside, formatFile), "handprint-state 1")
		wantContents(t, openIn(t, vfs.Default, aside).Partition(1), 1, fmt.Sprintf("k=%d", n))
	}
}

func TestDamageThatCannotBeSetAsideIsSaid(t *testing.T) {
	mem := vfs.NewMem()
	check(t, openIn(t, mem, "dir").Close())
	writeOver(t, mem, "dir/FORMAT", "")
	busy := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpRename {
			return &fs.PathError{Op: "rename", Path: op.Path, Err: syscall.EBUSY}
		}
		return nil
	})
	_, err := Open("dir", quiet(errorfs.Wrap(mem, busy)))
	if !errors.Is(err, syscall.EBUSY) || !strings.Contains(err.Error(), "move it away") {
		t.Fatal(err)
	}
	oneClearLine(t, err, "dir")
}
