package topology

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/engine"
	"handprint/processor"
)

// Rest knows when an application that runs in this process has nothing left to
// do: everything that was put into its input topics, and every command that
// followed from it, is read and committed. Committed offsets alone do not tell,
// for the markers of transactions stand behind the last record of a topic.
//
// It is for finite jobs (replay, demo) and tests. It must see every record of
// the input topics, so the application has to be alone with its topics.
type Rest struct {
	names Names

	mu      sync.Mutex
	written map[processor.TopicPartition]int64 // the offset after the last record
	read    map[processor.TopicPartition]int64
	emitted map[processor.TopicPartition]int64 // the same of the outputs
	changed chan struct{}                      // closed and replaced with each commit
}

// NewRest returns a Rest for an application with these topics. Give its
// OnCommit to the runtime.
func NewRest(names Names) *Rest {
	return &Rest{
		names:   names,
		written: make(map[processor.TopicPartition]int64),
		read:    make(map[processor.TopicPartition]int64),
		emitted: make(map[processor.TopicPartition]int64),
		changed: make(chan struct{}),
	}
}

// Expect tells of a record that was put into an input topic.
func (r *Rest) Expect(topic string, partition int32, offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	tp := processor.TopicPartition{Topic: topic, Partition: partition}
	r.written[tp] = max(r.written[tp], offset+1)
}

// OnCommit is for processor.Config.
func (r *Rest) OnCommit(c processor.Commit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for tp, end := range c.Produced {
		into := r.emitted
		if tp.Topic == r.names.Commands {
			into = r.written
		}
		into[tp] = max(into[tp], end)
	}
	for tp, next := range c.Consumed {
		r.read[tp] = max(r.read[tp], next)
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// Left returns how many records are written and not read, at least: a record
// that is read may cause others.
func (r *Rest) Left() int64 {
	left, _ := r.look()
	return left
}

func (r *Rest) look() (left int64, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for tp, end := range r.written {
		left += max(0, end-r.read[tp])
	}
	return left, r.changed
}

// Emitted returns where the outputs end in the topics named: the offset after
// the last committed record of each partition that has one.
func (r *Rest) Emitted(topics ...string) map[processor.TopicPartition]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	ends := make(map[processor.TopicPartition]int64)
	for tp, end := range r.emitted {
		if slices.Contains(topics, tp.Topic) {
			ends[tp] = end
		}
	}
	return ends
}

// Wait returns when there is nothing left to do.
func (r *Rest) Wait(ctx context.Context) error {
	for {
		left, changed := r.look()
		if left == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d records to be processed: %w", left, context.Cause(ctx))
		}
	}
}

// Ticks are the records that make every task sweep once, at the time now. A
// running application writes its own; this is for finite jobs and tests.
func (n Names) Ticks(partitions int32, now time.Time) []*kgo.Record {
	return n.TicksAt(partitions, seconds(now))
}

// TicksAt is Ticks at a time in Unix seconds.
func (n Names) TicksAt(partitions int32, ts float64) []*kgo.Record {
	ticks := make([]*kgo.Record, partitions)
	for p := range ticks {
		ticks[p] = &kgo.Record{Topic: n.Commands, Partition: int32(p), Value: engine.TickCommand(ts)}
	}
	return ticks
}

// Partitioner is for producers that write ticks: a record of the commands
// names its partition, every other is partitioned by its key as Kafka's default
// partitioner does.
func (n Names) Partitioner() kgo.Partitioner {
	return commandPartitioner{commands: n.Commands, byKey: kgo.StickyKeyPartitioner(nil)}
}

type commandPartitioner struct {
	commands string
	byKey    kgo.Partitioner
}

func (p commandPartitioner) ForTopic(topic string) kgo.TopicPartitioner {
	if topic == p.commands {
		return kgo.ManualPartitioner().ForTopic(topic)
	}
	return p.byKey.ForTopic(topic)
}

// OnProduceRecordUnbuffered makes a Rest a hook of the producer that fills the
// input topics (kgo.HookProduceRecordUnbuffered): it is told of each record.
func (r *Rest) OnProduceRecordUnbuffered(rec *kgo.Record, err error) {
	if err != nil {
		return
	}
	switch rec.Topic {
	case r.names.Observations, r.names.IdentityEvents, r.names.Commands:
		r.Expect(rec.Topic, rec.Partition, rec.Offset)
	}
}
