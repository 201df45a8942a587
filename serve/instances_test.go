package serve

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"handprint/schemas"
	"handprint/serve/api"
)

// heartbeatsAt is the time of the tests of heartbeats.
var heartbeatsAt = time.Unix(1_700_000_000, 0)

// Heartbeats say in which phase each task is, who keeps copies, and who is there.
func TestHeartbeatsSayWhatTasksDo(t *testing.T) {
	t.Parallel()
	now := heartbeatsAt
	var i instances
	i.take(schemas.Heartbeat{Worker: "gone", TS: 1_699_999_000, Tasks: []schemas.TaskBeat{{Task: 0, Phase: "running"}}}, 8, now)
	i.take(schemas.Heartbeat{Worker: "a", TS: 1_699_999_990, Version: "v1", Running: 1, Tasks: []schemas.TaskBeat{{Task: 0, Phase: "running", Lag: 3}, {Task: 1, Phase: "running"}}}, 8, now)
	i.take(schemas.Heartbeat{Worker: "b", TS: 1_699_999_995, Restoring: 1, Tasks: []schemas.TaskBeat{{Task: 1, Phase: "restoring", Done: 5, Total: 20, Left: 7}, {Task: 0, Phase: "standby", Lag: 9}, {Task: 7, Phase: "running"}}}, 8, now)
	i.take(schemas.Heartbeat{Worker: "b", TS: 1, Tasks: []schemas.TaskBeat{{Task: 1, Phase: "old"}}}, 8, now) // it came late
	i.take(schemas.Heartbeat{TS: 1_699_999_999}, 8, now)
	h := api.Health{Tasks: []api.Task{{Task: 0, Owner: "a-0"}, {Task: 1, Owner: "soc-b-1-6f1ed002"}, {Task: 2, Owner: "a-0"}}}
	i.add(&h, "soc", now)
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
		i.take(schemas.Heartbeat{Worker: fmt.Sprint("many", n), TS: 1_699_999_999}, 8, now)
	}
	if len(i.latest) != maxInstances {
		t.Errorf("%d instances are kept", len(i.latest))
	}
}

// Only the owner in the group says in which phase a task is: a worker that was killed
// said that it runs, and another one has it by now.
func TestThePhaseIsTheOwners(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		owner string
		want  bool
	}{
		{"a-0", true}, {"a-17", true}, {"soc-a-0-6f1ed002-9a7c", true},
		{"", false}, {"b-0", false}, {"soc-b-0-6f1ed002", false}, {"a-1-0", false}, {"a-", false}, {"a", false}, {"soc-a-0", false}, {"soc-a-1-0", true}, {"soc-a-x-0", false},
	} {
		var i instances
		i.take(schemas.Heartbeat{Worker: "a", TS: 1_699_999_999, Tasks: []schemas.TaskBeat{{Task: 0, Phase: "running", Stuck: "no", Total: 3}}}, 1, heartbeatsAt)
		h := api.Health{Tasks: []api.Task{{Task: 0, Owner: c.owner}}}
		i.add(&h, "soc", heartbeatsAt)
		if got := h.Tasks[0]; (got.Phase != "") != c.want || (got.Stuck != "") != c.want || (got.Restore != nil) != c.want || (got.PhaseTS != 0) != c.want {
			t.Errorf("owner %q: %+v", c.owner, got)
		}
	}
}

// Whatever a heartbeat says, what is kept and shown of it is bounded, and can be
// written as JSON.
func TestHeartbeatsAreBounded(t *testing.T) {
	t.Parallel()
	var i instances
	long := strings.Repeat("x", 1<<16)
	for _, ts := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 9e12, 1_700_000_000 + 2*goneAfter.Seconds()} {
		i.take(schemas.Heartbeat{Worker: "a", TS: ts}, 2, heartbeatsAt)
	}
	i.take(schemas.Heartbeat{Worker: long, TS: 1_700_000_000}, 2, heartbeatsAt)
	if len(i.latest) != 0 {
		t.Fatalf("%d heartbeats are kept that must not be", len(i.latest))
	}
	for w := range 3 * maxStandbys {
		b := schemas.Heartbeat{Worker: fmt.Sprint("w", w), Version: long, TS: 1_700_000_000}
		for n := range int32(5000) {
			b.Tasks = append(b.Tasks, schemas.TaskBeat{Task: n % 3, Phase: "standby"}, schemas.TaskBeat{Task: n%3 - 1, Phase: long, Stuck: long, Total: 1, Left: []float64{math.NaN(), math.Inf(1), 1e300}[n%3]})
		}
		i.take(b, 2, heartbeatsAt)
		kept := i.latest[b.Worker]
		if len(kept.Tasks) > 4 || len(kept.Version) > maxVersion {
			t.Fatalf("%d tasks, %d bytes of a version are kept", len(kept.Tasks), len(kept.Version))
		}
	}
	h := api.Health{Tasks: []api.Task{{Task: 0, Owner: "w0-0"}, {Task: 1, Owner: "w1-0"}}}
	i.add(&h, "soc", heartbeatsAt)
	text, err := json.Marshal(&h)
	if err != nil || len(text) > 32<<10 || len(h.Tasks[0].Standbys) != maxStandbys || h.Tasks[0].Phase == "" {
		t.Errorf("%d bytes, %d standbys, %v", len(text), len(h.Tasks[0].Standbys), err)
	}
}

// An instance whose heartbeats are far between is shown between them, and one that has
// stopped is not for long.
func TestAnInstanceIsGoneByItsOwnInterval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		at    []float64 // heartbeats, seconds before now
		shown bool
	}{
		{"one", []float64{100}, true}, {"one, long ago", []float64{130}, false}, {"usual", []float64{190, 160, 130}, false},
		{"every 5 minutes", []float64{900, 600, 300}, true}, {"every 5 minutes, gone", []float64{1900, 1600, 1300}, false},
		{"every hour", []float64{7200 + 3500, 3600 + 3500, 3500}, true}, {"a gap", []float64{4000, 3970, 300}, false}, {"of another day", []float64{3 * 86400, 2 * 86400}, false},
	} {
		var i instances
		now := heartbeatsAt
		for _, ago := range c.at {
			at := now.Add(-time.Duration(ago * float64(time.Second)))
			i.take(schemas.Heartbeat{Worker: "a", TS: float64(at.Unix())}, 1, at)
			// What is asked between two heartbeats does not forget the one before.
			i.add(new(api.Health), "soc", at.Add(3*time.Minute))
		}
		var h api.Health
		i.add(&h, "soc", now)
		if (len(h.Instances) == 1) != c.shown {
			t.Errorf("%s: %d instances are shown", c.name, len(h.Instances))
		}
	}
}
