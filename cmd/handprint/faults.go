//go:build faults

package main

import (
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"handprint/internal/faults"
	"handprint/state"
	"handprint/topology"
)

func init() {
	injectFaults = func(c *topology.Config, o *state.Options) {
		f := faults.New(os.Stdin)
		c.Runtime.Fault, c.Wrap = f.Step, f.Handler
		c.Runtime.TurnRecords = 50 // so that transactions have several turns
		o.BulkBytes = 16 << 10     // so that commits are written in both ways
		o.FS = f.FS(vfs.Default)
	}
}
