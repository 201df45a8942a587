package processor

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Loss is input that was deleted before it was read: by retention, by
// DeleteRecords, or with its topic.
type Loss struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	From      int64     `json:"from"` // the first offset that is lost
	To        int64     `json:"to"`   // the first that is not
	At        time.Time `json:"at"`   // when it was noticed
}

// Offsets returns how many offsets are lost. Some of them may have been markers of
// transactions, which are no records.
func (l *Loss) Offsets() int64 { return l.To - l.From }

// losses is what this process has found lost.
type losses struct {
	mu      sync.Mutex
	said    map[string]bool // what was reported
	recent  []Loss
	offsets map[string]int64 // by topic; of transactions that have stepped over them
}

// maxLosses bounds the losses that are remembered.
const maxLosses = 64

// once calls f unless the same was said before.
func (l *losses) once(what string, f func()) {
	const maxSaid = 1000
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.said[what] {
		return
	}
	if l.said == nil || len(l.said) >= maxSaid {
		l.said = make(map[string]bool)
	}
	l.said[what] = true
	f()
}

// stepped counts a loss that a committed transaction has stepped over.
func (l *losses) stepped(loss *Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offsets[loss.Topic] += loss.Offsets()
	l.recent = append(l.recent, *loss)
	if n := len(l.recent) - maxLosses; n > 0 {
		l.recent = slices.Delete(l.recent, 0, n)
	}
}

// dropped counts records of a batch that a committed transaction has stepped over.
func (l *losses) dropped(topic string, records int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offsets[topic] += records
}

// status returns the offsets lost by topic, and the newest losses.
func (l *losses) status() (map[string]int64, []Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.offsets), slices.Clone(l.recent)
}

// foundLoss reports input that is gone, and returns an error if the processor is
// not to go on without it.
func (p *Processor) foundLoss(l *Loss) error {
	l.At = p.cfg.Clock.Now()
	p.losses.once(fmt.Sprintf("%s[%d] from %d to %d", l.Topic, l.Partition, l.From, l.To), func() {
		means := "no conclusion has it"
		if l.Topic == p.cfg.Commands {
			means = "what is under way between tasks begins anew; what these commands carried is missing"
		}
		p.log.Error("input was deleted before it was read", "topic", l.Topic, "partition", l.Partition,
			"from", l.From, "to", l.To, "offsets", l.Offsets(), "means", means)
	})
	if !p.cfg.StopOnLostInput || l.Topic == p.cfg.Commands {
		return nil
	}
	return fatal(fmt.Errorf("%s[%d]: %d offsets, from %d to %d, were deleted before they were read; "+
		"to go on without them, start with on-lost-input set to continue", l.Topic, l.Partition, l.Offsets(), l.From, l.To))
}
