package proc

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// Usage is what a process has used.
type Usage struct {
	CPU    time.Duration // user and system
	Memory int64         // now, bytes
	Peak   int64         // the most it ever held, bytes
}

// tick is the unit of times in /proc; it is 10 ms on every Linux.
const tick = 10 * time.Millisecond

// Used returns what a process has used so far; nothing if it is not there.
func Used(pid int) (u Usage) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u
	}
	// The name, in brackets, may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	for _, i := range []int{11, 12} { // utime, stime
		n, _ := strconv.ParseInt(string(fields[i]), 10, 64)
		u.CPU += time.Duration(n) * tick
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u
	}
	kilobytes := func(name string) int64 {
		_, rest, _ := bytes.Cut(status, []byte(name))
		if f := bytes.Fields(rest); len(f) > 0 {
			n, _ := strconv.ParseInt(string(f[0]), 10, 64)
			return n << 10
		}
		return 0
	}
	u.Memory, u.Peak = kilobytes("VmRSS:"), kilobytes("VmHWM:")
	return u
}

// DieWithParent has the kernel kill the process when this one ends, whatever way.
func DieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
