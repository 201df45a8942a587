package query

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"handprint/attribution"
)

func pairOf(s *attribution.Suggestion) Pair {
	p := Pair{A: s.A, B: s.B, Score: s.Score, Agree: []Agreement{}, Disagree: []Agreement{}}
	for _, a := range s.Agree {
		p.Agree = append(p.Agree, Agreement{a.Primitive, jsonValue(a.Value), a.Holders, a.Of, a.Bits})
	}
	for _, d := range s.Disagree {
		p.Disagree = append(p.Disagree, Agreement{Primitive: d.Primitive, Bits: d.Bits})
	}
	return p
}

func pairsOf(list []attribution.Suggestion) []Pair {
	pairs := make([]Pair, 0, len(list))
	for i := range list {
		pairs = append(pairs, pairOf(&list[i]))
	}
	return pairs
}

// Similar returns identities that behave alike.
func (r *Reader) Similar(ctx context.Context, id string, limit int) (*PairList, error) {
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	found, complete, ok := c.Similar(ctx, id, min(limitOf(limit), 50))
	if !ok {
		return nil, problem(UnknownIdentity, "There is no identity with this id.")
	}
	if ctx.Err() != nil {
		return nil, fault(ctx.Err())
	}
	now := r.AsOf()
	return &PairList{Items: pairsOf(found), ComputedAt: now, Complete: complete, AsOf: now}, nil
}

// suggestions are computed in the background, when somebody asks and the last ones
// have grown old: they take seconds where there is much.
type suggestions struct {
	mu       sync.Mutex
	at       time.Time
	pairs    []attribution.Suggestion
	complete bool
	done     chan struct{} // closed when the computation that is due has ended; nil: none is due
	wanted   chan struct{} // has room for one
}

const (
	// suggestAgain is for how long suggestions are shown before they are computed anew.
	suggestAgain = time.Minute
	// suggestWait is how long an answer waits for suggestions that are being computed.
	suggestWait = 2 * time.Second
	// maxSuggestions bounds the suggestions that are kept.
	maxSuggestions = 1000
)

// want has suggestions computed if they are old, and returns what is closed when they
// are there; nil: they are.
func (s *suggestions) want(now time.Time) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil && !s.at.IsZero() && now.Sub(s.at) < suggestAgain && !now.Before(s.at) {
		return nil
	}
	if s.done == nil {
		s.done = make(chan struct{})
		s.wanted <- struct{}{} // there is room: nothing was wanted
	}
	return s.done
}

// Work computes in the background what takes long, until ctx ends.
func (r *Reader) Work(ctx context.Context) {
	s := &r.suggestions
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wanted:
		}
		c, _ := r.Source.Catalog()
		pairs, complete := c.Suggest(ctx, 0, maxSuggestions)
		s.mu.Lock()
		s.pairs, s.complete, s.at = pairs, complete, r.Now()
		close(s.done)
		s.done = nil
		s.mu.Unlock()
	}
}

// Suggestions returns the pairs that score highest, at least minScore, as they were
// computed last: a minute ago at most, or while they are being computed anew.
func (r *Reader) Suggestions(minScore float64, limit int) (*PairList, error) {
	if _, err := r.catalog(); err != nil {
		return nil, err
	}
	s := &r.suggestions
	if done := s.want(r.Now()); done != nil {
		t := time.NewTimer(suggestWait)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.IsZero() {
		p := problem(CatalogBuilding, "Suggestions are being computed for the first time since the start.")
		p.After = suggestWait
		return nil, p
	}
	end := len(s.pairs)
	if minScore > 0 {
		end = slices.IndexFunc(s.pairs, func(p attribution.Suggestion) bool { return p.Score < minScore })
		if end < 0 {
			end = len(s.pairs)
		}
	}
	return &PairList{Items: pairsOf(s.pairs[:min(end, limitOf(limit))]), ComputedAt: float64(s.at.UnixMilli()) / 1000, Complete: s.complete, AsOf: r.AsOf()}, nil
}

// Compare returns two identities side by side.
func (r *Reader) Compare(a, b string) (*Comparison, error) {
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	left, err := r.Attribution(a)
	if err != nil {
		return nil, err
	}
	right, err := r.Attribution(b)
	if err != nil {
		return nil, err
	}
	s, _ := c.Compare(a, b)
	bits := map[string]float64{}
	relation := map[string]string{}
	for _, x := range s.Agree {
		bits[x.Primitive], relation[x.Primitive] = x.Bits, "agree"
	}
	for _, x := range s.Disagree {
		bits[x.Primitive], relation[x.Primitive] = x.Bits, "disagree"
	}
	byPrimitive := map[string]*ComparedRow{}
	for i := range left.Rows {
		row := &left.Rows[i]
		byPrimitive[row.Primitive] = &ComparedRow{Primitive: row.Primitive, A: row}
	}
	for i := range right.Rows {
		row := &right.Rows[i]
		if byPrimitive[row.Primitive] == nil {
			byPrimitive[row.Primitive] = &ComparedRow{Primitive: row.Primitive}
		}
		byPrimitive[row.Primitive].B = row
	}
	to := &Comparison{A: a, B: b, Score: s.Score, Rows: []ComparedRow{}, AsOf: min(left.AsOf, right.AsOf)}
	for name, row := range byPrimitive {
		row.Bits, row.Relation = bits[name], relation[name]
		switch {
		case row.A == nil || row.B == nil:
			row.Relation = "one_sided"
		case row.Relation == "":
			row.Relation = "not_stable"
		}
		to.Rows = append(to.Rows, *row)
	}
	slices.SortFunc(to.Rows, func(x, y ComparedRow) int {
		return cmp.Or(cmp.Compare(math.Abs(y.Bits), math.Abs(x.Bits)), strings.Compare(x.Primitive, y.Primitive))
	})
	return to, nil
}
