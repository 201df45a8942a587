package processor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// What is wrong at the start is said in one line.
func TestStartRefuses(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	store := newStore(t)
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"nobody there", func(cfg *Config) {
			cfg.Client = []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}
			cfg.StartTimeout = 200 * time.Millisecond
		}, "cannot reach any broker of [127.0.0.1:1]"},
		{"no input", func(cfg *Config) { cfg.Inputs = []string{"missing"} }, "topic missing does not exist"},
		{"no changelog", func(cfg *Config) { cfg.Changelog = "missing" }, "topic missing does not exist"},
		{"no health topic", func(cfg *Config) { cfg.Health = "missing" }, "topic missing does not exist"},
		{"another number of partitions", func(cfg *Config) { cfg.Partitions = 3 }, "topic in has 4 partitions, must have 3"},
		{"a single with more", func(cfg *Config) { cfg.Singles = []string{testOutput} }, "topic out has 4 partitions, must have 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := c.config(store)
			test.change(&cfg)
			err := start(t, cfg).wait()
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Run returned %v, want %s", err, test.want)
			}
		})
	}
}

// So is a control topic that cannot be read: nobody could stop the process by it.
func TestStartRefusesAnUnreadableControlTopic(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.ControlKey(int16(kmsg.ListOffsets), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := kreq.(*kmsg.ListOffsetsRequest)
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, rt := range req.Topics {
			topic := kmsg.NewListOffsetsResponseTopic()
			topic.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				partition := kmsg.NewListOffsetsResponseTopicPartition()
				partition.Partition, partition.ErrorCode = rp.Partition, kerr.TopicAuthorizationFailed.Code
				topic.Partitions = append(topic.Partitions, partition)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	cfg := c.config(newStore(t))
	cfg.Control = testControl
	if err := start(t, cfg).wait(); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("Run returned %v", err)
	}
}

// Partitions that are added under a running application end it with the same
// line, before what is in them is overlooked.
func TestAddedPartitionsEndTheProcessor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ topic, want string }{
		{testInput, "topic in has 6 partitions, must have 4"},
		{testSingle, "topic single has 3 partitions, must have 1"},
	} {
		t.Run(test.topic, func(t *testing.T) {
			c := newCluster(t)
			cfg := c.config(newStore(t))
			cfg.StallTimeout = time.Second // the watch looks four times in it
			r := start(t, cfg)
			c.feed(testInput, 8, 1)
			r.awaitTasks(testTasks)
			added, err := kadm.NewClient(c.client).CreatePartitions(c.ctx, 2, test.topic)
			if err == nil {
				err = added.Error()
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := r.wait(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Run returned %v, want %s", err, test.want)
			}
		})
	}
}

// A broker that breaks off connections for a moment does not end a start.
func TestStartsThoughABrokerIsAwayForAMoment(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var dials atomic.Int64
	cfg := c.config(newStore(t))
	cfg.Control = testControl
	cfg.Client = append(cfg.Client, kgo.Dialer(func(ctx context.Context, network, host string) (net.Conn, error) {
		if n := dials.Add(1); 1 < n && n < 10 {
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNRESET)}
		}
		return new(net.Dialer).DialContext(ctx, network, host)
	}))
	c.feed(testInput, 2, 2)
	p := start(t, cfg)
	c.await(testOutput, 2*2)
	p.halt()
}

func TestNewRefuses(t *testing.T) {
	good := Config{
		ApplicationID: "app", InstanceID: "one", Inputs: []string{"in"}, Commands: "commands", Changelog: "changelog",
		Partitions: 1, Store: newStore(t), NewHandler: newCounter,
	}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(*Config){
		"no application id":            func(c *Config) { c.ApplicationID = "" },
		"no instance id":               func(c *Config) { c.InstanceID = "" },
		"no commands topic":            func(c *Config) { c.Commands = "" },
		"no changelog topic":           func(c *Config) { c.Changelog = "" },
		"no input topics":              func(c *Config) { c.Inputs = nil },
		"has no name":                  func(c *Config) { c.Inputs = []string{""} },
		"topic in is named twice":      func(c *Config) { c.Singles = []string{"in"} },
		"0 partitions":                 func(c *Config) { c.Partitions = 0 },
		"-1 threads":                   func(c *Config) { c.Threads = -1 },
		"no store":                     func(c *Config) { c.Store = nil },
		"no handler":                   func(c *Config) { c.NewHandler = nil },
		"a tick interval but no tick":  func(c *Config) { c.TickInterval = time.Second },
		"must be above zero":           func(c *Config) { c.SessionTimeout = -time.Second },
		"must have room for a record":  func(c *Config) { c.MaxBatchRecords = -1 },
		"topic changelog is named twi": func(c *Config) { c.Commands = "changelog" },
	}
	for want, change := range tests {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New returned %v, want %s", err, want)
		}
	}
}

// Brokers that cannot keep exactly-once safe are warned of, and only those.
func TestWarnsOfOldBrokers(t *testing.T) {
	t.Parallel()
	for _, old := range []bool{true, false} {
		var opts []kfake.Opt
		if old {
			opts = append(opts, kfake.MaxVersions(kversion.V3_8_0()))
		}
		c := newCluster(t, opts...)
		var log bytes.Buffer
		cfg := c.config(newStore(t))
		cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		c.feed(testInput, 2, 2)
		p := start(t, cfg)
		c.await(testOutput, 2*2*2)
		p.halt()
		c.checkCounts(2, 2, testInput, testCommands)
		if got := strings.Contains(log.String(), "transaction version 2"); got != old {
			t.Errorf("old %v, warned %v: %s", old, got, log.String())
		}
	}
}

func TestStepsHaveNames(t *testing.T) {
	for i, s := range Steps() {
		if int(s) != i || !strings.HasPrefix(s.String(), "after ") {
			t.Errorf("step %d is %d, %s", i, int(s), s)
		}
	}
	if got := Step(99).String(); got != "step 99" {
		t.Error(got)
	}
}
