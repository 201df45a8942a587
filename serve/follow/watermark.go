package follow

import (
	"context"
	"encoding/binary"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// watermark is the time until which every record that was written to event topics is
// applied: the oldest of all partitions.
type watermark struct {
	mu         sync.Mutex
	partitions map[string]map[int32]*eventProgress
	asOf       float64 // Unix seconds; 0: not known yet
}

// eventProgress is how far one partition is.
type eventProgress struct {
	next  int64   // offset to read
	last  int64   // the furthest end that was told
	end   int64   // of the partition at a time; -1: it was not asked for
	asked float64 // that time
	asOf  float64 // when an end was asked for that is reached; 0: never
}

// reset begins anew with the offsets from which partitions are read. asOf is what was
// known before, 0 for nothing.
func (w *watermark) reset(from eventPositions, asOf float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.partitions, w.asOf = make(map[string]map[int32]*eventProgress), asOf
	for topic, byPartition := range from {
		w.partitions[topic] = make(map[int32]*eventProgress)
		for p, next := range byPartition {
			w.partitions[topic][p] = &eventProgress{next: next, end: -1, asOf: asOf}
		}
	}
}

// now returns the watermark, in Unix seconds; 0: it is not known yet.
func (w *watermark) now() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asOf
}

// read takes down that a partition is applied up to an offset, not included.
func (w *watermark) read(topic string, partition int32, next int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.partitions[topic][partition]; p != nil {
		p.next = max(p.next, next)
	}
}

// measured takes down where partitions began and ended at a time, and returns the
// watermark. One that was not told stays as old as it is. Where no topic is there, all that
// there is has been applied.
func (w *watermark) measured(asked float64, starts, ends eventPositions) float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	oldest := asked
	for topic, byPartition := range w.partitions {
		for n, p := range byPartition {
			p.next = max(p.next, starts.of(topic, n)) // what was before is deleted
			end := ends.of(topic, n)
			if end < p.last { // not told, or the topic was made anew: what it has now is not read
				end = -1
			}
			p.last = max(p.last, end)
			if end >= 0 && (p.end < 0 || p.next >= end) {
				p.end, p.asked = end, asked
			}
			if p.end >= 0 && p.next >= p.end {
				p.asOf, p.end = max(p.asOf, p.asked), -1
			}
			oldest = min(oldest, p.asOf)
		}
	}
	w.asOf = max(w.asOf, oldest)
	return w.asOf
}

// EventsAsOf returns the time, in Unix seconds, until which all that was written to the
// event topics is in the history; 0: it is not known yet.
func (f *Follower) EventsAsOf() float64 { return f.watermark.now() }

const (
	eventsAsOfMark = "events-as-of"
	watermarkEvery = 500 * time.Millisecond
)

// keptAsOf returns the watermark of the run before; 0: there is none.
func (f *Follower) keptAsOf() (float64, error) {
	b, err := f.cfg.History.Mark(eventsAsOfMark)
	if err != nil || len(b) != 8 {
		return 0, err
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
}

// followWatermark asks the brokers where the event topics end until ctx ends. While they
// do not say, the watermark stands still.
func (f *Follower) followWatermark(ctx context.Context, look *topicLook) {
	adm, every := kadm.NewClient(f.client), f.cfg.every(watermarkEvery)
	e := endsLook{look: look, topics: look.there(f.historyTopics()), ends: adm.ListEndOffsets, starts: adm.ListStartOffsets, every: every}
	kept := f.EventsAsOf()
	repeat(ctx, every, func() {
		asked := float64(f.cfg.Clock.Now().UnixMilli()) / 1000
		if starts, ends, ok := e.get(ctx); ok {
			if asOf := f.watermark.measured(asked, starts, ends); asOf > kept {
				mark := binary.BigEndian.AppendUint64(nil, math.Float64bits(asOf))
				if err := f.cfg.History.KeepMarks(map[string][]byte{eventsAsOfMark: mark}); err != nil {
					f.cfg.Logger.Warn("how far the events are could not be kept", "error", err)
				}
				kept = asOf
			}
		}
	})
}

// followShown asks the brokers until ctx ends how far the event topics are committed. An
// open transaction is not waited for: nobody is shown what it may bring.
//
// One case stands still although nothing is missing: records of an aborted transaction
// whose marker lies behind the begin of one that is open. The client steps over them
// without a word, since there is nothing to hand out, so nobody knows that it is at the
// end. It lasts until the open one ends, which is transaction-timeout at most.
func (f *Follower) followShown(ctx context.Context, look *topicLook) {
	adm, every := kadm.NewClient(f.client), f.cfg.every(measureEvery)
	e := endsLook{look: look, topics: look.there(look.all), ends: adm.ListCommittedOffsets, starts: adm.ListStartOffsets, every: every}
	repeat(ctx, every, func() {
		asked := float64(f.cfg.Clock.Now().UnixMilli()) / 1000
		if starts, ends, ok := e.get(ctx); ok {
			f.shown.measured(asked, starts, ends)
		}
	})
}

// offsetsOf are the offsets of the partitions that were told.
func offsetsOf(listed kadm.ListedOffsets) eventPositions {
	to := make(eventPositions)
	listed.Each(func(o kadm.ListedOffset) {
		if o.Err == nil {
			to.set(o.Topic, o.Partition, o.Offset)
		}
	})
	return to
}

// historyTopics are the event topics whose records the history has.
func (f *Follower) historyTopics() []string {
	n := &f.cfg.Names
	return []string{n.StateChanged, n.MultiActorSuspects, n.IdentityChanged}
}
