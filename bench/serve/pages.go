package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"handprint/attribution"
)

// measurePages has a browser look at pages while the engine works at its share of the
// best rate: integration/browser/paint.mjs, which needs node and Chromium.
func (r *rig) measurePages(ctx context.Context) error {
	if r.best == 0 {
		if err := r.bestRate(ctx); err != nil {
			return err
		}
	}
	if err := r.startEngine(); err != nil {
		return err
	}
	if err := r.startSide(); err != nil {
		return err
	}
	s, err := r.await(ctx, func(s status) bool { return s.Ready && s.Lag == 0 })
	if err != nil {
		return err
	}
	pacing, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	rate := r.best * r.share
	running.Go(func() { r.pace(pacing, rate) })
	defer running.Wait()
	defer stop()
	time.Sleep(warm)
	args := []string{"integration/browser/paint.mjs", s.URL}
	for range 40 {
		args = append(args, attribution.Stub([]byte(attackerOf(r.random.IntN(r.identities)))).String())
	}
	fmt.Printf("pages of %d identities while the engine works at %.0f observations/s (%.0f %% of its best)\n", r.identities, rate, 100*r.share)
	browser := exec.CommandContext(ctx, "node", args...)
	browser.Stdout, browser.Stderr = os.Stdout, os.Stderr
	return browser.Run()
}
