package ingest

import "bytes"

const (
	// probationLines is after how many lines of no use a run stops.
	probationLines = 1000
	// maxUnusableLetters is how many dead letters are then sent.
	maxUnusableLetters = 10
	// maxHeldText bounds the text of dead letters in bytes that waits.
	maxHeldText = 4 << 20
	// maxSample bounds what is kept of the first line of no use, in bytes.
	maxSample = 4 << 10
)

// probation keeps the dead letters of an input back until one line of it was
// of use, so that what is no log of the sensor at all does not fill a topic.
type probation struct {
	over   bool
	held   []DeadLetter
	text   int
	lines  int64
	sample []byte
}

// dead takes a dead letter and reports whether it was kept back.
func (p *probation) dead(d DeadLetter) bool {
	if p.over {
		return false
	}
	if p.text += len(d.Line); p.text > maxHeldText {
		d.Line = nil
	}
	d.Line = bytes.Clone(d.Line)
	p.held = append(p.held, d)
	return true
}

// line takes a line before the adapter does.
func (p *probation) line(line []byte) {
	if blank := len(bytes.TrimSpace(line)) == 0; blank {
		return
	}
	if p.lines++; p.sample == nil {
		p.sample = bytes.Clone(line[:min(len(line), maxSample)])
	}
}

// look decides, by the tally so far, and at the end of the input for good.
func (p *probation) look(t Tally, end bool, send func(DeadLetter) error) error {
	if p.over {
		return nil
	}
	enough := p.lines >= probationLines
	unusable := t.Used == 0 && (enough || end) && p.lines > 0
	if t.Used == 0 && !unusable && !end {
		return nil
	}
	p.over = true
	held := p.held
	p.held = nil
	if unusable {
		held = held[:min(len(held), maxUnusableLetters)]
	}
	for _, d := range held {
		if unusable && !d.Private {
			// Nobody knows what this is: it may be another sensor's log.
			d.Private = true
			d = NoText.Guard(d)
		}
		if err := send(d); err != nil {
			return err
		}
	}
	if unusable {
		reason := ""
		if len(t.Reasons) > 0 {
			reason = t.Reasons[0].Name
		}
		return &UnusableError{Lines: p.lines, Tally: t, Shape: shape(p.sample, reason), First: !end}
	}
	return nil
}
