package follow

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/serve/catalog"
)

// eventPositions are the next offsets to read of event topics.
type eventPositions map[string]map[int32]int64

func (p eventPositions) clone() eventPositions {
	c := make(eventPositions, len(p))
	for t, byPartition := range p {
		c[t] = maps.Clone(byPartition)
	}
	return c
}

func (p eventPositions) equal(o eventPositions) bool {
	return maps.EqualFunc(p, o, func(a, b map[int32]int64) bool { return maps.Equal(a, b) })
}

func (p eventPositions) of(topic string, partition int32) int64 {
	if at, ok := p[topic][partition]; ok {
		return at
	}
	return -1
}

func (p eventPositions) set(topic string, partition int32, next int64) {
	if p[topic] == nil {
		p[topic] = make(map[int32]int64)
	}
	p[topic][partition] = next
}

const positionsMark = "events"

// tail follows the event topics until ctx ends. A topic that is made anew is followed from
// its beginning.
func (f *Follower) tail(ctx context.Context) error {
	for begun := false; ; begun = true {
		err := f.followEvents(ctx, begun)
		if !topicTrouble(err) {
			return err
		}
		f.cfg.Logger.Warn("the event topics are asked anew who they are", "error", err)
		if err := f.cfg.pause(ctx, f.cfg.every(time.Second)); err != nil {
			return nil // a stop is no error
		}
	}
}

// followEvents reads until ctx ends, then it returns nil, or until a topic is another than
// before. What is in the history already is not put there again, and is not sent to live
// clients; the catalogue may need it once more. begun reports whether it was called before.
func (f *Follower) followEvents(ctx context.Context, begun bool) error {
	n := &f.cfg.Names
	all := append(f.historyTopics(), n.Profiles)
	asOf, err := f.keptAsOf()
	if err != nil {
		return err
	}
	f.watermark.reset(nil, asOf) // while brokers do not answer
	ids, err := f.checkTopics(ctx, all)
	if err != nil {
		return err
	}
	topics := slices.Sorted(maps.Keys(ids))
	if !begun {
		close(f.checked)
	}
	kept := make(eventPositions)
	if b, err := f.cfg.History.Mark(positionsMark); err != nil {
		return err
	} else if b != nil {
		if err := json.Unmarshal(b, &kept); err != nil {
			return fmt.Errorf("reading the history's positions: %w", err)
		}
	}
	starts, ends, err := f.bounds(ctx, topics)
	if err != nil {
		return err
	}
	news := make(eventPositions) // from here on live clients are told
	from := make(map[string]map[int32]kgo.Offset)
	if asOf, err = f.keptAsOf(); err != nil { // the history may have begun anew
		return err
	}
	inHistory, inAll, shownAsOf := make(eventPositions), make(eventPositions), f.shown.now()
	f.mu.Lock()
	if f.events == nil {
		f.events = make(eventPositions)
	}
	inCatalog := f.events.clone()
	f.mu.Unlock()
	starts.Each(func(o kadm.ListedOffset) {
		end, _ := ends.Lookup(o.Topic, o.Partition)
		at := kept.of(o.Topic, o.Partition)
		if at > end.Offset { // the topic was made anew
			at = -1
		}
		if o.Topic != n.Profiles {
			inHistory.set(o.Topic, o.Partition, max(at, o.Offset))
			if at < 0 { // what is kept was said without it
				asOf = 0
			}
		}
		news.set(o.Topic, o.Partition, max(at, 0))
		if at < 0 {
			news.set(o.Topic, o.Partition, end.Offset)
		}
		if o.Topic == n.Profiles || o.Topic == n.MultiActorSuspects {
			// The catalogue has these of the topic alone.
			if c := inCatalog.of(o.Topic, o.Partition); c < at || c > end.Offset {
				at = c
			}
			if at > end.Offset {
				at = -1
			}
		}
		if from[o.Topic] == nil {
			from[o.Topic] = make(map[int32]kgo.Offset)
		}
		from[o.Topic][o.Partition] = kgo.NewOffset().At(max(at, o.Offset))
		inAll.set(o.Topic, o.Partition, max(at, o.Offset))
		if at < 0 && end.Offset > o.Offset { // nothing of it was read, and there is something
			shownAsOf = 0
		}
	})
	client, err := kgo.NewClient(append(f.cfg.Client[:len(f.cfg.Client):len(f.cfg.Client)], kgo.ClientID(f.cfg.ApplicationID+"-serve-events"),
		kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxBytes(8<<20), kgo.FetchMaxPartitionBytes(2<<20),
		kgo.KeepControlRecords())...) // the end of a partition is behind them
	if err != nil {
		return fmt.Errorf("following the events: %w", err)
	}
	defer client.Close()
	f.watermark.reset(inHistory, asOf)
	f.shown.reset(inAll, shownAsOf)
	var measuring sync.WaitGroup
	defer measuring.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	look := &topicLook{f: f, all: all, ids: ids, cancel: cancel}
	measuring.Go(func() { f.followWatermark(ctx, look) })
	measuring.Go(func() { f.followShown(ctx, look) })
	if len(topics) == 0 {
		<-ctx.Done() // there is nothing to be read, until a look finds a topic
	}
	failing := false
	for {
		fetches := client.PollRecords(ctx, 5000)
		if ctx.Err() != nil {
			if cause := context.Cause(ctx); topicTrouble(cause) {
				return cause
			}
			return nil
		}
		if err := ofTopics(fetches, ids); err != nil {
			return err
		}
		if err := f.takeEvents(ctx, fetches, kept, news); err != nil {
			return err
		}
		failed := fetches.Errors()
		for _, e := range failed {
			switch {
			case errors.Is(e.Err, kerr.TopicAuthorizationFailed):
				return fmt.Errorf("following %s: %w", e.Topic, e.Err)
			case notReadable(e.Err): // a client says so again at once, as often as it is asked
				return &topicError{fmt.Errorf("following %s[%d]: %w", e.Topic, e.Partition, e.Err)}
			case !failing:
				f.cfg.Logger.Warn("following the events is interrupted, trying again", "topic", e.Topic, "partition", e.Partition, "error", e.Err)
			}
		}
		failing = len(failed) > 0
	}
}

const (
	topicsMark = "topics"             // their ids, in the order of the topics
	doubtMark  = "topics-doubt"       // names of topics that are waited for to know whether all began anew
	sinceMark  = "topics-doubt-since" // since when, Unix seconds
	absentMark = "topics-absent"      // what was known when a topic was not there any more, by its name
)

// maxDoubt is how long topics are waited for to know whether all history begins anew. What
// the others have said by then is the history of these topics, and may be there alone.
const maxDoubt = time.Hour

// left is how far a topic was followed that is not there any more.
type left struct {
	Shown  float64 `json:"shown"`  // what it said until then is shown, Unix seconds
	Events float64 `json:"events"` // and in the history
}

// readMark reads what was kept of an earlier look.
func (f *Follower) readMark(name string, to any) error {
	mark, err := f.cfg.History.Mark(name)
	if err == nil && mark != nil {
		err = json.Unmarshal(mark, to)
	}
	if err != nil {
		return fmt.Errorf("reading what is known of the topics: %w", err)
	}
	return nil
}

// checkTopics returns the ids of the topics that are there. It empties a history that was
// made of other topics: those of another cluster, or an application that began anew. One
// topic that was made anew is none, and nothing is concluded before every topic that was
// known is there again.
func (f *Follower) checkTopics(ctx context.Context, topics []string) (map[string]kadm.TopicID, error) {
	var list, doubt []string
	var since float64
	absent := make(map[string]left)
	if err := errors.Join(f.readMark(topicsMark, &list), f.readMark(doubtMark, &doubt), f.readMark(sinceMark, &since), f.readMark(absentMark, &absent)); err != nil {
		return nil, err
	}
	was := make(map[string]string) // ids that are known
	if len(list) == len(topics) {
		for i, topic := range topics {
			was[topic] = list[i]
		}
	}
	ids, err := f.awaitTopics(ctx, topics, was)
	if err != nil {
		return nil, err
	}
	at := float64(f.cfg.Clock.Now().Unix())
	if len(doubt) > 0 && at-since > maxDoubt.Seconds() {
		doubt = nil
	}
	isDoubted := len(doubt) > 0
	doubt, began := judgeTopics(was, ids, doubt)
	if !isDoubted {
		since = at
	}
	if began {
		if err := f.beginAnew(); err != nil {
			return nil, err
		}
		clear(was)
		clear(absent)
	}
	anew := make(map[string]bool)
	now := make([]string, len(topics))
	asOf, back := f.EventsAsOf(), false
	for i, topic := range topics {
		id, there := ids[topic]
		before, away := absent[topic]
		switch {
		case !there:
			now[i] = was[topic] // if it is there again, it is known whether it is the same
			if !away {
				absent[topic] = left{f.shown.now(), f.EventsAsOf()}
			}
			continue
		case away: // what was said meanwhile is not read
			f.shown.reset(nil, min(f.shown.now(), before.Shown))
			asOf, back = min(asOf, before.Events), true
			delete(absent, topic)
		}
		now[i] = id.String()
		anew[topic] = was[topic] != "" && was[topic] != now[i]
	}
	f.mu.Lock()
	of := make(map[string]string)
	for i, topic := range topics {
		if of[topic] = now[i]; f.eventIDs[topic] != now[i] {
			delete(f.events, topic) // the catalogue's snapshot may be older than the history
		}
	}
	f.eventIDs = of
	f.mu.Unlock()
	marks := make(map[string][]byte)
	if back {
		f.watermark.reset(nil, asOf)
		marks[eventsAsOfMark] = binary.BigEndian.AppendUint64(nil, math.Float64bits(asOf))
	}
	if marks[positionsMark], err = f.forgetPositions(func(topic string) bool { return anew[topic] }); err != nil {
		return nil, err
	}
	for name, v := range map[string]any{topicsMark: now, doubtMark: doubt, sinceMark: since, absentMark: absent} {
		if marks[name], err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	return ids, f.cfg.History.Add(nil, marks)
}

// judgeTopics reports whether all history begins anew: every topic that was known has been
// made anew. While one of them is not there nobody knows, unless another is the one that it
// was. doubt has the topics that are waited for to know it; a later look is given them.
func judgeTopics(was map[string]string, ids map[string]kadm.TopicID, doubt []string) (waiting []string, began bool) {
	asked := doubt
	if len(asked) == 0 {
		for topic, id := range was {
			if id != "" {
				asked = append(asked, topic)
			}
		}
		slices.Sort(asked)
	}
	for _, topic := range asked {
		id, there := ids[topic]
		switch {
		case !there:
			waiting = append(waiting, topic)
		case id.String() == was[topic]:
			return nil, false
		}
	}
	if len(waiting) == len(asked) {
		return doubt, false // none of them is there
	}
	return waiting, len(waiting) == 0
}

// beginAnew empties history and catalogue of what event topics said.
func (f *Follower) beginAnew() error {
	f.cfg.Logger.Warn("the history was made from the topics of another cluster, and begins anew")
	f.mu.Lock()
	f.dropSnapshot() // who begins with it has what is forgotten here
	f.mu.Unlock()
	if err := f.cfg.History.Reset(identitiesMark); err != nil {
		return err
	}
	f.watermark.reset(nil, 0)
	f.shown.reset(nil, 0)
	f.filling.RLock() // a catalogue that is being filled takes over what the one before has
	f.catalog.Load().Apply(func(w *catalog.Writer) { w.ForgetEvents() })
	f.filling.RUnlock()
	f.mu.Lock()
	f.events = nil
	f.dropSnapshot() // or one that is being written
	f.mu.Unlock()
	return nil
}

// forgetPositions forgets how far topics were read that were made anew, and returns the
// mark that says so.
func (f *Follower) forgetPositions(anew func(topic string) bool) (mark []byte, err error) {
	kept := make(eventPositions)
	if mark, err = f.cfg.History.Mark(positionsMark); err != nil {
		return nil, err
	}
	if mark != nil {
		if err := json.Unmarshal(mark, &kept); err != nil {
			return nil, fmt.Errorf("reading the history's positions: %w", err)
		}
	}
	made := func(topic string, _ map[int32]int64) bool { return anew(topic) }
	maps.DeleteFunc(kept, made)
	f.mu.Lock()
	maps.DeleteFunc(f.events, made)
	f.mu.Unlock()
	return json.Marshal(kept)
}

// bounds asks for the ends of topics until there is an answer: brokers may be away
// when this process starts. A topic that is not there any more is a topicError.
func (f *Follower) bounds(ctx context.Context, topics []string) (starts, ends kadm.ListedOffsets, err error) {
	if len(topics) == 0 {
		return nil, nil, nil // kadm would ask for all that there are
	}
	adm := kadm.NewClient(f.client)
	for tries := 0; ; tries++ {
		if starts, err = adm.ListStartOffsets(ctx, topics...); err == nil {
			err = starts.Error()
		}
		if err == nil {
			if ends, err = adm.ListCommittedOffsets(ctx, topics...); err == nil {
				err = ends.Error()
			}
		}
		if ctx.Err() != nil {
			return nil, nil, ctx.Err() // a stop while brokers are away is no error
		}
		if err == nil || errors.Is(err, kerr.TopicAuthorizationFailed) {
			return starts, ends, err
		}
		if notReadable(err) {
			return nil, nil, &topicError{fmt.Errorf("asking for the ends of the event topics: %w", err)}
		}
		if tries == 0 {
			f.cfg.Logger.Warn("the event topics cannot be asked for their ends, trying again", "error", err)
		}
		if err := f.cfg.pause(ctx, time.Second); err != nil {
			return nil, nil, err
		}
	}
}
