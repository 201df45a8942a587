package wireproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/internal/broker"
)

// proxied starts a broker with a topic t, a proxy before it, and returns the
// proxy and a client that goes through it.
func proxied(t *testing.T, opts ...kgo.Opt) (*Proxy, *kgo.Client) {
	t.Helper()
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	p, err := Listen(func() string { return b.Addrs()[0] })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(b.Addrs()...),
		kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.Addr())
		}),
		kgo.ClientID("tested"), kgo.DefaultProduceTopic("t"),
		kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	return p, cl
}

func put(t *testing.T, cl *kgo.Client, n int) {
	t.Helper()
	for i := range n {
		if err := cl.ProduceSync(t.Context(), kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
}

// expectRecords reads n records and the end behind them.
func expectRecords(t *testing.T, cl *kgo.Client, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for i := 0; i < n; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Value) != fmt.Sprint(i) {
				t.Fatalf("record %d is %s", i, r.Value)
			}
			i++
		})
	}
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, "t")
	if err != nil {
		t.Fatal(err)
	}
	if end, _ := ends.Lookup("t", 0); end.Offset != int64(n) {
		t.Errorf("the topic ends at %d, want %d", end.Offset, n)
	}
}

// An idempotent producer gets its records through once and in order, and a
// consumer reads them, whatever is done to a few of their requests.
func TestClientsGetOver(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Fetch, kmsg.Metadata, kmsg.InitProducerID} {
		for _, action := range Actions() {
			if action == Swallow && key != kmsg.InitProducerID {
				continue // the client waits long before it gives up
			}
			t.Run(fmt.Sprint(key.Name(), "/", action), func(t *testing.T) {
				t.Parallel()
				p, cl := proxied(t, kgo.RequestTimeoutOverhead(time.Second), kgo.ProduceRequestTimeout(time.Second), kgo.FetchMaxWait(100*time.Millisecond))
				skip := 0
				if key == kmsg.Produce && action != Refuse && action != CutRequest {
					skip = 2
				}
				p.Set(Rule{Key: key, Client: "test", Skip: skip, Times: 2, Action: action, Error: kerr.NotLeaderForPartition, Wait: 50 * time.Millisecond})
				cl.ForceMetadataRefresh()
				put(t, cl, 5)
				expectRecords(t, cl, 5)
				if p.Broken()[0] == 0 {
					t.Error("nothing was broken")
				}
			})
		}
	}
}

// A refused write has not happened, a denied one has.
func TestRefuseAndDeny(t *testing.T) {
	for _, test := range []struct {
		action Action
		want   int64
	}{{Refuse, 0}, {Deny, 1}, {CutRequest, 0}, {CutAnswer, 1}} {
		t.Run(test.action.String(), func(t *testing.T) {
			p, cl := proxied(t, kgo.DisableIdempotentWrite(), kgo.RecordRetries(0))
			p.Set(Rule{Key: kmsg.Produce, Action: test.action, Error: kerr.MessageTooLarge})
			err := cl.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr()
			if err == nil || test.action <= Deny && !errors.Is(err, kerr.MessageTooLarge) {
				t.Errorf("the client is told %v", err)
			}
			p.Clear()
			ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), "t")
			if err != nil {
				t.Fatal(err)
			}
			if end, _ := ends.Lookup("t", 0); end.Offset != test.want {
				t.Errorf("%d records are there, want %d", end.Offset, test.want)
			}
		})
	}
}

// A rule is for one kind of request of the clients that it names.
func TestRulesFit(t *testing.T) {
	p, cl := proxied(t)
	p.Set(
		Rule{Key: kmsg.Produce, Client: "other", Action: CutRequest},
		Rule{Key: kmsg.EndTxn, Action: CutRequest},
		Rule{Key: kmsg.Produce, Skip: 1, Times: 1, Action: Delay, Wait: time.Millisecond},
	)
	put(t, cl, 4)
	if got := fmt.Sprint(p.Broken()); got != "[0 0 1]" {
		t.Errorf("rules broke %s, want [0 0 1]", got)
	}
}

// A proxy that is shut cuts what there is and takes nothing until it is open.
func TestShut(t *testing.T) {
	p, cl := proxied(t)
	put(t, cl, 1)
	p.Shut()
	if err := cl.Ping(t.Context()); err == nil { // asks each broker once
		t.Error("a shut proxy passes on a request")
	}
	p.Open()
	put(t, cl, 1) // tried again if it is sent on a connection that was cut
}
