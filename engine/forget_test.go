package engine

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/schemas"
)

// forgetter is the model of what identity-retention does. When a stub is
// forgotten depends on how a task takes turns between ticks and observations, so
// the model follows the transactions that commit: it holds each forgetting
// against the rule, and says what an attacker that comes back must find.
type forgetter struct {
	*cluster
	model      *model
	thresholds *attribution.Thresholds
	taken      map[attribution.Arrival]op // observations that were put in, by arrival
	alive      map[string]bool            // attackers that belonged to their stub after the last transaction
	seen       map[string]bool            // attackers that were observed since they were forgotten last
	accepted   map[string]int
	forgotten  int
	cameBack   int // observations of attackers that were forgotten
	was        map[string]bool
}

// committed is told of each transaction of a task.
func (f *forgetter) committed(task int, r *Record) {
	if attacker, arrival, is := f.atHome(task, r); is {
		f.observed(attacker, f.taken[arrival], arrival)
	}
	for attacker := range f.seen {
		home := f.tasks[attribution.AttackerPartition(attacker, int32(len(f.tasks)))]
		if int(home.task) != task {
			continue
		}
		home.store = f.stores[task]
		id, _, err := home.getIdentity([]byte(attribution.Stub([]byte(attacker)).String()))
		if err != nil {
			f.t.Fatal(err)
		}
		_, linked, err := home.getLink([]byte(attacker))
		if err != nil {
			f.t.Fatal(err)
		}
		own := string(id.Own) == attacker
		if f.alive[attacker] && !own && !linked {
			f.forget(attacker, r)
		}
		f.alive[attacker] = own
	}
}

// atHome returns the attacker and the arrival of an observation that a record
// brings to its attacker's home.
func (f *forgetter) atHome(task int, r *Record) (attacker string, at attribution.Arrival, is bool) {
	switch {
	case r.Source == Observations:
		o := f.taken[r.arrival()]
		return o.Attacker, r.arrival(), int(attribution.AttackerPartition(o.Attacker, int32(len(f.tasks)))) == task
	case r.Source == Commands && commandType(r.Value[1]) == cmdObserve:
		in := reader{b: r.Value[2:]}
		o := in.observe()
		return string(o.Attacker), o.Entry.Place, len(o.Identity) == 0
	}
	return "", at, false
}

func (f *forgetter) observed(attacker string, o op, arrival attribution.Arrival) {
	if f.was[attacker] && f.model.series[attacker] == nil {
		f.cameBack++
	}
	accepted, replaced := f.model.accepted, f.model.replaced
	f.model.observe(o, arrival, f.thresholds)
	f.accepted[attacker] += f.model.accepted - accepted - (f.model.replaced - replaced)
	f.seen[attacker] = true
}

// lastDay is the latest day that the rows of an attacker's stub have.
func (f *forgetter) lastDay(attacker string) (day uint64) {
	for _, s := range f.model.series[attacker] {
		day = max(day, dayOf(s.Entries[len(s.Entries)-1].TS))
	}
	return day
}

// forget holds a forgetting against the rule.
func (f *forgetter) forget(attacker string, r *Record) {
	in := reader{b: r.Value[2:]}
	now := math.NaN()
	switch commandType(r.Value[1]) {
	case cmdTick:
		now = in.tick().Time
	case cmdForgetOn:
		now = in.forgetOn().Time
	}
	day := f.lastDay(attacker)
	if before := dayOf(now - f.cfg.Retention.Seconds()); r.Source != Commands || day >= before {
		f.t.Fatalf("%s, observed on day %d, is forgotten by a record of time %v, which ends what is before day %d", attacker, day, now, before)
	}
	delete(f.model.series, attacker)
	f.model.accepted -= f.accepted[attacker]
	delete(f.accepted, attacker)
	delete(f.seen, attacker)
	f.was[attacker] = true
	f.forgotten++
}

// restartWith gives all tasks new engines with another retention.
func (f *forgetter) restartWith(retention time.Duration) {
	f.cfg.Retention = retention
	f.restart()
}

// checkForgotten makes a last tick. It then looks for stubs that should be gone, and for
// records of a stub that is gone.
func (f *forgetter) checkForgotten(now float64) {
	for range 2 { // the first may make the index
		f.tickAt(now)
		f.settle()
	}
	before := dayOf(now - f.cfg.Retention.Seconds())
	for attacker := range f.seen {
		day := f.lastDay(attacker)
		if _, named := f.named(attacker); f.alive[attacker] && !named && day < before {
			f.t.Fatalf("%s was observed last on day %d and is still there: day %d is over", attacker, day, before)
		}
	}
	for p, s := range f.stores {
		e := f.tasks[p]
		e.store = s
		for _, k := range s.keys {
			if bytes.IndexByte([]byte("rgbBfCtsk"), k[0]) < 0 {
				continue
			}
			identity, _, err := cutID([]byte(k[1:]))
			if err != nil {
				f.t.Fatal(err)
			}
			if _, known, err := e.getIdentity(identity); err != nil || !known {
				f.t.Fatalf("%q of %s is left, which is forgotten (%v)", k[0], identity, err)
			}
		}
	}
}

// named reports whether the home of an attacker's stub knows of an event.
func (f *forgetter) named(attacker string) (identity, bool) {
	home := f.tasks[attribution.AttackerPartition(attacker, int32(len(f.tasks)))]
	home.store = f.stores[home.task]
	id, _, err := home.getIdentity([]byte(attribution.Stub([]byte(attacker)).String()))
	if err != nil {
		f.t.Fatal(err)
	}
	return id, id.isNamed()
}

var forgottenAtLeast = flag.Int("forgotten", 0, "how many stubs the random histories must forget")

// TestRandomHistoriesForget plays random histories with ticks that forget, with
// transactions that fail, tasks that start anew, and a setting that changes.
func TestRandomHistoriesForget(t *testing.T) {
	smallSteps(t)
	forget, looked := forgetStep, lookStep
	t.Cleanup(func() { forgetStep, lookStep = forget, looked })
	forgotten, cameBack := 0, 0
	// A few short histories may well have none that comes back.
	for try := 0; try == 0 || cameBack == 0 && try < 20; try++ {
		rapid.Check(t, func(t *rapid.T) {
			forgetStep = rapid.SampledFrom([]int{1, 2, 1000}).Draw(t, "step")
			lookStep = rapid.SampledFrom([]int{1, 2, 1000}).Draw(t, "look")
			f := playForgetting(t)
			forgotten, cameBack = forgotten+f.forgotten, cameBack+f.cameBack
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d stubs were forgotten, %d of them came back", forgotten, cameBack)
	if forgotten == 0 || cameBack == 0 || forgotten < *forgottenAtLeast {
		t.Errorf("%d stubs were forgotten and %d came back: that proves nothing", forgotten, cameBack)
	}
}

func playForgetting(t *rapid.T) *forgetter {
	history := genHistory(t)
	partitions := rapid.SampledFrom([]int32{1, 3, 8}).Draw(t, "partitions")
	seed := rapid.Uint64().Draw(t, "network")
	registry, err := attribution.NewRegistry(modelPrimitives)
	if err != nil {
		t.Fatal(err)
	}
	thresholds := attribution.DefaultThresholds()
	const retention = 36 * time.Hour
	m := &model{series: map[string]map[string]*attribution.Series{}, pointers: map[string]string{}}
	c := newClusterOf(t, Config{Thresholds: thresholds, Registry: registry, Partitions: partitions, Counters: new(Counters), Retention: retention}, rand.New(rand.NewPCG(seed, 1)))
	c.crash = 0.05
	f := &forgetter{
		cluster: c, model: m, thresholds: &thresholds, taken: map[attribution.Arrival]op{}, alive: map[string]bool{}, seen: map[string]bool{},
		accepted: map[string]int{}, was: map[string]bool{},
	}
	c.committed = f.committed
	dead := 0
	draw := rand.New(rand.NewPCG(seed, 2))
	for i, o := range history {
		switch o.Kind {
		case "sweep":
			switch draw.IntN(8) {
			case 0:
				f.restartWith(0)
			case 1:
				f.restartWith(retention)
			default:
				c.tickAt(float64(draw.IntN(12)) * secondsADay / 2)
			}
		case "deliver":
			for range o.Steps {
				if !c.step() {
					break
				}
			}
		case "event":
			if draw.IntN(3) > 0 {
				break // else there is hardly a stub that none names
			}
			if m.take(o.Event) {
				dead++
			}
			step := o.step()
			c.input(&step, int64(i))
		case "observe":
			o.TS += secondsADay * float64(draw.IntN(4))
			step := o.step()
			f.taken[c.inputTo(&step, int64(i), o.Misrouted)] = o
		}
	}
	c.settle()
	if len(c.dead) != dead {
		t.Fatalf("dead letters %v, want %d", c.dead, dead)
	}
	checkAtRest(t, c, m, &thresholds)
	f.restartWith(retention)
	f.checkForgotten(float64(draw.IntN(12)) * secondsADay / 2)
	checkAtRest(t, c, m, &thresholds)
	return f
}

// forgetFeed is a task that forgets after 30 days.
func forgetFeed(t *testing.T) *feed {
	return &feed{cluster: newClusterOf(t, Config{Thresholds: attribution.DefaultThresholds(), Partitions: 1, Counters: new(Counters), Retention: 30 * 24 * time.Hour}, nil)}
}

const aDay = float64(secondsADay)

func (f *feed) sweepAt(ts float64) {
	f.t.Helper()
	f.tickAt(ts)
	f.settle()
}

// kinds returns how many records of each kind a task's store has.
func (f *feed) kinds() string {
	n := map[byte]int{}
	for _, k := range f.stores[0].keys {
		n[k[0]]++
	}
	text := ""
	for _, k := range slices.Sorted(maps.Keys(n)) {
		text += fmt.Sprintf("%c%d ", k, n[k])
	}
	return text
}

// TestStubIsForgotten follows one stub with everything that it may have.
func TestStubIsForgotten(t *testing.T) {
	f := forgetFeed(t)
	f.sweepAt(0)
	empty := f.kinds()
	f.alternate("a", "x.a")
	f.alternate("a", "x.b")
	long := bytes.Repeat([]byte("l"), 200)
	large := bytes.Repeat([]byte("m"), 2000)
	for i := range 3 {
		f.observe("a", "x.long", fmt.Sprintf("%q", long), float64(10+i), fmt.Sprint("l", i))
		f.observe("a", "x.large", fmt.Sprintf("%q", large), float64(10+i), fmt.Sprint("m", i))
	}
	for i := range 60 {
		f.observe("a", "toolchain.ssh.hassh_client", fmt.Sprintf(`"hash %d"`, i), float64(100+i), fmt.Sprint("h", i))
	}
	f.settle()
	f.sweepAt(1000)
	if n := len(f.suspicions()); n != 1 {
		t.Fatalf("%d suspicions, want 1", n)
	}
	before := f.kinds()
	f.sweepAt(31*aDay - 1)
	if now := f.kinds(); now != before {
		t.Fatalf("a tick of the last day changes %s to %s", before, now)
	}
	transitions := len(f.events)
	f.sweepAt(31 * aDay)
	if now := f.kinds(); now != empty {
		t.Errorf("forgotten, and there are records %s, before there were %s", now, empty)
	}
	if len(f.rows) != 0 {
		t.Errorf("rows of the state topic are left: %v", f.rows)
	}
	if len(f.events) != transitions+1 || f.events[transitions].Type != "multi_actor_suspected" {
		t.Fatalf("events %+v, want one that clears the suspicion", f.events[transitions:])
	}
	if f.cfg.Counters.Forgotten.Load() != 1 {
		t.Errorf("%d are counted", f.cfg.Counters.Forgotten.Load())
	}
	// It comes back with an observation that is older than what was forgotten.
	f.observe("a", "x.a", `"v0"`, 5, "again")
	f.settle()
	last := f.events[len(f.events)-1]
	if last.Type != "state_changed" || last.OldState != nil || last.Count != 1 {
		t.Errorf("it comes back as %+v, want a new row that counts 1", last)
	}
	f.sweepAt(31 * aDay)
	if now := f.kinds(); now != empty {
		t.Errorf("what is old when it comes is forgotten at the next tick: %s", now)
	}
}

// TestActiveStubMovesOnce counts what the index of last days costs a stub that is
// seen every day.
func TestActiveStubMovesOnce(t *testing.T) {
	f := forgetFeed(t)
	f.sweepAt(0)
	for day := range 100 {
		for i := range 20 {
			f.observe("a", fmt.Sprint("x.y", i), `"v"`, float64(day)*aDay+float64(i), fmt.Sprint(day))
		}
		f.settle()
		f.sweepAt(float64(day)*aDay + 100)
	}
	if n := f.cfg.Counters.Forgotten.Load(); n != 0 {
		t.Errorf("%d stubs are forgotten", n)
	}
	id, _, err := f.tasks[0].getIdentity([]byte(attribution.Stub([]byte("a")).String()))
	if err != nil || id.Due != 94 { // entered on day 1, looked at on days 32 and 63, and moved each time
		t.Errorf("its entry is of day %d (%v)", id.Due, err)
	}
	f.sweepAt(129 * aDay)
	if len(f.rows) == 0 {
		t.Fatal("forgotten a day too early")
	}
	f.sweepAt(130 * aDay) // after a month without ticks
	if len(f.rows) != 0 {
		t.Error("not forgotten in time")
	}
}

// TestManyRowsAreLookedAtInSteps stops after each step of a look at a stub with many
// rows and lets records come in between.
func TestManyRowsAreLookedAtInSteps(t *testing.T) {
	forget, looked := forgetStep, lookStep
	t.Cleanup(func() { forgetStep, lookStep = forget, looked })
	forgetStep, lookStep = 16, 8
	const rows, due = 200, 41 * aDay
	stub := attribution.Stub([]byte("a")).String()
	for name, c := range map[string]struct {
		meanwhile func(f *feed)
		stays     bool
		until     uint64 // the day of its entry, if it stays
	}{
		"nothing":   {func(*feed) {}, false, 0},
		"a restart": {func(f *feed) { f.restart() }, false, 0},
		"a row that was passed is observed": {func(f *feed) {
			f.observe("a", "x.y0", `"new"`, 41*aDay, "new")
		}, true, 42},
		"a new row before the rows that the look has passed": {func(f *feed) {
			f.observe("a", "a.a", `"new"`, 41*aDay, "new")
		}, true, 42},
		"an observation of before": {func(f *feed) {
			f.observe("a", "x.y0", `"new"`, 9*aDay, "new")
		}, false, 0},
		"one that is taken back": {func(f *feed) {
			f.observe("a", "x.y0", `"new"`, 41*aDay, "new")
			f.observe("a", "x.y0", `"newer"`, 9*aDay, "new")
		}, false, 0},
		"one that stays, and one of another row that is taken back to the day of the look": {func(f *feed) {
			f.observe("a", "x.y0", `"new"`, 41*aDay, "new")
			f.observe("a", "x.y1", `"new"`, 41*aDay, "other")
			f.observe("a", "x.y1", `"newer"`, 1*aDay, "other")
		}, true, 42},
		"an event that names it": {func(f *feed) {
			f.event(attribution.IdentityEvent{Type: attribution.Linked, Identity: stub, Attackers: []string{"a"}}, 0)
		}, true, 2},
		"an earlier tick": {func(f *feed) { f.tickAt(20 * aDay) }, false, 0},
		"a restart, and an earlier tick at which it is due too: the steps of both take turns": {func(f *feed) {
			f.restart()
			f.tickAt(40 * aDay)
		}, false, 0},
		"a later tick": {func(f *feed) { f.tickAt(42 * aDay) }, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := forgetFeed(t)
			f.sweepAt(0)
			for i := range rows {
				f.observe("a", fmt.Sprintf("x.y%d", i), `"old"`, 1*aDay, "1")
			}
			f.settle()
			f.tickAt(due)
			steps := 0
			for ; f.step() && f.tasks[0].retention.look.Stubs != nil; steps++ {
				if steps == 5 {
					c.meanwhile(f)
					for len(f.inputs[0]) > 0 { // observations and events, before commands
						f.step()
					}
				}
				if steps > rows {
					t.Fatal("it does not end")
				}
			}
			if steps < 6 {
				t.Errorf("looked at in %d steps", steps)
			}
			f.settle()
			f.sweepAt(due)
			if n := len(f.rows); (n > 0) != c.stays {
				t.Fatalf("%d rows are left", n)
			}
			if id, _, err := f.tasks[0].getIdentity([]byte(stub)); err != nil || c.stays && id.Due != c.until {
				t.Errorf("its entry is of day %d, want %d (%v)", id.Due, c.until, err)
			}
		})
	}
}

// TestReplacementTakesTheLastDayBack forgets by what the rows say, whatever they said
// before.
func TestReplacementTakesTheLastDayBack(t *testing.T) {
	f := forgetFeed(t)
	f.sweepAt(0)
	f.observe("a", "x.y", `"v"`, 20*aDay, "1")
	f.observe("b", "x.y", `"v"`, 20*aDay, "1")
	f.observe("b", "x.z", `"v"`, 20*aDay, "2")
	for _, attacker := range []string{"a", "b"} {
		f.observe(attacker, "x.y", `"w"`, 5*aDay, "1")
	}
	f.settle()
	f.sweepAt(36 * aDay)
	if n := len(f.rows); n != 2 {
		t.Fatalf("%d rows on day 36, want those of b, which has another of day 20", n)
	}
	f.sweepAt(50 * aDay)
	if n := len(f.rows); n != 2 {
		t.Fatalf("%d rows on day 50", n)
	}
	f.sweepAt(51 * aDay)
	if n := len(f.rows); n != 0 {
		t.Fatalf("%d rows on day 51", n)
	}
}

// TestGroupsOfLastDays counts the records that new stubs open, and looks at all of
// them, whatever day they come from and however often their task starts anew.
func TestGroupsOfLastDays(t *testing.T) {
	f := forgetFeed(t)
	f.sweepAt(0)
	const stubs = 160
	for i := range stubs {
		f.observe(fmt.Sprint("attacker-", i), "x.y", `"v"`, float64(i%2)*aDay, "1")
	}
	f.settle()
	groups := 0
	for _, k := range f.stores[0].keys {
		if k[0] == kindLastDay {
			groups++
		}
	}
	if groups != stubs/groupStubs {
		t.Errorf("%d records for %d stubs of two days, want %d", groups, stubs, stubs/groupStubs)
	}
	f.restart()
	for i := range stubs {
		f.observe(fmt.Sprint("another-", i), "x.y", `"v"`, float64(i)*aDay, "1")
		if i%10 == 0 {
			f.settle()
			f.restart()
		}
	}
	f.settle()
	f.sweepAt(30*aDay + float64(stubs)*aDay)
	if n := f.cfg.Counters.Forgotten.Load(); n != 2*stubs || len(f.rows) != 0 {
		t.Errorf("%d are forgotten and %d rows left, want %d and none", n, len(f.rows), 2*stubs)
	}
	for _, k := range f.stores[0].keys {
		if k[0] == kindLastDay || k[0] == kindLook {
			t.Fatalf("a record of kind %c is left", k[0])
		}
	}
}

// TestObservationsOfAKnownStubWriteNothingMore compares what is written with a
// retention and without.
func TestObservationsOfAKnownStubWriteNothingMore(t *testing.T) {
	written := func(retention time.Duration) (keys []string) {
		f := &feed{cluster: newClusterOf(t, Config{Thresholds: attribution.DefaultThresholds(), Partitions: 1, Counters: new(Counters), Retention: retention}, nil)}
		f.sweepAt(0)
		f.observe("a", "x.y", `"v"`, 1, "1")
		f.settle()
		for day := range 100 {
			f.observe("a", "x.y", `"v"`, float64(day)*aDay, fmt.Sprint("s", day))
			was := maps.Clone(f.stores[0].values)
			f.settle()
			for k, v := range f.stores[0].values {
				if !bytes.Equal(was[k], v) {
					keys = append(keys, fmt.Sprint(day, k[0]))
				}
			}
		}
		slices.Sort(keys)
		return keys
	}
	if with, without := written(30*24*time.Hour), written(0); !slices.Equal(with, without) {
		t.Errorf("written with a retention:\n%v\nwithout:\n%v", with, without)
	}
}

// TestNamedStubStays lists attackers in events of every kind.
func TestNamedStubStays(t *testing.T) {
	stub := func(a string) string { return attribution.Stub([]byte(a)).String() }
	for name, e := range map[string]attribution.IdentityEvent{
		"linked elsewhere":       {Type: attribution.Linked, Identity: "elsewhere", Attackers: []string{"a"}},
		"linked to its own stub": {Type: attribution.Linked, Identity: stub("a"), Attackers: []string{"a"}},
		"another linked to it":   {Type: attribution.Linked, Identity: stub("a"), Attackers: []string{"b"}},
		"merged":                 {Type: attribution.Merged, Identity: "winner", Loser: stub("a")},
		"a winner":               {Type: attribution.Merged, Identity: stub("a"), Loser: stub("b")},
		"unmerged":               {Type: attribution.Unmerged, Identity: "winner", Loser: stub("a")},
	} {
		t.Run(name, func(t *testing.T) {
			f := forgetFeed(t)
			f.sweepAt(0)
			f.observe("a", "x.a", `"v"`, 1, "1")
			f.observe("b", "x.b", `"v"`, 1, "1")
			f.observe("c", "x.b", `"v"`, 1, "1")
			f.settle()
			f.event(e, 0)
			f.settle()
			f.sweepAt(1000 * aDay)
			seen := map[string]bool{}
			for _, r := range f.allRows() {
				seen[r.Primitive] = true
				if r.Identity == stub("c") {
					t.Error("c is not forgotten, whom no event has named")
				}
			}
			if !seen["x.a"] {
				t.Errorf("what a has shown is forgotten: %v", f.rows)
			}
		})
	}
}

// TestEventThatMovesNobodyKeepsNoStub takes events that have a stub's name and do
// nothing there: it neither loses, nor does anybody come or go.
func TestEventThatMovesNobodyKeepsNoStub(t *testing.T) {
	stub := func(a string) string { return attribution.Stub([]byte(a)).String() }
	for name, events := range map[string][]attribution.IdentityEvent{
		"formed of nobody":               {{Type: attribution.Formed, Identity: stub("a")}},
		"it wins over nobody":            {{Type: attribution.Merged, Identity: stub("a"), Loser: "nobody"}},
		"it wins over one never seen":    {{Type: attribution.Merged, Identity: stub("a"), Loser: stub("never")}},
		"it wins over nobody, and loses": {{Type: attribution.Merged, Identity: stub("a"), Loser: "nobody"}, {Type: attribution.Unmerged, Identity: stub("a"), Loser: "nobody"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := forgetFeed(t)
			f.sweepAt(0)
			f.observe("a", "x.a", `"v"`, 1, "1")
			f.settle()
			for i, e := range events {
				f.event(e, int64(i))
				f.settle()
			}
			f.sweepAt(1000 * aDay)
			if rows := f.allRows(); len(rows) > 0 {
				t.Errorf("a is not forgotten, whom no event has named: %v", rows)
			}
		})
	}
}

// TestManyRowsAreForgottenInSteps stops after each step of a stub with many rows
// and lets each kind of record come in between.
func TestManyRowsAreForgottenInSteps(t *testing.T) {
	was := forgetStep
	t.Cleanup(func() { forgetStep = was })
	forgetStep = 16
	const rows = 200
	stub := attribution.Stub([]byte("a")).String()
	for name, meanwhile := range map[string]func(f *feed, step int){
		"nothing":    func(*feed, int) {},
		"a restart":  func(f *feed, _ int) { f.restart() },
		"other tick": func(f *feed, step int) { f.tickAt(41*aDay + float64(step)) },
		"an observation": func(f *feed, step int) {
			f.observe("a", fmt.Sprintf("x.y%d", 7*step%rows), `"new"`, 41*aDay, fmt.Sprint("new", step))
		},
		"an event that takes it away": func(f *feed, step int) {
			if step == 2 {
				f.event(attribution.IdentityEvent{Type: attribution.Linked, Identity: "elsewhere", Attackers: []string{"a"}}, 0)
			}
			f.observe("a", "x.y199", `"new"`, 41*aDay, fmt.Sprint("new", step))
		},
		"another that is linked to it": func(f *feed, step int) {
			if step == 2 {
				f.event(attribution.IdentityEvent{Type: attribution.Linked, Identity: stub, Attackers: []string{"b"}}, 0)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := forgetFeed(t)
			f.sweepAt(0)
			for i := range rows {
				f.observe("a", fmt.Sprintf("x.y%d", i), `"old"`, 1, "1")
			}
			f.observe("b", "x.y150", `"b"`, 41*aDay, "1")
			f.settle()
			f.tickAt(41 * aDay)
			counts := map[string]int64{}
			for len(f.tasks[0].forgetting) == 0 && f.step() { // it is looked at first
			}
			steps := 0
			for ; f.step(); steps++ {
				meanwhile(f, steps)
				if steps > 1000 {
					t.Fatal("it does not end")
				}
				for range 3 { // what came
					if len(f.inputs[0]) > 0 {
						f.step()
					}
				}
				if steps == 40 {
					meanwhile = func(*feed, int) {}
				}
			}
			f.settle()
			if steps < rows/forgetStep {
				t.Errorf("forgotten in %d steps", steps)
			}
			for _, r := range f.allRows() {
				counts[r.Identity+"/"+r.Primitive] = r.Count
				if string(r.Value) == `"old"` {
					t.Fatalf("row %+v is left", r)
				}
			}
			if name == "an observation" && len(counts) < 12 || name == "another that is linked to it" && counts[stub+"/x.y150"] != 1 ||
				name == "an event that takes it away" && counts["elsewhere/x.y199"] < 12 {
				t.Errorf("rows %v", counts)
			}
			for _, k := range f.stores[0].keys {
				if k[0] == kindForgetting || k[0] == kindFresh {
					t.Fatalf("a record of kind %c is left", k[0])
				}
			}
		})
	}
}

// A step that reads the last rows of a stub takes only so many of them away that it is not
// more than a step in all.
func TestALookAndWhatItForgetsShareAStep(t *testing.T) {
	forget, looked := forgetStep, lookStep
	t.Cleanup(func() { forgetStep, lookStep = forget, looked })
	forgetStep, lookStep = 16, 12
	for rows := 1; rows <= 60; rows++ {
		f := forgetFeed(t)
		f.sweepAt(0)
		for i := range rows {
			f.observe("a", fmt.Sprintf("x.y%d", i), `"old"`, 1*aDay, "1")
		}
		f.settle()
		left := func() (n int) {
			for _, k := range f.stores[0].keys {
				if k[0] == kindRow {
					n++
				}
			}
			return n
		}
		f.tickAt(41 * aDay)
		read, before := 0, left()
		for f.step() && left() == before {
			read += min(forgetStep, rows-read) // a step that takes none away reads rows alone
		}
		if took := before - left(); took+rows-read > forgetStep {
			t.Errorf("of %d rows the step that read the last %d took %d away, want %d in all at most", rows, rows-read, took, forgetStep)
		}
		f.settle()
		if n := left(); n > 0 {
			t.Fatalf("%d of %d rows are left", n, rows)
		}
	}
}

// TestRetentionThatIsTurnedOnLater finds the stubs of before, and none too early.
func TestRetentionThatIsTurnedOnLater(t *testing.T) {
	smallSteps(t)
	f := &feed{cluster: newClusterOf(t, Config{Thresholds: attribution.DefaultThresholds(), Partitions: 1, Counters: new(Counters)}, nil)}
	for i := range 20 {
		f.observe(fmt.Sprint("attacker-", i), "x.y", `"v"`, float64(i)*aDay, "1")
	}
	f.settle()
	f.sweepAt(100 * aDay)
	for _, k := range f.stores[0].keys {
		if k[0] == kindLastDay || k[0] == kindLastDays || k[0] == kindLook {
			t.Fatalf("without a retention there is a record of kind %c", k[0])
		}
	}
	on := func(days int) {
		f.cfg.Retention = time.Duration(days) * 24 * time.Hour
		f.restart()
	}
	on(30)
	f.sweepAt(40 * aDay) // makes the index
	f.sweepAt(40 * aDay)
	if n := len(f.rows); n != 10 {
		t.Fatalf("%d rows on day 40, want those of 10 days", n)
	}
	on(0)
	f.observe("attacker-10", "x.y", `"v"`, 40*aDay, "2")
	f.settle()
	on(30)
	f.sweepAt(60 * aDay)
	f.sweepAt(60 * aDay)
	if n := len(f.rows); n != 1 {
		t.Fatalf("%d rows on day 60, want the one that was observed while it was off", n)
	}
}

// TestReplayForgets gives a replay observations with months between them.
func TestReplayForgets(t *testing.T) {
	f := &feed{cluster: newClusterOf(t, Config{Thresholds: attribution.DefaultThresholds(), Partitions: 1, Counters: new(Counters), Retention: 30 * 24 * time.Hour, ReplayInterval: 60}, nil)}
	f.observe("a", "x.y", `"v"`, 1, "1")
	f.observe("b", "x.y", `"v"`, 20*aDay, "1")
	f.observe("c", "x.y", `"v"`, 40*aDay, "1")
	f.settle()
	if n := len(f.rows); n != 2 {
		t.Fatalf("%d rows, want those of b and c", n)
	}
}

// TestAwaitedStubStays lets an observation wait at a stub for its attacker.
func TestAwaitedStubStays(t *testing.T) {
	f := forgetFeed(t)
	f.sweepAt(0)
	f.observe("a", "x.y", `"v"`, 1, "1")
	f.settle()
	stub := attribution.Stub([]byte("a")).String()
	o := schemas.ObservationDecoder{}
	var obs attribution.Observation
	if err := o.Decode([]byte(`{"attacker_uuid":"b","primitive":"x.y","value":"w","ts":2,"evidence_ref":"e"}`), &obs); err != nil {
		t.Fatal(err)
	}
	f.post(0, 0, appendObserve(nil, &observe{Attacker: []byte("b"), Identity: []byte(stub), Version: 1, Primitive: obs.Primitive, Entry: attribution.Entry{TS: 2, Value: obs.Value}}))
	for f.step() {
	}
	f.tickAt(100 * aDay)
	for f.step() {
	}
	if len(f.rows) != 1 {
		t.Error("a stub is forgotten that somebody is on the way to")
	}
	f.tickAt(200 * aDay)
	for f.step() {
	}
	if len(f.rows) != 1 {
		t.Error("a stub is forgotten that somebody is on the way to")
	}
}
