package main

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// audit is what a contender has written, read back.
type audit struct {
	Observations int64 // that the rows count, by their last state
	Rows         int64
	RowRecords   int64
	Transitions  int64
	// How many rows and transitions are not those of the first contender that
	// does the job, and one of them. Rows of identities with misrouted records
	// are left out, since those overtake each other differently in each run; so
	// are transitions of linked attackers, which depend on when the link was
	// seen.
	DifferentRows, DifferentTransitions int64
	Example                             string

	Changes        int64 // records in the changelog
	ChangelogBytes int64 // of their keys and values
	ChangelogDisk  int64 // of its segments
}

// auditOf reads what a contender has written.
func (b *rig) auditOf(ctx context.Context, c *contender, j *job) (a audit, err error) {
	if c.concludes {
		rows, err := b.auditRows(ctx, j, &a)
		if err != nil {
			return a, err
		}
		transitions, nth := outcome{}, map[string]int{}
		err = b.each(ctx, j.Names.StateChanged, func(r *kgo.Record) error {
			a.Transitions++
			t, err := b.writers.Transition(r.Value)
			if err != nil {
				return fmt.Errorf("transition %q: %w", r.Value, err)
			}
			if b.plain[t.Identity] {
				row := t.Identity + " " + t.Primitive
				nth[row]++
				transitions[row+" "+strconv.Itoa(nth[row])] = write(t.Value, t.Confidence,
					exact(t.TS), t.Old.String(), strconv.FormatBool(t.IsNew), t.New.String(), strconv.FormatInt(t.Count, 10))
			}
			return nil
		})
		if err != nil {
			return a, err
		}
		b.first.compare(rows, transitions, &a)
	}
	if c.changelog != nil {
		topic := c.changelog(j)
		if err := b.each(ctx, topic, func(r *kgo.Record) error {
			a.Changes++
			a.ChangelogBytes += int64(len(r.Key) + len(r.Value))
			return nil
		}); err != nil {
			return a, err
		}
		dirs, err := kadm.NewClient(b.client).DescribeAllLogDirs(ctx, nil)
		if err == nil { // the embedded broker has no disk
			dirs.Each(func(d kadm.DescribedLogDir) {
				d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
					if p.Topic == topic {
						a.ChangelogDisk += p.Size
					}
				})
			})
		}
	}
	return a, nil
}

// auditRows counts the rows and what they count, and returns the last of each that
// has to be the same for every contender.
func (b *rig) auditRows(ctx context.Context, j *job, a *audit) (outcome, error) {
	counts, rows := map[string]int64{}, outcome{}
	err := b.each(ctx, j.Names.State, func(r *kgo.Record) error {
		a.RowRecords++
		if r.Value == nil {
			delete(counts, string(r.Key))
			delete(rows, string(r.Key))
			return nil
		}
		row, err := b.writers.StateRow(r.Value)
		if err != nil {
			return fmt.Errorf("state row %q: %w", r.Value, err)
		}
		counts[string(r.Key)] = row.Row.Count
		if !b.plain[row.Identity] && !b.linked[row.Identity] {
			return nil
		}
		changed := ""
		if b.plain[row.Identity] { // what is linked has changed when the link was seen
			changed = exact(row.Row.LastChangeTS)
		}
		rows[string(r.Key)] = write(row.Row.Value, row.Row.Confidence,
			row.Identity, row.Primitive, row.Row.State.String(), strconv.FormatInt(row.Row.Count, 10), exact(row.Row.LastObservationTS), changed)
		return nil
	})
	if err != nil {
		return nil, err
	}
	a.Rows = int64(len(counts))
	for _, n := range counts {
		a.Observations += n
	}
	return rows, nil
}

// each reads a topic from its start to where it is committed now.
func (b *rig) each(ctx context.Context, topic string, do func(*kgo.Record) error) error {
	listed, err := kadm.NewClient(b.client).ListCommittedOffsets(ctx, topic)
	if err != nil {
		return fmt.Errorf("asking for the ends of %s: %w", topic, err)
	}
	left := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	starts := map[int32]kgo.Offset{}
	for p := range left {
		starts[p] = kgo.NewOffset().AtStart()
	}
	if len(left) == 0 {
		return nil
	}
	// Control records are kept: the last offset may be one.
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxBytes(32<<20), kgo.FetchMaxPartitionBytes(8<<20))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := context.WithTimeoutCause(ctx, 5*time.Minute, fmt.Errorf("reading %s took too long", topic))
	defer stop()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reading %s: %w", topic, err)
		}
		var failed error
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() && failed == nil {
				failed = do(r)
			}
			if end, ok := left[r.Partition]; ok && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
		if failed != nil {
			return fmt.Errorf("%s: %w", topic, failed)
		}
	}
	return nil
}

// sizeOf is how many bytes the files of a directory are.
func sizeOf(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}
