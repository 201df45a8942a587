package audit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/audit"
	"handprint/schemas"
	"handprint/state"
	"handprint/topology"
)

// An attacker that makes up primitives, more than a suspicion names and with names that
// it cuts, hides none that is registered: the sweep counts all, and the audit agrees.
func TestMadeUpPrimitivesAreAudited(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	for _, rule := range []attribution.SuspicionRule{attribution.RuleEvidence, attribution.RulePrimitives} {
		t.Run(rule.String(), func(t *testing.T) {
			a := startAppIn(t, b, fmt.Sprintf("names%d.", rule), 2, historyRegistry(t), "store", state.Options{FS: vfs.NewMem()}, func(c *topology.Config) {
				c.Engine.Thresholds.NamedPrimitives, c.Engine.Thresholds.SuspicionRule = 2, rule
			})
			session := 0
			alternate := func(primitives ...string) {
				for n := range 5 {
					for _, p := range primitives {
						session++
						a.put(&kgo.Record{Topic: a.names.Observations, Key: []byte("attacker"), Value: fmt.Appendf(nil,
							`{"attacker_uuid":"attacker","primitive":%q,"value":"value %d","ts":%d,"evidence_ref":"session %d"}`, p, n%2, 1000+session, session)})
					}
				}
			}
			auditor := a.auditor(a.options())
			for _, names := range [][]string{{madeUpKinds[3].Name, madeUpKinds[4].Name}, {"a.made_up", "z.made_up", madeUpKinds[5].Name}, {"t.first", "t.second"}} {
				alternate(names...)
				a.tick()
				report, err := auditor.Advance(t.Context())
				clean(t, report, err)
			}
			o := a.options()
			o.Swept = true
			report, err := audit.Run(t.Context(), o)
			clean(t, report, err)
			var last attribution.Suspicion
			for _, r := range a.committed(a.names.MultiActorSuspects) {
				if last, err = schemas.DecodeSuspicionJSON(r.Value); err != nil {
					t.Fatal(err)
				}
			}
			cut := 0
			for _, name := range last.Primitives {
				if strings.Contains(name, "~") {
					cut++
				}
			}
			total := 7
			if rule == attribution.RuleEvidence {
				total = 0
			}
			if len(last.Primitives) != 4 || last.Total != total || !slices.Contains(last.Primitives, "t.first") || !slices.Contains(last.Primitives, "t.second") || cut == 0 && rule == attribution.RuleEvidence {
				t.Errorf("the last suspicion is %+v", last)
			}
		})
	}
}
