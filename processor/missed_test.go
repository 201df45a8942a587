package processor

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Brokers keep a static member that does not come to a rebalance in time: the
// generation begins without it, others get what it did not claim at its last join,
// and it is the same member still when it comes (GroupCoordinator.onCompleteJoin:
// notYetRejoinedDynamicMembers). Nothing is told to it as lost, as it joins before
// it asks for a heartbeat. So its tasks begin anew, and a batch that it has polled
// in between is not committed.
func TestMissedGenerationBeginsAnew(t *testing.T) {
	for _, stays := range []bool{false, true} {
		name := "the other one has left"
		if stays {
			name = "the other one stays"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			cfg := c.config(newStore(t))
			cfg.SessionTimeout, cfg.RebalanceTimeout = testPatience, 2*time.Second
			cfg2 := c.second(t, cfg)
			p := start(t, cfg)
			p.awaitTasks(testTasks)
			was := p.Status().Members[0].MemberID

			// The embedded broker throws it out, so it gets another id there, of
			// which it does not hear.
			var mu sync.Mutex
			var now string
			there := func(id *string) {
				mu.Lock()
				defer mu.Unlock()
				if *id == was && now != "" {
					*id = now
				}
			}
			c.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				switch r := r.(type) {
				case *kmsg.SyncGroupRequest:
					there(&r.MemberID)
				case *kmsg.HeartbeatRequest:
					there(&r.MemberID)
				case *kmsg.TxnOffsetCommitRequest:
					there(&r.MemberID)
				case *kmsg.OffsetFetchRequest:
					for i := range r.Groups {
						if id := r.Groups[i].MemberID; id != nil {
							there(id)
						}
					}
				case *kmsg.LeaveGroupRequest:
					there(&r.MemberID)
					for i := range r.Members {
						there(&r.Members[i].MemberID)
					}
				}
				return nil, nil, false
			})
			joins, join := make(chan struct{}), make(chan struct{})
			var once sync.Once
			c.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				req := r.(*kmsg.JoinGroupRequest)
				if req.MemberID != was {
					return nil, nil, false
				}
				once.Do(func() { close(joins) })
				var resp *kmsg.JoinGroupResponse
				var err error
				c.SleepControl(func() {
					select {
					case <-join:
					case <-c.ctx.Done():
					}
					inner := *req
					mu.Lock()
					inner.MemberID = now
					mu.Unlock()
					resp, err = inner.RequestWith(c.ctx, c.client)
				})
				if err != nil {
					return nil, err, true
				}
				mu.Lock()
				now = resp.MemberID
				mu.Unlock()
				if resp.LeaderID == resp.MemberID {
					resp.LeaderID = was
				}
				resp.MemberID = was
				resp.SetVersion(req.Version)
				return resp, nil, true
			})
			c.ControlKey(int16(kmsg.DescribeGroups), func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				req := r.(*kmsg.DescribeGroupsRequest)
				if !req.IncludeAuthorizedOperations { // the one below
					return nil, nil, false
				}
				var resp *kmsg.DescribeGroupsResponse
				var err error
				c.SleepControl(func() {
					inner := *req
					inner.IncludeAuthorizedOperations = false
					resp, err = inner.RequestWith(c.ctx, c.client)
				})
				if err != nil {
					return nil, err, true
				}
				mu.Lock()
				defer mu.Unlock()
				for _, g := range resp.Groups {
					for i := range g.Members {
						if g.Members[i].MemberID == now && now != "" {
							g.Members[i].MemberID = was
						}
					}
				}
				resp.SetVersion(req.Version)
				return resp, nil, true
			})
			other := start(t, cfg2)
			<-joins
			other.awaitTasks(testTasks)
			c.feed(testInput, 4, 5)
			c.await(testOutput, 4*5*2)
			if !stays {
				other.halt()
			}
			close(join)
			c.feed(testInput, 4, 5)
			c.await(testOutput, 4*10*2)
			p.halt()
			if stays {
				other.halt()
			}
			c.checkCounts(4, 10, testInput, testCommands)
			if n := p.Status().Counters.Rejoins; n != 1 {
				t.Errorf("its tasks began anew %d times, want 1", n)
			}
		})
	}
}
