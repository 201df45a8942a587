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
// times out, the brokers let it in with what the first one left it, and there is no
// second: a member that comes back is no reason for one (KIP-345). Nor does anybody
// miss the task, but for a copy that was warmed up for it. So whenever a static member has been let in, its process looks
// whether the group's assignments have all tasks, and asks for a rebalance if
// they do not.
type unowned struct {
	doubts atomic.Uint64 // sessions that the group has let in

	// For the goroutine that looks.
	answered   uint64  // doubts for which all tasks were found to have an owner
	tasks      []int32 // without an owner at the last look, ascending
	generation int32   // of the group at that time
}

// ownersInterval is the time between two looks.
const ownersInterval = 10 * time.Second

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

// lookForUnowned looks once, if there is a doubt. What is without an owner at one
// look may be on its way, so the group is asked to decide again when it is so at
// two in one generation.
func (p *Processor) lookForUnowned(ctx context.Context) error {
	u := &p.unowned
	doubts := u.doubts.Load()
	if doubts == u.answered {
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
		u.answered = doubts
	case slices.Equal(tasks, before) && generation == u.generation:
		p.log.Warn("the group has left tasks to nobody, asking it to decide again", "tasks", tasks, "generation", generation)
		p.lookAgain()
	default:
		u.tasks, u.generation = tasks, generation
	}
	return nil
}

// unownedIn returns the tasks that no member of the group has as a whole, ascending.
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
