package engine

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/internal/vectors"
)

// A set of flags is what was set and not taken away, by its records too. A change writes
// little and reads little, whatever the names are and however many there are; so does
// reading what a suspicion names.
func TestFlagsAreASetOfRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store := &countingStore{memStore: newMemStore()}
		cfg := testConfig(1)
		cfg.Thresholds.NamedPrimitives = rapid.SampledFrom([]int{3, 100, 1024}).Draw(t, "named")
		e, err := New(cfg, 0, store)
		if err != nil {
			t.Fatal(err)
		}
		e.store = store
		identity := []byte("018f0000-0000-7000-8000-000000000001")
		many := rapid.SampledFrom([]int{3, 300, 1500}).Draw(t, "names")
		registered := e.cfg.Registry.Names()
		name := func(n int) string {
			if n < len(registered) && n < many/2 {
				return registered[n]
			}
			length := []int{1, 100, 130, 5000}[n%4]
			return fmt.Sprintf("%s.%s%d", []string{"a", "m", "z"}[n%3], strings.Repeat("x", length), n)
		}
		want := map[string]bool{} // by the model
		said := map[string]bool{} // by the records, as they come
		count := 0
		for n := range 2 * many {
			name := name(n * 7919 % many)
			is := n < many || rapid.IntRange(0, 2).Draw(t, "stays") > 0
			reads, wrote := store.reads, store.bytes
			if err := e.flag(identity, []byte(name), want[attribution.ShortPrimitive(name)], is); err != nil {
				t.Fatal(err)
			}
			if reads, wrote = store.reads-reads, store.bytes-wrote; reads > 3 || wrote > 300 {
				t.Fatalf("a flag of %d reads %d records and writes %d bytes", len(want), reads, wrote)
			}
			short := attribution.ShortPrimitive(name)
			delete(want, short)
			if is {
				want[short] = true
			}
			for _, key := range [][]byte{rowKey(nil, kindFlagged, identity, []byte(name)), idKey(nil, kindFlagCount, identity)} {
				f, err := Inspect(key, store.values[string(key)])
				switch {
				case err != nil || f.Identity != string(identity):
					t.Fatalf("the record of a flag says %+v, %v", f, err)
				case f.Kind == FlagCountFact:
					count = f.Count
				case f.Kind != FlaggedFact || f.Primitive != short || f.Gone == is:
					t.Fatalf("the record of flag %s says %+v", short, f)
				case f.Gone:
					delete(said, short)
				default:
					said[short] = true
				}
			}
		}
		if !maps.Equal(said, want) || count != len(want) {
			t.Fatalf("the records say %d flags, and that there are %d; want %d", len(said), count, len(want))
		}
		before := store.reads
		got, all, err := alternating(store, identity, e.cfg.Registry, &e.cfg.Thresholds)
		names := nameable(slices.Sorted(maps.Keys(want)), e.cfg.Registry, cfg.Thresholds.NamedPrimitives)
		if err != nil || !slices.Equal(got, names) || all != (len(names) == len(want)) {
			t.Fatalf("%d of %d may be named, want %d: %v", len(got), len(want), len(names), err)
		}
		if reads := store.reads - before; reads > cfg.Thresholds.NamedPrimitives+2*len(registered)+1 {
			t.Fatalf("%d records are read for %d names", reads, len(names))
		}
		for name := range want {
			if err := e.flag(identity, []byte(name), true, false); err != nil {
				t.Fatal(err)
			}
		}
		if len(store.keys) != 0 {
			t.Fatalf("%d records are left", len(store.keys))
		}
	})
}

// nameable is what a suspicion may name of sorted names.
func nameable(names []string, r *attribution.Registry, most int) (list []string) {
	others := 0
	for _, name := range names {
		if r.Lookup([]byte(name)) == nil {
			if others++; others > most {
				continue
			}
		}
		list = append(list, name)
	}
	return list
}

// flagsOf are sets of names of an identity.
type flagsOf struct{ alternate, return_ []string }

// checkFlags holds the sets of flags of tasks at rest against their rows.
func checkFlags(t fataler, c *cluster) (number int) {
	for p, s := range c.stores {
		want, got := map[string]*flagsOf{}, map[string]*flagsOf{}
		counts, suspects := map[string]int{}, map[string]bool{}
		of := func(sets map[string]*flagsOf, id string) *flagsOf {
			if sets[id] == nil {
				sets[id] = new(flagsOf)
			}
			return sets[id]
		}
		for _, k := range s.keys {
			f, err := Inspect([]byte(k), s.values[k])
			if err != nil {
				t.Fatal(err)
			}
			switch name := f.Primitive; f.Kind {
			case RowFact:
				if f.Published && f.Row.State == attribution.MultiActor {
					of(want, f.Identity).alternate = append(of(want, f.Identity).alternate, attribution.ShortPrimitive(name))
				}
				if f.Published && f.Row.Returns {
					of(want, f.Identity).return_ = append(of(want, f.Identity).return_, name)
				}
			case FlaggedFact:
				of(got, f.Identity).alternate = append(of(got, f.Identity).alternate, name)
			case ReturningFact:
				of(got, f.Identity).return_ = append(of(got, f.Identity).return_, name)
			case FlagCountFact:
				counts[f.Identity] = f.Count
			case SuspectFact:
				suspects[f.Identity] = true
			}
		}
		for id, w := range want {
			slices.Sort(w.alternate)
			slices.Sort(w.return_)
			if g := of(got, id); !slices.Equal(g.alternate, w.alternate) || !slices.Equal(g.return_, w.return_) || counts[id] != len(w.alternate) {
				t.Fatalf("task %d: the flags of %s are %q, and that there are %d; its rows say %q", p, id, *g, counts[id], *w)
			}
			if len(w.alternate) >= c.cfg.Thresholds.MultiActorPrimitives && !suspects[id] {
				t.Fatalf("task %d: %s is no suspect, and %q are in multi_actor", p, id, w.alternate)
			}
			number += len(w.alternate)
			delete(counts, id)
		}
		for id := range got {
			if want[id] == nil {
				t.Fatalf("task %d: %s has flags %q, and no row that says so", p, id, *got[id])
			}
		}
		if len(counts) > 0 {
			t.Fatalf("task %d: there are numbers of flags that are none: %v", p, counts)
		}
	}
	return number
}

// A tick takes no longer step, and reads no more of an identity, for what somebody makes
// up: names are read up to a bound, and identities of many end a step early.
func TestASweepReadsAsManyNamesAsASuspicionHas(t *testing.T) {
	const made = 500
	defer func(n int) { sweepNames = n }(sweepNames)
	sweepNames = 1000
	for _, rule := range []attribution.SuspicionRule{attribution.RuleEvidence, attribution.RulePrimitives} {
		t.Run(rule.String(), func(t *testing.T) {
			store := &countingStore{memStore: newMemStore()}
			cfg := testConfig(1)
			cfg.Thresholds.SuspicionRule, cfg.Thresholds.NamedPrimitives = rule, 100
			const identities = 40
			for i := range identities {
				id := []byte(attribution.Stub(fmt.Append(nil, i)).String())
				store.Put(idKey(nil, kindSuspect, id), appendTold(nil, attribution.Told{}))
				store.Put(idKey(nil, kindFlagCount, id), appendCount(nil, made))
				for n := range made {
					store.Put(rowKey(nil, kindFlagged, id, fmt.Appendf(nil, "a.made_up_%d", n)), flagRecord)
				}
				store.Put(rowKey(nil, kindRow, id, []byte("a.made_up_1")), appendRow(nil, &row{published: true, was: sampleRow}, 1, nil))
			}
			e, err := New(cfg, 0, store)
			if err != nil {
				t.Fatal(err)
			}
			out := new(posted)
			out.commands = append(out.commands, TickCommand(5))
			perIdentity := 2*cfg.Thresholds.NamedPrimitives + 2*len(e.cfg.Registry.Names()) + 10
			steps := 0
			for ; len(out.commands) > 0; steps++ {
				command := out.commands[0]
				out.commands = out.commands[1:]
				before := store.reads
				if err := e.Process(&Record{Source: Commands, Value: bytes.Clone(command)}, store, out); err != nil {
					t.Fatal(err)
				}
				if reads := store.reads - before; reads > 3*sweepNames+2*perIdentity {
					t.Errorf("a step reads %d records", reads)
				}
			}
			if n := e.cfg.Counters.Suspicions.Load(); n != identities || steps < 2 {
				t.Errorf("%d suspicions in %d steps, want %d", n, steps, identities)
			}
		})
	}
}

// A stub that is forgotten takes its flags along, row by row. What comes back meanwhile is
// flagged and suspected by its new rows alone, under either rule.
func TestForgettingTakesFlagsAway(t *testing.T) {
	smallSteps(t)
	forget := forgetStep
	t.Cleanup(func() { forgetStep = forget })
	between := 0
	rapid.Check(t, func(t *rapid.T) {
		forgetStep = rapid.SampledFrom([]int{1, 3, 1000}).Draw(t, "step")
		thresholds := attribution.DefaultThresholds()
		thresholds.SuspicionRule = rapid.SampledFrom([]attribution.SuspicionRule{attribution.RuleEvidence, attribution.RulePrimitives}).Draw(t, "rule")
		thresholds.NamedPrimitives = rapid.SampledFrom([]int{2, 1024}).Draw(t, "named")
		cfg := Config{Thresholds: thresholds, Registry: attribution.DefaultRegistry(), Partitions: 1, Counters: new(Counters), Retention: 30 * 24 * time.Hour}
		f := &feed{cluster: newClusterOf(t, cfg, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "network"), 1)))}
		f.crash = 0.05
		primitives := []string{"a.a", "x.b", "z.c", "toolchain.ssh.hassh_client"}
		for _, p := range madeUp {
			primitives = append(primitives, p.Name)
		}
		some := rapid.SliceOfNDistinct(rapid.SampledFrom(primitives), 1, len(primitives), rapid.ID[string])
		alternate := func(day float64, names []string) {
			for _, p := range names {
				for i := range 5 {
					f.observe("a", p, fmt.Sprintf(`"v%d"`, i%2), day*aDay+1000*float64(i), fmt.Sprint(day, i))
				}
			}
		}
		f.sweepAt(0)
		old := some.Draw(t, "old")
		for i := range rapid.IntRange(0, 10).Draw(t, "more") {
			old = append(old, fmt.Sprintf("o%d.d", i))
		}
		alternate(1, old)
		f.settle()
		f.sweepAt(2 * aDay)
		checkFlags(t, f.cluster)
		f.tickAt(40 * aDay)
		for len(f.tasks[0].forgetting) == 0 && f.step() {
		}
		for range rapid.IntRange(0, 20).Draw(t, "delivered") {
			f.step()
		}
		if len(f.tasks[0].forgetting) > 0 {
			between++
		}
		back := some.Draw(t, "new")
		alternate(39, back)
		f.events = nil
		r := f.rand
		if rapid.Bool().Draw(t, "input first") {
			f.rand = nil
		}
		for range rapid.IntRange(0, 5*len(back)).Draw(t, "delivered") {
			f.step()
		}
		f.tickAt(40 * aDay)
		for range rapid.IntRange(0, 5*len(back)).Draw(t, "delivered") {
			f.step()
		}
		f.rand = r
		f.settle()
		for _, e := range f.events {
			for _, p := range e.Primitives {
				if e.Status != "cleared" && !slices.ContainsFunc(back, func(name string) bool { return attribution.ShortPrimitive(name) == p }) {
					t.Fatalf("%+v is told of %q", e, back)
				}
			}
		}
		if n := checkFlags(t, f.cluster); len(f.rows) != len(back) {
			t.Fatalf("%d rows, %d flags, want rows of %q", len(f.rows), n, back)
		}
		f.tickAt(41 * aDay)
		f.settle()
		suspected := attribution.Evidence{Alternates: back}
		if slices.Contains(back, "toolchain.ssh.hassh_client") {
			suspected.Returns = []string{"toolchain.ssh.hassh_client"}
			suspected.Alternates = back[1:] // it alternates by no state
		}
		last := map[string]vectors.Event{}
		for _, e := range f.events {
			last[e.Type] = e
		}
		is := len(last["multi_actor_suspected"].Primitives) > 0 && last["multi_actor_suspected"].TS >= 40*aDay && last["multi_actor_suspected"].Status != "cleared"
		if thresholds.SuspicionRule == attribution.RulePrimitives {
			suspected.Returns = nil
		}
		if is != suspected.Suspected(&thresholds) {
			t.Fatalf("%q are of now, and the last suspicion is %+v", back, last["multi_actor_suspected"])
		}
	})
	if between == 0 && !testing.Short() {
		t.Error("nothing came while a stub was being forgotten: the test tests nothing")
	}
}

// What a suspicion has named goes on to be evidence while it holds, also where more has
// come since that may be named.
func TestWhatIsNamedStaysEvidence(t *testing.T) {
	store := newMemStore()
	cfg := testConfig(1)
	cfg.Thresholds.NamedPrimitives = 2
	e, err := New(cfg, 0, store)
	if err != nil {
		t.Fatal(err)
	}
	id := []byte("identity-x")
	for _, name := range []string{"a.made_up", "b.made_up", "c.made_up", "z.made_up"} {
		if err := e.flag(id, []byte(name), false, true); err != nil {
			t.Fatal(err)
		}
	}
	open := &attribution.OpenSuspicion{Named: []attribution.Reason{{Primitive: "b.made_up"}, {Primitive: "y.made_up"}, {Primitive: "z.made_up"}}}
	got, err := e.evidenceOf(id, open)
	if want := []string{"a.made_up", "b.made_up", "z.made_up"}; err != nil || !slices.Equal(got.Alternates, want) {
		t.Errorf("%q alternate, want %q; %v", got.Alternates, want, err)
	}
}
