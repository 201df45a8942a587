package follow

import (
	"context"
	"encoding/json"
	"math"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/schemas"
	"handprint/serve/catalog"
	"handprint/serve/history"
	"handprint/serve/live"
)

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
	f.filling.RLock() // a catalogue that is being filled takes over what the one before has
	f.catalog.Load().Apply(func(w *catalog.Writer) {
		for _, s := range suspicions {
			w.PutSuspicion(s)
		}
		for _, put := range profiles {
			put(w)
		}
	})
	f.filling.RUnlock()
	f.mu.Lock()
	for topic, byPartition := range read {
		for p, next := range byPartition {
			f.events.set(topic, p, max(next, f.events.of(topic, p)))
			f.shown.read(topic, p, next)
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
		kind := c.Type.String()
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
