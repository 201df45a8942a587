package engine

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/internal/vectors"
	"handprint/schemas"
)

// What is concluded and sent does not follow from how much memory there is for unions: two
// applications take the same history, with transactions that fail at the same places, of
// which one has room for all and the other for little or nothing.
func TestLittleMemoryForUnionsChangesNothing(t *testing.T) {
	smallSteps(t)
	fewer, shrunk := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		h := drawUnionHistory(t)
		want, _ := h.play(t, NewUnionMemory(1<<30), true)
		little := NewUnionMemory(rapid.SampledFrom([]int{0, 3000, 6000, 12_000, 30_000, 1 << 30}).Draw(t, "room"))
		got, less := h.play(t, little, false)
		shrunk += less
		if len(got.log) != len(want.log) {
			t.Fatalf("%d events and tombstones are sent with little memory, want %d", len(got.log), len(want.log))
		}
		for i := range want.log {
			if a, b := asJSON(t, want.log[i]), asJSON(t, got.log[i]); a != b {
				t.Fatalf("with little memory record %d is\n%s, want\n%s", i, b, a)
			}
		}
		if diff := vectors.DiffRows(want.allRows(), got.allRows()); diff != "" {
			t.Fatal(diff)
		}
		held := func(c *cluster) (n int) {
			for _, e := range c.tasks {
				n += len(e.unions.rows)
			}
			return n
		}
		if held(got) < held(want) {
			fewer++
		}
	})
	if !testing.Short() && (fewer == 0 || shrunk == 0) {
		t.Errorf("fewer unions were held in %d histories, and remembered less %d times: the test tests nothing", fewer, shrunk)
	}
}

func asJSON(t *rapid.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// unionHistory is a history of a few identities of several attackers.
type unionHistory struct {
	partitions int32
	seed       uint64
	retention  time.Duration
	attackers  int
	steps      []unionStep
}

type unionStep struct {
	Kind, Primitive, Value, Evidence string
	Attacker, Identity, Ago          int
}

func (h *unionHistory) attacker(i int) string { return fmt.Sprint("203.0.113.", i) }

func (h *unionHistory) identity(i int) string { return []string{"identity-x", "identity-y"}[i] }

func drawUnionHistory(t *rapid.T) *unionHistory {
	h := &unionHistory{
		partitions: rapid.SampledFrom([]int32{1, 3}).Draw(t, "partitions"),
		seed:       rapid.Uint64().Draw(t, "network"),
		retention:  rapid.SampledFrom([]time.Duration{0, 24 * time.Hour}).Draw(t, "retention"),
		attackers:  rapid.SampledFrom([]int{3, 12, 24}).Draw(t, "attackers"),
	}
	values := rapid.SampledFrom([]int{1, 1, 5, 60}).Draw(t, "values")
	kinds := []string{"shrink", "shrink", "merge", "unmerge", "link", "tick", "restart"}
	for range 30 {
		kinds = append(kinds, "observe", "observe", "observe", "deliver")
	}
	h.steps = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) unionStep {
		s := unionStep{
			Kind:      rapid.SampledFrom(kinds).Draw(t, "kind"),
			Primitive: rapid.SampledFrom([]string{"toolchain.ssh.hassh_client", "toolchain.ssh.hassh_client", "toolchain.ssh.hassh_client", "toolchain.c2.beacon_interval_ms", "x.text"}).Draw(t, "primitive"),
			Attacker:  rapid.IntRange(0, h.attackers-1).Draw(t, "attacker"),
			Identity:  rapid.IntRange(0, 1).Draw(t, "identity"),
			Ago:       rapid.SampledFrom([]int{0, 0, 0, 0, 1, 100, 50_000, 90_000, 200_000}).Draw(t, "ago"),
			Evidence:  rapid.SampledFrom([]string{"", "a", "a", "b"}).Draw(t, "evidence"),
		}
		v := rapid.IntRange(0, values).Draw(t, "value")
		if s.Value = fmt.Sprintf(`"%032x"`, v); s.Primitive == "toolchain.c2.beacon_interval_ms" {
			s.Value = fmt.Sprint(1 + v)
		}
		return s
	}), 20, 500).Draw(t, "history")
	return h
}

// play plays the history, and returns how many times a union remembered less because the
// history said so.
func (h *unionHistory) play(t *rapid.T, memory *UnionMemory, remembersAll bool) (c *cluster, shrunk int) {
	cfg := testConfig(h.partitions)
	cfg.Unions, cfg.Retention = memory, h.retention
	cfg.Thresholds.Window, cfg.Thresholds.MinObservations, cfg.Thresholds.CategoricalMajority = 2, 2, 2
	c = newClusterOf(t, cfg, rand.New(rand.NewPCG(h.seed, 1)))
	c.crash = 0.03
	offset := int64(0)
	give := func(s vectors.Step) {
		offset++
		c.input(&s, offset)
	}
	event := func(e attribution.IdentityEvent) {
		give(vectors.Step{Topic: "identity.events", Record: schemas.AppendIdentityEvent(nil, &e)})
	}
	for i := range h.attackers {
		event(attribution.IdentityEvent{Type: attribution.Linked, Identity: h.identity(i % 4 / 3), Attackers: []string{h.attacker(i)}})
	}
	for n := range h.steps {
		now := 1_700_000_000 + 1000*n
		switch s := &h.steps[n]; s.Kind {
		case "observe":
			evidence := s.Evidence
			if evidence == "" {
				evidence = fmt.Sprint(n)
			}
			give(vectors.Step{Topic: "attacker.observation", Key: h.attacker(s.Attacker), Record: fmt.Appendf(nil,
				`{"attacker_uuid":%q,"primitive":%q,"value":%s,"ts":%d,"evidence_ref":%q}`, h.attacker(s.Attacker), s.Primitive, s.Value, now-s.Ago, evidence)})
		case "merge", "unmerge":
			e := attribution.IdentityEvent{Type: attribution.Merged, Identity: h.identity(s.Identity), Loser: h.identity(1 - s.Identity)}
			if s.Kind == "unmerge" {
				e.Type, e.Attackers = attribution.Unmerged, []string{h.attacker(s.Attacker)}
			}
			event(e)
		case "link":
			event(attribution.IdentityEvent{Type: attribution.Linked, Identity: h.identity(s.Identity), Attackers: []string{h.attacker(s.Attacker)}})
		case "tick":
			c.tickAt(float64(now))
		case "restart":
			c.restart()
		case "shrink":
			if remembersAll {
				break
			}
			for _, e := range c.tasks {
				for e.unions.shrinkAny() {
					shrunk++
				}
			}
		case "deliver":
			for range 40 {
				if !c.step() {
					break
				}
			}
		}
	}
	c.settle()
	return c, shrunk
}
