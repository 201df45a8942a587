package processor

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// unowned finds tasks that the group has left to nobody.
//
// A cooperative rebalance moves a task in two: in the first its owner is told to
// give it up, and joins again; only the second gives it to somebody else. If the
// owner is a static member that ends in between and is back before its session
// times out, the brokers accept it with what the first one left it, and there is no
// second: a member that comes back is no reason for one (KIP-345). Nor does anybody
// miss the task, but for a copy that was warmed up for it. So whenever a static
// member has joined, its process looks whether the group's assignments have
// all tasks, and asks for a rebalance if they do not, less and less often: the
// leader may have another idea of what a task is.
type unowned struct {
	joins atomic.Uint64 // sessions that have joined the group

	// For the goroutine that looks.
	answered   uint64  // joins after which all tasks were found to have an owner
	tasks      []int32 // without an owner at the last look, ascending
	generation int32   // of the group at that time
	asked      int     // how often the group was asked since it last had an answer
	rest       int     // how many looks are left out until it may be asked again
}

const (
	// ownersInterval is the time between two looks. A task that moves is without
	// an owner for a second or two, until the one that has given it up joins again.
	ownersInterval = 10 * time.Second
	// maxRest bounds unowned.rest, as a power of two: 5 min.
	maxRest = 5
)

// watchOwners looks for tasks without an owner until ctx ends.
func (p *Processor) watchOwners(ctx context.Context) {
	ticks, stop := p.cfg.Clock.NewTicker(ownersInterval)
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			limit, cancel := context.WithTimeout(ctx, sideTimeout)
			if err := p.lookForUnowned(limit); err != nil && ctx.Err() == nil {
				p.log.Debug("looking for tasks that nobody has failed", "error", err)
			}
			cancel()
		}
	}
}

// lookForUnowned looks once, if a member has joined since the last answer. What is without an owner at one
// look may be on its way, so the group is asked to decide again when it is so at
// two in one generation.
func (p *Processor) lookForUnowned(ctx context.Context) error {
	u := &p.unowned
	joins := u.joins.Load()
	if joins == u.answered {
		return nil
	}
	if u.rest > 0 {
		u.rest--
		return nil
	}
	generation := p.generation()
	group, err := p.group(ctx)
	if err != nil {
		return fmt.Errorf("asking group %s who owns the tasks: %w", p.cfg.ApplicationID, err)
	}
	before := u.tasks
	u.tasks = nil
	if group.State != "Stable" {
		return nil // it is deciding
	}
	tasks := p.unownedIn(group)
	switch {
	case len(tasks) == 0:
		u.answered, u.asked = joins, 0
	case !slices.Equal(tasks, before) || generation != u.generation:
		u.tasks, u.generation = tasks, generation
	case p.lookAgain():
		p.log.Warn("the group has left tasks to nobody and was asked to decide again", "tasks", tasks, "generation", generation)
		u.rest = 1 << min(u.asked, maxRest)
		u.asked++
	}
	return nil
}

// unownedIn returns the tasks with a partition that no member of the group has,
// ascending.
func (p *Processor) unownedIn(group kadm.DescribedGroup) []int32 {
	has := make(map[TopicPartition]bool)
	for _, m := range group.Members {
		assigned, ok := m.Assigned.AsConsumer()
		if !ok {
			continue
		}
		for _, t := range assigned.Topics {
			for _, partition := range t.Partitions {
				has[TopicPartition{t.Topic, partition}] = true
			}
		}
	}
	var tasks []int32
	for task := range p.cfg.Partitions {
		if slices.ContainsFunc(p.cfg.topicsOf(task), func(topic string) bool { return !has[TopicPartition{topic, task}] }) {
			tasks = append(tasks, task)
		}
	}
	return tasks
}

// generation returns the last generation of the group that this process has part
// in, -1 for none.
func (p *Processor) generation() int32 {
	generation := int32(-1)
	for _, w := range p.workers {
		generation = max(generation, w.member().Generation)
	}
	return generation
}
