package schemas

import "testing"

func TestAppendHeartbeat(t *testing.T) {
	h := Heartbeat{Worker: "w-1", TS: 5.5, Version: "0.1", Running: 3, Restoring: 1, Records: 100, Commits: 7, Aborts: 2, DeadLetters: 4}
	want := `{"worker":"w-1","ts":5.5,"version":"0.1","tasks_running":3,"tasks_restoring":1,"records":100,"commits":7,"aborts":2,"dead_letters":4}`
	if got := AppendHeartbeat(nil, &h); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDecodeControl(t *testing.T) {
	for _, tt := range []struct{ record, action, by, reason string }{
		{`{"action":"stop","requested_by":"ops"}`, ActionStop, "ops", ""},
		{`{"action":"stop"}`, ActionStop, "", ""},
		{`{"requested_by":null,"action":"dance","x":[]}`, "dance", "", ""},
		{`{"action":"stop","requested_by":5}`, "", "", "requested_by: a number, not a string"},
		{`{"action":["stop"]}`, "", "", "action: an array, not a string"},
		{`{"action":""}`, "", "", "action: empty"},
		{`{}`, "", "", "action: missing"},
		{`stop`, "", "", "not JSON: no JSON value at byte 0"},
		{`"stop"`, "", "", "not an object: a string"},
		{``, "", "", "not JSON: empty"},
	} {
		action, by, err := DecodeControl([]byte(tt.record))
		if action != tt.action || by != tt.by {
			t.Errorf("%s: %q by %q", tt.record, action, by)
		}
		if tt.reason == "" && err != nil {
			t.Errorf("%s: %v", tt.record, err)
		}
		if tt.reason != "" && wantBad(t, tt.record, err) && err.Error() != tt.reason {
			t.Errorf("%s: %q, want %q", tt.record, err, tt.reason)
		}
	}
}

func FuzzControlDecode(f *testing.F) {
	f.Add([]byte(`{"action":"stop","requested_by":"ops"}`))
	f.Add([]byte(`{"action":"\u0073top","action":null}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		action, _, err := DecodeControl(record)
		if err != nil {
			wantBad(t, string(record), err)
		} else if action == "" {
			t.Fatalf("%q: no action", record)
		}
	})
}
