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
func askTopics(ctx context.Context, client asker, topics ...string) (map[string]kmsg.MetadataResponseTopic, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, topic := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(topic)
		req.Topics = append(req.Topics, t)
	}
	kresp, err := client.Request(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("asking for topics: %w", err)
	}
	resp, ok := kresp.(*kmsg.MetadataResponse)
	if !ok {
		return nil, fmt.Errorf("asking for topics: the answer is a %T", kresp)
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
func topicIDs(ctx context.Context, client asker, topics ...string) (map[string]kadm.TopicID, error) {
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

// confirmLooks is how many more looks, a second apart, have to find what one look found
// before it is believed that topics are other than they were.
const confirmLooks = 2

// isConfirmed reports whether brokers still say what one has said: that a topic is not
// there, or has another id. One broker alone may not have heard yet what the others know, so
// they are asked in turns, and one that does not agree is enough to doubt it.
func (f *Follower) isConfirmed(ctx context.Context, topics []string, says func(ids map[string]kadm.TopicID) bool) bool {
	said, answers := make(map[int]bool), 0
	for look := 1; ; look++ {
		if f.cfg.pause(ctx, f.cfg.every(time.Second)) != nil {
			return false
		}
		brokers := f.client.DiscoveredBrokers()
		asked, place := asker(f.client), 0
		if len(brokers) > 0 {
			place = look % len(brokers)
			asked = brokerAsker{brokers[place]}
		}
		ids, err := f.topicsOf(ctx, asked, topics)
		switch {
		case err == nil && !says(ids):
			return false
		case err == nil:
			said[place] = true
			answers++
		case look >= maxAbsent && answers == 0:
			return false // nobody knows
		}
		if answers >= confirmLooks && len(said) >= min(2, len(brokers)) || look >= maxAbsent && answers > 0 {
			return true
		}
	}
}

// topicsOf asks one broker for the ids of topics. One that does not answer keeps nobody from
// asking the next.
func (f *Follower) topicsOf(ctx context.Context, of asker, topics []string) (map[string]kadm.TopicID, error) {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	return topicIDs(ctx, of, topics...)
}

// asker is who is asked: any broker, or one.
type asker interface {
	Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
}

// brokerAsker is one broker.
type brokerAsker struct{ *kgo.Broker }

// Request implements asker.
func (b brokerAsker) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	return b.RetriableRequest(ctx, req)
}

// madeAnew returns the topics that are there and have another id than the one that is
// known, with that id.
func madeAnew(was map[string]string, ids map[string]kadm.TopicID) map[string]kadm.TopicID {
	anew := make(map[string]kadm.TopicID)
	for topic, id := range ids {
		if known := was[topic]; known != "" && known != id.String() {
			anew[topic] = id
		}
	}
	return anew
}

// isAgreed reports whether brokers agree about each topic of ids that was made anew, and which
// one it is now, or there is none.
func (f *Follower) isAgreed(ctx context.Context, topics []string, was map[string]string, ids map[string]kadm.TopicID) bool {
	anew := madeAnew(was, ids)
	return len(anew) == 0 || f.isConfirmed(ctx, topics, func(now map[string]kadm.TopicID) bool {
		for topic, id := range anew {
			if now[topic] != id {
				return false
			}
		}
		return true
	})
}

// awaitTopics returns the ids of the event topics that are there; was has the ids that are
// known. It waits for one that is not there, but not for good: the others, if there are any,
// are followed without it then.
func (f *Follower) awaitTopics(ctx context.Context, topics []string, was map[string]string) (map[string]kadm.TopicID, error) {
	told, absent := false, 0
	for {
		ids, err := topicIDs(ctx, f.client, topics...)
		if err == nil && !f.isAgreed(ctx, topics, was, ids) {
			err = errDoubt
		}
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
			if absent++; given || absent > maxAbsent {
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

var errDoubt = errors.New("brokers do not agree about which topics there are")

// MissingTopics returns the event topics that are not there. What they said is shown as it
// was. The others are followed, and their time is that of what is shown.
func (f *Follower) MissingTopics() []string { return *f.missing.Load() }

// lookEvery is how often topics are asked for whose ends stand still.
const lookEvery = 3 * time.Second

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

// differs reports whether a topic is another than it was, is there no more, or is there again.
func (l *topicLook) differs(now map[string]kadm.TopicID) bool {
	return slices.ContainsFunc(l.all, func(topic string) bool {
		id, there := now[topic]
		was, known := l.ids[topic]
		return there != known || id != was
	})
}

// same reports whether every topic is the one that it was. Else it ends the following once
// that is confirmed: ends that were asked for before are not those of the topics that are
// read. It is asked after the ends, since an id never comes back.
func (l *topicLook) same(ctx context.Context) bool {
	now, err := topicIDs(ctx, l.f.client, l.all...)
	if err != nil {
		return false // nobody knows
	}
	if !l.differs(now) {
		return true
	}
	if l.f.isConfirmed(ctx, l.all, l.differs) {
		l.cancel(&topicError{errors.New("an event topic was made anew, was deleted or is there again")})
	}
	return false
}

// watch looks until ctx ends.
func (l *topicLook) watch(ctx context.Context) {
	repeat(ctx, l.f.cfg.every(lookEvery), func() {
		l.same(ctx)
	})
}

// endsLook asks where topics begin and end, and whether they are still the topics that
// are read. Each goroutine that asks has its own.
type endsLook struct {
	look   *topicLook
	topics []string
	ends   func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error)
	starts func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error)
	every  time.Duration // between two calls

	looked             bool
	since              time.Duration  // the last look at the topics
	lastStart, lastEnd eventPositions // as they were then
}

// get returns starts and ends; ok is false if nobody knows. While they stand still, the
// topics are looked at every few seconds alone: one that was made anew has other ends, or
// as many records as were read of the one before.
func (e *endsLook) get(ctx context.Context) (starts, ends eventPositions, ok bool) {
	changed := !e.looked
	if len(e.topics) > 0 { // else kadm would ask for all that there are
		ended, err := e.ends(ctx, e.topics...)
		started, serr := e.starts(ctx, e.topics...)
		if err != nil || serr != nil {
			return nil, nil, false
		}
		starts, ends = offsetsOf(started), offsetsOf(ended) // a partition without a leader has an error of its own
		changed = changed || ended.Error() != nil || started.Error() != nil || !starts.equal(e.lastStart) || !ends.equal(e.lastEnd)
	}
	if e.since += e.every; !changed && e.since < e.look.f.cfg.every(lookEvery) {
		return starts, ends, true
	}
	if !e.look.same(ctx) {
		return nil, nil, false
	}
	e.looked, e.since, e.lastStart, e.lastEnd = true, 0, starts, ends
	return starts, ends, true
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
