package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/audit"
	"handprint/internal/vectors"
	"handprint/state"
	"handprint/topology"
)

// TestConformanceScenarios puts every line of the vectors in at once and
// audits what comes of it.
func TestConformanceScenarios(t *testing.T) {
	t.Parallel()
	for _, file := range vectors.ScenarioFiles {
		t.Run(strings.TrimSuffix(file, ".jsonl"), func(t *testing.T) {
			t.Parallel()
			b := startBroker(t)
			scenarios := vectors.Scenarios(t, file)
			for i := range scenarios {
				s := &scenarios[i]
				t.Run(fmt.Sprintf("%s/%s", s.Where(), s.Case), func(t *testing.T) {
					t.Parallel()
					a := startAppIn(t, b, fmt.Sprintf("line%d-", s.Number), 3, s.Registry, "store", state.Options{FS: vfs.NewMem()}, func(c *topology.Config) {
						c.Engine.Thresholds = s.Thresholds
					})
					var records []*kgo.Record
					for _, step := range s.Steps {
						if step.Op == "sweep" {
							ticks := a.names.Ticks(a.partitions, a.clock)
							if step.TS != 0 {
								ticks = a.names.TicksAt(a.partitions, step.TS)
							}
							records = append(records, ticks...)
							continue
						}
						if step.Op == "restart" {
							continue
						}
						r := &kgo.Record{Topic: a.names.Observations, Key: []byte(step.Key), Value: step.Record}
						if step.Topic == "identity.events" {
							r.Topic = a.names.IdentityEvents
						}
						if step.Type != "" {
							r.Headers = []kgo.RecordHeader{{Key: "type", Value: []byte(step.Type)}}
						}
						records = append(records, r)
					}
					a.put(records...)
					report, err := audit.Run(t.Context(), a.options())
					clean(t, report, err)
					a.stop()
				})
			}
		})
	}
}
