package topology_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/vectors"
	"handprint/schemas"
	"handprint/state"
)

// fleet is some processes of one application.
type fleet struct {
	*app
	stops map[int]func() error
	disks map[int]vfs.FS
}

// begin starts a process with these thresholds, on the store that it had before.
func (f *fleet) begin(n int, thresholds attribution.Thresholds) {
	f.t.Helper()
	if f.disks[n] == nil {
		f.disks[n] = vfs.NewMem()
	}
	store, err := state.Open("store", state.Options{FS: f.disks[n], CacheBytes: 1 << 20, MemtableBytes: 1 << 20, Logger: logger()})
	if err != nil {
		f.t.Fatal(err)
	}
	c := f.config
	c.Engine.Thresholds, c.Engine.Counters = thresholds, new(engine.Counters)
	c.Runtime.InstanceID, c.Runtime.Store = fmt.Sprint("process-", n), store
	p, err := c.Processor()
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	f.finished = done
	f.stops[n] = func() error {
		cancel()
		err := <-done
		if closed := store.Close(); err == nil {
			err = closed
		}
		return err
	}
	f.t.Cleanup(func() { f.end(n) })
}

func (f *fleet) end(n int) {
	f.t.Helper()
	if stop := f.stops[n]; stop != nil {
		delete(f.stops, n)
		if err := stop(); err != nil {
			f.t.Errorf("process %d ended: %v", n, err)
		}
	}
}

// A threshold is changed process by process, while observations flow. Meanwhile rows
// are concluded by either value. When all processes have the new one, each row is what
// it would be if the new value had held all the time, from the row's next observation
// on; and no transition is missing between two others.
func TestRollingChangeOfAThreshold(t *testing.T) {
	t.Parallel()
	const processes, attackers, partitions = 3, 25, 6
	old := attribution.DefaultThresholds()
	changed := old
	changed.Window, changed.MinObservations, changed.CategoricalMajority = 4, 2, 3
	changed.EWMAAlpha, changed.DriftMeanShift, changed.MultiActorStateCap = 0.5, 0.1, 0.4
	b := startBroker(t)
	play := func(prefix string, first, then attribution.Thresholds) (map[string]vectors.Row, *fleet) {
		f := &fleet{app: newApp(t, b, options{prefix: prefix, partitions: partitions}), stops: make(map[int]func() error), disks: make(map[int]vfs.FS)}
		sent := 0
		observe := func(rounds int) {
			for range rounds {
				for i := range attackers {
					sent++
					attacker := fmt.Sprint("attacker-", i)
					value := fmt.Sprintf(`"v%d"`, sent/(attackers*(2+i%4))%(1+i%3))
					primitive := "ssh.client"
					if i%5 == 0 {
						primitive, value = "keystroke.interval", fmt.Sprint(100+sent%(7+i))
					}
					f.put(&kgo.Record{Topic: f.names.Observations, Key: []byte(attacker), Value: fmt.Appendf(nil,
						`{"attacker_uuid":%q,"primitive":%q,"value":%s,"ts":%d,"evidence_ref":"s%d"}`, attacker, primitive, value, 1_800_000_000+sent, sent)})
				}
			}
		}
		link := func(identity int, members ...int) {
			e := attribution.IdentityEvent{Type: attribution.Formed, Identity: fmt.Sprintf("018f0000-0000-7000-8000-%012d", identity)}
			for _, m := range members {
				e.Attackers = append(e.Attackers, fmt.Sprint("attacker-", m))
			}
			f.put(&kgo.Record{Topic: f.names.IdentityEvents, Value: schemas.AppendIdentityEvent(nil, &e)})
		}
		for n := range processes {
			f.begin(n, first)
		}
		observe(6)
		link(1, 0, 5, 10)
		link(2, 1, 4, 7, 13)
		f.settle()
		for n := range processes {
			f.end(n)
			f.begin(n, then)
			observe(2)
			link(3+n, 2+n)
		}
		f.settle()
		observe(1) // the next observation of each row
		f.settle()
		rows := make(map[string]vectors.Row)
		for _, r := range f.read(f.names.State) {
			if r.Value == nil {
				delete(rows, string(r.Key))
				continue
			}
			rows[string(r.Key)] = vectorRow(t, r)
		}
		return rows, f
	}
	got, rolled := play("rolling.", old, changed)
	want, _ := play("constant.", changed, changed)
	before, _ := play("before.", old, old)
	if reflect.DeepEqual(before, want) {
		t.Error("the thresholds make no difference here")
	}
	if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) || len(want) < attackers/2 {
		t.Fatalf("there are %d rows, want %d", len(got), len(want))
	}
	for key, w := range want {
		g := got[key]
		w.LastChangeTS, g.LastChangeTS = 0, 0 // when the value took hold decides that
		if gj, wj := asJSON(t, g), asJSON(t, w); gj != wj {
			t.Errorf("%s is %s, want %s", key, gj, wj)
		}
	}
	// Each row's transitions are a chain.
	last := make(map[string]string)
	n := 0
	for _, r := range rolled.read(rolled.names.StateChanged) {
		var e struct {
			Identity  string  `json:"identity_uuid"`
			Primitive string  `json:"primitive"`
			Old       *string `json:"old_state"`
			New       string  `json:"new_state"`
		}
		if err := json.Unmarshal(r.Value, &e); err != nil {
			t.Fatal(err)
		}
		key := e.Identity + "/" + e.Primitive
		was, had := last[key]
		if had != (e.Old != nil) || had && *e.Old != was {
			t.Errorf("a transition of %s from %v to %s follows one to %q", key, e.Old, e.New, was)
		}
		last[key] = e.New
		n++
	}
	for key, row := range got {
		if last[key] != row.State {
			t.Errorf("%s is %s, its last transition led to %q", key, row.State, last[key])
		}
	}
	if n < 2*len(got) {
		t.Errorf("%d transitions of %d rows are too few to show anything", n, len(got))
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
