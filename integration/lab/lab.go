// Package lab puts together what fault tests work with: a real cluster with a
// proxy before each broker, the binaries, and applications that are fed, hurt,
// healed, and audited. Which faults there are and when they happen is decided by
// the tests and by the program chaos.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/integration/cluster"
	"handprint/integration/instance"
	"handprint/integration/wireproxy"
)

// Options says what a lab has.
type Options struct {
	Dir     string // for everything that is written
	Brokers int    // 1 to 3; default 3
	// BrokerConfig is put over the settings of every broker.
	BrokerConfig map[string]string
}

// Lab is a cluster and the means to run applications on it.
type Lab struct {
	Dir      string
	Cluster  *cluster.Cluster
	Proxies  []*wireproxy.Proxy // one before each broker; none before somebody else's
	Binaries instance.Binaries
}

// startTime bounds how long a cluster may take until it is there.
const startTime = 3 * time.Minute

// Open starts a cluster and builds the binaries.
func Open(ctx context.Context, o Options) (_ *Lab, err error) {
	if o.Brokers == 0 {
		o.Brokers = 3
	}
	l := &Lab{Dir: o.Dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	if l.Binaries, err = instance.Build(ctx, o.Dir); err != nil {
		return nil, err
	}
	way, err := cluster.Choose(ctx)
	if err != nil {
		return nil, err
	}
	opened := make(chan struct{})
	options := cluster.Options{Brokers: o.Brokers, Dir: filepath.Join(o.Dir, "kafka"), Config: o.BrokerConfig}
	if way != cluster.Existing {
		for i := range o.Brokers {
			p, err := wireproxy.Listen(func() string {
				select {
				case <-opened:
					return l.Cluster.Upstream(i)
				default: // somebody who remembers another use of the port
					return ""
				}
			})
			if err != nil {
				return nil, err
			}
			l.Proxies = append(l.Proxies, p)
			options.Proxied = append(options.Proxied, p.Addr())
		}
	}
	limit, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if l.Cluster, err = cluster.StartAs(limit, way, options); err == nil {
		close(opened)
	}
	return l, err
}

// Close ends the cluster and the proxies. Files stay.
func (l *Lab) Close() error {
	var errs []error
	for _, p := range l.Proxies {
		errs = append(errs, p.Close())
	}
	if l.Cluster != nil {
		errs = append(errs, l.Cluster.Close())
	}
	return errors.Join(errs...)
}

// Direct are the options of clients that take the way past the proxies.
func (l *Lab) Direct() []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers(l.Cluster.Addrs()...), kgo.MetadataMinAge(250 * time.Millisecond), kgo.RetryTimeout(time.Minute)}
}

// addrs are where instances look for the brokers.
func (l *Lab) addrs() []string {
	if len(l.Proxies) == 0 {
		return l.Cluster.Addrs()
	}
	var list []string
	for _, p := range l.Proxies {
		list = append(list, p.Addr())
	}
	return list
}

// Rules sets rules in every proxy. Rules that count do so in each.
func (l *Lab) Rules(rules ...wireproxy.Rule) {
	for _, p := range l.Proxies {
		p.Set(rules...)
	}
}

// ClearRules takes the rules away and returns how many requests they have
// broken.
func (l *Lab) ClearRules() (broken int64) {
	for _, p := range l.Proxies {
		for _, n := range p.Broken() {
			broken += n
		}
		p.Clear()
		p.Open()
	}
	return broken
}

// Heal makes the cluster whole: brokers that do not run are started.
func (l *Lab) Heal(ctx context.Context, down ...int) error {
	for _, b := range down {
		if err := l.Cluster.Start(ctx, b); err != nil {
			return err
		}
	}
	limit, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := l.Cluster.AwaitWhole(limit); err != nil {
		return fmt.Errorf("healing the cluster: %w", err)
	}
	return nil
}
