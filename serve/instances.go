package serve

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/schemas"
	"handprint/serve/api"
)

// instances are the processes of the application by their last heartbeats. Its methods
// may be called by several goroutines at the same time.
type instances struct {
	mu     sync.Mutex
	latest map[string]beat // by worker
}

// beat is the last heartbeat of a worker.
type beat struct {
	schemas.Heartbeat
	last  float64 // seconds to the one before; 0: there was none
	every float64 // seconds from one to the next, the shorter of the last two; 0: not known
}

// Bounds of what a topic that somebody else writes to can make.
const (
	maxInstances   = 1000
	maxWorker      = 255 // bytes of a worker's name
	maxVersion     = 100 // bytes
	maxPhase       = 60  // bytes
	maxStuck       = 300 // bytes
	maxStandbys    = 16  // copies of a task that are shown
	maxLeft        = 365 * 24 * 3600.0
	heartbeatsBack = 500 // heartbeats of before that are read at the start
)

const (
	// goneAfter is when an instance that says nothing is not shown any more: four times
	// the usual time between heartbeats. Of one that says something less often it is four
	// times as long as it takes.
	goneAfter = 2 * time.Minute
	// maxEvery is the longest time between heartbeats that may be set.
	maxEvery = time.Hour
)

// take notes a heartbeat of an application that has so many tasks. Of each instance the
// latest counts, and of more instances than there may be the latest ones. One of a time
// that has not come yet is left out.
func (i *instances) take(h schemas.Heartbeat, tasks int32, now time.Time) {
	ahead := float64(now.Add(goneAfter).UnixMilli()) / 1000
	if h.Worker == "" || len(h.Worker) > maxWorker || !(h.TS >= 0 && h.TS <= ahead) {
		return
	}
	h.Version, h.Tasks = cut(h.Version, maxVersion), bounded(h.Tasks, tasks)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.latest == nil {
		i.latest = make(map[string]beat)
	}
	to := beat{Heartbeat: h}
	if was, ok := i.latest[h.Worker]; ok {
		if was.TS > h.TS {
			return
		}
		to.last = h.TS - was.TS
		to.every = to.last
		if was.last > 0 {
			to.every = min(to.last, was.last)
		}
	}
	i.latest[h.Worker] = to
	if len(i.latest) > maxInstances {
		oldest := ""
		for name, b := range i.latest {
			if oldest == "" || b.TS < i.latest[oldest].TS {
				oldest = name
			}
		}
		delete(i.latest, oldest)
	}
}

// bounded returns what a heartbeat may say of tasks: of each one that exists as an owner
// once, and as the keeper of a copy once.
func bounded(beats []schemas.TaskBeat, tasks int32) []schemas.TaskBeat {
	type which struct {
		task int32
		copy bool
	}
	seen := make(map[which]bool)
	var kept []schemas.TaskBeat
	for _, t := range beats {
		at := which{t.Task, isCopy(&t)}
		if t.Task < 0 || t.Task >= tasks || seen[at] {
			continue
		}
		seen[at] = true
		t.Phase, t.Stuck = cut(t.Phase, maxPhase), cut(t.Stuck, maxStuck)
		if !(t.Left >= 0 && t.Left <= maxLeft) {
			t.Left = 0 // not known
		}
		kept = append(kept, t)
	}
	return kept
}

// cut returns the first n bytes of s, in memory of their own.
func cut(s string, n int) string { return strings.Clone(s[:min(len(s), n)]) }

// isCopy reports whether a worker says something of a copy, not of a task that it owns.
func isCopy(t *schemas.TaskBeat) bool { return t.Phase == phaseStandby || t.Phase == phaseWarming }

// gone is how many seconds old the last heartbeat is of an instance that is not shown.
func (b *beat) gone() float64 {
	return max(goneAfter.Seconds(), 4*min(b.every, maxEvery.Seconds()))
}

// owns reports whether the member of the group that has a task is one of a worker's. A
// member is named by its instance id, WORKER-N, or by its member id, which begins with
// its client id, APPLICATION-WORKER-N, and a hyphen.
func owns(owner, worker, application string) bool {
	if n, ok := strings.CutPrefix(owner, worker+"-"); ok && isNumber(n) {
		return true
	}
	rest, ok := strings.CutPrefix(owner, application+"-"+worker+"-")
	n, _, more := strings.Cut(rest, "-")
	return ok && more && isNumber(n)
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// add fills in what heartbeats say of the instances and of the tasks. Of a task only its
// owner in the group says what it does: others may have had it until a moment ago.
func (i *instances) add(h *api.Health, application string, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	h.Instances = []api.Instance{}
	at := float64(now.UnixMilli()) / 1000
	tasks := make(map[int32]*api.Task, len(h.Tasks))
	for n := range h.Tasks {
		tasks[h.Tasks[n].Task] = &h.Tasks[n]
	}
	beats := make([]beat, 0, len(i.latest))
	for name, b := range i.latest {
		switch old := at - b.TS; {
		case old > 4*maxEvery.Seconds():
			delete(i.latest, name)
		case old <= b.gone():
			beats = append(beats, b)
		}
	}
	slices.SortFunc(beats, func(x, y beat) int { return cmp.Compare(x.Worker, y.Worker) })
	for b := range slices.Values(beats) {
		name := Printable([]byte(b.Worker), maxWorker)
		h.Instances = append(h.Instances, api.Instance{Instance: name, Version: Printable([]byte(b.Version), maxVersion), TS: b.TS, Running: b.Running, Restoring: b.Restoring})
		for _, t := range b.Tasks {
			to := tasks[t.Task]
			switch {
			case to == nil:
			case isCopy(&t):
				if len(to.Standbys) < maxStandbys {
					to.Standbys = append(to.Standbys, api.Standby{Instance: name, Phase: t.Phase, Lag: t.Lag})
				}
			case owns(to.Owner, b.Worker, application):
				to.Phase, to.Stuck, to.PhaseTS = Printable([]byte(t.Phase), maxPhase), Printable([]byte(t.Stuck), maxStuck), b.TS
				to.Restore = nil // of a worker whose name is the beginning of this one
				if t.Total > 0 {
					to.Restore = &api.Restore{Done: t.Done, Total: t.Total, Left: t.Left}
				}
			}
		}
	}
}

// The phases of a copy, as heartbeats name them.
const (
	phaseStandby = "standby"
	phaseWarming = "warming up"
)

// hear reads heartbeats until ctx ends.
func (b *brokers) hear(ctx context.Context) {
	client, err := kgo.NewClient(append(b.opts[:len(b.opts):len(b.opts)], kgo.FetchIsolationLevel(kgo.ReadUncommitted()), kgo.FetchMaxBytes(1<<20),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.names.Health: {0: kgo.NewOffset().AtEnd().Relative(-heartbeatsBack)}}))...)
	if err != nil {
		b.log.Warn("heartbeats cannot be read: the phases of tasks are not shown", "error", err)
		return
	}
	defer client.Close()
	failing := false
	for ctx.Err() == nil {
		fetches := client.PollRecords(ctx, heartbeatsBack)
		failed := false
		fetches.EachError(func(_ string, _ int32, err error) {
			if failed = ctx.Err() == nil; failed && !failing {
				b.log.Warn("reading heartbeats is interrupted, trying again", "topic", b.names.Health, "error", err)
			}
		})
		if failing = failed; failing {
			select {
			case <-ctx.Done():
			case <-time.After(healthEvery):
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if h, err := b.writers.Heartbeat(r.Value); err == nil {
				b.instances.take(h, b.partitions, b.now())
			}
		})
	}
}
