package schemas

import "testing"

func TestAppendHeartbeat(t *testing.T) {
	h := Heartbeat{Worker: "w-1", TS: 5.5, Version: "0.1", Running: 3, Restoring: 1, Records: 100, Commits: 7, Aborts: 2, DeadLetters: 4,
		Observations: 90, Replaced: 5, Beyond: 6, OutOfRange: 8, Misrouted: 9, Forwarded: 10, Transitions: 11, Suspicions: 12, Events: 13, Moves: 14}
	want := `{"worker":"w-1","ts":5.5,"version":"0.1","tasks_running":3,"tasks_restoring":1,"records":100,"commits":7,"aborts":2,"dead_letters":4,"observations":90,"replaced":5,"beyond":6,"odd":8,"misrouted":9,"forwarded":10,"transitions":11,"suspicions":12,"identity_events":13,"moves":14}`
	if got := AppendHeartbeat(nil, &h); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
