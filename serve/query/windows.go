package query

import "handprint/engine"

// Windows explains several rows of an identity from one snapshot, and returns where
// that lies. A row that there is not is left out. A primitive may be named as suspicions
// name it, cut.
func (r *Reader) Windows(id string, primitives []string) (map[string]*engine.Explanation, Position, error) {
	s, err := r.snapshot(r.home(id))
	if err != nil {
		return nil, Position{}, err
	}
	defer s.Close()
	out := make(map[string]*engine.Explanation, len(primitives))
	for _, primitive := range primitives {
		whole, err := engine.WholePrimitive(s, id, primitive)
		if err != nil {
			return nil, Position{}, fault(err)
		}
		x, found, err := engine.Explain(s, r.engineConfig(), id, whole)
		if err != nil {
			return nil, Position{}, fault(err)
		}
		if found {
			out[primitive] = &x
		}
	}
	return out, s.position(), nil
}
