package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/audit"
)

// TestAuditSaysWhatItFound audits an application that works, one that somebody
// wrote a transition for, and one whose input is gone.
func TestAuditSaysWhatItFound(t *testing.T) {
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
	cl, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	put := func(topic, key, value string) {
		t.Helper()
		if err := cl.ProduceSync(deadline(t), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	put(names.Observations, "a", `{"attacker_uuid":"a","primitive":"x.y","value":1,"ts":1,"evidence_ref":"e"}`)
	put(names.Observations, "a", `{"attacker_uuid":"a"`)
	r := handprint(deadline(t), "", environ, "audit")
	if r.code != exitOK || !strings.Contains(r.out, "0 lost, 0 doubled, 0 different, 0 unexpected") || !strings.Contains(r.out, "1 rows of 1 identities; 1 transitions compared one by one") {
		t.Fatalf("a correct run: %+v", r)
	}
	put(names.Control, "", `{"action":"stop","requested_by":"a test"}`)
	if r := receive(t, ended); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	r = handprint(deadline(t), "", environ, "audit", "--store", dir)
	if r.code != exitOK || strings.Contains(r.out, " 0 store records") {
		t.Errorf("with the store: %+v", r)
	}

	put(names.StateChanged, "nobody", `{"event_id":"6ec0bd7f-11c0-8a63-975e-b06aad7d3f8a","identity_uuid":"nobody","primitive":"x.y","old_state":null,"new_state":"stable","current_value":1,"confidence":1,"observation_count":3,"ts":1}`)
	r = handprint(deadline(t), "", environ, "audit")
	if r.code != exitDifferences || !strings.HasPrefix(r.out, "unexpected: "+names.StateChanged) || !strings.Contains(r.err, "0 lost, 0 doubled, 0 different, 1 unexpected") {
		t.Errorf("a transition of nobody: %+v", r)
	}
	r = handprint(deadline(t), "", environ, "audit", "--json", "--show=0")
	var said struct {
		OK bool
		audit.Report
	}
	if err := json.Unmarshal([]byte(r.out), &said); err != nil || r.code != exitDifferences || said.OK || said.Unexpected != 1 || said.Observations != 2 || len(said.Differences) > 0 {
		t.Errorf("as JSON: %v %+v", err, r)
	}

	put(names.Observations, "a", `{}`)
	r = handprint(deadline(t), "", environ, "audit", "--timeout=200ms")
	if r.code != exitFailure || !strings.Contains(r.err, "not at rest") {
		t.Errorf("behind: %+v", r)
	}
	var first kadm.Offsets
	for p := range int32(2) {
		first.AddOffset(names.Observations, p, -1, -1)
	}
	if _, err := kadm.NewClient(cl).DeleteRecords(deadline(t), first); err != nil {
		t.Fatal(err)
	}
	var all kadm.Offsets
	for p, end := range offsetsOf(t, cl, names.Observations) {
		all.AddOffset(names.Observations, p, end, -1)
	}
	if err := kadm.NewClient(cl).CommitAllOffsets(deadline(t), "handprint", all); err != nil {
		t.Fatal(err)
	}
	r = handprint(deadline(t), "", environ, "audit")
	if r.code != exitHistoryGone || !strings.Contains(r.err, "the beginning is gone") {
		t.Errorf("without the beginning: %+v", r)
	}
}

func offsetsOf(t *testing.T, cl *kgo.Client, topic string) map[int32]int64 {
	t.Helper()
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) { found[o.Partition] = o.Offset })
	return found
}
