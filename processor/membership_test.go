package processor

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// members returns the members of the group.
func (c *cluster) members() []kadm.DescribedGroupMember {
	c.t.Helper()
	groups, err := kadm.NewClient(c.client).DescribeGroups(c.ctx, "app")
	if err != nil {
		c.t.Fatal(err)
	}
	return groups["app"].Members
}

// Who looks at the group sees which thread of which process a member is.
func TestMembersHaveClientIDs(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.Client = append(cfg.Client, kgo.ClientID("of all"))
	p := start(t, cfg)
	p.awaitTasks(testTasks)
	if members := c.members(); len(members) != 1 || members[0].ClientID != "app-one-0" {
		t.Errorf("the group has the members %+v, want one with the client id app-one-0", members)
	}
	p.halt()
}

// A clean stop leaves the group, static members too, so that nobody waits for
// their sessions to time out.
func TestCleanStopLeavesTheGroup(t *testing.T) {
	t.Parallel()
	for _, static := range []bool{false, true} {
		c := newCluster(t)
		cfg := c.config(newStore(t))
		cfg.StaticMembership, cfg.Threads, cfg.SessionTimeout = static, 2, testPatience
		p := start(t, cfg)
		p.awaitTasks(testTasks)
		p.halt()
		if n := len(c.members()); n != 0 {
			t.Errorf("static %v: %d members are left", static, n)
		}
	}
}

// A process that is stopped while the group holds its join, because it waits
// for a member that was killed, leaves nothing behind that the group would wait
// for later.
func TestStopWhileJoining(t *testing.T) {
	t.Parallel()
	for _, static := range []bool{false, true} {
		c := newCluster(t)
		cfg := c.config(newStore(t))
		cfg.StaticMembership, cfg.SessionTimeout, cfg.RebalanceTimeout = static, testPatience, testPatience
		ghost := cfg
		ghost.InstanceID, ghost.Store = "ghost", newStore(t)
		ghost.Fault = func(Step, []int32) error { return errTest }
		g := start(t, ghost)
		g.awaitTasks(testTasks)
		c.feed(testInput, 1, 1)
		if err := g.wait(); !errors.Is(err, errTest) {
			t.Fatal(err)
		}
		for range 3 {
			held := make(chan struct{})
			once := sync.OnceFunc(func() { close(held) })
			c.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
				// The first join of a dynamic member is only to get an id.
				if req := r.(*kmsg.JoinGroupRequest); static || req.MemberID != "" {
					once()
				} else {
					c.KeepControl()
				}
				return nil, nil, false
			})
			p := start(t, cfg)
			<-held
			p.halt()
		}
		if n := len(c.members()); n != 1 {
			t.Errorf("static %v: the group has %d members, want the killed one", static, n)
		}
	}
}

// A static member that was killed goes on with its tasks when it is back: the
// group does not rebalance.
func TestKilledMemberIsBackAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.SessionTimeout = testPatience // what a test that waits for it would not survive
	crash := once(1)
	cfg.Fault = func(s Step, _ []int32) error {
		if s == AfterEnd && crash() {
			return errTest
		}
		return nil
	}
	c.feed(testInput, 5, 4)
	p := start(t, cfg)
	if err := p.wait(); !errors.Is(err, errTest) {
		t.Fatal(err)
	}
	again := start(t, cfg)
	c.await(testOutput, 5*4*2)
	again.halt()
	c.checkCounts(5, 4, testInput, testCommands)
}

// Of two processes with one instance id the newer goes on and the older ends,
// saying why: they do not fence each other off for ever.
func TestTwoProcessesWithOneInstanceID(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	c.feed(testInput, 5, 4)
	one := start(t, cfg)
	c.await(testOutput, 5*4*2)
	cfg2 := cfg
	cfg2.Store = newStore(t)
	two := start(t, cfg2)
	if err := one.wait(); err == nil || !strings.Contains(err.Error(), "instance id one") {
		t.Fatalf("the older one ended with %v", err)
	}
	c.feed(testInput, 5, 4)
	c.await(testOutput, 5*8*2)
	two.halt()
	c.checkCounts(5, 8, testInput, testCommands)
}

// A process whose instance id may be a copy does not start beside the one that
// it was copied from, and starts when that is gone.
func TestCopiedInstanceID(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	one := start(t, cfg)
	one.awaitTasks(testTasks)
	cfg2 := cfg
	cfg2.Store = newStore(t)
	confirmed := 0
	cfg2.ConfirmInstance = func() error { confirmed++; return nil }
	if err := start(t, cfg2).wait(); err == nil || !strings.Contains(err.Error(), "looks like a copy") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("the copy ended with %v", err)
	}
	if confirmed != 0 {
		t.Error("the id was confirmed")
	}
	one.halt()
	two := start(t, cfg2)
	two.awaitTasks(testTasks)
	if confirmed != 1 {
		t.Errorf("the id was confirmed %d times", confirmed)
	}
	two.halt()
}

// A process that is killed in the middle of a transaction leaves it open. The
// one that takes over ends it, rather than wait for the brokers to do so.
func TestTakeoverEndsOpenTransaction(t *testing.T) {
	t.Parallel()
	for _, step := range []Step{AfterFlush, AfterOffsets} {
		c := newCluster(t)
		cfg := c.config(newStore(t))
		cfg.StaticMembership, cfg.SessionTimeout, cfg.TransactionTimeout = false, 300*time.Millisecond, 10*time.Minute
		crash := once(2)
		killed := cfg
		killed.Fault = func(s Step, _ []int32) error {
			if s == step && crash() {
				return errTest
			}
			return nil
		}
		killed.MaxBatchRecords = 7
		c.feed(testInput, 5, 4)
		p := start(t, killed)
		if err := p.wait(); !errors.Is(err, errTest) {
			t.Fatal(err)
		}
		two := start(t, c.second(t, cfg))
		c.await(testOutput, 5*4*2)
		two.halt()
		c.checkCounts(5, 4, testInput, testCommands)
	}
}
