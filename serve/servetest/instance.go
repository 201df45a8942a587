package servetest

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/processor"
	"handprint/processor/clocktest"
	"handprint/state"
	"handprint/topology"
)

// Instance is a running instance of an application, with a store of its own in memory.
type Instance struct {
	wire   wire
	cancel context.CancelFunc
	killed bool
}

// Instance starts an instance. It runs until it is killed, or the test ends.
func (a *App) Instance(id string, configure ...func(*topology.Config)) *Instance {
	a.t.Helper()
	store, err := state.Open("store", state.Options{FS: vfs.NewMem(), CacheBytes: 1 << 20, MemtableBytes: 1 << 20, Logger: Logger()})
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	i := &Instance{cancel: cancel}
	config := topology.Config{
		Names:  a.Names,
		Engine: engine.Config{Thresholds: attribution.DefaultThresholds(), Registry: attribution.DefaultRegistry(), Counters: new(engine.Counters)},
		Runtime: processor.Config{
			ApplicationID: "app", InstanceID: id, Client: append(a.Broker.ClientOpts(), kgo.Dialer(i.wire.dial)), Partitions: Partitions, Threads: 1, Store: store,
			Clock: clocktest.New(a.Now), OnCommit: a.Rest.OnCommit, Logger: Logger(), FetchMaxWait: 20 * time.Millisecond,
		},
	}
	for _, change := range configure {
		change(&config)
	}
	p, err := config.Processor()
	if err != nil {
		a.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	a.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !i.killed {
			a.t.Errorf("the application: %v", err)
		}
		if err := store.Close(); err != nil && !i.killed {
			a.t.Error(err)
		}
	})
	return i
}

// Kill ends an instance as SIGKILL does, for those who see it from outside: its
// connections break at once, in the middle of whatever it does, and it says nothing to
// anybody any more. What is left of it tries to say goodbye until the test ends.
func (i *Instance) Kill() {
	i.wire.cut()
	i.killed = true
	i.cancel()
}

// wire dials connections that can all be cut. No new ones are made then.
type wire struct {
	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func (w *wire) dial(ctx context.Context, network, host string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, host)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		_ = conn.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Err: io.ErrClosedPipe}
	}
	w.conns = append(w.conns, conn)
	return conn, nil
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for _, conn := range w.conns {
		_ = conn.Close()
	}
}
