package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/audit"
	"handprint/internal/vectors"
)

// TestConformanceScenarios puts every line of the vectors in at once and
// audits what comes of it.
func TestConformanceScenarios(t *testing.T) {
	for _, file := range vectors.ScenarioFiles {
		t.Run(strings.TrimSuffix(file, ".jsonl"), func(t *testing.T) {
			t.Parallel()
			b := startBroker(t)
			scenarios := vectors.Scenarios(t, file)
			for i := range scenarios {
				s := &scenarios[i]
				t.Run(fmt.Sprintf("%s/%s", s.Where(), s.Case), func(t *testing.T) {
					a := startApp(t, b, fmt.Sprintf("line%d-", s.Number), 3, s.Registry)
					var records []*kgo.Record
					for _, step := range s.Steps {
						if step.Op == "sweep" {
							records = append(records, a.names.Ticks(a.partitions, a.clock)...)
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
