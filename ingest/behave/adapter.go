package behave

import (
	"bytes"

	"handprint/ingest"
	"handprint/ingest/internal/jsonscan"
)

const (
	reasonJSON  = "not a JSON object"
	reasonOther = "not an observation: it has neither attacker_uuid nor primitive"
)

// Stats counts what an adapter has done. Every line is in exactly one of
// Blank, Records and Dead.
type Stats struct {
	Lines   int64 // lines given
	Blank   int64 // lines with nothing in them
	Records int64 // lines passed on
	Dead    int64 // dead letters
	Keyless int64 // records without an attacker_uuid, which will end as dead letters of the pipeline
}

// Adapter passes observations through. It is for one goroutine.
type Adapter struct {
	record   func(key, value []byte) error
	dead     func(ingest.DeadLetter) error
	stats    Stats
	attacker []byte // attacker_uuid as it stands in the line
	known    bool   // the line has a member of an observation
	member   func(name, value []byte)
}

// New returns an adapter that hands lines to record, keyed by their attacker,
// and lines that cannot be observations to dead. The key is nil where the line
// has no attacker_uuid that is a string and not empty. Both functions get
// slices that are the adapter's again when they return.
func New(record func(key, value []byte) error, dead func(ingest.DeadLetter) error) *Adapter {
	a := &Adapter{record: record, dead: dead}
	a.member = func(name, value []byte) {
		switch string(name) {
		case "attacker_uuid":
			a.attacker = value // the last of a repeated name counts
			a.known = true
		case "primitive":
			a.known = true
		}
	}
	return a
}

// Stats returns the counts so far.
func (a *Adapter) Stats() Stats { return a.stats }

// Line takes one line, without its newline; white space around the observation
// is left out. It returns the error of the function that the line went to.
func (a *Adapter) Line(line []byte) error {
	a.stats.Lines++
	if jsonscan.Blank(line) {
		a.stats.Blank++
		return nil
	}
	a.attacker, a.known = nil, false
	if err := jsonscan.Object(line, a.member); err != nil {
		a.stats.Dead++
		return a.dead(ingest.DeadLetter{Reason: reasonJSON, Line: line, Length: int64(len(line)), Number: a.stats.Lines})
	}
	if !a.known {
		// Another sensor's log, perhaps, with what must not leave.
		a.stats.Dead++
		return a.dead(ingest.DeadLetter{Reason: reasonOther, Line: line, Length: int64(len(line)), Number: a.stats.Lines, Private: true})
	}
	key, _ := jsonscan.Text(a.attacker)
	if len(key) == 0 {
		key = nil
		a.stats.Keyless++
	}
	a.stats.Records++
	return a.record(key, bytes.Trim(line, " \t\r\n"))
}

// Break does nothing: every line stands for itself.
func (a *Adapter) Break() error { return nil }

// Private reports that observations hold nothing that must not leave.
func (a *Adapter) Private() bool { return false }

// Tally says what has become of the lines.
func (a *Adapter) Tally() ingest.Tally {
	s := a.stats
	return ingest.Tally{
		Lines: s.Lines, Used: s.Records,
		Of:   []ingest.Count{{Name: "taken", N: s.Records}, {Name: "blank", N: s.Blank}, {Name: "part"}, {Name: "dead", N: s.Dead}},
		Also: []ingest.Count{{Name: "without_attacker", N: s.Keyless}},
	}
}

// Close does nothing: no line waits for another.
func (a *Adapter) Close() error { return nil }
