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
	t.Parallel()
	e, environ := withTopics(t)
	log := "../../ingest/cowrie/lab/cowrie.json.gz"
	printed := handprint(deadline(t), "", nil, "ingest", "cowrie", "--stdout", log)
	if printed.code != exitOK || strings.Count(printed.out, "\n") < 100 {
		t.Fatalf("printing: code %d, %d lines, %s", printed.code, strings.Count(printed.out, "\n"), printed.err)
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte("not JSON\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := handprint(deadline(t), "", environ, "ingest", "cowrie", log, bad); r.code != exitOK {
		t.Fatalf("sending: %+v", r)
	}
	cl, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	sent := map[string]int{}
	count := func(r *kgo.Record) error { sent[r.Topic]++; return nil }
	if err := broker.Scan(deadline(t), cl, count, names.Observations, names.DeadLetter); err != nil {
		t.Fatal(err)
	}
	if sent[names.Observations] != strings.Count(printed.out, "\n") || sent[names.DeadLetter] != 1 {
		t.Errorf("sent %v, printed %d", sent, strings.Count(printed.out, "\n"))
	}
	r := handprint(deadline(t), "", nil, "ingest", "cowrie", "--stdout", bad)
	if r.code != exitUnusable || r.out != "" || !strings.Contains(r.err, "1 dead") || !strings.Contains(r.err, "none of 1 lines can be used") {
		t.Errorf("printing dead letters: %+v", r)
	}
}

func TestIngestReadsATopic(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	cl, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := broker.Ensure(deadline(t), cl, []broker.TopicSpec{{Name: "cowrie", Partitions: 1, ReplicationFactor: -1}}); err != nil {
		t.Fatal(err)
	}
	for i, event := range []string{`"eventid":"cowrie.session.connect","src_ip":"192.0.2.1","protocol":"ssh"`, `"eventid":"cowrie.session.closed"`} {
		line := fmt.Sprintf(`{%s,"session":"abcdef012345","sensor":"s","timestamp":"2026-01-01T00:00:0%dZ"}`, event, i)
		if err := cl.ProduceSync(deadline(t), &kgo.Record{Topic: "cowrie", Value: []byte(line)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"ingest", "cowrie", "--topic=cowrie", "--until-end", "--stdout"}
	r := handprint(deadline(t), "", environ, args...)
	if r.code != exitOK || !strings.Contains(r.out, `"evidence_ref":"cowrie:s/abcdef012345"`) {
		t.Fatalf("first run: %+v", r)
	}
	if r := handprint(deadline(t), "", environ, args...); r.code != exitOK || r.out != "" {
		t.Errorf("second run goes on at the end: %+v", r)
	}
}

func TestBehavePassesObservationsThrough(t *testing.T) {
	t.Parallel()
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

func TestIngestFollows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, positions := filepath.Join(dir, "cowrie.json"), filepath.Join(t.TempDir(), "p.json")
	session := func(id string) string {
		text := ""
		for i, event := range []string{`"eventid":"cowrie.session.connect","src_ip":"192.0.2.1","protocol":"ssh"`, `"eventid":"cowrie.session.closed"`} {
			text += fmt.Sprintf(`{%s,"session":"%s","sensor":"s","timestamp":"2026-01-01T00:00:0%dZ"}`+"\n", event, id, i)
		}
		return text
	}
	args := []string{"ingest", "cowrie", "--stdout", "--follow", "--until-end", "--positions", positions, log}
	for i, id := range []string{"aaaaaaaaaaa1", "aaaaaaaaaaa2"} {
		if err := os.WriteFile(log, []byte(session(id)), 0o600); err != nil {
			t.Fatal(err)
		}
		r := handprint(deadline(t), "", nil, args...)
		if r.code != exitOK || !strings.Contains(r.out, "cowrie:s/"+id) || strings.Count(r.out, "\n") != 1 {
			t.Fatalf("run %d: %+v", i, r)
		}
		if err := os.Rename(log, fmt.Sprint(log, ".", i)); err != nil {
			t.Fatal(err)
		}
	}
}

// Nothing that a log's fields hold is told, whatever it is wrapped in, but for
// what observations are made of.
func TestIngestTellsNothingSecret(t *testing.T) {
	t.Parallel()
	const secret = "CANARY"
	event := func(i int, id, rest string) string {
		return fmt.Sprintf(`{"eventid":"cowrie.%s","session":"abcdef012345","sensor":"s","src_ip":"192.0.2.1","timestamp":"2026-01-01T00:00:0%dZ"%s,"message":"%s"}`, id, i, rest, secret)
	}
	events := []string{
		event(0, "session.connect", ""), event(1, "login.failed", `,"username":"`+secret+`","password":"`+secret+`"`),
		event(2, "command.input", `,"input":"echo `+secret+`"`), event(3, "client.version", `,"version":"`+secret+`"`),
		event(4, "client.var", `,"name":"LANG","value":"`+secret+`"`), event(5, "session.file_download", `,"url":"`+secret+`"`), event(6, "session.closed", ""),
	}
	quote := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	text := ""
	for _, e := range events {
		text += e + "\n" + e[:len(e)-3] + "\n" + secret + " " + e[5:] + "\n" + `{"log":` + quote(e) + "}\n" + `{"log":` + quote(e[:len(e)-9]) + "}\n" +
			`{"password":"` + secret + `","` + secret + `":1}` + "\n" + strings.Replace(e, "2026", "never", 1) + "\n"
	}
	log := file(t, text)
	out := t.TempDir()
	for _, extra := range [][]string{nil, {"--dead-letter-text"}} {
		for _, args := range [][]string{{"ingest", "cowrie", "--stdout", log}, {"replay", "--from", "cowrie", "--out", out, "--json", log}, {"replay", "--from", "behave", "--out", out, log}} {
			if args[0] == "ingest" || args[2] == "cowrie" {
				args = append(args, extra...)
			}
			r := handprint(deadline(t), "", nil, append([]string{args[0]}, args[1:]...)...)
			if strings.Contains(r.out+r.err, secret) {
				t.Errorf("%v tells it: %s", args, r.err)
			}
			if args[0] == "replay" {
				for _, name := range resultFiles {
					b, err := os.ReadFile(filepath.Join(out, name))
					if err != nil || strings.Contains(string(b), secret) {
						t.Errorf("%v: %s tells it, or %v", args, name, err)
					}
				}
			}
		}
	}
}
