package cowrie

import (
	"container/heap"
	"container/list"
)

// tracker knows every session that is open and every ended one that is still
// remembered (docs/cowrie.md, "Session").
type tracker struct {
	sensors map[string]*sensor
	// byOpening has all sessions in the order in which they opened; open and
	// finished have each of them once, finished in the order of their ends.
	byOpening, open, finished list.List
	held                      int // bytes that the facts of the open ones take
}

// sensor is one sensor's sessions.
type sensor struct {
	name     string
	sessions map[string]*session
	due      dueHeap
}

// find returns the sensor and its session of that key, nil where unknown.
func (t *tracker) find(name, key []byte) (*sensor, *session) {
	sn := t.sensors[string(name)]
	if sn == nil {
		return nil, nil
	}
	return sn, sn.sessions[string(key)]
}

// add opens a session.
func (t *tracker) add(h *header) *session {
	sn := t.sensors[string(h.sensor)]
	if sn == nil {
		sn = &sensor{name: string(h.sensor), sessions: map[string]*session{}}
		t.sensors[sn.name] = sn
	}
	s := &session{sensor: sn, key: string(h.session), first: h.time, latest: h.time, due: h.time, facts: &facts{}}
	sn.sessions[s.key] = s
	heap.Push(&sn.due, s)
	s.byOpening = t.byOpening.PushBack(s)
	s.byState = t.open.PushBack(s)
	s.facts.held = sessionBytes + len(s.key)
	t.held += s.facts.held
	return s
}

const sessionBytes = 1024 // an open session with all its facts but the entries

// finish takes away what an open session holds and remembers it as ended.
func (t *tracker) finish(s *session) {
	t.held -= s.facts.held
	s.facts = nil
	t.open.Remove(s.byState)
	s.byState = t.finished.PushBack(s)
}

// forget drops an ended session: its key is free again.
func (t *tracker) forget(s *session) {
	t.byOpening.Remove(s.byOpening)
	t.finished.Remove(s.byState)
	heap.Remove(&s.sensor.due, s.index)
	delete(s.sensor.sessions, s.key)
	if len(s.sensor.sessions) == 0 {
		delete(t.sensors, s.sensor.name)
	}
}

// oldest returns the front of one of the lists, nil if it is empty.
func oldest(l *list.List) *session {
	if front := l.Front(); front != nil {
		return front.Value.(*session)
	}
	return nil
}

// expired returns a session of the sensor whose latest event is before limit,
// nil if there is none.
func (sn *sensor) expired(limit micros) *session {
	for len(sn.due) > 0 && sn.due[0].due < limit {
		s := sn.due[0]
		if s.latest < limit {
			return s
		}
		// The session has had events since it was put here: only now, once per
		// timeout and not once per event, is its place put right.
		s.due = s.latest
		heap.Fix(&sn.due, 0)
	}
	return nil
}

// dueHeap is a heap of sessions by due.
type dueHeap []*session

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due < h[j].due }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for package heap.
func (h *dueHeap) Push(x any) {
	s := x.(*session)
	s.index = len(*h)
	*h = append(*h, s)
}

// Pop is for package heap.
func (h *dueHeap) Pop() any {
	old := *h
	last := len(old) - 1
	s := old[last]
	old[last] = nil
	*h = old[:last]
	return s
}
