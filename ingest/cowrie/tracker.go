package cowrie

import (
	"container/heap"
	"container/list"
	"hash/maphash"
)

// tracker knows every session that is open and every ended one that is still
// remembered (docs/cowrie.md, "Session").
type tracker struct {
	sensors map[string]*sensor
	// byOpening has all sessions in the order in which they opened; open and
	// finished have each of them once, finished in the order of their ends.
	byOpening, open, finished list.List
	held                      int // bytes that the facts of the open ones take
	used                      usedIDs

	timeout, tunnelTimeout micros
}

// sensor is one sensor's sessions.
type sensor struct {
	name   string
	newest micros // time of its latest event so far
	// sessions has, for each session id, the session that opened last; the
	// earlier ones hang on it.
	sessions map[string]*session
	due      dueHeap
}

// find returns the session of a sensor that opened last under an id, nil if
// there is none.
func (t *tracker) find(name, key []byte) *session {
	if sn := t.sensors[string(name)]; sn != nil {
		return sn.sessions[string(key)]
	}
	return nil
}

// maxSameID is how many sessions of one id are known at once.
const maxSameID = 256

// add opens a session of a source.
func (t *tracker) add(h *header, from source) *session {
	sn := t.sensors[string(h.sensor)]
	if sn == nil {
		sn = &sensor{name: string(h.sensor), sessions: map[string]*session{}, newest: h.time}
		t.sensors[sn.name] = sn
	}
	s := &session{sensor: sn, key: string(h.session), first: h.time, latest: h.time, due: h.time, source: from, sourceAt: h.time, facts: &facts{}}
	s.earlier = sn.sessions[s.key]
	sn.sessions[s.key] = s
	heap.Push(&sn.due, s)
	s.byOpening = t.byOpening.PushBack(s)
	s.byState = t.open.PushBack(s)
	s.facts.held = sessionBytes + len(s.key) + len(from.opaque)
	t.held += s.facts.held
	return s
}

const sessionBytes = 1024 // an open session with all its facts but the entries

// again reports whether an id had a session before the one that begins now.
func (t *tracker) again(s *session) bool {
	first, used := t.used.first(s.sensor.name, s.key)
	if !used {
		t.used.note(s.sensor.name, s.key, s.first)
	}
	return s.earlier != nil || used && first != s.first
}

// finish takes away what an open session holds and remembers it as ended.
func (t *tracker) finish(s *session) {
	t.held -= s.facts.held
	s.facts, s.rawSource = nil, nil
	t.open.Remove(s.byState)
	s.byState = t.finished.PushBack(s)
}

// forget drops an ended session.
func (t *tracker) forget(s *session) {
	t.byOpening.Remove(s.byOpening)
	t.finished.Remove(s.byState)
	heap.Remove(&s.sensor.due, s.index)
	if last := s.sensor.sessions[s.key]; last != s {
		for last.earlier != s {
			last = last.earlier
		}
		last.earlier = s.earlier
		return
	}
	if s.earlier != nil {
		s.sensor.sessions[s.key] = s.earlier
		return
	}
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

// deadline is the time after which a line of its sensor ends the session, or
// lets it be forgotten.
func (t *tracker) deadline(s *session) micros {
	if s.cut || !s.ended() && s.facts.tunnel {
		return s.latest + max(t.timeout, t.tunnelTimeout)
	}
	return s.latest + t.timeout
}

// expired returns a session of the sensor whose deadline is before now, nil if
// there is none.
func (t *tracker) expired(sn *sensor, now micros) *session {
	for len(sn.due) > 0 && sn.due[0].due+t.timeout < now {
		s := sn.due[0]
		deadline := t.deadline(s)
		if deadline < now {
			return s
		}
		// The session has had events since it was put here: only now, once per
		// timeout and not once per event, is its place put right.
		s.due = deadline - t.timeout
		heap.Fix(&sn.due, 0)
	}
	return nil
}

// usedIDs remembers which ids have had a session, and when it began, beyond
// the time for which the sessions themselves are known. Of many it knows the
// latest. It has two generations: the older goes when the younger is full.
type usedIDs struct {
	seed         maphash.Seed
	young, older map[uint64]micros
}

// maxUsedIDs bounds a generation: about 6 MB.
const maxUsedIDs = 200_000

func (u *usedIDs) hash(sensor, id string) uint64 {
	var h maphash.Hash
	h.SetSeed(u.seed)
	h.WriteString(sensor)
	h.WriteByte(0)
	h.WriteString(id)
	return h.Sum64()
}

func (u *usedIDs) first(sensor, id string) (micros, bool) {
	key := u.hash(sensor, id)
	if at, ok := u.young[key]; ok {
		return at, true
	}
	at, ok := u.older[key]
	return at, ok
}

func (u *usedIDs) note(sensor, id string, at micros) {
	if u.young == nil || len(u.young) >= maxUsedIDs {
		u.older, u.young = u.young, map[uint64]micros{}
	}
	u.young[u.hash(sensor, id)] = at
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
