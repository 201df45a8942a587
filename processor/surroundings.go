package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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
		w.noteFault(StateTakenAway, "", err.Error())
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
	names := slices.Concat(w.written(), w.cfg.consumed())
	slices.Sort(names)
	topics, err := admin.ListTopics(ctx, slices.Compact(names)...)
	if err != nil {
		return nil, fmt.Errorf("asking for the topics: %w", err)
	}
	if err := w.refuseFewer(topics); err != nil {
		return nil, err
	}
	for name, t := range topics {
		before, known := w.ids[name]
		if name != w.cfg.Commands && slices.Contains(w.cfg.consumed(), name) {
			continue
		}
		if t.Err != nil || t.ID == (kadm.TopicID{}) {
			continue // away for a moment, or brokers without topic ids
		}
		w.ids[name] = t.ID
		switch {
		case !known || before == t.ID, name == w.cfg.Commands:
		case name == w.cfg.Changelog:
			err := fmt.Errorf("changelog %s was deleted and made anew while the process ran (its topic id was %s and is %s): "+
				"put the right one back; or begin from nothing with: handprint reset", name, before, t.ID)
			w.noteFault(TopicMadeAnew, name, err.Error())
			return nil, fatal(err)
		default:
			w.noteFault(TopicMadeAnew, name, "the output topic was made anew while the process ran: what was in it is gone, and is not sent again")
			w.log.Error("an output topic was made anew while the process ran: what was in it is gone, and is not sent again", "topic", name,
				"id_before", before.String(), "id", t.ID.String())
		}
	}
	return topics, nil
}

// refuseFewer returns a fatal error if a topic that is read has fewer partitions than
// there are tasks, in two looks one after another: it was made anew, and what tasks
// without a partition own comes to others. More partitions are for lookAtInputs to say.
func (w *watch) refuseFewer(topics kadm.TopicDetails) error {
	for _, name := range w.cfg.consumed() {
		t := topics[name]
		has := int32(len(t.Partitions))
		if t.Err != nil || has == 0 || has >= w.cfg.partitionsOf(name) {
			delete(w.fewer, name)
			continue
		}
		if w.fewer[name] {
			return fatal(fmt.Errorf("a topic was made anew under the application with fewer partitions: %w", w.cfg.wrongPartitions(name, has)))
		}
		w.fewer[name] = true
	}
	return nil
}

// firstIDs takes the ids that the topics have at the start, so that one that is made
// anew before the first look is noticed as well.
func (w *watch) firstIDs(topics kadm.TopicDetails) {
	for _, name := range w.written() {
		if t := topics[name]; t.Err == nil && t.ID != (kadm.TopicID{}) {
			w.ids[name] = t.ID
		}
	}
}

// Kinds of [Fault].
const (
	ChangelogPolicy = "changelog policy" // the changelog's cleanup policy is wrong
	TopicMadeAnew   = "topic made anew"  // a topic was deleted and made anew
	StateTakenAway  = "state taken away" // the state directory was deleted, or somebody else uses it
)

// Fault is something that others have done to what the processor works on, and that
// an operator has to look at.
type Fault struct {
	Kind   string    `json:"kind"`
	Topic  string    `json:"topic,omitempty"`
	Detail string    `json:"detail"`
	Since  time.Time `json:"since"` // when it was noticed
}

// noteFault notes a fault, unless it is known.
func (w *watch) noteFault(kind, topic, detail string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.ContainsFunc(w.faults, func(f Fault) bool { return f.Kind == kind && f.Topic == topic }) {
		w.faults = append(w.faults, Fault{Kind: kind, Topic: topic, Detail: detail, Since: w.cfg.Clock.Now()})
	}
}

// mended forgets a fault.
func (w *watch) mended(kind, topic string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = slices.DeleteFunc(w.faults, func(f Fault) bool { return f.Kind == kind && f.Topic == topic })
}

// found returns the faults that are noted.
func (w *watch) found() []Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.faults)
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
		w.mended(ChangelogPolicy, w.cfg.Changelog)
		w.log.Info("the changelog is compacted again", "topic", w.cfg.Changelog)
	default:
		w.noteFault(ChangelogPolicy, w.cfg.Changelog, fmt.Sprintf("the cleanup policy of the changelog is %q, and must be %q", policy, right))
		w.log.Error("the cleanup policy of the changelog is wrong: the brokers delete the state of the tasks, or keep all that was ever written", "topic", w.cfg.Changelog,
			cleanupPolicy, policy, "fix", fmt.Sprintf("kafka-configs --alter --entity-type topics --entity-name %s --add-config %s=%s", w.cfg.Changelog, cleanupPolicy, right))
	}
}
