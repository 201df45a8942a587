package attribution

import (
	"slices"
	"strings"
)

// OpenSuspicion is what is remembered of a suspicion from its raising to its
// clearing.
type OpenSuspicion struct {
	ID     UUID
	Raised float64  // the tick's time
	Named  []Reason // what its events have named, by primitive; Group and New are not set
	// Quiet reports whether the last tick did not find the identity suspected;
	// QuietSince is the first such tick.
	Quiet      bool
	QuietSince float64
}

// Evidence is what speaks at a tick for several people behind an identity. Both
// lists are sorted, and have names as [ShortPrimitive] has them.
type Evidence struct {
	Alternates []string // primitives in multi_actor that may be named, see [Nameable]
	Returns    []string // primitives whose row returns
}

// Nameable returns the names, of a sorted list, that a suspicion may name: the
// registered ones, and the first of the others, up to t.NamedPrimitives.
func Nameable(names []string, r *Registry, t *Thresholds) []string {
	if len(names) <= t.NamedPrimitives {
		return names
	}
	others := 0
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		if r.byName[name] != nil {
			return false
		}
		others++
		return others > t.NamedPrimitives
	})
}

// Suspected reports whether the evidence suffices for a suspicion.
func (e *Evidence) Suspected(t *Thresholds) bool {
	return len(e.Alternates) >= t.MultiActorPrimitives || len(e.Returns) > 0
}

// Primitives returns all that speaks for it, each once: what returns, then what
// alternates alone.
func (e *Evidence) Primitives() []string {
	list := slices.Clone(e.Returns)
	for _, p := range e.Alternates {
		if e.Kind(p) == ReasonAlternates {
			list = append(list, p)
		}
	}
	return list
}

// Kind returns what a primitive does; empty: it is no evidence.
func (e *Evidence) Kind(primitive string) ReasonKind {
	if _, is := slices.BinarySearch(e.Returns, primitive); is {
		return ReasonReturns
	}
	if _, is := slices.BinarySearch(e.Alternates, primitive); is {
		return ReasonAlternates
	}
	return ""
}

// Words says what a suspicion rests on, for people.
func (o *OpenSuspicion) Words(r *Registry) string { return evidenceWords(o.Named, r) }

// Among returns the part of the evidence that a suspicion has named.
func (e *Evidence) Among(o *OpenSuspicion) *Evidence {
	unnamed := func(primitive string) bool { _, named := o.find(primitive); return !named }
	return &Evidence{
		Alternates: slices.DeleteFunc(slices.Clone(e.Alternates), unnamed),
		Returns:    slices.DeleteFunc(slices.Clone(e.Returns), unnamed),
	}
}

// maxNamedValueBytes bounds the values of all that a suspicion names, in bytes of
// canonical JSON.
const maxNamedValueBytes = 256 << 10

// Judge decides what a tick at the time now does to an identity. open is its
// suspicion, nil if none is open; its note of the quiet time is brought up to
// date, which changed reports. hasRows is asked only of an open suspicion of an
// identity that is not suspected. Empty: no event is sent.
func Judge(open *OpenSuspicion, e *Evidence, now float64, hasRows func() (bool, error), r *Registry, t *Thresholds) (status SuspicionStatus, changed bool, err error) {
	suspected := e.Suspected(t)
	switch {
	case open == nil && suspected:
		return SuspicionRaised, true, nil
	case open == nil:
		return "", false, nil
	case suspected:
		changed = open.Quiet
		open.Quiet, open.QuietSince = false, 0
		if open.Grows(e, r, t) {
			return SuspicionGrown, true, nil
		}
		return "", changed, nil
	}
	if !open.Quiet || now < open.QuietSince {
		open.Quiet, open.QuietSince, changed = true, now, true
	}
	if now-open.QuietSince >= t.SuspicionQuiet {
		return SuspicionCleared, true, nil
	}
	if rows, err := hasRows(); err != nil || !rows {
		return SuspicionCleared, true, err
	}
	return "", changed, nil
}

// Grows reports whether there is evidence that no event has named and that there
// is room to name.
func (o *OpenSuspicion) Grows(e *Evidence, r *Registry, t *Thresholds) bool {
	others := o.others(r)
	for _, list := range [][]string{e.Returns, e.Alternates} {
		for _, p := range list {
			if _, named := o.find(p); !named && hasRoom(others, p, r, t) {
				return true
			}
		}
	}
	return false
}

// Names reports whether an event of the suspicion has named a primitive.
func (o *OpenSuspicion) Names(primitive string) bool {
	_, named := o.find(primitive)
	return named
}

func (o *OpenSuspicion) find(primitive string) (at int, named bool) {
	return slices.BinarySearchFunc(o.Named, primitive, func(r Reason, p string) int { return strings.Compare(r.Primitive, p) })
}

// others returns how many primitives are named that are registered nowhere.
func (o *OpenSuspicion) others(r *Registry) (n int) {
	for i := range o.Named {
		if r.byName[o.Named[i].Primitive] == nil {
			n++
		}
	}
	return n
}

// hasRoom reports whether one more primitive may be named beside that many others
// that are registered nowhere.
func hasRoom(others int, primitive string, r *Registry, t *Thresholds) bool {
	return others < t.NamedPrimitives || r.byName[primitive] != nil
}

// Name adds the evidence of a tick to what the suspicion has named, and brings
// the values of what holds up to date: values returns those of a primitive, and
// how often one came back. It returns the reasons of the event, without their
// groups.
func (o *OpenSuspicion) Name(e *Evidence, r *Registry, t *Thresholds, values func(primitive string, kind ReasonKind) ([]Value, int, error)) (reasons []Reason, err error) {
	added, others := make(map[string]bool), o.others(r)
	for _, list := range [][]string{e.Returns, e.Alternates} {
		for _, p := range list {
			if at, named := o.find(p); !named && hasRoom(others, p, r, t) {
				o.Named = slices.Insert(o.Named, at, Reason{Primitive: p})
				added[p] = true
				if r.byName[p] == nil {
					others++
				}
			}
		}
	}
	for i := range o.Named {
		one := &o.Named[i]
		if kind := e.Kind(one.Primitive); kind != "" {
			one.Kind = kind
			if one.Values, one.Times, err = values(one.Primitive, kind); err != nil {
				return nil, err
			}
		}
	}
	o.boundValues(r)
	reasons = slices.Clone(o.Named)
	for i := range reasons {
		reasons[i].New = added[reasons[i].Primitive]
	}
	return reasons, nil
}

// boundValues leaves values out, from where they are too many. Those of primitives that
// are registered nowhere are the first to go.
func (o *OpenSuspicion) boundValues(r *Registry) {
	size := 0
	for _, registered := range []bool{true, false} {
		for i := range o.Named {
			one := &o.Named[i]
			if (r.byName[one.Primitive] != nil) != registered {
				continue
			}
			for _, v := range one.Values {
				size += len(v)
			}
			if size > maxNamedValueBytes {
				one.Values = nil
			}
		}
	}
}

// Event returns the event of a status, with these reasons. What identifies it
// (EventID, Identity, ID) is for the caller.
func (o *OpenSuspicion) Event(status SuspicionStatus, reasons []Reason, now float64, hasRows bool, r *Registry, t *Thresholds) Suspicion {
	s := Suspicion{Status: status, TS: now, Reasons: reasons}
	full := false
	for i := range reasons {
		reasons[i].Group = r.Group(reasons[i].Primitive)
		s.Primitives = append(s.Primitives, reasons[i].Primitive)
		s.Groups = append(s.Groups, reasons[i].Group)
		full = full || reasons[i].Kind == ReasonReturns
	}
	slices.Sort(s.Groups)
	s.Groups = slices.Compact(s.Groups)
	switch {
	case status == SuspicionCleared:
		s.Summary = clearedWords(reasons, hasRows, r, t)
		return s
	case full || len(s.Groups) >= t.SuspicionGroups:
		s.Confidence = t.MultiActorCap
	default:
		s.Confidence = t.MultiActorCap / 2
	}
	s.Summary = evidenceWords(reasons, r)
	return s
}
