package engine

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"handprint/attribution"
)

func unionOf(attackers int) *attribution.Union {
	thresholds := attribution.DefaultThresholds()
	u := attribution.NewUnion(attribution.Hash, &thresholds)
	for i := range attackers {
		u.Add(&attribution.Series{Count: 1, Entries: []attribution.Entry{{TS: float64(i), Value: attribution.Value(fmt.Sprint(`"`, i, `"`))}}}, fmt.Append(nil, "attacker ", i))
	}
	return u
}

// Tasks share the memory for unions: one alone has all of it, and gives back what is more
// than its part when another has use for it.
func TestTasksShareTheMemoryForUnions(t *testing.T) {
	const each = 100
	size := unionOf(each).Size()
	memory := NewUnionMemory(10 * size)
	first, second := newUnions(memory), newUnions(memory)
	fill := func(u *unions, rows int) {
		for i := range rows {
			u.hold(fmt.Append(nil, "row ", i), unionOf(each))
		}
	}
	check := func(what string, u *unions, least, most int) {
		t.Helper()
		sum := 0
		for _, union := range u.rows {
			sum += union.Size()
		}
		if held := int(u.share.held.Load()); held != sum || held < least*size || held > most*size {
			t.Errorf("%s: %d bytes held, unions of %d, want between %d and %d", what, held, sum, least*size, most*size)
		}
	}
	fill(&first, 30)
	check("one task alone", &first, 5, 10)
	fill(&second, 30)
	check("the task that came later, while the first rests", &second, 2, 5)
	fill(&first, 1)
	check("the first task at its next union", &first, 3, 8)
	if taken := memory.Taken(); taken > int64(10*size) {
		t.Errorf("together they take %d bytes, more than %d", taken, 10*size)
	}
	// A row that takes more than there is room for is read anew each time.
	third := newUnions(NewUnionMemory(size / 2))
	fill(&third, 1)
	if check("a row that is too large", &third, 0, 0); len(third.rows) > 0 {
		t.Error("a union is held that there is no room for")
	}

	second.share.close()
	for key := range first.rows {
		first.drop([]byte(key))
	}
	if memory.Taken() != 0 || memory.users.Load() != 0 {
		t.Errorf("nothing is held, and %d bytes are taken by %d tasks", memory.Taken(), memory.users.Load())
	}
}

// Tasks that take what they need one after another, while those before have no records,
// take a quarter more than there is at most; with a record each there is an equal share
// for all.
func TestTasksThatRestLeaveRoomForUnions(t *testing.T) {
	const each, rows = 20, 64
	size := unionOf(each).Size()
	memory := NewUnionMemory(rows * size)
	tasks := make([]unions, 32)
	for n := range tasks {
		tasks[n] = newUnions(memory)
		for i := range 2 * rows {
			tasks[n].hold(fmt.Append(nil, "row ", i), unionOf(each))
			if taken, most := memory.Taken(), memory.limit+memory.limit/maxExcess+int64(size); taken > most {
				t.Fatalf("%d tasks take %d bytes, want %d at most", n+1, taken, most)
			}
		}
	}
	for n := range tasks {
		if tasks[n].share.over() {
			tasks[n].grew(0)
		}
	}
	if taken := memory.Taken(); taken > memory.limit {
		t.Errorf("after a record of each, they take %d bytes of %d", taken, memory.limit)
	}
}

// While the memory is used up, rows whose unions are missing leave those in place that are
// held, seven times in eight, and no union is made for nothing then.
func TestWhatIsHeldStaysWhenTheMemoryIsUsedUp(t *testing.T) {
	const attackers = 20
	identity := []byte("018f0000-0000-7000-8000-000000000001")
	store, out := newMemStore(), new(heard)
	for i := range attackers {
		attacker := fmt.Append(nil, "attacker ", i)
		store.Put(idKey(nil, kindLink, attacker), appendLink(nil, link{Identity: identity, By: origin{Version: 1}}))
		store.Put(idsKey(nil, kindMember, identity, attacker), appendMember(nil, member{Version: 1}))
	}
	cfg := testConfig(1)
	e, err := New(cfg, 0, store)
	if err != nil {
		t.Fatal(err)
	}
	const rows = 8
	n := 0
	observe := func(row int) {
		t.Helper()
		n++
		r := Record{Source: Observations, Offset: int64(n), Time: 1_700_000_000_000, Key: fmt.Append(nil, "attacker ", n%attackers), Value: fmt.Appendf(nil,
			`{"attacker_uuid":"attacker %d","primitive":"x.y%d","value":"v","ts":%d,"evidence_ref":"s%d"}`, n%attackers, row, 1_700_000_000+n, n)}
		if err := e.Process(&r, store, out); err != nil {
			t.Fatal(err)
		}
	}
	for row := range rows {
		for range attackers {
			observe(row)
		}
	}
	if len(e.unions.rows) != rows {
		t.Fatalf("%d unions are held, want %d", len(e.unions.rows), rows)
	}
	// There is room for one that remembers as few as it can.
	if err := e.Reload(store); err != nil {
		t.Fatal(err)
	}
	observe(0)
	size := 0
	for _, union := range e.unions.rows {
		for union.Shrink() > 0 {
		}
		size = union.Size()
	}
	e.cfg.Unions = NewUnionMemory(size * 33 / 32)
	if err := e.Reload(store); err != nil {
		t.Fatal(err)
	}
	observe(0)
	made, held := 0, ""
	for i := range 64 {
		observe(1 + i%(rows-1))
		if len(e.unions.rows) != 1 {
			t.Fatalf("%d unions are held, want 1", len(e.unions.rows))
		}
		for key := range e.unions.rows {
			if key != held {
				made, held = made+1, key
			}
		}
	}
	if most := 1 + 64/admitOne; made > most || made < 2 {
		t.Errorf("%d unions were held one after another, want 2 to %d", made, most)
	}
	e.store = store
	checkRow(t, e, store, identity, []byte("x.y3"))
}

// A task that does not ask for its unions gives them up at a tick, five minutes after one
// before which it did, if others might do with the memory. One that asks keeps them.
func TestATaskGivesUpUnionsThatItDoesNotAskFor(t *testing.T) {
	const each, rows = 100, 8
	size := unionOf(each).Size()
	identity := []byte("018f0000-0000-7000-8000-000000000001")
	for name, tt := range map[string]struct {
		room int // in unions
		asks bool
		want int
	}{
		"it rests, and little is left":  {rows + 1, false, 0},
		"it rests, and most is left":    {4 * rows, false, rows},
		"it asks for one of its unions": {rows + 1, true, rows},
		"it asks, and nothing is left":  {rows, true, rows},
	} {
		store, out := newMemStore(), &laterBox{now: 1_700_000_000}
		cfg := testConfig(1)
		cfg.Unions = NewUnionMemory(tt.room * size)
		e, err := New(cfg, 0, store)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			e.holdUnion(identity, fmt.Append(nil, "primitive.", i), unionOf(each))
		}
		for range 4 {
			if err := e.Process(&Record{Source: Commands, Key: []byte("tick"), Value: TickCommand(out.now)}, store, out); err != nil {
				t.Fatal(err)
			}
			out.now += maxUnionRest / 2
			if tt.asks && e.union(identity, []byte("primitive.0")) == nil {
				t.Errorf("%s: the union that is asked for is gone", name)
			}
		}
		if n := len(e.unions.rows); n != tt.want || e.cfg.Unions.Taken() != int64(n*size) {
			t.Errorf("%s: it has %d unions and takes %d bytes, want %d of %d bytes", name, n, e.cfg.Unions.Taken(), tt.want, size)
		}
	}
}

// laterBox hears what a task says, at a time that the test sets.
type laterBox struct {
	heard
	now float64 // Unix seconds
}

func (b *laterBox) Now() float64 { return b.now }

// A task that moves to another process gives back its memory when it is garbage.
func TestATaskThatIsDroppedGivesItsUnionMemoryBack(t *testing.T) {
	memory := NewUnionMemory(1 << 20)
	func() {
		u := newUnions(memory)
		u.hold([]byte("row"), unionOf(10))
	}()
	if memory.Taken() == 0 {
		t.Fatal("nothing is held")
	}
	for end := time.Now().Add(3 * time.Minute); memory.Taken() != 0; {
		if time.Now().After(end) {
			t.Fatalf("%d bytes are not given back", memory.Taken())
		}
		runtime.GC()
	}
}

// What a union says it takes is about what it takes: one of many attackers or values, and
// many that are little more than their newest entries.
func TestTheSizeOfAUnionIsMeasured(t *testing.T) {
	for _, tt := range []struct {
		unions, attackers, each, window, value, values int
		returning                                      bool
	}{
		{1, 20_000, 1, 5, 32, 1 << 30, false}, {1, 200, 100, 5, 32, 1 << 30, false}, {30, 2000, 1, 5, 32, 7, false}, {300, 30, 1, 5, 32, 1, false},
		{300, 10, 20, 5, 250, 1 << 30, false}, {50, 10, 100, 200, 20, 1 << 30, false}, {50, 10, 100, 200, 250, 1 << 30, false},
		{20, 5000, 1, 5, 32, 7, true},
	} {
		heap := func() int {
			var m runtime.MemStats
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(&m)
			return int(m.HeapAlloc)
		}
		thresholds := attribution.DefaultThresholds()
		thresholds.Window = tt.window
		before, n, size := heap(), 0, 0
		unions := make([]*attribution.Union, tt.unions)
		for i := range unions {
			unions[i] = attribution.NewUnion(attribution.Hash, &thresholds)
			for a := range tt.attackers {
				s := attribution.Series{Count: int64(tt.each)}
				for range tt.each {
					s.Entries = append(s.Entries, attribution.Entry{TS: float64(n), Value: fmt.Appendf(nil, `"%0*x"`, tt.value, n%tt.values), Evidence: uint64(n)})
					n++
				}
				unions[i].Add(&s, fmt.Append(nil, "203.0.113.", a))
				if tt.returning {
					unions[i].SetReturns(fmt.Sprint("203.0.113.", a), true)
				}
			}
			size += unions[i].Size()
		}
		compare := func(what string) {
			t.Helper()
			took := heap() - before
			if took > 2*size || size > 2*took {
				t.Errorf("%+v, %s: takes %d bytes and says %d", tt, what, took, size)
			} else {
				t.Logf("%+v, %s: takes %d bytes and says %d", tt, what, took, size)
			}
		}
		compare("all that it can remember")
		for _, u := range unions {
			for less := u.Shrink(); less > 0; less = u.Shrink() {
				size -= less
			}
		}
		compare("little")
		runtime.KeepAlive(unions)
	}
}
