package main

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A changelog that was deleted comes back from the store: the application goes on
// where it was, and an audit of everything finds nothing. One that has records is
// refused, and so are stores that lack a task.
func TestChangelogComesBackFromTheStore(t *testing.T) {
	t.Parallel()
	const changelog = "handprint-state-changelog"
	e, environ := withTopics(t)
	observe := func(attackers string, ref string) {
		t.Helper()
		for _, attacker := range attackers {
			send(t, e, true, &kgo.Record{Topic: "attacker.observation", Key: []byte(string(attacker)),
				Value: []byte(`{"attacker_uuid":"` + string(attacker) + `","primitive":"x.y","value":1,"ts":1,"evidence_ref":"` + ref + `"}`)})
		}
	}
	clean := func() {
		t.Helper()
		if r := handprint(deadline(t), "", environ, "audit"); r.code != exitOK {
			t.Fatalf("audit: %+v", r)
		}
	}
	observe("abcdefghij", "first")
	dir := t.TempDir()
	first := startRun(t, environ, dir)
	awaitRows(t, e, 10)
	clean()
	if r := handprint(deadline(t), "", environ, "changelog", "restore", "--state-dir", dir, "--execute"); r.code != exitFailure || !strings.Contains(r.err, "the application runs") {
		t.Errorf("while it runs: %+v", r)
	}
	if res := first.stop(); res.code != exitOK {
		t.Fatalf("run: %+v", res)
	}
	if r := handprint(deadline(t), "", environ, "changelog", "restore", "--state-dir", dir, "--execute"); r.code != exitFailure || !strings.Contains(r.err, "the changelog is not empty: "+changelog+"[") {
		t.Errorf("with a changelog that has records: %+v", r)
	}

	cl, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).DeleteTopics(deadline(t), changelog); err != nil {
		t.Fatal(err)
	}
	if r := handprint(deadline(t), "", environ, "changelog", "restore"); r.code != exitUsage {
		t.Errorf("without a store: %+v", r)
	}
	if r := handprint(deadline(t), "", environ, "changelog", "restore", "--state-dir", dir); r.code != exitOK || !strings.Contains(r.out, "would write task 1 of "+dir) || !strings.Contains(r.out, "Nothing was changed") {
		t.Errorf("what it would do: %+v", r)
	}
	if r := handprint(deadline(t), "", environ, "changelog", "restore", "--state-dir", dir, "--execute"); r.code != exitOK || !strings.Contains(r.out, "records written") {
		t.Fatalf("restore: %+v", r)
	}
	if r := handprint(deadline(t), "", environ, "topics", "check"); r.code != exitOK {
		t.Errorf("topics after it: %+v", r)
	}
	clean()
	for _, dir := range []string{dir, t.TempDir()} { // the old store, and none
		observe("abcdefghijk", "in "+dir)
		again := startRun(t, environ, dir)
		clean()
		if res := again.stop(); res.code != exitOK || strings.Contains(res.err, "group's offsets are not where") {
			t.Errorf("run after it: %+v", res)
		}
		if r := handprint(deadline(t), "", environ, "audit", "--store", dir); r.code != exitOK {
			t.Fatalf("audit with the store: %+v", r)
		}
	}
}
