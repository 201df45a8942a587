package follow

import (
	"context"
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

	"handprint/attribution"
	"handprint/schemas"
	"handprint/serve/catalog"
	"handprint/serve/history"
	"handprint/serve/live"
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

// tail follows the event topics. What is in the history already is not put there
// again, and is not sent to live clients; the catalogue may need it once more.
func (f *Follower) tail(ctx context.Context) error {
	n := &f.cfg.Names
	topics := append(f.historyTopics(), n.Profiles)
	asOf, err := f.keptAsOf()
	if err != nil {
		return err
	}
	f.watermark.reset(nil, asOf) // while brokers do not answer
	if err := f.checkTopics(ctx, topics); err != nil {
		return err
	}
	close(f.checked)
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
	inHistory := make(eventPositions)
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
	})
	client, err := kgo.NewClient(append(f.cfg.Client[:len(f.cfg.Client):len(f.cfg.Client)], kgo.ClientID(f.cfg.ApplicationID+"-serve-events"),
		kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxBytes(8<<20), kgo.FetchMaxPartitionBytes(2<<20),
		kgo.KeepControlRecords())...) // the end of a partition is behind them
	if err != nil {
		return fmt.Errorf("following the events: %w", err)
	}
	defer client.Close()
	f.watermark.reset(inHistory, asOf)
	var measuring sync.WaitGroup
	defer measuring.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	measuring.Go(func() { f.followWatermark(ctx, f.historyTopics()) })
	for {
		fetches := client.PollRecords(ctx, 5000)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			if errors.Is(e.Err, kerr.TopicAuthorizationFailed) {
				return fmt.Errorf("following %s: %w", e.Topic, e.Err)
			}
			f.cfg.Logger.Warn("following the events is interrupted, trying again", "topic", e.Topic, "partition", e.Partition, "error", e.Err)
		}
		if err := f.takeEvents(ctx, fetches, kept, news); err != nil {
			return err
		}
	}
}

const topicsMark = "topics"

// checkTopics empties a history that was made of other topics: those of another
// cluster, or an application that began anew. One topic that was made anew is none.
func (f *Follower) checkTopics(ctx context.Context, topics []string) error {
	adm := kadm.NewClient(f.client)
	var details kadm.TopicDetails
	for tries := 0; ; tries++ {
		var err error
		if details, err = adm.ListTopics(ctx, topics...); err == nil {
			err = details.Error()
		}
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err() // a stop while brokers are away is no error
		}
		if errors.Is(err, kerr.TopicAuthorizationFailed) {
			return err
		}
		if tries == 0 && !f.Alone() {
			f.cfg.Logger.Warn("the event topics cannot be asked who they are, trying again", "error", err)
		}
		if err := f.cfg.pause(ctx, time.Second); err != nil {
			return err
		}
	}
	var now []string
	for _, topic := range topics {
		now = append(now, details[topic].ID.String())
	}
	mark, err := f.cfg.History.Mark(topicsMark)
	if err != nil {
		return err
	}
	var was []string
	if mark != nil {
		if err := json.Unmarshal(mark, &was); err != nil {
			return fmt.Errorf("reading which topics the history is of: %w", err)
		}
	}
	same := slices.ContainsFunc(now, func(id string) bool { return slices.Contains(was, id) })
	if len(was) > 0 && !same {
		f.cfg.Logger.Warn("the history was made from the topics of another cluster, and begins anew")
		if err := f.cfg.History.Reset(); err != nil {
			return fmt.Errorf("emptying the history: %w", err)
		}
		f.watermark.reset(nil, 0)
		f.filling.RLock() // a catalogue that is being filled takes over what the one before has
		f.catalog.Load().Apply(func(w *catalog.Writer) { w.ForgetEvents() })
		f.filling.RUnlock()
		f.mu.Lock()
		f.events = nil
		f.mu.Unlock()
	}
	if mark, err = json.Marshal(now); err != nil {
		return err
	}
	return f.cfg.History.Add(nil, map[string][]byte{topicsMark: mark})
}

// bounds asks for the ends of topics until there is an answer: brokers may be away
// when this process starts.
func (f *Follower) bounds(ctx context.Context, topics []string) (starts, ends kadm.ListedOffsets, err error) {
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
		if tries == 0 {
			f.cfg.Logger.Warn("the event topics cannot be asked for their ends, trying again", "error", err)
		}
		if err := f.cfg.pause(ctx, time.Second); err != nil {
			return nil, nil, err
		}
	}
}

// takeEvents puts what was fetched into history, catalogue and ring.
func (f *Follower) takeEvents(ctx context.Context, fetches kgo.Fetches, kept, news eventPositions) error {
	var entries []history.Entry
	var events []live.Event
	var suspicions []*catalog.Suspicion
	var profiles []func(w *catalog.Writer)
	read := make(eventPositions)
	var failed error
	fetches.EachRecord(func(r *kgo.Record) {
		if failed != nil {
			return
		}
		read.set(r.Topic, r.Partition, r.Offset+1)
		if r.Attrs.IsControl() {
			return
		}
		if f.cfg.Schemas != nil {
			if failed = f.cfg.Schemas.Await(ctx, r.Value); failed != nil {
				return
			}
		}
		isNew := r.Offset >= kept.of(r.Topic, r.Partition)
		isNews := r.Offset >= news.of(r.Topic, r.Partition)
		entry, event, err := f.decode(r, &suspicions, &profiles)
		if err != nil {
			if f.bad.Add(1) <= 10 {
				f.cfg.Logger.Warn("an event cannot be read and is left out", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
			}
			return
		}
		if entry != nil && isNew {
			entries = append(entries, *entry)
		}
		if event != nil && isNews {
			events = append(events, *event)
		}
	})
	if failed != nil {
		return nil // the context has ended
	}
	if len(read) == 0 {
		return nil
	}
	for topic, byPartition := range read {
		for p, next := range byPartition {
			kept.set(topic, p, max(next, kept.of(topic, p)))
		}
	}
	mark, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	if err := f.cfg.History.Add(entries, map[string][]byte{positionsMark: mark}); err != nil {
		return err
	}
	for topic, byPartition := range read {
		for p, next := range byPartition {
			f.watermark.read(topic, p, next)
		}
	}
	f.catalog.Load().Apply(func(w *catalog.Writer) {
		for _, s := range suspicions {
			w.PutSuspicion(s)
		}
		for _, put := range profiles {
			put(w)
		}
	})
	f.mu.Lock()
	for topic, byPartition := range read {
		for p, next := range byPartition {
			f.events.set(topic, p, max(next, f.events.of(topic, p)))
		}
	}
	f.mu.Unlock()
	f.cfg.Ring.Publish(events...)
	return nil
}

// decode reads one record of an event topic.
func (f *Follower) decode(r *kgo.Record, suspicions *[]*catalog.Suspicion, profiles *[]func(w *catalog.Writer)) (*history.Entry, *live.Event, error) {
	n := &f.cfg.Names
	entry := &history.Entry{TS: seconds(r), Recorded: seconds(r), Partition: r.Partition, Offset: r.Offset}
	event := &live.Event{ID: live.ID{Millis: r.Timestamp.UnixMilli(), Partition: r.Partition, Offset: r.Offset}}
	switch r.Topic {
	case n.StateChanged:
		t, err := f.cfg.Writers.Transition(r.Value)
		if err != nil {
			return nil, nil, err
		}
		entry.Source, entry.Kind, entry.TS = history.Transitions, history.State, t.TS
		entry.Identity, entry.Primitive, entry.EventID = t.Identity, t.Primitive, t.EventID
		if !t.IsNew {
			entry.OldState = t.Old.String()
		}
		entry.NewState, entry.Confidence, entry.Count = t.New.String(), t.Confidence, t.Count
		entry.Value, entry.Previous = json.RawMessage(t.Value), json.RawMessage(t.Previous)
		event.Type, event.Primitive, event.OldState, event.NewState = live.StateChanged, t.Primitive, entry.OldState, entry.NewState
	case n.MultiActorSuspects:
		s, err := f.cfg.Writers.Suspicion(r.Value)
		if err != nil {
			return nil, nil, err
		}
		shown := suspicionOf(&s, r)
		*suspicions = append(*suspicions, shown)
		entry.Source, entry.Kind, entry.TS = history.Suspicions, history.Suspicion, s.TS
		entry.Identity, entry.EventID, entry.Status, entry.Confidence = s.Identity, s.EventID, shown.Status, s.Confidence
		entry.Record = schemas.AppendSuspicionJSON(nil, &s)
		event.Type = live.Suspected
	case n.IdentityChanged:
		c, err := f.cfg.Writers.IdentityChange(r.Value)
		if err != nil {
			return nil, nil, err
		}
		f.done.add(doneEvent{c.Offset, int64(math.Round(c.TS * 1000))})
		kind := identityKind(c.Type)
		entry.Source, entry.Kind, entry.TS = history.Identities, history.Identity, c.TS
		entry.Identity, entry.EventID, entry.Status = c.Identity, c.EventID, kind
		entry.Record, entry.Origin = schemas.AppendIdentityChangeJSON(nil, &c), &c.Offset
		event.Type, event.Other = "identity_"+kind, c.Other
	case n.Profiles:
		*profiles = append(*profiles, f.profile(r))
		return nil, nil, nil
	default:
		return nil, nil, nil
	}
	event.Identity = entry.Identity
	event.Data = live.Encode(entry)
	return entry, event, nil
}

func identityKind(t attribution.EventType) string {
	switch t {
	case attribution.Formed:
		return "formed"
	case attribution.Linked:
		return "linked"
	case attribution.Merged:
		return "merged"
	}
	return "unmerged"
}

func (f *Follower) profile(r *kgo.Record) func(w *catalog.Writer) {
	if r.Value == nil {
		attacker, sensor, ok := schemas.SplitProfileKey(r.Key)
		return func(w *catalog.Writer) {
			if ok {
				w.DropProfile(attacker, sensor)
			}
		}
	}
	p, err := f.cfg.Writers.Profile(r.Value)
	if err != nil {
		f.bad.Add(1)
		return func(*catalog.Writer) {}
	}
	return func(w *catalog.Writer) {
		w.PutProfile(&catalog.Profile{
			Attacker: p.Attacker, Address: p.Address, Opaque: p.Kind == schemas.AddressOpaque, Sensor: p.Sensor, FirstTS: p.FirstSeen, LastTS: p.LastSeen,
		})
	}
}

func suspicionOf(s *attribution.Suspicion, r *kgo.Record) *catalog.Suspicion {
	to := &catalog.Suspicion{
		ID: s.ID, EventID: s.EventID, Identity: s.Identity, Status: string(s.Status), TS: s.TS, Confidence: s.Confidence,
		Primitives: s.Primitives, Groups: s.Groups, Summary: s.Summary, Partition: r.Partition, Offset: r.Offset,
	}
	if to.ID == "" { // the rule primitives: an event is a suspicion
		to.ID = s.EventID
	}
	if to.Status == "" {
		to.Status = catalog.Raised
	}
	for _, reason := range s.Reasons {
		shown := catalog.Reason{Primitive: reason.Primitive, Kind: string(reason.Kind), Group: reason.Group, New: reason.New}
		for _, v := range reason.Values {
			shown.Values = append(shown.Values, string(v))
		}
		to.Reasons = append(to.Reasons, shown)
	}
	return to
}
