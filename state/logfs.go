package state

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logFS tells when Pebble's log cannot be written, before Pebble hears of it.
// While it changes to another log it panics with the error after having given
// back a lock that its caller gives back as well (v2.1.7, rotateWAL), which ends
// the process with a stack that nothing can recover from.
type logFS struct {
	vfs.FS
	failed func(error)
}

// Create implements vfs.FS.
func (f *logFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	return f.watched(name, file, err)
}

// ReuseForWrite implements vfs.FS.
func (f *logFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(old, name, category)
	return f.watched(name, file, err)
}

// OpenDir implements vfs.FS. A new log is there when its directory is synced.
func (f *logFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &logFile{file, name, f.failed}, nil
}

// Unwrap implements vfs.FS.
func (f *logFS) Unwrap() vfs.FS { return f.FS }

func (f *logFS) watched(name string, file vfs.File, err error) (vfs.File, error) {
	if !strings.HasSuffix(name, ".log") {
		return file, err
	}
	l := &logFile{file, name, f.failed}
	if err := l.check("creating", err); err != nil {
		return nil, err
	}
	return l, nil
}

type logFile struct {
	vfs.File
	name   string
	failed func(error)
}

func (f *logFile) check(what string, err error) error {
	if err != nil {
		f.failed(fmt.Errorf("%s %s: %w", what, f.name, err))
	}
	return err
}

// Write implements vfs.File.
func (f *logFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.check("writing", err)
}

// Stat implements vfs.File.
func (f *logFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	return info, f.check("looking at", err)
}

// Close implements vfs.File.
func (f *logFile) Close() error { return f.check("closing", f.File.Close()) }

// Sync implements vfs.File.
func (f *logFile) Sync() error { return f.check("syncing", f.File.Sync()) }

// SyncData implements vfs.File.
func (f *logFile) SyncData() error { return f.check("syncing", f.File.SyncData()) }

// SyncTo implements vfs.File.
func (f *logFile) SyncTo(length int64) (fullSync bool, err error) {
	fullSync, err = f.File.SyncTo(length)
	return fullSync, f.check("syncing", err)
}
