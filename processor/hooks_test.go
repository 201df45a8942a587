package processor

import (
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What the hooks are told adds up to what happened.
func TestHooks(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.feed(testInput, 5, 4)
	var mu sync.Mutex
	var records, changes int64
	outcomes := make(map[Outcome]int)
	phases := make(map[int32][]TaskState)
	refuse := once(3)
	cfg := c.config(newStore(t))
	cfg.MaxBatchRecords = 6
	cfg.Hooks = Hooks{
		Batch: func(r BatchReport) {
			mu.Lock()
			defer mu.Unlock()
			outcomes[r.Outcome]++
			if r.Outcome == Committed {
				records, changes = records+r.Records, changes+r.Changes
				if r.BytesIn == 0 || r.BytesOut == 0 || r.Oldest.IsZero() || len(r.Tasks) == 0 || r.Produced <= r.Changes {
					t.Errorf("a batch without its figures: %+v", r)
				}
			}
		},
		Task: func(r TaskReport) {
			mu.Lock()
			defer mu.Unlock()
			phases[r.Partition] = append(phases[r.Partition], r.State)
		},
	}
	cfg.Fault = func(step Step, _ []int32) error { return nil }
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &emitter{counter{task}, func(*Context, *kgo.Record) error {
			if refuse() {
				return errTest
			}
			return nil
		}}, nil
	}
	p := start(t, cfg)
	c.await(testOutput, 5*4*2)
	p.awaitTasks(testTasks)
	p.halt()
	mu.Lock()
	defer mu.Unlock()
	s := p.Status()
	if records != s.Counters.Records || records != 5*4*2 || changes == 0 {
		t.Errorf("%d records and %d changes were reported, %+v counted", records, changes, s.Counters)
	}
	if outcomes[Aborted] != 1 || outcomes[Unknown] != 0 || int64(outcomes[Committed]) != s.Counters.Commits {
		t.Errorf("outcomes %v, counted %+v", outcomes, s.Counters)
	}
	// The first session may have ended while a task was still on its way.
	next := map[TaskState]TaskState{"": TaskWaiting, TaskWaiting: TaskRestoring, TaskRestoring: TaskRunning, TaskRunning: TaskClosed, TaskClosed: TaskWaiting}
	for task, got := range phases {
		last := TaskState("")
		for _, state := range got {
			if state != next[last] && state != TaskClosed {
				t.Errorf("task %d went through %v", task, got)
			}
			last = state
		}
		if last != TaskClosed || !slices.Contains(got, TaskRunning) {
			t.Errorf("task %d went through %v", task, got)
		}
	}
	if len(s.Members) != 1 || s.Members[0].InstanceID != "one-0" {
		t.Errorf("members %+v", s.Members)
	}
}
