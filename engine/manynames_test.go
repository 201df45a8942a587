package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/internal/vectors"
	"handprint/schemas"
)

// suspector is the model of the sweep: by the rows that the world was told of, under
// either rule.
type suspector struct {
	cfg  *Config
	told map[string]attribution.Told
	open map[string]*attribution.OpenSuspicion
}

// tick returns the events of a tick, as the record of each says it in short.
func (m *suspector) tick(t fataler, rows map[string]vectors.Row, now float64) (events []string) {
	alternate, return_, has := map[string][]string{}, map[string][]string{}, map[string]bool{}
	for _, r := range rows {
		has[r.Identity] = true
		if r.State == attribution.MultiActor.String() {
			alternate[r.Identity] = append(alternate[r.Identity], attribution.ShortPrimitive(r.Primitive))
		}
		if r.Returns {
			return_[r.Identity] = append(return_[r.Identity], r.Primitive)
		}
	}
	say := func(id string, status attribution.SuspicionStatus, names []string) {
		events = append(events, fmt.Sprintf("%s %s %q", id, status, names))
	}
	th := &m.cfg.Thresholds
	ids := maps.Clone(has)
	for id := range m.told {
		ids[id] = true
	}
	for id := range m.open {
		ids[id] = true
	}
	for id := range ids {
		slices.Sort(alternate[id])
		slices.Sort(return_[id])
		names := nameable(alternate[id], m.cfg.Registry, th.NamedPrimitives)
		if th.SuspicionRule == attribution.RulePrimitives {
			is := attribution.Told{Names: names, Total: len(alternate[id])}
			send, suspected := attribution.Sweep(is, m.told[id], th)
			if !suspected {
				delete(m.told, id)
			}
			if send {
				m.told[id] = is
				say(id, attribution.SuspicionStatus(fmt.Sprint(is.Total, " primitives flagged multi_actor")), names)
			}
			continue
		}
		// What is named beyond what may be named now goes on to hold.
		e := attribution.Evidence{Alternates: names, Returns: return_[id]}
		if open := m.open[id]; open != nil {
			e.Alternates = slices.DeleteFunc(slices.Clone(alternate[id]), func(name string) bool {
				return !slices.Contains(names, name) && !open.Names(name)
			})
		}
		status, _, err := attribution.Judge(m.open[id], &e, now, func() (bool, error) { return has[id], nil }, m.cfg.Registry, th)
		if err != nil {
			t.Fatal(err)
		}
		if status == "" {
			continue
		}
		if m.open[id] == nil {
			m.open[id] = new(attribution.OpenSuspicion)
		}
		told := &e
		if status == attribution.SuspicionCleared {
			told = e.Among(m.open[id])
		}
		reasons, err := m.open[id].Name(told, m.cfg.Registry, th, func(string, attribution.ReasonKind) ([]attribution.Value, int, error) { return nil, 0, nil })
		if err != nil {
			t.Fatal(err)
		}
		var named []string
		for i := range reasons {
			named = append(named, reasons[i].Primitive)
		}
		if status == attribution.SuspicionCleared {
			delete(m.open, id)
		}
		say(id, status, named)
	}
	slices.Sort(events)
	return events
}

// Random histories of primitives with long names and more made-up names than a suspicion
// names: flags are those of the rows after each tick, and suspicions are those of the
// model, under either rule, while attackers move, transactions fail and tasks start anew.
func TestRandomHistoriesOfManyNames(t *testing.T) {
	registry, err := attribution.NewRegistry([]attribution.Primitive{
		{Name: "t.returns", Kind: attribution.Hash, Returning: true},
		{Name: "t.banner", Kind: attribution.Categorical, Group: "client"},
		{Name: "t.tools", Kind: attribution.Categorical, Group: "commands"},
	})
	if err != nil {
		t.Fatal(err)
	}
	smallSteps(t)
	primitives := registry.Names()
	for _, p := range madeUp {
		primitives = append(primitives, p.Name)
	}
	primitives = append(primitives, "a.made_up", "t.c_made_up", "z.made_up")
	flags, events, unnamed := 0, map[string]int{}, 0
	rapid.Check(t, func(t *rapid.T) {
		thresholds := attribution.DefaultThresholds()
		thresholds.NamedPrimitives = rapid.SampledFrom([]int{2, 3, 1024}).Draw(t, "named")
		thresholds.SuspicionRule = rapid.SampledFrom([]attribution.SuspicionRule{attribution.RuleEvidence, attribution.RulePrimitives}).Draw(t, "rule")
		thresholds.SuspicionQuiet = float64(rapid.SampledFrom([]int{0, 3}).Draw(t, "quiet"))
		sweepNames = rapid.SampledFrom([]int{1, 5, 1000}).Draw(t, "names of a step")
		sweepStep = rapid.SampledFrom([]int{1, 2, 256}).Draw(t, "identities of a step")
		cfg := Config{Thresholds: thresholds, Registry: registry, Partitions: rapid.SampledFrom([]int32{1, 2, 5}).Draw(t, "partitions"), Counters: new(Counters)}
		c := newClusterOf(t, cfg, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "network"), 1)))
		c.crash = 0.05
		model := suspector{cfg: &cfg, told: map[string]attribution.Told{}, open: map[string]*attribution.OpenSuspicion{}}
		attackers := []string{"attacker-0", "attacker-1", "attacker-2"}
		identities := []string{"identity-x", "identity-y", attribution.Stub([]byte(attackers[0])).String()}
		offset, session := int64(0), 0
		input := func(s vectors.Step) {
			offset++
			c.input(&s, offset)
		}
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				e := attribution.IdentityEvent{Type: attribution.Linked, Identity: rapid.SampledFrom(identities).Draw(t, "identity"), Attackers: []string{rapid.SampledFrom(attackers).Draw(t, "attacker")}}
				switch rapid.IntRange(0, 3).Draw(t, "type") {
				case 0:
					e.Type, e.Loser, e.Attackers = attribution.Merged, rapid.SampledFrom(identities).Draw(t, "loser"), nil
				case 1:
					e.Type, e.Loser = attribution.Unmerged, rapid.SampledFrom(identities).Draw(t, "loser")
				}
				if e.Loser != e.Identity {
					input(vectors.Step{Topic: "identity.events", Record: schemas.AppendIdentityEvent(nil, &e)})
				}
			case 1, 2:
				c.settle()
				flags += checkFlags(t, c)
				if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
					c.restart()
				}
				c.events = nil
				c.tick()
				c.settle()
				var got []string
				for _, e := range c.events {
					status := e.Status
					if status == "" {
						status = e.Summary
					}
					events[e.Status]++
					got = append(got, fmt.Sprintf("%s %s %q", e.Identity, status, e.Primitives))
				}
				slices.Sort(got)
				if want := model.tick(t, c.rows, float64(c.sweeps)); !slices.Equal(got, want) {
					t.Fatalf("the tick sends\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				for _, told := range model.told {
					if told.Total > len(told.Names) {
						unnamed++
					}
				}
			default:
				attacker, p := rapid.SampledFrom(attackers).Draw(t, "attacker"), rapid.SampledFrom(primitives).Draw(t, "primitive")
				alternates := rapid.IntRange(0, 3).Draw(t, "alternates") > 0
				for n := range 5 {
					v := n % 2
					if !alternates {
						v = 0
					}
					session++
					input(vectors.Step{Topic: "attacker.observation", Key: attacker, Record: fmt.Appendf(nil,
						`{"attacker_uuid":%q,"primitive":%q,"value":"value %d","ts":%d,"evidence_ref":"%d"}`, attacker, p, v, 1000*session, session)})
				}
			}
		}
		c.settle()
		checkFlags(t, c)
	})
	if testing.Short() {
		return
	}
	for _, status := range []string{"", "raised", "grown", "cleared"} {
		if events[status] < 5 {
			t.Errorf("%d events of status %q: the test tests nothing", events[status], status)
		}
	}
	if flags < 100 || unnamed < 5 {
		t.Errorf("%d flags, %d times more than are named: the test tests nothing", flags, unnamed)
	}
}
