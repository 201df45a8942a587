package processor

import (
	"sync"
	"testing"
	"time"

	"handprint/state"
)

// A process joins whose store is of no use: its copies are of another changelog, or
// older than the deletions. No task moves there before it has another copy.
func TestNoTaskMovesToAStoreThatMustBeRebuilt(t *testing.T) {
	for name, spoil := range map[string]func(*state.Checkpoint){
		"of another topic":          func(cp *state.Checkpoint) { cp.Offset, cp.Identity = 1<<40, "another" },
		"older than deletions":      func(cp *state.Checkpoint) { cp.At = cp.At.Add(-25 * time.Hour) },
		"of a clock that ran ahead": func(cp *state.Checkpoint) { cp.At = cp.At.Add(25 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			cfg := c.config(newStore(t))
			cfg.Standbys, cfg.ChangelogRetention, cfg.AcceptableLag = 1, 24*time.Hour, 10
			one := start(t, cfg)
			c.feed(testInput, 40, 20)
			c.await(testOutput, 2*40*20)
			joins := c.second(t, cfg)
			for task := range int32(testTasks) {
				ends, err := newChangelogReader(c.client, testChangelog, task, 10*time.Millisecond, 1<<20).bounds(c.ctx)
				if err != nil {
					t.Fatal(err)
				}
				cp := state.Checkpoint{Identity: ends.identity, Offset: ends.end, At: time.Now()}
				spoil(&cp)
				if err := joins.Store.Partition(task).Begin().Commit(cp); err != nil {
					t.Fatal(err)
				}
			}
			var mu sync.Mutex
			first := make(map[int32]TaskState)
			joins.Hooks.Task = func(r TaskReport) {
				mu.Lock()
				defer mu.Unlock()
				if _, ok := first[r.Partition]; !ok {
					first[r.Partition] = r.State
				}
			}
			two := start(t, joins)
			two.awaitTasks(testTasks / 2)
			mu.Lock()
			for task, state := range first {
				if state != TaskStandby {
					t.Errorf("task %d came as %s first, before there was a copy", task, state)
				}
			}
			mu.Unlock()
			two.halt()
			one.halt()
			c.checkCounts(40, 20, testInput, testCommands)
		})
	}
}
