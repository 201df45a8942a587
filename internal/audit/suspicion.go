package audit

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
)

// life is a suspicion from its raising to its clearing, as the topic has it.
type life struct {
	id         string
	named      []string // sorted
	confidence float64
	place      place // of its last event
}

// Bounds of a reason's values.
const (
	maxValues     = 8
	maxValueBytes = 256
)

// lives takes a suspicion under the rule evidence: it has to say the next thing
// in the life of its identity's suspicion, and nothing that contradicts itself.
func (a *Auditor) lives(i *identity, s *attribution.Suspicion, r *kgo.Record) {
	wrong := func(kind, format string, args ...any) {
		a.differs(kind, r.Topic, at(r), s.Identity, format, args...)
	}
	if string(r.Key) != s.Identity {
		wrong(Different, "the key is not the identity")
	}
	if _, ok := attribution.ParseUUID(s.ID); !ok {
		wrong(Different, "suspicion_id %q is no id", s.ID)
	}
	before := i.life
	if before != nil && before.id != s.ID && s.Status == attribution.SuspicionRaised {
		wrong(Lost, "suspicion %s is raised, and %s was never cleared", s.ID, before.id)
		before = nil
	}
	var named []string
	if before != nil {
		named = before.named
	}
	added := 0
	for _, p := range s.Primitives {
		if !slices.Contains(named, p) {
			added++
		}
	}
	kept := len(s.Primitives) - added
	switch s.Status {
	case attribution.SuspicionRaised:
		if before != nil {
			wrong(Doubled, "suspicion %s is raised again", s.ID)
		}
	case attribution.SuspicionGrown:
		if before == nil || before.id != s.ID {
			wrong(Lost, "suspicion %s grows, and no event raises it", s.ID)
		} else if added == 0 || kept != len(named) || s.Confidence < before.confidence {
			wrong(Different, "suspicion %s does not grow: it names %s, after %s", s.ID, someNames(s.Primitives), someNames(named))
		}
	case attribution.SuspicionCleared:
		if before == nil || before.id != s.ID {
			wrong(Lost, "suspicion %s is cleared, and no event raises it", s.ID)
		} else if !slices.Equal(s.Primitives, named) {
			wrong(Different, "suspicion %s is cleared of %s, its events named %s", s.ID, someNames(s.Primitives), someNames(named))
		}
	default:
		wrong(Different, "no suspicion has status %q under the rule evidence", s.Status)
	}
	a.reasons(s, named, wrong)
	seen := suspected{place: at(r), eventID: s.EventID, ts: s.TS}
	for n := range s.Reasons {
		if s.Reasons[n].Kind == attribution.ReasonAlternates {
			seen.primitives = append(seen.primitives, s.Reasons[n].Primitive)
		}
	}
	if s.Status == attribution.SuspicionRaised {
		seen.openingID = s.ID
	}
	a.newSuspicions[i] = append(a.newSuspicions[i], seen)
	i.life = &life{id: s.ID, named: s.Primitives, confidence: s.Confidence, place: at(r)}
	if s.Status == attribution.SuspicionCleared {
		i.life = nil
	}
}

// reasons holds the reasons, the groups and the confidence of a suspicion against
// each other. named are the primitives that its events have named before.
func (a *Auditor) reasons(s *attribution.Suspicion, named []string, wrong func(kind, format string, args ...any)) {
	rules := &a.model.rules
	var primitives, groups []string
	returns := false
	for n := range s.Reasons {
		r := &s.Reasons[n]
		primitives, groups = append(primitives, r.Primitive), append(groups, rules.Registry.Group(r.Primitive))
		isNew := s.Status != attribution.SuspicionCleared && !slices.Contains(named, r.Primitive)
		switch {
		case r.Group != rules.Registry.Group(r.Primitive):
			wrong(Different, "%s is of group %s, not %s", r.Primitive, rules.Registry.Group(r.Primitive), r.Group)
		case r.New != isNew:
			wrong(Different, "%s is new: %v, should be %v", r.Primitive, r.New, isNew)
		case len(r.Values) > maxValues || slices.ContainsFunc(r.Values, func(v attribution.Value) bool { return len(v) > maxValueBytes }):
			wrong(Different, "%s has more values, or longer ones, than a reason may have", r.Primitive)
		case r.Kind == attribution.ReasonReturns && !a.model.primitive([]byte(r.Primitive)).returning:
			wrong(Different, "%s is not one of the primitives that can return", r.Primitive)
		case r.Kind != attribution.ReasonReturns && r.Kind != attribution.ReasonAlternates:
			wrong(Different, "no reason is of kind %q", r.Kind)
		}
		returns = returns || r.Kind == attribution.ReasonReturns
	}
	slices.Sort(groups)
	groups = slices.Compact(groups)
	confidence := rules.Thresholds.MultiActorCap / 2
	switch {
	case s.Status == attribution.SuspicionCleared:
		confidence = 0
	case returns || len(groups) >= rules.Thresholds.SuspicionGroups:
		confidence = rules.Thresholds.MultiActorCap
	}
	if !slices.Equal(primitives, s.Primitives) || !slices.IsSorted(primitives) || !slices.Equal(groups, s.Groups) || s.Confidence != confidence {
		wrong(Different, "says primitives %s, groups %s, confidence %v; its reasons are %s of %s, which is %v",
			someNames(s.Primitives), someNames(s.Groups), s.Confidence, someNames(primitives), someNames(groups), confidence)
	}
	if n := a.others(s.Primitives); n > rules.Thresholds.NamedPrimitives {
		wrong(Different, "names %d primitives that are registered nowhere, at most %d may be", n, rules.Thresholds.NamedPrimitives)
	}
}

// open compares the suspicion that is open by the topic with the changelog and
// with the evidence that the rows are now.
func (a *Auditor) open(i *identity, e *attribution.Evidence, hasRows bool) {
	names := &a.o.Topics
	a.ticks(i)
	switch {
	case i.open == nil && i.life != nil:
		a.differs(Lost, names.Changelog, place{attribution.IdentityPartition(i.id, a.model.partitions), -1}, i.id, "suspicion %s is open by the topic, and the changelog has none, or its clearing is missing", i.life.id)
	case i.open != nil && (i.life == nil || i.life.id != i.open.ID.String()):
		a.differs(Lost, names.MultiActorSuspects, place{offset: -1}, i.id, "the changelog has suspicion %s open, the topic has not", i.open.ID)
	case i.open != nil:
		var named []string
		for n := range i.open.Named {
			named = append(named, i.open.Named[n].Primitive)
		}
		if !slices.Equal(named, i.life.named) {
			a.differs(Lost, names.MultiActorSuspects, i.life.place, i.id, "the changelog says that %s were named, the last event names %s", someNames(named), someNames(i.life.named))
		}
	}
	suspected := e.Suspected(&a.model.rules.Thresholds)
	due := ""
	switch {
	case suspected && i.open == nil:
		due = "and no suspicion is open"
	case suspected && i.open.Grows(e, a.model.rules.Registry, &a.model.rules.Thresholds):
		due = "and not all of it is named"
	case !suspected && !hasRows && i.open != nil:
		due = "and its suspicion is not cleared"
	default:
		return
	}
	if a.report.SweepsDue++; a.o.Swept {
		a.differs(Lost, names.MultiActorSuspects, place{offset: -1}, i.id, "%s alternate and %s return, %s", someNames(e.Alternates), someNames(e.Returns), due)
	}
}

// tickAt is a tick in a partition of the commands.
type tickAt struct {
	partition int32
	ts        float64
}

// tickPartitions are those of the commands whose ticks the suspicions of the batch
// were sent at.
func (a *Auditor) tickPartitions() (list []int32) {
	if a.model.rules.Thresholds.SuspicionRule != attribution.RuleEvidence {
		return nil
	}
	for i := range a.newSuspicions {
		list = append(list, attribution.IdentityPartition(i.id, a.model.partitions))
	}
	return list
}

// tick takes note of a tick. The ids of suspicions are made from ticks.
func (a *Auditor) tick(r *kgo.Record) {
	if ts, is := engine.TickTime(r.Value); is {
		t := tickAt{r.Partition, ts}
		a.batchTicks[t] = append(a.batchTicks[t], arrival(r))
	}
}

// ticks looks for the ticks that the suspicions of an identity were sent at.
func (a *Auditor) ticks(i *identity) {
	home := attribution.IdentityPartition(i.id, a.model.partitions)
	for _, s := range a.newSuspicions[i] {
		found := false
		for _, by := range a.batchTicks[tickAt{home, s.ts}] {
			id := func(c attribution.CauseTopic) string {
				return attribution.EventID(attribution.Cause{Topic: c, Arrival: by}, []byte(i.id), nil).String()
			}
			found = found || s.eventID == id(attribution.CauseForgetting) && s.openingID == "" || s.eventID == id(attribution.CauseTick) && (s.openingID == "" || s.openingID == id(attribution.CauseSuspicion))
		}
		switch {
		case found:
		case a.isCommandGone(home):
			a.unchecked++
		default:
			a.differs(Unexpected, a.o.Topics.MultiActorSuspects, s.place, i.id, "no tick at %v has event id %s", s.ts, s.eventID)
		}
	}
}
