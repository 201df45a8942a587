package cowrie

import (
	"container/list"

	"handprint/ingest/internal/jsonscan"
)

// session is one session of one sensor, open or ended. An ended one is kept
// without its facts, so that later events of its key are known for what they
// are, until the session timeout has passed.
type session struct {
	sensor *sensor
	key    string

	first, latest micros // of its events
	facts         *facts // nil once it has ended

	// due is its place in the sensor's heap: never above latest.
	due   micros
	index int

	// byOpening is its place among all sessions, byState that among the open
	// or the ended ones.
	byOpening, byState *list.Element

	// at is how far each partition of the topic had been read when the session
	// opened, cut the same for the oldest session known by then. Both are nil
	// unless a topic is read. silent: an earlier run has sent it.
	at, cut []int64
	silent  bool
}

func (s *session) ended() bool { return s.facts == nil }

// take takes an event of the session and reports whether it ends it, and
// whether the event is in the table of docs/cowrie.md, "The log".
func (s *session) take(e *event, h *header, bannerBytes int, known lists) (closed, listed bool) {
	s.first, s.latest = min(s.first, h.time), max(s.latest, h.time)
	f := s.facts
	if f.address.wants(h.time) {
		if text, ok := jsonscan.Text(e.srcIP); ok {
			if addr, ok := parseAddress(text); ok {
				f.address.take(h.time, addr)
			}
		}
	}
	f.telnet = f.telnet || is(e.protocol, "telnet")

	switch string(h.eventID) {
	case "cowrie.session.connect":
	case "cowrie.session.closed":
		return true, true
	case "cowrie.client.version":
		if f.banner.wants(h.time) {
			if b := e.banner(bannerBytes); b != "" {
				f.banner.take(h.time, b)
			}
		}
		f.takeAlgorithms(e, h.time, known)
	case "cowrie.client.kex":
		f.takeAlgorithms(e, h.time, known)
	case "cowrie.client.var":
		f.takeVariable(e, h.time)
	case "cowrie.client.size":
		f.terminal = true
	case "cowrie.command.input":
		if text, ok := jsonscan.Text(e.input); ok && (e.realm == nil || jsonscan.Null(e.realm)) {
			f.add(entry{at: h.time, text: string(text)})
		}
	case "cowrie.command.failed":
		if text, ok := jsonscan.Text(e.input); ok {
			f.add(entry{at: h.time, failed: true, text: string(text)})
		}
	case "cowrie.direct-tcpip.ja4":
		if text, _ := jsonscan.Text(e.ja4); len(text) > 0 {
			if f.ja4 == "" {
				f.ja4 = string(text)
				f.held += len(text)
			}
			f.ja4Varies = f.ja4Varies || f.ja4 != string(text)
		}
	default:
		return false, false
	}
	return false, true
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
