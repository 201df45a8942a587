package engine

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"handprint/attribution"
	"handprint/internal/vectors"
	"handprint/schemas"
)

// posted is an Outbox that keeps the commands to go on with.
type posted struct {
	heard
	commands [][]byte
}

func (p *posted) Send(_ int32, _, command []byte) {
	p.commands = append(p.commands, append([]byte(nil), command...))
}

// steps processes a command and all that it makes the task tell itself, and
// returns how much each of them did.
func steps(t *testing.T, e *Engine, store Store, out *posted, command []byte, done func() int64) (did []int64) {
	t.Helper()
	out.commands = [][]byte{command}
	for n := 0; len(out.commands) > 0; n++ {
		next := out.commands[0]
		out.commands = out.commands[1:]
		if commandType(next[1]) == cmdDone {
			continue
		}
		before := done()
		if err := e.Process(&Record{Source: Commands, Time: 1, Offset: int64(n), Value: next}, store, out); err != nil {
			t.Fatal(err)
		}
		did = append(did, done()-before)
	}
	return did
}

// However many observations wait for their attacker, one record takes no more
// than a step of them.
func TestManyThatWaitAreReleasedInSteps(t *testing.T) {
	const waiting = 1000
	store, out := newMemStore(), new(posted)
	identity := []byte("018f0000-0000-7000-8000-000000000001")
	store.Put(idKey(nil, kindLink, []byte("a")), appendLink(nil, link{Identity: identity, By: origin{Version: 1}}))
	e, err := New(testConfig(1), 0, store)
	if err != nil {
		t.Fatal(err)
	}
	observe := func(n int) {
		t.Helper()
		r := Record{Source: Observations, Time: 1, Offset: int64(n), Key: []byte("a"), Value: fmt.Appendf(nil,
			`{"attacker_uuid":"a","primitive":"toolchain.ssh.hassh_client","value":"%032x","ts":%d,"evidence_ref":"s%d"}`, n, 1_700_000_000+n, n)}
		if err := e.Process(&r, store, out); err != nil {
			t.Fatal(err)
		}
	}
	for n := range waiting {
		observe(n)
	}
	taken := e.cfg.Counters.Observations.Load
	if n := taken(); n != 0 {
		t.Fatalf("%d observations are taken before their attacker has come", n)
	}
	did := steps(t, e, store, out, appendAttach(nil, &attach{By: origin{Version: 1}, Attacker: []byte("a"), New: identity, Last: true}), taken)
	if len(did) != (waiting+int(releaseStep)-1)/int(releaseStep) || taken() != waiting {
		t.Errorf("%v observations were taken, one step after the other; want %d in steps of %d", did, waiting, releaseStep)
	}
	for _, n := range did {
		if n > int64(releaseStep) {
			t.Errorf("a step takes %d", n)
		}
	}
}

// An observation that comes while others are released does not overtake them,
// and makes the queue shorter.
func TestWhoComesWhileOthersAreReleasedWaitsBehindThem(t *testing.T) {
	store, out := newMemStore(), new(posted)
	identity := []byte("018f0000-0000-7000-8000-000000000001")
	store.Put(idKey(nil, kindLink, []byte("a")), appendLink(nil, link{Identity: identity, By: origin{Version: 1}}))
	e, err := New(testConfig(1), 0, store)
	if err != nil {
		t.Fatal(err)
	}
	observe := func(n int) {
		t.Helper()
		r := Record{Source: Observations, Time: 1, Offset: int64(n), Key: []byte("a"), Value: fmt.Appendf(nil,
			`{"attacker_uuid":"a","primitive":"x.y","value":%d,"ts":5,"evidence_ref":"s%d"}`, n, n)}
		if err := e.Process(&r, store, out); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 2 * int(releaseStep) {
		observe(n)
	}
	attached := appendAttach(nil, &attach{By: origin{Version: 1}, Attacker: []byte("a"), New: identity, Last: true})
	if err := e.Process(&Record{Source: Commands, Value: attached}, store, out); err != nil {
		t.Fatal(err)
	}
	left := int(releaseStep)
	for n := range left { // two are released for each that comes: the queue gets shorter by one
		observe(2*int(releaseStep) + n)
	}
	if m, _, err := e.getMember(identity, []byte("a")); err != nil || m.Release != 0 {
		t.Fatalf("the member is %+v after %d more observations, %v", m, left, err)
	}
	if got, want := e.cfg.Counters.Observations.Load(), int64(3*releaseStep); got != want {
		t.Errorf("%d observations are taken, want %d", got, want)
	}
	var s series
	if _, err := e.loadContribution(&s, identity, []byte("x.y"), []byte("a")); err != nil {
		t.Fatal(err)
	}
	if last := s.Entries[len(s.Entries)-1].Place.Offset; last != int64(3*releaseStep-1) {
		t.Errorf("the last entry is the observation at offset %d", last)
	}
}

// A sweep looks at some suspects at a time, and so does what makes their index.
func TestManySuspectsAreSweptInSteps(t *testing.T) {
	const suspects = 1000
	for _, rule := range []attribution.SuspicionRule{attribution.RulePrimitives, attribution.RuleEvidence} {
		t.Run(rule.String(), func(t *testing.T) {
			store, out := newMemStore(), new(posted)
			for i := range suspects {
				id := []byte(attribution.Stub(fmt.Append(nil, i)).String())
				store.Put(idKey(nil, kindFlagCount, id), appendCount(nil, 2))
				for _, p := range []string{"x.a", "x.b"} {
					store.Put(rowKey(nil, kindFlagged, id, []byte(p)), flagRecord)
					store.Put(rowKey(nil, kindRow, id, []byte(p)), appendRow(nil, &row{published: true, was: sampleRow}, 1, nil))
				}
			}
			cfg := testConfig(1)
			cfg.Thresholds.SuspicionRule = rule
			e, err := New(cfg, 0, store)
			if err != nil {
				t.Fatal(err)
			}
			sent := e.cfg.Counters.Suspicions.Load
			for range 2 { // the index is complete after the first tick's steps
				for _, n := range steps(t, e, store, out, TickCommand(5), sent) {
					if n > int64(sweepStep) {
						t.Errorf("a step sends %d suspicions", n)
					}
				}
			}
			if n := sent(); n != suspects {
				t.Errorf("%d suspicions are sent, want %d", n, suspects)
			}
		})
	}
}

// An identity is a suspect once, whatever indexes have it and by how many names, and a
// step ends between two identities.
func TestSuspectsAreListedOnce(t *testing.T) {
	defer func(n int) { sweepStep = n }(sweepStep)
	sweepStep = 7
	store := newMemStore()
	const identities = 100
	for i := range identities {
		id := []byte(attribution.Stub(fmt.Append(nil, i)).String())
		store.Put(idKey(nil, kindSuspect, id), appendTold(nil, attribution.Told{}))
		for n := range i % 20 {
			store.Put(rowKey(nil, kindReturning, id, fmt.Append(nil, "x.a", n)), flagRecord)
		}
		if i%3 == 0 {
			store.Put(idKey(nil, kindSuspicion, id), nil)
		}
	}
	e, err := New(testConfig(1), 0, store)
	if err != nil {
		t.Fatal(err)
	}
	seen, steps := map[string]bool{}, 0
	for from := []byte(nil); ; {
		list, next, err := e.suspects([]byte{kindSuspect, kindReturning, kindSuspicion}, from)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range list {
			if seen[string(id)] {
				t.Errorf("%s is listed twice", id)
			}
			seen[string(id)] = true
		}
		if steps++; len(list) > sweepStep {
			t.Errorf("a step has %d suspects", len(list))
		}
		if next == nil {
			break
		}
		from = next
	}
	if len(seen) != identities || steps > identities/sweepStep+1 {
		t.Errorf("%d suspects of %d in %d steps", len(seen), identities, steps)
	}
}

// A large value whose record is gone, as after lost commands, stops no move.
func TestALargeValueThatIsGoneStopsNoMove(t *testing.T) {
	c := newCluster(t, 2, attribution.DefaultRegistry(), nil)
	input := func(topic, record string) { c.input(&vectors.Step{Topic: topic, Record: []byte(record)}, 0) }
	for i := range 3 {
		input("attacker.observation", fmt.Sprintf(`{"attacker_uuid":"a","primitive":"toolchain.ssh.hassh_client","value":"%d%s","ts":%d,"evidence_ref":"e%d"}`, i, strings.Repeat("x", 400), i+1, i))
	}
	c.settle()
	gone := 0
	for _, s := range c.stores {
		for _, k := range slices.Clone(s.keys) {
			if v, err := s.Get([]byte(k)); err == nil && k[0] == kindLarge && bytes.Contains(v, []byte("0xxx")) { // not what is shown
				s.Delete([]byte(k))
				gone++
			}
		}
	}
	if gone == 0 {
		t.Fatal("there is no large value")
	}
	e := attribution.IdentityEvent{Type: attribution.Formed, Identity: "x", Attackers: []string{"a"}}
	input("identity.events", string(schemas.AppendIdentityEvent(nil, &e)))
	c.settle()
	if g := &c.tasks[0].cfg.Counters.Changes; g.InProgress.Load() != 0 || g.Waiting.Load() != 0 {
		t.Errorf("%d changes are in progress and %d wait", g.InProgress.Load(), g.Waiting.Load())
	}
}
