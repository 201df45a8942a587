package serve

import (
	"fmt"
	"testing"
	"time"

	"handprint/schemas"
	"handprint/serve/api"
)

// Heartbeats say in which phase each task is, who keeps copies, and who is there.
func TestHeartbeatsSayWhatTasksDo(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var i instances
	i.take(schemas.Heartbeat{Worker: "gone", TS: 1_699_999_000, Tasks: []schemas.TaskBeat{{Task: 0, Phase: "running"}}})
	i.take(schemas.Heartbeat{Worker: "a", TS: 1_699_999_990, Version: "v1", Running: 1, Tasks: []schemas.TaskBeat{{Task: 0, Phase: "running", Lag: 3}, {Task: 1, Phase: "running"}}})
	i.take(schemas.Heartbeat{Worker: "b", TS: 1_699_999_995, Restoring: 1, Tasks: []schemas.TaskBeat{{Task: 1, Phase: "restoring", Done: 5, Total: 20, Left: 7}, {Task: 0, Phase: "standby", Lag: 9}, {Task: 7, Phase: "running"}}})
	i.take(schemas.Heartbeat{Worker: "b", TS: 1, Tasks: []schemas.TaskBeat{{Task: 1, Phase: "old"}}}) // it came late
	i.take(schemas.Heartbeat{TS: 1_699_999_999})
	h := api.Health{Tasks: []api.Task{{Task: 0}, {Task: 1}, {Task: 2}}}
	i.add(&h, now)
	if len(h.Instances) != 2 || h.Instances[0].Instance != "a" || h.Instances[1].Restoring != 1 {
		t.Errorf("instances %+v", h.Instances)
	}
	zero, one, two := h.Tasks[0], h.Tasks[1], h.Tasks[2]
	if zero.Phase != "running" || len(zero.Standbys) != 1 || zero.Standbys[0] != (api.Standby{Instance: "b", Phase: "standby", Lag: 9}) {
		t.Errorf("task 0: %+v", zero)
	}
	if one.Phase != "restoring" || one.Restore == nil || *one.Restore != (api.Restore{Done: 5, Total: 20, Left: 7}) || one.PhaseTS != 1_699_999_995 {
		t.Errorf("task 1: %+v", one)
	}
	if two.Phase != "" || two.Standbys != nil {
		t.Errorf("task 2: %+v", two)
	}
	for n := range 2 * maxInstances {
		i.take(schemas.Heartbeat{Worker: fmt.Sprint("many", n), TS: 1_699_999_999 + float64(n)})
	}
	if len(i.latest) != maxInstances {
		t.Errorf("%d instances are kept", len(i.latest))
	}
}
