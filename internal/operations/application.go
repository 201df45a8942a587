package operations

import (
	"handprint/internal/broker"
	"handprint/topology"
)

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
