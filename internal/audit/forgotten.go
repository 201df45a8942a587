package audit

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/processor"
)

// What identity-retention has ended (docs/attribution.md, "State that ends").
//
// When a stub was forgotten depends on how its task took turns between ticks and
// observations, which the input does not say. Three things do: the record of the
// identity in the changelog has the first observation of its present life, or is
// gone; and a transition that says of a row that it is new, where there was one,
// tells of a life before that. Their word is taken if the rule allows it: a tick
// of the task ended the latest day that the stub's rows had, and no event had named
// the stub.

// retention is what an Auditor knows of forgotten identities.
type retention struct {
	born   map[string]engine.Life        // by identity that has a record
	linked map[string]bool               // by attacker: has a link
	began  map[attribution.UUID]struct{} // ids of the batch's transitions that say that a row is new
	ticks  map[int32]float64             // by partition: the time of the latest tick
	read   map[string]map[int32]int64    // where the survey reads on, by topic
	ended  []ended                       // lives of the batch that are over
}

// ended is a life that is over.
type ended struct {
	stub *identity
	day  int64
	row  bool // only a row tells of it
}

// dayOf counts days of UTC since 1970.
func dayOf(ts float64) int64 { return int64(math.Floor(min(ts, 1e15) / (24 * time.Hour).Seconds())) }

// survey reads of the batch's outputs what has to be known before its input: which
// identities are there, which rows began anew, and when the ticks were.
func (a *Auditor) survey(ctx context.Context, ends ends) error {
	r := &a.model.retention
	if a.model.rules.Retention == 0 {
		return nil
	}
	if r.born == nil {
		r.born, r.linked = make(map[string]engine.Life), make(map[string]bool)
		r.ticks, r.read = make(map[int32]float64), make(map[string]map[int32]int64)
	}
	r.began, r.ended = make(map[attribution.UUID]struct{}), nil
	n := &a.o.Topics
	for _, part := range []struct {
		topic string
		take  func(*kgo.Record) error
	}{
		{n.StateChanged, func(rec *kgo.Record) error {
			if a.o.Schemas != nil {
				if err := a.o.Schemas.Await(ctx, rec.Value); err != nil {
					return err
				}
			}
			if t, err := a.writers.Transition(rec.Value); err == nil && t.IsNew {
				if id, ok := attribution.ParseUUID(t.EventID); ok {
					r.began[id] = struct{}{}
				}
			}
			return nil
		}},
		{n.Changelog, func(rec *kgo.Record) error {
			if processor.IsPositions(rec.Key) {
				return nil
			}
			l, is, err := engine.InspectLife(rec.Key, rec.Value)
			switch {
			case err != nil:
				a.differs(Different, rec.Topic, at(rec), fmt.Sprintf("%x", rec.Key), "cannot be read: %v", err)
			case is && l.Attacker != "":
				r.linked[l.Attacker] = l.There
			case is && l.There:
				r.born[l.Identity] = l
			case is:
				delete(r.born, l.Identity)
			}
			return nil
		}},
		{n.Commands, func(rec *kgo.Record) error {
			if ts, is := engine.ForgetTime(rec.Value); is {
				r.ticks[rec.Partition] = max(r.ticks[rec.Partition], ts)
			}
			return nil
		}},
	} {
		if r.read[part.topic] == nil {
			r.read[part.topic] = make(map[int32]int64)
		}
		for p, end := range ends[part.topic] {
			if from := r.read[part.topic][p]; from < end {
				if err := a.scan(ctx, part.take, part.topic, p, from, end); err != nil {
					return fmt.Errorf("looking for forgotten identities: %w", err)
				}
				r.read[part.topic][p] = end
			}
		}
	}
	return nil
}

// isOver reports whether a tick has ended a day at the home of an identity.
func (m *model) isOver(stub *identity, day int64) bool {
	tick, some := m.retention.ticks[attribution.IdentityPartition(stub.id, m.partitions)]
	return some && day < dayOf(tick-m.rules.Retention.Seconds())
}

// renew ends the life of an attacker's stub, or of one of its rows, before an
// observation that began another one.
func (m *model) renew(a *attacker, p *primitive, at attribution.Arrival) {
	l := m.retention.born[a.own.id]
	switch {
	case a.lives && l.Dated && l.Since == at:
		m.renewStub(a, at.Partition)
	case a.lives && m.isOver(a.own, a.lastDay):
		a.maybe = true
	}
	if l.Dated && l.Since == at {
		a.dated = true
	}
	// A row that only others have made since, who belong to the stub now, is no row
	// of a life before: which of them came first, the input does not say.
	if r, c := a.own.row(p), a.contributes(p); r != nil && r.has && c != nil && a.may == nil {
		id := attribution.EventID(attribution.Cause{Topic: attribution.CauseObservation, Arrival: at}, []byte(a.own.id), []byte(p.name))
		if _, began := m.retention.began[id]; began {
			m.renewRow(a, r, c, at.Partition)
		}
	}
	a.scattered = a.scattered || a.dated && l.Dated && l.Since.Partition != at.Partition
}

func (c *contribution) newest() (ts float64) {
	if n := len(c.series.Entries); n > 0 {
		ts = c.series.Entries[n-1].TS
	}
	return ts
}

// latest returns the latest day that an attacker's series have.
func (a *attacker) latest() (day int64) {
	for _, c := range a.series {
		day = max(day, dayOf(c.newest()))
	}
	return day
}

// saw is told of an observation that a series has taken. before is the ts of the
// newest one until then; a replacement may have taken it back.
func (a *attacker) saw(c *contribution, before float64) {
	switch day := dayOf(c.newest()); {
	case !a.lives || day > a.lastDay:
		a.lives, a.lastDay = true, day
	case day < a.lastDay && dayOf(before) == a.lastDay:
		a.lastDay = a.latest()
	}
}

// end ends the life of a stub. Observations that came through other partitions may
// be of this life or of the next one.
func (m *model) end(a *attacker, lane int32) {
	m.retention.ended = append(m.retention.ended, ended{a.own, a.lastDay, false})
	m.mark(a.own)
	for _, c := range a.series {
		a.scattered = a.scattered || c.mixed || c.source != lane
		c.series, c.loose = attribution.Series{}, false
	}
	for _, r := range a.own.rows {
		r.has, r.was = false, attribution.Row{}
	}
	a.lives, a.maybe, a.dated, a.lastDay = false, false, false, 0
}

// endForgotten ends the lives of the stubs that no record says to be their attacker's.
func (m *model) endForgotten() {
	for name, a := range m.attackers {
		if !a.lives {
			continue
		}
		l, linked := m.retention.born[a.own.id], m.retention.linked[name]
		switch {
		case !linked && !l.Own:
			m.end(a, a.lane())
			a.gone = true
			if a.may != nil {
				m.setMay(a, a.own.resolve()) // whatever the batch's events moved, it was not there
			}
		case linked && !a.linked && !l.Dated && (a.dated || a.maybe || m.isOver(a.own, a.lastDay)):
			// It was linked after it was forgotten, or never forgotten.
			a.scattered = true
			m.mayClaim(a)
			m.mark(a.own)
			if a.in != nil {
				m.mark(a.in)
			}
		}
		a.linked = linked
		for _, c := range a.series {
			c.loose = c.loose || a.scattered
		}
	}
}

// isScattered reports whether the input does not say if there is a row: each of those
// who contribute to it was linked when it may have been forgotten.
func (m *model) isScattered(i *identity, p *primitive) bool {
	scattered := true
	i.each(func(a *attacker) { scattered = scattered && (a.scattered || a.contributes(p) == nil) })
	return scattered
}

// lane is the partition that the last of an attacker's series came from.
func (a *attacker) lane() int32 {
	if len(a.series) == 0 {
		return 0
	}
	return a.series[len(a.series)-1].source
}

// forgotten holds what was forgotten, and what was not, against the rule.
func (a *Auditor) forgotten() {
	m := a.model
	if m.rules.Retention == 0 {
		return
	}
	changelog := a.o.Topics.Changelog
	unknown := 0
	for _, e := range m.retention.ended {
		if !e.row {
			a.report.Forgotten++
		}
		home := attribution.IdentityPartition(e.stub.id, m.partitions)
		switch {
		case e.stub.named:
			a.differs(Lost, changelog, place{home, -1}, e.stub.id, "the identity is forgotten, which an identity event has named")
		case m.isOver(e.stub, e.day):
		case a.isCommandGone(home):
			unknown++
		default:
			a.differs(Lost, changelog, place{home, -1}, e.stub.id, "the identity is forgotten, and no tick comes so long after its newest observation, which is of %s", time.Unix(e.day*86_400, 0).UTC().Format(time.DateOnly))
		}
	}
	if unknown > 0 {
		a.report.Notes = append(a.report.Notes, fmt.Sprintf("%d identities were forgotten at ticks whose commands were deleted: whether it was time was not checked", unknown))
	}
	for _, by := range m.attackers {
		if _, there := m.retention.born[by.own.id]; !there || !by.lives || by.may != nil || by.own.reached || by.own.touched || by.in != by.own || !m.isOver(by.own, by.lastDay) {
			continue
		}
		if a.report.SweepsDue++; a.o.Swept {
			a.differs(Unexpected, changelog, place{attribution.IdentityPartition(by.own.id, m.partitions), -1}, by.own.id, "the identity is there, and should be forgotten: its newest observation is of %s", time.Unix(by.lastDay*86_400, 0).UTC().Format(time.DateOnly))
		}
	}
}

// nameTouched notes which identities the batch's events have named: an attacker was
// listed to the identity, another one came to it, or it was merged or unmerged. An
// event that touches an identity may do none of this there: a merge of a loser that
// nobody belongs to brings nobody to its winner.
func (m *model) nameTouched() {
	for _, i := range m.batchDirty {
		i.reached = i.reached || i.touched
		i.named = i.named || i.naming || i.hasStrangers()
	}
}

// hasStrangers reports whether attackers belong to an identity, at the end of an
// Advance, whose stub it is not.
func (i *identity) hasStrangers() bool {
	for a := range i.members {
		if a != i.own {
			return true
		}
	}
	return false
}

// isSurelyIn reports whether an event that is taken now finds an attacker in an
// identity for certain: it may be nowhere else, and cannot be one that was forgotten
// before the event.
func (m *model) isSurelyIn(a *attacker, i *identity) bool {
	if a.name == "" || a.gone || len(a.may) != 1 || a.may[0] != i {
		return false
	}
	_, listed := m.batchListed[a]
	return listed || a.linked || a.in != a.own || a.lives && a.own.named
}

// comeBack makes an attacker that was forgotten known again. It belongs to what its stub
// stands for, as one that is seen for the first time.
func (m *model) comeBack(a *attacker) {
	a.gone = false
	if a.may == nil {
		return
	}
	for _, i := range a.may {
		m.touch(i)
	}
	m.batchTracked[a] = struct{}{}
	m.mayClaim(a)
}

// mayClaim notes that an attacker's home may have had to ask whose it is.
func (m *model) mayClaim(a *attacker) {
	if _, noted := m.batchClaims[a.name]; !noted {
		m.batchClaims[a.name] = nil
	}
}

// contributes returns an attacker's series of a primitive, if it has observations
// that count.
func (a *attacker) contributes(p *primitive) *contribution {
	if c := a.contribution(p); c != nil && c.series.Count > 0 {
		return c
	}
	return nil
}
