package topology_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"handprint/attribution"
	"handprint/internal/vectors"
	"handprint/schemas"
	"handprint/schemas/avro"
	"handprint/schemas/registry"
)

// avroTopics makes the topics of a test Avro: what is put in is written so, and
// what is read is translated to the JSON that tests compare.
type avroTopics struct {
	client *registry.Client
	format *schemas.Format
}

func startRegistry(t testing.TB) *srfake.Registry {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	return fake
}

// useAvro makes an application read and write Avro.
func (a *app) useAvro(fake *srfake.Registry) {
	a.t.Helper()
	client, err := registry.New(registry.Config{URLs: []string{fake.URL()}, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	if err != nil {
		a.t.Fatal(err)
	}
	subjects := make(map[schemas.Contract]string)
	for _, c := range schemas.Contracts() {
		subjects[c] = a.prefix + c.String()
	}
	format, err := client.Format(context.Background(), subjects, true)
	if err != nil {
		a.t.Fatal(err)
	}
	a.avro = &avroTopics{client, format}
	a.config.Schemas, a.config.Engine.Writers, a.config.Engine.Format = client, client.Writers(), format
}

// rewrite makes a good input record Avro. Bad ones stay as they are.
func (v *avroTopics) rewrite(a *app, r *kgo.Record) {
	if v == nil {
		return
	}
	if r.Topic == a.names.Observations {
		var d schemas.ObservationDecoder
		var o attribution.Observation
		if d.Decode(r.Value, &o) == nil {
			r.Value = v.format.AppendObservation(nil, &o)
		}
		return
	}
	typ, _ := schemas.Header(r.Headers, schemas.TypeHeader)
	if e, err := schemas.DecodeIdentityEvent(string(typ), r.Value); err == nil {
		r.Value = v.format.AppendIdentityEvent(nil, &e)
	}
}

// translate makes an output record JSON. It fails if it was not Avro.
func (v *avroTopics) translate(a *app, r *kgo.Record) {
	if len(r.Value) == 0 && r.Topic == a.names.State {
		return
	}
	if !schemas.IsAvro(r.Value) {
		a.t.Fatalf("%s[%d] offset %d is not Avro: %.100q", r.Topic, r.Partition, r.Offset, r.Value)
	}
	var err error
	switch w := v.client.Writers(); r.Topic {
	case a.names.StateChanged:
		var e attribution.Transition
		e, err = w.Transition(r.Value)
		r.Value = schemas.AppendTransitionJSON(nil, &e)
	case a.names.MultiActorSuspects:
		var e attribution.Suspicion
		e, err = w.Suspicion(r.Value)
		r.Value = schemas.AppendSuspicionJSON(nil, &e)
	case a.names.IdentityChanged:
		var e attribution.IdentityChange
		e, err = w.IdentityChange(r.Value)
		r.Value = schemas.AppendIdentityChangeJSON(nil, &e)
	case a.names.Identities:
		var m attribution.Membership
		m, err = w.Membership(r.Value)
		r.Value = schemas.AppendMembershipJSON(nil, &m)
	case a.names.State:
		var row schemas.StateRow
		row, err = w.StateRow(r.Value)
		r.Value = schemas.AppendStateRowJSON(nil, &row)
	case a.names.DeadLetter:
		r.Value = w.Original(r.Value)
	}
	if err != nil {
		a.t.Fatalf("%s[%d] offset %d: %v", r.Topic, r.Partition, r.Offset, err)
	}
}

// TestConformanceInAvro runs every sixth line with every topic in Avro: what it
// says must come out all the same.
func TestConformanceInAvro(t *testing.T) {
	for _, file := range vectors.ScenarioFiles {
		t.Run(strings.TrimSuffix(file, ".jsonl"), func(t *testing.T) {
			t.Parallel()
			scenarios := vectors.Scenarios(t, file)
			b, fake := startBroker(t), startRegistry(t)
			for i := range scenarios {
				if i%6 > 0 {
					continue
				}
				s := &scenarios[i]
				t.Run(fmt.Sprintf("%s/%s", s.Where(), s.Case), func(t *testing.T) {
					t.Parallel()
					a := newApp(t, b, options{prefix: fmt.Sprintf("line%d-", s.Number), partitions: 3, registry: s.Registry, thresholds: &s.Thresholds})
					a.useAvro(fake)
					runScenario(t, a, s)
				})
			}
		})
	}
}

// wider is a sensor's own schema: fields in another order, one that nobody asked
// for, numbers as integers, no optional ones, value and evidence as bytes.
const wider = `{"type":"record","name":"Sight","namespace":"sensor","fields":[
	{"name":"ts","type":"long"},{"name":"extra","type":{"type":"map","values":{"type":"array","items":"float"}}},
	{"name":"value","type":"bytes"},{"name":"evidence_ref","type":["null","bytes","string"]},{"name":"primitive","type":"string"},{"name":"attacker_uuid","type":"string"}]}`

// A record by a schema that is new waits while the registry is down or slow, is
// taken once it answers, and only what the registry says that it does not have
// is a dead letter. JSON goes on between Avro.
func TestAvroInputWaitsForTheRegistry(t *testing.T) {
	t.Parallel()
	b, fake := startBroker(t), startRegistry(t)
	a := newApp(t, b, options{prefix: "waits-", partitions: 1, registry: attribution.DefaultRegistry()})
	a.useAvro(fake)
	id, _, err := fake.RegisterSchema("sensor", sr.Schema{Schema: wider})
	if err != nil {
		t.Fatal(err)
	}
	var refused atomic.Int64
	enough := make(chan struct{})
	fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/schemas/ids/") || refused.Load() > 3 {
			return false
		}
		if refused.Add(1) == 3 {
			close(enough)
		}
		w.WriteHeader([]int{http.StatusServiceUnavailable, http.StatusNotFound, http.StatusInternalServerError}[refused.Load()%3])
		return true
	})
	sight := schemas.AppendHeader(nil, uint32(id))
	sight = append(sight, 10)              // ts 5
	sight = append(sight, 2, 2, 'k', 0, 0) // extra: {"k": []}
	sight = append(sight, 6, '"', 'v', '"')
	sight = append(sight, 2, 2, 'e')
	sight = append(sight, "\x0et.first\x02a"...)
	observation := func(value []byte) *kgo.Record {
		return &kgo.Record{Topic: a.names.Observations, Key: []byte("a"), Value: value}
	}
	a.start()
	a.put(observation(observationText("a", `,"evidence_ref":"first"`)), observation(sight))
	select {
	case <-enough:
	case <-time.After(3 * time.Minute):
		t.Fatal("the registry is not asked")
	}
	a.put(observation(schemas.AppendHeader(nil, 4_000_000_000)), observation(append(sight[:len(sight):len(sight)], 0)),
		observation(sight[:len(sight)-1]), observation(schemas.AppendHeader(nil, 1<<31)[:4]), observation(observationText("a", `,"evidence_ref":"last"`)))
	a.put(hostileRecords(t, a, fake, sight)...)
	a.settle()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	var reasons []string
	rows := map[string]vectors.Row{}
	for _, r := range a.read(a.outputs()...) {
		switch r.Topic {
		case a.names.DeadLetter:
			reason, _ := schemas.Header(r.Headers, schemas.HeaderReason)
			reasons = append(reasons, string(reason))
		case a.names.State:
			rows[string(r.Key)] = vectorRow(t, r)
		}
	}
	want := []string{"Avro: schema 4000000000: the registry does not have it", "Avro: 1 bytes behind the record's end", "Avro: attacker_uuid: a length beyond the record's end",
		"not JSON, and too short for Avro: the schema id is truncated",
		"not JSON: no JSON value at byte 0", "Avro: evidence_ref: a length beyond the record's end", "Avro: value: a length beyond the record's end",
		"Avro: extra: a length beyond the record's end", "value: nested deeper than 128", "Avro: tree: nested too deep",
		"type: missing", "Avro: observation_uuids: a length beyond the record's end"}
	slices.Sort(reasons) // topics have no order between them
	slices.Sort(want)
	if strings.Join(reasons, "\n") != strings.Join(want, "\n") {
		t.Errorf("dead letters for\n%s\nwant\n%s", strings.Join(reasons, "\n"), strings.Join(want, "\n"))
	}
	if len(rows) != 1 {
		t.Errorf("%d rows: %v", len(rows), rows)
	}
	for _, row := range rows {
		if row.Count != 3 || string(row.Value) != `"v"` {
			t.Errorf("the row is %+v, want 3 observations of \"v\"", row)
		}
	}
}

// hostileRecords are records of the input that claim more than they hold; sight
// is a good one by the sensor's schema.
func hostileRecords(t *testing.T, a *app, fake *srfake.Registry, sight []byte) (list []*kgo.Record) {
	t.Helper()
	const tree = `{"type":"record","name":"Sight","fields":[{"name":"tree","type":{"type":"record","name":"Tree","fields":[{"name":"tree","type":["null","Tree"]}]}},
		{"name":"attacker_uuid","type":"string"},{"name":"primitive","type":"string"},{"name":"value","type":"string"},{"name":"evidence_ref","type":"string"},{"name":"ts","type":"int"}]}`
	id, _, err := fake.RegisterSchema("tree", sr.Schema{Schema: tree})
	if err != nil {
		t.Fatal(err)
	}
	long := avro.AppendLong(nil, 1<<31)
	fields := func(ts byte, rest ...[]byte) []byte {
		return append(append(sight[:5:5], ts), bytes.Join(rest, nil)...)
	}
	none, evidence, names := []byte{0}, []byte("\x02\x02e"), []byte("\x0et.first\x02a")
	value := avro.AppendText(nil, strings.Repeat("[", 100_000))
	for _, v := range [][]byte{
		append([]byte{1}, sight[1:]...),
		fields(10, none, []byte("\x02v"), []byte{2}, long),
		fields(10, none, long),
		fields(10, long),
		fields(10, none, value, evidence, names),
		append(schemas.AppendHeader(nil, uint32(id)), bytes.Repeat([]byte{2}, 100_000)...),
	} {
		list = append(list, &kgo.Record{Topic: a.names.Observations, Key: []byte("a"), Value: v})
	}
	event := a.avro.format.AppendIdentityEvent(nil, &attribution.IdentityEvent{Type: attribution.Formed, Identity: "I"})
	list = append(list,
		&kgo.Record{Topic: a.names.IdentityEvents, Value: append(event[:5:5], 0, 0, 0, 0, 0, 0)},
		&kgo.Record{Topic: a.names.IdentityEvents, Value: append(event[:len(event)-1:len(event)-1], long...)})
	return list
}
