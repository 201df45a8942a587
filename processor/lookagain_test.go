package processor

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A worker that has a client but is not in the group yet, as it waits for its
// producer id, cannot ask the group to look again; another one is asked to.
func TestLookAgainAsksAMember(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.Threads = 2
	release := make(chan struct{})
	c.ControlKey(int16(kmsg.InitProducerID), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if id := r.(*kmsg.InitProducerIDRequest).TransactionalID; id != nil && *id == "app-one-0" {
			c.SleepControl(func() {
				select {
				case <-release:
				case <-c.ctx.Done():
				}
			})
		}
		return nil, nil, false
	})
	p := start(t, cfg)
	p.awaitTasks(testTasks)
	was := p.generation()
	p.lookAgain()
	p.awaitStatus(func(Status) bool { return p.generation() > was })
	close(release)
	p.halt()
}
