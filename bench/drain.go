package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"handprint/bench/internal/proc"
)

// result is what was measured of one contender in one round.
type result struct {
	Name string
	Job  job `json:"-"`

	Wall        time.Duration // from its start to its last commit
	FirstCommit time.Duration // from its start
	CPU         time.Duration // of the contender, until its last commit
	Broker      time.Duration // CPU time of the broker meanwhile; 0: cannot be told
	Memory      int64         // the most it ever held, bytes
	StoreBytes  int64
	Report      *report `json:",omitempty"` // contenders that are this program
	Unbounded   bool    `json:",omitempty"` // there is a memory limit, and no control group that holds it

	Audit audit

	Latency  []time.Duration `json:",omitempty"` // sorted
	Beside   flooding        // beside a flood that nobody reads
	Flooded  flooding        // while one partition is flooded
	Restarts restarts
}

// lookEvery is how often a contender's progress is looked at; figures of time
// are no finer.
const lookEvery = 20 * time.Millisecond

// quiet is how long nothing must be committed before a contender counts as
// done, once it has read all. It is no part of what is measured.
const quiet = 2 * time.Second

// patience is how long a contender may do nothing before it is given up.
const patience = 2 * time.Minute

// drain has a contender work off the backlog.
func (b *rig) drain(ctx context.Context, c *contender, j *job) (res result, err error) {
	res = result{Name: c.name, Job: *j, Unbounded: !b.limit.bounded()}
	look := b.watch(ctx, c, j)
	brokerBefore := proc.Used(b.brokerPID()).CPU
	begin := time.Now()
	r, err := b.start(ctx, c, j)
	if err != nil {
		return res, err
	}
	done := false
	defer func() {
		if !done {
			r.kill()
		}
	}()
	before, err := look()
	if err != nil {
		return res, err
	}
	committed, moved := before, begin
	for {
		select {
		case err := <-r.ended:
			done = true
			return res, fmt.Errorf("%s ended early: %w (see %s)", c.name, err, b.dir)
		case <-ctx.Done():
			return res, ctx.Err()
		case <-time.After(lookEvery):
		}
		now, n := time.Now(), int64(0)
		if n, err = look(); err != nil {
			return res, err
		}
		if n > committed {
			if committed == before {
				res.FirstCommit = now.Sub(begin)
			}
			committed, moved = n, now
			u := proc.Used(r.cmd.Process.Pid)
			res.CPU, res.Memory = u.CPU, max(res.Memory, u.Peak)
			res.Wall, res.Broker = now.Sub(begin), proc.Used(b.brokerPID()).CPU-brokerBefore
			continue
		}
		if now.Sub(moved) > patience {
			return res, fmt.Errorf("%s has done nothing for %s (see %s)", c.name, patience, b.dir)
		}
		if now.Sub(moved) > quiet && committed > before {
			behind, err := b.behind(ctx, j)
			if err != nil {
				return res, err
			}
			if !behind {
				break
			}
		}
	}
	done = true
	out, err := r.stop()
	if err != nil {
		return res, fmt.Errorf("%s: %w (see %s)", c.name, err, b.dir)
	}
	if c.name == j.Contender && len(out) > 0 && out[0] == '{' {
		res.Report = new(report)
		if err := json.Unmarshal([]byte(out), res.Report); err != nil {
			return res, fmt.Errorf("report of %s: %w", c.name, err)
		}
	}
	res.StoreBytes = sizeOf(j.Dir)
	return res, os.MkdirAll(j.Dir, 0o755)
}

// watch returns a function that tells how far the outputs of a contender are
// readable, read committed, over all partitions.
func (b *rig) watch(ctx context.Context, c *contender, j *job) func() (int64, error) {
	topics := []string{j.Names.StateChanged}
	if c.concludes {
		topics = append(topics, j.Names.State)
	}
	admin := kadm.NewClient(b.client)
	return func() (n int64, err error) {
		listed, err := admin.ListCommittedOffsets(ctx, topics...)
		if err != nil {
			return 0, fmt.Errorf("asking for the ends of what %s writes: %w", c.name, err)
		}
		listed.Each(func(o kadm.ListedOffset) { n += max(0, o.Offset) })
		return n, nil
	}
}

// markers is how many offsets may lie behind the last record that a group has
// read: the marks of transactions, one for each of its producers.
const markers = 4

// behind reports whether a contender's group has something left to read: of the
// observations, or of topics of its own that lie between.
func (b *rig) behind(ctx context.Context, j *job) (bool, error) {
	admin := kadm.NewClient(b.client)
	offsets, err := admin.FetchOffsets(ctx, j.Group)
	if err != nil {
		return false, fmt.Errorf("asking for the offsets of %s: %w", j.Group, err)
	}
	topics := []string{j.Names.Observations}
	for topic := range offsets {
		topics = append(topics, topic)
	}
	ends, err := admin.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return false, fmt.Errorf("asking for the ends of what %s reads: %w", j.Group, err)
	}
	behind := false
	ends.Each(func(end kadm.ListedOffset) {
		at, allowed := int64(0), int64(0)
		if o, ok := offsets.Lookup(end.Topic, end.Partition); ok {
			at = max(0, o.At)
		}
		if end.Topic != j.Names.Observations {
			allowed = markers
		}
		behind = behind || end.Offset-at > allowed
	})
	return behind, nil
}

// read is how much of each partition the contender's tasks with state have
// committed as read.
func (b *rig) read(ctx context.Context, c *contender, j *job) (map[int32]int64, error) {
	topic := j.Names.Observations
	if c.stateful != nil {
		topic = c.stateful(j)
	}
	offsets, err := kadm.NewClient(b.client).FetchOffsets(ctx, j.Group)
	if err != nil {
		return nil, fmt.Errorf("asking for the offsets of %s: %w", j.Group, err)
	}
	read := make(map[int32]int64)
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic {
			read[o.Partition] = max(0, o.At)
		}
	})
	return read, nil
}
