// Package rest tells, from outside, when an application has nothing left to do:
// every record of its inputs, and every command that followed from one, is read
// and committed, and no transaction is open. It knows the application by its
// topics only: the changelog says how far each task has read, whatever processes
// there are and whatever became of the group.
package rest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/processor"
	"handprint/topology"
)

// Watch follows the inputs of one application. Its methods are for one
// goroutine.
type Watch struct {
	name   string
	inputs []string
	all    []string
	admin  *kgo.Client
	tail   *kgo.Client
	adm    *kadm.Client

	changelog string
	state     map[at]int64 // the next offset that the state says
	read      map[at]int64 // how far the tail has come
	want      map[at]int64 // the offset behind the last record that is not a marker
}

type at struct {
	topic     string
	partition int32
}

// New follows the application with this name and these topics, which must exist.
func New(opts []kgo.Opt, name string, names topology.Names) (*Watch, error) {
	w := &Watch{
		name: name, changelog: names.Changelog, state: make(map[at]int64),
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
	w.tail, err = kgo.NewClient(append(append([]kgo.Opt{}, opts...), kgo.ConsumeTopics(append([]string{names.Changelog}, w.inputs...)...), kgo.KeepControlRecords(),
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
// What the state says is read first and the ends of the topics after it, and every
// record before those ends must be before what the state says. A transaction that was
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
			return fmt.Errorf("waiting for %s to be at rest: %s: %w", w.name, why, context.Cause(ctx))
		case <-poll.C:
		}
	}
}

// lookTime bounds one look: a broker that is down must not hold it up for long.
const lookTime = 10 * time.Second

func (w *Watch) look(ctx context.Context) (why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	known, err := w.adm.ListCommittedOffsets(ctx, w.changelog)
	if err == nil {
		err = known.Error()
	}
	if err != nil {
		return "", fmt.Errorf("reading the end of the changelog: %w", err)
	}
	if err := w.follow(ctx, known, w.changelog); err != nil {
		return "", err
	}
	ends, err := w.adm.ListEndOffsets(ctx, w.all...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return "", fmt.Errorf("reading the ends of the topics: %w", err)
	}
	starts, err := w.adm.ListStartOffsets(ctx, w.inputs...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return "", fmt.Errorf("reading the beginnings of the topics: %w", err)
	}
	starts.Each(func(s kadm.ListedOffset) { // what was deleted is to be stepped over
		tp := at{s.Topic, s.Partition}
		w.read[tp], w.want[tp] = max(w.read[tp], s.Offset), max(w.want[tp], s.Offset)
	})
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
	state := maps.Clone(w.state)
	if err := w.follow(ctx, ends, w.inputs...); err != nil {
		return "", err
	}
	left := int64(0)
	for tp, want := range w.want {
		if got := state[tp]; got < want {
			left += want - got
			why = fmt.Sprintf("%d records are left, some of them in %s[%d]", left, tp.topic, tp.partition)
		}
	}
	return why, nil
}

// follow reads these topics up to ends.
func (w *Watch) follow(ctx context.Context, ends kadm.ListedOffsets, topics ...string) error {
	behind := func() (tp at, yes bool) {
		for _, topic := range topics {
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
		var fault error
		fetches.EachRecord(func(r *kgo.Record) {
			tp := at{r.Topic, r.Partition}
			w.read[tp] = r.Offset + 1
			switch {
			case r.Attrs.IsControl():
			case r.Topic != w.changelog:
				w.want[tp] = r.Offset + 1
			case processor.IsPositions(r.Key):
				p, err := processor.DecodePositions(r.Value)
				fault = errors.Join(fault, err)
				for _, in := range p.Inputs {
					w.state[at{in.Topic, r.Partition}] = in.Next
				}
			}
		})
		if fault != nil {
			return fault
		}
	}
}
