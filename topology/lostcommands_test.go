package topology_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/vectors"
	"handprint/processor"
)

// The application stops in the middle of an identity event, and the commands
// that it has not read are deleted. It goes on with the event, and with those
// behind it, when it starts again.
func TestAnIdentityEventSurvivesLostCommands(t *testing.T) {
	t.Parallel()
	a := newApp(t, startBroker(t), options{prefix: "lost", partitions: 1})
	const first, second, third = "018f0000-0000-7000-8000-000000000001", "018f0000-0000-7000-8000-000000000002", "018f0000-0000-7000-8000-000000000003"
	n := 0
	observe := func(attacker string, times int) {
		for range times {
			n++
			a.put(&kgo.Record{Topic: a.names.Observations, Key: []byte(attacker), Value: fmt.Appendf(nil,
				`{"attacker_uuid":%q,"primitive":"t.first","value":"v%d","ts":%d,"evidence_ref":"s%d"}`, attacker, n%2, 1_800_000_000+n, n)})
		}
	}
	form := func(identity, attacker string) *kgo.Record {
		return &kgo.Record{Topic: a.names.IdentityEvents, Headers: []kgo.RecordHeader{{Key: "type", Value: []byte("identity.formed")}},
			Value: fmt.Appendf(nil, `{"identity_uuid":%q,"observation_uuids":[%q]}`, identity, attacker)}
	}
	var armed atomic.Bool
	a.config.Runtime.OnCommit = func(c processor.Commit) {
		a.onCommit(c)
		commands := processor.TopicPartition{Topic: a.names.Commands}
		if armed.Load() && c.Consumed[commands] > 0 && c.Produced[commands] > 0 {
			a.stop() // the link is done, and the detach is written and not read
		}
	}
	a.start()
	observe("x", 10)
	a.settle()
	armed.Store(true)
	a.put(form(first, "x"))
	if err := <-a.finished; err != nil {
		t.Fatal(err)
	}
	armed.Store(false)
	var all kadm.Offsets
	all.Add(kadm.Offset{Topic: a.names.Commands, Partition: 0, At: -1})
	deleted, err := kadm.NewClient(a.client).DeleteRecords(context.Background(), all)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}

	a.forget()
	a.start()
	observe("x", 20)
	a.put(form(second, "x"), form(third, "y"))
	observe("y", 5)
	a.settle()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]int64)
	for _, r := range a.read(a.names.State) {
		if r.Value == nil {
			delete(rows, string(r.Key))
			continue
		}
		var row vectors.Row
		if err := json.Unmarshal(r.Value, &row); err != nil {
			t.Fatal(err)
		}
		rows[string(r.Key)] = row.Count
	}
	if len(rows) != 2 || rows[second+"/t.first"] != 30 || rows[third+"/t.first"] != 5 {
		t.Errorf("rows count %v, want 30 of %s and 5 of %s", rows, second, third)
	}
	if a.config.Engine.Counters.Rounds.Load() == 0 {
		t.Error("no identity event began another round: nothing was lost")
	}
}
