package ingest

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Result is what a run has read and made.
type Result struct {
	Amounts
	Tally Tally
}

// DefaultReportEvery is how often a long run says what has become of the lines.
const DefaultReportEvery = 30 * time.Second

// intake is what the reading of files and of a topic have in common. It is the
// adapter's sink: it counts, says of a dead letter where its line stood, and
// takes out of it what may not be told.
type intake struct {
	Sink
	adapter   Adapter
	text      LetterText
	probation probation
	locate    func(*DeadLetter)
	report    func(Tally)
	now       func() time.Time

	reasons  reasons
	amounts  Amounts
	joined   int64 // lines that went to the adapter as a part of another
	overlong int64 // lines that did not go to the adapter
	parts    int64 // parts of lines beyond the first, each given as a line
	reported time.Time
}

func (r *intake) Observation(o Observation) error {
	r.amounts.Observations++
	return r.Sink.Observation(o)
}

func (r *intake) Record(key, value []byte) error {
	r.amounts.Observations++
	return r.Sink.Record(key, value)
}

func (r *intake) Dead(d DeadLetter) error {
	r.amounts.DeadLetters++
	r.reasons.add(d.Reason)
	d.Private = d.Private || r.adapter.Private()
	r.locate(&d)
	if d.Private && d.Record != nil {
		// Key and headers are the shipper's: they may hold what the line does.
		o := d.Record
		d.Record = &kgo.Record{Topic: o.Topic, Partition: o.Partition, Offset: o.Offset, Timestamp: o.Timestamp}
	}
	d = r.text.Guard(d)
	if r.probation.dead(d) {
		return nil
	}
	return r.Sink.Dead(d)
}

// tally is what has become of all lines so far.
func (r *intake) tally() Tally {
	t := r.adapter.Tally()
	t.Lines += r.joined + r.overlong - r.parts
	t.Extra += r.parts
	for i := range t.Of {
		switch t.Of[i].Name {
		case "part":
			t.Of[i].N += r.joined
		case "dead":
			t.Of[i].N += r.overlong
		}
	}
	t.Reasons = r.reasons.counts()
	return t
}

// look stops a run whose first lines are all of no use.
func (r *intake) look(end bool) error {
	if r.probation.over {
		return nil
	}
	return r.probation.look(r.tally(), end, r.Sink.Dead)
}

// reportNow and then says what has become of the lines.
func (r *intake) reportDue() {
	if r.report == nil {
		return
	}
	now := r.now()
	if r.reported.IsZero() {
		r.reported = now
	}
	if now.Sub(r.reported) >= DefaultReportEvery {
		r.reported = now
		r.report(r.tally())
	}
}
