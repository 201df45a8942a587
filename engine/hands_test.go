package engine

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"handprint/attribution"
	"handprint/internal/vectors"
	"handprint/schemas"
)

// session is one session of a source address: what a sensor tells of it.
type session struct {
	ts     float64
	values map[string]string // by primitive, JSON
}

// address is a source address with one hand behind it.
type address struct {
	tool     string
	sessions []session
}

// The primitives of the made-up sensors.
const (
	hassh    = "toolchain.ssh.hassh_client"
	banner   = "toolchain.ssh.ssh_client_banner"
	kex      = "toolchain.ssh.kex_algorithm_order"
	tools    = "cognitive.tool_vocabulary"
	branches = "cognitive.command_branch_diversity"
	style    = "cognitive.exploration_style"
	latency  = "cognitive.inter_command_latency_class"
	duration = "temporal.session_duration"
	locale   = "environmental.locale"
)

// tool returns what an SSH client says of itself.
func tool(n int) map[string]string {
	return map[string]string{
		hassh:  fmt.Sprintf(`"%032x"`, 0xabc0+n),
		banner: fmt.Sprintf(`"SSH-2.0-tool_%d"`, n),
		kex:    fmt.Sprintf(`["kex-%d","kex-%d"]`, n%5, n),
	}
}

// script returns what is told of a session in which something is typed.
func script(r *rand.Rand) map[string]string {
	pick := func(words ...string) string { return fmt.Sprintf("%q", words[r.IntN(len(words))]) }
	return map[string]string{
		tools: pick("narrow", "moderate", "broad"), branches: pick("unknown", "linear_playbook", "adaptive_branching"),
		style: pick("methodical", "targeted", "chaotic"),
	}
}

// newAddress draws an address. The shares are about those of the logs of real
// sensors: one tool nearly always, and few tools in all; hardly anything typed;
// some addresses with a tool that changes, with two scripts, or with a script
// that has two tools.
func newAddress(r *rand.Rand, sessions int) address {
	n := 0
	for n < 11 && r.Float64() > 0.45 {
		n++
	}
	a := address{tool: fmt.Sprint(n)}
	first, second := tool(n), tool(20+r.IntN(10))
	one, two := script(r), script(r)
	types, changes, stages, flaws := r.Float64() < 0.05, r.Float64() < 0.02, r.Float64() < 0.002, r.Float64() < 0.06
	now, gap := 1_700_000_000+float64(r.IntN(3*86400)), []float64{6, 70, 2600, 7000}[r.IntN(4)]
	for i := range sessions {
		now += gap * (0.3 + 1.4*r.Float64())
		s := session{ts: now, values: map[string]string{duration: `"short"`}}
		client := first
		if changes && i >= sessions/2 {
			client = second
		}
		if stages && i%2 == 1 {
			client, s.ts = second, a.sessions[i-1].ts+60+10*r.Float64()
			now = s.ts
		}
		if r.Float64() < 0.86 {
			for p, v := range client {
				s.values[p] = v
			}
		}
		if types {
			typed := one
			if r.Float64() < 0.2 {
				typed = two
			}
			for p, v := range typed {
				s.values[p] = v
			}
			s.values[latency] = `"typing_speed"`
		}
		if flaws && r.Float64() < 0.3 {
			s.values[duration] = `"medium"`
		}
		a.sessions = append(a.sessions, s)
	}
	return a
}

// takeTurns makes one address of two. turn draws whose turn it is.
func takeTurns(a, b []session, turn func(i int) bool) (list []session) {
	for i := 0; len(a) > 0 && len(b) > 0; i++ {
		from := &b
		if turn(i) {
			from = &a
		}
		list = append(list, (*from)[0])
		*from = (*from)[1:]
	}
	return list
}

// spaced puts sessions ten minutes apart.
func spaced(list []session) []session {
	list = slices.Clone(list)
	for i := range list {
		list[i].ts = 1_700_000_000 + 600*float64(i)
	}
	return list
}

// watched feeds sessions to an application in the order of time, as a replay does,
// and returns the suspicions of each address.
func watched(t *testing.T, partitions int32, by map[string][]session) map[string][]vectors.Event {
	t.Helper()
	type seen struct {
		attacker string
		number   int
		session
	}
	var all []seen
	for attacker, list := range by {
		for i, s := range list {
			all = append(all, seen{attacker, i, s})
		}
	}
	slices.SortFunc(all, func(a, b seen) int {
		return cmp.Or(cmp.Compare(a.ts, b.ts), cmp.Compare(a.attacker, b.attacker), cmp.Compare(a.number, b.number))
	})
	c := newClusterOf(t, Config{
		Thresholds: attribution.DefaultThresholds(), Registry: attribution.DefaultRegistry(), Partitions: partitions,
		Counters: new(Counters), ReplayInterval: 60,
	}, nil)
	offset, newest := int64(0), 0.0
	for _, s := range all {
		newest = max(newest, s.ts)
		primitives := make([]string, 0, len(s.values))
		for p := range s.values {
			primitives = append(primitives, p)
		}
		slices.Sort(primitives)
		for _, p := range primitives {
			offset++
			o := attribution.Observation{
				ID: fmt.Append(nil, offset), Attacker: []byte(s.attacker), Primitive: []byte(p), Value: attribution.Value(s.values[p]),
				Evidence: fmt.Appendf(nil, "%s/%d", s.attacker, s.number), Source: []byte("made-up"), TS: s.ts,
			}
			c.input(&vectors.Step{Topic: "attacker.observation", Key: s.attacker, Record: new(schemas.Format).AppendObservation(nil, &o)}, offset)
		}
	}
	c.settle()
	c.tickAt(c.cfg.ReplayEnd(newest))
	c.settle()
	attackers := make(map[string]string)
	for attacker := range by {
		attackers[attribution.Stub([]byte(attacker)).String()] = attacker
	}
	suspicions := make(map[string][]vectors.Event)
	for _, e := range c.events {
		if e.Type == "multi_actor_suspected" {
			suspicions[attackers[e.Identity]] = append(suspicions[attackers[e.Identity]], e)
		}
	}
	return suspicions
}

// confidence is the highest that a suspicion ever had.
func confidence(events []vectors.Event) (most float64) {
	for _, e := range events {
		most = max(most, e.Confidence)
	}
	return most
}

// Two hands are told from one as well as docs/attribution.md wants it, over data
// that have the form of real sensors' logs: pairs of addresses with different
// tools that are made one, and addresses as they are.
func TestTwoHandsAreToldFromOne(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var many []address
	for range 150 {
		many = append(many, newAddress(r, 10+r.IntN(40)))
	}
	by, kinds := make(map[string][]session), make(map[string]string)
	add := func(kind string, list []session) {
		name := fmt.Sprintf("%s/%d", kind, len(by))
		by[name], kinds[name] = list, kind
	}
	for _, a := range many {
		add("single", spaced(a.sessions))
		add("single, as seen", a.sessions)
	}
	pair := func() (a, b address) {
		for {
			if a, b = many[r.IntN(len(many))], many[r.IntN(len(many))]; a.tool != b.tool {
				return a, b
			}
		}
	}
	for range 60 {
		a, b := pair()
		add("alternating", spaced(takeTurns(a.sessions, b.sessions, func(i int) bool { return i%2 == 0 })))
		a, b = pair()
		add("random", spaced(takeTurns(a.sessions, b.sessions, func(int) bool { return r.IntN(2) == 0 })))
		a, b = pair()
		add("threes", spaced(takeTurns(a.sessions, b.sessions, func(i int) bool { return i/3%2 == 0 })))
	}
	for made := 0; made < 60; {
		a, b := pair()
		if min(a.sessions[len(a.sessions)-1].ts, b.sessions[len(b.sessions)-1].ts) <= max(a.sessions[0].ts, b.sessions[0].ts) {
			continue
		}
		made++
		list := slices.Concat(a.sessions, b.sessions)
		slices.SortStableFunc(list, func(x, y session) int { return cmp.Compare(x.ts, y.ts) })
		add("as seen", list)
	}
	suspicions := watched(t, 1, by)
	total, found, messages := make(map[string]float64), make(map[string]float64), 0
	for name, kind := range kinds {
		total[kind]++
		if confidence(suspicions[name]) >= 0.5 {
			found[kind]++
		}
		messages = max(messages, len(suspicions[name]))
	}
	for kind, bounds := range map[string][2]float64{
		"single": {0, 0.006}, "single, as seen": {0, 0.005}, "alternating": {0.97, 1}, "random": {0.95, 1}, "threes": {0.95, 1}, "as seen": {0.65, 1},
	} {
		share := found[kind] / total[kind]
		t.Logf("%s: %.3f of %v", kind, share, total[kind])
		if share < bounds[0] || share > bounds[1] {
			t.Errorf("%s: %.3f of %v are suspected with confidence, want between %v and %v", kind, share, total[kind], bounds[0], bounds[1])
		}
	}
	if messages > 5 {
		t.Errorf("%d messages of one identity, want 5 at most", messages)
	}
}

// typed is a session of a client with something typed in it.
func typed(ts float64, client int, values map[string]string) session {
	s := session{ts: ts, values: tool(client)}
	for p, v := range values {
		s.values[p] = v
	}
	return s
}

// The kinds of one hand and of several that sensors have met.
func TestHandsThatSensorsHaveMet(t *testing.T) {
	probe := map[string]string{tools: `"narrow"`, branches: `"unknown"`, style: `"methodical"`, duration: `"short"`}
	payload := map[string]string{tools: `"moderate"`, branches: `"adaptive_branching"`, style: `"chaotic"`, duration: `"medium"`}
	slow := map[string]string{latency: `"deliberate"`, locale: `"de-DE"`}
	fast := map[string]string{latency: `"instant"`, locale: `"en-GB"`}
	by := make(map[string][]session)
	add := func(name string, s session) { by[name] = append(by[name], s) }
	start := 1_700_000_000.0
	for i := range 24 {
		at := start + 7200*float64(i)
		// One tool; a probe, and its payload 181 seconds later.
		add("two stages", typed(at, 1, probe))
		add("two stages", typed(at+181, 1, payload))
		// A scanner that uses two tools, one right after the other. That its lag is
		// a fixed one is known at the third change; until then it looks like two.
		add("two tools", typed(at, 1, nil))
		add("two tools", typed(at+20+float64(i%3), 2, nil))
		// A tool that was replaced by another.
		add("new tool", typed(at, 1+i/12, nil))
		// Two hands in shifts of four sessions.
		add("shifts", typed(at, 1+i/4%2, nil))
		// Two hands with one tool, who type differently.
		if i%2 == 0 {
			add("typists", typed(at, 1, slow))
		} else {
			add("typists", typed(at, 1, fast))
		}
	}
	// Two hands that alternate, and then one that stays.
	for i := range 20 {
		add("one stays", typed(start+3600*float64(i), 1+i%2, nil))
	}
	for i := range 60 {
		add("one stays", typed(start+3600*float64(20+i), 1, nil))
	}
	// One that flaps: in and out of alternating, by two traits of two groups.
	for i := range 200 {
		values := slow
		if i/6%2 == 0 && i%2 == 0 {
			values = fast
		}
		add("flaps", typed(start+300*float64(i), 1, values))
	}
	want := map[string]struct {
		confidence float64
		messages   int // at most
	}{
		"two stages": {0.3, 1}, "two tools": {0.6, 2}, "new tool": {0, 0}, "shifts": {0.6, 2}, "typists": {0.6, 2}, "one stays": {0.6, 3}, "flaps": {0.6, 2},
	}
	suspicions := watched(t, 3, by)
	for name, w := range want {
		got := suspicions[name]
		if confidence(got) != w.confidence || len(got) > w.messages {
			t.Errorf("%s: confidence %v, want %v; %d messages, want at most %d: %+v", name, confidence(got), w.confidence, len(got), w.messages, got)
		}
	}
	// The hand that went is cleared a day after nothing returned any more.
	if stays := suspicions["one stays"]; len(stays) == 0 || stays[len(stays)-1].Status != string(attribution.SuspicionCleared) {
		t.Errorf("one stays: %+v", stays)
	}
}

// Replayed in the order of time, the same suspicions come of the same
// observations, whatever the number of partitions. When one is cleared depends on
// which ticks a task has.
func TestAReplaySaysTheSameWhateverThePartitions(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 11))
	by := make(map[string][]session)
	for i := range 60 {
		a, b := newAddress(r, 30), newAddress(r, 30)
		list := slices.Concat(a.sessions, b.sessions)
		slices.SortStableFunc(list, func(x, y session) int { return cmp.Compare(x.ts, y.ts) })
		by[fmt.Sprint("pair-", i)] = list
	}
	want := watched(t, 1, by)
	if len(want) < 10 {
		t.Fatalf("%d suspicions: the test tests little", len(want))
	}
	for _, partitions := range []int32{3, 8} {
		got := watched(t, partitions, by)
		for attacker := range by {
			x, y := want[attacker], got[attacker]
			if len(x) != len(y) {
				t.Fatalf("%s, %d partitions: %+v, want %+v", attacker, partitions, y, x)
			}
			for i := range x {
				if x[i].Status == string(attribution.SuspicionCleared) {
					x[i].TS, y[i].TS = 0, 0
				}
				if !vectors.SameEvent(x[i], y[i]) {
					t.Errorf("%s, %d partitions: %+v, want %+v", attacker, partitions, y[i], x[i])
				}
			}
		}
	}
}
