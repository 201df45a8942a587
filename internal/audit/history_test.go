package audit_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/audit"
	"handprint/schemas"
	"handprint/state"
	"handprint/topology"
)

var historyKinds = []attribution.Primitive{
	{Name: "t.first", Kind: attribution.Categorical},
	{Name: "t.second", Kind: attribution.Categorical},
	{Name: "t.numeric", Kind: attribution.Numeric},
	{Name: "t.hash", Kind: attribution.Hash},
}

// madeUpKinds are registered nowhere; suspicions cut the names of some.
var madeUpKinds = []attribution.Primitive{
	{Name: "a.made_up"}, {Name: "s.made_up"}, {Name: "z.made_up"},
	{Name: "u.long_" + strings.Repeat("x", 300) + "1"}, {Name: "u.long_" + strings.Repeat("x", 300) + "2"},
	{Name: "u." + strings.Repeat("very_long_", 700)},
}

func historyRegistry(t testing.TB) *attribution.Registry {
	t.Helper()
	r, err := attribution.NewRegistry(historyKinds)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// generator makes records of every kind, with nothing that orders them:
// observations of any attacker between identity events about it.
type generator struct {
	*rand.Rand
	app       *app
	attackers int
	sessions  int
	misrouted int // one in so many; 0: none
	madeUp    bool
}

func (g *generator) attacker() string { return fmt.Sprintf("attacker-%d", g.IntN(g.attackers)) }

func (g *generator) observation(attacker string) *kgo.Record {
	g.sessions++
	session, ts := g.sessions, 100*g.sessions
	if g.IntN(6) == 0 {
		session, ts = g.IntN(session), ts-g.IntN(2000) // a replacement, or out of order
	}
	p := historyKinds[g.IntN(len(historyKinds))]
	if g.madeUp && g.IntN(2) == 0 {
		p = madeUpKinds[g.IntN(len(madeUpKinds))]
		p.Kind = attribution.Unregistered
	}
	value := fmt.Sprintf(`"value %d"`, g.IntN(2))
	switch p.Kind {
	case attribution.Numeric:
		value = fmt.Sprint(1 + g.IntN(3)*g.IntN(50))
	case attribution.Hash:
		value = fmt.Sprintf(`"hash %d"`, g.IntN(4))
	}
	if g.IntN(40) == 0 && p.Kind != attribution.Numeric {
		value = fmt.Sprintf(`"long %0400d"`, g.IntN(3))
	}
	key := attacker
	if g.misrouted > 0 && g.IntN(g.misrouted) == 0 {
		key = fmt.Sprint("foreign", g.IntN(100))
	}
	return &kgo.Record{Topic: g.app.names.Observations, Key: []byte(key), Value: fmt.Appendf(nil,
		`{"attacker_uuid":%q,"primitive":%q,"value":%s,"ts":%d,"evidence_ref":"session %d","confidence":%v}`,
		attacker, p.Name, value, 100_000+ts, session, float64(g.IntN(1000))/1000)}
}

func (g *generator) event() *kgo.Record {
	name := func() string {
		if g.IntN(3) == 0 {
			return fmt.Sprintf("identity-%d", g.IntN(3))
		}
		return attribution.Stub([]byte(g.attacker())).String()
	}
	e := attribution.IdentityEvent{Type: attribution.EventType(1 + g.IntN(4)), Identity: name()}
	seen := map[string]bool{}
	for range g.IntN(4) {
		if a := g.attacker(); !seen[a] {
			seen[a] = true
			e.Attackers = append(e.Attackers, a)
		}
	}
	switch e.Type {
	case attribution.Linked:
		e.Attackers = []string{g.attacker()}
	case attribution.Merged, attribution.Unmerged:
		e.Loser = name()
	}
	return &kgo.Record{Topic: g.app.names.IdentityEvents, Key: []byte(e.Identity), Value: schemas.AppendIdentityEvent(nil, &e)}
}

func (g *generator) bad() *kgo.Record {
	topic := g.app.names.Observations
	values := []string{
		`{"attacker_uuid":"a"`,
		`{"attacker_uuid":"a","primitive":"t.numeric","value":1e999,"ts":1,"evidence_ref":"e"}`,
		`{"attacker_uuid":"a","primitive":"t.numeric","value":"text","ts":1,"evidence_ref":"e"}`,
	}
	value := values[g.IntN(len(values))]
	if g.IntN(3) == 0 {
		topic, value = g.app.names.IdentityEvents, `{"type":"identity.split"}`
	}
	return &kgo.Record{Topic: topic, Key: []byte("bad"), Value: []byte(value)}
}

// round is a mix of all, events with the share of one in so many (0: none).
func (g *generator) round(n, events int) (list []*kgo.Record) {
	for range n {
		switch {
		case events > 0 && g.IntN(events) == 0:
			list = append(list, g.event())
		case g.IntN(30) == 0:
			list = append(list, g.bad())
		default:
			list = append(list, g.observation(g.attacker()))
		}
	}
	return list
}

var (
	histories = flag.Int("histories", 6, "random histories to audit")
	firstSeed = flag.Uint64("first-seed", 1, "seed of the first random history")
)

// deleteCommands deletes all commands.
func (a *app) deleteCommands() {
	a.t.Helper()
	all := make(kadm.Offsets)
	for p := range a.partitions {
		all.AddOffset(a.names.Commands, p, -1, -1)
	}
	deleted, err := kadm.NewClient(a.client).DeleteRecords(a.t.Context(), all)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

// avroOutput makes an application write Avro, by ids that a registry might
// have given.
func avroOutput(c *topology.Config) {
	ids := make(map[schemas.Contract]uint32)
	c.Engine.Writers = schemas.NewWriters()
	for i, contract := range schemas.Contracts() {
		ids[contract] = uint32(i + 1)
		c.Engine.Writers.Add(uint32(i+1), []byte(contract.Schema()))
	}
	c.Engine.Format = schemas.AvroFormat(ids)
}

// TestRandomHistories audits applications that work as they should: round by
// round, and all at once at the end.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	registry := historyRegistry(t)
	for n := range *histories {
		seed := *firstSeed + uint64(n)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			madeUp := seed%2 == 0 // more primitives than a suspicion names
			format := func(c *topology.Config) {
				if seed%3 == 0 {
					avroOutput(c)
				}
				if madeUp {
					c.Engine.Thresholds.NamedPrimitives = 2
				}
				if seed%4 < 2 {
					c.Engine.Thresholds.SuspicionRule = attribution.RulePrimitives
				}
			}
			a := startAppIn(t, b, fmt.Sprintf("history%d.", seed), []int32{1, 2, 5}[r.IntN(3)], registry, "store", state.Options{FS: vfs.NewMem()}, format)
			g := &generator{Rand: r, app: a, attackers: []int{3, 12, 60}[r.IntN(3)], misrouted: []int{0, 4, 50}[r.IntN(3)], madeUp: madeUp}
			auditor := a.auditor(a.options())
			var total audit.Report
			for range 6 {
				a.put(g.round(20+g.IntN(300), []int{0, 5, 40}[g.IntN(3)])...)
				if g.IntN(2) == 0 {
					a.tick()
				}
				report, err := auditor.Advance(t.Context())
				clean(t, report, err)
				total.Exact += report.Exact
				total.Chained += report.Chained
				total.Loose += report.Loose
			}
			o := a.options()
			a.tick()
			o.Swept = true
			report, err := audit.Run(t.Context(), o)
			clean(t, report, err)
			if report.Transitions == 0 || report.Rows == 0 {
				t.Fatalf("nothing to audit: %+v", report)
			}
			if len(report.Notes) > 0 {
				t.Fatalf("not everything was looked at: %q", report.Notes)
			}
			// The tasks delete commands that they have read.
			a.deleteCommands()
			without, err := audit.Run(t.Context(), o)
			clean(t, without, err)
			if without.Exact != report.Exact || without.Compared != report.Compared {
				t.Fatalf("without commands %d transitions and %d rows were compared, with them %d and %d", without.Exact, without.Compared, report.Exact, report.Compared)
			}
			t.Logf("%d partitions, %d attackers: round by round %d exact %d chained %d loose, at once %d exact %d chained %d loose of %d rows; %d observations %d events %d dead letters %d suspicions",
				a.partitions, g.attackers, total.Exact, total.Chained, total.Loose, report.Exact, report.Chained, report.Loose, report.Rows,
				report.Observations, report.IdentityEvents, report.DeadLetters, report.Suspicions)
		})
	}
}
