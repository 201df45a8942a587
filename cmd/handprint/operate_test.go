package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/internal/operations"
)

// running is a "handprint run" in the background.
type running struct {
	admin string
	stop  func() result
}

// said is what a command that still runs has written.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// pause lets others work between two looks.
func pause(ctx context.Context) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
}

var adminLine = regexp.MustCompile(`"serving metrics, health and status","address":"([^"]+)"`)

// adminAddress waits until a process has said where it serves administration. A process
// that has ended is not waited for.
func adminAddress(t *testing.T, log *said, ended chan result) (address string) {
	t.Helper()
	awaitProcess(t, log, ended, func(context.Context) bool {
		m := adminLine.FindStringSubmatch(log.String())
		if m != nil {
			address = m[1]
		}
		return m != nil
	})
	return address
}

// awaitProcess waits until good is true. A process that has ended is not waited for.
func awaitProcess(t *testing.T, log *said, ended chan result, good func(context.Context) bool) {
	t.Helper()
	for ctx := deadline(t); !good(ctx); pause(ctx) {
		select {
		case res := <-ended:
			ended <- res
			t.Fatalf("it ended before what it was awaited for: %+v", res)
		case <-ctx.Done():
			t.Fatalf("it has not done in time what it was awaited for: %s", log)
		default:
		}
	}
}

// startRun runs as in production, until the test ends or stops it, and returns when the
// process is ready.
func startRun(t *testing.T, environ []string, dir string) running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended, log := make(chan result, 1), new(said)
	go func() {
		code := run(ctx, streams{in: strings.NewReader(""), out: new(bytes.Buffer), err: log, environ: environ},
			[]string{"run", "--state-dir", dir, "--admin-listen", "127.0.0.1:0"})
		ended <- result{code: code, err: log.String()}
	}()
	var r running
	r.stop = func() result {
		cancel()
		res := receive(t, ended)
		ended <- res
		return res
	}
	t.Cleanup(func() { r.stop() })
	r.admin = adminAddress(t, log, ended)
	awaitProcess(t, log, ended, func(ctx context.Context) bool {
		return handprint(ctx, "", nil, "healthcheck", "--ready", "--admin-listen", r.admin).code == exitOK
	})
	return r
}

// awaitRows waits until the state topic has as many rows and returns their keys.
func awaitRows(t *testing.T, e *broker.Embedded, count int) []string {
	t.Helper()
	cl, err := kgo.NewClient(append(e.ClientOpts(), kgo.ConsumeTopics("attribution.state"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := deadline(t)
	var rows []string
	for len(rows) < count {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { rows = append(rows, string(r.Key)) })
		if ctx.Err() != nil {
			t.Fatalf("%d rows, want %d", len(rows), count)
		}
	}
	return rows
}

func TestResetBeginsAgain(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	send(t, e, true, &kgo.Record{Topic: "attacker.observation", Key: []byte("a"),
		Value: []byte(`{"attacker_uuid":"a","primitive":"x.y","value":1,"ts":1,"evidence_ref":"e"}`)})
	dir := t.TempDir()
	first := startRun(t, environ, dir)
	awaitRows(t, e, 1)

	// The second worker may still be joining.
	var lag operations.Lag
	r := result{}
	for ctx := deadline(t); ctx.Err() == nil && (lag.State != "Stable" || lag.Total != 0); pause(ctx) {
		r = handprint(ctx, "", environ, "lag", "--json")
		lag = operations.Lag{}
		if err := json.Unmarshal([]byte(r.out), &lag); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
	}
	if lag.Total != 0 || lag.Unowned != 0 || len(lag.Tasks) != 2 || lag.State != "Stable" {
		t.Errorf("lag while it runs: %+v", r)
	}
	if r := handprint(deadline(t), "", environ, "reset", "--execute"); r.code != exitFailure || !strings.Contains(r.err, "the application runs") {
		t.Errorf("reset while it runs: %+v", r)
	}
	if res := first.stop(); res.code != exitOK {
		t.Fatalf("run: %+v", res)
	}
	r = handprint(deadline(t), "", environ, "reset", "--state-dir", dir)
	for _, want := range []string{"would delete the consumer group handprint", "would delete topic handprint-state-changelog", "would delete topic handprint-commands", "would delete the store " + filepath.Join(dir, "store"), "Nothing was changed"} {
		if r.code != exitOK || !strings.Contains(r.out, want) {
			t.Errorf("dry run lacks %q: %+v", want, r)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "store")); err != nil {
		t.Error("a dry run deleted the store")
	}
	// The store stays: that its changelog is another must be noticed.
	if r := handprint(deadline(t), "", environ, "reset", "--execute"); r.code != exitOK || !strings.HasSuffix(r.out, "done\n") {
		t.Fatalf("reset: %+v", r)
	}
	if r := handprint(deadline(t), "", environ, "topics", "check"); r.code != exitOK {
		t.Errorf("topics after the reset: %+v", r)
	}
	second := startRun(t, environ, dir)
	if rows := awaitRows(t, e, 2); rows[0] != rows[1] {
		t.Errorf("the row after the reset is another: %v", rows)
	}
	if res := second.stop(); res.code != exitOK || !strings.Contains(res.err, "the changelog is another topic") {
		t.Errorf("run with the store from before: %+v", res)
	}
	if r := handprint(deadline(t), "", environ, "reset", "--outputs", "--state-dir", dir, "--from", "2100-01-01T00:00:00Z", "--execute"); r.code != exitOK {
		t.Fatalf("reset of all: %+v", r)
	}
	if _, err := os.Stat(filepath.Join(dir, "store")); !os.IsNotExist(err) {
		t.Errorf("the store is still there: %v", err)
	}
	r = handprint(deadline(t), "", environ, "lag", "--json")
	lag = operations.Lag{}
	if err := json.Unmarshal([]byte(r.out), &lag); err != nil || lag.Total != 0 || lag.Unowned != 2 {
		t.Errorf("lag after a reset to the future: %+v", r)
	}
	if r := handprint(deadline(t), "", environ, "rows"); r.code != exitOK || strings.Contains(r.out, "x.y") {
		t.Errorf("rows after a reset of the outputs: %+v", r)
	}
}

// A transaction that a sensor has left open is no lag, but lag and doctor say what
// lies behind it.
func TestLagAndDoctorSayWhatIsHeldUp(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	sensor, err := kgo.NewClient(append(e.ClientOpts(), kgo.TransactionalID("sensor"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer sensor.Close()
	if err := sensor.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	open := &kgo.Record{Topic: "attacker.observation", Key: []byte("a"), Value: []byte("v")}
	if err := sensor.ProduceSync(deadline(t), open).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r := handprint(deadline(t), "", environ, "lag")
	if r.code != exitOK || !strings.Contains(r.out, "1 offsets of the input lie behind open transactions") {
		t.Errorf("%+v", r)
	}
	at := fmt.Sprintf("attacker.observation[%d] at offset %d, 1 offsets", open.Partition, open.Offset)
	if r := handprint(deadline(t), "", environ, "doctor"); !strings.Contains(r.out, at) {
		t.Errorf("doctor does not say %s: %+v", at, r)
	}
}

func TestLagCountsRecordsAndNotMarkers(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	record := func() *kgo.Record {
		return &kgo.Record{Topic: "attacker.observation", Key: []byte("a"), Value: []byte("v")}
	}
	send(t, e, true, record(), record(), record())
	send(t, e, false, record())
	r := handprint(deadline(t), "", environ, "lag", "--json")
	var lag operations.Lag
	if err := json.Unmarshal([]byte(r.out), &lag); err != nil || lag.Total != 3 {
		t.Errorf("%+v", r)
	}
	r = handprint(deadline(t), "", environ, "lag")
	if r.code != exitOK || !strings.Contains(strings.Join(strings.Fields(r.out), " "), "3 behind in all; group handprint is Dead with 0 members, 2 of 2 tasks have no owner") {
		t.Errorf("%+v", r)
	}
	if r := handprint(deadline(t), "", environ, "lag", "--partitions", "3"); r.code != exitTopics || !strings.Contains(r.err, "partitions is 3, but topic attacker.observation has 2") {
		t.Errorf("%+v", r)
	}
}

// lag takes the number of tasks from the topics.
func TestLagCountsTasksByTheTopics(t *testing.T) {
	t.Parallel()
	_, environ := withTopics(t)
	environ = slices.DeleteFunc(slices.Clone(environ), func(v string) bool { return strings.HasPrefix(v, "HANDPRINT_PARTITIONS=") })
	r := handprint(deadline(t), "", environ, "lag", "--json")
	var lag operations.Lag
	if err := json.Unmarshal([]byte(r.out), &lag); err != nil || len(lag.Tasks) != 2 {
		t.Errorf("%+v", r)
	}
}

// What looks at an application says that there is none by this name.
func TestAnApplicationThatDoesNotExist(t *testing.T) {
	t.Parallel()
	_, environ := withTopics(t)
	for _, command := range [][]string{{"lag"}, {"reset"}, {"reset", "--execute"}, {"audit"}} {
		r := handprint(deadline(t), "", environ, append(command, "--application-id", "nobody")...)
		if r.code != exitTopics || !strings.Contains(r.err, "there is no such application") || !strings.Contains(r.err, "no group nobody and no topic nobody-state-changelog") || r.out != "" {
			t.Errorf("%v: %+v", command, r)
		}
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	// An empty result is any: the machine's own may be warned about.
	look := func(want operations.Result, code int, args ...string) map[string]operations.Check {
		t.Helper()
		r := handprint(deadline(t), "", environ, append([]string{"doctor", "--json"}, args...)...)
		var checks []operations.Check
		if err := json.Unmarshal([]byte(r.out), &checks); err != nil || r.code != code || want != "" && operations.Worst(checks) != want {
			t.Errorf("%v: %+v", args, r)
		}
		by := map[string]operations.Check{}
		for _, c := range checks {
			by[c.Name] = c
			if (c.Fix == "") != (c.Result == operations.OK) {
				t.Errorf("%+v: what is not ok has to say what to do", c)
			}
		}
		return by
	}
	dir := t.TempDir()
	all := look("", exitOK, "--state-dir", dir)
	for _, name := range []string{"brokers", "transaction version", "topics", "permissions", "group", "transactions", "clock", "memory"} {
		if all[name].Result != operations.OK {
			t.Errorf("%s: %+v", name, all[name])
		}
	}
	if c := look(operations.Failed, exitFailure, "--state-dir", dir, "--partitions", "4")["topic attacker.observation"]; c.Result != operations.Failed || !strings.Contains(c.Found, "partitions is 2, must be 4") {
		t.Errorf("other partitions: %+v", c)
	}
	if c := look(operations.Failed, exitFailure, "--state-dir", file(t, ""))["state directory"]; c.Result != operations.Failed {
		t.Errorf("a file as state directory: %+v", c)
	}
	if c := look(operations.Warning, exitOK, "--state-dir", dir, "--topic-prefix", "none.")["topic none.attribution.state"]; c.Result != operations.Warning {
		t.Errorf("missing topics: %+v", c)
	}
	seen := 0
	if err := broker.Scan(deadline(t), mustClient(t, e), func(*kgo.Record) error { seen++; return nil }, "system.attribution.health"); err != nil || seen != 0 {
		t.Errorf("%d records on the health topic, %v; the doctor leaves none", seen, err)
	}
}

func mustClient(t *testing.T, e *broker.Embedded) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestAddedPartitionsAreRefused(t *testing.T) {
	t.Parallel()
	_, environ := withTopics(t)
	environ = append(environ, "HANDPRINT_TOPIC_PREFIX=more.")
	if r := handprint(deadline(t), "", environ, "topics", "create", "--partitions", "4"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	r := handprint(deadline(t), "", environ, "run", "--state-dir", t.TempDir())
	if r.code != exitTopics || !strings.Contains(r.err, "topic more.attacker.observation: partitions is 4, must be 2: if partitions were added, keys have moved") {
		t.Errorf("%+v", r)
	}
}

func TestHealthcheckSaysWhoDoesNotAnswer(t *testing.T) {
	t.Parallel()
	if r := handprint(deadline(t), "", nil, "healthcheck"); r.code != exitUsage || !strings.Contains(r.err, "admin-listen is not set") {
		t.Errorf("%+v", r)
	}
	if r := handprint(deadline(t), "", nil, "healthcheck", "--admin-listen", "127.0.0.1:1"); r.code != exitFailure || !strings.Contains(r.err, "nobody answers at 127.0.0.1:1") {
		t.Errorf("%+v", r)
	}
}
