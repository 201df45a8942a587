package processor

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestStopWhileStarting stops a process while one of the requests is under way
// that lead to its first commits: a stop is never an error, nor a reason to warn.
func TestStopWhileStarting(t *testing.T) {
	for _, test := range []struct {
		key   kmsg.Key
		times int // that it is sent at least
	}{
		{kmsg.ApiVersions, 3}, {kmsg.Metadata, 2}, {kmsg.ListOffsets, 3}, {kmsg.FindCoordinator, 2},
		{kmsg.JoinGroup, 1}, {kmsg.SyncGroup, 1}, {kmsg.OffsetFetch, 1}, {kmsg.InitProducerID, 1},
		{kmsg.Fetch, 4}, {kmsg.Produce, 3}, {kmsg.TxnOffsetCommit, 1}, {kmsg.EndTxn, 2},
	} {
		for n := range test.times {
			t.Run(fmt.Sprintf("%s/%d", test.key.Name(), n+1), func(t *testing.T) {
				t.Parallel()
				c := newCluster(t)
				c.feed(testInput, 8, 3)
				cfg := c.config(newStore(t))
				cfg.Control, cfg.Health, cfg.SessionTimeout = testControl, testHealth, testPatience
				var warnings bytes.Buffer // read when the processor has ended
				cfg.Logger = slog.New(slog.NewTextHandler(&warnings, &slog.HandlerOptions{Level: slog.LevelWarn}))
				reached, stopped := make(chan struct{}), make(chan struct{})
				release := sync.OnceFunc(func() { close(stopped) })
				t.Cleanup(release)
				left := n
				c.ControlKey(test.key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) { // one at a time
					c.KeepControl()
					if left--; left == -1 {
						close(reached)
						c.SleepControl(func() { <-stopped })
					}
					return nil, nil, false
				})
				p := start(t, cfg)
				select {
				case <-reached:
				case <-p.done:
					t.Fatalf("the processor ended by itself: %v", p.err)
				case <-c.ctx.Done():
					t.Fatal("there is no such request")
				}
				p.stop()
				release()
				if err := p.wait(); err != nil {
					t.Error(err)
				}
				if warnings.Len() > 0 {
					t.Errorf("a stop is no reason to warn: %s", &warnings)
				}
			})
		}
	}
}
