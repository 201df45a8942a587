package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"handprint/attribution"
)

// fewMembers is up to how many attackers of an identity its rows are worked
// out anew for each observation.
const fewMembers = 16

// observe takes a good observation.
func (m *model) observe(o *attribution.Observation, at attribution.Arrival) {
	a := m.attackers[string(o.Attacker)]
	if a == nil {
		a = m.newAttacker(string(o.Attacker))
		if a.may != nil {
			// Its stub was merged before it was seen: it is claimed.
			for _, i := range a.may {
				m.touch(i)
			}
		}
	} else if a.gone {
		m.comeBack(a)
	}
	p := m.primitive(o.Primitive)
	if m.rules.Retention > 0 {
		m.renew(a, p, at)
	}
	sum := sha256.Sum256(o.Evidence)
	c := a.contribution(p)
	if c == nil {
		c = &contribution{primitive: p, source: at.Partition}
		a.series = append(a.series, c)
	}
	if len(c.arrivals) == 0 { // what came before is in the row already
		c.source, c.mixed = at.Partition, false
	}
	c.mixed = c.mixed || c.source != at.Partition
	entry := attribution.Entry{
		TS: o.TS, Value: m.value(o.Value), Evidence: binary.LittleEndian.Uint64(sum[:8]),
		Place: at, Latest: at, Confidence: -1,
	}
	if o.HasConfidence {
		entry.Confidence = o.Confidence
	}
	before := c.newest()
	c.series.Take(entry, p.kind, &m.rules.Thresholds)
	if m.rules.Retention > 0 {
		a.saw(c, before)
	}
	// With nothing pushed out, the order in which records are taken does not
	// matter.
	full := c.series.Count > int64(len(c.series.Entries))
	c.loose = c.loose || c.mixed && full || a.scattered
	if len(c.arrivals) == 0 {
		m.batchArrivals = append(m.batchArrivals, c)
	}
	c.arrivals = append(c.arrivals, at)

	if a.may == nil {
		m.step(a.in, p, a, at)
		return
	}
	for _, i := range a.may {
		m.step(i, p, a, at)
	}
}

// step is what an observation does to a row at once, if nothing else is new
// for it meanwhile.
func (m *model) step(i *identity, p *primitive, a *attacker, at attribution.Arrival) {
	m.mark(i)
	r := i.openRow(p)
	lane := m.lane(at.Partition, a.name)
	if r.lane == noLane {
		r.lane = lane
	}
	if r.chain = r.chain || i.touched || r.lane != lane || len(i.members) > fewMembers; r.chain {
		r.want = nil
		return
	}
	conclusion, _, loose := m.conclude(i, p)
	if r.chain = loose; loose {
		return
	}
	var before *attribution.Row
	if r.has {
		before = &r.was
	}
	after, change := attribution.Advance(before, &conclusion, 0)
	after.Value = m.value(after.Value)
	if change == attribution.Moved {
		e := event{
			id: attribution.EventID(attribution.Cause{Topic: attribution.CauseObservation, Arrival: at}, []byte(i.id), []byte(p.name)), cause: at,
			isNew: !r.has, new: after.State, value: after.Value, confidence: after.Confidence, count: after.Count, ts: after.LastObservationTS,
		}
		switch {
		case after.State == attribution.Drifting:
			e.previous = m.optional(m.merger.DriftedFrom(&conclusion))
		case r.has:
			e.previous = m.optional(r.was.Value)
		}
		if r.has {
			e.old = r.was.State
		}
		r.want = append(r.want, e)
	}
	r.was, r.has = after, true
}

// conclude merges what the members of an identity contribute to a row. loose
// says that the input does not determine it.
func (m *model) conclude(i *identity, p *primitive) (c attribution.Conclusion, contributors int, loose bool) {
	m.merger.Begin(p.kind)
	i.each(func(a *attacker) {
		if s := a.contributes(p); s != nil {
			m.merger.Add(&s.series, contributors)
			if p.returning && attribution.Returns(&s.series, &m.rules.Thresholds) {
				m.merger.SetReturns()
			}
			contributors++
			loose = loose || s.loose
		}
	})
	c, err := m.merger.End()
	if err != nil {
		// The registry has given the primitive another kind since: its values
		// are equal or not.
		c = m.merger.EndCategorical()
	}
	return c, contributors, loose
}

// settle decides whose every tracked attacker is. linked says what the
// changelog has for an attacker: the identity of its link, or "" if there is
// none. An owner that is not possible is reported by wrong.
func (m *model) settle(linked func(name string) string, wrong func(a *attacker, linked string)) {
	for a := range m.batchTracked {
		if a.name == "" || a.gone {
			continue
		}
		to := a.may[0]
		link := linked(a.name)
		if link == "" {
			link = a.own.id
		}
		at := slices.IndexFunc(a.may, func(i *identity) bool { return i.id == link })
		switch {
		case at >= 0:
			to = a.may[at]
		default:
			wrong(a, link)
		}
		for _, i := range a.may {
			m.mark(i)
		}
		m.mark(a.in)
		delete(a.in.members, a)
		a.in = to
		if to.members == nil {
			to.members = make(map[*attacker]struct{})
		}
		to.members[a] = struct{}{}
		m.setMay(a, to)
	}
}

// rowsOf opens the rows that an identity's members contribute to.
func (m *model) rowsOf(i *identity) {
	i.each(func(a *attacker) {
		for _, c := range a.series {
			if c.series.Count > 0 {
				i.openRow(c.primitive)
			}
		}
	})
}

// causes are the ids that transitions of a row may have: those of the input
// records of the batch that concern it.
func (m *model) causes(i *identity, p *primitive) map[attribution.UUID]bool {
	ids := make(map[attribution.UUID]bool)
	add := func(topic attribution.CauseTopic, at attribution.Arrival) {
		ids[attribution.EventID(attribution.Cause{Topic: topic, Arrival: at}, []byte(i.id), []byte(p.name))] = true
	}
	for _, c := range i.causes {
		add(c.Topic, c.Arrival)
	}
	from := func(a *attacker) {
		if c := a.contribution(p); c != nil {
			for _, at := range c.arrivals {
				add(attribution.CauseObservation, at)
			}
		}
		for _, at := range m.batchClaims[a.name] {
			add(attribution.CauseClaim, attribution.Arrival{Time: at.Time, Offset: at.Offset})
		}
	}
	i.each(from)
	for a := range i.visitors {
		from(a)
	}
	return ids
}

// isClaimed reports whether a claim may have concerned an identity.
func (m *model) isClaimed(i *identity) (claimed bool) {
	of := func(a *attacker) {
		_, is := m.batchClaims[a.name]
		claimed = claimed || is
	}
	i.each(of)
	for a := range i.visitors {
		of(a)
	}
	return claimed
}

func sameRow(x, y *attribution.Row) bool {
	return x.State == y.State && bytes.Equal(x.Value, y.Value) && x.Confidence == y.Confidence && x.Count == y.Count && x.Returns == y.Returns &&
		x.LastChangeTS == y.LastChangeTS && x.LastObservationTS == y.LastObservationTS
}
