package audit

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/processor"
	"handprint/schemas"
)

// origin names a record of an input topic.
type origin struct {
	topic string
	place place
}

// letter is a dead letter that is wanted.
type letter struct {
	digest uint64 // of key and value
	times  int
}

func digestRecord(key, value []byte) uint64 {
	d := xxhash.New()
	_, _ = d.Write(key)
	_, _ = d.Write([]byte{0})
	_, _ = d.Write(value)
	return d.Sum64()
}

func (a *Auditor) wantDeadLetter(r *kgo.Record) {
	a.letters[origin{r.Topic, place{r.Partition, r.Offset}}] = &letter{digest: digestRecord(r.Key, r.Value)}
}

// wantDropped wants a dead letter of each batch of the input that unpacks to too
// much, and says how much the application cannot have read.
func (a *Auditor) wantDropped() {
	for _, b := range a.dropped {
		a.letters[origin{b.Topic, place{b.Partition, b.First}}] = &letter{}
		a.report.Notes = append(a.report.Notes, fmt.Sprintf("%v, unpacks to more than max-batch-unpacked: nobody has read it", b))
	}
	a.dropped = nil
}

func at(r *kgo.Record) place { return place{r.Partition, r.Offset} }

func (a *Auditor) differs(kind, topic string, p place, key, format string, args ...any) {
	a.report.add(Difference{Kind: kind, Topic: topic, Partition: p.partition, Offset: p.offset, Key: key, Detail: fmt.Sprintf(format, args...)})
}

// unreadable is what an output is that its decoder refuses.
func (a *Auditor) unreadable(r *kgo.Record, err error) error {
	a.differs(Different, r.Topic, at(r), string(r.Key), "cannot be read: %v", err)
	return nil
}

// transition takes a record of the transitions.
func (a *Auditor) transition(r *kgo.Record) error {
	a.report.Transitions++
	t, err := a.writers.Transition(r.Value)
	if err != nil {
		return a.unreadable(r, err)
	}
	if string(r.Key) != t.Identity {
		a.differs(Different, r.Topic, at(r), string(r.Key), "the key is not the identity, which is %s", t.Identity)
	}
	id, ok := attribution.ParseUUID(t.EventID)
	if !ok {
		a.differs(Different, r.Topic, at(r), string(r.Key), "event_id %q is no id", t.EventID)
	}
	i := a.model.identity(t.Identity)
	a.model.mark(i)
	row := i.openRow(a.model.primitive([]byte(t.Primitive)))
	row.got = append(row.got, event{
		id: id, place: at(r), isNew: t.IsNew, old: t.Old, new: t.New, value: a.model.value(t.Value), previous: a.model.optional(t.Previous),
		confidence: t.Confidence, count: t.Count, ts: t.TS,
	})
	return nil
}

// suspicion takes a record of the suspicions.
func (a *Auditor) suspicion(r *kgo.Record) error {
	a.report.Suspicions++
	s, err := a.writers.Suspicion(r.Value)
	if err != nil {
		return a.unreadable(r, err)
	}
	first, doubled := a.suspicions[s.EventID]
	if doubled {
		a.differs(Doubled, r.Topic, at(r), s.Identity, "suspicion %s is at offset %d already", s.EventID, first.offset)
		return nil
	}
	a.suspicions[s.EventID] = at(r)
	i := a.model.identity(s.Identity)
	a.model.mark(i)
	t := &a.model.rules.Thresholds
	if t.SuspicionRule == attribution.RuleEvidence {
		a.lives(i, &s, r)
		return nil
	}
	told := attribution.Told{Names: s.Primitives, Total: max(s.Total, len(s.Primitives))}
	if string(r.Key) != s.Identity || s.Status != "" || s.Confidence != t.MultiActorCap || told.Total < t.MultiActorPrimitives || !slices.IsSorted(s.Primitives) || !a.mayName(&told) {
		a.differs(Different, r.Topic, at(r), s.Identity, "no suspicion says that: %.1000s", r.Value)
	}
	i.suspected, i.suspectedAt = told, at(r)
	a.newSuspicions[i] = append(a.newSuspicions[i], suspected{primitives: s.Primitives, place: at(r)})
	return nil
}

// suspected is a suspicion of the Advance under way.
type suspected struct {
	primitives []string // the primitives that are said to alternate
	place      place
	eventID    string
	openingID  string // suspicion_id, if it was raised
	ts         float64
}

// deadLetter takes a record of the dead letters.
func (a *Auditor) deadLetter(r *kgo.Record) error {
	a.report.DeadLetters++
	topic, _ := schemas.Header(r.Headers, schemas.HeaderSourceTopic)
	number := func(name string) int64 {
		text, _ := schemas.Header(r.Headers, name)
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
	if n := &a.o.Topics; !slices.Contains([]string{n.Observations, n.IdentityEvents, n.Commands}, string(topic)) {
		a.report.Elsewhere++ // a sensor's, or another application's
		return nil
	}
	from := origin{string(topic), place{int32(number(schemas.HeaderSourcePartition)), number(schemas.HeaderSourceOffset)}}
	reason, _ := schemas.Header(r.Headers, schemas.HeaderReason)
	stage, _ := schemas.Header(r.Headers, schemas.HeaderStage)
	if from.topic == a.o.Topics.Commands && string(stage) == engine.StageCommand {
		// Somebody wrote what is no command. Only doubles are told.
		if a.letters[from] == nil {
			a.letters[from] = &letter{digest: digestRecord(r.Key, a.writers.Original(r.Value))}
		}
	}
	want := a.letters[from]
	if want == nil {
		a.differs(Unexpected, r.Topic, at(r), string(r.Key), "%s[%d] offset %d is no bad record; the dead letter says: %s",
			from.topic, from.place.partition, from.place.offset, reason)
		return nil
	}
	if want.times++; want.times > 1 {
		a.differs(Doubled, r.Topic, at(r), string(r.Key), "dead letter number %d of %s[%d] offset %d", want.times, from.topic, from.place.partition, from.place.offset)
		return nil
	}
	if _, cut := schemas.Header(r.Headers, schemas.HeaderOriginalSize); !cut && digestRecord(r.Key, a.writers.Original(r.Value)) != want.digest {
		a.differs(Different, r.Topic, at(r), string(r.Key), "is not what stands at %s[%d] offset %d", from.topic, from.place.partition, from.place.offset)
	}
	return nil
}

// stateRow takes a record of the state topic.
func (a *Auditor) stateRow(r *kgo.Record) error {
	a.report.StateRecords++
	identity, primitive, ok := schemas.SplitStateRowKey(r.Key)
	if !ok {
		a.differs(Unexpected, r.Topic, at(r), string(r.Key), "the key names no row")
		return nil
	}
	p := published{known: true, place: at(r)}
	if len(r.Value) > 0 {
		said, err := a.writers.StateRow(r.Value)
		if err != nil {
			return a.unreadable(r, err)
		}
		if said.Identity != identity || said.Primitive != primitive {
			a.differs(Different, r.Topic, at(r), string(r.Key), "the value names another row: %s/%s", said.Identity, said.Primitive)
		}
		said.Row.Value = a.model.value(said.Row.Value)
		p.there, p.row = true, said.Row
	}
	i := a.model.identity(identity)
	a.model.mark(i)
	row := i.openRow(a.model.primitive([]byte(primitive)))
	row.state = p
	return nil
}

// changelog takes a record of the changelog.
func (a *Auditor) changelog(r *kgo.Record) error {
	a.report.ChangelogRecords++
	if processor.IsPositions(r.Key) {
		a.lastOf[r.Partition] = r.Offset
		return nil // how far the task has read: no part of the store
	}
	a.digest(r)
	f, err := engine.Inspect(r.Key, r.Value)
	if err != nil {
		a.differs(Different, r.Topic, at(r), fmt.Sprintf("%x", r.Key), "cannot be read: %v", err)
		return nil
	}
	if f.Kind == engine.OtherFact {
		return nil
	}
	if f.Kind == engine.LinkFact {
		if f.Gone {
			delete(a.links, f.Attacker)
		} else {
			a.links[f.Attacker] = link{f.Identity, at(r), f.By}
		}
		return nil
	}
	if home := attribution.IdentityPartition(f.Identity, a.model.partitions); home != r.Partition {
		a.differs(Unexpected, r.Topic, at(r), f.Identity+"/"+f.Primitive, "belongs to partition %d", home)
		return nil
	}
	i := a.model.identity(f.Identity)
	a.model.mark(i)
	switch f.Kind {
	case engine.RowFact:
		row := i.openRow(a.model.primitive([]byte(f.Primitive)))
		row.log = published{known: true, place: at(r), there: f.Published, row: f.Row}
		row.log.row.Value = a.model.value(f.Row.Value)
		if i.own != nil {
			a.holds(i, i.own, f.Primitive, &f, r)
		} else if f.HasSeries {
			a.differs(Unexpected, r.Topic, at(r), f.Identity+"/"+f.Primitive, "holds observations of an attacker that is not in the input")
		}
	case engine.ContributionFact:
		by := a.model.attackers[f.Attacker]
		if by == nil {
			a.differs(Unexpected, r.Topic, at(r), f.Identity+"/"+f.Primitive, "holds observations of %q, who is not in the input", f.Attacker)
			return nil
		}
		primitive := f.Primitive
		if long, cut := a.model.longNames[primitive]; cut {
			primitive = long
		}
		a.holds(i, by, primitive, &f, r)
	case engine.FlaggedFact:
		setName(&i.flagged, f.Primitive, !f.Gone)
		i.flaggedAt = at(r)
	case engine.FlagCountFact:
		i.flagCount, i.flaggedAt = f.Count, at(r)
	case engine.SuspectFact:
		i.suspect, i.suspectAt = f.Told, at(r)
	case engine.ReturningFact:
		setName(&i.returning, f.Primitive, !f.Gone)
		i.returningAt = at(r)
	case engine.SuspicionFact:
		i.open, i.openAt = f.Suspicion, at(r)
	}
	return nil
}

// holds notes what the changelog says of an attacker's series, in a record of
// its own or inside the row of the attacker's stub.
func (a *Auditor) holds(i *identity, by *attacker, primitive string, f *engine.Fact, r *kgo.Record) {
	p := a.model.primitive([]byte(primitive))
	c := by.contribution(p)
	if c == nil {
		if f.HasSeries {
			a.differs(Unexpected, r.Topic, at(r), i.id+"/"+primitive, "holds observations of %q that are not in the input", by.name)
		}
		return
	}
	inRow := f.Kind == engine.RowFact
	same := func(s seen) bool { return s.in == i && s.inRow == inRow }
	c.seen = slices.DeleteFunc(c.seen, same)
	if f.HasSeries {
		c.seen = append(c.seen, seen{in: i, inRow: inRow, spilled: f.Spilled, digest: digestSeries(&f.Series, f.Spilled), place: at(r)})
	}
}

// digestSeries is over all that a series says. The values that were pushed out
// of a spilled one are records of their own and left out.
func digestSeries(s *attribution.Series, spilled bool) uint64 {
	b := binary.AppendVarint(make([]byte, 0, 64+64*len(s.Entries)), s.Count)
	for i := range s.Entries {
		b = appendEntry(b, &s.Entries[i])
	}
	if !spilled {
		gone := slices.Clone(s.Gone)
		for i := range gone {
			gone[i].Value = engine.SeriesValue(gone[i].Value)
		}
		slices.SortFunc(gone, func(x, y attribution.Gone) int { return bytes.Compare(x.Value, y.Value) })
		for i := range gone {
			b = appendText(b, gone[i].Value)
			b = appendFloat(b, gone[i].TS)
		}
	}
	return xxhash.Sum64(b)
}
