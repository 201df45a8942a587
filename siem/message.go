package siem

import (
	"strconv"

	"handprint/attribution"
)

// title returns what an event is, in a few words that never change.
func (e *Event) title() string {
	switch e.Kind {
	case Transition:
		if e.IsNew {
			return "Trait first judged"
		}
		return "Trait state changed"
	case Suspicion:
		switch e.Status {
		case Grown:
			return "More signs that several actors share one identity"
		case Cleared:
			return "No more signs that several actors share one identity"
		}
		return "Several actors may share one identity"
	case Row:
		return "Trait state"
	case Tombstone:
		return "Trait no longer judged"
	}
	switch e.Change {
	case attribution.Formed:
		return "Identity formed"
	case attribution.Linked:
		return "Identity linked"
	case attribution.Merged:
		return "Identities merged"
	}
	return "Identities separated"
}

// appendMessage appends what an event says, in one sentence (docs/siem.md,
// "Messages").
func appendMessage(dst []byte, e *Event) []byte {
	switch e.Kind {
	case Suspicion:
		return appendSuspicion(dst, e)
	case Identity:
		return appendIdentity(dst, e)
	}
	dst = append(append(dst, "Trait "...), e.Primitive...)
	dst = append(append(dst, " of handprint identity "...), e.Identity...)
	switch {
	case e.Kind == Tombstone:
		return append(dst, " has no observations any more: they belong to another identity."...)
	case e.Kind == Row:
		dst = append(append(dst, " is "...), e.State.String()...)
		dst = appendTime(append(dst, " since "...), e.Since)
	case e.IsNew:
		dst = append(append(dst, " is new and is now "...), e.State.String()...)
	default:
		dst = append(append(dst, " was "...), e.Old.String()...)
		dst = append(append(dst, " and is now "...), e.State.String()...)
	}
	dst = appendTwoDigits(append(dst, " (confidence "...), e.Confidence)
	dst = strconv.AppendInt(append(dst, ", "...), e.Observations, 10)
	return append(dst, " observations)."...)
}

func appendSuspicion(dst []byte, e *Event) []byte {
	if len(e.Reasons) == 0 && e.SuspicionID == "" { // the rule primitives
		dst = strconv.AppendInt(dst, int64(max(e.Total, len(e.Primitives))), 10)
		dst = append(append(dst, " traits of handprint identity "...), e.Identity...)
		dst = append(dst, " alternate between two values, as if several actors shared it (confidence "...)
		dst = append(appendTwoDigits(dst, e.Confidence), "): "...)
		for i, p := range e.Primitives {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(dst, p...)
		}
		return append(dst, '.')
	}
	dst = append(append(dst, "Handprint identity "...), e.Identity...)
	switch e.Status {
	case Cleared:
		dst = append(dst, " does not look as if several actors shared it any more"...)
	case Grown:
		dst = append(dst, " looks even more as if several actors shared it (confidence "...)
		dst = append(appendTwoDigits(dst, e.Confidence), ')')
	default:
		dst = append(dst, " looks as if several actors shared it (confidence "...)
		dst = append(appendTwoDigits(dst, e.Confidence), ')')
	}
	if e.Summary != "" {
		dst = append(append(dst, ": "...), e.Summary...)
	}
	return append(dst, '.')
}

func appendIdentity(dst []byte, e *Event) []byte {
	loser, winner := e.loserWinner()
	switch e.Change {
	case attribution.Merged:
		dst = append(append(dst, "Handprint identity "...), loser...)
		dst = append(append(dst, " was merged into "...), winner...)
		return append(dst, ": a clusterer says that they are the same hands."...)
	case attribution.Unmerged:
		dst = append(append(dst, "Handprint identity "...), loser...)
		if winner != "" {
			dst = append(append(dst, " was separated from "...), winner...)
		} else {
			dst = append(dst, " was separated"...)
		}
		return append(dst, " again."...)
	}
	dst = append(append(dst, "Handprint identity "...), e.Identity...)
	if e.Change == attribution.Formed {
		dst = append(dst, " was formed by a clusterer: "...)
	} else {
		dst = append(dst, " was linked by a clusterer: "...)
	}
	dst = strconv.AppendInt(dst, e.Moved, 10)
	if e.Moved == 1 {
		return append(dst, " source moved to it."...)
	}
	return append(dst, " sources moved to it."...)
}
