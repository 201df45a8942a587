package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
)

func TestIngestSendsObservationsAndDeadLetters(t *testing.T) {
	e, environ := withTopics(t)
	ctx := deadline(t)
	log := "../../ingest/cowrie/lab/cowrie.json.gz"
	printed := handprint(ctx, "", nil, "ingest", "cowrie", "--stdout", log)
	if printed.code != exitOK || strings.Count(printed.out, "\n") < 100 {
		t.Fatalf("printing: code %d, %d lines, %s", printed.code, strings.Count(printed.out, "\n"), printed.err)
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte("not JSON\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := handprint(ctx, "", environ, "ingest", "cowrie", log, bad); r.code != exitOK {
		t.Fatalf("sending: %+v", r)
	}
	cl, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	sent := map[string]int{}
	count := func(r *kgo.Record) error { sent[r.Topic]++; return nil }
	if err := broker.Scan(ctx, cl, count, names.Observations, names.DeadLetter); err != nil {
		t.Fatal(err)
	}
	if sent[names.Observations] != strings.Count(printed.out, "\n") || sent[names.DeadLetter] != 1 {
		t.Errorf("sent %v, printed %d", sent, strings.Count(printed.out, "\n"))
	}
	r := handprint(ctx, "", nil, "ingest", "cowrie", "--stdout", bad)
	if r.code != exitUnusable || r.out != "" || !strings.Contains(r.err, "1 dead") || !strings.Contains(r.err, "none of 1 lines can be used") {
		t.Errorf("printing dead letters: %+v", r)
	}
}

func TestIngestReadsATopic(t *testing.T) {
	e, environ := withTopics(t)
	ctx := deadline(t)
	cl, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := broker.Ensure(ctx, cl, []broker.TopicSpec{{Name: "cowrie", Partitions: 1, ReplicationFactor: -1}}); err != nil {
		t.Fatal(err)
	}
	for i, event := range []string{`"eventid":"cowrie.session.connect","src_ip":"192.0.2.1","protocol":"ssh"`, `"eventid":"cowrie.session.closed"`} {
		line := fmt.Sprintf(`{%s,"session":"abcdef012345","sensor":"s","timestamp":"2026-01-01T00:00:0%dZ"}`, event, i)
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "cowrie", Value: []byte(line)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"ingest", "cowrie", "--topic=cowrie", "--until-end", "--stdout"}
	r := handprint(ctx, "", environ, args...)
	if r.code != exitOK || !strings.Contains(r.out, `"evidence_ref":"cowrie:s/abcdef012345"`) {
		t.Fatalf("first run: %+v", r)
	}
	if r := handprint(ctx, "", environ, args...); r.code != exitOK || r.out != "" {
		t.Errorf("second run goes on at the end: %+v", r)
	}
}

func TestBehavePassesObservationsThrough(t *testing.T) {
	file := filepath.Join(t.TempDir(), "o.ndjson")
	line := `{"attacker_uuid":"a","primitive":"x.y","value":1,"evidence_ref":"e","ts":1}`
	if err := os.WriteFile(file, []byte(line+"\n[]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := handprint(deadline(t), "", nil, "ingest", "behave", "--stdout", file)
	if r.code != exitOK || r.out != line+"\n" || !strings.Contains(r.err, "a line cannot be used") {
		t.Errorf("%+v", r)
	}
}
