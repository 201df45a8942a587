package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"

	"handprint/state"
)

// What a start has checked may change while the process runs: somebody deletes a
// topic and makes it anew, sets another cleanup policy, deletes the state directory or
// starts another process in it. The watch looks again.

const cleanupPolicy = "cleanup.policy"

// lookAround returns a fatal error if the process must not go on, and logs what an
// operator has to put right.
func (w *watch) lookAround(ctx context.Context) error {
	if err := w.cfg.Store.CheckOwner(); errors.Is(err, state.ErrTakenAway) {
		return fatal(err)
	} else if err != nil {
		return err
	}
	admin := kadm.NewClient(w.side)
	topics, err := w.lookAtTopics(ctx, admin)
	if err != nil {
		return err
	}
	return w.lookAtSettings(ctx, admin, topics)
}

// lookAtTopics says which topics were made anew since the last look. Inputs and
// commands are for openInputs to say, when their task begins anew; the changelog ends
// the processor.
func (w *watch) lookAtTopics(ctx context.Context, admin *kadm.Client) (kadm.TopicDetails, error) {
	topics, err := admin.ListTopics(ctx, w.written()...)
	if err != nil {
		return nil, fmt.Errorf("asking for the topics: %w", err)
	}
	if w.ids == nil {
		w.ids = make(map[string]kadm.TopicID)
	}
	for name, t := range topics {
		before, known := w.ids[name]
		if t.Err != nil || t.ID == (kadm.TopicID{}) {
			continue // away for a moment, or brokers without topic ids
		}
		w.ids[name] = t.ID
		switch {
		case !known || before == t.ID, name == w.cfg.Commands:
		case name == w.cfg.Changelog:
			return nil, fatal(fmt.Errorf("changelog %s was deleted and made anew while the process ran (its topic id was %s and is %s): "+
				"put the right one back; or begin from nothing with: handprint reset", name, before, t.ID))
		default:
			w.log.Error("an output topic was made anew while the process ran: what was in it is gone, and is not sent again", "topic", name,
				"id_before", before.String(), "id", t.ID.String())
		}
	}
	w.looked.Store(true)
	return topics, nil
}

// written are the topics that the application writes to.
func (w *watch) written() []string {
	topics := slices.Concat(w.cfg.Outputs, []string{w.cfg.Changelog})
	if w.cfg.Commands != "" {
		topics = append(topics, w.cfg.Commands)
	}
	return topics
}

// lookAtSettings says when the changelog is not compacted, or no longer, and where
// too few replicas are in sync for a write.
func (w *watch) lookAtSettings(ctx context.Context, admin *kadm.Client, topics kadm.TopicDetails) error {
	configs, err := admin.DescribeTopicConfigs(ctx, w.written()...)
	if err != nil {
		return fmt.Errorf("asking for the configuration of topics: %w", err)
	}
	for _, t := range configs {
		for _, c := range t.Configs {
			if t.Name == w.cfg.Changelog && t.Err == nil && c.Key == cleanupPolicy {
				w.notePolicy(c.MaybeValue())
			}
		}
	}
	w.noteReplicas(shortOfReplicas(topics, configs), w.cfg.Clock.Now())
	return nil
}

func (w *watch) notePolicy(policy string) {
	const right = "compact"
	before := w.policy
	w.policy = policy
	switch {
	case policy == before, policy == right && before == "":
	case policy == right:
		w.log.Info("the changelog is compacted again", "topic", w.cfg.Changelog)
	default:
		w.log.Error("the cleanup policy of the changelog is wrong: the brokers delete the state of the tasks, or keep all that was ever written", "topic", w.cfg.Changelog,
			cleanupPolicy, policy, "fix", fmt.Sprintf("kafka-configs --alter --entity-type topics --entity-name %s --add-config %s=%s", w.cfg.Changelog, cleanupPolicy, right))
	}
}
