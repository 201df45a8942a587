package cowrie

import (
	"fmt"
	"hash/maphash"
	"time"

	"handprint/attribution"
	"handprint/ingest"
	"handprint/ingest/internal/jsonscan"
	"handprint/ingest/internal/wrapped"
)

// Source is the source of every observation made here.
const Source = "handprint/ingest/cowrie"

// Stats counts what an adapter has done. Lines and Extra together are the sum
// of Blank, Parts, Taken, Late, Foreign, AfterEnd, WithoutAddress and Dead.
type Stats struct {
	Lines    int64 // lines given
	Extra    int64 // events beyond the first of a line
	Parts    int64 // lines of an event that ends in another, or of an array's brackets
	Blank    int64 // lines with nothing in them
	Taken    int64 // events that belong to a session
	Late     int64 // events marked late
	Foreign  int64 // events that are none of Cowrie's
	AfterEnd int64 // events of a session that had ended
	Dead     int64 // dead letters
	// WithoutAddress counts events of sessions that have ended and that none of
	// their events gave an attacker.
	WithoutAddress int64

	Unlisted int64 // events among Taken that give nothing but time, address and protocol

	Sessions    int64 // sessions that have ended
	TimedOut    int64 // of them, ended by the session timeout
	Early       int64 // of them, ended early for want of room
	Unaddressed int64 // of them, without an address; they send nothing
	Opaque      int64 // of them, with a source that is no IP address
	Replayed    int64 // of them, sent by an earlier run

	Backwards    int64  // events stamped before one of their sensor that came before them
	FarthestBack micros // the farthest of them

	Observations int64 // observations sent
}

// Adapter reads Cowrie's log. It is for one goroutine.
type Adapter struct {
	settings Settings
	emit     func(ingest.Observation) error
	dead     func(ingest.DeadLetter) error

	stats    Stats
	warned   bool
	tracker  tracker
	event    event
	setEvent func(name, value []byte)
	lists    lists
	activity activity

	wrapped *wrapped.Reader
	failed  error // of emit or dead, while something is unwrapped
	other   bool  // what is unwrapped says that it is another sensor's

	position position
}

// New returns an adapter that hands observations to emit and lines that cannot
// be used to dead, both in the calls that give it lines or its end. An error
// of theirs ends the call and is returned. It fails if settings are invalid.
func New(settings Settings, emit func(ingest.Observation) error, dead func(ingest.DeadLetter) error) (*Adapter, error) {
	if err := settings.Validate(); err != nil {
		return nil, fmt.Errorf("cowrie: %w", err)
	}
	if settings.Now == nil {
		settings.Now = time.Now
	}
	a := &Adapter{
		settings: settings, emit: emit, dead: dead,
		tracker: tracker{
			sensors: map[string]*sensor{}, used: usedIDs{seed: maphash.MakeSeed()},
			timeout: microsOf(settings.SessionTimeout), tunnelTimeout: microsOf(settings.TunnelTimeout),
		},
		lists: lists{},
	}
	a.setEvent = a.event.set
	a.wrapped = wrapped.NewReader(ingest.DefaultMaxLine, a.wrappedEvent, a.torn)
	return a, nil
}

// Stats returns the counts so far.
func (a *Adapter) Stats() Stats { return a.stats }

// Open returns how many sessions are open.
func (a *Adapter) Open() int { return a.tracker.open.Len() }

// ahead returns why a line's time is refused, empty if it will do. A sensor
// whose clock is ahead would end its sessions, and freeze the rows of its
// attackers.
func (a *Adapter) ahead(at micros) (reason string) {
	if a.settings.MaxAhead == 0 {
		return ""
	}
	return attribution.Ahead(float64(at)/1e6, float64(a.settings.Now().UnixMicro())/1e6, a.settings.MaxAhead)
}

// expire ends and forgets the sensor's sessions that the line's time leaves
// more than the timeout behind.
func (a *Adapter) expire(h *header) error {
	sn := a.tracker.sensors[string(h.sensor)]
	if sn == nil {
		return nil
	}
	if h.time < sn.newest {
		a.stats.Backwards++
		a.stats.FarthestBack = max(a.stats.FarthestBack, sn.newest-h.time)
	}
	sn.newest = max(sn.newest, h.time)
	for s := a.tracker.expired(sn, h.time); s != nil; s = a.tracker.expired(sn, h.time) {
		if s.ended() {
			a.tracker.forget(s)
			continue
		}
		a.stats.TimedOut++
		s.cut = a.settings.SeparateParts
		if err := a.end(s); err != nil {
			return err
		}
	}
	return nil
}

// take takes a readable line.
func (a *Adapter) take(h *header) error {
	if h.foreign() {
		a.stats.Foreign++
		return nil
	}
	newest := a.tracker.find(h.sensor, h.session)
	m := a.event.belongs(newest, h)
	s := m.session
	after := s != nil && s.ended()
	if after && !a.warned && a.settings.EndedEvent != nil {
		a.settings.EndedEvent(string(h.sensor), string(h.session))
	}
	a.warned = a.warned || after
	switch {
	case s == nil && h.old && h.kind == unlisted:
		// Ids as short as these are not told from others' by their form: one
		// that no rule uses opens no session.
		a.stats.Foreign++
		return nil
	case jsonscan.True(a.event.late):
		a.stats.Late++
		return nil
	case after:
		a.stats.AfterEnd++
		return nil
	}

	a.stats.Taken++
	if s == nil {
		if newest != nil && !newest.ended() && newest.source == m.source {
			// Its id is used again though its end was not seen.
			if err := a.end(newest); err != nil {
				return err
			}
		}
		for a.tracker.open.Len() >= a.settings.MaxOpenSessions {
			if err := a.endOldest(); err != nil {
				return err
			}
		}
		s = a.tracker.add(h, m.source)
		if a.tracker.again(s) {
			s.ownID = m.other || a.settings.SeparateParts || h.kind == connect || h.kind == tunnel || h.kind == tunnelHello
			s.rest = !s.ownID
		}
		a.position.opened(s, &a.tracker)
		if err := a.boundSameID(s); err != nil {
			return err
		}
	}
	a.tracker.held -= s.facts.held
	closed, listed := s.take(&a.event, h, a.settings.BannerBytes, a.lists)
	a.tracker.held += s.facts.held
	if !listed {
		a.stats.Unlisted++
	}
	if closed {
		return a.end(s)
	}
	for a.tracker.held > a.settings.MaxHeldBytes {
		if err := a.endOldest(); err != nil {
			return err
		}
	}
	return nil
}

// boundSameID bounds how many sessions of one id are known: the one that opened
// first goes.
func (a *Adapter) boundSameID(newest *session) error {
	n, last := 1, newest
	for last.earlier != nil {
		n, last = n+1, last.earlier
	}
	if n <= maxSameID {
		return nil
	}
	if !last.ended() {
		a.stats.Early++
		if err := a.end(last); err != nil {
			return err
		}
	}
	if last.ended() && last.byState != nil {
		a.tracker.forget(last)
	}
	return nil
}

func (a *Adapter) endOldest() error {
	a.stats.Early++
	return a.end(oldest(&a.tracker.open))
}

// end sends what an open session says and remembers it as ended.
func (a *Adapter) end(s *session) error {
	a.stats.Sessions++
	err := a.report(s)
	a.tracker.finish(s)
	for a.tracker.finished.Len() > a.settings.MaxEndedKeys {
		// The one that has just ended is last: it is not forgotten here.
		a.tracker.forget(oldest(&a.tracker.finished))
	}
	return err
}

// Close takes the end of the input: every open session ends.
func (a *Adapter) Close() error {
	if err := a.Break(); err != nil {
		return err
	}
	for a.tracker.open.Len() > 0 {
		if err := a.end(oldest(&a.tracker.open)); err != nil {
			return err
		}
	}
	return nil
}
