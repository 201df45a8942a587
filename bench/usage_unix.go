//go:build unix

package main

import (
	"runtime"
	"syscall"
	"time"
)

// usage is what a process has used.
type usage struct {
	CPU    time.Duration // user and system
	Memory int64         // the most it ever held, bytes
}

// used returns what this process has used so far.
func used() usage {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return usage{}
	}
	unit := int64(1 << 10)
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	return usage{CPU: time.Duration(r.Utime.Nano() + r.Stime.Nano()), Memory: int64(r.Maxrss) * unit}
}
