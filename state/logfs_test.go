package state

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fullFS lets one step of writing a log fail when it is full.
type fullFS struct {
	vfs.FS
	step string
	full *atomic.Bool
}

func (f fullFS) fails(step string) error {
	if f.step == step && f.full.Load() {
		return syscall.ENOSPC
	}
	return nil
}

func (f fullFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasSuffix(name, ".log") {
		if err := f.fails("create"); err != nil {
			return nil, err
		}
		file, err := f.FS.Create(name, c)
		return fullFile{file, f}, err
	}
	return f.FS.Create(name, c)
}

func (f fullFS) ReuseForWrite(_, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.Create(name, c)
}

func (f fullFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	return fullDir{file, f}, err
}

type fullFile struct {
	vfs.File
	fs fullFS
}

func (f fullFile) Write(p []byte) (int, error) {
	if err := f.fs.fails("write"); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f fullFile) SyncData() error { return errors.Join(f.File.SyncData(), f.fs.fails("sync")) }
func (f fullFile) Sync() error     { return errors.Join(f.File.Sync(), f.fs.fails("sync")) }
func (f fullFile) Close() error    { return errors.Join(f.File.Close(), f.fs.fails("close")) }

type fullDir struct {
	vfs.File
	fs fullFS
}

func (f fullDir) Sync() error { return errors.Join(f.File.Sync(), f.fs.fails("directory")) }

// A store whose log cannot be written any more ends its process with a line that
// says why, whichever step it was; Pebble would end it with a stack.
func TestLogThatCannotBeWritten(t *testing.T) {
	const env, dir = "HANDPRINT_TEST_FULL", "HANDPRINT_TEST_DIR"
	if step := os.Getenv(env); step != "" {
		full := new(atomic.Bool)
		s, err := Open(os.Getenv(dir), Options{FS: fullFS{vfs.Default, step, full}, MemtableBytes: minMemtableBytes})
		if err != nil {
			t.Fatal(err)
		}
		full.Store(true)
		for i := range 100 {
			tx := s.Partition(0).Begin()
			for j := range 20 {
				tx.Put([]byte{byte(i), byte(j)}, make([]byte, 1000))
			}
			if err := tx.Commit(Checkpoint{Offset: int64(i) + 1}); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	for _, step := range []string{"create", "write", "sync", "close", "directory"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run", "^TestLogThatCannotBeWritten$")
			cmd.Env = append(os.Environ(), env+"="+step, dir+"="+filepath.Join(t.TempDir(), "store"))
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() != 1 || strings.Contains(string(out), "goroutine ") ||
				!strings.Contains(string(out), "look at the disk") || !strings.Contains(string(out), "no space left on device") {
				t.Errorf("%v:\n%.1000s", err, out)
			}
		})
	}
}

// While it is opened and closed the error is returned.
func TestFullDiskAtOpenAndClose(t *testing.T) {
	full := new(atomic.Bool)
	full.Store(true)
	dir := filepath.Join(t.TempDir(), "store")
	if _, err := Open(dir, Options{FS: fullFS{vfs.Default, "create", full}}); !errors.Is(err, ErrUnwritable) {
		t.Errorf("Open returned %v", err)
	}
	full.Store(false)
	s, err := Open(dir, Options{FS: fullFS{vfs.Default, "close", full}})
	if err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	if err := s.Close(); err == nil {
		t.Error("Close returned no error")
	}
}
