package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"handprint/internal/broker"
	"handprint/schemas"
	"handprint/schemas/registry"
)

// The registry's ways of being away.
const (
	registryUp int32 = iota
	registryDown
	registrySlow // does not answer before its clients give up
)

// flaky stands before a registry, and is up, down or slow as mode says.
func flaky(t *testing.T, target string, mode *atomic.Int32, asked *atomic.Int64) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch mode.Load() {
		case registryUp:
			proxy.ServeHTTP(w, r)
		case registryDown:
			panic(http.ErrAbortHandler)
		case registrySlow:
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestRegistryOutages runs the program through a registry that is down when it
// starts, down while records come by known schemas and by a new one, and slow
// when it is back. All that time it is live and says what it waits for; nothing
// is lost, and nothing becomes a dead letter.
func TestRegistryOutages(t *testing.T) {
	e, target := startBroker(t), registryURL(t)
	direct, err := registry.New(registry.Config{URLs: []string{target}})
	if err != nil {
		t.Fatal(err)
	}
	var mode atomic.Int32
	var asked atomic.Int64
	mode.Store(registryDown)
	prefix := "outages." + strconv.FormatInt(time.Now().UnixNano(), 36) + "."
	topics := []string{"HANDPRINT_BROKERS=" + strings.Join(e.Addrs(), ","), "HANDPRINT_PARTITIONS=2", "HANDPRINT_TOPIC_PREFIX=" + prefix}
	if r := handprint(deadline(t), "", topics, "topics", "create"); r.code != exitOK {
		t.Fatalf("creating topics: %+v", r)
	}
	a := startApplication(t, e, prefix, "HANDPRINT_OUTPUT_FORMAT=avro", "HANDPRINT_ADMIN_LISTEN=127.0.0.1:0",
		"HANDPRINT_SCHEMA_REGISTRY_URL="+flaky(t, target, &mode, &asked), "HANDPRINT_SCHEMA_REGISTRY_TIMEOUT=1s")
	admin := adminAddress(t, &a.log, a.ended)
	ready := func(want bool, what string) {
		t.Helper()
		// Probes are all that a process tells of this from outside, so it is
		// probed, as an orchestrator does.
		ctx, probe := deadline(t), time.NewTicker(10*time.Millisecond)
		defer probe.Stop()
		for {
			status, text := ask(ctx, "http://"+admin+"/readyz")
			if (status == http.StatusOK) == want && status != 0 && strings.Contains(text, what) {
				break
			}
			select {
			case <-probe.C:
			case <-ctx.Done():
				t.Fatalf("/readyz says %d %q, want it ready: %v, %q", status, text, want, what)
			}
		}
		if status, text := ask(deadline(t), "http://"+admin+"/livez"); status != http.StatusOK {
			t.Errorf("/livez says %d %q", status, text)
		}
	}
	ready(false, "the schema registry does not answer")
	mode.Store(registryUp)
	ready(true, "")

	evidence := 0
	ingest := func(n int) {
		t.Helper()
		var lines strings.Builder
		for range n {
			evidence++
			fmt.Fprintf(&lines, `{"attacker_uuid":"a","primitive":"lab.outage","value":%d,"evidence_ref":"%d","ts":%d}`+"\n", evidence, evidence, evidence)
		}
		if r := handprint(deadline(t), "", append(topics, "HANDPRINT_SCHEMA_REGISTRY_URL="+target), "ingest", "behave", "--format", "avro", file(t, lines.String())); r.code != exitOK {
			t.Fatalf("ingest: %+v", r)
		}
	}
	ingest(2)
	a.await(2, 0, direct)
	mode.Store(registryDown)
	before := asked.Load()
	ingest(2)
	a.await(4, 0, direct)
	if n := asked.Load() - before; n > 0 {
		t.Errorf("the registry was asked %d times about schemas that are known", n)
	}

	id := registerSensor(t, target, prefix)
	record := schemas.AppendHeader(nil, uint32(id))
	record = append(record, "\x02a\x14lab.outage\x025\x025"...) // attacker, primitive, value, evidence
	record = append(record, 10)                                 // ts
	send(t, e, true, &kgo.Record{Topic: prefix + "attacker.observation", Key: []byte("a"), Value: record})
	evidence++
	ingest(1) // must wait behind it
	ready(false, "asking for schema "+strconv.Itoa(id))
	mode.Store(registrySlow)
	ready(false, "Client.Timeout exceeded")
	mode.Store(registryUp)
	a.await(6, 0, direct)
	ready(true, "")
	a.end()

	cl, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := broker.Scan(deadline(t), cl, func(r *kgo.Record) error {
		return fmt.Errorf("a dead letter: %q", r.Headers)
	}, prefix+"attribution.dead-letter"); err != nil {
		t.Error(err)
	}
}

// registerSensor registers the schema of a sensor of its own.
func registerSensor(t *testing.T, target, name string) int {
	t.Helper()
	client, err := sr.NewClient(sr.URLs(target))
	if err != nil {
		t.Fatal(err)
	}
	id, err := client.RegisterSchema(deadline(t), name+"sensor", sr.Schema{Schema: `{"type":"record","name":"Sight","fields":[
		{"name":"attacker_uuid","type":"string"},{"name":"primitive","type":"string"},{"name":"value","type":"string"},
		{"name":"evidence_ref","type":"string"},{"name":"ts","type":"int"}]}`}, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// ask returns a page's status, 0 if nobody answers, and what it says.
func ask(ctx context.Context, address string) (int, string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err.Error()
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

// The format may be changed at any time: topics then hold both, and whoever
// reads them finds the same in both.
func TestRegistryFormatIsChangedOnTheWay(t *testing.T) {
	t.Parallel()
	e, target := startBroker(t), registryURL(t)
	direct, err := registry.New(registry.Config{URLs: []string{target}})
	if err != nil {
		t.Fatal(err)
	}
	prefix := "changed." + strconv.FormatInt(time.Now().UnixNano(), 36) + "."
	seen := 0
	for _, format := range []string{"json", "avro", "json"} {
		a := startApplication(t, e, prefix, "HANDPRINT_SCHEMA_REGISTRY_URL="+target, "HANDPRINT_OUTPUT_FORMAT="+format)
		a.handprint("topics", "create")
		var lines strings.Builder
		for i := range 3 { // one row that goes on, one for each format
			seen++
			fmt.Fprintf(&lines, `{"attacker_uuid":"%s","primitive":"lab.format","value":"v","evidence_ref":"%d","ts":%d}`+"\n",
				[]string{"always", "always", "once-" + strconv.Itoa(seen)}[i], seen, seen)
		}
		a.handprint("ingest", "behave", file(t, lines.String()))
		a.await(seen, 0, direct)
		a.end()
	}
	a := &application{t: t, e: e, environ: []string{"HANDPRINT_BROKERS=" + strings.Join(e.Addrs(), ","), "HANDPRINT_PARTITIONS=2",
		"HANDPRINT_TOPIC_PREFIX=" + prefix, "HANDPRINT_APPLICATION_ID=" + prefix + "app", "HANDPRINT_SCHEMA_REGISTRY_URL=" + target}}
	if rows := a.handprint("rows", "-o", "json").out; strings.Count(rows, "\n") != 4 || strings.Count(rows, `"current_value":"v"`) != 4 || !strings.Contains(rows, `"observation_count":6`) {
		t.Errorf("rows:\n%s", rows)
	}
	// Each row is new once, and the one that goes on becomes stable.
	if events := a.handprint("events", "--from", "beginning", "--until-end", "-o", "json").out; strings.Count(events, "\n") != 5 || strings.Count(events, `"new_state":"stable"`) != 1 {
		t.Errorf("events:\n%s", events)
	}
	if r := a.handprint("audit"); !strings.Contains(r.out, "0 lost, 0 doubled, 0 different, 0 unexpected") {
		t.Errorf("audit:\n%s", r.out)
	}
}
