package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options says what cluster to start.
type Options struct {
	// Brokers is how many, 1 to 3; default 3.
	Brokers int
	// Dir is where logs go, and the data of brokers that are processes.
	Dir string
	// Proxied are addresses, one for each broker, that the brokers give to
	// clients who come through their second listener ([Cluster.Upstream]): a
	// proxy listens there and forwards to it. Empty: no second listener.
	Proxied []string
	// Security, if set, gives the brokers a listener with TLS, SASL and ACLs.
	Security *Security
	// Config is put over the settings of every broker, by Kafka's names.
	Config map[string]string
}

// ErrNotOurs is the answer of a cluster of somebody else's brokers to whoever
// wants to hurt it.
var ErrNotOurs = errors.New("brokers named in HANDPRINT_BROKERS are not stopped, killed or paused")

// node is one broker, as a container or as a process.
type node interface {
	start(context.Context) error
	stop(context.Context) error // cleanly, and waits for the end
	kill(context.Context) error // at once, and waits for the end
	pause(context.Context) error
	resume(context.Context) error
	close() error // ends it and removes what it left behind
}

// Cluster is a running cluster. Its methods may be called concurrently, but
// not for the same broker.
type Cluster struct {
	nodes     []node
	addrs     []string
	upstreams []string
	secured   []string
	client    *kgo.Client

	mu     sync.Mutex
	paused map[int]bool
}

// Start starts a cluster in the way that [Choose] names and returns when all
// brokers are there.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	way, err := Choose(ctx)
	if err != nil {
		return nil, err
	}
	return StartAs(ctx, way, o)
}

// StartAs is Start in a way of the caller's.
func StartAs(ctx context.Context, way Way, o Options) (_ *Cluster, err error) {
	if o.Brokers == 0 {
		o.Brokers = 3
	}
	if o.Brokers < 1 || o.Brokers > 3 || len(o.Proxied) > 0 && len(o.Proxied) != o.Brokers {
		return nil, fmt.Errorf("a cluster of %d brokers with %d proxies", o.Brokers, len(o.Proxied))
	}
	c := &Cluster{paused: make(map[int]bool)}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if way == Existing {
		c.addrs = strings.Split(os.Getenv(BrokersVariable), ",")
	} else {
		if err := os.MkdirAll(o.Dir, 0o755); err != nil {
			return nil, err
		}
		layout, err := newLayout(o)
		if err != nil {
			return nil, err
		}
		if o.Security != nil {
			if err := o.Security.issue(); err != nil {
				return nil, fmt.Errorf("making the brokers' certificate: %w", err)
			}
			c.secured = layout.addresses(layout.secured)
		}
		c.addrs, c.upstreams = layout.addresses(layout.plain), layout.addresses(layout.proxied)
		for i := range o.Brokers {
			var n node
			if way == Containers {
				n, err = newContainer(ctx, layout, i)
			} else {
				n, err = newProcess(ctx, layout, i)
			}
			if err != nil {
				return nil, err
			}
			c.nodes = append(c.nodes, n)
		}
		if err := c.each(func(n node) error { return n.start(ctx) }); err != nil {
			return nil, err
		}
	}
	if c.client, err = kgo.NewClient(kgo.SeedBrokers(c.addrs...), kgo.MetadataMinAge(100*time.Millisecond)); err != nil {
		return nil, err
	}
	return c, c.AwaitWhole(ctx)
}

// each does something with all brokers at once.
func (c *Cluster) each(do func(node) error) error {
	errs := make([]error, len(c.nodes))
	var wg sync.WaitGroup
	for i, n := range c.nodes {
		wg.Go(func() { errs[i] = do(n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// archive is a node whose data can be copied and put back.
type archive interface {
	backup() error
	restore() error
}

// CanGoBack reports whether Backup and GoBack can be used: the brokers are processes.
func (c *Cluster) CanGoBack() bool {
	for _, n := range c.nodes {
		if _, ok := n.(archive); !ok {
			return false
		}
	}
	return c.Ours()
}

// Backup copies what all brokers have. They are stopped for that.
func (c *Cluster) Backup(ctx context.Context) error {
	return c.whileStopped(ctx, archive.backup)
}

// GoBack makes the cluster what it was at the last Backup.
func (c *Cluster) GoBack(ctx context.Context) error {
	return c.whileStopped(ctx, archive.restore)
}

func (c *Cluster) whileStopped(ctx context.Context, do func(archive) error) error {
	if err := c.each(func(n node) error { return n.stop(ctx) }); err != nil {
		return fmt.Errorf("stopping all brokers: %w", err)
	}
	err := c.each(func(n node) error { return do(n.(archive)) })
	if started := c.each(func(n node) error { return n.start(ctx) }); err == nil {
		err = started
	}
	if err != nil {
		return fmt.Errorf("copying the data of the brokers: %w", err)
	}
	return c.AwaitWhole(ctx)
}

// Size is the number of brokers.
func (c *Cluster) Size() int { return len(c.addrs) }

// Addrs are the brokers' addresses, for clients that take the direct way.
func (c *Cluster) Addrs() []string { return c.addrs }

// Upstream is where the proxy of a broker, counted from 0, has to forward to.
func (c *Cluster) Upstream(broker int) string { return c.upstreams[broker] }

// Ours reports whether the brokers may be hurt.
func (c *Cluster) Ours() bool { return len(c.nodes) > 0 }

// Replication is the replication factor that topics should have here.
func (c *Cluster) Replication() int { return min(3, c.Size()) }

func (c *Cluster) node(broker int) (node, error) {
	if !c.Ours() {
		return nil, ErrNotOurs
	}
	return c.nodes[broker], nil
}

// Kill ends a broker as kill -9 does. Its data stay.
func (c *Cluster) Kill(ctx context.Context, broker int) error {
	n, err := c.node(broker)
	if err != nil {
		return err
	}
	c.setPaused(broker, false)
	return wrap("killing", broker, n.kill(ctx))
}

// Stop ends a broker cleanly.
func (c *Cluster) Stop(ctx context.Context, broker int) error {
	n, err := c.node(broker)
	if err != nil {
		return err
	}
	return wrap("stopping", broker, n.stop(ctx))
}

// Start starts a broker again on its data. It does not wait until it answers:
// see [Cluster.AwaitWhole].
func (c *Cluster) Start(ctx context.Context, broker int) error {
	n, err := c.node(broker)
	if err != nil {
		return err
	}
	return wrap("starting", broker, n.start(ctx))
}

// Pause makes a broker stand still: it has its connections and answers nothing.
func (c *Cluster) Pause(ctx context.Context, broker int) error {
	n, err := c.node(broker)
	if err != nil {
		return err
	}
	if err := n.pause(ctx); err != nil {
		return wrap("pausing", broker, err)
	}
	c.setPaused(broker, true)
	return nil
}

// Resume lets a paused broker go on.
func (c *Cluster) Resume(ctx context.Context, broker int) error {
	n, err := c.node(broker)
	if err != nil {
		return err
	}
	c.setPaused(broker, false)
	return wrap("resuming", broker, n.resume(ctx))
}

func (c *Cluster) setPaused(broker int, paused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused[broker] = paused
}

func wrap(doing string, broker int, err error) error {
	if err != nil {
		return fmt.Errorf("%s broker %d: %w", doing, broker+1, err)
	}
	return nil
}

// AwaitWhole waits until every broker answers, every partition has a leader,
// and all its replicas are in sync.
func (c *Cluster) AwaitWhole(ctx context.Context) error {
	adm := kadm.NewClient(c.client)
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for {
		why := c.lacks(ctx, adm)
		if why == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the cluster: %s: %w", why, context.Cause(ctx))
		case <-poll.C:
		}
	}
}

// lacks says what the cluster lacks to be whole; empty if nothing.
func (c *Cluster) lacks(ctx context.Context, adm *kadm.Client) string {
	limit, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if c.Ours() {
		for i, addr := range c.addrs {
			conn, err := new(net.Dialer).DialContext(limit, "tcp", addr)
			if err != nil {
				return fmt.Sprintf("broker %d: %v", i+1, err)
			}
			conn.Close()
		}
	}
	m, err := adm.Metadata(limit)
	if err != nil {
		return err.Error()
	}
	if len(m.Brokers) < c.Size() {
		return fmt.Sprintf("%d of %d brokers are registered", len(m.Brokers), c.Size())
	}
	if !c.Ours() {
		return ""
	}
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			if p.Err != nil || p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
				return fmt.Sprintf("%s[%d] has leader %d and %d of %d replicas in sync", t.Topic, p.Partition, p.Leader, len(p.ISR), len(p.Replicas))
			}
		}
	}
	return ""
}

// Close ends the brokers and removes their data; logs stay. Brokers of somebody
// else are left as they are.
func (c *Cluster) Close() error {
	if c.client != nil {
		c.client.Close()
	}
	return c.each(node.close)
}
