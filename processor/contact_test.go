package processor

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/processor/assignor"
	"handprint/processor/clocktest"
)

// quickRetries has the client ask again at once what a broker has refused.
func quickRetries() kgo.Opt {
	return kgo.RetryBackoffFn(func(int) time.Duration { return time.Millisecond })
}

// A member whose heartbeats are not answered is one no longer when its session
// timeout is over, and is again when they are.
func TestUnheardMember(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.SessionTimeout = time.Second
	p := start(t, cfg)
	p.awaitTasks(testTasks)
	if s := p.Status(); s.Members[0].Unheard != "" {
		t.Fatalf("it is %q at once", s.Members[0].Unheard)
	}
	refused := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat, kmsg.JoinGroup}, Err: kerr.UnknownMemberID, Count: -1})
	p.awaitStatus(func(s Status) bool { return strings.Contains(s.Members[0].Unheard, "UNKNOWN_MEMBER_ID") })
	refused.Remove()
	p.awaitStatus(func(s Status) bool { return s.Members[0].Unheard == "" && s.Members[0].MemberID != "" })
	p.halt()
}

// A heartbeat whose answer is an error is none.
func TestContactCountsNoErrors(t *testing.T) {
	clock := clocktest.New(time.Unix(1e9, 0))
	var log lines
	c := &contact{clock: clock, log: log.logger(), told: func() int { return 1234 }}
	answer := func() { c.OnBrokerE2E(kgo.BrokerMetadata{}, int16(kmsg.Heartbeat), kgo.BrokerE2E{}) }
	answer()
	clock.Advance(9 * time.Second)
	answer()
	c.OnGroupManageError(kerr.UnknownMemberID)
	clock.Advance(time.Second)
	if why := c.unheard(10 * time.Second); !strings.Contains(why, "for 10s: UNKNOWN_MEMBER_ID") {
		t.Errorf("it says %q", why)
	}
	c.OnBrokerE2E(kgo.BrokerMetadata{}, int16(kmsg.Fetch), kgo.BrokerE2E{})
	c.OnBrokerE2E(kgo.BrokerMetadata{}, int16(kmsg.Heartbeat), kgo.BrokerE2E{ReadErr: errTest})
	if c.unheard(10*time.Second) == "" {
		t.Error("a fetch or a failed heartbeat counts")
	}
	answer()
	if why := c.unheard(10 * time.Second); why != "" || c.refused() != nil {
		t.Errorf("after an answer it says %q, %v", why, c.refused())
	}
	if log.count("level=WARN") > 0 {
		t.Error("it warns of what is no refusal")
	}
}

// Quotas are said once in a while, and not for a moment's delay.
func TestThrottlingIsSaidOnceInAWhile(t *testing.T) {
	clock := clocktest.New(time.Unix(1e9, 0))
	var log lines
	c := &contact{clock: clock, log: log.logger()}
	c.OnBrokerThrottle(kgo.BrokerMetadata{NodeID: 7}, 900*time.Millisecond, true)
	if n := log.count("throttles"); n != 0 {
		t.Fatal("it warns of a moment")
	}
	for range 10 {
		c.OnBrokerThrottle(kgo.BrokerMetadata{NodeID: 7}, 5*time.Second, true)
		clock.Advance(5 * time.Second)
	}
	if n := log.count("level=WARN", "quota", "broker=7"); n != 2 {
		t.Errorf("it was said %d times in 50 s, want 2", n)
	}
}

// What the group knows is too large: the line says so, and the worker joins without
// its copies.
func TestRefusedJoinLeavesCopiesOut(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	c.feed(testInput, 5, 4)
	first := start(t, cfg)
	c.await(testOutput, 5*4*2)
	first.halt()
	joins := c.watchJoins()
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.UnknownServerError, Count: 2})
	var log lines
	cfg.Logger = log.logger()
	p := start(t, cfg)
	p.awaitTasks(testTasks)
	p.halt()
	if n := log.count("level=WARN", "__consumer_offsets", "bytes_of_this_member="); n != 1 {
		t.Errorf("it was said %d times, want once", n)
	}
	got := joins()
	if n := len(got[0].Copies); n != testTasks {
		t.Errorf("the first join has %d copies, want %d", n, testTasks)
	}
	if n := len(got[len(got)-1].Copies); n != 0 {
		t.Errorf("a join after a refusal has %d copies", n)
	}
}

// join is what a static member has told the group.
type join struct {
	assignor.MemberData
	instance string
}

// watchJoins returns a function that returns what members have told the group when
// they joined.
func (c *cluster) watchJoins() func() []join {
	var mu sync.Mutex
	var joins []join
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Observe: true, Count: -1, When: func(r kmsg.Request) bool {
		req := r.(*kmsg.JoinGroupRequest)
		var meta kmsg.ConsumerMemberMetadata
		if meta.ReadFrom(req.Protocols[0].Metadata) == nil {
			if d, err := assignor.DecodeMemberData(meta.UserData); err == nil {
				mu.Lock()
				defer mu.Unlock()
				joins = append(joins, join{d, *req.InstanceID})
			}
		}
		return true
	}})
	return func() []join {
		mu.Lock()
		defer mu.Unlock()
		return joins
	}
}

// One worker of a process tells the group of the process's copies, with their topic id
// and age.
func TestCopiesAreToldOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.Threads = 3
	c.feed(testInput, 5, 4)
	first := start(t, cfg)
	c.await(testOutput, 5*4*2)
	first.halt()
	joins := c.watchJoins()
	p := start(t, cfg)
	p.awaitTasks(testTasks)
	p.halt()
	told := make(map[string]bool)
	for _, d := range joins() {
		switch len(d.Copies) {
		case 0:
		case testTasks:
			told[d.instance] = true
			for task, copied := range d.Copies {
				if copied.Topic != d.Job.Must[assignor.ChangelogID] || copied.Topic == "" || copied.Age < 0 || copied.Age > testPatience {
					t.Errorf("the copy of task %d is %+v, the changelog %s", task, copied, d.Job.Must[assignor.ChangelogID])
				}
			}
		default:
			t.Errorf("a join has %d copies", len(d.Copies))
		}
	}
	if len(told) != 1 {
		t.Errorf("%v speak for the copies, want one of three workers", told)
	}
}

// A partition whose replicas are not in sync is named, with what the broker says, and
// the input is processed when they are again.
func TestNotEnoughReplicasIsNamed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	var log lines
	cfg.Logger, cfg.Client = log.logger(), append(cfg.Client, quickRetries())
	few := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testChangelog, Err: kerr.NotEnoughReplicas, Count: -1})
	c.feed(testInput, 5, 4)
	p := start(t, cfg)
	if err := until(c.ctx, func() (bool, error) {
		return log.count("level=WARN", "NOT_ENOUGH_REPLICAS", testChangelog+"[") > 0, nil
	}); err != nil {
		t.Fatal(err)
	}
	few.Remove()
	c.await(testOutput, 5*4*2)
	p.halt()
	c.checkCounts(5, 4, testInput, testCommands)
}

// An output topic that is gone is said as a start says it, and the processor goes on
// when it is back.
func TestMissingOutputIsSaid(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	var log lines
	cfg.Logger, cfg.Client = log.logger(), append(cfg.Client, quickRetries())
	c.feed(testInput, 2, 2)
	p := start(t, cfg)
	c.await(testOutput, 2*2*2)
	admin := kadm.NewClient(c.client)
	if _, err := admin.DeleteTopics(c.ctx, testOutput); err != nil {
		t.Fatal(err)
	}
	c.feed(testInput, 2, 2)
	if err := until(c.ctx, func() (bool, error) { return log.count("topic "+testOutput+" does not exist") > 0, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopics(c.ctx, testTasks, 1, nil, testOutput); err != nil {
		t.Fatal(err)
	}
	c.await(testOutput, 2*2*2)
	p.halt()
}

// A right that is away for a moment ends nothing. One that stays away ends the
// processor with a line that names topic and operation.
func TestRightsThatAreAway(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault kfake.Fault
		want  string
	}{
		{"writing the changelog", kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testChangelog, Err: kerr.TopicAuthorizationFailed}, "may not write to topic " + testChangelog},
		{"writing an output", kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testOutput, Err: kerr.TopicAuthorizationFailed}, "may not write to topic " + testOutput},
		{"reading the input", kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: testInput, Err: kerr.TopicAuthorizationFailed}, "may not read topic " + testInput},
		{"joining the group", kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup, kmsg.Heartbeat}, Err: kerr.GroupAuthorizationFailed}, "may not join group app"},
		{"transactions", kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TxnID: "app-one-0", Err: kerr.TransactionalIDAuthorizationFailed}, "transactional id app-one-0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			cfg := c.config(newStore(t))
			clock := clocktest.New(time.Unix(1e9, 0))
			cfg.Clock = clock
			cfg.Client = append(cfg.Client, quickRetries())
			c.feed(testInput, 5, 4)
			moment := test.fault
			moment.Count = 2
			c.Fault(moment)
			p := start(t, cfg)
			c.await(testOutput, 5*4*2)
			p.halt()
			lasting := test.fault
			lasting.Count = -1
			away := c.Fault(lasting)
			c.feed(testInput, 5, 4)
			p = start(t, cfg)
			ended := func() (bool, error) {
				select {
				case <-p.done:
					return true, nil
				default:
				}
				clock.Advance(100 * time.Millisecond)
				return false, nil
			}
			if err := until(c.ctx, ended); err != nil {
				t.Fatal(err)
			}
			if p.err == nil || !strings.Contains(p.err.Error(), test.want) || strings.Contains(p.err.Error(), "\n") || !unauthorized(p.err) {
				t.Errorf("it ended with %v, want %s", p.err, test.want)
			}
			away.Remove()
			p = start(t, cfg)
			c.await(testOutput, 5*8*2)
			p.halt()
			c.checkCounts(5, 8, testInput, testCommands)
		})
	}
}

// A denial after a time without one is a first one again.
func TestDenialsOfTwoPeriods(t *testing.T) {
	now := time.Unix(1e9, 0)
	isFatal := func(err error) bool {
		var f *fatalError
		return errors.As(err, &f)
	}
	var d denial
	for _, step := range []struct {
		after time.Duration
		err   error
		fatal bool
	}{
		{0, kerr.TopicAuthorizationFailed, false},
		{rightPatience - 1, kerr.TopicAuthorizationFailed, false},
		{1, errTest, false},
		{denialPeriod, kerr.GroupAuthorizationFailed, false},
		{rightPatience, kerr.TransactionalIDAuthorizationFailed, true},
	} {
		now = now.Add(step.after)
		if got := isFatal(d.judge(now, step.err)); got != step.fatal {
			t.Errorf("%v is fatal %v, want %v", step.err, got, step.fatal)
		}
	}
	d.granted()
	if isFatal(d.judge(now, kerr.TopicAuthorizationFailed)) {
		t.Error("it is fatal after it was granted")
	}
}
