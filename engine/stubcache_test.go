package engine

import (
	"bytes"
	"fmt"
	"testing"

	"handprint/attribution"
)

// What a task remembers of an attacker must not outlive a write that makes it
// untrue: from its link on, a new row is the new identity's.
func TestALinkEndsWhatIsRememberedOfAnAttacker(t *testing.T) {
	store, attacker := newMemStore(), []byte("203.0.113.7")
	e, err := New(testConfig(1), 0, store)
	if err != nil {
		t.Fatal(err)
	}
	defer func(n uint8) { seenAfter = n }(seenAfter)
	seenAfter = 2
	stub := attribution.Stub(attacker).String()
	observe := func(offset int64, primitive string) {
		t.Helper()
		r := Record{Source: Observations, Offset: offset, Time: offset, Key: attacker, Value: fmt.Appendf(nil,
			`{"id":"%d","attacker_uuid":%q,"primitive":%q,"value":"x","source":"s","evidence_ref":"e/%d","envelope_v":1,"ts":%d}`,
			offset, attacker, primitive, offset, offset)}
		if err := e.Process(&r, store, new(heard)); err != nil {
			t.Fatal(err)
		}
	}
	has := func(primitive string) bool {
		b, err := store.Get(rowKey(nil, kindRow, []byte(stub), []byte(primitive)))
		if err != nil {
			t.Fatal(err)
		}
		return b != nil
	}
	for i, primitive := range []string{"toolchain.ssh.hassh_client", "x.one", "x.two"} {
		observe(int64(i), primitive)
		if !has(primitive) {
			t.Fatalf("no row of %s before the link", primitive)
		}
	}
	if at := e.stubs.of(attacker); !at.ownsItself || !at.rowsKnown {
		t.Fatalf("the attacker is not remembered: %+v", at)
	}
	e.putLink(attacker, link{Identity: []byte("018f0000-0000-7000-8000-000000000001"), By: origin{Version: 1}})
	observe(10, "x.three")
	if has("x.three") {
		t.Error("a linked attacker's new row was taken at its stub")
	}
}

// What is to be read ahead for an observation is the rows of its attacker's stub,
// unless they were read lately, or belong to another task.
func TestReadAheadNamesTheRowsOfAStub(t *testing.T) {
	store, attacker := newMemStore(), []byte("203.0.113.7")
	e, err := New(testConfig(1), 0, store)
	if err != nil {
		t.Fatal(err)
	}
	got := bytes.Clone(e.ReadAhead(attacker))
	row := rowKey(nil, kindRow, []byte(attribution.Stub(attacker).String()), []byte("x.one"))
	if len(got) == 0 || !bytes.HasPrefix(row, got) || len(got) != len(row)-len("x.one")-1 {
		t.Fatalf("read ahead %x for the row %x", got, row)
	}
	r := Record{Source: Observations, Key: attacker, Value: fmt.Appendf(nil,
		`{"id":"1","attacker_uuid":%q,"primitive":"x.one","value":"x","source":"s","evidence_ref":"e","envelope_v":1,"ts":1}`, attacker)}
	if err := e.Process(&r, store, new(heard)); err != nil {
		t.Fatal(err)
	}
	if got := e.ReadAhead(attacker); got != nil {
		t.Errorf("read ahead %x though it was read a moment ago", got)
	}
	if got := e.ReadAhead(bytes.Repeat([]byte("k"), 1<<20)); got != nil {
		t.Errorf("read ahead %x for a key of a MiB", got)
	}
	cfg := testConfig(8)
	for task := range int32(8) {
		e, err := New(cfg, task, newMemStore())
		if err != nil {
			t.Fatal(err)
		}
		if home := attribution.AttackerPartition(attacker, 8) == task; home != (e.ReadAhead(attacker) != nil) {
			t.Errorf("task %d reads ahead: %v, want %v", task, !home, home)
		}
	}
}

// The name of an attacker may be as long as a record. What a task remembers of
// attackers is bounded by the bytes of their names, too.
func TestLongNamesOfAttackersAreNotAllRemembered(t *testing.T) {
	var s stubCaches
	s.reset()
	const long = 200 << 10
	for i := range 64 {
		name := append(bytes.Repeat([]byte("a"), long), fmt.Sprint(i)...)
		if at := s.of(name); at != s.of(name) {
			t.Fatalf("attacker %d is not remembered", i)
		}
		if n := kept(t, &s); n > maxStubNames {
			t.Fatalf("%d bytes of names are kept; want at most %d", n, maxStubNames)
		}
	}
	// One that is longer than all that may be kept is remembered beside half of the
	// others, and for so long.
	if s.of(bytes.Repeat([]byte("b"), 2*maxStubNames)); len(s.young.byAttacker) != 1 || kept(t, &s) > 2*maxStubNames+maxStubNames/2 {
		t.Errorf("%d attackers are remembered beside a very long name", len(s.young.byAttacker)-1)
	}
	s.of([]byte("usual"))
	s.of(bytes.Repeat([]byte("c"), maxStubNames/2))
	if n := kept(t, &s); n > maxStubNames {
		t.Errorf("%d bytes of names are kept", n)
	}
}

// kept returns how many bytes of names are remembered.
func kept(t *testing.T, s *stubCaches) (names int) {
	t.Helper()
	for _, age := range []*stubAge{&s.young, &s.old} {
		n := 0
		for name := range age.byAttacker {
			n += len(name)
		}
		if n != age.names || len(age.byStub) != len(age.byAttacker) {
			t.Fatalf("%d bytes of names are kept of %d attackers, %d counted", n, len(age.byAttacker), age.names)
		}
		names += n
	}
	return names
}

// Who is seen all the time is remembered among many who are seen once, and they are not.
func TestABusyAttackerIsRememberedAmongManyOthers(t *testing.T) {
	var s stubCaches
	s.reset()
	busy := s.of([]byte("busy"))
	for i := range 3 * maxStubs {
		s.of(fmt.Append(nil, "once-", i))
		if i%(maxStubs/4) == 0 && s.of([]byte("busy")) != busy {
			t.Fatalf("the busy attacker is forgotten after %d others", i)
		}
		if n := len(s.young.byAttacker) + len(s.old.byAttacker); n > maxStubs {
			t.Fatalf("%d attackers are remembered, want at most %d", n, maxStubs)
		}
	}
	if s.known([]byte("once-0")) != nil {
		t.Error("an attacker that was seen once is remembered still")
	}
	// What is written of it is told to it, young or old.
	s.here = nil
	busy.ownsItself = true
	for i := 0; s.young.byAttacker["busy"] != nil; i++ {
		s.of(fmt.Append(nil, "others-", i))
	}
	s.changed(busy.stub[:])
	if busy.ownsItself {
		t.Error("a write of the stub's record is not told to an old one")
	}
	busy.ownsItself = true
	s.linked([]byte("busy"))
	if busy.ownsItself {
		t.Error("a write of the link is not told to an old one")
	}
}
