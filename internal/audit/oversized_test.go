package audit_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/broker"
	"handprint/internal/unpack"
	"handprint/internal/unpack/unpacktest"
	"handprint/schemas"
	"handprint/state"
	"handprint/topology"
)

// Batches of the input that unpack to too much become one dead letter each, which
// says where they stand, and an audit finds nothing but them missing.
func TestTooLargeBatchesAreDeadLetters(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	limited, err := unpack.Options(limit, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := startAppIn(t, startBroker(t), "large.", 2, attribution.DefaultRegistry(), "store", state.Options{FS: vfs.NewMem()},
		func(c *topology.Config) { c.Runtime.MaxBatchUnpacked = limit })
	o := a.options()
	o.Client = append(o.Client, limited...)
	auditor := a.auditor(o)
	g := &generator{Rand: rand.New(rand.NewPCG(1, 1)), app: a, attackers: 10}
	want := make(map[string]int)
	for range 3 {
		a.put(g.round(50, 3)...)
		for _, b := range []struct {
			topic     string
			partition int32
			records   int
		}{{a.names.Observations, 0, 1}, {a.names.Observations, 1, 100}, {a.names.IdentityEvents, 0, 2}} {
			at, err := unpacktest.Send(t.Context(), a.client, b.topic, b.partition, b.records, limit)
			if err != nil {
				t.Fatal(err)
			}
			want[fmt.Sprintf("%s %d %d %d %d", b.topic, b.partition, at, at+int64(b.records)-1, b.records)]++
		}
		a.put(g.round(50, 3)...)
		report, err := auditor.Advance(t.Context())
		clean(t, report, err)
		if len(report.Notes) < 3 {
			t.Errorf("the audit notes %q", report.Notes)
		}
	}
	got := make(map[string]int)
	scan := func(r *kgo.Record) error {
		text := func(key string) string { v, _ := schemas.Header(r.Headers, key); return string(v) }
		if text(schemas.HeaderStage) == topology.StageBatch {
			got[fmt.Sprintf("%s %s %s %s %s", text(schemas.HeaderSourceTopic), text(schemas.HeaderSourcePartition),
				text(schemas.HeaderSourceOffset), text(schemas.HeaderSourceLastOffset), text(schemas.HeaderSourceRecords))]++
		}
		return nil
	}
	if err := broker.Scan(t.Context(), a.client, scan, a.names.DeadLetter); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("dead letters %v, want %v", got, want)
	}
}
