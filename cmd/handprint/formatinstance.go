package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// maxFormatProcesses is how many processes of one format a host has.
const maxFormatProcesses = 1000

// formatInstance returns this process's name in a group of format run: the host's
// name, and the first number that no other process of this host holds. A process
// holds its number by the lock of a file in dir, which the kernel ends with the
// process. So the one that is started in place of a killed one has its name, and its
// transactional id, which ends the transaction that was left open. The caller calls
// release at its end.
func formatInstance(dir, group string) (name string, release func(), err error) {
	host, err := os.Hostname()
	if err != nil {
		return "", nil, fmt.Errorf("asking for the name of this host, for the transactional id: %w: --instance names the process", err)
	}
	for n := range maxFormatProcesses {
		// A group's name may be no name of a file, or too long for one.
		path := filepath.Join(dir, fmt.Sprintf("handprint-format-%x-%d.lock", sha256.Sum224([]byte(group)), n))
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return "", nil, fmt.Errorf("taking a name for the transactional id: %w: --instance names the process without", err)
		}
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return host + "-" + strconv.Itoa(n), func() { _ = file.Close() }, nil
		}
		_ = file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return "", nil, fmt.Errorf("taking a name for the transactional id: %s: %w: --instance names the process without", path, err)
		}
	}
	return "", nil, fmt.Errorf("%d processes of this host format for %s: --instance names one more", maxFormatProcesses, group)
}
