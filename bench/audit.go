package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// audit is what a contender has written, read back.
type audit struct {
	Observations int64 // that the rows count, by their last state
	Rows         int64
	RowRecords   int64
	Transitions  int64
	// What is the same for each contender that does the job. Rows of
	// identities with misrouted records are left out, since those overtake
	// each other differently in each run; so are transitions of linked
	// attackers, which depend on when the link was seen.
	RowDigest, TransitionDigest string

	Changes        int64 // records in the changelog
	ChangelogBytes int64 // of their keys and values
	ChangelogDisk  int64 // of its segments
}

// auditOf reads what a contender has written.
func (b *rig) auditOf(ctx context.Context, c *contender, j *job) (a audit, err error) {
	if c.concludes {
		if err := b.auditRows(ctx, j, &a); err != nil {
			return a, err
		}
		var sum digest
		err := b.each(ctx, j.Names.StateChanged, func(r *kgo.Record) error {
			a.Transitions++
			t, err := b.writers.Transition(r.Value)
			if err != nil {
				return fmt.Errorf("transition %q: %w", r.Value, err)
			}
			if b.plain[t.Identity] {
				sum.add(t.Identity, t.Primitive, t.Old.String(), strconv.FormatBool(t.IsNew), t.New.String(), rounded(t.Value),
					number(t.Confidence), strconv.FormatInt(t.Count, 10), number(t.TS))
			}
			return nil
		})
		if err != nil {
			return a, err
		}
		a.TransitionDigest = sum.String()
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

func (b *rig) auditRows(ctx context.Context, j *job, a *audit) error {
	type last struct {
		count int64
		hash  uint64
		plain bool
	}
	rows := map[string]last{}
	err := b.each(ctx, j.Names.State, func(r *kgo.Record) error {
		a.RowRecords++
		if r.Value == nil {
			delete(rows, string(r.Key))
			return nil
		}
		row, err := b.writers.StateRow(r.Value)
		if err != nil {
			return fmt.Errorf("state row %q: %w", r.Value, err)
		}
		l := last{count: row.Row.Count}
		if l.plain = b.plain[row.Identity] || b.linked[row.Identity]; l.plain {
			h := xxhash.New()
			fields := []string{row.Identity, row.Primitive, row.Row.State.String(), rounded(row.Row.Value), number(row.Row.Confidence), number(row.Row.LastObservationTS)}
			if b.plain[row.Identity] { // what is linked has changed when the link was seen
				fields = append(fields, number(row.Row.LastChangeTS))
			}
			for _, f := range fields {
				_, _ = h.WriteString(f)
				_, _ = h.Write([]byte{0})
			}
			l.hash = h.Sum64()
		}
		rows[string(r.Key)] = l
		return nil
	})
	if err != nil {
		return err
	}
	var sum digest
	a.Rows = int64(len(rows))
	for _, l := range rows {
		a.Observations += l.count
		if l.plain {
			sum.add(strconv.FormatUint(l.hash, 16), strconv.FormatInt(l.count, 10))
		}
	}
	a.RowDigest = sum.String()
	return nil
}

// digest is of a multiset: the order in which things are added does not matter.
type digest struct{ sum [4]uint64 }

func (d *digest) add(fields ...string) {
	h := sha256.New()
	for _, f := range fields {
		h.Write([]byte(f))
		h.Write([]byte{0})
	}
	sum := h.Sum(nil)
	for i := range d.sum {
		for k := range 8 {
			d.sum[i] += uint64(sum[8*i+k]) << (8 * k)
		}
	}
}

func (d *digest) String() string {
	var b []byte
	for _, n := range d.sum[:2] {
		for k := range 8 {
			b = append(b, byte(n>>(8*k)))
		}
	}
	return hex.EncodeToString(b)
}

// number is a double without the digits in which libraries differ.
func number(f float64) string { return strconv.FormatFloat(f, 'g', 12, 64) }

// rounded is a value, a number without those digits.
func rounded(value []byte) string {
	if f, err := strconv.ParseFloat(string(value), 64); err == nil {
		return number(f)
	}
	return string(value)
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
