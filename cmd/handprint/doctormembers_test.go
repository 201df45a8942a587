package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/schemas"
)

// TestDoctorComparesRules has processes of one application work by other thresholds,
// and by the same again.
func TestDoctorComparesRules(t *testing.T) {
	t.Parallel()
	_, environ := withTopics(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	work := func(args ...string) (end func()) {
		ctx, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		args = append([]string{"run", "--state-dir", t.TempDir(), "--log-level", "error"}, args...)
		go func() {
			defer close(ended)
			var said bytes.Buffer
			if code := run(ctx, streams{in: strings.NewReader(""), out: new(bytes.Buffer), err: &said, environ: environ}, args); ctx.Err() == nil {
				t.Errorf("it ended with %d: %s", code, said.String())
			}
		}()
		return func() { stop(); <-ended }
	}
	says := func(want string) {
		t.Helper()
		ctx := deadline(t)
		for {
			r := handprint(ctx, "", environ, "doctor", "--state-dir", t.TempDir())
			if strings.Contains(r.out, want) {
				return
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("doctor never says %q: %+v", want, r)
			}
		}
	}
	stopFirst := work()
	defer stopFirst()
	stopSecond := work("--multi-actor-confidence-cap", "0.5")
	says("processes work by different rules: ")
	stopSecond()
	defer work()()
	says("2 processes work by the same thresholds, values and registry")
}

// TestDoctorNamesIdentityEventsThatWait has events that were taken and of which
// nothing came, but for one that was refused.
func TestDoctorNamesIdentityEventsThatWait(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	cl, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	put := func(r *kgo.Record) {
		t.Helper()
		if err := cl.ProduceSync(deadline(t), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	since := time.Now().Add(-time.Minute).Truncate(time.Second)
	const n = 4
	for i := range n {
		put(&kgo.Record{Topic: names.IdentityEvents, Value: []byte("{}"), Timestamp: since.Add(time.Duration(i) * time.Second)})
	}
	put(&kgo.Record{Topic: names.DeadLetter, Value: []byte("{}"), Headers: []kgo.RecordHeader{
		{Key: "handprint.source.topic", Value: []byte(names.IdentityEvents)}, {Key: "handprint.source.offset", Value: []byte("2")},
	}})
	taken := make(kadm.Offsets)
	taken.AddOffset(names.IdentityEvents, 0, n, -1)
	if err := kadm.NewClient(cl).CommitAllOffsets(deadline(t), "handprint", taken); err != nil {
		t.Fatal(err)
	}
	waits := func(want string) {
		t.Helper()
		if r := handprint(deadline(t), "", environ, "doctor", "--state-dir", t.TempDir()); !strings.Contains(r.out, want) {
			t.Errorf("doctor does not say %q: %+v", want, r)
		}
	}
	waits(fmt.Sprintf("identity events: up to %d were taken and are not carried out, the oldest, at offset 0 of %s, since %s", n-1, names.IdentityEvents, since.UTC().Format(time.RFC3339)))
	var format *schemas.Format // JSON
	put(&kgo.Record{Topic: names.IdentityChanged, Value: format.AppendIdentityChange(nil, &attribution.IdentityChange{
		EventID: "6ec0bd7f-11c0-8a63-975e-b06aad7d3f8a", Type: attribution.Formed, Identity: "i", Version: n, Offset: n - 1,
	})})
	waits("identity events: none waits")
}
