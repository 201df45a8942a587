package assignor

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A store that must be rebuilt is worth no more than an empty one: a task whose owner
// lives does not move to it, and one without an owner goes to the warm standby, or
// to whoever it would go to without that store.
func TestStoresThatMustBeRebuiltAreCold(t *testing.T) {
	rules := Rules{Standbys: 1, AcceptableLag: 10, MaxAge: 24 * time.Hour, Changelog: "now"}
	for name, useless := range map[string]CopyData{
		"of another changelog":      {Position: 1 << 40, Lag: -1, Topic: "before"},
		"older than deletions":      {Position: 100, Lag: -1, Topic: "now", Age: 24 * time.Hour},
		"of a clock that was wrong": {Position: 100, Lag: -1, Topic: "now", Age: MaxAge},
		"kept, of another topic":    {Position: 1 << 40, Lag: 0, Standby: true, Topic: "before"},
	} {
		t.Run(name, func(t *testing.T) {
			standby := balanceMember{process: "standby", warms: true, copies: map[int32]CopyData{0: {Position: 95, Lag: 5, Standby: true, Topic: "now"}}}
			joins := balanceMember{process: "joins", warms: true, copies: map[int32]CopyData{0: useless}}
			if got := place([]balanceMember{joins, standby}, 1, rules); got.active[0] != 1 {
				t.Errorf("a task without an owner goes to member %d, not to its standby", got.active[0])
			}
			owner := balanceMember{process: "owner", warms: true, owned: map[int32]int{0: 1, 1: 1}, copies: map[int32]CopyData{
				0: {Position: 100, Topic: "now"}, 1: {Position: 100, Topic: "now"},
			}}
			joins.copies = map[int32]CopyData{0: useless, 1: useless}
			got := place([]balanceMember{owner, joins}, 2, rules)
			if got.active[0] != 0 || got.active[1] != 0 {
				t.Errorf("tasks moved to a store that must be rebuilt: %v", got.active)
			}
			if len(got.standbys[1]) == 0 {
				t.Error("it does not warm up a copy")
			}
		})
	}
}

// Copies that must be rebuilt change nothing in any placement.
func TestColdCopiesChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := Rules{Standbys: rapid.IntRange(0, 2).Draw(t, "standbys"), AcceptableLag: 10, MaxAge: time.Hour, Changelog: "now"}
		const tasks = 6
		var with, without []balanceMember
		for i := range rapid.IntRange(1, 4).Draw(t, "members") {
			m := balanceMember{process: fmt.Sprint(i), warms: true, owned: rapid.MapOfN(rapid.Int32Range(0, tasks-1), rapid.Just(1), 0, tasks).Draw(t, "owned"),
				generation: int32(i), copies: make(map[int32]CopyData)}
			n := m
			n.copies = make(map[int32]CopyData)
			for task := range int32(tasks) {
				c := CopyData{Position: rapid.Int64Range(0, 50).Draw(t, "position"), Lag: rapid.Int64Range(-1, 20).Draw(t, "lag"), Topic: "now"}
				switch rapid.IntRange(0, 3).Draw(t, "kind") {
				case 0:
					m.copies[task], n.copies[task] = c, c
				case 1:
					c.Topic = "before"
					m.copies[task] = c
				case 2:
					c.Age = time.Hour
					m.copies[task] = c
				}
			}
			with, without = append(with, m), append(without, n)
		}
		if a, b := place(with, tasks, rules), place(without, tasks, rules); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("%v with useless copies, %v without them", a, b)
		}
	})
}

// One worker speaks for its process: the others have its copies as well.
func TestOneMemberSpeaksForItsProcess(t *testing.T) {
	speaks := balanceMember{process: "p", warms: true, copies: map[int32]CopyData{0: {Position: 10}, 1: {Position: 10}}}
	silent := balanceMember{process: "p", warms: true}
	other := balanceMember{process: "q", warms: true}
	got := place([]balanceMember{other, speaks, silent}, 2, Rules{AcceptableLag: 1})
	if got.active[0] == 0 || got.active[1] == 0 || got.active[0] == got.active[1] {
		t.Errorf("the tasks go to %v, want one to each worker of the process that has copies", got.active)
	}
}

// What a process tells of its copies is bounded, and what is kept up to date comes
// first.
func TestBoundedCopies(t *testing.T) {
	d := MemberData{Process: "p", Copies: make(map[int32]CopyData)}
	for task := range int32(10_000) {
		d.Copies[task] = CopyData{Position: 1 << 40, Lag: -1, Topic: "t", Age: time.Hour}
		if task%10 == 0 {
			d.Copies[task] = CopyData{Position: 1 << 40, Lag: int64(task), Standby: true, Topic: "t"}
		}
	}
	base := len(MemberData{Process: "p"}.Append(nil))
	const limit = 32 << 10
	d.Bound(limit)
	if n := len(d.Append(nil)) - base; n > limit || n < limit*9/10 {
		t.Errorf("%d bytes of copies, want up to %d", n, limit)
	}
	for task := int32(0); task < 10_000; task += 10 {
		if !d.Copies[task].Standby {
			t.Fatalf("the copy of task %d, which is kept up to date, was left out", task)
		}
	}
	small := MemberData{Copies: map[int32]CopyData{1: {Position: 3}}}
	if small.Bound(limit); len(small.Copies) != 1 {
		t.Error("a copy was left out of few")
	}
}
