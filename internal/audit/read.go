package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/internal/unpack"
)

// restPause is how long to wait before looking again.
const restPause = 50 * time.Millisecond

// ends says where each partition of each topic ends.
type ends map[string]map[int32]int64

func (a *Auditor) topics() []string {
	n := &a.o.Topics
	return []string{n.Observations, n.IdentityEvents, n.Commands, n.StateChanged, n.MultiActorSuspects, n.IdentityChanged, n.State, n.Identities, n.DeadLetter, n.Changelog}
}

// awaitRest waits until the group has taken all input and all commands and no
// transaction is open, and returns where the topics end then.
func (a *Auditor) awaitRest(ctx context.Context) (ends, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.o.Timeout, fmt.Errorf("%w after %s", ErrNotAtRest, a.o.Timeout))
	defer cancel()
	why := "the brokers did not say in time how far it is"
	for {
		found, moving, err := a.look(ctx)
		if err == nil && moving == "" {
			if err := a.processed(ctx); err != nil {
				return nil, err
			}
			return found, nil
		}
		if err != nil && ctx.Err() == nil {
			moving = err.Error() // a broker may be on its way back
		}
		if moving != "" {
			why = moving
		}
		select {
		case <-time.After(restPause):
		case <-ctx.Done():
			// It waits in vain for what the application will never take.
			limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.o.Timeout)
			defer cancel()
			if err := a.processed(limit); errors.Is(err, ErrOtherTopic) {
				return nil, err
			}
			return nil, fmt.Errorf("waiting for rest: %w: %s", context.Cause(ctx), why)
		}
	}
}

// look returns where the topics end, or what still moves.
func (a *Auditor) look(ctx context.Context) (found ends, moving string, err error) {
	n := &a.o.Topics
	inputs := []string{n.Observations, n.IdentityEvents, n.Commands}
	var taken kadm.OffsetResponses
	if a.o.Group != "" {
		if taken, err = a.adm.FetchOffsets(ctx, a.o.Group); err == nil {
			err = taken.Error()
		}
		if errors.Is(err, kerr.GroupIDNotFound) {
			err = nil // it has taken nothing
		}
		if err != nil {
			return nil, "", fmt.Errorf("asking for the offsets of group %s: %w", a.o.Group, err)
		}
	}
	// What was read is asked for before where the topics end: what is read in between
	// makes the inputs grow, or is not read yet.
	positions, err := a.readPositions(ctx)
	if err != nil {
		return nil, "", err
	}
	a.positions = positions
	if found, err = a.list(ctx, a.adm.ListEndOffsets, a.topics()...); err != nil {
		return nil, "", err
	}
	stable, err := a.list(ctx, a.adm.ListCommittedOffsets, a.topics()...)
	if err != nil {
		return nil, "", err
	}
	for topic, partitions := range found {
		for p, end := range partitions {
			if stable[topic][p] < end {
				return nil, fmt.Sprintf("a transaction is open in %s[%d] at offset %d", topic, p, stable[topic][p]), nil
			}
		}
	}
	if a.o.Group == "" {
		return found, "", nil
	}
	for _, topic := range inputs {
		for p, end := range found[topic] {
			from := int64(0)
			if at := position(positions, topic, p); at != nil {
				from = at.Next // the group may be gone, or have been moved
			} else if o, ok := taken.Lookup(topic, p); ok && o.At > 0 {
				from = o.At
			}
			left := int64(0)
			if from < end {
				if err := a.scan(ctx, func(*kgo.Record) error { left++; return nil }, topic, p, from, end); err != nil {
					return nil, "", err
				}
				for _, b := range a.dropped {
					left += b.Records
				}
				a.dropped = nil
			}
			if left > 0 {
				return nil, fmt.Sprintf("%d records of %s[%d] from offset %d on are not taken yet by group %s", left, topic, p, from, a.o.Group), nil
			}
		}
	}
	// What came meanwhile has outputs of its own.
	again, err := a.list(ctx, a.adm.ListEndOffsets, inputs...)
	if err != nil {
		return nil, "", err
	}
	for _, topic := range inputs {
		if !maps.Equal(found[topic], again[topic]) {
			return nil, fmt.Sprintf("%s grows", topic), nil
		}
	}
	return found, "", nil
}

// scan reads a range, which retention may have taken the beginning of.
func (a *Auditor) scan(ctx context.Context, each func(*kgo.Record) error, topic string, p int32, from, to int64) error {
	var skipped func(unpack.Batch)
	if n := &a.o.Topics; topic == n.Observations || topic == n.IdentityEvents {
		skipped = func(b unpack.Batch) { a.dropped = append(a.dropped, b) }
	}
	return broker.ScanInput(ctx, a.client, each, skipped, topic, p, from, to)
}

type lister func(context.Context, ...string) (kadm.ListedOffsets, error)

func (a *Auditor) list(ctx context.Context, ask lister, topics ...string) (ends, error) {
	listed, err := ask(ctx, topics...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for offsets: %w", err)
	}
	found := make(ends)
	listed.Each(func(o kadm.ListedOffset) {
		if found[o.Topic] == nil {
			found[o.Topic] = make(map[int32]int64)
		}
		found[o.Topic][o.Partition] = o.Offset
	})
	for _, topic := range topics {
		if found[topic] == nil {
			return nil, fmt.Errorf("topic %s is not there", topic)
		}
	}
	return found, nil
}

// read gives each what is new in a topic, partition by partition, in order.
// The next records are fetched while each works.
func (a *Auditor) read(ctx context.Context, topic string, ends map[int32]int64, each func(*kgo.Record) error) error {
	next := a.next[topic]
	if next == nil {
		next = make(map[int32]int64)
		a.next[topic] = next
	}
	if topic == a.o.Topics.Commands {
		// Only claims are of interest, and ticks that suspicions were sent at.
		wanted := make(map[int32]int64)
		if len(a.model.batchClaims) > 0 {
			wanted[0] = ends[0]
		}
		for _, p := range a.tickPartitions() {
			wanted[p] = ends[p]
		}
		if ends = wanted; len(ends) == 0 {
			return nil
		}
	}
	await := func(*kgo.Record) error { return nil }
	if a.o.Schemas != nil && topic != a.o.Topics.Commands && topic != a.o.Topics.Changelog {
		await = func(r *kgo.Record) error { return a.o.Schemas.Await(ctx, r.Value) }
	}
	ctx, cancel := context.WithCancel(ctx)
	ahead := make(chan []*kgo.Record, readAhead)
	done := make(chan error, 1)
	go func() {
		defer close(ahead)
		done <- a.fetch(ctx, topic, next, ends, ahead)
	}()
	var fault error
	for records := range ahead {
		for _, r := range records {
			if fault == nil {
				if fault = await(r); fault == nil {
					fault = each(r)
				}
				if fault != nil {
					cancel()
				}
			}
		}
	}
	err := <-done
	cancel()
	a.wantDropped()
	if fault != nil {
		return fault
	}
	if err == nil {
		maps.Copy(next, ends)
	}
	return err
}

// readAhead is how many chunks of readChunk records are fetched in advance.
const (
	readAhead = 8
	readChunk = 1024
)

func (a *Auditor) fetch(ctx context.Context, topic string, from, to map[int32]int64, ahead chan<- []*kgo.Record) error {
	var chunk []*kgo.Record
	hand := func() error {
		select {
		case ahead <- chunk:
			chunk = nil
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, p := range slices.Sorted(maps.Keys(to)) {
		take := func(r *kgo.Record) error {
			if chunk = append(chunk, r); len(chunk) < readChunk {
				return nil
			}
			return hand()
		}
		next, err := a.deliver(ctx, topic, p, from[p], take)
		if err == nil && next < to[p] {
			err = a.scan(ctx, take, topic, p, next, to[p])
		}
		if err != nil {
			return err
		}
	}
	return hand()
}
