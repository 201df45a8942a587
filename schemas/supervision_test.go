package schemas

import (
	"reflect"
	"strings"
	"testing"
)

func TestAppendHeartbeat(t *testing.T) {
	h := Heartbeat{Worker: "w-1", TS: 5.5, Version: "0.1", Running: 3, Restoring: 1, Records: 100, Commits: 7, Aborts: 2, DeadLetters: 4,
		Observations: 90, Replaced: 5, Beyond: 6, OutOfRange: 8, Misrouted: 9, Forwarded: 10, Transitions: 11, Suspicions: 12, Events: 13, Moves: 14,
		Tasks: []TaskBeat{{Task: 2, Phase: "restoring", Done: 5, Total: 9, Left: 1.5, Lag: -1, Stuck: "a \"b\""}, {Task: 3, Phase: "standby"}}}
	want := `{"worker":"w-1","ts":5.5,"version":"0.1","tasks_running":3,"tasks_restoring":1,"records":100,"commits":7,"aborts":2,"dead_letters":4,"observations":90,"replaced":5,"beyond":6,"odd":8,"misrouted":9,"forwarded":10,"transitions":11,"suspicions":12,"identity_events":13,"moves":14,"tasks":[{"task":2,"phase":"restoring","done":5,"total":9,"left":1.5,"lag":-1,"stuck":"a \"b\""},{"task":3,"phase":"standby","done":0,"total":0,"left":0,"lag":0,"stuck":""}]}`
	if got := AppendHeartbeat(nil, &h); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What a heartbeat says of tasks reads back, from JSON and Avro.
func TestHeartbeatsReadBack(t *testing.T) {
	h := Heartbeat{Worker: "w-1", TS: 5.5, Version: "0.1", Running: 1, Restoring: 1, Tasks: []TaskBeat{
		{Task: 2, Phase: "restoring", Done: 5, Total: 9, Left: 1.5, Lag: -1, Stuck: strings.Repeat("ä", 200)}, {Task: 3, Phase: "standby", Lag: 7},
	}}
	want := h
	want.Tasks = append([]TaskBeat(nil), h.Tasks...)
	want.Tasks[0].Stuck = strings.Repeat("ä", maxStuck/2)
	writers := testWriters()
	for name, record := range map[string][]byte{"JSON": AppendHeartbeat(nil, &h), "Avro": AvroFormat(testIDs()).AppendHeartbeat(nil, &h)} {
		if got, err := writers.Heartbeat(record); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, record := range []string{"", "nonsense", `{"tasks":3}`} {
		if _, err := writers.Heartbeat([]byte(record)); err == nil {
			t.Errorf("%q is taken", record)
		}
	}
}
