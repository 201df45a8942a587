package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"handprint/internal/memory"
)

// limit is what bounds the memory of each contender.
type limit struct {
	bytes int64
	group string // directory of the control group; empty: there is none
}

// groupPrefix begins the name of each control group; the id of its process ends it.
const groupPrefix = "handprint-bench-"

// removeStale removes the control groups in parent whose process is gone: one that was
// killed removes nothing itself.
func removeStale(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, groupPrefix+"*"))
	for _, dir := range dirs {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), groupPrefix))
		if err == nil && pid > 0 && syscall.Kill(pid, 0) == syscall.ESRCH {
			_ = os.Remove(dir) // refused while a process is in it
		}
	}
}

// newLimit makes a control group of so many MiB, of version 2 or 1. Where none may be
// made, it says so, and contenders are told to keep to the limit themselves.
func newLimit(mib int) *limit {
	if mib == 0 {
		return nil
	}
	l := &limit{bytes: int64(mib) << 20}
	name := groupPrefix + strconv.Itoa(os.Getpid())
	var errs []string
	for _, at := range []struct{ parent, file string }{
		{"/sys/fs/cgroup", "memory.max"},
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
	} {
		removeStale(at.parent)
		dir := filepath.Join(at.parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			errs = append(errs, err.Error())
			continue
		}
		file := filepath.Join(dir, at.file)
		_, err := os.Stat(file) // a file system that is none of control groups would make one
		if err == nil {
			err = os.WriteFile(file, []byte(strconv.FormatInt(l.bytes, 10)), 0o644)
		}
		if err == nil {
			l.group = dir
			return l
		}
		errs = append(errs, err.Error())
		_ = os.Remove(dir)
	}
	fmt.Fprintf(os.Stderr, "bench: no control group of %d MiB (%s): contenders get GOMEMLIMIT and -Xmx instead, Python's gets no bound\n", mib, strings.Join(errs, "; "))
	return l
}

// apply has a contender run within the limit. A shell moves itself into the group and
// becomes the contender, so that nothing of it is outside, and its process is the same.
func (l *limit) apply(cmd *exec.Cmd) error {
	if l == nil {
		return nil
	}
	if l.group == "" {
		cmd.Env = append(cmd.Environ(), fmt.Sprintf("GOMEMLIMIT=%d", l.goHeap()))
		return nil
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		return fmt.Errorf("moving a contender into its control group: %w", err)
	}
	program := cmd.Path
	cmd.Path = shell
	cmd.Args = append([]string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(l.group, "cgroup.procs"), program}, cmd.Args[1:]...)
	return nil
}

// bounded reports whether a control group bounds the contenders, or there is no limit.
func (l *limit) bounded() bool { return l == nil || l.group != "" }

// caches returns the sizes of handprint's caches, MiB, without a control group that it
// could read them from: the same as in one. 0 and 0: it works them out itself.
func (l *limit) caches() (sizes [2]int) {
	if l.bounded() {
		return sizes
	}
	record, store := memory.Limits{Container: uint64(l.bytes)}.Caches()
	return [2]int{record >> 20, store >> 20}
}

// goHeap is the GOMEMLIMIT of a Go contender without a control group: what handprint's
// caches and memtables leave, as Go does not count them. At least an eighth is left.
func (l *limit) goHeap() int64 {
	record, store := memory.Limits{Container: uint64(l.bytes)}.Caches()
	return max(l.bytes/8, l.bytes-int64(record+store+memory.Memtables))
}

// heap is what a Java contender is given as its heap, MiB: two GiB, or so much that what
// RocksDB and the virtual machine take besides fits as well.
func (l *limit) heap() int {
	const usual, besides = 2048, 600
	if l == nil {
		return usual
	}
	return max(256, min(usual, int(l.bytes>>20)-besides))
}

// close removes the group, which is empty by then.
func (l *limit) close() error {
	if l == nil || l.group == "" {
		return nil
	}
	return os.Remove(l.group)
}
