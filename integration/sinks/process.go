package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sinkUnderTest is `handprint sink run`.
type sinkUnderTest struct {
	binary, file, brokers, log string
	cmd                        *exec.Cmd
}

func (s *sinkUnderTest) start(ctx context.Context) error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.CommandContext(ctx, s.binary, "sink", "run", "--sinks", s.file, "--brokers", s.brokers)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	return s.cmd.Start()
}

// end kills the sink.
func (s *sinkUnderTest) end() { end(s.cmd) }

// stop asks the sink to end, and waits.
func (s *sinkUnderTest) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("the sink does not end well: %w: see %s", err, filepath.Base(s.log))
	}
	return nil
}

// await waits until nothing is left to deliver, or the time is over. It asks
// `handprint sink lag`, so that is checked too.
func (s *sinkUnderTest) await(ctx context.Context, wait time.Duration) (done bool, err error) {
	for until := time.Now().Add(wait); ; {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if text, err := exec.CommandContext(ctx, s.binary, "sink", "lag", "--json", "--sinks", s.file, "--brokers", s.brokers).Output(); err == nil {
			var got struct{ Lag int64 }
			if err := json.Unmarshal(text, &got); err != nil {
				return false, fmt.Errorf("sink lag says %s: %w", text, err)
			}
			if got.Lag == 0 {
				return true, nil
			}
		}
		rest := time.Until(until)
		if rest <= 0 {
			return false, nil
		}
		time.Sleep(min(rest, 300*time.Millisecond))
	}
}

// end kills a process that may have ended.
func end(cmd *exec.Cmd) {
	if cmd != nil && cmd.Process != nil && cmd.ProcessState == nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// startServer starts a receiver and waits until it listens.
func startServer(ctx context.Context, dir, name string, port int, env []string, args ...string) (*exec.Cmd, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+"-server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = log, log, dir, append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for range 600 {
		if port == 0 {
			return cmd, nil
		}
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return cmd, conn.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	end(cmd)
	return nil, errors.New("it does not listen: see " + strings.TrimPrefix(log.Name(), dir+"/"))
}
