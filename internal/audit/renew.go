package audit

import (
	"math"
	"slices"

	"handprint/attribution"
)

// What began anew, of an attacker whose observations come through several partitions.
//
// The model takes the observations of a batch partition by partition, the attacker's home
// takes them as they come. So an observation of another partition that the model has taken
// before the first one of a life may be of the life before, or have come later in this one.

// past is what there was of an attacker when an observation began its life, or a row, anew.
type past struct {
	sure   bool  // an observation certainly came before
	day    int64 // the latest day of such observations
	unsure bool  // an observation of another partition came before or later
	oldest int64 // the earliest day of such observations
}

// pastOf returns what there was when an observation of a partition began something anew.
func pastOf(series []*contribution, lane int32) past {
	is := past{oldest: math.MaxInt64}
	for _, c := range series {
		unsure := false
		for i := range c.series.Entries {
			e := &c.series.Entries[i]
			if day := dayOf(e.TS); e.Latest.Partition != lane && slices.Contains(c.arrivals, e.Latest) {
				unsure, is.oldest = true, min(is.oldest, day)
			} else {
				is.sure, is.day = true, max(is.day, day)
			}
		}
		if unsure && c.series.Count > int64(len(c.series.Entries)) {
			is.oldest = 0 // what was pushed out may be older
		}
		is.unsure = is.unsure || unsure
	}
	return is
}

// mayHaveEnded reports whether something ended before an observation that began it anew:
// for certain, or perhaps, as the rule allows it.
func (m *model) mayHaveEnded(stub *identity, was past) bool {
	return was.sure || !stub.named && m.isOver(stub, was.oldest)
}

// renewStub ends the life of a stub before an observation that began another one.
func (m *model) renewStub(a *attacker, lane int32) {
	was := pastOf(a.series, lane)
	switch {
	case !was.unsure:
		m.end(a, lane)
	case !m.mayHaveEnded(a.own, was):
		return // what the model has taken before came later
	default:
		if was.sure {
			m.retention.ended = append(m.retention.ended, ended{a.own, was.day, false})
		}
		for _, c := range a.series {
			m.scatter(a, c, lane)
		}
		a.lastDay = a.latest()
	}
	if a.may != nil { // events of the batch moved it, perhaps when it was forgotten
		m.mayAlso(a, a.own)
		for _, i := range a.may {
			m.touch(i)
		}
	}
}

// renewRow ends a row of an attacker's stub before an observation that began it anew.
func (m *model) renewRow(a *attacker, r *row, c *contribution, lane int32) {
	was := pastOf([]*contribution{c}, lane)
	if was.unsure && !m.mayHaveEnded(a.own, was) {
		return
	}
	if was.sure {
		m.retention.ended = append(m.retention.ended, ended{a.own, was.day, true})
	}
	if was.unsure {
		m.scatter(a, c, lane)
	} else {
		c.series = attribution.Series{}
		r.has, r.was = false, attribution.Row{}
	}
	a.lastDay = a.latest()
}

// scatter ends what an attacker has contributed to a row, but for observations that may
// have come later: whether there is a row, and what it says, is not known then.
func (m *model) scatter(a *attacker, c *contribution, lane int32) {
	m.mark(a.own)
	a.scattered = true
	r := a.own.row(c.primitive)
	if pastOf([]*contribution{c}, lane).unsure {
		c.loose = true
		if r != nil {
			r.chain, r.want = true, nil
		}
		return
	}
	c.series, c.loose = attribution.Series{}, false
	if r != nil {
		r.has, r.was = false, attribution.Row{}
	}
}
