package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/unpack"
	"handprint/processor"
)

// Retention, or somebody by DeleteRecords, takes input away. What was taken before
// the application read it has had no effect, and the changelog says where that was,
// and where the application began to read: an audit steps over it as the application
// did, and goes on. What was taken after the application had read it is in the rows, and an audit cannot work it out any
// more, unless it was collected before.

// kept is what was collected of a partition.
type kept struct {
	records []*kgo.Record
	dropped []unpack.Batch
	from    int64 // what was there when it was collected
	to      int64
}

type topicPartition struct {
	topic     string
	partition int32
}

// Collect reads what is new in the input and the commands, and keeps it for the next
// Advance, so that it may be deleted before.
func (a *Auditor) Collect(ctx context.Context) error {
	n := &a.o.Topics
	topics := []string{n.Observations, n.IdentityEvents, n.Commands}
	starts, err := a.list(ctx, a.adm.ListStartOffsets, topics...)
	if err != nil {
		return err
	}
	ends, err := a.list(ctx, a.adm.ListCommittedOffsets, topics...)
	if err != nil {
		return err
	}
	for _, topic := range topics {
		for p, end := range ends[topic] {
			tp := topicPartition{topic, p}
			k := a.kept[tp]
			from := starts[topic][p]
			switch {
			case k == nil || topic == n.Commands && from > k.to: // commands that were read may be gone
				k = &kept{from: max(from, a.audited[topic][p])}
				k.to = k.from
			case from > k.to:
				return fmt.Errorf("%w: %s[%d] begins at offset %d, it was collected up to %d", ErrHistoryGone, topic, p, from, k.to)
			}
			if end <= k.to {
				a.kept[tp] = k
				continue
			}
			err := a.scan(ctx, func(r *kgo.Record) error { k.records = append(k.records, r); return nil }, topic, p, k.to, end)
			if err != nil {
				return fmt.Errorf("collecting %s[%d]: %w", topic, p, err)
			}
			k.dropped, a.dropped = append(k.dropped, a.dropped...), nil
			k.to = end
			a.kept[tp] = k
		}
	}
	return nil
}

// readPositions reads how far the tasks say that they have read.
func (a *Auditor) readPositions(ctx context.Context) (map[int32]processor.Positions, error) {
	return ReadPositions(ctx, a.client, a.o.Topics.Changelog)
}

// position returns how far a task has read a topic; nil if it does not say so.
func position(all map[int32]processor.Positions, topic string, p int32) *processor.Position {
	list := all[p].Inputs
	if at := slices.IndexFunc(list, func(in processor.Position) bool { return in.Topic == topic }); at >= 0 {
		return &list[at]
	}
	return nil
}

// findLost notes which offsets the application has stepped over, and how many of
// them are new.
func (a *Auditor) findLost(all map[int32]processor.Positions) {
	a.lost = make(map[topicPartition][]processor.Range)
	n := &a.o.Topics
	for _, topic := range []string{n.Observations, n.IdentityEvents, n.Commands} {
		for _, p := range slices.Sorted(maps.Keys(all)) {
			at := position(all, topic, p)
			if at == nil {
				continue
			}
			tp := topicPartition{topic, p}
			a.lost[tp] = append([]processor.Range{{From: 0, To: at.First}}, at.Lost...)
			fresh := at.LostOffsets() - a.lostBefore[tp]
			if a.lostBefore[tp] = at.LostOffsets(); fresh == 0 {
				continue
			}
			if topic == n.Commands {
				a.report.CommandsLost += fresh
			} else {
				a.report.InputLost += fresh
			}
			for _, r := range at.Lost {
				if r.To > a.next[topic][p] {
					a.report.Notes = append(a.report.Notes, fmt.Sprintf("%s[%d]: %d offsets, from %d to %d, were deleted before the application read them", topic, p, r.To-r.From, r.From, r.To))
				}
			}
			if topic == n.Commands {
				a.report.Notes = append(a.report.Notes, fmt.Sprintf("%s[%d]: what the %d lost commands carried (observations, contributions of attackers that moved) is missing from the rows, and counts as lost or different here", topic, p, fresh))
			}
		}
	}
}

// isLost reports whether the application has stepped over an offset.
func (a *Auditor) isLost(topic string, p int32, offset int64) bool {
	return slices.ContainsFunc(a.lost[topicPartition{topic, p}], func(r processor.Range) bool { return r.From <= offset && offset < r.To })
}

// readOf returns the first range of [from, to) that the application has read; ok is
// false if it has stepped over all of it.
func readOf(lost []processor.Range, from, to int64) (r processor.Range, ok bool) {
	for _, l := range lost {
		if l.To <= from {
			continue
		}
		if l.From > from {
			return processor.Range{From: from, To: min(l.From, to)}, true
		}
		if from = l.To; from >= to {
			return r, false
		}
	}
	return processor.Range{From: from, To: to}, from < to
}

// whole makes sure that nothing is gone from the topics that must be read from the
// beginning, but for what was collected and what the application has not read either.
func (a *Auditor) whole(ctx context.Context) error {
	n := &a.o.Topics
	starts, err := a.list(ctx, a.adm.ListStartOffsets, n.Observations, n.IdentityEvents, n.StateChanged, n.MultiActorSuspects, n.IdentityChanged, n.DeadLetter)
	if err != nil {
		return err
	}
	commands, err := a.list(ctx, a.adm.ListStartOffsets, n.Commands)
	if err != nil {
		return err
	}
	a.commandsFrom = commands[n.Commands]
	a.steppedOverWhatIs(starts)
	for topic, partitions := range starts {
		for p, start := range partitions {
			next := a.next[topic][p]
			k := a.kept[topicPartition{topic, p}]
			if k != nil && k.from <= next {
				next = max(next, k.to)
			}
			if start <= next {
				continue
			}
			if gone, some := readOf(a.lost[topicPartition{topic, p}], next, start); some {
				return fmt.Errorf("%w: %s[%d] begins at offset %d, and the application has read offsets %d to %d before they were deleted: nothing that depends on them can be checked",
					ErrHistoryGone, topic, p, start, gone.From, gone.To)
			}
		}
	}
	return nil
}

// steppedOverWhatIs finds offsets that the application has stepped over although they are
// there, and tells each once.
func (a *Auditor) steppedOverWhatIs(starts ends) {
	for tp, lost := range a.lost {
		start, listed := starts[tp.topic][tp.partition]
		for i, r := range lost {
			// The first range is what was there before the application began.
			if i > 0 && listed && r.To > start && !slices.Contains(a.told[tp], r.To) {
				if a.told == nil {
					a.told = make(map[topicPartition][]int64)
				}
				a.told[tp] = append(a.told[tp], r.To)
				a.differs(Lost, tp.topic, place{partition: tp.partition, offset: max(r.From, start)}, "",
					"the application has stepped over offsets %d to %d as deleted, and the topic begins at offset %d", r.From, r.To, start)
			}
		}
	}
}

// deliver gives each what was collected of a partition from an offset on, but for
// what the application has not read, and returns from where to read on.
func (a *Auditor) deliver(ctx context.Context, topic string, p int32, from int64, each func(*kgo.Record) error) (int64, error) {
	tp := topicPartition{topic, p}
	k := a.kept[tp]
	if k == nil {
		return from, nil
	}
	delete(a.kept, tp)
	for _, r := range k.records {
		if ctx.Err() != nil {
			return from, ctx.Err()
		}
		if r.Offset < from || a.isLost(topic, p, r.Offset) {
			continue
		}
		if err := each(r); err != nil {
			return from, err
		}
	}
	for _, b := range k.dropped {
		if b.First >= from && !a.isLost(topic, p, b.First) {
			a.dropped = append(a.dropped, b)
		}
	}
	return max(from, k.to), nil
}
