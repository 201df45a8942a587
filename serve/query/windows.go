package query

import "handprint/engine"

// Windows explains several rows of an identity from one snapshot, and returns where
// that lies. A row that there is not is left out.
func (r *Reader) Windows(id string, primitives []string) (map[string]*engine.Explanation, Position, error) {
	s, err := r.snapshot(r.home(id))
	if err != nil {
		return nil, Position{}, err
	}
	defer s.Close()
	out := make(map[string]*engine.Explanation, len(primitives))
	for _, primitive := range primitives {
		x, found, err := engine.Explain(s, r.engineConfig(), id, primitive)
		if err != nil {
			return nil, Position{}, fault(err)
		}
		if found {
			out[primitive] = &x
		}
	}
	return out, s.position(), nil
}
