package attribution

import (
	"strconv"
	"strings"
)

// evidenceWords says what the reasons are, for people.
func evidenceWords(reasons []Reason, r *Registry) string {
	var parts []string
	for i := range reasons {
		if reasons[i].Kind != ReasonReturns {
			continue
		}
		times := strconv.Itoa(reasons[i].Times) + " times"
		if reasons[i].Times == 1 {
			times = "once"
		}
		parts = append(parts, r.Label(reasons[i].Primitive)+" returned "+times)
	}
	alternates := labels(reasons, ReasonAlternates, r)
	switch {
	case len(alternates) == 1:
		parts = append(parts, alternates[0]+" alternates")
	case len(alternates) > 1:
		parts = append(parts, listed(alternates)+" alternate")
	}
	return strings.Join(parts, "; ")
}

// clearedWords says why a suspicion is over.
func clearedWords(reasons []Reason, hasRows bool, r *Registry, t *Thresholds) string {
	why := "no attacker is left in it"
	if hasRows {
		why = "not suspected for " + hours(t.SuspicionQuiet)
	}
	return why + restedOn(reasons, r)
}

// ForgottenWords says that a suspicion is cleared because its identity is
// forgotten, after so many seconds without an observation.
func ForgottenWords(reasons []Reason, seconds float64, r *Registry) string {
	return "forgotten: nothing was observed of it for " + hours(seconds) + restedOn(reasons, r)
}

func restedOn(reasons []Reason, r *Registry) string {
	return "; it rested on " + listed(append(labels(reasons, ReasonReturns, r), labels(reasons, ReasonAlternates, r)...))
}

func hours(seconds float64) string {
	if seconds >= 3600 {
		return strconv.FormatFloat(seconds/3600, 'g', 4, 64) + " h"
	}
	return strconv.FormatFloat(seconds, 'g', 4, 64) + " s"
}

func labels(reasons []Reason, kind ReasonKind, r *Registry) (list []string) {
	for i := range reasons {
		if reasons[i].Kind == kind {
			list = append(list, r.Label(reasons[i].Primitive))
		}
	}
	return list
}

// maxListed is how many names a list of words has before it says how many more
// there are.
const maxListed = 6

// listed joins names as a sentence does.
func listed(names []string) string {
	last := ""
	switch n := len(names); {
	case n == 0:
		return "nothing"
	case n == 1:
		return names[0]
	case n > maxListed:
		names, last = names[:maxListed-1], strconv.Itoa(n-maxListed+1)+" more"
	default:
		names, last = names[:n-1], names[n-1]
	}
	return strings.Join(names, ", ") + " and " + last
}
