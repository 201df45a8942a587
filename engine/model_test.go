package engine

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/internal/vectors"
	"handprint/schemas"
)

// The model is the pure domain: for each attacker its series, as its
// observations were put in, and for each identity the mergers over the union of
// the series of whoever belongs to it. It knows nothing of tasks and commands.

var modelPrimitives = []attribution.Primitive{
	{Name: "t.categorical", Kind: attribution.Categorical},
	{Name: "t.numeric", Kind: attribution.Numeric},
	{Name: "t.hash", Kind: attribution.Hash},
}

// madeUp are primitives that are registered nowhere. Two names differ only behind what
// suspicions have of them.
var madeUp = []attribution.Primitive{
	{Name: "s.made_up", Kind: attribution.Unregistered},
	{Name: "u.long_" + strings.Repeat("x", 140) + "1", Kind: attribution.Unregistered},
	{Name: "u.long_" + strings.Repeat("x", 140) + "2", Kind: attribution.Unregistered},
	{Name: "u." + strings.Repeat("very_long_", 30), Kind: attribution.Unregistered},
}

var allPrimitives = slices.Concat(modelPrimitives, modelPrimitives, madeUp) // the registered ones more often

// op is one line of a history, as a failing test prints it.
type op struct {
	Kind      string // observe, event, sweep, deliver
	Attacker  string
	Primitive string
	Value     int
	TS        float64
	Evidence  int
	Misrouted bool
	Event     attribution.IdentityEvent
	Steps     int
}

func (o op) String() string {
	switch o.Kind {
	case "observe":
		wrong := ""
		if o.Misrouted {
			wrong = " to a wrong partition"
		}
		return fmt.Sprintf("observe %s %.320s=%d ts=%v evidence=%d%s", o.Attacker, o.Primitive, o.Value, o.TS, o.Evidence, wrong)
	case "event":
		return fmt.Sprintf("event %d identity=%s loser=%s attackers=%v", o.Event.Type, o.Event.Identity, o.Event.Loser, o.Event.Attackers)
	case "deliver":
		return fmt.Sprintf("deliver %d", o.Steps)
	}
	return o.Kind
}

func genHistory(t *rapid.T) []op {
	attackers := make([]string, rapid.IntRange(1, 6).Draw(t, "attackers"))
	names := []string{"identity-x", "identity-y"}
	for i := range attackers {
		attackers[i] = fmt.Sprintf("attacker-%d", i)
		names = append(names, attribution.Stub([]byte(attackers[i])).String())
	}
	attacker, name := rapid.SampledFrom(attackers), rapid.SampledFrom(names)
	gen := rapid.Custom(func(t *rapid.T) op {
		switch rapid.SampledFrom([]string{"observe", "observe", "observe", "observe", "event", "sweep", "deliver", "deliver"}).Draw(t, "kind") {
		case "observe":
			return op{
				Kind: "observe", Attacker: attacker.Draw(t, "attacker"), Primitive: rapid.SampledFrom(allPrimitives).Draw(t, "primitive").Name,
				Value: rapid.IntRange(0, 2).Draw(t, "value"), TS: float64(1000 * rapid.IntRange(0, 120).Draw(t, "ts")),
				Evidence: rapid.IntRange(0, 12).Draw(t, "evidence"), Misrouted: rapid.IntRange(0, 9).Draw(t, "misrouted") == 0,
			}
		case "event":
			e := attribution.IdentityEvent{Type: rapid.SampledFrom([]attribution.EventType{
				attribution.Formed, attribution.Linked, attribution.Merged, attribution.Merged, attribution.Unmerged,
			}).Draw(t, "type"), Identity: name.Draw(t, "identity")}
			switch e.Type {
			case attribution.Linked:
				e.Attackers = []string{attacker.Draw(t, "linked")}
			default:
				e.Attackers = rapid.SliceOfNDistinct(attacker, 0, min(3, len(attackers)), rapid.ID[string]).Draw(t, "listed")
			}
			if e.Type == attribution.Merged || e.Type == attribution.Unmerged {
				e.Loser = name.Draw(t, "loser")
			}
			return op{Kind: "event", Event: e}
		case "sweep":
			return op{Kind: "sweep"}
		}
		return op{Kind: "deliver", Steps: rapid.IntRange(1, 40).Draw(t, "steps")}
	})
	// Most histories of a wide range are short; the long ones find what takes
	// several moves to go wrong.
	least := rapid.SampledFrom([]int{1, 30, 80}).Draw(t, "at least")
	return rapid.SliceOfN(gen, least, least+60).Draw(t, "history")
}

func (o op) step() vectors.Step {
	if o.Kind == "event" {
		return vectors.Step{Topic: "identity.events", Record: schemas.AppendIdentityEvent(nil, &o.Event)}
	}
	value := fmt.Sprint(o.Value)
	if o.Primitive != "t.numeric" {
		value = fmt.Sprintf(`"value %d"`, o.Value)
		switch o.Value {
		case 1:
			value = fmt.Sprintf(`"value %d %s"`, o.Value, strings.Repeat("middle", middleValue/6+1))
		case 2:
			value = fmt.Sprintf(`"value %d %s"`, o.Value, strings.Repeat("long", longValue/4))
		}
	}
	return vectors.Step{Topic: "attacker.observation", Key: o.Attacker, Record: fmt.Appendf(nil,
		`{"attacker_uuid":%q,"primitive":%q,"value":%s,"ts":%v,"evidence_ref":"session %d"}`, o.Attacker, o.Primitive, value, o.TS, o.Evidence)}
}

// model is what the history means.
type model struct {
	series   map[string]map[string]*attribution.Series // attacker, primitive
	events   []attribution.IdentityEvent               // the good ones, in order
	pointers map[string]string
	replaced int
	accepted int
}

func (m *model) observe(o op, arrival attribution.Arrival, thresholds *attribution.Thresholds) {
	if m.series[o.Attacker] == nil {
		m.series[o.Attacker] = map[string]*attribution.Series{}
	}
	s := m.series[o.Attacker][o.Primitive]
	if s == nil {
		s = new(attribution.Series)
		m.series[o.Attacker][o.Primitive] = s
	}
	var obs attribution.Observation
	var d schemas.ObservationDecoder
	record := o.step().Record
	if err := d.Decode(record, &obs); err != nil {
		panic(err)
	}
	taken, _, _ := s.Take(attribution.Entry{
		TS: o.TS, Value: slices.Clone(obs.Value), Evidence: xxhash.Sum64(obs.Evidence), Place: arrival, Latest: arrival,
	}, kindOf(o.Primitive), thresholds)
	m.accepted++
	if taken == attribution.Replaced {
		m.replaced++
	}
}

func kindOf(name string) attribution.Kind {
	for _, p := range modelPrimitives {
		if p.Name == name {
			return p.Kind
		}
	}
	return attribution.Unregistered
}

func (m *model) resolve(pointers map[string]string, id string) string {
	for pointers[id] != "" {
		id = pointers[id]
	}
	return id
}

// bad reports whether the event is a bad record, given the pointers so far.
func (m *model) take(e attribution.IdentityEvent) (bad bool) {
	switch e.Type {
	case attribution.Merged:
		w, l := m.resolve(m.pointers, e.Identity), m.resolve(m.pointers, e.Loser)
		if e.Identity == e.Loser || w == e.Loser {
			return true
		}
		if w != l {
			m.pointers[l] = w
		}
	case attribution.Unmerged:
		delete(m.pointers, e.Loser)
	}
	m.events = append(m.events, e)
	return false
}

// owners returns whose an attacker may be in the end: if events name it, that
// is certain; else it depends on when its first observation came between them.
func (m *model) owners(attacker string) map[string]bool {
	found := map[string]bool{}
	for first := 0; first <= len(m.events); first++ {
		pointers := map[string]string{}
		owner := ""
		for i := 0; i <= len(m.events); i++ {
			if i == first && owner == "" {
				owner = m.resolve(pointers, attribution.Stub([]byte(attacker)).String())
			}
			if i == len(m.events) {
				break
			}
			e := m.events[i]
			listed := slices.Contains(e.Attackers, attacker)
			switch e.Type {
			case attribution.Merged:
				w, l := m.resolve(pointers, e.Identity), m.resolve(pointers, e.Loser)
				if w != l {
					pointers[l] = w
				}
				if listed || owner == l {
					owner = w
				}
			case attribution.Unmerged:
				delete(pointers, e.Loser)
				if listed {
					owner = e.Loser
				}
			default:
				if listed {
					owner = m.resolve(pointers, e.Identity)
				}
			}
		}
		found[owner] = true
	}
	return found
}

// owner reads whose an attacker is from the tasks at rest.
func (c *cluster) owner(attacker string) string {
	home := c.tasks[attribution.AttackerPartition(attacker, int32(len(c.tasks)))]
	home.store = c.stores[home.task]
	if l, linked, err := home.getLink([]byte(attacker)); err != nil {
		c.t.Fatal(err)
	} else if linked {
		return string(l.Identity)
	}
	return attribution.Stub([]byte(attacker)).String()
}

// TestRandomHistories delivers commands in any order that Kafka allows, with
// transactions that fail, and compares what the tasks hold at rest with the
// model. Run more of them with -rapid.checks=N.
func TestRandomHistories(t *testing.T) {
	smallSteps(t)
	rapid.Check(t, func(t *rapid.T) {
		c, m, thresholds := playHistory(t, nothingLost)
		checkAtRest(t, c, m, thresholds)
	})
}

// smallSteps makes the bounds of steps small, so that short histories reach
// them.
func smallSteps(t *testing.T) {
	n, m, r, w, s, p, a := unionFrom, maxStubs, repairStep, wave, releaseStep, sweepStep, seenAfter
	middle, begun, names, rows, detached := maxMiddle, maxBegun, sweepNames, rowsOfFrom, detachRows
	t.Cleanup(func() {
		maxBegun, sweepNames, rowsOfFrom, detachRows = begun, names, rows, detached
		unionFrom, maxStubs, repairStep, wave, releaseStep, sweepStep, seenAfter, maxMiddle = n, m, r, w, s, p, a, middle
	})
	maxMiddle, maxBegun, sweepNames, rowsOfFrom, detachRows = 50, 1, 3, 1, 2
	unionFrom, maxStubs, repairStep, wave, releaseStep, sweepStep, seenAfter = 2, 2, 1, 2, 1, 1, 2
}

// playHistory draws a history and plays it to its end. Now and then the commands
// of a task are truncated, as lossy says.
func playHistory(t *rapid.T, lossy loss) (*cluster, *model, *attribution.Thresholds) {
	history := genHistory(t)
	partitions := rapid.SampledFrom([]int32{1, 2, 5}).Draw(t, "partitions")
	seed := rapid.Uint64().Draw(t, "network")
	registry, err := attribution.NewRegistry(modelPrimitives)
	if err != nil {
		t.Fatal(err)
	}
	thresholds := attribution.DefaultThresholds()
	m := &model{series: map[string]map[string]*attribution.Series{}, pointers: map[string]string{}}
	c := newCluster(t, partitions, registry, rand.New(rand.NewPCG(seed, 1)))
	c.crash, c.loss = 0.05, lossy
	dead := 0
	for i, o := range history {
		switch o.Kind {
		case "sweep":
			c.tick()
		case "deliver":
			for range o.Steps {
				if !c.step() {
					break
				}
			}
		case "event":
			if m.take(o.Event) {
				dead++
			}
			step := o.step()
			c.input(&step, int64(i))
		case "observe":
			step := o.step()
			arrival := c.inputTo(&step, int64(i), o.Misrouted)
			m.observe(o, arrival, &thresholds)
		}
	}
	c.settle()
	if len(c.dead) != dead {
		t.Fatalf("dead letters %v, want %d", c.dead, dead)
	}
	return c, m, &thresholds
}

func checkAtRest(t *rapid.T, c *cluster, m *model, thresholds *attribution.Thresholds) {
	members := map[string][]string{}
	for attacker := range m.series {
		owner := c.owner(attacker)
		if allowed := m.owners(attacker); !allowed[owner] {
			t.Fatalf("%s belongs to %s, but may only belong to %v", attacker, owner, allowed)
		}
		members[owner] = append(members[owner], attacker)
	}
	var want []vectors.Row
	merger := attribution.NewMerger(thresholds)
	total := int64(0)
	for owner, attackers := range members {
		sort.Strings(attackers)
		for _, p := range slices.Concat(modelPrimitives, madeUp) {
			merger.Begin(p.Kind)
			n := 0
			for i, a := range attackers {
				if s := m.series[a][p.Name]; s != nil {
					merger.Add(s, i)
					n++
				}
			}
			if n == 0 {
				continue
			}
			conclusion, err := merger.End()
			if err != nil {
				t.Fatal(err)
			}
			total += conclusion.Count
			want = append(want, vectors.Row{
				Identity: owner, Primitive: p.Name, State: conclusion.State.String(), Value: json.RawMessage(string(conclusion.Value)),
				Confidence: conclusion.Confidence, Count: conclusion.Count, LastObservationTS: conclusion.LastTS,
				LastChangeTS: c.rows[owner+"/"+p.Name].LastChangeTS,
			})
		}
	}
	if diff := vectors.DiffRows(want, c.allRows()); diff != "" {
		t.Fatal(diff)
	}
	if want := int64(m.accepted - m.replaced); total != want {
		t.Fatalf("the rows count %d observations, %d were accepted", total, want)
	}
	checkChain(t, c)
	registry, err := attribution.NewRegistry(modelPrimitives)
	if err != nil {
		t.Fatal(err)
	}
	checkExplanations(t, c, registry, thresholds)
	checkIdentities(t, c, m)
	checkFlags(t, c)
}

// checkChain follows each row's transitions: every one begins in the state in
// which the one before ended, and the last ended in the row's.
func checkChain(t *rapid.T, c *cluster) {
	state := map[string]string{}
	for _, e := range c.log {
		key := e.Identity + "/" + e.Primitive
		switch e.Type {
		case "tombstone":
			if state[key] == "" {
				t.Fatalf("a tombstone for row %s, which is not there", key)
			}
			delete(state, key)
		case "state_changed":
			old := ""
			if e.OldState != nil {
				old = *e.OldState
			}
			if state[key] != old || old == e.NewState {
				t.Fatalf("row %s goes from %q to %q, but it is %q", key, old, e.NewState, state[key])
			}
			state[key] = e.NewState
		}
	}
	for key, r := range c.rows {
		if state[key] != r.State {
			t.Fatalf("row %s is %s, the last transition said %q", key, r.State, state[key])
		}
		delete(state, key)
	}
	if len(state) > 0 {
		t.Fatalf("transitions of rows that are not there: %v", state)
	}
}
