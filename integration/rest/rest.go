// Package rest tells, from outside, when an application has nothing left to do:
// every record of its inputs, and every command that followed from one, is read
// and committed, and no transaction is open. It knows the application by its
// consumer group and topics only, so it works whatever processes there are.
package rest

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/topology"
)

// Watch follows the inputs of one application. Its methods are for one
// goroutine.
type Watch struct {
	group  string
	inputs []string
	all    []string
	admin  *kgo.Client
	tail   *kgo.Client
	adm    *kadm.Client

	read map[at]int64 // how far the tail has come
	want map[at]int64 // the offset behind the last record that is not a marker
}

type at struct {
	topic     string
	partition int32
}

// New follows the application with this consumer group and these topics, which
// must exist.
func New(opts []kgo.Opt, group string, names topology.Names) (*Watch, error) {
	w := &Watch{
		group:  group,
		inputs: []string{names.Observations, names.IdentityEvents, names.Commands},
		read:   make(map[at]int64), want: make(map[at]int64),
	}
	w.all = append(w.all, w.inputs...)
	w.all = append(w.all, names.Changelog, names.State, names.StateChanged, names.MultiActorSuspects, names.IdentityChanged, names.Identities, names.DeadLetter)
	var err error
	if w.admin, err = kgo.NewClient(opts...); err != nil {
		return nil, err
	}
	w.adm = kadm.NewClient(w.admin)
	// Markers stand behind the last record of a topic that is written in
	// transactions; only who reads them too knows that nothing else does.
	w.tail, err = kgo.NewClient(append(append([]kgo.Opt{}, opts...), kgo.ConsumeTopics(w.inputs...), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(250*time.Millisecond))...)
	if err != nil {
		w.admin.Close()
		return nil, err
	}
	return w, nil
}

// Close ends the watch.
func (w *Watch) Close() {
	w.tail.Close()
	w.admin.Close()
}

// Wait returns when the application is at rest. If ctx ends before, the error
// says what it was still waiting for.
//
// The offsets are read first and the ends of the topics after them, and every
// record before those ends must be before those offsets. A transaction that was
// committed in between would have read a record that is not: so there was none,
// and there can be none until somebody puts something in.
func (w *Watch) Wait(ctx context.Context) error {
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		why, err := w.look(ctx)
		if why == "" && err == nil {
			return nil
		}
		if err != nil {
			why = err.Error()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for group %s to be at rest: %s: %w", w.group, why, context.Cause(ctx))
		case <-poll.C:
		}
	}
}

// lookTime bounds one look: a broker that is down must not hold it up for long.
const lookTime = 10 * time.Second

func (w *Watch) look(ctx context.Context) (why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	offsets, err := w.adm.FetchOffsets(kadm.RequireStable(ctx), w.group)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return "", fmt.Errorf("reading the offsets of group %s: %w", w.group, err)
	}
	ends, err := w.adm.ListEndOffsets(ctx, w.all...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return "", fmt.Errorf("reading the ends of the topics: %w", err)
	}
	committed, err := w.adm.ListCommittedOffsets(ctx, w.all...)
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return "", fmt.Errorf("reading the ends of the transactions: %w", err)
	}
	ends.Each(func(e kadm.ListedOffset) {
		if c, _ := committed.Lookup(e.Topic, e.Partition); c.Offset < e.Offset && why == "" {
			why = fmt.Sprintf("a transaction is open over %s[%d] at offset %d of %d", e.Topic, e.Partition, c.Offset, e.Offset)
		}
	})
	if why != "" {
		return why, nil
	}
	if err := w.follow(ctx, ends); err != nil {
		return "", err
	}
	left := int64(0)
	for tp, want := range w.want {
		got := int64(0)
		if o, ok := offsets.Lookup(tp.topic, tp.partition); ok {
			got = max(got, o.At)
		}
		if got < want {
			left += want - got
			why = fmt.Sprintf("%d records are left, some of them in %s[%d]", left, tp.topic, tp.partition)
		}
	}
	return why, nil
}

// follow reads the inputs up to ends.
func (w *Watch) follow(ctx context.Context, ends kadm.ListedOffsets) error {
	behind := func() (tp at, yes bool) {
		for _, topic := range w.inputs {
			for _, e := range ends[topic] {
				if tp := (at{topic, e.Partition}); w.read[tp] < e.Offset {
					return tp, true
				}
			}
		}
		return at{}, false
	}
	for {
		tp, yes := behind()
		if !yes {
			return nil
		}
		fetches := w.tail.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("reading %s[%d] from offset %d: %w", tp.topic, tp.partition, w.read[tp], context.Cause(ctx))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			tp := at{r.Topic, r.Partition}
			w.read[tp] = r.Offset + 1
			if !r.Attrs.IsControl() {
				w.want[tp] = r.Offset + 1
			}
		})
	}
}
