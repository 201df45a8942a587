package audit_test

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
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
		"its stub wins over nobody and is forgotten":             {1, attribution.IdentityEvent{Type: attribution.Merged, Identity: stub, Loser: "nobody"}, 10.0, 10, 20.0},
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

// TestEventsThatNameAStub audits whether a tick forgets a stub after events, taken in
// one round or each in a round of its own. Where they have named it, a changelog that
// has forgotten it nevertheless is wrong.
func TestEventsThatNameAStub(t *testing.T) {
	b := startBroker(t)
	registry := historyRegistry(t)
	type events = []attribution.IdentityEvent
	own := stub("attacker")
	link := func(to, attacker string) attribution.IdentityEvent {
		return attribution.IdentityEvent{Type: attribution.Linked, Identity: to, Attackers: []string{attacker}}
	}
	merge := func(winner, loser string) attribution.IdentityEvent {
		return attribution.IdentityEvent{Type: attribution.Merged, Identity: winner, Loser: loser}
	}
	unmerge := func(winner, loser string) attribution.IdentityEvent {
		return attribution.IdentityEvent{Type: attribution.Unmerged, Identity: winner, Loser: loser}
	}
	for name, c := range map[string]struct {
		events events
		named  bool
	}{
		"listed":                             {events{link(own, "attacker")}, true},
		"unmerged":                           {events{unmerge("winner", own)}, true},
		"another comes":                      {events{link(own, "other")}, true},
		"another comes and goes":             {events{link(own, "other"), link("elsewhere", "other")}, true},
		"another's stub is merged into it":   {events{merge(own, stub("other"))}, true},
		"another comes by a merge":           {events{link("loser", "other"), merge(own, "loser")}, true},
		"another comes by a merge and goes":  {events{link("loser", "other"), merge(own, "loser"), link("elsewhere", "other")}, true},
		"one never seen comes and goes":      {events{link(own, "never"), link("elsewhere", "never")}, true},
		"formed of nobody":                   {events{{Type: attribution.Formed, Identity: own}}, false},
		"it wins over nobody":                {events{merge(own, "nobody")}, false},
		"it wins over one never seen":        {events{merge(own, stub("never"))}, false},
		"it wins over nobody, is unmerged":   {events{merge(own, "nobody"), unmerge(own, "nobody")}, false},
		"it wins over one who has left":      {events{link("loser", "other"), link("elsewhere", "other"), merge(own, "loser")}, false},
		"it wins over nobody, another comes": {events{merge(own, "nobody"), link("nobody", "other")}, true},
	} {
		for _, apart := range []bool{false, true} {
			t.Run(fmt.Sprint(name, apart), func(t *testing.T) {
				t.Parallel()
				a := startAppIn(t, b, fmt.Sprintf("names-%x-%v.", attribution.Stub([]byte(name)), apart), 1, registry, "store", state.Options{FS: vfs.NewMem()}, forgetting)
				auditor := a.auditor(a.options())
				a.put(a.observedOn("attacker", historyKinds[0].Name, "v", 1, "1"), a.observedOn("other", historyKinds[1].Name, "v", 30, "1"))
				advance := func() audit.Report {
					t.Helper()
					report, err := auditor.Advance(t.Context())
					return clean(t, report, err)
				}
				advance()
				for _, e := range c.events {
					a.put(&kgo.Record{Topic: a.names.IdentityEvents, Key: []byte(e.Identity), Value: schemas.AppendIdentityEvent(nil, &e)})
					if apart {
						advance()
					}
				}
				advance()
				a.tickAt(10 * 86_400)
				if report, want := advance(), map[bool]int64{false: 1}[c.named]; report.Forgotten != want {
					t.Errorf("%d are forgotten, want %d", report.Forgotten, want)
				}
				a.stop()
				if c.named {
					a.forgetInChangelog(own)
					report, err := auditor.Advance(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if !slices.ContainsFunc(report.Differences, func(d audit.Difference) bool {
						return d.Kind == audit.Lost && d.Key == own && strings.Contains(d.Detail, "which an identity event has named")
					}) {
						t.Errorf("differences %v: want one that the stub is forgotten, which was named", report.Differences)
					}
				}
			})
		}
	}
}

// TestForgottenAttackerComesBackToOthers lets an attacker come back to its stub, which
// another belongs to since. Both make the same row, and the other's observation is the
// first in the input but goes through the commands, so its home takes it last.
func TestForgottenAttackerComesBackToOthers(t *testing.T) {
	t.Parallel()
	a := startAppIn(t, startBroker(t), "others.", 2, historyRegistry(t), "store", state.Options{FS: vfs.NewMem()}, forgetting)
	auditor := a.auditor(a.options())
	var names [2]string // by partition
	for i := 0; names[0] == "" || names[1] == ""; i++ {
		name := fmt.Sprint("attacker-", i)
		names[attribution.AttackerPartition(name, 2)] = name
	}
	other, attacker := names[0], names[1]
	advance := func() audit.Report {
		t.Helper()
		report, err := auditor.Advance(t.Context())
		return clean(t, report, err)
	}
	a.put(a.observedOn(attacker, historyKinds[0].Name, "v", 1, "1"), a.observedOn(other, historyKinds[1].Name, "v", 30, "1"))
	advance()
	a.tickAt(10 * 86_400)
	if n := advance().Forgotten; n != 1 {
		t.Fatalf("%d are forgotten, want 1", n)
	}
	e := attribution.IdentityEvent{Type: attribution.Linked, Identity: stub(attacker), Attackers: []string{other}}
	a.put(&kgo.Record{Topic: a.names.IdentityEvents, Key: []byte(e.Identity), Value: schemas.AppendIdentityEvent(nil, &e)})
	advance()
	a.put(a.observedOn(other, historyKinds[0].Name, "v", 30, "2"), a.observedOn(attacker, historyKinds[0].Name, "v", 30, "2"))
	if n := advance().Forgotten; n != 0 {
		t.Errorf("%d are forgotten, want none", n)
	}
}

// TestForgottenAttackerOfTwoPartitions audits an attacker one of whose observations comes
// to its home and another through another partition, whose records the audit reads first.
// The task takes the one before a tick and the other behind it.
func TestForgottenAttackerOfTwoPartitions(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	registry := historyRegistry(t)
	var keys [2]string // by partition
	for i := 0; keys[0] == "" || keys[1] == ""; i++ {
		key := fmt.Sprint("attacker-", i)
		keys[attribution.AttackerPartition(key, 2)] = key
	}
	attacker := keys[1]
	type seen struct {
		through   int // a partition
		primitive string
		day       int
	}
	one, two := historyKinds[0].Name, historyKinds[1].Name
	listed := attribution.IdentityEvent{Type: attribution.Linked, Identity: stub(attacker), Attackers: []string{attacker}}
	for name, c := range map[string]struct {
		steps     []any // observations, days of ticks, events
		forgotten int64 // surely
		stays     bool  // an event has named it
	}{
		"nothing ends it":                        {[]any{seen{1, one, 10}, seen{0, one, 10}}, 0, false},
		"nothing ends it, another primitive":     {[]any{seen{1, one, 10}, seen{0, two, 10}}, 0, false},
		"a tick does not":                        {[]any{seen{1, one, 10}, 10, seen{0, one, 10}}, 0, false},
		"an old one comes late":                  {[]any{seen{1, one, 10}, seen{0, one, 1}, 10}, 0, false},
		"an old one comes late, of another kind": {[]any{seen{1, one, 10}, seen{0, two, 1}, 10}, 0, false},
		"it ends":                                {[]any{seen{0, one, 1}, 10, seen{1, one, 10}}, 0, false},
		"it ends, another primitive":             {[]any{seen{0, one, 1}, 10, seen{1, two, 10}}, 0, false},
		"it ends, and both come again":           {[]any{seen{0, one, 1}, seen{1, one, 1}, 10, seen{1, two, 10}, seen{0, two, 10}}, 1, false},
		"it ends, and an old one comes late":     {[]any{seen{1, one, 1}, 10, seen{1, one, 10}, seen{0, two, 1}}, 1, false},
		"it is listed":                           {[]any{listed, seen{1, one, 10}, seen{0, one, 10}}, 0, true},
		"it is listed, and an old one is late":   {[]any{listed, seen{1, one, 10}, seen{0, two, 1}, 10}, 0, true},
		"it is listed afterwards":                {[]any{seen{1, one, 10}, seen{0, two, 1}, 10, listed}, 0, true},
	} {
		for _, apart := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", apart ", apart), func(t *testing.T) {
				t.Parallel()
				a := startAppIn(t, b, fmt.Sprintf("two-%x-%v.", attribution.Stub([]byte(name)), apart), 2, registry, "store", state.Options{FS: vfs.NewMem()}, forgetting)
				auditor := a.auditor(a.options())
				forgotten := int64(0)
				advance := func() {
					t.Helper()
					report, err := auditor.Advance(t.Context())
					forgotten += clean(t, report, err).Forgotten
				}
				for i, step := range c.steps {
					switch s := step.(type) {
					case seen:
						r := a.observedOn(attacker, s.primitive, "v", s.day, fmt.Sprint("session ", i))
						r.Key = []byte(keys[s.through])
						a.put(r)
					case int:
						a.tickAt(float64(s) * 86_400)
					case attribution.IdentityEvent:
						a.put(&kgo.Record{Topic: a.names.IdentityEvents, Key: []byte(s.Identity), Value: schemas.AppendIdentityEvent(nil, &s)})
					}
					if _, err := audit.Run(t.Context(), a.options()); err != nil { // at rest
						t.Fatal(err)
					}
					if apart {
						advance()
					}
				}
				advance()
				if forgotten < c.forgotten {
					t.Errorf("%d are forgotten, want %d", forgotten, c.forgotten)
				}
				a.tickAt(40 * 86_400)
				advance()
				if !c.stays && forgotten < c.forgotten+1 || c.stays && forgotten > 0 {
					t.Errorf("%d are forgotten at the end, want %d and the end of it (%v)", forgotten, c.forgotten, !c.stays)
				}
				whole, err := audit.Run(t.Context(), a.options())
				clean(t, whole, err)
			})
		}
	}
}

// forgetInChangelog writes a tombstone of a stub's record into the changelog, in
// which only the one partition is.
func (a *app) forgetInChangelog(stub string) {
	a.t.Helper()
	for _, r := range a.committed(a.names.Changelog) {
		l, is, err := engine.InspectLife(r.Key, r.Value)
		if err != nil {
			a.t.Fatal(err)
		}
		if is && l.Identity == stub {
			a.put(&kgo.Record{Topic: r.Topic, Key: r.Key})
			return
		}
	}
	a.t.Fatal("the changelog has no record of the stub")
}
