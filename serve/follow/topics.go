package follow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxAbsent is how many times in a row, a second apart, brokers may say that a topic is
// not there until they are believed: one that has just started may not know it yet.
const maxAbsent = 30

// askTopics asks a broker for topics. One that is not there is left out. What a kadm client
// says of topics may be as old as its client's metadata, 5 seconds: too old for whoever
// wants to know whether a topic was made anew.
func askTopics(ctx context.Context, client *kgo.Client, topics ...string) (map[string]kmsg.MetadataResponseTopic, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, topic := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(topic)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("asking for topics: %w", err)
	}
	there := make(map[string]kmsg.MetadataResponseTopic)
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case err == nil:
			there[*t.Topic] = t
		case !errors.Is(err, kerr.UnknownTopicOrPartition):
			return nil, fmt.Errorf("asking for %s: %w", *t.Topic, err)
		}
	}
	return there, nil
}

// topicIDs asks a broker for the ids of topics. One that is not there has none.
func topicIDs(ctx context.Context, client *kgo.Client, topics ...string) (map[string]kadm.TopicID, error) {
	there, err := askTopics(ctx, client, topics...)
	if err != nil {
		return nil, err
	}
	ids := make(map[string]kadm.TopicID)
	for topic, t := range there {
		ids[topic] = t.TopicID
	}
	return ids, nil
}

// awaitTopics returns the ids of the event topics that are there. It waits for one that is
// not there, but not for good: the others are followed without it then.
func (f *Follower) awaitTopics(ctx context.Context, topics []string) (map[string]kadm.TopicID, error) {
	told, absent := false, 0
	for {
		ids, err := topicIDs(ctx, f.client, topics...)
		if ctx.Err() != nil {
			return nil, ctx.Err() // a stop while brokers are away is no error
		}
		if errors.Is(err, kerr.TopicAuthorizationFailed) {
			return nil, err
		}
		if err == nil {
			missing := slices.DeleteFunc(slices.Clone(topics), func(topic string) bool { _, there := ids[topic]; return there })
			known := f.MissingTopics()
			given := !slices.ContainsFunc(missing, func(topic string) bool { return !slices.Contains(known, topic) })
			if absent++; len(ids) > 0 && (given || absent > maxAbsent) {
				f.missing.Store(&missing)
				if !given {
					f.cfg.Logger.Warn("event topics are not there: what they said is shown as it was, and nothing new comes of them until they are made", "topics", missing)
				}
				return ids, nil
			}
			err = fmt.Errorf("%v: %w", missing, kerr.UnknownTopicOrPartition)
		} else {
			absent = 0
		}
		if !told && !f.Alone() {
			told = true
			f.cfg.Logger.Warn("the event topics cannot be asked who they are, trying again", "error", err)
		}
		if err := f.cfg.pause(ctx, f.cfg.every(time.Second)); err != nil {
			return nil, err
		}
	}
}

// MissingTopics returns the event topics that are not there. What they said is shown as it
// was. The others are followed, and their time is that of what is shown.
func (f *Follower) MissingTopics() []string { return *f.missing.Load() }

// topicLook looks whether topics are still those whose positions are known.
type topicLook struct {
	f      *Follower
	all    []string                // that are wanted
	ids    map[string]kadm.TopicID // of the topics that were there
	cancel context.CancelCauseFunc // ends the following with a topicError
}

// there returns the topics that were there.
func (l *topicLook) there(topics []string) []string {
	return slices.DeleteFunc(slices.Clone(topics), func(topic string) bool { _, there := l.ids[topic]; return !there })
}

// same reports whether every topic is the one that it was. Else it ends the following:
// ends that were asked for before are not those of the topics that are read. It is asked
// after the ends, since an id never comes back.
func (l *topicLook) same(ctx context.Context) bool {
	now, err := topicIDs(ctx, l.f.client, l.all...)
	if err != nil {
		return false // nobody knows
	}
	for _, topic := range l.all {
		id, there := now[topic]
		was, known := l.ids[topic]
		if there != known || id != was {
			l.cancel(&topicError{fmt.Errorf("%s was made anew, was deleted or is there again", topic)})
			return false
		}
	}
	return true
}

// watch looks until ctx ends.
func (l *topicLook) watch(ctx context.Context) {
	t := time.NewTicker(l.f.cfg.every(time.Second))
	defer t.Stop()
	for {
		l.same(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// ofTopics returns a topicError if something was fetched from a topic that has another id
// than the one whose positions were asked for.
func ofTopics(fetches kgo.Fetches, ids map[string]kadm.TopicID) (err error) {
	fetches.EachTopic(func(t kgo.FetchTopic) {
		if id := kadm.TopicID(t.TopicID); id != (kadm.TopicID{}) && id != ids[t.Topic] { // brokers before 3.1 do not say it
			err = &topicError{fmt.Errorf("%s was made anew", t.Topic)}
		}
	})
	return err
}
