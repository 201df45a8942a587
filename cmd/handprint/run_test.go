package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

// TestRunRefusesInOneLine starts with what cannot work.
func TestRunRefusesInOneLine(t *testing.T) {
	t.Parallel()
	_, environ := withTopics(t)
	regular := file(t, "")
	locked := t.TempDir()
	store, err := state.Open(filepath.Join(locked, "store"), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	newer := t.TempDir()
	other, err := state.Open(filepath.Join(newer, "store"), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(newer, "store", "FORMAT"), []byte("handprint-state 999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"unreachable broker", []string{"run", "--brokers=127.0.0.1:1", "--connect-timeout=5s", "--state-dir", t.TempDir()}, exitUnreachable, "cannot reach any broker of 127.0.0.1:1"},
		{"state below a file", []string{"run", "--state-dir", filepath.Join(regular, "x")}, exitState, regular},
		{"state in use", []string{"run", "--state-dir", locked}, exitState, locked},
		{"state of a newer version", []string{"run", "--state-dir", newer}, exitState, "newer"},
		{"other partitions", []string{"run", "--partitions=3", "--state-dir", t.TempDir()}, exitTopics, "partitions"},
		{"no such registry", []string{"run", "--registry-file=/nowhere", "--state-dir", t.TempDir()}, exitUsage, "/nowhere"},
		{"series too short", []string{"run", "--series-entries=3", "--state-dir", t.TempDir()}, exitUsage, "series-entries"},
		{"unknown sensor", []string{"replay", "--from=syslog", "--out", t.TempDir(), regular}, exitUsage, "--from must be cowrie, zeek, suricata or behave"},
		{"no such log", []string{"replay", "--from=cowrie", "--out", t.TempDir(), "/nowhere"}, exitUsage, "/nowhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := handprint(deadline(t), "", environ, c.args...)
			lines := strings.Split(strings.TrimSpace(r.err), "\n")
			last := lines[len(lines)-1]
			if r.code != c.code || !strings.HasPrefix(last, "handprint: ") || !strings.Contains(last, c.want) {
				t.Errorf("code %d, %q; want %d, %q", r.code, last, c.code, c.want)
			}
		})
	}
}

// TestRunStopsWhenTheControlTopicSaysSo runs as in production, processes an
// observation, and is told to stop.
func TestRunStopsWhenTheControlTopicSaysSo(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan result, 1)
	dir := t.TempDir()
	go func() {
		var errs bytes.Buffer
		code := run(ctx, streams{in: strings.NewReader(""), out: new(bytes.Buffer), err: &errs, environ: environ}, []string{"run", "--state-dir", dir, "--log-level", "warn"})
		ended <- result{code: code, err: errs.String()}
	}()
	cl, err := kgo.NewClient(append(e.ClientOpts(), kgo.ConsumeTopics("attribution.state", "system.attribution.health"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	put := func(topic, value string) {
		if err := cl.ProduceSync(deadline(t), &kgo.Record{Topic: topic, Key: []byte("a"), Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	put("attacker.observation", `{"attacker_uuid":"a","primitive":"x.y","value":1,"ts":1,"evidence_ref":"e"}`)
	seen := map[string]bool{}
	for wait := deadline(t); len(seen) < 2 && wait.Err() == nil; {
		cl.PollFetches(wait).EachRecord(func(r *kgo.Record) { seen[r.Topic] = true })
	}
	put("system.attribution.control", `{"action":"dance"}`)
	put("system.attribution.control", `{"action":"stop","requested_by":"a test"}`)
	if r := receive(t, ended); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
}
