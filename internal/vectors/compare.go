package vectors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// near compares as the vectors do: within 1e-9, relative.
func near(a, b float64) bool {
	return a == b || math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b))
}

// SameValue compares two JSON values, numbers as doubles within 1e-9.
func SameValue(a, b json.RawMessage) bool {
	var x, y any
	if decode(a, &x) != nil || decode(b, &y) != nil {
		return bytes.Equal(a, b)
	}
	return same(x, y)
}

func decode(raw json.RawMessage, into *any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(into)
}

func same(x, y any) bool {
	switch x := x.(type) {
	case json.Number:
		y, ok := y.(json.Number)
		if !ok {
			return false
		}
		a, _ := x.Float64()
		b, _ := y.Float64()
		return near(a, b)
	case []any:
		y, ok := y.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !same(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := y.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			v, there := y[k]
			if !there || !same(x[k], v) {
				return false
			}
		}
		return true
	}
	return x == y
}

// SameEvent reports whether an event is the one that is wanted, but for rounding
// and suspicion_id.
func SameEvent(want, got Event) bool {
	if len(want.Previous) > 0 && !SameValue(want.Previous, got.Previous) {
		return false
	}
	if want.Type == "multi_actor_suspected" && want.Status == "" {
		want.TS, got.TS = 0, 0
	}
	if want.Status != "" {
		want.Summary, got.Summary = "", ""
	}
	return want.Status == got.Status && slices.Equal(want.Groups, got.Groups) && slices.EqualFunc(want.Reasons, got.Reasons, sameReason) &&
		want.Type == got.Type && want.Identity == got.Identity && want.Primitive == got.Primitive &&
		text(want.OldState) == text(got.OldState) && want.NewState == got.NewState &&
		near(want.Confidence, got.Confidence) && want.Count == got.Count && near(want.TS, got.TS) &&
		strings.Join(want.Primitives, " ") == strings.Join(got.Primitives, " ") && want.Summary == got.Summary &&
		(len(want.Value) == 0 && len(got.Value) == 0 || SameValue(want.Value, got.Value))
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func sameReason(a, b Reason) bool {
	return a.Primitive == b.Primitive && a.Kind == b.Kind && a.Group == b.Group && a.New == b.New && slices.EqualFunc(a.Values, b.Values, SameValue)
}

// Matcher compares the events of one line, step by step. The same name of a
// suspicion_id is the same id all along, and two names are two ids.
type Matcher struct{ ids, names map[string]string }

// Diff is DiffEvents that compares suspicion_id too.
func (m *Matcher) Diff(want, got []Event) string {
	if diff := DiffEvents(want, got); diff != "" {
		return diff
	}
	if m.ids == nil {
		m.ids, m.names = make(map[string]string), make(map[string]string)
	}
	for _, w := range want {
		if w.SuspicionID == "" {
			continue
		}
		for _, g := range got {
			if !SameEvent(w, g) {
				continue
			}
			id, known := m.ids[w.SuspicionID]
			name, named := m.names[g.SuspicionID]
			if known != named || known && (id != g.SuspicionID || name != w.SuspicionID) {
				return fmt.Sprintf("suspicion_id %s is %q, was %q", w.SuspicionID, g.SuspicionID, id)
			}
			m.ids[w.SuspicionID], m.names[g.SuspicionID] = g.SuspicionID, w.SuspicionID
		}
	}
	return ""
}

// DiffEvents says how got differs from want, in any order; empty if it does
// not.
func DiffEvents(want, got []Event) string {
	left := append([]Event(nil), got...)
	var missing []Event
next:
	for _, w := range want {
		for i, g := range left {
			if SameEvent(w, g) {
				left = append(left[:i], left[i+1:]...)
				continue next
			}
		}
		missing = append(missing, w)
	}
	if len(missing) == 0 && len(left) == 0 {
		return ""
	}
	return fmt.Sprintf("missing %s, unexpected %s", show(missing), show(left))
}

// DiffRows says how the rows differ, in any order; empty if they do not.
func DiffRows(want, got []Row) string {
	key := func(r Row) string { return r.Identity + "/" + r.Primitive }
	have := make(map[string]Row, len(got))
	for _, r := range got {
		have[key(r)] = r
	}
	for _, w := range want {
		g, ok := have[key(w)]
		if !ok {
			return "missing row " + show(w)
		}
		delete(have, key(w))
		if w.State != g.State || w.Returns != g.Returns || w.Count != g.Count || !near(w.Confidence, g.Confidence) || !SameValue(w.Value, g.Value) ||
			!near(w.LastObservationTS, g.LastObservationTS) || !near(w.LastChangeTS, g.LastChangeTS) {
			return fmt.Sprintf("row is %s, want %s", show(g), show(w))
		}
	}
	for _, g := range have {
		return "unexpected row " + show(g)
	}
	return ""
}

func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(b)
}
