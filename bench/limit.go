package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// limit is what bounds the memory of each contender.
type limit struct {
	bytes int64
	group string // directory of the control group; empty: there is none
}

// newLimit makes a control group of so many MiB, of version 2 or 1. Where none may be
// made, it says so, and contenders are told to keep to the limit themselves.
func newLimit(mib int) *limit {
	if mib == 0 {
		return nil
	}
	l := &limit{bytes: int64(mib) << 20}
	name := fmt.Sprintf("handprint-bench-%d", os.Getpid())
	var errs []string
	for _, at := range []struct{ parent, file string }{
		{"/sys/fs/cgroup", "memory.max"},
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
	} {
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
	fmt.Fprintf(os.Stderr, "bench: no control group of %d MiB (%s): contenders get GOMEMLIMIT and -Xmx instead\n", mib, strings.Join(errs, "; "))
	return l
}

// apply has a contender run within the limit. A shell moves itself into the group and
// becomes the contender, so that nothing of it is outside, and its process is the same.
func (l *limit) apply(cmd *exec.Cmd) error {
	if l == nil {
		return nil
	}
	if l.group == "" {
		cmd.Env = append(cmd.Environ(), fmt.Sprintf("GOMEMLIMIT=%d", l.bytes))
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
