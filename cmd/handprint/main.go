package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"handprint/internal/memory"
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(memory.GCPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the work cleanly; a second one, while that takes
	// its time, kills.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ()}, os.Args[1:]))
}
