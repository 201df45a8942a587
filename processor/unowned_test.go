package processor

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/processor/clocktest"
)

// A static member is told to give up tasks, is killed before it joins again so that
// others get them, and is back before anybody misses it: the brokers give it what
// it was left with, and the others keep what they have. What nobody has by then is
// given out all the same.
func TestKilledBetweenGivingUpAndJoining(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	clock := clocktest.New(time.Unix(1e9, 0))
	cfg := c.config(newStore(t))
	cfg.SessionTimeout, cfg.RebalanceTimeout, cfg.Clock = testPatience, testPatience, clock
	given, back := make(chan struct{}), make(chan struct{})

	// The second join of the one that is killed does not arrive. When it is back, the
	// embedded broker compares what it says of itself with what it said before;
	// brokers do not (GroupCoordinator.updateStaticMemberAndRebalance), so it says the same.
	var said []kmsg.JoinGroupRequestProtocol
	held := false
	c.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.JoinGroupRequest)
		if req.InstanceID == nil || *req.InstanceID != "one-0" {
			return nil, nil, false
		}
		switch {
		case req.MemberID == "":
			if said != nil {
				req.Protocols = said
			}
		case said == nil:
			said = req.Protocols
		case !held:
			held = true
			close(given)
			c.SleepControl(func() {
				select {
				case <-back:
				case <-c.ctx.Done():
				}
			})
		}
		return nil, nil, false
	})
	one := start(t, cfg)
	one.awaitTasks(testTasks)
	two := start(t, c.second(t, cfg))
	<-given
	cfg.Store = newStore(t)
	again := start(t, cfg)
	again.awaitTasks(testTasks / 2)
	close(back) // the embedded broker has kept the killed one's connection
	if err := one.wait(); err == nil || !strings.Contains(err.Error(), "another process has taken the place") {
		t.Fatalf("the one that was killed ended with %v", err)
	}
	clock.WaitTickers(2)
	two.awaitStatus(func(s Status) bool {
		clock.Advance(ownersInterval)
		return len(s.Tasks) == testTasks/2
	})
	two.awaitTasks(testTasks / 2)
	c.feed(testInput, 5, 4)
	c.await(testOutput, 5*4*2)
	again.halt()
	two.halt()
	c.checkCounts(5, 4, testInput, testCommands)
}

// A group that answers a request with the same decision is not asked without end.
func TestUnownedTasksAreAskedForLessAndLess(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.Clock = clocktest.New(time.Unix(1e9, 0)) // stands still: only the test looks
	p := start(t, cfg)
	p.awaitTasks(testTasks)
	c.ControlKey(int16(kmsg.DescribeGroups), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := r.ResponseKind().(*kmsg.DescribeGroupsResponse)
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group, g.State, g.ProtocolType = "app", "Stable", "consumer"
		resp.Groups = append(resp.Groups, g)
		return resp, nil, true
	})
	for range 100 {
		if err := p.lookForUnowned(c.ctx); err != nil {
			t.Fatal(err)
		}
	}
	// Each takes two looks in one generation, and after it 1, 2, 4, 8, 16, 32 are left out.
	if n := p.unowned.asked; n < 3 || n > 7 {
		t.Errorf("the group was asked %d times in 100 looks, want 3 to 7", n)
	}
	p.halt()
}
