package cowrie

import (
	"slices"

	"handprint/ingest"
)

// position is where in a topic the adapter is. Without a topic it is empty.
type position struct {
	next    []int64             // per partition, the offset after the last line read
	resumed []ingest.Checkpoint // where an earlier run ended

	partition int // of the line being read
	offset    int64
}

// Resume tells the adapter, before its first line, where an earlier run ended:
// one checkpoint for each partition of the topic, zero for one never read.
func (a *Adapter) Resume(partitions []ingest.Checkpoint) {
	a.position.resumed = slices.Clone(partitions)
	a.position.next = make([]int64, len(partitions))
	for i, p := range partitions {
		a.position.next[i] = p.From
	}
}

// LineAt takes the line at an offset of a partition, counted from 0 and below
// the number of checkpoints given to Resume, which has to be called before.
func (a *Adapter) LineAt(partition int, offset int64, line []byte) error {
	p := &a.position
	p.partition, p.offset = partition, offset
	p.next[partition] = offset
	err := a.Line(line)
	if err == nil && a.wrapped.Waiting() {
		err = a.Break()
	}
	p.next[partition] = offset + 1
	return err
}

// Checkpoints says, for each partition, where a run that ended now would go
// on. It holds once everything sent is acknowledged.
func (a *Adapter) Checkpoints() []ingest.Checkpoint {
	emit := a.position.next
	from := emit
	if s := oldest(&a.tracker.byOpening); s != nil {
		from = s.at
	}
	for e := a.tracker.open.Front(); e != nil; e = e.Next() {
		if s := e.Value.(*session); !s.silent {
			emit, from = s.at, s.oldest
			break
		}
	}
	out := make([]ingest.Checkpoint, len(a.position.next))
	for i := range out {
		out[i] = ingest.Checkpoint{From: from[i], Emit: emit[i], Next: a.position.next[i]}
		if r := a.position.resumed[i]; out[i].Next < r.Next {
			// Still reading again what an earlier run has read: nothing of its
			// checkpoint is taken back.
			out[i].Next = r.Next
			out[i].Emit = max(out[i].Emit, r.Emit)
		}
	}
	return out
}

// opened notes where a session that has just been added opened.
func (p *position) opened(s *session, t *tracker) {
	if p.next == nil {
		return
	}
	s.at = slices.Clone(p.next)
	s.oldest = oldest(&t.byOpening).at
	s.silent = p.offset < p.resumed[p.partition].Emit
}

// replayed reports whether an earlier run has read the line being read.
func (p *position) replayed() bool {
	return p.next != nil && p.offset < p.resumed[p.partition].Next
}
