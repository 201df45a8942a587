package cowrie

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"handprint/ingest"
)

// drawLog draws the lines of a few overlapping sessions with what real logs
// have: ends that are missing, late events, lines that cannot be read.
func drawLog(t *rapid.T) []string {
	type stamped struct {
		at   int
		line string
	}
	var log []stamped
	add := func(at int, line string) { log = append(log, stamped{at, line}) }
	for i := range rapid.IntRange(1, 12).Draw(t, "sessions") {
		key, sensor := fmt.Sprint("s", i), rapid.SampledFrom([]string{"hp1", "hp2"}).Draw(t, "sensor")
		at := rapid.IntRange(0, 9000).Draw(t, "opens")
		add(at, logLine(sensor, key, float64(at), "session.connect"))
		for range rapid.IntRange(0, 6).Draw(t, "lines") {
			at += rapid.IntRange(0, 300).Draw(t, "gap")
			add(at, logLine(sensor, key, float64(at), "command.input", "input", rapid.SampledFrom([]string{"ls", "id;w", "rm x"}).Draw(t, "input")))
		}
		if rapid.IntRange(0, 4).Draw(t, "closes") > 0 {
			add(at, logLine(sensor, key, float64(at), "session.closed"))
			if rapid.Bool().Draw(t, "after") {
				at += rapid.IntRange(0, 300).Draw(t, "later")
				add(at, logLine(sensor, key, float64(at), "client.version", "version", "SSH-2.0-after"))
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "bad") == 0 {
			add(at, fmt.Sprintf("bad %d", i))
		}
	}
	sort.SliceStable(log, func(i, j int) bool { return log[i].at < log[j].at })
	lines := make([]string, len(log))
	for i, l := range log {
		lines[i] = l.line
	}
	return lines
}

// topicLog gives the lines in [from, to) as a topic's one partition, after
// adding what is sent to sent and the dead letters to dead.
func topicLog(t fataler, resume ingest.Checkpoint, lines []string, to int, sent map[string]string, dead *[]string) *Adapter {
	adapter, err := New(DefaultSettings(),
		func(o ingest.Observation) error {
			sent[o.ID] = string(o.AppendJSON(nil))
			return nil
		},
		func(d ingest.DeadLetter) error {
			*dead = append(*dead, string(d.Line))
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	adapter.Resume([]ingest.Checkpoint{resume})
	for i := int(resume.From); i < to; i++ {
		if err := adapter.LineAt(0, int64(i), []byte(lines[i])); err != nil {
			t.Fatal(err)
		}
	}
	return adapter
}

// A run that crashes anywhere after its last commit, several times over, and
// goes on from there sends in the end what one run would have sent.
func TestRunsThatCrashSendWhatOneRunSends(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := drawLog(t)
		want, wantDead := map[string]string{}, []string(nil)
		if err := topicLog(t, ingest.Checkpoint{}, lines, len(lines), want, &wantDead).Close(); err != nil {
			t.Fatal(err)
		}

		got, dead := map[string]string{}, []string(nil)
		var at ingest.Checkpoint
		for range rapid.IntRange(1, 4).Draw(t, "crashes") {
			crash := rapid.IntRange(int(at.From), len(lines)).Draw(t, "crash")
			commit := rapid.IntRange(int(at.From), crash).Draw(t, "commit")
			// The same run twice: as far as its last commit, for the
			// checkpoint, and as far as it got, for what it sent.
			committed := topicLog(t, at, lines, commit, map[string]string{}, new([]string)).Checkpoints()[0]
			topicLog(t, at, lines, crash, got, &dead)
			if committed.From > committed.Emit || committed.Emit > committed.Next || committed.Emit < at.Emit || committed.Next < at.Next {
				t.Fatalf("the checkpoint after %+v is %+v", at, committed)
			}
			at = committed
		}
		if err := topicLog(t, at, lines, len(lines), got, &dead).Close(); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, want) {
			for id := range want {
				if got[id] != want[id] {
					t.Errorf("got %s\nwant %s", got[id], want[id])
				}
			}
			t.Fatalf("%d observations, want %d", len(got), len(want))
		}
		slices.Sort(dead)
		slices.Sort(wantDead)
		if !slices.Equal(slices.Compact(dead), wantDead) {
			t.Fatalf("dead letters %q, want %q", dead, wantDead)
		}
	})
}

func TestACheckpointHoldsBackForOpenSessions(t *testing.T) {
	lines := []string{
		logLine("hp", "a", 0, "session.connect"),
		logLine("hp", "b", 1, "session.connect"),
		logLine("hp", "a", 2, "session.closed"),
		"bad",
		logLine("hp", "b", 3, "client.version", "version", "SSH-2.0-x"),
		logLine("hp", "b", 4, "session.closed"),
		logLine("hp", "x", 9999, "session.closed"),
	}
	for read, want := range []ingest.Checkpoint{
		{},
		{From: 0, Emit: 0, Next: 1},
		{From: 0, Emit: 0, Next: 2},
		{From: 0, Emit: 1, Next: 3}, // a was open when b began
		{From: 0, Emit: 1, Next: 4},
		{From: 0, Emit: 1, Next: 5},
		{From: 0, Emit: 6, Next: 6}, // a and b are remembered as ended
		{From: 6, Emit: 7, Next: 7}, // and forgotten
	} {
		dead := []string(nil)
		a := topicLog(t, ingest.Checkpoint{}, lines, read, map[string]string{}, &dead)
		if got := a.Checkpoints()[0]; got != want {
			t.Errorf("after %d lines: %+v, want %+v", read, got, want)
		}
	}
}

func TestTwoPartitionsAreHeldBackTogether(t *testing.T) {
	a := collect(t, nil)
	a.Resume(make([]ingest.Checkpoint, 2))
	for _, l := range []struct {
		partition int
		offset    int64
		line      string
	}{
		{0, 0, logLine("hp", "a", 0, "session.closed")},
		{1, 5, logLine("hp", "b", 1, "session.connect")},
		{0, 1, logLine("hp", "c", 2, "session.connect")},
		{1, 6, logLine("hp", "d", 3, "session.closed")},
	} {
		if err := a.LineAt(l.partition, l.offset, []byte(l.line)); err != nil {
			t.Fatal(err)
		}
	}
	want := []ingest.Checkpoint{{From: 0, Emit: 1, Next: 2}, {From: 0, Emit: 5, Next: 7}}
	if got := a.Checkpoints(); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if !json.Valid([]byte(a.sent[0])) {
		t.Error(a.sent[0])
	}
}
