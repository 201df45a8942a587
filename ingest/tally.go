package ingest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Count is how often something was.
type Count struct {
	Name string // in words joined by underscores, such as "after_end"
	N    int64
}

// inWords returns the name in words; a reason stays as it is.
func (c Count) inWords() string {
	if strings.Contains(c.Name, " ") {
		return c.Name
	}
	return strings.ReplaceAll(c.Name, "_", " ")
}

// Tally says what has become of the lines of an input.
type Tally struct {
	Lines int64
	// Of says for each line what became of it: the counts add up to Lines and
	// Extra.
	Of []Count
	// Extra counts events beyond the first of a line.
	Extra int64
	// Also counts other things, such as sessions.
	Also []Count
	// Used counts the lines that are the sensor's, of whatever use they were.
	Used int64
	// Reasons counts the dead letters by their reason.
	Reasons []Count
	// Notes are sentences for the user about the input as a whole.
	Notes []string
}

// Accounted is the sum of what became of the lines.
func (t *Tally) Accounted() int64 {
	var n int64
	for _, c := range t.Of {
		n += c.N
	}
	return n
}

// String returns the tally as one line, without what is zero.
func (t *Tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d lines", t.Lines)
	list := func(lead string, counts []Count) {
		for _, c := range counts {
			if c.N != 0 {
				fmt.Fprintf(&b, "%s%d %s", lead, c.N, c.inWords())
				lead = ", "
			}
		}
	}
	list(": ", t.Of)
	if t.Extra > 0 {
		fmt.Fprintf(&b, "; %d events more than lines", t.Extra)
	}
	list("; ", t.Also)
	list("; dead letters: ", t.Reasons)
	return b.String()
}

// MarshalJSON writes the tally as one object, zeros included.
func (t *Tally) MarshalJSON() ([]byte, error) {
	b := fmt.Appendf(nil, `{"lines":%d`, t.Lines)
	for _, c := range slices.Concat(t.Of, []Count{{"extra_events", t.Extra}}, t.Also) {
		b = fmt.Appendf(b, `,%q:%d`, c.Name, c.N)
	}
	b = append(b, `,"reasons":{`...)
	for i, c := range t.Reasons {
		name, err := json.Marshal(c.Name)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(append(b, name...), `:%d`, c.N)
	}
	return append(b, '}', '}'), nil
}

// reasons counts dead letters by their reason.
type reasons map[string]int64

// maxReasons bounds how many are told apart.
const maxReasons = 100

func (r reasons) add(reason string) {
	if _, known := r[reason]; !known && len(r) >= maxReasons {
		reason = "others"
	}
	r[reason]++
}

// counts returns the reasons, the most frequent first.
func (r reasons) counts() []Count {
	out := make([]Count, 0, len(r))
	for name, n := range r {
		out = append(out, Count{name, n})
	}
	slices.SortFunc(out, func(a, b Count) int {
		if a.N != b.N {
			return int(b.N - a.N)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}
