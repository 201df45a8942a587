package audit

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
)

// change is what an identity event has to be told as when it is over.
type change struct {
	want  attribution.IdentityChange
	event place
	times int
}

// wantChange works out what a good identity event is told as. It is called
// before the model takes the event.
func (a *Auditor) wantChange(e *attribution.IdentityEvent, r *kgo.Record) *change {
	m := a.model
	to := m.identity(e.Identity).resolve()
	c := &change{event: at(r)}
	switch e.Type {
	case attribution.Merged:
		if loser := m.identity(e.Loser).resolve(); loser != to {
			c.want.Other = loser.id
		}
	case attribution.Unmerged:
		to = m.identity(e.Loser)
		if was := to.resolve(); was != to {
			c.want.Other = was.id
		}
	}
	c.want.Type, c.want.Identity, c.want.Offset, c.want.TS = e.Type, to.id, r.Offset, float64(r.Timestamp.UnixMilli())/1e3
	cause := attribution.Cause{Topic: attribution.CauseIdentityEvent, Arrival: attribution.Arrival{Time: r.Timestamp.UnixMilli(), Offset: r.Offset}}
	c.want.EventID = attribution.EventID(cause, []byte(to.id), nil).String()
	return c
}

// identityChanged takes a record of the changes.
func (a *Auditor) identityChanged(r *kgo.Record) error {
	c, err := a.writers.IdentityChange(r.Value)
	if err != nil {
		return a.unreadable(r, err)
	}
	w := a.changes[c.EventID]
	if w == nil {
		a.differs(Unexpected, r.Topic, at(r), c.Identity, "no identity event has event id %s", c.EventID)
		return nil
	}
	if w.times++; w.times > 1 {
		a.differs(Doubled, r.Topic, at(r), c.Identity, "change %s is there %d times", c.EventID, w.times)
		return nil
	}
	want := w.want
	// How many moved, and how many rows that changed, depends on what came
	// meanwhile.
	want.Attackers, want.Moved, want.Rows, want.Version = c.Attackers, c.Moved, c.Rows, c.Version
	if string(r.Key) != c.Identity || fmt.Sprint(c) != fmt.Sprint(want) || int64(len(c.Attackers)) > c.Moved {
		a.differs(Different, r.Topic, at(r), c.Identity, "says %+v, should say %+v", c, want)
	}
	return nil
}

// lostChanges reports the events that nothing tells of.
func (a *Auditor) lostChanges() {
	for _, c := range a.changes {
		if c.times == 0 {
			a.differs(Lost, a.o.Topics.IdentityEvents, c.event, c.want.Identity, "nothing tells that it is over")
		}
	}
}

// told is what the topic says of an identity.
type told struct {
	membership attribution.Membership
	place      place
}

// membership takes a record of the identities.
func (a *Auditor) membership(r *kgo.Record) error {
	m, err := a.writers.Membership(r.Value)
	if err != nil {
		return a.unreadable(r, err)
	}
	if string(r.Key) != m.Identity {
		a.differs(Different, r.Topic, at(r), string(r.Key), "the key is not the identity, which is %s", m.Identity)
	}
	i := a.model.identity(m.Identity)
	a.model.mark(i)
	if i.told != nil && i.told.membership.Version > m.Version {
		a.differs(Different, r.Topic, at(r), m.Identity, "version %d follows version %d", m.Version, i.told.membership.Version)
	}
	i.told = &told{m, at(r)}
	return nil
}

// members compares what is told of an identity with who belongs to it.
func (a *Auditor) members(i *identity) {
	topic := a.o.Topics.Identities
	into := ""
	if i.pointer != nil {
		into = i.pointer.id
	}
	var all []string
	strangers := false
	i.each(func(by *attacker) {
		if by.name != "" && !by.gone {
			all = append(all, by.name)
			strangers = strangers || by != i.own
		}
	})
	if i.told == nil {
		if into != "" || strangers {
			a.differs(Lost, topic, place{offset: -1}, i.id, "nothing tells that %q belong to it, and that it is merged into %q", listed(all), into)
		}
		return
	}
	said := &i.told.membership
	if list := listed(all); said.MergedInto != into || said.Total != int64(len(all)) || !slices.Equal(said.Attackers, list) {
		a.differs(Different, topic, i.told.place, i.id, "says %d attackers %q, merged into %q; should say %d, %q, %q",
			said.Total, said.Attackers, said.MergedInto, len(all), list, into)
		said.MergedInto, said.Total, said.Attackers = into, int64(len(all)), list // told once
	}
}

// listed returns the attackers that a record lists: the first, UUIDs before
// others.
func listed(all []string) (list []string) {
	for _, name := range all {
		if len(name) <= attribution.MaxListedID {
			list = append(list, name)
		}
	}
	slices.SortFunc(list, func(x, y string) int {
		_, a := attribution.ParseUUID(x)
		_, b := attribution.ParseUUID(y)
		switch {
		case a && !b:
			return -1
		case b && !a:
			return 1
		}
		return bytes.Compare([]byte(x), []byte(y))
	})
	return list[:min(len(list), attribution.MaxListedAttackers)]
}
