package main

import (
	"context"
	"io"
	"strings"
	"testing"
)

// start runs the command that does nothing but start.
func start() int {
	return run(context.Background(), streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}, []string{"version"})
}

// TestStartAllocatesLittle holds the cost of a start, which every command and
// every probe of a container pays. Allocations stand for time, which a test
// cannot hold: checking all of the Cowrie settings at each default made 43,000
// of them, and two thirds of the time.
func TestStartAllocatesLittle(t *testing.T) {
	const maxAllocations = 15_000
	if got := testing.AllocsPerRun(3, func() {
		if code := start(); code != exitOK {
			t.Fatalf("version ended with %d", code)
		}
	}); got > maxAllocations {
		t.Errorf("a start makes %.0f allocations, more than %d", got, maxAllocations)
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		start()
	}
}
