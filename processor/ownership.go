package processor

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/processor/assignor"
)

// ownership is what the consumer group has given to one session of a worker.
// The client's callbacks write it, from the client's goroutines and only while
// the worker has no batch (a batch blocks rebalances); the worker
// reads it and starts and ends tasks accordingly.
//
// A task is owned when all of its partitions are. Each time that becomes true
// the task gets a new term, so that a task that went away and came back between
// two looks of the worker is not taken for the one that was there before.
type ownership struct {
	cfg      *Config
	balancer *assignor.Assignor
	watch    *watch
	wake     func() // ends the worker's poll
	onJoined func() // called when the session has become a member of the group

	version atomic.Uint64 // moves with every change below

	mu    sync.Mutex
	terms map[int32]uint64 // owned tasks
	term  uint64           // the last one given out
	// settled has the partitions whose committed offset the client has
	// fetched since they were assigned. It fetches stable offsets only
	// (KIP-447), so nobody has a transaction open any more that could move
	// them.
	settled map[TopicPartition]bool
	// group has the committed offsets of the partitions that are settled; -1: none.
	group map[TopicPartition]int64
	// moved is set when something was taken away. The session then aborts
	// the transaction that ends next, whatever it has read.
	moved bool
	// member is the id in the group that owns all this; "" before there is one.
	// The client joins by itself as another member when the group has thrown it
	// out while it was joining, and says nothing of it but a new assignment
	// (franz-go v1.22.2, handleJoinResp): during a batch not even that.
	// Somebody else may have had the tasks in between, whatever the assignment
	// says. replaced is set when it has happened, or when the member is the same and
	// the group has had a generation without it; see assignor.Assignor.
	member   string
	replaced bool
}

func newOwnership(cfg *Config, b *assignor.Assignor, watch *watch, wake, onJoined func()) *ownership {
	return &ownership{
		cfg: cfg, balancer: b, watch: watch, wake: wake, onJoined: onJoined,
		terms: make(map[int32]uint64), settled: make(map[TopicPartition]bool), group: make(map[TopicPartition]int64),
	}
}

// onAssigned runs after every rebalance, also one that brought nothing. It does
// not rely on having heard of every revocation (the session swallows one that
// comes right after another) but takes the whole assignment from the balancer.
func (o *ownership) onAssigned(_ context.Context, cl *kgo.Client, added map[string][]int32) {
	member, generation := cl.GroupMetadata()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.member == "" {
		o.onJoined()
	}
	o.setMember(member, generation)
	// Nothing of a task may be read before it runs. No fetch of these
	// partitions is under way yet: the client fetches their offsets next.
	cl.PauseFetchPartitions(added)

	readded := make(map[int32]bool)
	for topic, partitions := range added {
		for _, p := range partitions {
			readded[p] = true
			delete(o.settled, TopicPartition{topic, p})
		}
	}
	all := o.balancer.Assigned()
	for p := range o.cfg.Partitions {
		owned := true
		for _, topic := range o.cfg.topicsOf(p) {
			owned = owned && slices.Contains(all[topic], p)
		}
		_, had := o.terms[p]
		switch {
		case !owned:
			delete(o.terms, p)
		case !had || readded[p]:
			o.term++
			o.terms[p] = o.term
		}
	}
	o.changed()
}

// onRevoked runs before partitions are given up. At the end of every group
// session the client also calls it with none, which the session takes for no
// change.
func (o *ownership) onRevoked(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	o.balancer.Join() // always comes next, but only after a batch may have been polled
	if len(gone) > 0 {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.take(gone)
	}
}

// onLost runs when the group has thrown this member out; gone is what it owned.
func (o *ownership) onLost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.member = ""
	o.take(gone)
}

// setMember notes, with mu held, which member of the group owns what there is.
func (o *ownership) setMember(member string, generation int32) {
	o.replaced = o.replaced || o.member != "" && (o.member != member || !o.balancer.HasContinuousMembership(generation))
	o.member = member
}

// isCurrentMember reports whether the tasks belong to this member of the group, and
// have since they were assigned, up to this generation.
func (o *ownership) isCurrentMember(member string, generation int32) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return member != "" && o.member == member && !o.replaced && o.balancer.HasContinuousMembership(generation)
}

// isReplaced reports whether somebody else may have had the tasks since they were
// given to the member that has them.
func (o *ownership) isReplaced() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.replaced
}

// take is called with mu held.
func (o *ownership) take(gone map[string][]int32) {
	for topic, partitions := range gone {
		for _, p := range partitions {
			delete(o.terms, p)
			delete(o.settled, TopicPartition{topic, p})
		}
	}
	o.moved = true
	o.changed()
}

// onOffsets sees the committed offsets that the client has fetched and is about
// to use.
func (o *ownership) onOffsets(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for topic, partitions := range offsets {
		for p, offset := range partitions {
			tp := TopicPartition{topic, p}
			o.settled[tp], o.group[tp] = true, max(offset.EpochOffset().Offset, -1)
			o.watch.reached(tp, max(o.group[tp], 0), -1)
			// Where the task begins to read is for its state to say, when that is
			// restored. The client only has to take the partition for one that it
			// consumes.
			partitions[p] = kgo.NewOffset().At(max(o.group[tp], 0))
		}
	}
	o.changed()
	return offsets, nil
}

// changed is called with mu held.
func (o *ownership) changed() {
	o.version.Add(1)
	o.wake()
}

// owned returns a copy of the terms of the owned tasks.
func (o *ownership) owned() map[int32]uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	terms := make(map[int32]uint64, len(o.terms))
	for p, term := range o.terms {
		terms[p] = term
	}
	return terms
}

// isSettled reports whether the offsets of all of task p's partitions are known.
func (o *ownership) isSettled(p int32) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, topic := range o.cfg.topicsOf(p) {
		if !o.settled[TopicPartition{topic, p}] {
			return false
		}
	}
	return true
}

// groupOffsets returns the group's offsets of what task p reads, by topic; -1 for
// none.
func (o *ownership) groupOffsets(p int32) map[string]int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	offsets := make(map[string]int64)
	for _, topic := range o.cfg.topicsOf(p) {
		offsets[topic] = o.group[TopicPartition{topic, p}]
	}
	return offsets
}

// isTerm reports whether a term of task p goes on.
func (o *ownership) isTerm(p int32, term uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.terms[p] == term
}

// resume lets the client fetch task p's partitions, unless its term is over.
func (o *ownership) resume(cl *kgo.Client, p int32, term uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.terms[p] == term {
		cl.ResumeFetchPartitions(o.partitions(p))
	}
}

// partitions returns what task p reads.
func (o *ownership) partitions(p int32) map[string][]int32 {
	m := make(map[string][]int32)
	for _, topic := range o.cfg.topicsOf(p) {
		m[topic] = []int32{p}
	}
	return m
}

// consumeRevoked reports whether something was taken away since the last call.
func (o *ownership) consumeRevoked() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	moved := o.moved
	o.moved = false
	return moved
}
