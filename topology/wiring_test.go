package topology_test

import (
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/topology"
)

// traffic is a hook of all clients of a run: the topics that records were
// fetched from and produced to.
type traffic struct {
	mu             sync.Mutex
	read, produced map[string]bool
}

func (w *traffic) OnFetchRecordUnbuffered(r *kgo.Record, polled bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read[r.Topic] = w.read[r.Topic] || polled
}

func (w *traffic) OnProduceRecordUnbuffered(r *kgo.Record, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.produced[r.Topic] = w.produced[r.Topic] || err == nil
}

// The edges of the graph are the topics that a run reads and writes: the lab's
// log, whose address with three hands is suspected, a bad record, identity
// events, a restore, a heartbeat, a message on the control topic.
func TestTheGraphSaysWhatARunReadsAndWrites(t *testing.T) {
	t.Parallel()
	keys, values := labCapture(t)
	a := newApp(t, startBroker(t), options{partitions: 4, threads: 1})
	seen := &traffic{read: map[string]bool{}, produced: map[string]bool{}}
	a.config.Runtime.Client = append(slices.Clone(a.config.Runtime.Client), kgo.WithHooks(seen))
	a.start()
	a.putLab(keys, values)
	a.put(
		&kgo.Record{Topic: a.names.Observations, Key: []byte("x"), Value: []byte("no observation")},
		&kgo.Record{Topic: a.names.IdentityEvents, Value: []byte(`{"type":"identity.formed","identity_uuid":"i","observation_uuids":["` + string(keys[0]) + `","` + string(keys[len(keys)-1]) + `"]}`)},
	)
	a.settle()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	a.forget()
	a.open(vfs.NewMem()) // restored from the changelog
	a.start()
	a.putAll(a.names.Ticks(a.partitions, time.Now().Add(2*time.Hour)))
	a.settle()
	if err := a.client.ProduceSync(t.Context(), &kgo.Record{Topic: a.names.Control, Value: []byte(`{"action":"stop"}`)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := <-a.finished; err != nil {
		t.Fatal(err)
	}
	// A restore asks the brokers by itself, past the hook: that the store is
	// full again shows it.
	seen.read[a.names.Changelog] = len(a.dump()) > 0
	if err := a.store.Close(); err != nil {
		t.Fatal(err)
	}

	read, written := map[string]bool{}, map[string]bool{}
	topics, sensors := map[string]bool{}, map[string]bool{}
	g := a.names.Graph()
	for _, n := range g.Nodes {
		topics[n.Name], sensors[n.Name] = n.Kind == "topic", n.Kind == "sensor"
	}
	for _, e := range g.Edges {
		switch {
		case sensors[e.From]: // what others write
		case topics[e.From]:
			read[e.From] = true
		case topics[e.To]:
			written[e.To] = true
		}
	}
	compare := func(what string, edges, run map[string]bool) {
		maps.DeleteFunc(run, func(_ string, did bool) bool { return !did })
		if d, r := slices.Sorted(maps.Keys(edges)), slices.Sorted(maps.Keys(run)); !slices.Equal(d, r) {
			t.Errorf("the graph's edges %s\n%q\nand the run %s\n%q", what, d, what, r)
		}
	}
	compare("read", read, seen.read)
	compare("write", written, seen.produced)
	for _, spec := range a.names.Specs(topology.Layout{Partitions: 4, Replication: 1}) {
		if !topics[spec.Name] {
			t.Errorf("the graph has no topic %s", spec.Name)
		}
	}
}
