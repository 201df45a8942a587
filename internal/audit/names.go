package audit

import (
	"fmt"
	"maps"
	"slices"

	"handprint/attribution"
)

// mayName reports whether a suspicion may name so many primitives, and leave others out.
func (a *Auditor) mayName(told *attribution.Told) bool {
	others := a.others(told.Names)
	bound := a.model.rules.Thresholds.NamedPrimitives
	return others <= bound && (told.Total == len(told.Names) || others == bound)
}

// others returns how many of the names are registered nowhere.
func (a *Auditor) others(names []string) (n int) {
	for _, name := range names {
		if a.model.rules.Registry.Lookup([]byte(name)) == nil {
			n++
		}
	}
	return n
}

// setName adds a name to a set, or takes it away.
func setName(set *map[string]struct{}, name string, is bool) {
	if !is {
		delete(*set, name)
		return
	}
	if *set == nil {
		*set = make(map[string]struct{})
	}
	(*set)[name] = struct{}{}
}

// sameNames reports whether a set has the names of a list, in which each stands once.
func sameNames(list []string, set map[string]struct{}) bool {
	return len(list) == len(set) && !slices.ContainsFunc(list, func(name string) bool { _, is := set[name]; return !is })
}

// someNames shows the first names of a list.
func someNames(list []string) string {
	const most = 10
	if len(list) <= most {
		return fmt.Sprintf("%q", list)
	}
	return fmt.Sprintf("%q and %d more", list[:most], len(list)-most)
}

// namesOf returns the names of a set, sorted.
func namesOf(set map[string]struct{}) []string { return slices.Sorted(maps.Keys(set)) }
