package network

import (
	"slices"

	"handprint/ingest"
)

// Position is where in a topic an adapter is whose rows stand for themselves.
// Without a topic it is empty.
type Position struct {
	next      []int64
	read      []int64 // where an earlier run ended
	partition int
	offset    int64
}

// Resume takes where an earlier run ended.
func (p *Position) Resume(partitions []ingest.Checkpoint) {
	p.next = make([]int64, len(partitions))
	for i, c := range partitions {
		p.next[i] = c.From
		p.read = append(p.read, c.Next)
	}
}

// At takes the place of the line that comes next.
func (p *Position) At(partition int, offset int64) { p.partition, p.offset = partition, offset }

// Done takes the end of that line.
func (p *Position) Done() { p.next[p.partition] = p.offset + 1 }

// Replayed reports whether an earlier run has read the line.
func (p *Position) Replayed() bool { return p.next != nil && p.offset < p.read[p.partition] }

// Checkpoints says where a run that ended now would go on.
func (p *Position) Checkpoints() []ingest.Checkpoint {
	out := make([]ingest.Checkpoint, len(p.next))
	for i, n := range slices.Clone(p.next) {
		n = max(n, p.read[i])
		out[i] = ingest.Checkpoint{From: n, Emit: n, Next: n}
	}
	return out
}
