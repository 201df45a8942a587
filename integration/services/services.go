// Package services is what checks of the whole program run on: a Kafka of one broker
// and, where it is wanted, a schema registry, started side by side. Either may
// be somebody else's: packages cluster and registry say how.
package services

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

// Services are a Kafka and a registry.
type Services struct {
	Brokers     []string
	Replication int    // that topics should have
	Registry    string // address of the Confluent API; empty without one

	cluster  *cluster.Cluster
	registry *registry.Registry
}

// Start starts them, with logs in dir, and says where they are.
func Start(ctx context.Context, dir string, withRegistry bool) (*Services, error) {
	s := new(Services)
	group, starting := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		s.cluster, err = cluster.Start(starting, cluster.Options{Brokers: 1, Dir: filepath.Join(dir, "brokers")})
		return err
	})
	if withRegistry {
		group.Go(func() (err error) {
			s.registry, err = registry.Start(starting, dir)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.Brokers, s.Replication = s.cluster.Addrs(), s.cluster.Replication()
	fmt.Println("brokers  ", strings.Join(s.Brokers, ","))
	if withRegistry {
		s.Registry = s.registry.URL
		fmt.Println("registry ", s.Registry)
	}
	return s, nil
}

// Close ends what was started.
func (s *Services) Close() error {
	if s.registry != nil {
		s.registry.Close()
	}
	if s.cluster != nil {
		return s.cluster.Close()
	}
	return nil
}
