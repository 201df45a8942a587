package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config is one process of an application.
type Config struct {
	Binary string
	// Dir holds its state directory and its log.
	Dir     string
	Brokers []string
	// Application is its id; Prefix stands before its topics' names.
	Application, Prefix     string
	Partitions, Replication int
	Threads                 int
	// Env are environment variables besides, as NAME=value.
	Env []string
	// Flags are put behind the ones that follow from the fields above.
	Flags []string
}

// SessionTimeout is how long the group waits for an instance that was killed:
// the least that brokers take by default.
const SessionTimeout = 6 * time.Second

// Args are the arguments that make the binary run as c says.
func (c Config) Args() []string {
	return append([]string{
		"run",
		"--brokers", strings.Join(c.Brokers, ","),
		"--application-id", c.Application,
		"--topic-prefix", c.Prefix,
		"--partitions", fmt.Sprint(c.Partitions),
		"--replication-factor", fmt.Sprint(c.Replication),
		"--threads", fmt.Sprint(max(1, c.Threads)),
		"--state-dir", c.StateDir(),
		"--group-session-timeout", SessionTimeout.String(),
		"--static-membership",
	}, c.Flags...)
}

// StateDir is the state directory.
func (c Config) StateDir() string { return filepath.Join(c.Dir, "state") }

// LogFile is where the process's output goes, that of all its starts.
func (c Config) LogFile() string { return filepath.Join(c.Dir, "log") }

// Instance is a process. Its methods may be called concurrently.
type Instance struct {
	Config Config

	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan struct{}
	err   error // how it ended; set before ended is closed

	mu     sync.Mutex
	paused bool
}

// Start starts a process. It does not wait until it has tasks.
func Start(c Config) (*Instance, error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(c.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	i := &Instance{Config: c, cmd: exec.Command(c.Binary, c.Args()...), ended: make(chan struct{})}
	i.cmd.Stdout, i.cmd.Stderr = log, log
	// The settings of whoever runs the tests are not for the process.
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "HANDPRINT_") {
			i.cmd.Env = append(i.cmd.Env, e)
		}
	}
	i.cmd.Env = append(i.cmd.Env, c.Env...)
	i.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if i.stdin, err = i.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := i.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Binary, err)
	}
	go func() {
		i.err = i.cmd.Wait()
		close(i.ended)
	}()
	return i, nil
}

// Pid is the process's id.
func (i *Instance) Pid() int { return i.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (i *Instance) Ended() <-chan struct{} { return i.ended }

// Running reports whether the process has not ended.
func (i *Instance) Running() bool {
	select {
	case <-i.ended:
		return false
	default:
		return true
	}
}

// ExitCode is that of a process that has ended; -1 if a signal ended it.
func (i *Instance) ExitCode() int {
	<-i.ended
	return i.cmd.ProcessState.ExitCode()
}

// Killed reports whether kill -9 ended the process, by its own hand or another's.
func (i *Instance) Killed() bool {
	<-i.ended
	status, ok := i.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Tell writes a line of package faults to the process.
func (i *Instance) Tell(line string) error {
	_, err := io.WriteString(i.stdin, line)
	return err
}

// Kill ends the process at once, and waits for it.
func (i *Instance) Kill() {
	_ = i.cmd.Process.Kill() // fails only if it has ended
	<-i.ended
}

// Pause stops the process; it does nothing until Resume.
func (i *Instance) Pause() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.paused = true
	return i.cmd.Process.Signal(syscall.SIGSTOP)
}

// Resume lets a paused process go on. Another one is left as it is.
func (i *Instance) Resume() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.paused {
		return nil
	}
	i.paused = false
	err := i.cmd.Process.Signal(syscall.SIGCONT)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// interrupted is the exit code of a process that was asked to end before it had
// come to its work.
const interrupted = 130

// Stop asks the process to end, and waits until it has. Any exit code but 0 and
// that of an interrupted start is an error; so is a process that does not end
// before ctx does, which is killed.
func (i *Instance) Stop(ctx context.Context) error {
	if err := i.Resume(); err != nil {
		return err
	}
	if err := i.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-i.ended:
		if i.err != nil && i.ExitCode() != interrupted {
			return fmt.Errorf("stopping %s: %w; see %s", i.Config.Dir, i.err, i.Config.LogFile())
		}
		return nil
	case <-ctx.Done():
		i.Kill()
		return fmt.Errorf("stopping %s: it did not end: %w", i.Config.Dir, context.Cause(ctx))
	}
}
