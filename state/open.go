package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// FormatVersion is the version of the store's directory as this package writes
// it: the layout of keys and checkpoints, and Pebble's own format. The directory
// says which one it has, in a file of its own, so that a version that is too new
// is seen before anything is touched.
const FormatVersion = 1

const (
	formatFile  = "FORMAT"
	formatName  = "handprint-state"
	damagedFile = "DAMAGED"
	probeFile   = "PROBE"
)

// Errors of [Open], wrapped in a line that says what to do.
var (
	// ErrLocked means that another process, or this one, has the directory open.
	ErrLocked = errors.New("in use")
	// ErrNewerVersion means that a newer handprint wrote the directory. Nothing
	// in it was touched.
	ErrNewerVersion = errors.New("written by a newer version of handprint")
	// ErrUnwritable means that the directory cannot be made or written to.
	ErrUnwritable = errors.New("not writable")
	// ErrNotAStore means that the directory holds a database that is not
	// handprint's, or, if opened for reading, none. Nothing in it was touched.
	ErrNotAStore = errors.New("not a handprint store")
)

// Open opens the store in dir, and makes it if it is not there. It belongs to
// the caller alone until it is closed.
//
// A damaged store is set aside, as dir with ".corrupt-1" (or the next free
// number) appended, never deleted, and an empty one is opened in its place; so
// dir must not be a mount point itself. With o.ReadOnly that is ErrCorrupt.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	s, err := open(dir, o)
	if !errors.Is(err, ErrCorrupt) || o.ReadOnly {
		return s, err
	}
	// The directory was empty when it was opened for the second time, so that
	// cannot fail for the same reason.
	return open(dir, o)
}

// open is one attempt. If it fails with ErrCorrupt, and not for reading only,
// the directory has been set aside.
func open(dir string, o Options) (_ *Store, err error) {
	if !o.ReadOnly {
		if err := o.FS.MkdirAll(dir, 0o755); err != nil {
			return nil, unwritable(dir, err)
		}
	} else if _, err := o.FS.Stat(dir); err != nil {
		return nil, fmt.Errorf("opening the store in %s: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, o.FS)
	if err != nil {
		if held(err) {
			return nil, fmt.Errorf("opening the store in %s: %w by another process: stop that one, or give this one a directory of its own", dir, ErrLocked)
		}
		return nil, unwritable(dir, err)
	}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()

	switch err := checkFormat(dir, o); {
	case errors.Is(err, ErrCorrupt):
		return nil, setAside(dir, o, err)
	case err != nil:
		return nil, fmt.Errorf("opening the store in %s: %w", dir, err)
	}

	if !o.ReadOnly {
		if err := probe(dir, o.FS); err != nil {
			return nil, unwritable(dir, err)
		}
		if err := removeBulk(dir, o.FS); err != nil {
			return nil, unwritable(dir, err)
		}
	}
	switch err := checkManifest(dir, o.FS); {
	case errors.Is(err, ErrCorrupt):
		return nil, setAside(dir, o, err)
	case err != nil:
		return nil, fmt.Errorf("opening the store in %s: %w", dir, err)
	}
	s := &Store{fs: o.FS, dir: dir, logger: o.Logger, frozen: o.ReadOnly, lock: lock}
	s.left = sync.NewCond(&s.mu)
	s.writeBacks.bytes = o.HoldBytes
	s.cache = newBlockCache(o.CacheBytes, o.MemtableBytes)
	po := o.pebbleOptions(s)
	if s.db, err = openPebble(dir, po); err != nil {
		s.cache.Unref()
		if errno := syscall.Errno(0); errors.As(err, &errno) && errno != syscall.ENOENT {
			// It says something about the machine, not about the directory.
			if denied(errno) {
				return nil, unwritable(dir, err)
			}
			return nil, fmt.Errorf("opening the store in %s: %s", dir, oneLine(err))
		}
		return nil, setAside(dir, o, fmt.Errorf("%w: %s", ErrCorrupt, oneLine(err)))
	}
	// What is ingested mostly comes to lie in level 0, as there is older data of
	// the same partition below it.
	s.bulkBytes, s.tables = o.BulkBytes, po.MakeWriterOptions(0, s.db.TableFormat())
	s.tables.DisableValueBlocks = true
	s.fitBlocks()
	s.inUse.Store(true)
	if s.frozen {
		return s, nil
	}
	if err := s.takeOwnership(); err != nil {
		return nil, errors.Join(unwritable(dir, err), s.db.Close())
	}
	return s, nil
}

// openPebble is pebble.Open, which panics at some kinds of damage.
func openPebble(dir string, po *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("%v", r)
		}
	}()
	return pebble.Open(dir, po)
}

// checkFormat returns nil if the directory is one that this version may open,
// after naming the version in it if it is fresh. ErrCorrupt: set it aside.
func checkFormat(dir string, o Options) error {
	text, err := readFile(o.FS, o.FS.PathJoin(dir, formatFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nameFormat(dir, o)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", formatFile, err)
	}
	// What a newer version adds must not make it look damaged.
	line, _, _ := strings.Cut(text, "\n")
	name, number, _ := strings.Cut(line, " ")
	v, err := strconv.Atoi(number)
	switch {
	case name != formatName || err != nil || v < 1:
		return fmt.Errorf("%w: %s says %.40q", ErrCorrupt, formatFile, text)
	case v > FormatVersion:
		return fmt.Errorf("%w, in format %d where this one knows %d: run that version, or give this one a directory of its own", ErrNewerVersion, v, FormatVersion)
	}
	note, err := readFile(o.FS, o.FS.PathJoin(dir, damagedFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("reading %s: %w", damagedFile, err)
	}
	return fmt.Errorf("%w: found when it was last used: %s", ErrCorrupt, strings.TrimSpace(note))
}

// nameFormat writes the version into a directory that has none.
func nameFormat(dir string, o Options) error {
	names, err := o.FS.List(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n, "MANIFEST-") || n == "CURRENT" {
			return fmt.Errorf("%w, but some other database: give handprint a directory of its own", ErrNotAStore)
		}
	}
	if o.ReadOnly {
		return fmt.Errorf("%w: it has no file %s", ErrNotAStore, formatFile)
	}
	if err := writeFile(o.FS, dir, formatFile, formatName+" "+strconv.Itoa(FormatVersion)+"\n"); err != nil {
		return fmt.Errorf("%w: %w", ErrUnwritable, err)
	}
	return nil
}

// setAside renames the directory, which is still locked so that no other
// process can have begun to use it, and returns cause.
func setAside(dir string, o Options, cause error) error {
	cause = fmt.Errorf("opening the store in %s: %w", dir, cause)
	if o.ReadOnly {
		return cause
	}
	for n := 1; ; n++ {
		aside := strings.TrimRight(dir, "/") + ".corrupt-" + strconv.Itoa(n)
		_, err := o.FS.Stat(aside)
		if err == nil {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = o.FS.Rename(dir, aside)
		}
		if err != nil {
			return fmt.Errorf("opening the store in %s: it is damaged and cannot be set aside; move it away and start again: %w", dir, err)
		}
		o.Logger.Error("the store was damaged and has been set aside; its tasks will be restored from the changelog",
			"dir", dir, "aside", aside, "error", cause)
		return cause
	}
}

// held reports whether locking failed because somebody has the lock.
func held(err error) bool {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return false
	}
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) ||
		strings.Contains(err.Error(), "lock held by current process")
}

func denied(errno syscall.Errno) bool {
	switch errno {
	case syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT:
		return true
	}
	return false
}

func unwritable(dir string, err error) error {
	return fmt.Errorf("opening the store in %s: %w: %s: make it a directory that this user may write to, with room on its disk", dir, ErrUnwritable, oneLine(err))
}

// probe writes as much as opening a database does. Pebble ends the process if
// that fails; a disk without room deserves an error.
func probe(dir string, fs vfs.FS) error {
	if err := writeFile(fs, dir, probeFile, strings.Repeat("\x00", 64<<10)); err != nil {
		return err
	}
	return fs.Remove(fs.PathJoin(dir, probeFile))
}

func readFile(fs vfs.FS, path string) (string, error) {
	f, err := fs.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	return string(b), err
}

// writeFile makes a small file, all of it or none, and waits for the disk.
func writeFile(fs vfs.FS, dir, name, text string) error {
	path := fs.PathJoin(dir, name)
	f, err := fs.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := fs.Rename(path+".new", path); err != nil {
		return err
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
