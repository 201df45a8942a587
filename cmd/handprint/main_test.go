package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/broker"
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

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
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
		{"ingest cowrie --cowrie-session-timeout=0s -", exitUsage, "flag --cowrie-session-timeout: 0s lies outside"},
		{"ingest cowrie --cowrie-full-from=x -", exitUsage, "flag --cowrie-full-from: "},
		{"ingest cowrie --cowrie-duration-short=99h -", exitUsage, "duration-short and duration-medium are the wrong way round"},
		{"rows --brokers=127.0.0.1:1 --connect-timeout=5s", exitUnreachable, "cannot reach any broker of 127.0.0.1:1: "},
		{"rows --tls-ca-file=/nowhere", exitUsage, "tls-ca-file: /nowhere cannot be read"},
		{"rows " + here, exitTopics, "topic attribution.state: does not exist: create it (handprint topics create)"},
		{"ingest cowrie --topic=none " + here, exitTopics, "topic none: does not exist"},
		{"topics check " + here, exitTopics, "10 problem(s) with the topics"},
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
	e, environ := withTopics(t)
	ctx := deadline(t)
	if r := handprint(ctx, "", environ, "topics", "create"); r.code != exitOK || r.out != "all topics exist\n" {
		t.Errorf("second creation: %+v", r)
	}
	if r := handprint(ctx, "", environ, "topics", "check"); r.code != exitOK || r.out != "all topics fit\n" {
		t.Errorf("check: %+v", r)
	}
	r := handprint(ctx, "", environ, "topics", "list")
	if r.code != exitOK || strings.Contains(r.out, "missing") || !strings.Contains(r.out, "handprint-state-changelog") || strings.Contains(r.out, "\x1b") {
		t.Errorf("list: %+v", r)
	}
	for _, sub := range []string{"list", "check", "create"} {
		if r := handprint(ctx, "", environ, "topics", sub, "--json"); r.code != exitOK || !strings.HasPrefix(r.out, "[") && !strings.HasPrefix(r.out, "{") {
			t.Errorf("%s as JSON: %+v", sub, r)
		}
	}
	r = handprint(ctx, "", []string{"HANDPRINT_BROKERS=" + e.Addrs()[0]}, "topics", "check", "--partitions=4")
	want := "topic attacker.observation: partitions is 2, must be 4: recreate the topic (adding partitions would move keys), or configure the number it has\n"
	if r.code != exitTopics || !strings.HasPrefix(r.out, want) || !strings.Contains(r.err, "3 problem(s)") {
		t.Errorf("check with other partitions: %+v", r)
	}
}

func TestRowsShowWhatTheStateTopicHoldsNow(t *testing.T) {
	e, environ := withTopics(t)
	ctx := deadline(t)
	gone := row("bbbb", "a.gone", attribution.Stable)
	send(t, e, true, row("bbbb", "x.one", attribution.Unknown), row("aaaa", "x.two", attribution.Drifting), gone, row("aaaa", "x.one", attribution.Stable))
	send(t, e, true, row("bbbb", "x.one", attribution.MultiActor), &kgo.Record{Topic: names.State, Key: gone.Key},
		&kgo.Record{Topic: names.State, Key: []byte("cccc/x.y"), Value: []byte("{")})
	send(t, e, false, row("bbbb", "x.one", attribution.Conflicted)) // aborted

	line := func(r *kgo.Record) string { return string(r.Value) + "\n" }
	a1, a2, b1 := line(row("aaaa", "x.one", attribution.Stable)), line(row("aaaa", "x.two", attribution.Drifting)), line(row("bbbb", "x.one", attribution.MultiActor))
	for _, c := range []struct{ args, want string }{
		{"", a1 + a2 + b1},
		{"--identity=b", b1},
		{"--primitive=*.two", a2},
		{"--state=stable --state=drifting", a1 + a2},
		{"--state=unknown", ""}, // it was, and is no more
	} {
		r := handprint(ctx, "", environ, append([]string{"rows"}, strings.Fields(c.args)...)...)
		if r.code != exitOK || r.out != c.want {
			t.Errorf("rows %s: %+v\nwant\n%s", c.args, r, c.want)
		}
		if !strings.Contains(r.err, "a row cannot be read and is left out") {
			t.Errorf("nothing said of the row that cannot be read: %s", r.err)
		}
	}
	r := handprint(ctx, "", environ, "rows", "-o", "pretty")
	want := strings.Join([]string{
		"IDENTITY  PRIMITIVE  STATE        VALUE  CONFIDENCE  SEEN  SINCE                LAST",
		`aaaa      x.one      stable       "v"          1.00     3  2023-11-14 22:13:20  1e+300`,
		`          x.two      drifting     "v"          1.00     3  2023-11-14 22:13:20  1e+300`,
		`bbbb      x.one      multi_actor  "v"          1.00     3  2023-11-14 22:13:20  1e+300`,
	}, "\n") + "\n"
	if r.out != want {
		t.Errorf("table\n%swant\n%s", r.out, want)
	}
}

func TestEventsUntilTheEnd(t *testing.T) {
	e, environ := withTopics(t)
	ctx := deadline(t)
	t1 := transition("aaaa", "x.one", attribution.Stable, attribution.Drifting)
	t2 := transition("aaaa", "x.two", attribution.Drifting, attribution.Conflicted)
	s := suspicion("aaaa", "x.one", "y.two")
	send(t, e, true, t1, t2, s, &kgo.Record{Topic: names.StateChanged, Value: []byte("no event")})
	send(t, e, false, transition("aaaa", "x.one", attribution.Drifting, attribution.Stable)) // aborted
	base := []string{"events", "--from=beginning", "--until-end"}
	for _, c := range []struct {
		args string
		want []*kgo.Record
	}{
		{"", []*kgo.Record{t1, t2, s}},
		{"--type=multi_actor_suspected", []*kgo.Record{s}},
		{"--primitive=x.one", []*kgo.Record{t1, s}},
		{"--state=conflicted", []*kgo.Record{t2}},
		{"--state=multi_actor", []*kgo.Record{s}},
		{"--identity=b", nil},
	} {
		want := ""
		for _, r := range c.want {
			want += string(r.Value) + "\n"
		}
		r := handprint(ctx, "", environ, append(base, strings.Fields(c.args)...)...)
		if r.code != exitOK || r.out != want {
			t.Errorf("events %s: %+v\nwant\n%s", c.args, r, want)
		}
	}
	r := handprint(ctx, "", environ, append(base, "-o", "pretty")...)
	want := strings.Join([]string{
		`2023-11-14 22:13:20  aaaa  x.one                                     stable -> drifting         0.75  "a\u009bb"`,
		`2023-11-14 22:13:20  aaaa  x.two                                     drifting -> conflicted     0.75  "a\u009bb"`,
		`2023-11-14 22:13:20  aaaa  several actors suspected  0.60  x.one y.two`,
	}, "\n") + "\n"
	if r.code != exitOK || r.out != want {
		t.Errorf("pretty\n%swant\n%s%s", r.out, want, r.err)
	}
}

// lineWriter hands on each line that is written.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		w <- strings.TrimSuffix(line, "\n")
	}
	return len(p), nil
}

func TestEventsFollowUntilInterrupted(t *testing.T) {
	e, environ := withTopics(t)
	old, fresh := transition("aaaa", "x.old", attribution.Stable, attribution.Drifting), transition("aaaa", "x.new", attribution.Stable, attribution.Drifting)
	send(t, e, true, old)
	ctx, interrupt := context.WithCancel(deadline(t))
	defer interrupt()
	lines, ended := make(lineWriter, 10), make(chan int)
	go func() {
		ended <- run(ctx, streams{in: strings.NewReader(""), out: lines, err: new(bytes.Buffer), environ: environ}, []string{"events", "--from", "beginning"})
	}()
	if got := <-lines; got != string(old.Value) {
		t.Errorf("first %s", got)
	}
	send(t, e, true, fresh)
	if got := <-lines; got != string(fresh.Value) {
		t.Errorf("second %s", got)
	}
	interrupt()
	if code := <-ended; code != exitOK {
		t.Errorf("interrupted following ended with %d", code)
	}
}

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
	if r.code != exitOK || r.out != "" || !strings.Contains(r.err, `"reason":"JSON`) && !strings.Contains(r.err, "cannot be used") {
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

func TestVersionAndCompletionNeedNoConfiguration(t *testing.T) {
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
	r := handprint(deadline(t), "", []string{"HANDPRINT_THREDS=1"}, "ingest", "behave", "--stdout", "/dev/null")
	if r.code != exitOK || !strings.Contains(r.err, "HANDPRINT_THREDS is not known, did you mean HANDPRINT_THREADS?") {
		t.Errorf("%+v", r)
	}
}

// The reference is generated: go generate ./cmd/handprint, or this test with
// -update.
func TestConfigurationReferenceIsCurrent(t *testing.T) {
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
