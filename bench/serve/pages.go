package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"handprint/attribution"
)

// measurePages has a browser look at pages while the engine works at its share of the
// best rate: integration/browser/paint.mjs, which needs node and Chromium.
func (r *rig) measurePages(ctx context.Context) error {
	return r.underLoad(ctx, func(rate float64, s status) error {
		args := []string{"integration/browser/paint.mjs", s.URL}
		for range 40 {
			args = append(args, attribution.Stub([]byte(attackerOf(r.random.IntN(r.identities)))).String())
		}
		fmt.Printf("pages of %d identities while the engine works at %.0f observations/s (%.0f %% of its best)\n", r.identities, rate, 100*r.share)
		browser := exec.CommandContext(ctx, "node", args...)
		browser.Stdout, browser.Stderr = os.Stdout, os.Stderr
		return browser.Run()
	})
}
