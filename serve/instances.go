package serve

import (
	"cmp"
	"context"
	"slices"
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
	latest map[string]schemas.Heartbeat // by worker
}

const (
	// maxInstances bounds what a topic that somebody else writes to can make.
	maxInstances = 1000
	// heartbeatsBack is how many heartbeats of before are read at the start.
	heartbeatsBack = 500
	// goneAfter is when an instance that says nothing is not shown any more: four times
	// the usual time between heartbeats.
	goneAfter = 2 * time.Minute
)

// take notes a heartbeat. Of each instance the latest counts, and of more instances than
// there may be the latest ones.
func (i *instances) take(h schemas.Heartbeat) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.latest == nil {
		i.latest = make(map[string]schemas.Heartbeat)
	}
	if h.Worker == "" || i.latest[h.Worker].TS > h.TS {
		return
	}
	i.latest[h.Worker] = h
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

// add fills in what heartbeats say of the instances and of the tasks. Of a task that two
// instances say they own the group's owner counts, or who said so last.
func (i *instances) add(h *api.Health, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	h.Instances = []api.Instance{}
	since := float64(now.Add(-goneAfter).UnixMilli()) / 1000
	said := make(map[int32]float64)
	beats := make([]schemas.Heartbeat, 0, len(i.latest))
	for name, b := range i.latest {
		if b.TS < since {
			delete(i.latest, name)
			continue
		}
		beats = append(beats, b)
	}
	slices.SortFunc(beats, func(x, y schemas.Heartbeat) int { return cmp.Compare(x.Worker, y.Worker) })
	for b := range slices.Values(beats) {
		h.Instances = append(h.Instances, api.Instance{Instance: Printable([]byte(b.Worker), 200), Version: Printable([]byte(b.Version), 100), TS: b.TS, Running: b.Running, Restoring: b.Restoring})
		for _, t := range b.Tasks {
			at := slices.IndexFunc(h.Tasks, func(x api.Task) bool { return x.Task == t.Task })
			if at < 0 {
				continue
			}
			to := &h.Tasks[at]
			if t.Phase == phaseStandby || t.Phase == phaseWarming {
				to.Standbys = append(to.Standbys, api.Standby{Instance: Printable([]byte(b.Worker), 200), Phase: t.Phase, Lag: t.Lag})
				continue
			}
			if last, ok := said[t.Task]; ok && last >= b.TS {
				continue
			}
			said[t.Task] = b.TS
			to.Phase, to.Stuck, to.PhaseTS, to.Restore = Printable([]byte(t.Phase), 60), Printable([]byte(t.Stuck), 300), b.TS, nil
			if t.Total > 0 {
				to.Restore = &api.Restore{Done: t.Done, Total: t.Total, Left: t.Left}
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
				b.instances.take(h)
			}
		})
	}
}
