package attribution

import (
	"bytes"
	"cmp"
	"slices"
)

// Arrival is where an input record stood: the order in which observations
// arrived, which decides between equal ts and between two records of the same
// evidence. It stays what it was when an attacker moves.
type Arrival struct {
	Time      int64 // the record's timestamp, Unix milliseconds
	Partition int32
	Offset    int64
}

// Compare orders arrivals: earlier is negative.
func (a Arrival) Compare(b Arrival) int {
	if c := cmp.Compare(a.Time, b.Time); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Partition, b.Partition); c != 0 {
		return c
	}
	return cmp.Compare(a.Offset, b.Offset)
}

// Entry is one observation of a series.
type Entry struct {
	TS       float64 // Unix seconds
	Value    Value
	Evidence uint64  // hash of evidence_ref
	Place    Arrival // of the first record of this evidence
	Latest   Arrival // of the record whose value counts
	// Confidence is the sensor's, in [0, 1]; negative if it gave none. No
	// merger reads it.
	Confidence float64
}

// before reports whether e stands before f in its series.
func (e *Entry) before(f *Entry) bool {
	if e.TS != f.TS {
		return e.TS < f.TS
	}
	return e.Place.Compare(f.Place) < 0
}

// Gone is a HASH value that was pushed out of a series: the latest ts it had.
type Gone struct {
	Value Value
	TS    float64
}

// Series is what is kept of one (identity, primitive, attacker)
// (docs/attribution.md, "What is kept of a series").
type Series struct {
	Count   int64   // all observations taken, less replacements
	Entries []Entry // the newest, in series order: by TS, then by Place
	Gone    []Gone  // HASH only, in no order
	// Elsewhere is how many more HASH values were pushed out, which the caller
	// keeps: none of them is among Entries or Gone, and all lie within the hash
	// window before the newest entry. Take must not be told that such a series
	// is HASH: the caller does what it does about them.
	Elsewhere int
}

// Latest returns when a value was seen last, by the entries and the values that
// were pushed out; kept is false if it is not among them.
func (s *Series) Latest(v Value) (ts float64, kept bool) {
	for i := range s.Entries {
		if e := &s.Entries[i]; (!kept || e.TS > ts) && bytes.Equal(e.Value, v) {
			ts, kept = e.TS, true
		}
	}
	for i := range s.Gone {
		if g := &s.Gone[i]; (!kept || g.TS > ts) && bytes.Equal(g.Value, v) {
			ts, kept = g.TS, true
		}
	}
	return ts, kept
}

// Taken says what a series did with an observation.
type Taken uint8

// What Take answers.
const (
	Added    Taken = iota // a new entry
	Replaced              // the evidence was known: its entry was replaced
	Beyond                // older than all that is kept: counted, nothing else
)

// Take adds one observation to the series, or replaces the one of the same
// evidence. left is the entry that had to leave, if any: the one that was
// replaced, or the oldest when there is no more room.
func (s *Series) Take(e Entry, kind Kind, t *Thresholds) (taken Taken, left Entry, had bool) {
	if i := s.find(e.Evidence); i >= 0 {
		left = s.Entries[i]
		s.replace(i, e)
		s.forget(kind, t)
		return Replaced, left, true
	}
	s.Count++
	if len(s.Entries) >= t.SeriesEntries && e.TS < s.Entries[0].TS {
		return Beyond, Entry{}, false
	}
	s.insert(e)
	if len(s.Entries) > t.SeriesEntries {
		left, had = s.Entries[0], true
		s.Entries = slices.Delete(s.Entries, 0, 1)
		if kind == Hash && !bytes.Equal(left.Value, Null) {
			s.remember(left)
		}
	}
	s.forget(kind, t)
	return Added, left, had
}

func (s *Series) find(evidence uint64) int {
	for i := range s.Entries {
		if s.Entries[i].Evidence == evidence {
			return i
		}
	}
	return -1
}

// replace lets the record that arrived last count, whichever of the two is
// processed first; the place is that of the one that arrived first.
func (s *Series) replace(i int, e Entry) {
	old := s.Entries[i]
	if e.Latest.Compare(old.Latest) < 0 {
		e, old = old, e
	}
	if old.Place.Compare(e.Place) < 0 {
		e.Place = old.Place
	}
	s.Entries = slices.Delete(s.Entries, i, i+1)
	s.insert(e)
}

func (s *Series) insert(e Entry) {
	at := len(s.Entries)
	for at > 0 && e.before(&s.Entries[at-1]) {
		at--
	}
	s.Entries = slices.Insert(s.Entries, at, e)
}

func (s *Series) remember(e Entry) {
	for i := range s.Gone {
		if bytes.Equal(s.Gone[i].Value, e.Value) {
			s.Gone[i].TS = max(s.Gone[i].TS, e.TS)
			return
		}
	}
	s.Gone = append(s.Gone, Gone{Value: e.Value, TS: e.TS})
}

// forget drops the pushed-out values that lie outside the hash window before
// the newest entry, for good, and those over the limit: the oldest first, of
// equal ts the smaller string.
func (s *Series) forget(kind Kind, t *Thresholds) {
	if kind != Hash || len(s.Gone) == 0 {
		return
	}
	from := s.Entries[len(s.Entries)-1].TS - t.HashWindow
	s.Gone = slices.DeleteFunc(s.Gone, func(g Gone) bool { return g.TS < from })
	for len(s.Gone) > t.HashValues {
		first := 0
		for i := 1; i < len(s.Gone); i++ {
			if s.Gone[i].Less(&s.Gone[first]) {
				first = i
			}
		}
		s.Gone = slices.Delete(s.Gone, first, first+1)
	}
}

// Less reports whether g is forgotten before h, where there are too many: it
// was seen before h, or is the smaller string of two that were seen last at the
// same time.
func (g *Gone) Less(h *Gone) bool {
	if g.TS != h.TS {
		return g.TS < h.TS
	}
	return compareText(g.Value, h.Value) < 0
}
