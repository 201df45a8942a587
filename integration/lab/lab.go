// Package lab is what checks of the whole program run on: a Kafka of one broker
// and, where it is wanted, a schema registry, started side by side. Either may
// be somebody else's: packages cluster and registry say how.
package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"handprint/integration/cluster"
	"handprint/integration/registry"
)

// Lab is a Kafka and a registry.
type Lab struct {
	Brokers     []string
	Replication int    // that topics should have
	Registry    string // address of the Confluent API; empty without one

	cluster  *cluster.Cluster
	registry *registry.Registry
}

// Start starts them, with logs in dir, and says where they are.
func Start(ctx context.Context, dir string, withRegistry bool) (*Lab, error) {
	l := new(Lab)
	group, starting := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		l.cluster, err = cluster.Start(starting, cluster.Options{Brokers: 1, Dir: filepath.Join(dir, "brokers")})
		return err
	})
	if withRegistry {
		group.Go(func() (err error) {
			l.registry, err = registry.Start(starting, dir)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.Brokers, l.Replication = l.cluster.Addrs(), l.cluster.Replication()
	fmt.Println("brokers  ", strings.Join(l.Brokers, ","))
	if withRegistry {
		l.Registry = l.registry.URL
		fmt.Println("registry ", l.Registry)
	}
	return l, nil
}

// Close ends what was started.
func (l *Lab) Close() error {
	if l.registry != nil {
		l.registry.Close()
	}
	if l.cluster != nil {
		return l.cluster.Close()
	}
	return nil
}
