package state

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var errFull = errors.New("no space left on device")

// fullFS cannot be written.
type fullFS struct {
	vfs.FS
	create bool // nor can files be created
}

func (f fullFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if f.create {
		return nil, errFull
	}
	file, err := f.FS.Create(name, c)
	return fullFile{file}, err
}

func (f fullFS) ReuseForWrite(_, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.Create(name, c)
}

type fullFile struct{ vfs.File }

func (fullFile) Write([]byte) (int, error)          { return 0, errFull }
func (fullFile) Sync() error                        { return errFull }
func (fullFile) SyncData() error                    { return errFull }
func (fullFile) SyncTo(int64) (fully bool, _ error) { return false, errFull }

// Each way in which a log cannot be written is told, and none of another file.
func TestLogThatCannotBeWritten(t *testing.T) {
	for name, want := range map[string]int{"000001.log": 6, "000001.sst": 0} {
		told := 0
		failed := func(err error) {
			told++
			if !errors.Is(err, errFull) {
				t.Errorf("%s: told of %v", name, err)
			}
		}
		fs := logFS{fullFS{FS: vfs.NewMem()}, failed}
		file, err := fs.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		_, err = file.Write([]byte("x"))
		_, to := file.SyncTo(1)
		if !errors.Is(errors.Join(err), errFull) || to == nil || file.Sync() == nil || file.SyncData() == nil {
			t.Errorf("%s: the error does not come through", name)
		}
		for _, fs := range []logFS{{fullFS{vfs.NewMem(), true}, failed}} {
			if _, err := fs.Create(name, vfs.WriteCategoryUnspecified); err == nil {
				t.Errorf("%s: was created", name)
			}
			if _, err := fs.ReuseForWrite("old.log", name, vfs.WriteCategoryUnspecified); err == nil {
				t.Errorf("%s: was created from another", name)
			}
		}
		if told != want {
			t.Errorf("%s: told %d times, want %d", name, told, want)
		}
	}
}
