package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"handprint/internal/broker"
	"handprint/schemas"
	"handprint/schemas/registry"
)

// registryURL is the registry of the test: the one that HANDPRINT_REGISTRY names
// (make registry-check), or one inside the process.
func registryURL(t *testing.T) string {
	t.Helper()
	if u := os.Getenv("HANDPRINT_REGISTRY"); u != "" {
		return u
	}
	fake := srfake.New()
	t.Cleanup(fake.Close)
	return fake.URL()
}

// application is one run of the program on topics of its own.
type application struct {
	t       *testing.T
	e       *broker.Embedded
	environ []string
	prefix  string
	stop    context.CancelFunc
	ended   chan result
	log     said
}

// startApplication starts `handprint run`.
func startApplication(t *testing.T, e *broker.Embedded, prefix string, settings ...string) *application {
	t.Helper()
	a := &application{t: t, e: e, prefix: prefix, ended: make(chan result, 1)}
	a.environ = append([]string{"HANDPRINT_BROKERS=" + strings.Join(e.Addrs(), ","), "HANDPRINT_PARTITIONS=2", "HANDPRINT_TOPIC_PREFIX=" + prefix, "HANDPRINT_APPLICATION_ID=" + prefix + "app"}, settings...)
	ctx, cancel := context.WithCancel(t.Context())
	a.stop = cancel
	dir := t.TempDir()
	go func() {
		code := run(ctx, streams{in: strings.NewReader(""), out: new(bytes.Buffer), err: &a.log, environ: a.environ}, []string{"run", "--state-dir", dir, "--health-interval", "1s"})
		a.ended <- result{code: code, err: a.log.String()}
	}()
	return a
}

// end stops the run.
func (a *application) end() {
	a.t.Helper()
	a.stop()
	if r := <-a.ended; r.code != exitOK {
		a.t.Errorf("%s: %+v", a.prefix, r)
	}
}

func (a *application) handprint(args ...string) result {
	a.t.Helper()
	r := handprint(deadline(a.t), "", a.environ, args...)
	if r.code != exitOK {
		a.t.Fatalf("%s %v: %+v", a.prefix, args, r)
	}
	return r
}

// await waits until the rows count n observations, and there are so many dead
// letters.
func (a *application) await(n, dead int, reader *registry.Client) {
	a.t.Helper()
	ctx := deadline(a.t)
	cl, err := kgo.NewClient(append(a.e.ClientOpts(), kgo.ConsumeTopics(a.prefix+"attribution.state", a.prefix+"attribution.dead-letter"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.UnknownTopicRetries(-1), kgo.MetadataMinAge(50*time.Millisecond))...)
	if err != nil {
		a.t.Fatal(err)
	}
	defer cl.Close()
	counts, sum := map[string]int{}, 0
	for sum < n || dead > 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			a.t.Fatalf("%s: the rows count %d observations, not %d", a.prefix, sum, n)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Topic != a.prefix+"attribution.state" {
				dead--
				return
			}
			if err := reader.Await(ctx, r.Value); err != nil {
				a.t.Fatal(err)
			}
			row, err := reader.Writers().StateRow(r.Value)
			if err != nil {
				a.t.Fatal(err)
			}
			sum += int(row.Row.Count) - counts[string(r.Key)]
			counts[string(r.Key)] = int(row.Row.Count)
		})
	}
}

// without returns the lines of objects, sorted, without some members.
func without(t *testing.T, lines string, names ...string) []string {
	t.Helper()
	var list []string
	for line := range strings.Lines(lines) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for _, name := range names {
			delete(object, name)
		}
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(text))
	}
	slices.Sort(list)
	return list
}

// TestRegistryWholeProgramInAvro: a real log through the program, once in JSON
// and once in Avro, gives the same rows and events, and every public topic then
// holds Avro alone.
func TestRegistryWholeProgramInAvro(t *testing.T) {
	t.Parallel()
	e, target := startBroker(t), registryURL(t)
	reader, err := registry.New(registry.Config{URLs: []string{target}})
	if err != nil {
		t.Fatal(err)
	}
	log := "../../ingest/cowrie/lab/cowrie.json.gz"
	observations := strings.Count(handprint(deadline(t), "", nil, "ingest", "cowrie", "--stdout", log).out, "\n")
	unique := strconv.FormatInt(time.Now().UnixNano(), 36)
	apps := []*application{
		startApplication(t, e, "json."+unique+"."),
		startApplication(t, e, "avro."+unique+".", "HANDPRINT_OUTPUT_FORMAT=avro", "HANDPRINT_SCHEMA_REGISTRY_URL="+target),
	}
	bad := file(t, "not JSON\n")
	var rows, events [][]string
	for i, a := range apps {
		a.handprint("topics", "create")
		a.handprint("ingest", "cowrie", "--format", []string{"json", "avro"}[i], log, bad)
		a.handprint("ingest", "behave", file(t, `{"attacker_uuid":""}`+"\n"))
		a.await(observations, 2, reader)
		a.handprint("identity", "form", "--unseen", "I", "nobody")
		rows = append(rows, without(t, a.handprint("rows", "-o", "json").out, "updated_at"))
		events = append(events, without(t, a.handprint("events", "--from", "beginning", "--until-end", "--type", "state_changed", "-o", "json").out, "event_id"))
	}
	if len(rows[0]) < 100 || !slices.Equal(rows[0], rows[1]) {
		t.Errorf("%d rows in JSON, %d in Avro, or not the same", len(rows[0]), len(rows[1]))
	}
	if len(events[0]) < 100 || !slices.Equal(events[0], events[1]) {
		t.Errorf("%d events in JSON, %d in Avro, or not the same", len(events[0]), len(events[1]))
	}
	cl, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i, a := range apps {
		a.end()
		seen := map[string]int{}
		for _, topic := range []string{"attacker.observation", "identity.events", "attribution.profile.state_changed", "attribution.state", "attribution.dead-letter", "system.attribution.health"} {
			err := broker.Scan(deadline(t), cl, func(r *kgo.Record) error {
				if string(r.Value) == `{"attacker_uuid":""}` && topic == "attacker.observation" {
					return nil // what is no good observation is sent as it is
				}
				seen[topic]++
				if schemas.IsAvro(r.Value) != (i == 1) {
					return fmt.Errorf("%s[%d] offset %d: %.200q", r.Topic, r.Partition, r.Offset, r.Value)
				}
				return nil
			}, a.prefix+topic)
			if err != nil {
				t.Error(err)
			}
		}
		if seen["attacker.observation"] != observations || seen["attribution.dead-letter"] != 2 || seen["identity.events"] != 1 {
			t.Errorf("%s: records %v, want %d observations and 2 dead letters", a.prefix, seen, observations)
		}
	}
	// Without a registry, readers say what is missing.
	r := handprint(deadline(t), "", slices.DeleteFunc(slices.Clone(apps[1].environ), func(s string) bool {
		return strings.HasPrefix(s, "HANDPRINT_SCHEMA") || strings.HasPrefix(s, "HANDPRINT_OUTPUT")
	}), "rows")
	if r.code != exitUsage || !strings.Contains(r.err, "schema-registry-url") {
		t.Errorf("rows without a registry: %+v", r)
	}
}

func TestRegistryCommands(t *testing.T) {
	t.Parallel()
	target := registryURL(t)
	environ := []string{"HANDPRINT_TOPIC_PREFIX=commands." + strconv.FormatInt(time.Now().UnixNano(), 36) + "."}
	at := append(slices.Clone(environ), "HANDPRINT_SCHEMA_REGISTRY_URL="+target)
	for _, c := range []struct {
		name    string
		environ []string
		args    []string
		code    int
		want    string // part of the output, or of the error
	}{
		{"list", nil, []string{"schemas", "show"}, exitOK, "attribution.state-value"},
		{"show", nil, []string{"schemas", "show", "state_row"}, exitOK, `"name": "StateRow"`},
		{"show what is not there", nil, []string{"schemas", "show", "rows"}, exitUsage, "no contract is called"},
		{"check nothing", nil, []string{"schemas", "check"}, exitUsage, "schema-registry-url"},
		{"check nobody", nil, []string{"schemas", "check", "--schema-registry-url=http://127.0.0.1:1"}, exitFailure, "does not answer"},
		{"a wrong URL", nil, []string{"schemas", "check", "--schema-registry-url=registry:8081"}, exitUsage, "schema-registry-url"},
		{"a password in the URL", nil, []string{"schemas", "check", "--schema-registry-url=http://u:cret@127.0.0.1:1"}, exitUsage, "schema-registry-password-file"},
		{"a password of nobody", nil, []string{"schemas", "check", "--schema-registry-url=http://127.0.0.1:1", "--schema-registry-password=cret"}, exitUsage, "schema-registry-user"},
		{"register at nobody", nil, []string{"schemas", "register", "--schema-registry-url=http://127.0.0.1:1"}, exitFailure, "does not answer"},
		{"start without the schemas", at, []string{"run", "--output-format=avro", "--schema-auto-register=false", "--connect-timeout=1s"}, exitUnreachable, ""},
		{"check before", at, []string{"schemas", "check"}, exitOK, "compatible"},
		{"register", at, []string{"schemas", "register", "--json"}, exitOK, `"id":`},
		{"register again", at, []string{"schemas", "register"}, exitOK, "id "},
		{"check after", at, []string{"schemas", "check"}, exitOK, "compatible"},
		{"avro without a registry", nil, []string{"run", "--output-format=avro"}, exitUsage, "avro needs schema-registry-url"},
		{"ingest without a registry", nil, []string{"ingest", "behave", "--format=avro", "--stdout", "-"}, exitUsage, "--stdout prints JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := handprint(deadline(t), "", c.environ, c.args...)
			if r.code != c.code || !strings.Contains(r.out+r.err, c.want) || strings.Contains(r.out+r.err, "cret") && c.code != exitOK || c.code != exitOK && r.out != "" {
				t.Errorf("code %d, %q, %q; want %d, %q", r.code, r.out, r.err, c.code, c.want)
			}
		})
	}
}

// A start that finds another schema registered than its own, and may not
// register, says what to do.
func TestRegistryWithoutOurSchemas(t *testing.T) {
	t.Parallel()
	e, environ := withTopics(t)
	_ = e
	r := handprint(deadline(t), "", append(environ, "HANDPRINT_SCHEMA_REGISTRY_URL="+registryURL(t)),
		"run", "--output-format=avro", "--schema-auto-register=false", "--schema-subject-naming=record", "--topic-prefix=", "--state-dir", t.TempDir())
	if os.Getenv("HANDPRINT_REGISTRY") != "" {
		return // there they may be registered
	}
	if r.code != exitUsage || !strings.Contains(r.err, "handprint schemas register") {
		t.Errorf("%+v", r)
	}
}
