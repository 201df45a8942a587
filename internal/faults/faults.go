// Package faults is what a handprint process that is built with the tag faults
// can do to itself: die at a step of a transaction or in the middle of a write
// to its store, and find its disk full. Tests tell it when, by lines on its
// standard input. No released binary has it.
package faults

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/processor"
)

// The lines that a process understands:
//
//	crash STEP N     die, as by kill -9, when STEP is passed for the Nth time
//	                 from now; STEP is one of Points
//	disk full        every write to the store fails for want of space
//	disk ok          no longer
//	slow MS N        each of the next N records takes MS milliseconds longer
const (
	crashLine = "crash"
	diskLine  = "disk"
	slowLine  = "slow"
)

// StoreWrite and StoreSync are the points at which a process can die besides
// the steps of a transaction: before a write, or a sync, of a file of its store.
const (
	StoreWrite = "store-write"
	StoreSync  = "store-sync"
)

// Points returns the names of the points at which a process can die.
func Points() []string {
	var names []string
	for _, s := range processor.Steps() {
		names = append(names, pointOf(s))
	}
	return append(names, StoreWrite, StoreSync)
}

func pointOf(s processor.Step) string { return strings.ReplaceAll(s.String(), " ", "-") }

// CrashLine is the line that arms a crash.
func CrashLine(point string, n int) string { return fmt.Sprintf("%s %s %d\n", crashLine, point, n) }

// DiskLine is the line that fills the disk, or empties it.
func DiskLine(full bool) string {
	if full {
		return diskLine + " full\n"
	}
	return diskLine + " ok\n"
}

// SlowLine is the line that makes the next n records take longer.
func SlowLine(by time.Duration, n int) string {
	return fmt.Sprintf("%s %d %d\n", slowLine, by.Milliseconds(), n)
}

// Faults are those of one process.
type Faults struct {
	armed atomic.Pointer[crash]
	full  atomic.Bool
	slow  atomic.Pointer[slow]
	die   func()
}

type slow struct {
	by   time.Duration
	left atomic.Int64
}

type crash struct {
	point string
	left  atomic.Int64
}

// New returns the faults that the lines of in arm. It reads them in a goroutine
// that ends with in, which for the standard input is with the process.
func New(in io.Reader) *Faults {
	f := &Faults{die: func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal is there
	}}
	go f.listen(in)
	return f
}

func (f *Faults) listen(in io.Reader) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if err := f.obey(strings.Fields(lines.Text())); err != nil {
			slog.Error("fault not understood", "line", lines.Text(), "error", err)
		}
	}
}

func (f *Faults) obey(words []string) error {
	switch {
	case len(words) == 3 && words[0] == crashLine:
		n, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			return err
		}
		c := &crash{point: words[1]}
		c.left.Store(n)
		f.armed.Store(c)
		return nil
	case len(words) == 2 && words[0] == diskLine:
		f.full.Store(words[1] == "full")
		return nil
	case len(words) == 3 && words[0] == slowLine:
		by, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			return err
		}
		s := &slow{by: time.Duration(by) * time.Millisecond}
		s.left.Store(n)
		f.slow.Store(s)
		return nil
	}
	return errors.New("unknown")
}

// pass dies if a crash is due at this point.
func (f *Faults) pass(point string) {
	if c := f.armed.Load(); c != nil && c.point == point && c.left.Add(-1) == 0 {
		f.die()
	}
}

// Handler makes a task's records take long when that is due. h must be all that the
// runtime asks for.
func (f *Faults) Handler(h processor.Handler) processor.Handler {
	return &slowHandler{h.(handler), f} // a task of the topology's has all of it
}

// handler is all that the runtime asks a task's handler for.
type handler interface {
	processor.Handler
	processor.Poisoner
	processor.Repairer
	processor.Dropper
	processor.Projector
}

type slowHandler struct {
	handler
	faults *Faults
}

// Process takes a record, and its time.
func (h *slowHandler) Process(c *processor.Context, r *kgo.Record) error {
	if s := h.faults.slow.Load(); s != nil && s.left.Add(-1) >= 0 {
		time.Sleep(s.by)
	}
	return h.handler.Process(c, r)
}

// Step is for processor.Config.Fault.
func (f *Faults) Step(s processor.Step, _ []int32) error {
	f.pass(pointOf(s))
	return nil
}

// FS is a file system in which the faults of the store happen.
func (f *Faults) FS(fs vfs.FS) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileWrite, errorfs.OpFileWriteAt:
			f.pass(StoreWrite)
			if f.full.Load() {
				return &os.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
			}
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			f.pass(StoreSync)
		case errorfs.OpCreate:
			if f.full.Load() {
				return &os.PathError{Op: "create", Path: op.Path, Err: syscall.ENOSPC}
			}
		}
		return nil
	}))
}
