// Command with runs another command while a real broker runs, of a fresh cluster
// of one, whose address it finds in BROKER:
//
//	go run ./integration/services/with make ten-minutes
//
// How the broker is started, or which one is taken, HANDPRINT_CLUSTER and
// HANDPRINT_BROKERS say: see docs/testing.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"handprint/integration/services"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		os.Exit(max(1, ended.ExitCode())) // the command has said why
	case err != nil:
		fmt.Fprintln(os.Stderr, "with:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command []string) (err error) {
	if len(command) == 0 {
		return errors.New("no command given")
	}
	dir, err := os.MkdirTemp("", "broker")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := services.Start(ctx, dir, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	// Variables for starting a cluster are no settings of handprint.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "HANDPRINT_") }), "BROKER="+s.Brokers[0])
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
