package audit

import (
	"bytes"
	"fmt"
	"slices"

	"handprint/attribution"
	"handprint/engine"
)

// compare looks at all that the batch may have changed.
func (a *Auditor) compare() {
	for _, i := range a.model.batchDirty {
		a.identity(i)
	}
	a.forgotten()
	a.lostChanges()
	for from, l := range a.letters {
		if l.times == 0 {
			a.differs(Lost, from.topic, from.place, "", "is a bad record and has no dead letter")
		}
	}
}

func (a *Auditor) identity(i *identity) {
	m := a.model
	m.rowsOf(i)
	had := i.counted
	var flagged, returning []string
	rows := int64(0)
	for _, r := range i.rows {
		a.row(i, r)
		if r.has {
			rows++
			if r.was.State == attribution.MultiActor {
				flagged = append(flagged, attribution.ShortPrimitive(r.primitive.name))
			}
			if r.was.Returns {
				returning = append(returning, attribution.ShortPrimitive(r.primitive.name))
			}
		}
	}
	i.rows = slices.DeleteFunc(i.rows, func(r *row) bool { return !r.has && !r.state.known && !r.log.known && !r.said })
	a.rows += rows - had
	switch {
	case had == 0 && rows > 0:
		a.identities++
	case had > 0 && rows == 0:
		a.identities--
	}
	i.counted = rows
	slices.Sort(flagged)
	slices.Sort(returning)
	a.suspect(i, flagged)
	a.members(i)
	if !sameNames(returning, i.returning) {
		a.differs(Different, a.o.Topics.Changelog, i.returningAt, i.id, "the changelog says that %s return, the rows that %s do", someNames(namesOf(i.returning)), someNames(returning))
	}
	nameable := attribution.Nameable(flagged, m.rules.Registry, &m.rules.Thresholds)
	if m.rules.Thresholds.SuspicionRule == attribution.RuleEvidence {
		a.open(i, &attribution.Evidence{Alternates: nameable, Returns: returning}, rows > 0)
	} else {
		a.due(i, attribution.Told{Names: nameable, Total: len(flagged)})
	}
}

// suspect compares what is remembered of the sweep with the rows.
func (a *Auditor) suspect(i *identity, flagged []string) {
	names := &a.o.Topics
	if !sameNames(flagged, i.flagged) || i.flagCount != len(flagged) {
		a.differs(Different, names.Changelog, i.flaggedAt, i.id, "the changelog has %s in multi_actor, and says that they are %d; the rows are %s", someNames(namesOf(i.flagged)), i.flagCount, someNames(flagged))
	}
	if len(a.newSuspicions[i]) == 0 {
		return
	}
	long := make(map[string]*row) // whose names suspicions cut
	for _, r := range i.rows {
		if len(r.primitive.name) > attribution.MaxPrimitiveName {
			long[attribution.ShortPrimitive(r.primitive.name)] = r
		}
	}
	for _, s := range a.newSuspicions[i] {
		for _, name := range s.primitives {
			r := long[name]
			if r == nil {
				r = i.row(a.model.primitive([]byte(name)))
			}
			switch {
			case r == nil || !r.said && !r.has && !r.state.there && !r.log.there:
				a.differs(Different, names.MultiActorSuspects, s.place, i.id, "%s never had a row", name)
			case !r.said:
				a.differs(Different, names.MultiActorSuspects, s.place, i.id, "%s has a row, but no transition says that it was ever in multi_actor", name)
			case !r.flapped:
				a.differs(Different, names.MultiActorSuspects, s.place, i.id, "%s was never in multi_actor", name)
			}
		}
	}
}

// due compares what is remembered of the sweep with what was sent, under the rule
// primitives.
func (a *Auditor) due(i *identity, now attribution.Told) {
	names := &a.o.Topics
	same := func(a, b *attribution.Told) bool { return a.Total == b.Total && slices.Equal(a.Names, b.Names) }
	show := func(t *attribution.Told) string { return fmt.Sprintf("%d, %s", t.Total, someNames(t.Names)) }
	if i.suspect.Total > 0 && !same(&i.suspect, &i.suspected) {
		a.differs(Lost, names.MultiActorSuspects, place{offset: -1}, i.id, "the changelog says that %s were sent, the last suspicion is %s", show(&i.suspect), show(&i.suspected))
	}
	if now.Total >= a.model.rules.Thresholds.MultiActorPrimitives && !same(&now, &i.suspected) {
		if a.report.SweepsDue++; a.o.Swept {
			a.differs(Lost, names.MultiActorSuspects, place{offset: -1}, i.id, "%s are in multi_actor, the last suspicion is %s", show(&now), show(&i.suspected))
		}
	}
}

// row compares one row and its transitions.
func (a *Auditor) row(i *identity, r *row) {
	key := i.id + "/" + r.primitive.name
	exact := !i.touched && !r.chain
	if exact && r.lane == noLane && len(r.got) == 0 && len(r.want) == 0 {
		// Nothing was to happen to it.
		a.published(i, r, key, false)
		a.series(i, r, key)
		return
	}
	var (
		conclusion   attribution.Conclusion
		contributors int
		there        bool
		loose        bool
		broken       bool
	)
	if exact {
		a.report.Exact += int64(len(r.want))
		a.sequence(r, key)
	} else {
		conclusion, contributors, loose = a.model.conclude(i, r.primitive)
		a.report.Chained += int64(len(r.got))
		there = contributors > 0 && !(loose && !r.state.there && a.model.isScattered(i, r.primitive))
		broken = a.chain(i, r, key, &conclusion, there, loose)
	}
	if n := len(r.got); n > 0 {
		last := &r.got[n-1]
		r.said, r.saidState, r.saidTS = true, last.new, last.ts
		r.flapped = r.flapped || slices.ContainsFunc(r.got, func(e event) bool { return e.new == attribution.MultiActor })
	}
	if !exact {
		r.has = there
		r.was = attribution.Row{
			State: conclusion.State, Value: a.model.value(conclusion.Value), Confidence: conclusion.Confidence, Count: conclusion.Count,
			LastObservationTS: conclusion.LastTS, LastChangeTS: r.saidTS, Returns: conclusion.Returns,
		}
		switch {
		case loose && r.has && r.state.there:
			r.was = r.state.row
		case broken && r.state.there: // when it changed last, the lost one said
			r.was.LastChangeTS = r.state.row.LastChangeTS
		}
	}
	a.published(i, r, key, loose)
	a.series(i, r, key)
}

// sequence compares the transitions of a row whose sequence is determined.
func (a *Auditor) sequence(r *row, key string) {
	topic := a.o.Topics.StateChanged
	got := make(map[attribution.UUID]int, len(r.got))
	for _, g := range r.got {
		got[g.id]++
	}
	wanted := make(map[attribution.UUID]*event, len(r.want))
	for n := range r.want {
		w := &r.want[n]
		wanted[w.id] = w
		if got[w.id] == 0 {
			a.differs(Lost, a.o.Topics.Observations, place{w.cause.Partition, w.cause.Offset}, key, "takes the row from %s to %s, which no transition says", w.from(), w.new)
		}
	}
	before := -1
	for n := range r.got {
		g := &r.got[n]
		w := wanted[g.id]
		switch {
		case w == nil:
			a.differs(Unexpected, topic, g.place, key, "no observation takes the row from %s to %s with event id %s", g.from(), g.new, g.id)
		case w.times > 0:
			w.times++
			a.differs(Doubled, topic, g.place, key, "transition %s is there %d times", g.id, w.times)
			g.doubled = true
		default:
			w.times++
			if detail := w.differs(g); detail != "" {
				a.differs(Different, topic, g.place, key, "%s", detail)
			}
			order := slices.IndexFunc(r.want, func(e event) bool { return e.id == g.id })
			if order < before {
				a.differs(Different, topic, g.place, key, "transition %s comes after later ones", g.id)
			}
			before = max(before, order)
		}
	}
}

func (e *event) from() string {
	if e.isNew {
		return "nothing"
	}
	return e.old.String()
}

func (e *event) differs(g *event) string {
	if e.isNew == g.isNew && (e.isNew || e.old == g.old) && e.new == g.new && bytes.Equal(e.value, g.value) &&
		e.confidence == g.confidence && e.count == g.count && e.ts == g.ts && e.saysBefore(g) {
		return ""
	}
	show := func(e *event) string {
		return fmt.Sprintf("%s to %s, value %s before it %s, confidence %v, count %d, ts %v", e.from(), e.new, e.value, e.previous, e.confidence, e.count, e.ts)
	}
	return "says " + show(g) + ", should say " + show(e)
}

// saysBefore reports whether g says the value before that e wants. A large one
// may be gone by then.
func (e *event) saysBefore(g *event) bool {
	return bytes.Equal(e.previous, g.previous) || g.previous == nil && !bytes.Equal(engine.StoredValue(e.previous), e.previous)
}

// chain checks the transitions of a row if only the beginning and the end of
// them are determined. It reports whether the end is missing.
func (a *Auditor) chain(i *identity, r *row, key string, final *attribution.Conclusion, there, loose bool) (broken bool) {
	topic := a.o.Topics.StateChanged
	ids := map[attribution.UUID]int64{}
	var causes map[attribution.UUID]bool
	if len(r.got) > 0 {
		causes = a.model.causes(i, r.primitive)
	}
	is, state := r.has0, r.saidState
	for n := range r.got {
		g := &r.got[n]
		if first, again := ids[g.id]; again {
			a.differs(Doubled, topic, g.place, key, "transition %s is at offset %d already", g.id, first)
			g.doubled = true
			continue
		}
		ids[g.id] = g.place.offset
		switch {
		case causes[g.id]:
		case a.isCommandGone(0) && a.model.isClaimed(i):
			a.unchecked++
		default:
			a.differs(Unexpected, topic, g.place, key, "no input record that concerns the row has event id %s", g.id)
		}
		switch {
		case g.isNew && is && !i.touched && a.model.rules.Retention == 0:
			a.differs(Different, topic, g.place, key, "says that the row is new, it was %s", state)
		case !g.isNew && !is:
			a.differs(Lost, topic, g.place, key, "comes from %s, but no transition says that there is a row", g.old)
		case !g.isNew && g.old != state:
			a.differs(Lost, topic, g.place, key, "comes from %s, the transition before led to %s", g.old, state)
		case !g.isNew && g.old == g.new:
			a.differs(Different, topic, g.place, key, "leads from %s to %s", g.old, g.new)
		}
		is, state = true, g.new
	}
	r.got = slices.DeleteFunc(r.got, func(g event) bool { return g.doubled })
	switch {
	case !there:
		return false
	case !is:
		a.differs(Lost, topic, place{offset: -1}, key, "the row is %s, and no transition says that there is one", final.State)
	case state != final.State && !loose:
		a.differs(Lost, topic, place{offset: -1}, key, "the row is %s, the last transition led to %s", final.State, state)
	default:
		return false
	}
	return true
}

// published compares the row with what the state topic and the changelog say.
func (a *Auditor) published(i *identity, r *row, key string, loose bool) {
	a.report.Compared++
	if loose {
		a.report.Loose++
	}
	for _, said := range []struct {
		topic  string
		is     *published
		stored bool
	}{{a.o.Topics.State, &r.state, false}, {a.o.Topics.Changelog, &r.log, true}} {
		p := said.is.place
		if !said.is.known {
			p.offset = -1
			if said.stored {
				p.partition = attribution.IdentityPartition(i.id, a.model.partitions)
			}
		}
		want := r.was
		if said.stored {
			want.Value = engine.StoredValue(want.Value)
		}
		switch is := said.is; {
		case r.has && !is.there:
			a.differs(Lost, said.topic, p, key, "the row is missing; it should be %s", showRow(&want))
		case !r.has && is.there:
			a.differs(Unexpected, said.topic, p, key, "a row of an identity that has none: its tombstone is missing")
		case r.has && !sameRow(&want, &is.row):
			a.differs(Different, said.topic, p, key, "is %s, should be %s", showRow(&is.row), showRow(&want))
		}
	}
	// From here on it is taken as it should be.
	if r.has0 = r.has; r.has {
		r.saidState, r.saidTS = r.was.State, r.was.LastChangeTS
	}
}

func showRow(r *attribution.Row) string {
	returns := ""
	if r.Returns {
		returns = ", returns"
	}
	return fmt.Sprintf("%s, value %q, confidence %v, count %d, last change %v, last observation %v%s",
		r.State, r.Value, r.Confidence, r.Count, r.LastChangeTS, r.LastObservationTS, returns)
}

// series compares what the changelog holds of the observations themselves.
func (a *Auditor) series(i *identity, r *row, key string) {
	each := func(by *attacker) {
		c := by.contribution(r.primitive)
		if c == nil || c.loose {
			return
		}
		found := c.series.Count == 0 // it is forgotten
		for _, s := range c.seen {
			if found && c.series.Count == 0 {
				if s.in == i {
					a.differs(Unexpected, a.o.Topics.Changelog, s.place, key, "holds observations of %q, which are forgotten", by.name)
				}
				continue
			}
			if s.in != by.in {
				if s.in == i {
					a.differs(Unexpected, a.o.Topics.Changelog, s.place, key, "holds observations of %q, who belongs to %s", by.name, by.in.id)
				}
				continue
			}
			if found = true; s.in == i && s.digest != digestSeries(&c.series, s.spilled) {
				a.differs(Different, a.o.Topics.Changelog, s.place, key, "the observations of %q are not those of the input", by.name)
			}
		}
		if !found && by.in == i {
			a.differs(Lost, a.o.Topics.Changelog, place{attribution.IdentityPartition(i.id, a.model.partitions), -1}, key, "the observations of %q are missing", by.name)
		}
	}
	i.each(each)
	for by := range i.visitors {
		if by.in != i {
			each(by)
		}
	}
}
