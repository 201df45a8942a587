package catalog

import (
	"cmp"
	"slices"
	"strings"
)

// Reason is one piece of a suspicion's evidence.
type Reason struct {
	Primitive string
	Kind      string   // alternates or returns
	Group     string   // its evidence group
	Values    []string // canonical JSON each
	New       bool     // no earlier event of the suspicion has named it
}

// Suspicion is a suspicion as its last event left it.
type Suspicion struct {
	ID         string // the same from raised to cleared
	EventID    string // of the last event
	Identity   string
	Status     string  // raised, grown, cleared, or replaced: by a later one of its identity
	Since      float64 // when it was raised, Unix seconds
	TS         float64 // of the last event, Unix seconds
	Confidence float64
	Primitives []string // sorted
	Reasons    []Reason // one for each primitive; none under the rule primitives
	Groups     []string // sorted
	Summary    string   // in words a person reads
	Partition  int32    // of the last event
	Offset     int64    // of the last event
}

// The statuses of a suspicion.
const (
	Raised   = "raised"
	Grown    = "grown"
	Cleared  = "cleared"
	Replaced = "replaced"
)

// IsOpen reports whether the suspicion holds now.
func (s *Suspicion) IsOpen() bool { return s.Status == Raised || s.Status == Grown }

// Bounds of the suspicions that are over and still listed: of their number, and of their
// bytes, since each may name a thousand primitives that an attacker has made up.
const (
	maxCleared      = 10_000
	maxClearedBytes = 64 << 20
)

// PutSuspicion says what an event has said of a suspicion. Events of one identity
// come in order; one that has been given already is ignored.
func (w *Writer) PutSuspicion(s *Suspicion) {
	c := w.c
	n := w.number([]byte(s.Identity))
	kept := *s
	if before := c.suspicions[s.ID]; before != nil {
		if before.TS > s.TS {
			return
		}
		if before.EventID != s.EventID || kept.Since == 0 {
			kept.Since = before.Since
		}
	} else if kept.Since == 0 {
		kept.Since = s.TS
	}
	if last := c.latest[n]; last != nil && last.ID != kept.ID {
		if last.TS > kept.TS {
			kept.Status = Replaced
			c.keep(&kept)
			return
		}
		if last.IsOpen() {
			replaced := *last
			replaced.Status = Replaced
			c.keep(&replaced)
		}
	}
	c.keep(&kept)
	c.latest[n] = &kept
	if c.over > 2*maxCleared || c.overBytes > 2*maxClearedBytes {
		c.thinOut()
	}
}

// keep puts a suspicion in the place of what was known of it.
func (c *Catalog) keep(s *Suspicion) {
	c.forget(s.ID)
	c.suspicions[s.ID] = s
	c.count(s, 1)
}

// forget drops a suspicion, if it is known.
func (c *Catalog) forget(id string) {
	if s := c.suspicions[id]; s != nil {
		c.count(s, -1)
		delete(c.suspicions, id)
	}
}

// count counts a suspicion in or, below zero, out.
func (c *Catalog) count(s *Suspicion, by int) {
	bytes := by * s.memory()
	c.suspicionBytes += bytes
	if !s.IsOpen() {
		c.over += by
		c.overBytes += bytes
	}
}

// memory returns about how many bytes a suspicion takes: one may name a thousand
// primitives that an attacker has made up, with their values.
func (s *Suspicion) memory() int {
	n := suspicionBytes + len(s.Summary) + len(s.Reasons)*reasonBytes
	for _, texts := range [][]string{s.Primitives, s.Groups} {
		for _, text := range texts {
			n += stringBytes + len(text)
		}
	}
	for i := range s.Reasons {
		r := &s.Reasons[i]
		n += len(r.Primitive) + len(r.Group)
		for _, v := range r.Values {
			n += stringBytes + len(v)
		}
	}
	return n
}

// thinOut drops the oldest suspicions that are over, down to the bounds.
func (c *Catalog) thinOut() {
	var over []*Suspicion
	for _, s := range c.suspicions {
		if !s.IsOpen() {
			over = append(over, s)
		}
	}
	slices.SortFunc(over, func(a, b *Suspicion) int { return cmp.Compare(b.TS, a.TS) })
	kept, bytes := 0, 0
	for ; kept < min(len(over), maxCleared) && bytes+over[kept].memory() <= maxClearedBytes; kept++ {
		bytes += over[kept].memory()
	}
	for _, s := range over[kept:] {
		c.forget(s.ID)
		if n, ok := c.ids.find([]byte(s.Identity)); ok && c.latest[n] != nil && c.latest[n].ID == s.ID {
			delete(c.latest, n)
		}
	}
}

// SuspicionFilter says which suspicions are asked for.
type SuspicionFilter struct {
	Statuses      []string // any of these; none: all but replaced ones
	Current       bool     // only suspicions that hold now
	MinConfidence float64
	Identity      string // empty: of all
	Since, Before float64
}

// SuspicionKey is the place of a suspicion in the order of the list.
type SuspicionKey struct {
	TS float64
	ID string
}

// Suspicions returns suspicions that match, the newest first, from behind after
// unless it is nil, at most limit, and how many match altogether. What it returns
// is not to be changed.
func (c *Catalog) Suspicions(f *SuspicionFilter, after *SuspicionKey, limit int) (page []*Suspicion, total int) {
	c.mu.RLock()
	var all []*Suspicion
	if f.Current {
		for _, s := range c.latest {
			if f.takes(s) {
				all = append(all, s)
			}
		}
	} else {
		for _, s := range c.suspicions {
			if f.takes(s) {
				all = append(all, s)
			}
		}
	}
	c.mu.RUnlock()
	order := func(a, b *Suspicion) int {
		return cmp.Or(cmp.Compare(b.TS, a.TS), strings.Compare(a.ID, b.ID))
	}
	slices.SortFunc(all, order)
	total = len(all)
	if after != nil {
		at, found := slices.BinarySearchFunc(all, &Suspicion{TS: after.TS, ID: after.ID}, order)
		if found {
			at++
		}
		all = all[at:]
	}
	return all[:min(limit, len(all))], total
}

func (f *SuspicionFilter) takes(s *Suspicion) bool {
	switch {
	case f.Current && !s.IsOpen(),
		f.Identity != "" && s.Identity != f.Identity,
		s.Confidence < f.MinConfidence && f.MinConfidence > 0,
		f.Since > 0 && s.TS < f.Since,
		f.Before > 0 && s.TS >= f.Before:
		return false
	case len(f.Statuses) > 0:
		return slices.Contains(f.Statuses, s.Status)
	}
	return s.Status != Replaced
}

// openSuspicion returns the suspicion of an identity that holds now, nil if there
// is none.
func (c *Catalog) openSuspicion(n uint32) *Suspicion {
	if s := c.latest[n]; s != nil && s.IsOpen() {
		return s
	}
	return nil
}

// SuspicionOf returns the suspicion of an identity that holds now, nil if there is
// none. It is not to be changed.
func (c *Catalog) SuspicionOf(id string) *Suspicion {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if n, ok := c.ids.find([]byte(id)); ok {
		return c.openSuspicion(n)
	}
	return nil
}
