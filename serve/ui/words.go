package ui

import (
	"fmt"
	"slices"
	"strings"

	"handprint/serve/query"
)

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

// isMerge reports whether an identity event has this type of a merge. The API says
// merged; records say identity.merged.
func isMerge(kind string) bool { return strings.TrimPrefix(kind, "identity.") == "merged" }

// hasMerge reports whether another identity was merged into this one.
func hasMerge(events []query.IdentityEvent, id string) bool {
	return slices.ContainsFunc(events, func(e query.IdentityEvent) bool { return isMerge(e.Type) && e.Winner == id })
}

// loserOf is who would most likely become itself again: this identity if it is
// merged, else whoever was merged into it last.
func loserOf(d *historyData) string {
	if d.MergedInto != nil {
		return d.Identity
	}
	for i := len(d.Items) - 1; i >= 0; i-- {
		if e := d.Items[i]; isMerge(e.Type) && e.Winner == d.Identity {
			return e.Loser
		}
	}
	return ""
}

// toldOf is what others read of an identity in its topic, up to when it was written.
func toldOf(r *query.IdentityRecord) string {
	text := "Others read of it in attribution.identity: " + plural(int(r.Total), "attacker", "attackers")
	if r.MergedInto != nil {
		text += ", merged into " + shortID(*r.MergedInto)
	}
	if r.Origin != nil {
		text += fmt.Sprintf(", since the event at offset %d", *r.Origin)
	}
	return text + ", written"
}
