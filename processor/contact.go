package processor

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// contact is what a worker's clients hear from the brokers besides records: whether
// the group knows the worker, and whether a quota holds it back. It is a hook of the
// clients, and outlives them.
type contact struct {
	clock Clock
	log   *slog.Logger
	told  func() int // bytes that the member's last join had for the group's leader

	mu sync.Mutex
	// heard is when the group last answered a join or a heartbeat, and before the
	// answer before that. Whether an answer was an error is known only afterwards.
	heard, before time.Time
	failed        error     // why the group did not take the worker; nil since heard
	refusedAt     time.Time // when the coordinator last refused it with UNKNOWN_SERVER_ERROR
	saidAt        time.Time // when that was last logged

	throttled   time.Duration // by quotas, since that was last logged
	throttledAt time.Time     // when it was
}

// minThrottled is how long quotas must have held a worker back to be worth a line.
const minThrottled = time.Second

// OnBrokerE2E is a hook of the client.
func (c *contact) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if k := kmsg.Key(key); e2e.Err() != nil || k != kmsg.Heartbeat && k != kmsg.SyncGroup {
		return
	}
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard, c.before, c.failed = now, c.heard, nil
}

// OnGroupManageError is a hook of the client. The group did not take the worker, or
// has lost it: the last answer was that, if there was one.
func (c *contact) OnGroupManageError(err error) {
	now := c.clock.Now()
	c.mu.Lock()
	c.heard, c.failed = c.before, err
	refused := isRefusal(err)
	say := refused && now.Sub(c.saidAt) >= logAgain
	if refused {
		c.refusedAt = now
	}
	if say {
		c.saidAt = now
	}
	c.mu.Unlock()
	if say {
		c.log.Warn("the coordinator of the group refused this worker; usually what the group knows of its members is too large for one record: "+
			"raise max.message.bytes of topic __consumer_offsets, or run fewer threads; handprint doctor works out how large it is. "+
			"The worker joins again and says nothing of its copies",
			"bytes_of_this_member", c.told(), "error", err)
	}
}

// OnBrokerThrottle is a hook of the client.
func (c *contact) OnBrokerThrottle(meta kgo.BrokerMetadata, d time.Duration, _ bool) {
	now := c.clock.Now()
	c.mu.Lock()
	c.throttled += d
	sum := c.throttled
	say := sum >= minThrottled && (c.throttledAt.IsZero() || now.Sub(c.throttledAt) >= logAgain)
	if say {
		c.throttled, c.throttledAt = 0, now
	}
	c.mu.Unlock()
	if say {
		c.log.Warn("a broker throttles this worker: a quota of the cluster for its user or client id is used up",
			"broker", meta.NodeID, "throttled", sum.Round(time.Millisecond).String())
	}
}

// unheard says why the worker counts as no member of the group, which has not
// answered it for the session timeout or longer; empty if it has.
func (c *contact) unheard(session time.Duration) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	silent := c.clock.Now().Sub(c.heard)
	if c.heard.IsZero() || silent < session {
		return ""
	}
	why := fmt.Sprintf("the group has answered no join or heartbeat for %s", silent.Round(time.Second))
	if c.failed != nil {
		why += ": " + c.failed.Error()
	}
	return why
}

// refused returns why the group has not taken the worker, nil if it has.
func (c *contact) refused() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}
