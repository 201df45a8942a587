package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/broker"
	"handprint/siem"
)

// runUntil runs a command until done says that it has done enough, and ends it as
// an interrupt would.
func runUntil(t *testing.T, environ []string, done func() bool, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wait := deadline(t)
	ended := make(chan result, 1)
	go func() { ended <- handprint(ctx, "", environ, args...) }()
	for {
		select {
		case r := <-ended:
			if !done() {
				t.Errorf("ended before it had done enough: %+v", r)
			}
			return r
		case <-time.After(20 * time.Millisecond):
			if done() || wait.Err() != nil {
				cancel()
			}
		}
	}
}

// committedValues returns the values that a topic has now, none
// of one that is not there.
func committedValues(t *testing.T, e *broker.Embedded, topic string) (values []string) {
	t.Helper()
	cl, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	err = broker.Scan(deadline(t), cl, func(r *kgo.Record) error { values = append(values, string(r.Value)); return nil }, topic)
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Fatal(err)
	}
	return values
}

// Each event is in the formatted topic once, however often the process was ended;
// what cannot be read is a dead letter.
func TestFormatRunIsExactlyOnce(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	topic := names.SIEM + ".cef"
	if r := handprint(deadline(t), "", environ, "format", "run", "--to", "cef"); r.code != exitTopics || !strings.Contains(r.err, "--create makes it") {
		t.Errorf("without its topic: %+v", r)
	}
	sent := 0
	for round := range 3 {
		for range 20 {
			send(t, e, true, transition(fmt.Sprint("id", sent), "x.one", attribution.Stable, attribution.Drifting))
			sent++
		}
		send(t, e, true, &kgo.Record{Topic: names.StateChanged, Value: []byte("no event")}, suspicion(fmt.Sprint("s", sent), "x.one"))
		sent++
		r := runUntil(t, environ, func() bool {
			return len(committedValues(t, e, topic)) >= sent && len(committedValues(t, e, names.DeadLetter)) > round // maybe of a later transaction
		}, "format", "run", "--to", "cef", "--create")
		if r.code != exitOK {
			t.Fatalf("%+v", r)
		}
	}
	lines, ids := committedValues(t, e, topic), map[string]bool{}
	for _, line := range lines {
		_, id, _ := strings.Cut(line, " externalId=")
		ids[strings.Fields(id)[0]] = true
	}
	if len(lines) != sent || len(ids) != sent {
		t.Errorf("%d lines of %d events, %d sent", len(lines), len(ids), sent)
	}
	if dead := committedValues(t, e, names.DeadLetter); len(dead) != 3 {
		t.Errorf("%d dead letters", len(dead))
	}
}

// A transaction that a killed process left open would hold readers up for minutes:
// the process in its place, which has its transactional id, ends it.
func TestFormatRunEndsWhatAKilledProcessLeft(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	topic := names.SIEM + ".cef"
	send(t, e, true, transition("one", "x.one", attribution.Stable, attribution.Drifting))
	run := func(want int) {
		t.Helper()
		r := runUntil(t, environ, func() bool { return len(committedValues(t, e, topic)) >= want }, "format", "run", "--to", "cef", "--create", "--instance", "a")
		if r.code != exitOK {
			t.Fatalf("%+v", r)
		}
	}
	run(1)
	killed, err := kgo.NewClient(append(e.ClientOpts(), kgo.TransactionalID("handprint-format-cef-a"), kgo.TransactionTimeout(10*time.Minute))...)
	if err != nil {
		t.Fatal(err)
	}
	defer killed.Close()
	if err := killed.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := killed.ProduceSync(deadline(t), &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("left open")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	send(t, e, true, transition("two", "x.one", attribution.Stable, attribution.Drifting))
	run(2)
	for _, line := range committedValues(t, e, topic) {
		if line == "left open" {
			t.Error("what the killed process wrote is committed")
		}
	}
}

func TestSinkRun(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "sinks.yaml")
	text := fmt.Sprintf("sinks:\n  - {name: one, type: file, path: %s, format: ecs}\n  - {name: two, type: file, path: %s, format: cef, states: [drifting], events: [state_changed]}\n",
		filepath.Join(dir, "one"), filepath.Join(dir, "two"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := handprint(deadline(t), "", nil, "sink", "check", "--sinks", file); r.code != exitOK || r.out != "one: file, good\ntwo: file, good\n" {
		t.Errorf("%+v", r)
	}
	send(t, e, true, transition("a", "x.one", attribution.Stable, attribution.Drifting), transition("a", "x.two", attribution.Drifting, attribution.Stable),
		suspicion("a", "x.one", "x.two"), &kgo.Record{Topic: names.StateChanged, Value: []byte("no event")})
	send(t, e, false, transition("aborted", "x.one", attribution.Stable, attribution.Drifting))
	if r := handprint(deadline(t), "", environ, "sink", "lag", "--sinks", file, "--only", "two"); r.code != exitOK || !strings.HasPrefix(r.out, "two: 3 records behind, the oldest ") || !strings.HasSuffix(r.out, "no process delivers\n") {
		t.Errorf("%+v", r)
	}
	count := func(name string) int {
		text, _ := os.ReadFile(filepath.Join(dir, name))
		return strings.Count(string(text), "\n")
	}
	r := runUntil(t, environ, func() bool {
		return count("one") >= 3 && count("two") >= 1 && len(committedValues(t, e, names.DeadLetter)) >= 2
	}, "sink", "run", "--sinks", file)
	if r.code != exitOK {
		t.Errorf("%+v", r)
	}
	if count("one") != 3 || count("two") != 1 {
		t.Errorf("%d and %d lines", count("one"), count("two"))
	}
	for _, dead := range []string{"one", "two"} {
		if r := handprint(deadline(t), "", environ, "sink", "lag", "--sinks", file, "--only", dead); r.code != exitOK || !strings.Contains(r.out, dead+": no events are waiting") {
			t.Errorf("%+v", r)
		}
	}
}

func TestExport(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	send(t, e, true, transition("aaaa", "x.one", attribution.Stable, attribution.Drifting), transition("bbbb", "x.one", attribution.Stable, attribution.Drifting),
		suspicion("bbbb", "x.one", "x.two"), row("aaaa", "x.one", attribution.Stable), row("bbbb", "x.one", attribution.Drifting))
	for _, c := range []struct {
		args      string
		want, not []string
	}{
		{"--format cef", []string{"cs1=aaaa", "cs1=bbbb"}, nil},
		{"--format cef --identity b", []string{"cs1=bbbb"}, []string{"cs1=aaaa"}},
		{"--format stix --suspected", []string{"handprint identity bbbb"}, []string{"handprint identity aaaa"}},
		{"--format misp", []string{"handprint identity aaaa: observed behaviour", `multi-actor=\"suspected\"`}, nil},
		{"--format ecs --since 1h", nil, []string{"aaaa"}},
		{"--format navigator", []string{siem.DefaultAttackMap().Domain}, nil},
	} {
		r := handprint(deadline(t), "", environ, append([]string{"export"}, strings.Fields(c.args)...)...)
		if r.code != exitOK {
			t.Errorf("%s: %+v", c.args, r)
		}
		for _, w := range c.want {
			if !strings.Contains(r.out, w) {
				t.Errorf("%s lacks %q: %s", c.args, w, r.out)
			}
		}
		for _, w := range c.not {
			if strings.Contains(r.out, w) {
				t.Errorf("%s has %q: %s", c.args, w, r.out)
			}
		}
	}
	for args, want := range map[string]string{"--format xml": "none of ocsf", "--format cef --identity zz": "no identity begins with zz"} {
		if r := handprint(deadline(t), "", environ, append([]string{"export"}, strings.Fields(args)...)...); r.code != exitUsage || !strings.Contains(r.err, want) {
			t.Errorf("%s: %+v", args, r)
		}
	}
}
