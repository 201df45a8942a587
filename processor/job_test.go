package processor

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/processor/clocktest"
)

// twoJobs returns the configurations of two processes with one application id,
// which read the same input into different changelogs.
func twoJobs(t *testing.T) (c *cluster, right, wrong Config) {
	c = newCluster(t, kfake.SeedTopics(testTasks, testInput, testCommands, testChangelog, testOutput, "other-changelog"))
	right = c.config(newStore(t))
	wrong = c.second(t, right)
	wrong.Changelog = "other-changelog"
	return c, right, wrong
}

// A process that does another job than the group does not start, and says from whom
// it differs and in what; the others go on.
func TestAnotherJobDoesNotStart(t *testing.T) {
	t.Parallel()
	c, right, wrong := twoJobs(t)
	p := start(t, right)
	p.awaitTasks(testTasks)
	err := start(t, wrong).wait()
	if err == nil {
		t.Fatal("it has started")
	}
	for _, want := range []string{"app-one-0 at ", `changelog is "app-changelog" there and "other-changelog" here`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it ended with %v, want %s", err, want)
		}
	}
	c.feed(testInput, 5, 4)
	c.await(testOutput, 5*4*2)
	p.halt()
}

// One that starts at the same moment, when the group cannot say who is in it, is
// given no task and ends, whoever leads.
func TestAnotherJobGetsNoTask(t *testing.T) {
	t.Parallel()
	c, right, wrong := twoJobs(t)
	blind := true
	c.ControlKey(int16(kmsg.DescribeGroups), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if !blind {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.DescribeGroupsResponse)
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group, g.State, g.ProtocolType = "app", "Empty", "consumer"
		resp.Groups = append(resp.Groups, g)
		return resp, nil, true
	})
	p := start(t, right)
	p.awaitTasks(testTasks)
	err := start(t, wrong).wait()
	if err == nil || !strings.Contains(err.Error(), `changelog is "app-changelog" there`) {
		t.Errorf("it ended with %v", err)
	}
	p.awaitTasks(testTasks)
	c.feed(testInput, 5, 4)
	c.await(testOutput, 5*4*2)
	p.halt()
}

// Processes with other rules both say so, as long as it is so; a name that only a
// newer release has is no difference.
func TestOtherRulesAreSaid(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	clock := clocktest.New(time.Unix(1e9, 0))
	one := c.config(newStore(t))
	one.Clock, one.StallTimeout = clock, time.Minute
	one.Rules = map[string]string{"window": "20", "strict": "false"}
	two := c.second(t, one)
	two.Rules = map[string]string{"window": "30", "strict": "false", "newer": "1"}
	p, q := start(t, one), start(t, two)
	said := func(who *running, window string) {
		t.Helper()
		who.awaitStatus(func(s Status) bool {
			clock.Advance(15 * time.Second)
			return len(s.Differ) == 1 && strings.Contains(s.Differ[0], `window is "`+window+`" there`)
		})
	}
	said(p, "30")
	said(q, "20")
	q.halt()
	p.awaitStatus(func(s Status) bool {
		clock.Advance(15 * time.Second)
		return len(s.Differ) == 0
	})
	p.halt()
}

// A member that is no process of the application is named.
func TestForeignMemberIsSaid(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	p, err := New(c.config(newStore(t)))
	if err != nil {
		t.Fatal(err)
	}
	p.side = c.client
	c.ControlKey(int16(kmsg.DescribeGroups), func(r kmsg.Request) (kmsg.Response, error, bool) {
		resp := r.ResponseKind().(*kmsg.DescribeGroupsResponse)
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group, g.State, g.ProtocolType, g.Protocol = "app", "Stable", "consumer", "range"
		m := kmsg.NewDescribeGroupsResponseGroupMember()
		m.ClientID, m.ClientHost = "console-consumer", "/10.0.0.1"
		meta := kmsg.NewConsumerMemberMetadata()
		m.ProtocolMetadata = meta.AppendTo(nil)
		g.Members = append(g.Members, m)
		resp.Groups = append(resp.Groups, g)
		return resp, nil, true
	})
	if err := p.compareRules(c.ctx); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); len(s.Differ) != 1 || !strings.HasPrefix(s.Differ[0], "console-consumer at 10.0.0.1 is no process") {
		t.Errorf("it says %q", s.Differ)
	}
}
