package audit_test

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/audit"
	"handprint/schemas"
	"handprint/state"
	"handprint/topology"
)

const testRetention = 48 * time.Hour

func forgetting(c *topology.Config) { c.Engine.Retention = testRetention }

// tickAt makes every task sweep at a time of the observations.
func (a *app) tickAt(ts float64) {
	a.t.Helper()
	a.put(a.names.Ticks(a.partitions, time.UnixMilli(int64(ts*1000)))...)
}

// observedOn is an observation on a day.
func (a *app) observedOn(attacker, primitive, value string, day int, session string) *kgo.Record {
	return &kgo.Record{Topic: a.names.Observations, Key: []byte(attacker), Value: fmt.Appendf(nil,
		`{"attacker_uuid":%q,"primitive":%q,"value":%q,"ts":%d,"evidence_ref":%q}`, attacker, primitive, value, day*86_400+100, session)}
}

// TestRandomHistoriesForget audits applications that forget, round by round and
// all at once; every other one has identity events as well.
func TestRandomHistoriesForget(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	registry := historyRegistry(t)
	total := int64(0)
	for n := range *histories {
		seed := *firstSeed + uint64(n)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			a := startAppIn(t, b, fmt.Sprintf("forget%d.", seed), []int32{1, 3, 8}[r.IntN(3)], registry, "store", state.Options{FS: vfs.NewMem()}, forgetting)
			auditor := a.auditor(a.options())
			const attackers = 30
			events := seed%2 == 0
			g := &generator{Rand: r, app: a, attackers: attackers}
			session, day := 0, 1
			sessions := make(map[string][]string) // by attacker
			for range 6 {
				day += r.IntN(4)
				var list []*kgo.Record
				for range 20 + r.IntN(150) {
					session++
					on := day
					if r.IntN(5) == 0 {
						on = max(0, day-r.IntN(5))
					}
					attacker, of := fmt.Sprint("attacker-", r.IntN(attackers)), fmt.Sprint("session ", session)
					if known := sessions[attacker]; len(known) > 0 && r.IntN(6) == 0 {
						of = known[r.IntN(len(known))] // a replacement, perhaps by an earlier one
					} else {
						sessions[attacker] = append(known, of)
					}
					list = append(list, a.observedOn(attacker, historyKinds[r.IntN(2)].Name, fmt.Sprint("value ", r.IntN(2)), on, of))
					if events && r.IntN(60) == 0 {
						list = append(list, g.event())
					}
					if r.IntN(40) == 0 {
						list = append(list, a.names.Ticks(a.partitions, time.Unix(int64(day)*86_400, 0))...)
					}
				}
				a.put(list...)
				a.tickAt(float64(day) * 86_400)
				report, err := auditor.Advance(t.Context())
				clean(t, report, err)
				total += report.Forgotten
			}
			o := a.options()
			if _, err := audit.Run(t.Context(), o); err != nil { // at rest
				t.Fatal(err)
			}
			a.tickAt(float64(day+2) * 86_400)
			o.Swept = true
			report, err := audit.Run(t.Context(), o)
			clean(t, report, err)
			t.Logf("%d partitions: %d forgotten, %d exact %d chained %d loose of %d rows", a.partitions, report.Forgotten, report.Exact, report.Chained, report.Loose, report.Rows)
			if report.Exact == 0 || report.Loose > 0 && !events {
				t.Errorf("it proves too little: %+v", report)
			}
		})
	}
	if total == 0 {
		t.Error("nothing was forgotten")
	}
}

// TestForgottenIdentityIsAudited takes the word of a changelog that has forgotten
// too early, or not at all, for nothing.
func TestForgottenIdentityIsAudited(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	registry := historyRegistry(t)
	for name, c := range map[string]struct {
		engine, audit time.Duration
		kind          string
	}{
		"as it should be":       {testRetention, testRetention, ""},
		"forgotten too early":   {testRetention, 10 * testRetention, audit.Lost},
		"not forgotten in time": {10 * testRetention, testRetention, audit.Unexpected},
	} {
		t.Run(name, func(t *testing.T) {
			a := startAppIn(t, b, fmt.Sprintf("forgotten%d%d.", c.engine, c.audit), 1, registry, "store", state.Options{FS: vfs.NewMem()}, func(config *topology.Config) { config.Engine.Retention = c.engine })
			a.put(a.observedOn("attacker", historyKinds[0].Name, "v", 1, "1"), a.observedOn("other", historyKinds[0].Name, "v", 5, "1"))
			auditor := a.auditor(a.options())
			if _, err := auditor.Advance(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.tickAt(5 * 86_400)
			o := a.options()
			o.Rules.Retention, o.Swept = c.audit, true
			report, err := audit.Run(t.Context(), o)
			if c.kind == "" {
				clean(t, report, err)
				if report.Forgotten != 1 {
					t.Errorf("%d are forgotten, want 1", report.Forgotten)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Differences) != 1 || report.Differences[0].Kind != c.kind || report.Differences[0].Key != attribution.Stub([]byte("attacker")).String() {
				t.Fatalf("differences %v, want one of kind %s", report.Differences, c.kind)
			}
		})
	}
}

// TestForgottenAttackerComesBack audits what becomes of an attacker that was forgotten
// and whose stub an event names afterwards, in rounds that end at any place, and all at
// once.
func TestForgottenAttackerComesBack(t *testing.T) {
	b := startBroker(t)
	registry := historyRegistry(t)
	stub := attribution.Stub([]byte("attacker")).String()
	merged := attribution.IdentityEvent{Type: attribution.Merged, Identity: "winner", Loser: stub}
	for name, steps := range map[string][]any{
		"its stub is merged, it comes back":                      {1, 10.0, merged, 10, 11},
		"its stub is merged, it stays away":                      {1, 10.0, merged},
		"its stub is merged and unmerged, it comes back":         {1, 10.0, merged, attribution.IdentityEvent{Type: attribution.Unmerged, Identity: "winner", Loser: stub}, 10, 11},
		"its stub is merged, it comes back, they are unmerged":   {1, 10.0, merged, 10, attribution.IdentityEvent{Type: attribution.Unmerged, Identity: "winner", Loser: stub, Attackers: []string{"attacker"}}, 11},
		"its stub is merged, and the winner, it comes back":      {1, 10.0, merged, attribution.IdentityEvent{Type: attribution.Merged, Identity: "other", Loser: "winner"}, 10},
		"its stub wins, it comes back":                           {1, 10.0, attribution.IdentityEvent{Type: attribution.Merged, Identity: stub, Loser: "loser"}, 10},
		"another is linked to its stub, it comes back":           {1, 10.0, attribution.IdentityEvent{Type: attribution.Linked, Identity: stub, Attackers: []string{"other"}}, 10},
		"it is linked, it comes back":                            {1, 10.0, attribution.IdentityEvent{Type: attribution.Linked, Identity: "winner", Attackers: []string{"attacker"}}, 10},
		"it is linked, it stays away":                            {1, 10.0, attribution.IdentityEvent{Type: attribution.Linked, Identity: "winner", Attackers: []string{"attacker"}}},
		"it comes back, its stub is merged":                      {1, 10.0, 10, merged, 11},
		"it comes back and is forgotten, its stub is merged":     {1, 10.0, 10, 20.0, merged, 20, 21},
		"its stub is merged with others, it comes back":          {1, 10.0, attribution.IdentityEvent{Type: attribution.Linked, Identity: stub, Attackers: []string{"other"}}, merged, 10},
		"its stub is merged and it is listed, it comes back":     {1, 10.0, attribution.IdentityEvent{Type: attribution.Merged, Identity: "winner", Loser: stub, Attackers: []string{"attacker"}}, 10},
		"its stub is merged, then it is linked, it comes back":   {1, 10.0, merged, attribution.IdentityEvent{Type: attribution.Linked, Identity: "another", Attackers: []string{"attacker"}}, 10},
		"its stub is merged, it comes back, then it is linked":   {1, 10.0, merged, 10, attribution.IdentityEvent{Type: attribution.Linked, Identity: "another", Attackers: []string{"attacker"}}, 11},
		"its stub is merged while it is there, ticks do nothing": {1, merged, 10.0, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for apart := range 1 << len(steps) { // bit i: a round ends behind step i
				n, whole := bits.OnesCount(uint(apart)), apart == 1<<len(steps)-1
				if n > 1 && !whole && (n > 2 || apart&1 == 0) || n > 0 && !whole && testing.Short() {
					continue // some will do
				}
				a := startAppIn(t, b, fmt.Sprintf("back-%x-%d.", attribution.Stub([]byte(name)), apart), 1, registry, "store", state.Options{FS: vfs.NewMem()}, forgetting)
				auditor := a.auditor(a.options())
				a.put(a.observedOn("other", historyKinds[0].Name, "v", 30, "1"))
				for i, step := range steps {
					switch s := step.(type) {
					case int:
						a.put(a.observedOn("attacker", historyKinds[0].Name, "v", s, fmt.Sprint("session ", i)))
					case float64:
						a.tickAt(s * 86_400)
					case attribution.IdentityEvent:
						a.put(&kgo.Record{Topic: a.names.IdentityEvents, Key: []byte(s.Identity), Value: schemas.AppendIdentityEvent(nil, &s)})
					}
					if _, err := audit.Run(t.Context(), a.options()); err != nil { // at rest
						t.Fatal(err)
					}
					if apart>>i&1 == 1 {
						report, err := auditor.Advance(t.Context())
						if err != nil || !report.OK() {
							t.Fatalf("rounds %b, behind step %d: %v, %v", apart, i, report.Differences, err)
						}
					}
				}
				report, err := auditor.Advance(t.Context())
				if err != nil || !report.OK() {
					t.Fatalf("rounds %b: %v, %v", apart, report.Differences, err)
				}
				a.stop()
			}
		})
	}
}
