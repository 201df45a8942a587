// Package servetest runs a whole application on the embedded broker, for tests of
// the read side: what is sent to it is processed as on a cluster.
package servetest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/broker"
	"handprint/schemas"
	"handprint/topology"
)

// Partitions is how many the application has.
const Partitions = 4

// App is a running application.
type App struct {
	Broker *broker.Embedded
	Names  topology.Names
	Client *kgo.Client
	Rest   *topology.Rest
	Now    time.Time // of the application's clock, which stands still

	t testing.TB
}

// Logger discards, unless HANDPRINT_TEST_LOG is set.
func Logger() *slog.Logger {
	if os.Getenv("HANDPRINT_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

// Start runs an application, of one instance, until the test ends. Its configuration can
// be changed before.
func Start(t testing.TB, configure ...func(*topology.Config)) *App {
	t.Helper()
	a := StartIdle(t)
	a.Instance("test", configure...)
	return a
}

// StartIdle is Start without an instance.
func StartIdle(t testing.TB) *App {
	t.Helper()
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	a := &App{t: t, Broker: b, Names: topology.DefaultNames("", "app"), Now: time.Unix(1_700_000_000, 0)}
	a.Rest = topology.NewRest(a.Names)
	a.Client, err = kgo.NewClient(append(b.ClientOpts(), kgo.RecordPartitioner(a.Names.Partitioner()), kgo.ProducerLinger(0))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Client.Close)
	if _, err := broker.Ensure(context.Background(), a.Client, a.Names.Specs(topology.Layout{Partitions: Partitions, Replication: 1})); err != nil {
		t.Fatal(err)
	}
	return a
}

// Send writes records to the application and waits until all that follows from them
// is committed.
func (a *App) Send(records ...*kgo.Record) {
	a.t.Helper()
	for _, r := range records {
		if err := a.Client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			a.t.Fatal(err)
		}
		switch r.Topic {
		case a.Names.Observations, a.Names.IdentityEvents, a.Names.Commands:
			a.Rest.Expect(r.Topic, r.Partition, r.Offset)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if err := a.Rest.Wait(ctx); err != nil {
		a.t.Fatal(err)
	}
}

// Observation is an observation of an attacker; value is JSON. Its timestamp is that
// of the clock.
func (a *App) Observation(attacker, primitive, value string, ts float64) *kgo.Record {
	return &kgo.Record{Topic: a.Names.Observations, Key: []byte(attacker), Timestamp: a.Now, Value: fmt.Appendf(nil,
		`{"attacker_uuid":%q,"primitive":%q,"value":%s,"ts":%v,"window":{"start_ts":%v,"end_ts":%v},"evidence_ref":"e:%v","confidence":1,"envelope_v":1,"source":"test"}`,
		attacker, primitive, value, ts, ts, ts, ts)}
}

// Event is an identity event.
func (a *App) Event(e attribution.IdentityEvent) *kgo.Record {
	return &kgo.Record{Topic: a.Names.IdentityEvents, Key: []byte(e.Identity), Timestamp: a.Now, Value: schemas.AppendIdentityEvent(nil, &e)}
}

// Profile is what a sensor knows of an attacker's address.
func (a *App) Profile(attacker, address string) *kgo.Record {
	return &kgo.Record{Topic: a.Names.Profiles, Key: schemas.AppendProfileKey(nil, attacker, "test"), Timestamp: a.Now, Value: schemas.AppendProfileJSON(nil, &schemas.Profile{
		Attacker: attacker, Stub: attribution.Stub([]byte(attacker)).String(), Address: address, Kind: schemas.AddressIP, Sensor: "test", FirstSeen: 1, LastSeen: float64(a.Now.Unix()),
	})}
}
