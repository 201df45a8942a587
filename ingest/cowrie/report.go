package cowrie

import "handprint/ingest"

// report sends what one session says.
type report struct {
	settings *Settings
	emit     func(ingest.Observation) error
	session  ingest.Observation // what all observations of the session share
	sent     int64
	err      error // the first error of emit; after it nothing is sent
}

// report sends the observations of a session that ends.
func (a *Adapter) report(s *session) error {
	f := s.facts
	switch {
	case s.silent:
		a.stats.Replayed++
		return nil
	case !s.source.known():
		a.stats.Unaddressed++
		a.stats.Taken -= s.events
		a.stats.WithoutAddress += s.events
		return nil
	}
	if s.source.opaque != "" {
		if a.stats.Opaque == 0 && a.settings.OpaqueSource != nil {
			a.settings.OpaqueSource(form(s.source.opaque))
		}
		a.stats.Opaque++
	}
	end := s.latest.seconds()
	r := report{
		settings: &a.settings,
		emit:     a.emit,
		session: ingest.Observation{
			Attacker:    s.source.attacker(),
			WindowStart: s.first.seconds(),
			WindowEnd:   end,
			Source:      Source,
			Evidence:    evidence(s.sensor.name, s.key, s.ownID, s.first),
			TS:          end,
			Sensor:      s.sensor.name,
			Address:     s.source.text(),
			AddressKind: s.source.kind(),
		},
	}
	r.fromFacts(s)
	a.activity.read(f)
	r.fromCommands(&a.activity)
	r.fromGaps(s, &a.activity)
	a.stats.Observations += r.sent
	return r.err
}

// length is how long the session was: by its events, or by its closing event
// where its beginning was not seen. A closing event alone tells nothing.
func (s *session) length() micros {
	length := s.latest - s.first
	if s.facts.hasTold && !s.connected && !s.rest && s.events > 1 {
		length = max(length, s.facts.told)
	}
	return length
}

func (r *report) say(primitive string, value ingest.Value, confidence float64) {
	if r.err != nil {
		return
	}
	o := r.session
	o.ID = ingest.ObservationID(o.Evidence, primitive)
	o.Primitive, o.Value, o.Confidence = primitive, value, confidence
	if r.err = r.emit(o); r.err == nil {
		r.sent++
	}
}

// fromFacts sends what is sent as it is (docs/cowrie.md, "Facts").
func (r *report) fromFacts(s *session) {
	f := s.facts
	if f.hassh.set {
		r.label("toolchain.ssh.hassh_client", f.hassh.value, r.settings.HASSHConfidence)
	}
	if f.banner.set {
		r.label("toolchain.ssh.ssh_client_banner", f.banner.value, r.settings.BannerConfidence)
	}
	if f.kex.set {
		r.say("toolchain.ssh.kex_algorithm_order", ingest.List(f.kex.value), r.settings.KexConfidence)
	}
	if f.ja4 != "" && !f.ja4Varies {
		r.label("toolchain.tls.ja4_client", f.ja4, r.settings.JA4Confidence)
	}
	if tag := f.locale(); tag != "" {
		r.label("environmental.locale", tag, r.settings.LocaleConfidence)
	}
	length, duration := s.length(), "marathon"
	switch {
	case length < microsOf(r.settings.DurationShort):
		duration = "short"
	case length < microsOf(r.settings.DurationMedium):
		duration = "medium"
	case length < microsOf(r.settings.DurationLong):
		duration = "long"
	}
	r.label("temporal.session_duration", duration, r.settings.DurationConfidence)
}
