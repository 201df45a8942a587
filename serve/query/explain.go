package query

import (
	"maps"

	"handprint/attribution"
	"handprint/engine"
)

// SuspicionExplanation is why an identity is suspected, or is not, with the
// suspicion itself as the catalogue has it.
type SuspicionExplanation struct {
	engine.SuspicionExplanation
	Suspicion *Suspicion `json:"suspicion"`
	Position  Position   `json:"position"`
	AsOf      float64    `json:"as_of"`
}

func (r *Reader) engineConfig() *engine.Config {
	return &engine.Config{Thresholds: r.Thresholds, Registry: r.Registry}
}

// Explain returns why a row says what it says. A primitive may be named as suspicions name
// it, cut.
func (r *Reader) Explain(id, primitive string) (*engine.Explanation, Position, error) {
	s, err := r.snapshot(r.home(id))
	if err != nil {
		return nil, Position{}, err
	}
	defer s.Close()
	whole, err := r.wholePrimitives(s, id, []string{primitive})
	if err != nil {
		return nil, Position{}, err
	}
	if name, cut := whole[primitive]; cut {
		primitive = name
	}
	x, found, err := engine.Explain(s, r.engineConfig(), id, primitive)
	switch {
	case err != nil:
		return nil, Position{}, fault(err)
	case found:
		if !x.Agrees && !x.Unsettled {
			r.disagreed.Add(1)
		}
		return &x, s.position(), nil
	}
	if _, _, err := r.view(id); err != nil {
		return nil, Position{}, err
	}
	return nil, Position{}, problem(NoRow, "This identity has no row of this primitive.")
}

// wholePrimitives returns the names of primitives that are named as suspicions name them,
// cut. The catalogue knows all of them. While it is not complete, or leaves some out, rows are searched for them,
// within one bound for all.
func (r *Reader) wholePrimitives(s *snapshot, id string, names []string) (map[string]string, error) {
	c, _ := r.Source.Catalog()
	whole, unknown := make(map[string]string), []string(nil)
	for _, name := range names {
		if _, cut := attribution.BeginOfShort(name); !cut {
			continue
		}
		if n, ok := c.WholePrimitive(name); ok {
			whole[name] = n
		} else {
			unknown = append(unknown, name)
		}
	}
	crowded, _ := c.IsCrowded()
	if _, err := r.catalog(); err == nil && !crowded || len(unknown) == 0 {
		return whole, nil // a complete one lacks no name
	}
	found, err := engine.WholePrimitives(s, id, unknown)
	if err != nil {
		return nil, fault(err)
	}
	maps.Copy(whole, found)
	return whole, nil
}

// Disagreed returns how many explanations did not give what the row says, which is a
// fault unless thresholds have been changed.
func (r *Reader) Disagreed() int64 { return r.disagreed.Load() }

// ExplainSuspicion returns why an identity is suspected, or is not.
func (r *Reader) ExplainSuspicion(id string) (*SuspicionExplanation, error) {
	if _, _, err := r.view(id); err != nil {
		return nil, err
	}
	s, err := r.snapshot(r.home(id))
	if err != nil {
		return nil, err
	}
	defer s.Close()
	x, err := engine.ExplainSuspicion(s, r.engineConfig(), id)
	if err != nil {
		return nil, fault(err)
	}
	c, _ := r.Source.Catalog()
	return &SuspicionExplanation{SuspicionExplanation: x, Suspicion: r.suspicion(c, c.SuspicionOf(id)), Position: s.position(), AsOf: s.asOf}, nil
}
