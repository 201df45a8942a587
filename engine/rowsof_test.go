package engine

import (
	"fmt"
	"strings"
	"testing"
)

// Primitives that one attacker of an identity has made up, with long names or short ones,
// cost the others nothing when they leave; and whoever leaves takes all along, what came
// since the rows were listed too.
func TestWhoLeavesLooksAtRowsOfItsOwn(t *testing.T) {
	const made, shared, attackers = 1500, 3, 30
	for _, long := range []int{0, 200} {
		t.Run(fmt.Sprint(long), func(t *testing.T) {
			store, out := &countingStore{memStore: newMemStore()}, new(posted)
			old, other := []byte("018f0000-0000-7000-8000-000000000001"), []byte("018f0000-0000-7000-8000-000000000002")
			name := func(i int) []byte { return fmt.Appendf(nil, "a%d", i) }
			for i := range attackers {
				store.Put(idKey(nil, kindLink, name(i)), appendLink(nil, link{Identity: old, By: origin{Version: 1}}))
				store.Put(idsKey(nil, kindMember, old, name(i)), appendMember(nil, member{Version: 1}))
			}
			e, err := New(testConfig(1), 0, store)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			observe := func(attacker []byte, primitive string) {
				t.Helper()
				n++
				r := Record{Source: Observations, Time: 1, Offset: int64(n), Key: attacker, Value: fmt.Appendf(nil,
					`{"attacker_uuid":%q,"primitive":%q,"value":1,"ts":%d,"evidence_ref":"s"}`, attacker, primitive, n)}
				if err := e.Process(&r, store, out); err != nil {
					t.Fatal(err)
				}
			}
			for i := range made {
				observe(name(0), fmt.Sprintf("made.%sp%04d", strings.Repeat("x", long), i))
			}
			for i := range attackers {
				for p := range shared {
					observe(name(i), fmt.Sprintf("shared.p%d", p))
				}
				observe(name(i), fmt.Sprintf("made.%sp%04d", strings.Repeat("x", long), i)) // one of two attackers
				observe(name(i), fmt.Sprintf("own.p%d", i))
			}
			leave := func(attackers ...int) (reads int) { // at the same time
				t.Helper()
				before := store.reads
				out.commands = nil
				for _, i := range attackers {
					out.commands = append(out.commands, appendDetach(nil, &detach{By: origin{Version: 2}, Attacker: name(i), Old: old, New: other}))
				}
				for len(out.commands) > 0 {
					next := out.commands[0]
					if out.commands = out.commands[1:]; commandType(next[1]) == cmdDone {
						continue
					}
					if err := e.Process(&Record{Source: Commands, Time: 1, Offset: 1, Value: next}, store, out); err != nil {
						t.Fatal(err)
					}
				}
				return store.reads - before
			}
			alone := leave(1)
			e.rowsOf.forget()
			if reads := leave(2, 3, 4, 5, 6); reads > 2*alone {
				t.Errorf("five attackers that leave at the same time read %d records, one alone %d", reads, alone)
			}
			observe(name(7), "late.p0") // before it has left
			for i := 7; i < attackers; i++ {
				if reads := leave(i); reads > 150 {
					t.Fatalf("attacker %d reads %d records as it leaves", i, reads)
				}
			}
			left := 0
			err = scan(store, idKey(nil, kindContribution, old), nil, func(rest, _ []byte) error {
				if _, attacker, err := cutPrimitive(rest); err != nil || string(attacker) != string(appendID(nil, name(0))) {
					t.Errorf("left behind: %q, %v", rest, err)
				}
				left++
				return nil
			})
			if want := made + shared + 1; err != nil || left != want {
				t.Errorf("%d contributions are left, %v; want %d", left, err, want)
			}
			rows := 0
			err = scan(store, idKey(nil, kindContribution, other), nil, func(_, _ []byte) error { rows++; return nil })
			if want := (attackers-1)*(shared+2) + 1; err != nil || rows != want {
				t.Errorf("%d contributions have arrived, %v; want %d", rows, err, want)
			}
			leave(0)
			none := 0
			if err = scan(store, idKey(nil, kindContribution, old), nil, func(_, _ []byte) error { none++; return nil }); err != nil || none > 0 {
				t.Errorf("%d contributions are left at last, %v", none, err)
			}
		})
	}
}

// Attackers that leave at the same time wait for the one that lists the rows, and not for one
// that does not go on.
func TestWhoLeavesWaitsForTheListOfRows(t *testing.T) {
	var r rowsOf
	r.begins([]byte("i"), []byte("a"), 100)
	r.next = []byte("row")
	for n := range 2 * maxWaits {
		if r.wait([]byte("i"), []byte("a")) || r.wait([]byte("j"), []byte("b")) {
			t.Fatal("who makes it waits, or an attacker of another identity")
		}
		if waits := r.wait([]byte("i"), []byte("b")); waits != (n < maxWaits) {
			t.Fatalf("wait number %d: %v", n, waits)
		}
	}
	r.next = nil
	if r.wait([]byte("i"), []byte("b")) {
		t.Error("an attacker waits for a list that is complete")
	}
}

// What is known of an identity's rows is bounded, and another identity that was left lately
// keeps its own.
func TestRowsOfAreBounded(t *testing.T) {
	var r rowsOf
	if !r.begins([]byte("i"), []byte("a"), 100) {
		t.Fatal("it does not begin")
	}
	if r.begins([]byte("j"), []byte("a"), 130) {
		t.Error("another identity takes its place after 30 s")
	}
	for i := 0; i < 1_000_000 && !r.refused; i++ {
		r.came([]byte("i"), fmt.Appendf(nil, "made.p%d", i), []byte("a"))
	}
	if !r.refused || r.size > maxRowsOf {
		t.Errorf("refused %v at %d bytes", r.refused, r.size)
	}
	if _, ok := r.list([]byte("i"), []byte("a"), 131); ok || r.begins([]byte("i"), []byte("a"), 132) {
		t.Error("it goes on after it was refused")
	}
	if !r.begins([]byte("j"), []byte("a"), 100+maxRowsOfRest) {
		t.Error("another identity does not take its place after a minute")
	}
}

// A list that becomes too large is given up wherever that happens, and whoever leaves looks at
// all rows again.
func TestAListOfRowsThatIsTooLargeIsGivenUp(t *testing.T) {
	identity := []byte("018f0000-0000-7000-8000-000000000001")
	const rows, attackers = 4, 12
	for _, long := range []int{0, 200} {
		store := newMemStore()
		var primitives [][]byte
		for i := range rows {
			primitives = append(primitives, fmt.Appendf(nil, "made.%sp%d", strings.Repeat("x", long), i))
			for a := range attackers {
				if i < rows-1 || a < 3 { // the last row has few
					store.Put(seriesKey(nil, kindContribution, identity, primitives[i], fmt.Appendf(nil, "a%d-%d", i, a)), []byte{1})
				}
			}
		}
		e, err := New(testConfig(1), 0, store)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for room := range 5000 {
			e.rowsOf.forget()
			e.rowsOf.begins(identity, []byte("a"), 1)
			e.rowsOf.size = maxRowsOf - room
			if err := e.listRows(identity, primitives); err != nil {
				t.Fatal(err)
			}
			e.rowsOf.came(identity, []byte("late"), []byte("late"))
			listed, ok := e.rowsOf.list(identity, fmt.Appendf(nil, "a%d-0", rows-1), 1)
			switch {
			case e.rowsOf.refused:
				if refused++; ok || len(e.rowsOf.names)+len(e.rowsOf.of)+len(e.rowsOf.all) > 0 {
					t.Fatalf("room for %d bytes: %d rows are listed, %v; %+v", room, len(listed), ok, e.rowsOf)
				}
			case !ok || len(listed) != rows:
				t.Fatalf("room for %d bytes: %d rows are listed, %v", room, len(listed), ok)
			}
		}
		if refused < 500 || refused == 5000 {
			t.Errorf("%d were given up", refused)
		}
	}
}

// Contributions to rows with long names that lie between those of two others, as their keys
// are cut, are not gone over one by one.
func TestCutNamesBetweenRowsAreSkipped(t *testing.T) {
	identity := []byte("018f0000-0000-7000-8000-000000000001")
	store := &countingStore{memStore: newMemStore()}
	begin := strings.Repeat("x", 80)
	for i := range 3000 {
		store.Put(seriesKey(nil, kindContribution, identity, fmt.Appendf(nil, "%s%0100d", begin, i), []byte("a")), []byte{1})
	}
	primitives := [][]byte{[]byte(begin + "~"), []byte(begin + "~g"), []byte(begin + "~h")}
	for i, primitive := range primitives {
		store.Put(seriesKey(nil, kindContribution, identity, primitive, fmt.Appendf(nil, "b%d", i)), []byte{1})
	}
	e, err := New(testConfig(1), 0, store)
	if err != nil {
		t.Fatal(err)
	}
	e.rowsOf.begins(identity, []byte("a"), 1)
	before := store.reads
	if err := e.listRows(identity, primitives); err != nil {
		t.Fatal(err)
	}
	if reads := store.reads - before; reads > 2*maxSkipped {
		t.Errorf("%d contributions are read for three rows", reads)
	}
	for i, primitive := range primitives {
		if listed, ok := e.rowsOf.list(identity, fmt.Appendf(nil, "b%d", i), 1); !ok || len(listed) != 1 || string(listed[0]) != string(primitive) {
			t.Errorf("attacker %d: %q, %v", i, listed, ok)
		}
	}
}

// A list that nobody asks for gives its memory back at a tick; one that was given up stays so.
func TestAListOfRowsThatNobodyAsksForIsGivenBack(t *testing.T) {
	store, out := newMemStore(), &laterBox{now: 1_700_000_000}
	e, err := New(testConfig(1), 0, store)
	if err != nil {
		t.Fatal(err)
	}
	tick := func(later float64) string {
		t.Helper()
		out.now += later
		if err := e.Process(&Record{Source: Commands, Key: []byte("tick"), Value: TickCommand(out.now)}, store, out); err != nil {
			t.Fatal(err)
		}
		return e.rowsOf.identity
	}
	e.rowsOf.begins([]byte("i"), []byte("a"), out.now)
	if tick(maxRowsOfKept-1) == "" {
		t.Error("it is given back too early")
	}
	e.rowsOf.list([]byte("i"), []byte("a"), out.now)
	if tick(maxRowsOfKept-1) == "" {
		t.Error("one that was asked for is given back")
	}
	if tick(1) != "" {
		t.Error("it is not given back")
	}
	e.rowsOf.begins([]byte("i"), []byte("a"), out.now)
	e.rowsOf.grew(maxRowsOf + 1)
	if tick(2 * maxRowsOfKept); !e.rowsOf.refused {
		t.Error("it is forgotten that it would be too large")
	}
}
