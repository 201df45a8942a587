package deliver

import (
	"path"
	"slices"

	"handprint/siem"
)

// Filter says which events a sink wants. What it does not name, it wants.
type Filter struct {
	Events     []string // event codes, as siem.Code gives them
	Primitives []string // names, in which * stands for any letters
	States     []string // of transitions and rows
	// Least is the least severity that is wanted, as Severity judges; without it
	// all are. Rows are not filtered by it: a table must be whole.
	Least    siem.Severity
	Severity func(*siem.Event) siem.Severity
}

func (f *Filter) wants(e *siem.Event) bool {
	if len(f.Events) > 0 && !slices.Contains(f.Events, siem.Code(e)) {
		return false
	}
	// A tombstone is wanted wherever the row may have been.
	if len(f.States) > 0 && (e.Kind == siem.Transition || e.Kind == siem.Row) && !slices.Contains(f.States, e.State.String()) {
		return false
	}
	if len(f.Primitives) > 0 && e.Kind != siem.Identity && !f.primitive(e) {
		return false
	}
	return f.Severity == nil || e.Kind == siem.Row || e.Kind == siem.Tombstone || f.Severity(e) >= f.Least
}

func (f *Filter) primitive(e *siem.Event) bool {
	named := e.Primitives
	if e.Kind != siem.Suspicion {
		named = []string{e.Primitive}
	}
	return slices.ContainsFunc(f.Primitives, func(pattern string) bool {
		return slices.ContainsFunc(named, func(name string) bool {
			ok, err := path.Match(pattern, name)
			return err == nil && ok
		})
	})
}
