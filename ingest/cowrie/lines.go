package cowrie

import (
	"bytes"

	"handprint/ingest"
	"handprint/ingest/internal/jsonscan"
	"handprint/ingest/internal/wrapped"
)

// Line takes one line of the log, without its newline; a carriage return at
// its end does no harm. The line is the caller's again when Line returns.
func (a *Adapter) Line(line []byte) error {
	a.stats.Lines++
	if a.wrapped.Waiting() {
		return a.unwrap(line, reasonJSON)
	}
	a.event = event{}
	if err := jsonscan.Object(line, a.setEvent); err != nil {
		if jsonscan.Blank(line) {
			a.stats.Blank++
			return nil
		}
		return a.unwrap(line, reasonJSON)
	}
	h, reason := a.event.header()
	switch reason {
	case "":
		return a.takeEvent(&h, line)
	case reasonEventID, reasonTimestamp, reasonUnreadable:
		return a.unwrap(line, reason)
	}
	return a.bury(line, reason, 0)
}

// takeEvent takes an event whose header could be read, and its text.
func (a *Adapter) takeEvent(h *header, text []byte) error {
	if reason := a.ahead(h.time); reason != "" {
		return a.bury(text, reason, 0)
	}
	if err := a.expire(h); err != nil {
		return err
	}
	return a.take(h)
}

// unwrap takes a line that is not one event by itself. It is a dead letter,
// for the given reason, if it holds none.
func (a *Adapter) unwrap(line []byte, reason string) error {
	a.failed, a.other = nil, false
	r := a.wrapped.Line(line)
	entries := r.Events
	if a.failed != nil {
		return a.failed
	}
	switch {
	case r.Part:
		a.stats.Parts++
		entries++
	case r.Bad && r.Events > 0:
		entries++
		if err := a.bury(line, reasonEventID, 0); err != nil {
			return err
		}
	case r.Events == 0 && jsonscan.Blank(line):
		a.stats.Blank++
		entries++
	case r.Events == 0 && a.other:
		a.stats.Foreign++
		entries++
	case r.Events == 0:
		entries++
		if err := a.bury(line, reason, 0); err != nil {
			return err
		}
	}
	a.stats.Extra += int64(entries - 1)
	return nil
}

// wrappedEvent takes an object that may be an event, in whatever it was
// wrapped.
func (a *Adapter) wrappedEvent(object []byte, around wrapped.Around) bool {
	if a.failed != nil {
		return true
	}
	a.event = event{}
	if jsonscan.Object(object, a.setEvent) != nil {
		return false
	}
	e := &a.event
	if e.eventID == nil {
		return a.otherSensor()
	}
	e.timeFrom(e.atTimestamp, around.Stamp)
	h, reason := e.header()
	if reason != "" {
		a.failed = a.bury(object, reason, 0)
		return true
	}
	a.failed = a.takeEvent(&h, object)
	return true
}

// otherSensor reports whether an object is an event of another sensor, as
// T-Pot's documents say by their type, and counts it as foreign. One that may
// hold Cowrie's is looked into first.
func (a *Adapter) otherSensor() bool {
	e := &a.event
	if e.atTimestamp == nil {
		return false
	}
	name, ok := jsonscan.Text(e.typ)
	if !ok || len(name) == 0 || bytes.EqualFold(name, []byte("cowrie")) {
		return false
	}
	if e.wrapper {
		a.other = true
		return false
	}
	a.stats.Foreign++
	return true
}

// torn takes a line that turned out to be a part of nothing.
func (a *Adapter) torn(line []byte, ago int, part bool) {
	if part {
		a.stats.Parts--
	} else {
		a.stats.Extra++
	}
	if err := a.bury(line, reasonJSON, ago); a.failed == nil {
		a.failed = err
	}
}

// Waiting reports whether a part of an event is held.
func (a *Adapter) Waiting() bool { return a.wrapped.Waiting() }

// Break takes the end of a file or of a record: no event goes on in the next.
func (a *Adapter) Break() error {
	a.failed = nil
	a.wrapped.Flush()
	return a.failed
}

// bury makes a dead letter of a line that was read that many lines ago.
func (a *Adapter) bury(line []byte, reason string, ago int) error {
	a.stats.Dead++
	if a.position.replayed() {
		return nil
	}
	return a.dead(ingest.DeadLetter{
		Reason: reason, Line: line, Length: int64(len(line)), Number: a.stats.Lines - int64(ago), Back: int64(ago), Private: true,
	})
}

// Private reports that lines may hold passwords and what was typed.
func (a *Adapter) Private() bool { return true }

// Stamp returns the first time that a text has as a timestamp, whatever the
// text is wrapped in.
func (a *Adapter) Stamp(text []byte) (int64, bool) {
	for _, name := range [...]string{`"timestamp`, `"@timestamp`} {
		for rest := text; ; {
			i := bytes.Index(rest, []byte(name))
			if i < 0 {
				break
			}
			rest = rest[i+len(name):]
			value := bytes.TrimLeft(rest, "\\\": \t")
			end := bytes.IndexAny(value, `"\`)
			if end < 0 || len(value) == len(rest) {
				continue
			}
			if at, ok := parseTimestamp(value[:end]); ok {
				return int64(at), true
			}
		}
	}
	return 0, false
}

// Tally says what has become of the lines.
func (a *Adapter) Tally() ingest.Tally {
	s := &a.stats
	t := ingest.Tally{
		Lines: s.Lines, Extra: s.Extra, Used: s.Taken + s.Late + s.AfterEnd + s.WithoutAddress,
		Of: []ingest.Count{
			{Name: "taken", N: s.Taken}, {Name: "blank", N: s.Blank}, {Name: "part", N: s.Parts}, {Name: "dead", N: s.Dead},
			{Name: "late", N: s.Late}, {Name: "foreign", N: s.Foreign}, {Name: "after_end", N: s.AfterEnd}, {Name: "without_address", N: s.WithoutAddress},
		},
		Also: []ingest.Count{
			{Name: "sessions", N: s.Sessions}, {Name: "timed_out", N: s.TimedOut}, {Name: "ended_early", N: s.Early},
			{Name: "sessions_without_address", N: s.Unaddressed}, {Name: "sessions_of_opaque_sources", N: s.Opaque}, {Name: "backwards", N: s.Backwards},
		},
	}
	if s.FarthestBack >= notableBack {
		t.Notes = append(t.Notes, "lines ran backwards in time, by up to "+s.FarthestBack.String()+
			": sessions may have been cut short; give the oldest file first, or put lines in order with --sort")
	}
	if s.Unaddressed > 0 {
		t.Notes = append(t.Notes, "sessions without an address that stands for one attacker send nothing")
	}
	if s.Early > 0 {
		t.Notes = append(t.Notes, "sessions were ended early for want of room: raise cowrie-max-open-sessions or cowrie-max-held-bytes")
	}
	return t
}

// notableBack is how far a line has to run backwards to be worth a word: less
// is what threads do to each other.
const notableBack = microsPerSecond
