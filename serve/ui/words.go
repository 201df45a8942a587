package ui

import (
	"slices"

	"handprint/serve/query"
)

func contains(list []string, s string) bool { return slices.Contains(list, s) }

func haveWord(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

func verb(kind string) string {
	if kind == "merge" {
		return "Merge"
	}
	return "Unmerge"
}

func cameBy(m query.Member) string {
	if m.Version == 0 {
		return "its own"
	}
	return "came by event " + itoa(int(m.Version))
}

// hasMerge reports whether another identity was merged into this one.
func hasMerge(events []query.IdentityEvent, id string) bool {
	return slices.ContainsFunc(events, func(e query.IdentityEvent) bool { return e.Type == "identity.merged" && e.Winner == id })
}

// loserOf is who would most likely become itself again: this identity if it is
// merged, else whoever was merged into it last.
func loserOf(d *historyData) string {
	if d.MergedInto != nil {
		return d.Identity
	}
	for i := len(d.Items) - 1; i >= 0; i-- {
		if e := d.Items[i]; e.Type == "identity.merged" && e.Winner == d.Identity {
			return e.Loser
		}
	}
	return ""
}
