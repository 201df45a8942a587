package ui

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// keptValue is a value of a window: how often and when it was seen.
type keptValue struct {
	letter      byte
	value       json.RawMessage
	seen        int
	first, last float64
	held, of    int // rows of the primitive that have it now, and all
}

// maxKept bounds the values of a window that are listed.
const maxKept = 12

// keptValues are the different values of a window, by letter.
func keptValues(l letters, entries []entry) []keptValue {
	var out []keptValue
	for _, e := range entries {
		i := slices.IndexFunc(out, func(k keptValue) bool { return key(k.value) == key(e.Value) })
		if i < 0 {
			if len(out) == maxKept {
				continue
			}
			i = len(out)
			out = append(out, keptValue{letter: l[key(e.Value)], value: e.Value, first: e.TS, last: e.TS})
		}
		out[i].seen++
		out[i].first, out[i].last = min(out[i].first, e.TS), max(out[i].last, e.TS)
	}
	slices.SortStableFunc(out, func(x, y keptValue) int { return cmp.Compare(x.letter, y.letter) })
	return out
}

// returnSteps say what a fingerprint's runs add to a suspicion; nil: it is no
// fingerprint that can return, or it has one value.
func returnSteps(d *whyData) []step {
	if d.Merger != "hash" || len(d.kept) < 2 {
		return nil
	}
	runs, back := 0, 0
	last, seen := "", map[string]bool{}
	for _, e := range d.Window.entries() {
		v := key(e.Value)
		if v == last {
			continue
		}
		runs++
		if seen[v] {
			back++
		}
		seen[v], last = true, v
	}
	parts := make([]string, len(d.kept))
	for i, v := range d.kept {
		parts[i] = fmt.Sprintf("%c ×%d", v.letter, v.seen)
	}
	text := "it does not count as one that returns"
	if d.Row.Returns {
		text = "one returned: that is evidence of several actors"
	}
	return []step{
		{Rule: "values", Text: strings.Join(parts, ", "), Holds: true},
		{Rule: "came back", Text: fmt.Sprintf("%s of %s: %s", plural(runs, "run", "runs"), plural(len(seen), "value", "values"), plural(back, "return", "returns")), Holds: back > 0},
		{Rule: "returns", Text: text, Holds: d.Row.Returns, Decides: true},
	}
}

// thresholdsInWords are the thresholds that the row's merger looks at.
func thresholdsInWords(d *whyData) string {
	names := []string{"window", "min_observations", "categorical_majority", "multi_actor_confidence_cap"}
	switch d.Merger {
	case "numeric":
		names = []string{"window", "min_observations", "numeric_ewma_alpha", "numeric_drift_mean_shift", "numeric_conflict_cv"}
	case "hash":
		names = []string{"hash_window", "hash_drift_max_rotations"}
	}
	parts := make([]string, 0, len(names))
	for _, name := range names {
		f, ok := d.Thresholds[name]
		if !ok {
			continue
		}
		text := strconv.FormatFloat(f, 'g', 6, 64)
		if name == "hash_window" && f > 0 && f < 1e9 {
			text = span(time.Duration(f * 1e9))
		}
		parts = append(parts, strings.ReplaceAll(name, "_", " ")+" "+text)
	}
	return strings.Join(parts, " · ")
}

// whyInWords is the answer as one sentence.
func whyInWords(d *whyData) string {
	recent := d.Window.Recent
	quote := func(v json.RawMessage) string { return "“" + shorter(valueText(v), 60) + "”" }
	if d.Merger == "hash" {
		n := len(d.kept)
		switch {
		case n == 0:
			return "Nothing is kept of it."
		case d.Row.Returns:
			return fmt.Sprintf("%s within %s. That alone is %s; that one came back after another is evidence of several actors.", plural(n, "fingerprint", "fingerprints"), hashSpan(d), stateWord(d.Row.State))
		case n == 1:
			return "One value, " + quote(d.Row.Value) + ", within " + hashSpan(d) + "."
		default:
			return fmt.Sprintf("%s within %s: it changed %s.", plural(n, "value", "values"), hashSpan(d), times(n-1))
		}
	}
	if len(recent) == 0 {
		return "Nothing is kept of it."
	}
	switch d.Row.State {
	case "multi_actor":
		if len(d.kept) >= 2 {
			a := recent[len(recent)-1].Value
			for _, e := range recent {
				if key(e.Value) != key(a) {
					return fmt.Sprintf("Of the last %s, %s and %s take turns.", plural(len(recent), "observation", "observations"), quote(a), quote(e.Value))
				}
			}
		}
		return "Two values take turns."
	case "stable":
		if d.Merger == "numeric" {
			return fmt.Sprintf("The last %s lie close together, and where those before did.", plural(len(recent), "number", "numbers"))
		}
		return fmt.Sprintf("Of the last %s, most are %s, and so were those before.", plural(len(recent), "observation", "observations"), quote(d.Row.Value))
	case "drifting":
		if d.Merger == "numeric" {
			return "The numbers agree with each other, but their mean has moved."
		}
		return fmt.Sprintf("The last %s agree on %s; those before had another value.", plural(len(recent), "observation", "observations"), quote(d.Row.Value))
	case "conflicted":
		if d.Merger == "numeric" {
			return "The numbers are spread too far to agree."
		}
		return fmt.Sprintf("The last %s have %s, none often enough, and no two take turns.", plural(len(recent), "observation", "observations"), plural(distinctIn(recent), "value", "values"))
	default:
		return fmt.Sprintf("%s: too little to say more.", plural(len(d.Window.entries()), "observation", "observations"))
	}
}

func distinctIn(entries []entry) int {
	seen := map[string]bool{}
	for _, e := range entries {
		seen[key(e.Value)] = true
	}
	return len(seen)
}

// hashSpan is how long the window of a HASH row is.
func hashSpan(d *whyData) string {
	if w := d.Thresholds["hash_window"]; w > 0 && w < 1e9 {
		return span(time.Duration(w * 1e9))
	}
	return "24 h"
}

// endsInWords says how long the state would hold if nothing but the newest value came.
func endsInWords(d *whyData) string {
	entries := d.Window.entries()
	if len(entries) == 0 {
		return ""
	}
	return fmt.Sprintf("If only “%s” comes from now on, the state ends after %s.", shorter(valueText(entries[len(entries)-1].Value), 60), plural(d.EndsAfter, "more observation", "more observations"))
}
