package processor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"handprint/processor/clocktest"
	"handprint/state"
)

// underWatch starts a processor whose watch looks as often as look is called.
func underWatch(t *testing.T, c *cluster, log *lines, change func(*Config)) (p *running, look func()) {
	t.Helper()
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg := c.config(newStore(t))
	cfg.Clock, cfg.StallTimeout, cfg.Outputs, cfg.Logger = clock, time.Minute, []string{testOutput}, log.logger()
	if change != nil {
		change(&cfg)
	}
	c.feed(testInput, 5, 4)
	p = start(t, cfg)
	c.await(testOutput, 5*4*2)
	p.awaitTasks(testTasks)
	if cfg.StallTimeout > 0 {
		clock.WaitTickers(2)
	}
	return p, func() { clock.Advance(15 * time.Second) }
}

// ends looks until the processor ends, and returns its error.
func (r *running) ends(look func()) error {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	err := until(ctx, func() (bool, error) {
		select {
		case <-r.done:
			return true, nil
		default:
			look()
			return false, nil
		}
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return r.err
}

// hasFault makes sure that the status has a fault.
func (r *running) hasFault(kind, topic string) {
	r.t.Helper()
	found := r.Status().Faults
	if !slices.ContainsFunc(found, func(f Fault) bool { return f.Kind == kind && f.Topic == topic && f.Detail != "" && !f.Since.IsZero() }) {
		r.t.Errorf("the faults are %+v, want %s of %q", found, kind, topic)
	}
}

// A changelog that is no longer compacted is said, and that it is again.
func TestChangedCleanupPolicyIsSaid(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var log lines
	p, look := underWatch(t, c, &log, nil)
	set := func(policy string) {
		t.Helper()
		_, err := kadm.NewClient(c.client).AlterTopicConfigs(c.ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: cleanupPolicy, Value: &policy}}, testChangelog)
		if err != nil {
			t.Fatal(err)
		}
	}
	said := func(words ...string) {
		t.Helper()
		if err := until(c.ctx, func() (bool, error) { look(); return log.count(words...) > 0, nil }); err != nil {
			t.Fatalf("%v is not said", words)
		}
	}
	set("compact")
	set("delete")
	said("level=ERROR", "cleanup.policy=delete", "--add-config cleanup.policy=compact", testChangelog)
	p.hasFault(ChangelogPolicy, testChangelog)
	set("compact")
	said("is compacted again")
	if found := p.Status().Faults; len(found) > 0 {
		t.Errorf("the faults are %v", found)
	}
	p.halt()
	if n := log.count("level=ERROR", "cleanup.policy"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
}

// A changelog that is made anew under the processor ends it, whether the watch sees it
// first or a transaction, and nothing of the state goes into the new one.
func TestChangelogMadeAnewEndsTheProcessor(t *testing.T) {
	for _, idle := range []bool{true, false} {
		t.Run(map[bool]string{true: "idle", false: "under load"}[idle], func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			var log lines
			p, look := underWatch(t, c, &log, func(cfg *Config) {
				if !idle {
					cfg.StallTimeout = 0 // no watch
				} else {
					cfg.TickInterval = 0
				}
			})
			admin := kadm.NewClient(c.client)
			if _, err := admin.DeleteTopics(c.ctx, testChangelog); err != nil {
				t.Fatal(err)
			}
			if _, err := admin.CreateTopics(c.ctx, testTasks, 1, nil, testChangelog); err != nil {
				t.Fatal(err)
			}
			if !idle {
				c.feed(testInput, 5, 4)
			}
			err := p.ends(look)
			if err == nil || !strings.Contains(err.Error(), testChangelog) || !strings.Contains(err.Error(), "made anew") || !strings.Contains(err.Error(), "handprint reset") {
				t.Errorf("it ended with %v", err)
			}
			if n := len(c.all(testChangelog)); n > 0 {
				t.Errorf("%d partitions of the new changelog have records", n)
			}
		})
	}
}

// An output that is made anew is said once, also if that is before the first look.
func TestOutputMadeAnewIsSaid(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var log lines
	p, look := underWatch(t, c, &log, nil)
	admin := kadm.NewClient(c.client)
	if _, err := admin.DeleteTopics(c.ctx, testOutput); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopics(c.ctx, testTasks, 1, nil, testOutput); err != nil {
		t.Fatal(err)
	}
	if err := until(c.ctx, func() (bool, error) {
		look()
		return log.count("level=ERROR", "made anew", "topic="+testOutput) > 0, nil
	}); err != nil {
		t.Fatal(err)
	}
	p.hasFault(TopicMadeAnew, testOutput)
	p.halt()
}

// An input that is made anew with fewer partitions than there are tasks ends the
// processor: it would read what others own.
func TestFewerPartitionsEndTheProcessor(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var log lines
	p, look := underWatch(t, c, &log, nil)
	admin := kadm.NewClient(c.client)
	if _, err := admin.DeleteTopics(c.ctx, testInput); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopics(c.ctx, testTasks-1, 1, nil, testInput); err != nil {
		t.Fatal(err)
	}
	err := p.ends(look)
	want := fmt.Sprintf("topic %s has %d partitions, must have %d", testInput, testTasks-1, testTasks)
	if err == nil || !strings.Contains(err.Error(), "with fewer partitions") || !strings.Contains(err.Error(), want) {
		t.Errorf("it ended with %v, want %q", err, want)
	}
}

// A state directory that is deleted under the processor ends it.
func TestDeletedStateDirectoryEndsTheProcessor(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var log lines
	dir := t.TempDir() + "/store"
	store, err := state.Open(dir, state.Options{CacheBytes: 1 << 20, Logger: testLogger()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }() // its files are gone
	p, look := underWatch(t, c, &log, func(cfg *Config) { cfg.Store = store })
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	defer p.hasFault(StateTakenAway, "")
	if err := p.ends(look); !errors.Is(err, state.ErrTakenAway) || !strings.Contains(err.Error(), dir+" was deleted") {
		t.Errorf("it ended with %v", err)
	}
}
