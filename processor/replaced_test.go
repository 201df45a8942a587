package processor

import (
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// polled is a hook that is told of records that are handed to the worker.
type polled struct {
	once  sync.Once
	first chan struct{} // closed at the first
}

func (p *polled) OnFetchRecordUnbuffered(*kgo.Record, bool) { p.once.Do(func() { close(p.first) }) }

// A member that the group has thrown out while it joins comes back as another one,
// as if nothing had been: its client says nothing of it. Meanwhile somebody else has
// had the tasks. So they begin anew, and a batch that it polled in between is not
// committed, though the group would take its offsets from the new member.
func TestAnotherMemberBeginsAnew(t *testing.T) {
	for _, test := range []struct {
		name    string
		polls   bool
		unsync  bool
		rejoins int64
	}{
		{name: "nothing in hand", rejoins: 1},
		{name: "a batch polled while it joins", polls: true, rejoins: 1},
		// The client tells then that all is lost, and goes on in the same session.
		{name: "its assignment does not arrive", unsync: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			seen := &polled{first: make(chan struct{})}
			cfg := c.config(newStore(t))
			cfg.StaticMembership = false
			cfg2 := c.second(t, cfg)
			cfg.Client = append(cfg.Client, kgo.WithHooks(seen))
			p := start(t, cfg)
			p.awaitTasks(testTasks)
			was := p.Status().Members[0].MemberID

			leave := kmsg.NewPtrLeaveGroupRequest()
			leave.Group, leave.MemberID = cfg.ApplicationID, was
			member := kmsg.NewLeaveGroupRequestMember()
			member.MemberID = was
			leave.Members = append(leave.Members, member)
			// It hears by the answer to its join that it is out: by a heartbeat its
			// client would tell what was lost.
			c.ControlKey(int16(kmsg.Heartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				req := r.(*kmsg.HeartbeatRequest)
				if req.MemberID != was {
					return nil, nil, false
				}
				resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
				resp.ErrorCode = kerr.RebalanceInProgress.Code
				return resp, nil, true
			})
			joins, join := make(chan struct{}), make(chan struct{})
			var once sync.Once
			c.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				if r.(*kmsg.JoinGroupRequest).MemberID == was {
					once.Do(func() { close(joins) })
					c.SleepControl(func() {
						select {
						case <-join:
						case <-c.ctx.Done():
						}
					})
				}
				return nil, nil, false
			})
			if test.unsync {
				var once sync.Once
				c.ControlKey(int16(kmsg.SyncGroup), func(r kmsg.Request) (resp kmsg.Response, err error, handled bool) {
					c.KeepControl()
					select {
					case <-join:
						once.Do(func() {
							sync := r.(*kmsg.SyncGroupRequest).ResponseKind().(*kmsg.SyncGroupResponse)
							sync.ErrorCode = kerr.IllegalGeneration.Code
							resp, handled = sync, true
						})
					default:
					}
					return resp, nil, handled
				})
			}
			if _, err := leave.RequestWith(c.ctx, c.client); err != nil {
				t.Fatal(err)
			}
			<-joins
			if test.polls {
				c.feed(testInput, 4, 5)
				<-seen.first
			}
			other := start(t, cfg2)
			other.awaitTasks(testTasks)
			if !test.polls {
				c.feed(testInput, 4, 5)
			}
			c.await(testOutput, 4*5*2)
			other.halt()
			close(join)
			p.awaitStatus(func(s Status) bool {
				id := s.Members[0].MemberID
				return id != "" && id != was
			})
			c.feed(testInput, 4, 5)
			c.await(testOutput, 4*10*2)
			p.halt()
			if n := p.Status().Counters.Rejoins; n != test.rejoins {
				t.Errorf("it had %d more sessions, want %d", n, test.rejoins)
			}
			c.checkCounts(4, 10, testInput, testCommands)
			c.checkStore(cfg)
		})
	}
}
