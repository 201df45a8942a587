package operations

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/topology"
)

// ErrNoApplication means that a cluster knows nothing of an application.
var ErrNoApplication = errors.New("there is no such application")

// ErrPartitions means that topics have other numbers of partitions than they must.
var ErrPartitions = errors.New("the partitions do not fit")

// Application is what is looked at.
type Application struct {
	ID     string // the consumer group, and the beginning of transactional ids
	Names  topology.Names
	Layout topology.Layout
}

func (a *Application) specs() []broker.TopicSpec { return a.Names.Specs(a.Layout) }

// read returns the topics that task p reads.
func (a *Application) read(p int32) []string {
	topics := []string{a.Names.Observations, a.Names.Commands}
	if p == 0 {
		topics = append(topics, a.Names.IdentityEvents)
	}
	return topics
}

// outputs returns the topics that others read.
func (a *Application) outputs() []string {
	n := &a.Names
	return []string{n.StateChanged, n.MultiActorSuspects, n.IdentityChanged, n.State, n.Identities, n.DeadLetter}
}

// Confirm returns ErrNoApplication if the cluster has neither the application's group
// nor one of the topics that only the application has.
func (a *Application) Confirm(ctx context.Context, cl *kgo.Client) error {
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopics(ctx, a.Names.Changelog, a.Names.Commands)
	if err != nil {
		return fmt.Errorf("asking for the topics of application %s: %w", a.ID, err)
	}
	for _, name := range []string{a.Names.Changelog, a.Names.Commands} {
		if t, ok := topics[name]; ok && !errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			return nil
		}
	}
	group, err := awaitGroup(ctx, adm, a.ID)
	if err != nil {
		return err
	}
	if group.State != deadGroup {
		return nil
	}
	return fmt.Errorf("%w: the cluster has no group %s and no topic %s or %s: look at application-id, topic-prefix and the brokers", ErrNoApplication, a.ID, a.Names.Changelog, a.Names.Commands)
}

// CountPartitions returns how many tasks the application has by its topics. The error
// is ErrPartitions if they do not agree.
func (a *Application) CountPartitions(ctx context.Context, cl *kgo.Client) (int32, error) {
	names := []string{a.Names.Observations, a.Names.Commands, a.Names.Changelog}
	topics, err := kadm.NewClient(cl).ListTopics(ctx, names...)
	if err != nil {
		return 0, fmt.Errorf("asking for the topics of application %s: %w", a.ID, err)
	}
	n := len(topics[names[0]].Partitions)
	for _, name := range names {
		t, ok := topics[name]
		switch {
		case !ok:
			return 0, fmt.Errorf("topic %s: %w", name, kerr.UnknownTopicOrPartition)
		case t.Err != nil:
			return 0, fmt.Errorf("topic %s: %w", name, t.Err)
		case len(t.Partitions) != n:
			return 0, fmt.Errorf("%w: topic %s has %d, topic %s has %d: partitions were added, or a topic was made anew", ErrPartitions, names[0], n, name, len(t.Partitions))
		}
	}
	return int32(n), nil
}
