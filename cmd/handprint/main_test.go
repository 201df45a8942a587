package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/broker"
	"handprint/schemas"
	"handprint/topology"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

// result is what a command line gave.
type result struct {
	code     int
	out, err string
}

// handprint runs a command line with nothing of the test's own environment.
func handprint(ctx context.Context, stdin string, environ []string, args ...string) result {
	var out, err bytes.Buffer
	code := run(ctx, streams{in: strings.NewReader(stdin), out: &out, err: &err, environ: environ}, args)
	return result{code, out.String(), err.String()}
}

func startBroker(t *testing.T) *broker.Embedded {
	t.Helper()
	e, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// deadline ends a wait of a test, not the test.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// receive returns what comes from a channel.
func receive[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-deadline(t).Done():
		t.Fatal("what is awaited has not come in time")
	}
	return v
}

// withTopics starts a broker with all topics and returns the environment of a
// command for it.
func withTopics(t *testing.T) (*broker.Embedded, []string) {
	t.Helper()
	e := startBroker(t)
	environ := []string{"HANDPRINT_BROKERS=" + e.Addrs()[0], "HANDPRINT_PARTITIONS=2"}
	if r := handprint(deadline(t), "", environ, "topics", "create"); r.code != exitOK {
		t.Fatalf("creating topics: %+v", r)
	}
	return e, environ
}

// send produces records in one transaction, which is aborted if commit is
// false.
func send(t *testing.T, e *broker.Embedded, commit bool, records ...*kgo.Record) {
	t.Helper()
	ctx := deadline(t)
	cl, err := kgo.NewClient(append(e.ClientOpts(), kgo.TransactionalID("test"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
		t.Fatal(err)
	}
}

var names = topology.DefaultNames("", "handprint")

func transition(identity, primitive string, old, now attribution.State) *kgo.Record {
	e := attribution.Transition{
		EventID: identity + primitive + now.String(), Identity: identity, Primitive: primitive, Old: old, New: now,
		Value: attribution.Value(`"a` + "\u009b" + `b"`), Confidence: 0.75, Count: 7, TS: 1.7e9,
	}
	return &kgo.Record{Topic: names.StateChanged, Key: []byte(identity), Value: schemas.AppendTransitionJSON(nil, &e)}
}

func suspicion(identity string, primitives ...string) *kgo.Record {
	e := attribution.Suspicion{EventID: identity + "s", Identity: identity, Primitives: primitives, Confidence: 0.6, TS: 1.7e9}
	return &kgo.Record{Topic: names.MultiActorSuspects, Key: []byte(identity), Value: schemas.AppendSuspicionJSON(nil, &e)}
}

func row(identity, primitive string, s attribution.State) *kgo.Record {
	r := schemas.StateRow{Identity: identity, Primitive: primitive, Row: attribution.Row{
		State: s, Value: attribution.Value(`"v"`), Confidence: 1, Count: 3, LastChangeTS: 1.7e9, LastObservationTS: 1e300, UpdatedAt: 1.7e9,
	}}
	return &kgo.Record{Topic: names.State, Key: schemas.AppendStateRowKey(nil, identity, primitive), Value: schemas.AppendStateRowJSON(nil, &r)}
}

func TestExitCodesAndOneLineErrors(t *testing.T) {
	t.Parallel()
	e := startBroker(t) // without topics
	here := "--brokers=" + e.Addrs()[0]
	file := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(file, []byte("threads: 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", exitUsage, "no command given"},
		{"topics", exitUsage, "no command given"},
		{"nosuch", exitUsage, `unknown command "nosuch" for "handprint"`},
		{"topics nosuch", exitUsage, `unknown command "nosuch"`},
		{"completion nosuch", exitUsage, `unknown command "nosuch" for "handprint completion"`},
		{"help nosuch", exitUsage, `unknown help topic ["nosuch"]`},
		{"rows --nosuch", exitUsage, "unknown flag: --nosuch (see handprint rows --help)"},
		{"rows extra", exitUsage, "unknown command"},
		{"rows --config " + file, exitUsage, "config file " + file + " line 1: threads: must be between 1 and 256, is 0"},
		{"rows --brokers=a", exitUsage, "flag --brokers: must be a list of host:port, is a"},
		{"rows --state=odd", exitUsage, "flag --state: must be one of unknown,"},
		{"rows --primitive=[", exitUsage, "flag --primitive: must be a name or a pattern"},
		{"rows --output=xml", exitUsage, "flag --output: must be one of auto, pretty, json, is xml"},
		{"events --type=odd", exitUsage, "flag --type: must be state_changed or"},
		{"events --from=never", exitUsage, "flag --from: must be beginning or now, is never"},
		{"events --until-end", exitUsage, "flag --until-end: needs --from beginning"},
		{"ingest cowrie", exitUsage, "no files given"},
		{"ingest cowrie --topic=x y", exitUsage, "flag --topic: cannot be used together with files"},
		{"ingest cowrie --until-end -", exitUsage, "need --topic"},
		{"ingest cowrie --stdout /nowhere", exitUsage, "/nowhere: no such file or directory"},
		{"ingest cowrie --stdout /", exitUsage, "/: is a folder"},
		{"ingest zeek -", exitUsage, "give --local-net for each network that the sensor watches"},
		{"ingest suricata --local-net=x -", exitUsage, "flag --local-net: must be a network such as"},
		{"ingest suricata --local-net=192.0.2.0/24 --primitives=x.y -", exitUsage, "is no primitive of a network sensor"},
		{"ingest cowrie --cowrie-session-timeout=0s -", exitUsage, "flag --cowrie-session-timeout: 0s lies outside"},
		{"ingest cowrie --cowrie-full-from=x -", exitUsage, "flag --cowrie-full-from: "},
		{"ingest cowrie --cowrie-duration-short=99h -", exitUsage, "duration-short and duration-medium are the wrong way round"},
		{"rows --brokers=127.0.0.1:1 --connect-timeout=5s", exitUnreachable, "cannot reach any broker of 127.0.0.1:1: "},
		{"rows --tls-ca-file=/nowhere", exitUsage, "tls-ca-file: /nowhere cannot be read"},
		{"rows " + here, exitTopics, "topic attribution.state: does not exist: create it (handprint topics create)"},
		{"ingest cowrie --topic=none " + here, exitTopics, "topic none: does not exist"},
		{"topics check " + here, exitTopics, "13 problem(s) with the topics"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := handprint(deadline(t), "", nil, strings.Fields(c.args)...)
			lines := strings.Split(strings.TrimSpace(r.err), "\n")
			last := lines[len(lines)-1]
			if r.code != c.code || !strings.HasPrefix(last, "handprint: ") || !strings.Contains(last, c.want) {
				t.Errorf("code %d, %q; want %d, %q", r.code, last, c.code, c.want)
			}
			if !strings.Contains(c.want, "no command") && len(lines) != 1 {
				t.Errorf("%d lines: %s", len(lines), r.err)
			}
		})
	}
}

func TestTopicsAreCreatedListedAndChecked(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	if r := handprint(deadline(t), "", environ, "topics", "create"); r.code != exitOK || r.out != "all topics exist\n" {
		t.Errorf("second creation: %+v", r)
	}
	if r := handprint(deadline(t), "", environ, "topics", "check"); r.code != exitOK || r.out != "all topics fit\n" {
		t.Errorf("check: %+v", r)
	}
	r := handprint(deadline(t), "", environ, "topics", "list")
	if r.code != exitOK || strings.Contains(r.out, "missing") || !strings.Contains(r.out, "handprint-state-changelog") || strings.Contains(r.out, "\x1b") {
		t.Errorf("list: %+v", r)
	}
	for _, sub := range []string{"list", "check", "create"} {
		if r := handprint(deadline(t), "", environ, "topics", sub, "--json"); r.code != exitOK || !strings.HasPrefix(r.out, "[") && !strings.HasPrefix(r.out, "{") {
			t.Errorf("%s as JSON: %+v", sub, r)
		}
	}
	r = handprint(deadline(t), "", []string{"HANDPRINT_BROKERS=" + e.Addrs()[0]}, "topics", "check", "--partitions=4")
	want := "topic attacker.observation: partitions is 2, must be 4: recreate the topic (adding partitions would move keys), or configure the number it has\n"
	if r.code != exitTopics || !strings.HasPrefix(r.out, want) || !strings.Contains(r.err, "3 problem(s)") {
		t.Errorf("check with other partitions: %+v", r)
	}
}

func TestVersionAndCompletionNeedNoConfiguration(t *testing.T) {
	t.Parallel()
	environ := []string{"HANDPRINT_THREADS=0"}
	for _, args := range [][]string{{"version"}, {"version", "--json"}, {"completion", "bash"}, {"completion", "zsh"}, {"--help"}, {"help", "rows"}} {
		if r := handprint(deadline(t), "", environ, args...); r.code != exitOK || r.out == "" || r.err != "" {
			t.Errorf("%v: code %d, %s", args, r.code, r.err)
		}
	}
	r := handprint(deadline(t), "", nil, "__complete", "rows", "--state", "")
	if !strings.HasPrefix(r.out, "unknown\nstable\n") {
		t.Errorf("completion of --state: %+v", r)
	}
}

func TestEveryCommandHasExamplesAndListsImportantFlags(t *testing.T) {
	t.Parallel()
	root := newApp(streams{}).root()
	for _, c := range root.Commands() {
		if c.Name() != "help" && c.Name() != "completion" && !c.Hidden && c.Example == "" {
			t.Errorf("%s has no example", c.Name())
		}
	}
	r := handprint(deadline(t), "", nil, "rows", "--help")
	if !strings.Contains(r.out, "--brokers") || strings.Contains(r.out, "--topic-state ") {
		t.Errorf("help\n%s", r.out)
	}
}

func TestUnknownVariablesAreWarnedAbout(t *testing.T) {
	t.Parallel()
	r := handprint(deadline(t), "", []string{"HANDPRINT_THREDS=1"}, "ingest", "behave", "--stdout", "/dev/null")
	if r.code != exitOK || !strings.Contains(r.err, "HANDPRINT_THREDS is not known, did you mean HANDPRINT_THREADS?") {
		t.Errorf("%+v", r)
	}
}

// The reference is generated: go generate ./cmd/handprint, or this test with
// -update.
func TestConfigurationReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	const path = "../../docs/configuration.md"
	r := handprint(deadline(t), "", nil, "reference")
	if *update {
		if err := os.WriteFile(path, []byte(r.out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil || string(have) != r.out {
		t.Errorf("docs/configuration.md is stale (%v): run go generate ./cmd/handprint", err)
	}
}
