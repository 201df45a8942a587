package query

import (
	"cmp"

	"handprint/engine"
)

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
	names, err := r.wholePrimitives(s, id, primitives)
	if err != nil {
		return nil, Position{}, err
	}
	for _, primitive := range primitives {
		x, found, err := engine.Explain(s, r.engineConfig(), id, cmp.Or(names[primitive], primitive))
		if err != nil {
			return nil, Position{}, fault(err)
		}
		if found {
			out[primitive] = &x
		}
	}
	return out, s.position(), nil
}
