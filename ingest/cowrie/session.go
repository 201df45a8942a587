package cowrie

import (
	"bytes"
	"container/list"

	"handprint/ingest/internal/jsonscan"
)

// session is one session of one sensor, open or ended. An ended one is kept
// without its facts, so that later events of its key are known for what they
// are, until the session timeout has passed.
type session struct {
	sensor *sensor
	key    string
	source source
	// rawSource is the source as most of its events spell it, so that they need
	// not be read; sourceAt is the time of the event that named it.
	rawSource []byte
	sourceAt  micros

	earlier   *session // the session of the same id that opened before
	ownID     bool     // the id had a session before, and this is another
	rest      bool     // of a session that had ended, under the same evidence_ref
	connected bool     // its connect was seen
	cut       bool     // a timeout ended it, and its rest is another session

	first, latest micros // of its events
	events        int64
	facts         *facts // nil once it has ended

	// due is its place in the sensor's heap: never above its deadline less the
	// session timeout.
	due   micros
	index int

	// byOpening is its place among all sessions, byState that among the open
	// or the ended ones.
	byOpening, byState *list.Element

	// at is how far each partition of the topic had been read when the session
	// opened, oldest the same for the oldest session known by then. Both are
	// nil unless a topic is read. silent: an earlier run has sent it.
	at, oldest []int64
	silent     bool
}

func (s *session) ended() bool { return s.facts == nil }

// match is the session that an event belongs to.
type match struct {
	session *session // nil: a new one
	source  source   // of the new one
	other   bool     // the new one is not the rest of the one that opened last
}

// belongs finds the session of an event among the sessions of its id; newest is
// the one that opened last (docs/cowrie.md, "Session").
func (e *event) belongs(newest *session, h *header) match {
	if newest == nil {
		return match{source: e.source()}
	}
	s := newest
	if !bytes.Equal(e.srcIP, s.rawSource) || len(e.srcIP) == 0 {
		from := e.source()
		switch {
		case !from.known(), !newest.source.known() && !newest.ended():
		default:
			for s != nil && s.source != from {
				s = s.earlier
			}
			if s == nil && !newest.ended() && h.kind != connect {
				s = newest // the first source in order counts
			}
			if s == nil {
				return match{source: from, other: newest.source.known()}
			}
		}
	}
	again := h.kind == connect && h.time > s.latest && (s.ended() || s.connected)
	if again || s.ended() && s.cut {
		return match{source: e.sourceOr(s.source), other: again}
	}
	return match{session: s}
}

// source returns the source that an event names, if it names one.
func (e *event) source() source {
	if text, ok := jsonscan.Text(e.srcIP); ok {
		return parseSource(text)
	}
	return source{}
}

func (e *event) sourceOr(other source) source {
	if from := e.source(); from.known() {
		return from
	}
	return other
}

// take takes an event of the session and reports whether it ends it, and
// whether the event is in the table of docs/cowrie.md, "The log".
func (s *session) take(e *event, h *header, bannerBytes int, known lists) (ends, listed bool) {
	s.events++
	s.first, s.latest = min(s.first, h.time), max(s.latest, h.time)
	f := s.facts
	s.takeSource(e, h)
	f.telnet = f.telnet || is(e.protocol, "telnet")

	switch h.kind {
	case connect:
		s.connected = true
	case closed:
		f.told, f.hasTold = e.length()
		return true, true
	case version:
		if f.banner.wants(h.time) {
			if b := e.banner(bannerBytes); b != "" {
				f.banner.take(h.time, b)
			}
		}
		f.takeAlgorithms(e, h.time, known)
	case kex:
		f.takeAlgorithms(e, h.time, known)
	case variable:
		f.takeVariable(e, h.time)
	case terminal:
		f.terminal = true
	case input, failed, unknownCommand:
		f.takeCommand(e, h)
	case tunnel:
		f.tunnel = true
		return false, false
	case tunnelHello:
		f.tunnel = true
		f.takeHello(e)
	default:
		return false, false
	}
	return false, true
}

// takeSource takes the source that an event names: the first event in order
// that names one counts.
func (s *session) takeSource(e *event, h *header) {
	if s.source.known() && (h.time > s.sourceAt || len(s.rawSource) > 0 && h.time == s.sourceAt) {
		return
	}
	if from := e.source(); from.known() && (!s.source.known() || h.time < s.sourceAt || from == s.source) {
		s.source, s.sourceAt = from, h.time
		s.rawSource = bytes.Clone(e.srcIP)
	}
}

func (f *facts) takeCommand(e *event, h *header) {
	text, ok := jsonscan.Text(e.input)
	if !ok {
		return
	}
	if h.kind != failed && (e.realm == nil || jsonscan.Null(e.realm)) {
		f.add(entry{at: h.time, text: string(text)})
	}
	if h.kind != input {
		f.add(entry{at: h.time, failed: true, text: string(text)})
	}
}

func (f *facts) takeHello(e *event) {
	text, _ := jsonscan.Text(e.ja4)
	if len(text) == 0 {
		return
	}
	if f.ja4 == "" {
		f.ja4 = string(text)
		f.held += len(text)
	}
	f.ja4Varies = f.ja4Varies || f.ja4 != string(text)
}

func (f *facts) takeAlgorithms(e *event, at micros, known lists) {
	if f.hassh.wants(at) {
		if d := e.digest(); d != "" {
			f.hassh.take(at, d)
		}
	}
	if f.kex.wants(at) {
		if order := e.kexOrder(known); len(order) > 0 {
			f.kex.take(at, order)
			f.held += len(e.kexAlgs) + len(e.hasshAlgorithms)
		}
	}
}

func (f *facts) takeVariable(e *event, at micros) {
	value, ok := jsonscan.Text(e.value)
	if !ok {
		return
	}
	for i, name := range localeVariables {
		if !is(e.name, name) || !f.locales[i].wants(at) {
			continue
		}
		if tag := languageTag(value); tag != "" {
			f.locales[i].take(at, tag)
		}
	}
}
