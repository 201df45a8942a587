package topology_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/ingest"
	"handprint/ingest/cowrie"
	"handprint/ingest/cowrie/lab"
	"handprint/internal/broker"
	"handprint/internal/vectors"
	"handprint/schemas"
)

// labCapture returns the observations of the bundled capture, as the sensor
// sends them.
func labCapture(t *testing.T) (keys, values [][]byte) {
	t.Helper()
	adapter, err := cowrie.New(cowrie.DefaultSettings(), func(o ingest.Observation) error {
		keys, values = append(keys, []byte(o.Attacker)), append(values, o.AppendJSON(nil))
		return nil
	}, func(d ingest.DeadLetter) error { return fmt.Errorf("line %d: %s", d.Number, d.Reason) })
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if _, err := log.ReadFrom(lab.Log()); err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(log.Bytes()) {
		if err := adapter.Line(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := adapter.Close(); err != nil {
		t.Fatal(err)
	}
	return keys, values
}

// putLab puts the observations in once more, and a tick for each task.
func (a *app) putLab(keys, values [][]byte) {
	a.t.Helper()
	records := make([]*kgo.Record, len(keys))
	for i := range keys {
		records[i] = &kgo.Record{Topic: a.names.Observations, Key: keys[i], Value: values[i]}
	}
	a.putAll(records)
	a.settle()
	a.putAll(a.names.Ticks(a.partitions, time.Now().Add(time.Hour)))
	a.settle()
}

// dump is all that the tasks keep.
func (a *app) dump() map[string]string {
	a.t.Helper()
	all := make(map[string]string)
	for p := range a.partitions {
		txn := a.store.Partition(p).Begin()
		err := txn.Scan(nil, nil, func(k, v []byte) bool {
			all[fmt.Sprintf("%d %q", p, k)] = string(v)
			return true
		})
		if txn.Discard(); err != nil {
			a.t.Fatal(err)
		}
	}
	return all
}

// Reading a log again sends no event and no row, also when the store was lost
// in between and was read back from its changelog.
func TestTheSameInputAgainChangesNothing(t *testing.T) {
	t.Parallel()
	keys, values := labCapture(t)
	a := newApp(t, startBroker(t), options{partitions: 4, threads: 2})
	a.config.Runtime.StaticMembership = true
	a.start()
	a.putLab(keys, values)
	first := a.read(a.outputs()...)
	if len(first) < 100 {
		t.Fatalf("the capture leads to %d records: it tests nothing", len(first))
	}
	a.putLab(keys, values)
	checkSame(t, "the second time", first, a.read(a.outputs()...))
	if err := a.stopRunning(); err != nil {
		t.Fatal(err)
	}
	before := a.dump()
	if err := a.store.Close(); err != nil {
		t.Fatal(err)
	}

	a.open(vfs.NewMem())
	a.start()
	a.putAll(a.names.Ticks(a.partitions, time.Now().Add(2*time.Hour))) // changes nothing, but shows that it is restored
	a.settle()
	if err := a.stopRunning(); err != nil {
		t.Fatal(err)
	}
	after := a.dump()
	for _, k := range slices.Sorted(maps.Keys(before)) {
		if after[k] != before[k] {
			t.Errorf("record %s was %x, and is %x after its store was lost", k, before[k], after[k])
		}
		delete(after, k)
	}
	for k := range after {
		t.Errorf("record %s has come back", k)
	}
	a.start()
	a.putLab(keys, values)
	checkSame(t, "after the store was lost", first, a.read(a.outputs()...))
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
}

func checkSame(t *testing.T, when string, want, got []*kgo.Record) {
	t.Helper()
	if len(got) != len(want) {
		for _, r := range got {
			if !slices.ContainsFunc(want, func(w *kgo.Record) bool {
				return w.Topic == r.Topic && w.Partition == r.Partition && w.Offset == r.Offset
			}) {
				t.Fatalf("%s: %d records more, first %s %s", when, len(got)-len(want), r.Topic, r.Value)
			}
		}
	}
}

// What is concluded depends on the observations of each attacker and their
// order, not on how attackers take turns. Half of them are alone, the others
// belong to one identity: there only last_change_ts, which tells when a state
// was entered, depends on what came when.
func TestTurnsOfAttackersDoNotMatter(t *testing.T) {
	t.Parallel()
	registry, err := attribution.NewRegistry(historyKinds)
	if err != nil {
		t.Fatal(err)
	}
	b := startBroker(t)
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 5))
		attackers := make([][]*kgo.Record, 8)
		var all []string
		for i := range attackers {
			name := fmt.Sprintf("attacker-%d", i)
			all = append(all, name)
			for range 5 + r.IntN(25) {
				p := historyKinds[r.IntN(len(historyKinds))]
				value := fmt.Sprintf(`"value %d"`, r.IntN(3))
				if p.Kind == attribution.Numeric {
					value = fmt.Sprint(r.IntN(100))
				}
				// The ts of two attackers are never the same: then arrival decides.
				attackers[i] = append(attackers[i], &kgo.Record{Key: []byte(name), Value: observationText(name,
					fmt.Sprintf(`,"primitive":%q,"value":%s,"ts":%d,"evidence_ref":"e%d"`, p.Name, value, 10*r.IntN(10_000)+i, r.IntN(20)))})
			}
		}
		var want map[string]vectors.Row
		for turn, partitions := range []int32{1, 3, 3} {
			got := rowsOf(t, b, registry, fmt.Sprintf("turn%d-%d-", seed, turn), partitions, all, inTurns(r, attackers))
			if turn == 0 {
				want = got
				continue
			}
			if diff := vectors.DiffRows(slices.Collect(maps.Values(want)), slices.Collect(maps.Values(got))); diff != "" {
				t.Errorf("seed %d, with %d partitions: %s", seed, partitions, diff)
			}
		}
	}
}

// inTurns mixes the attackers' records, each attacker's in their order.
func inTurns(r *rand.Rand, attackers [][]*kgo.Record) []*kgo.Record {
	left := make([][]*kgo.Record, len(attackers))
	copy(left, attackers)
	var mixed []*kgo.Record
	for {
		left = slices.DeleteFunc(left, func(l []*kgo.Record) bool { return len(l) == 0 })
		if len(left) == 0 {
			return mixed
		}
		i := r.IntN(len(left))
		next := *left[i][0]
		mixed, left[i] = append(mixed, &next), left[i][1:]
	}
}

const together = "identity-of-half"

func rowsOf(t *testing.T, b *broker.Embedded, registry *attribution.Registry, prefix string, partitions int32, attackers []string, records []*kgo.Record) map[string]vectors.Row {
	t.Helper()
	a := newApp(t, b, options{prefix: prefix, partitions: partitions, registry: registry})
	a.start()
	formed := attribution.IdentityEvent{Type: attribution.Formed, Identity: together, Attackers: attackers[:len(attackers)/2]}
	a.put(&kgo.Record{Topic: a.names.IdentityEvents, Value: schemas.AppendIdentityEvent(nil, &formed)})
	a.settle()
	for _, r := range records {
		r.Topic = a.names.Observations
	}
	a.putAll(records)
	a.settle()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]vectors.Row)
	for _, r := range a.read(a.names.State) {
		row := vectorRow(t, r)
		if row.Identity == together {
			row.LastChangeTS = 0
		}
		rows[string(r.Key)] = row
	}
	return rows
}
