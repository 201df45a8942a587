package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// collectAt is by how many percent the heap grows before garbage is collected,
// unless the environment says GOGC.
const collectAt = 40

func main() {
	// What lives long has no pointers or is not on the heap, so that collecting
	// often costs little, and saves half of what the default lets pile up.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the work cleanly; a second one, while that takes
	// its time, kills.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ()}, os.Args[1:]))
}
