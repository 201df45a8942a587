package topology_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/vectors"
	"handprint/schemas"
)

// observationText is an observation that is all right, but for what members
// say: a name that stands twice means what it means last.
func observationText(attacker, members string) []byte {
	return fmt.Appendf(nil, `{"attacker_uuid":%q,"primitive":"t.first","value":"v","ts":5,"evidence_ref":"e"%s}`, attacker, members)
}

// padded is an observation of exactly size bytes.
func padded(attacker string, size int) []byte {
	room := size - len(observationText(attacker, `,"x":""`))
	return observationText(attacker, `,"x":"`+strings.Repeat("x", room)+`"`)
}

var badRecords = []struct {
	name   string
	event  bool // in identity.events
	value  []byte
	reason string // part of it
}{
	{name: "a tombstone", value: nil, reason: "empty"},
	{name: "empty", value: []byte{}, reason: "empty"},
	{name: "not JSON", value: []byte("GET / HTTP/1.1"), reason: "not JSON"},
	{name: "half a record", value: observationText("a", "")[:40], reason: "not JSON"},
	{name: "an array", value: []byte(`[]`), reason: "not an object"},
	{name: "no attacker", value: []byte(`{"primitive":"t.first","value":1,"ts":5,"evidence_ref":"e"}`), reason: "attacker_uuid"},
	{name: "no primitive", value: []byte(`{"attacker_uuid":"a","value":1,"ts":5,"evidence_ref":"e"}`), reason: "primitive"},
	{name: "no value", value: []byte(`{"attacker_uuid":"a","primitive":"t.first","ts":5,"evidence_ref":"e"}`), reason: "value"},
	{name: "no ts", value: []byte(`{"attacker_uuid":"a","primitive":"t.first","value":"v","evidence_ref":"e"}`), reason: "ts"},
	{name: "no evidence", value: []byte(`{"attacker_uuid":"a","primitive":"t.first","value":"v","ts":5}`), reason: "evidence_ref"},
	{name: "an empty attacker", value: observationText("", ""), reason: "attacker_uuid: empty"},
	{name: "a number for an attacker", value: observationText("a", `,"attacker_uuid":5`), reason: "attacker_uuid"},
	{name: "a primitive of one token", value: observationText("a", `,"primitive":"first"`), reason: "primitive"},
	{name: "a negative ts", value: observationText("a", `,"ts":-1`), reason: "ts: negative"},
	{name: "confidence above 1", value: observationText("a", `,"confidence":1.5`), reason: "confidence"},
	{name: "a later envelope", value: observationText("a", `,"v":2`), reason: "envelope"},
	{name: "a number for CATEGORICAL", value: observationText("a", `,"value":1`), reason: "CATEGORICAL"},
	{name: "a text for NUMERIC", value: observationText("a", `,"primitive":"t.numeric","value":"1"`), reason: "NUMERIC"},
	{name: "an object for HASH", value: observationText("a", `,"primitive":"t.hash","value":{}`), reason: "HASH"},
	{name: "an empty HASH", value: observationText("a", `,"primitive":"t.hash","value":""`), reason: "HASH"},
	{name: "NaN", value: observationText("a", `,"primitive":"t.numeric","value":NaN`), reason: "not JSON"},
	{name: "Infinity", value: observationText("a", `,"ts":-Infinity`), reason: "not JSON"},
	{name: "1e999", value: observationText("a", `,"primitive":"t.numeric","value":1e999`), reason: "not finite"},
	{name: "1e999 deep inside", value: observationText("a", `,"primitive":"t.any","value":[{"a":[1,-1e999]}]`), reason: "not finite"},
	{name: "a ts of 1e999", value: observationText("a", `,"ts":1e999`), reason: "not finite"},
	{name: "a byte too large", value: padded("a", schemas.DefaultMaxBytes+1), reason: "too large"},
	{name: "deep nesting", value: observationText("a", `,"value":`+strings.Repeat("[", 100_000)), reason: "nested deeper"},
	{name: "invalid UTF-8", value: observationText("a", ",\"value\":\"\xff\xfe\""), reason: "UTF-8"},
	{name: "invalid UTF-8 as an attacker", value: []byte("{\"attacker_uuid\":\"\xc3\x28\",\"primitive\":\"t.first\",\"value\":\"v\",\"ts\":5,\"evidence_ref\":\"e\"}"), reason: "UTF-8"},
	{name: "an event that is empty", event: true, value: nil, reason: "empty"},
	{name: "an event that is not JSON", event: true, value: []byte("\x00\x01"), reason: "not JSON"},
	{name: "an event of an unknown type", event: true, value: []byte(`{"type":"identity.split","identity_uuid":"i"}`), reason: "type"},
	{name: "an event without a type", event: true, value: []byte(`{"identity_uuid":"i"}`), reason: "type"},
	{name: "a merge without a loser", event: true, value: []byte(`{"type":"identity.merged","winner_uuid":"i"}`), reason: "loser_uuid"},
	{name: "a link of a number", event: true, value: []byte(`{"type":"identity.observation.linked","identity_uuid":"i","observation_uuid":7}`), reason: "observation_uuid"},
	{name: "a merge with itself", event: true, value: []byte(`{"type":"identity.merged","winner_uuid":"i","loser_uuid":"i"}`), reason: "itself"},
	{name: "an event a byte too large", event: true, value: []byte(`{"type":"identity.merged","winner_uuid":"i","loser_uuid":"` + strings.Repeat("x", schemas.DefaultMaxBytes) + `"}`), reason: "too large"},
}

// Every record that cannot be used ends as a dead letter that tells why and
// where, with the original's key, value and headers, and what comes behind it
// is processed.
func TestBadRecordsBecomeDeadLetters(t *testing.T) {
	t.Parallel()
	registry, err := attribution.NewRegistry(historyKinds)
	if err != nil {
		t.Fatal(err)
	}
	a := newApp(t, startBroker(t), options{partitions: 2, registry: registry})
	a.start()
	type place struct{ topic, partition, offset string }
	sent := make(map[place]int)
	at := time.UnixMilli(1_800_000_000_000)
	for i, bad := range badRecords {
		r := &kgo.Record{
			Topic: a.names.Observations, Key: fmt.Appendf(nil, "key \xff %d", i), Value: bad.value, Timestamp: at.Add(time.Duration(i) * time.Millisecond),
			Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("\x00 bytes \xff")}, {Key: "trace", Value: []byte{}}, {Key: schemas.HeaderReason, Value: []byte("an older one")}},
		}
		if bad.event {
			r.Topic = a.names.IdentityEvents
		}
		if i%5 == 0 {
			r.Key = nil
		}
		a.put(r)
		sent[place{r.Topic, fmt.Sprint(r.Partition), fmt.Sprint(r.Offset)}] = i
	}
	garbage := &kgo.Record{Topic: a.names.Commands, Partition: 1, Value: []byte{1, 200, 3}}
	a.put(garbage)
	for i := range 3 {
		for _, attacker := range []string{"one", "two", "three", "four"} {
			a.put(&kgo.Record{Topic: a.names.Observations, Key: []byte(attacker), Value: observationText(attacker, fmt.Sprintf(`,"evidence_ref":"e%d"`, i))})
		}
	}
	a.settle()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, r := range a.read(a.outputs()...) {
		switch r.Topic {
		case a.names.State:
			rows++
			continue
		case a.names.StateChanged:
			continue
		}
		header := func(name string) string {
			v, _ := schemas.Header(r.Headers, name)
			return string(v)
		}
		from := place{header(schemas.HeaderSourceTopic), header(schemas.HeaderSourcePartition), header(schemas.HeaderSourceOffset)}
		if from.topic == a.names.Commands {
			if from.offset != strconv.FormatInt(garbage.Offset, 10) || header(schemas.HeaderStage) != engine.StageCommand || !bytes.Equal(r.Value, garbage.Value) {
				t.Errorf("garbage in the commands became %q with %v", r.Value, r.Headers)
			}
			continue
		}
		i, known := sent[from]
		if !known {
			t.Errorf("a dead letter of %v, which is not bad or has one already", from)
			continue
		}
		delete(sent, from)
		bad := badRecords[i]
		if reason := header(schemas.HeaderReason); !strings.Contains(reason, bad.reason) {
			t.Errorf("%s: reason %q, want one with %q", bad.name, reason, bad.reason)
		}
		stage := engine.StageObservation
		if bad.event {
			stage = engine.StageIdentityEvent
		}
		if header(schemas.HeaderStage) != stage {
			t.Errorf("%s: stage %q, want %q", bad.name, header(schemas.HeaderStage), stage)
		}
		if when := header(schemas.HeaderSourceTimestamp); when != fmt.Sprint(at.UnixMilli()+int64(i)) {
			t.Errorf("%s: timestamp %s", bad.name, when)
		}
		key := fmt.Appendf(nil, "key \xff %d", i)
		if i%5 == 0 {
			key = nil
		}
		if !bytes.Equal(r.Key, key) || (r.Key == nil) != (key == nil) {
			t.Errorf("%s: key %q, want %q", bad.name, r.Key, key)
		}
		if !bytes.Equal(r.Value, bad.value) || (r.Value == nil) != (bad.value == nil) {
			t.Errorf("%s: value %.60q, want %.60q", bad.name, r.Value, bad.value)
		}
		if len(r.Headers) < 3 || string(r.Headers[0].Value) != "\x00 bytes \xff" || len(r.Headers[1].Value) != 0 || r.Headers[1].Key != "trace" || string(r.Headers[2].Value) != "an older one" {
			t.Errorf("%s: headers %q", bad.name, r.Headers)
		}
	}
	for _, i := range sent {
		t.Errorf("%s: no dead letter", badRecords[i].name)
	}
	if rows < 4 {
		t.Errorf("%d rows of the good records, want those of 4 attackers", rows)
	}
	if got, want := a.config.Engine.Counters.DeadLetters.Load(), int64(len(badRecords)+1); got != want {
		t.Errorf("%d dead letters are counted, want %d", got, want)
	}
}

var oddRecords = []struct {
	name  string
	key   []byte
	value []byte // with %s for the attacker
	want  vectors.Row
}{
	{"an empty key", []byte{}, observationText("odd-%s", ""), vectors.Row{Primitive: "t.first", Value: json.RawMessage(`"v"`), LastObservationTS: 5}},
	{"no key", nil, observationText("odd-%s", ""), vectors.Row{Primitive: "t.first", Value: json.RawMessage(`"v"`), LastObservationTS: 5}},
	{"a foreign key", []byte("not the attacker"), observationText("odd-%s", ""), vectors.Row{Primitive: "t.first", Value: json.RawMessage(`"v"`), LastObservationTS: 5}},
	{"a key that is no UTF-8", []byte("\xff\xfe\x00"), observationText("odd-%s", ""), vectors.Row{Primitive: "t.first", Value: json.RawMessage(`"v"`), LastObservationTS: 5}},
	{"an unknown primitive", nil, observationText("odd-%s", `,"primitive":"no.such_thing","value":{"b":[1.0,null],"a":-0}`), vectors.Row{Primitive: "no.such_thing", Value: json.RawMessage(`{"a":0,"b":[1,null]}`), LastObservationTS: 5}},
	{"ts 1e300", nil, observationText("odd-%s", `,"ts":1e300`), vectors.Row{Primitive: "t.first", Value: json.RawMessage(`"v"`), LastObservationTS: 1e300}},
	{"a number of 400 digits", nil, observationText("odd-%s", `,"primitive":"t.numeric","value":1.`+strings.Repeat("3", 400)), vectors.Row{Primitive: "t.numeric", Value: json.RawMessage(`1.3333333333333333`), LastObservationTS: 5}},
	{"a number of 300 digits before the point", nil, observationText("odd-%s", `,"primitive":"t.numeric","value":1`+strings.Repeat("0", 300)), vectors.Row{Primitive: "t.numeric", Value: json.RawMessage(`1e300`), LastObservationTS: 5}},
	{"a number too small for a double", nil, observationText("odd-%s", `,"primitive":"t.numeric","value":-1e-999`), vectors.Row{Primitive: "t.numeric", Value: json.RawMessage(`0`), LastObservationTS: 5}},
	{"null", nil, observationText("odd-%s", `,"value":null`), vectors.Row{Primitive: "t.first", Value: json.RawMessage(`null`), LastObservationTS: 5}},
	{"just inside the size", nil, padded("odd-%s", schemas.DefaultMaxBytes), vectors.Row{Primitive: "t.first", Value: json.RawMessage(`"v"`), LastObservationTS: 5}},
	{"an attacker with a nul and a slash", nil, []byte(`{"attacker_uuid":"odd/\u0000%s","primitive":"t.first","value":"v","ts":5,"evidence_ref":"e"}`), vectors.Row{Primitive: "t.first", Value: json.RawMessage(`"v"`), LastObservationTS: 5}},
}

// What is odd but legal is processed, wherever its key has led it.
func TestOddRecordsAreProcessed(t *testing.T) {
	t.Parallel()
	registry, err := attribution.NewRegistry(historyKinds)
	if err != nil {
		t.Fatal(err)
	}
	a := newApp(t, startBroker(t), options{partitions: 8, registry: registry})
	a.start()
	want := make(map[string]vectors.Row)
	misrouted := int64(0)
	for i, odd := range oddRecords {
		// The attacker's name has the length of what it stands for, so that
		// sizes stay.
		number := fmt.Sprintf("%02d", i)
		value := bytes.Replace(odd.value, []byte("%s"), []byte(number), 1)
		r := &kgo.Record{Topic: a.names.Observations, Key: odd.key, Value: value}
		a.put(r)
		attacker := "odd-" + number
		if strings.Contains(odd.name, "a nul and") {
			attacker = "odd/\x00" + number
		}
		if r.Partition != attribution.AttackerPartition(attacker, a.partitions) {
			misrouted++
		}
		row := odd.want
		row.Identity, row.State, row.Count, row.LastChangeTS = attribution.Stub([]byte(attacker)).String(), "unknown", 1, row.LastObservationTS
		want[row.Identity+"/"+row.Primitive] = row
	}
	a.settle()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	var got []vectors.Row
	for _, r := range a.read(a.names.State, a.names.DeadLetter) {
		if r.Topic == a.names.DeadLetter {
			reason, _ := schemas.Header(r.Headers, schemas.HeaderReason)
			t.Errorf("a dead letter, %s: %.200s", reason, r.Value)
			continue
		}
		got = append(got, vectorRow(t, r))
	}
	var rows []vectors.Row
	for _, r := range want {
		rows = append(rows, r)
	}
	if diff := vectors.DiffRows(rows, got); diff != "" {
		t.Error(diff)
	}
	if counted := a.config.Engine.Counters.Misrouted.Load(); misrouted == 0 || counted != misrouted {
		t.Errorf("%d records are counted as misrouted, %d were", counted, misrouted)
	}
}

// Large values stay out of the rows' records, so that no record outgrows a
// Kafka message however many of them an attacker sends, and go with the
// attacker when it moves.
func TestLargeValuesStayOutOfRows(t *testing.T) {
	t.Parallel()
	const size, most = 200 << 10, 300 << 10
	a := newApp(t, startBroker(t), options{partitions: 2})
	a.start()
	value := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), size) + fmt.Sprint(i) }
	const attacker, identity = "large", "identity-of-large"
	for i := range 40 {
		a.put(&kgo.Record{Topic: a.names.Observations, Key: []byte(attacker), Value: observationText(attacker,
			fmt.Sprintf(`,"primitive":"t.any","value":%q,"ts":%d,"evidence_ref":"e%d"`, value(i), 100+i, i))})
	}
	a.settle()
	link := attribution.IdentityEvent{Type: attribution.Linked, Identity: identity, Attackers: []string{attacker}}
	a.put(&kgo.Record{Topic: a.names.IdentityEvents, Value: schemas.AppendIdentityEvent(nil, &link)})
	a.settle()
	// A replacement shows that the values are there, not only what was sent.
	a.put(&kgo.Record{Topic: a.names.Observations, Key: []byte(attacker), Value: observationText(attacker,
		`,"primitive":"t.any","value":"small","ts":100,"evidence_ref":"e39"`)})
	a.settle()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	live := make(map[string]int)
	for _, r := range a.read(a.names.Changelog, a.names.Commands) {
		if len(r.Value) > most {
			t.Errorf("%s[%d]@%d, key %.40q, has %d bytes", r.Topic, r.Partition, r.Offset, r.Key, len(r.Value))
		}
		if r.Topic == a.names.Changelog {
			live[string(r.Key)] = len(r.Value)
		}
	}
	total := 0
	for _, n := range live {
		total += n
	}
	// 32 entries are kept, one of them small by now.
	if total < 31*size || total > 31*size+size/2 {
		t.Errorf("the store holds %d bytes, want 31 values of %d", total, size)
	}
	stub := attribution.Stub([]byte(attacker)).String()
	var shown []string
	for _, r := range a.read(a.names.State) {
		key := string(r.Key)
		switch {
		case r.Value == nil && key == stub+"/t.any":
			shown = append(shown, "tombstone")
		case key == identity+"/t.any":
			row := vectorRow(t, r)
			var text string
			if err := json.Unmarshal(row.Value, &text); err != nil {
				t.Fatal(err)
			}
			_, number, _ := strings.Cut(text, strings.Repeat(text[:1], size))
			if i, err := strconv.Atoi(number); err != nil || text != value(i) {
				t.Fatalf("row with a value of %d bytes, %.20q...", len(text), text)
			}
			shown = append(shown, number)
		}
	}
	slices.Sort(shown) // two partitions
	if !slices.Equal(shown, []string{"38", "39", "tombstone"}) {
		t.Errorf("the rows showed %s, want the stub's tombstone, value 39 and, when that was replaced, 38", shown)
	}
}

// A row whose value is large and then small within one transaction, or the other
// way round, is shown as the store has it.
func TestRowsOfLargeAndSmallValuesInOneTransaction(t *testing.T) {
	t.Parallel()
	a := newApp(t, startBroker(t), options{partitions: 1})
	large := strings.Repeat("large", 100)
	cases := map[string]struct {
		values []string
		rows   int // of the state topic
		large  bool
	}{
		"small":               {[]string{"s"}, 1, false},
		"small-small":         {[]string{"s", "t"}, 1, false},
		"large":               {[]string{large}, 1, true},
		"large-small":         {[]string{large, "s"}, 2, false},
		"small-large":         {[]string{"s", large}, 1, true},
		"large-small-large":   {[]string{large, "s", large + "r"}, 1, true},
		"small-large-small":   {[]string{"s", large, "t"}, 2, false},
		"large-other large":   {[]string{large, large + "r"}, 1, true},
		"large and the same":  {[]string{large, large}, 1, true},
		"small, and rejected": {[]string{"s", "s"}, 1, false},
	}
	for attacker, c := range cases {
		for i, v := range c.values {
			a.put(&kgo.Record{Topic: a.names.Observations, Key: []byte(attacker), Value: observationText(attacker,
				fmt.Sprintf(`,"primitive":"t.any","value":%q,"ts":%d,"evidence_ref":"e%d"`, v, 100+i, i))})
		}
	}
	a.start()
	a.settle()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	shown := make(map[string][]vectors.Row)
	for _, r := range a.read(a.names.State) {
		shown[string(r.Key)] = append(shown[string(r.Key)], vectorRow(t, r))
	}
	kept := make(map[string]engine.Fact)
	for _, r := range a.read(a.names.Changelog) {
		f, err := engine.Inspect(r.Key, r.Value)
		if err != nil {
			t.Fatal(err)
		}
		if f.Kind == engine.RowFact {
			kept[f.Identity+"/"+f.Primitive] = f
		}
	}
	for attacker, c := range cases {
		key := attribution.Stub([]byte(attacker)).String() + "/t.any"
		rows := shown[key]
		if len(rows) != c.rows {
			t.Fatalf("%s: %d rows, want %d", attacker, len(rows), c.rows)
		}
		last := rows[len(rows)-1]
		value := attribution.Value(last.Value)
		if f := kept[key]; string(engine.StoredValue(value)) != string(f.Row.Value) || last.Count != f.Row.Count || last.Count != int64(len(c.values)) {
			t.Errorf("%s: the last row is %.80v, the store has %+v", attacker, last, f.Row)
		}
		if isLarge := len(value) > 256; isLarge != c.large {
			t.Errorf("%s: the last row's value has %d bytes", attacker, len(value))
		}
	}
}

// TestARecordTooLargeForAnyTopicIsCut takes a record that its producer's
// compression made small enough to be accepted.
func TestARecordTooLargeForAnyTopicIsCut(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	a := newApp(t, b, options{prefix: "huge-", partitions: 1})
	a.start()
	producer, err := kgo.NewClient(append(b.ClientOpts(), kgo.ProducerBatchMaxBytes(32<<20), kgo.ProducerBatchCompression(kgo.ZstdCompression()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	huge := &kgo.Record{Topic: a.names.Observations, Key: []byte("a"), Value: bytes.Repeat([]byte("x"), 10<<20), Headers: []kgo.RecordHeader{{Key: "mine", Value: []byte("1")}}}
	if err := producer.ProduceSync(context.Background(), huge).FirstErr(); err != nil {
		t.Fatal(err)
	}
	a.rest.Expect(huge.Topic, huge.Partition, huge.Offset)
	a.settle()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	dead := a.read(a.names.DeadLetter)
	if len(dead) != 1 {
		t.Fatalf("%d dead letters, want 1", len(dead))
	}
	size, _ := schemas.Header(dead[0].Headers, schemas.HeaderOriginalSize)
	if string(size) != strconv.Itoa(len(huge.Value)) || len(dead[0].Value) < 1<<20 || !bytes.HasPrefix(huge.Value, dead[0].Value) {
		t.Errorf("a dead letter of %d bytes says its original had %s", len(dead[0].Value), size)
	}
	if offset, _ := schemas.Header(dead[0].Headers, schemas.HeaderSourceOffset); string(offset) != "0" {
		t.Errorf("source offset %q", offset)
	}
}
