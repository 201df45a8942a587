package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/siem"
)

// Item is one event on its way to a receiver.
type Item struct {
	Event  *siem.Event
	Record *kgo.Record // where it came from
	Body   []byte      // as the receiver takes it
	Verdict
}

// Outcome is what became of an item.
type Outcome uint8

// The outcomes. The zero value is not one: an item that a receiver says nothing
// of is sent again.
const (
	unjudged Outcome = iota
	Done             // the receiver has it now
	Had              // the receiver had it already, or something newer
	Again            // it may be taken later
	Never            // it will not be taken, however often it is sent
)

// Verdict is an outcome, and why.
type Verdict struct {
	Outcome Outcome
	Reason  string // of Again and Never; one line
}

// Receiver is a system that takes events. A Loop calls its methods one at a time.
type Receiver interface {
	// Prepare sets the Body of an item.
	Prepare(*Item)
	// Deliver sends items and sets the Verdict of each. An error is about all of
	// them, which are then sent again: the verdicts do not count. A Refused
	// makes the loop find the item that is to blame, by halves.
	Deliver(ctx context.Context, items []*Item) error
	// Close ends what is open. It waits, as long as ctx lets it, for what was
	// sent to arrive; an error says that it may not have.
	Close(ctx context.Context) error
}

// settler is a Receiver without acknowledgements. What it calls done is committed
// only when it has settled: when for some time nothing spoke against its arrival.
type settler interface {
	// Settle is how long that takes.
	Settle() time.Duration
	// Refresh looks whether what was sent can still have arrived, and sends again
	// what may have been lost. It returns when that was last necessary: what was
	// done before then counts as done at that time.
	Refresh(ctx context.Context) (time.Time, error)
}

// Refused is the error of a receiver that will not take a batch as it is.
type Refused struct{ Reason string }

// Error implements error.
func (r *Refused) Error() string { return "refused: " + r.Reason }

// Busy is the error of a receiver that says when it wants to be asked again.
type Busy struct {
	After time.Duration // 0: it does not say
	Err   error
}

// Error implements error.
func (b *Busy) Error() string { return b.Err.Error() }

// Unwrap returns what the receiver answered.
func (b *Busy) Unwrap() error { return b.Err }

// Misconfigured is the error of a receiver that an operator has to do something
// about: nothing is lost meanwhile.
type Misconfigured struct{ Err error }

// Error implements error.
func (m *Misconfigured) Error() string { return m.Err.Error() }

// Unwrap returns what the receiver answered.
func (m *Misconfigured) Unwrap() error { return m.Err }

// judge gives all items the same verdict.
func judge(items []*Item, o Outcome, reason string) {
	for _, it := range items {
		it.Verdict = Verdict{o, reason}
	}
}

// errShort is the error of an answer that ends before it is whole.
var errShort = errors.New("the answer ends before it is whole")

// oneLine bounds a text from outside, and keeps it printable.
func oneLine(text []byte) string {
	const limit = 300
	out := make([]byte, 0, min(len(text), limit))
	for _, c := range text {
		if len(out) == limit {
			return string(out) + "..."
		}
		if c < ' ' || c > '~' {
			c = ' '
		}
		out = append(out, c)
	}
	return string(out)
}

func unexpected(what string, n, want int) error {
	return fmt.Errorf("the answer judges %d %s, not %d", n, what, want)
}
