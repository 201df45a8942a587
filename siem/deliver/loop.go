package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/schemas"
	"handprint/siem"
)

// Source is where a Loop reads, and remembers how far it is.
type Source interface {
	// Poll returns the next records, at most limit, in the order of their
	// partitions. It waits until there are some or ctx ends; then it returns
	// none and no error.
	Poll(ctx context.Context, limit int) ([]*kgo.Record, error)
	// Commit says that everything up to these offsets is done.
	Commit(ctx context.Context, next Offsets) error
	// Dead keeps a record that cannot be delivered, and why.
	Dead(ctx context.Context, r *kgo.Record, reason string) error
}

// Offsets are the next offset to read, by topic and partition.
type Offsets map[string]map[int32]kgo.EpochOffset

func (o Offsets) behind(r *kgo.Record) {
	if o[r.Topic] == nil {
		o[r.Topic] = map[int32]kgo.EpochOffset{}
	}
	o[r.Topic][r.Partition] = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
}

// Pace is how fast a Loop goes, and how it waits. The zero value has defaults.
type Pace struct {
	BatchRecords int           // most items of a request; 0: 1000
	BatchBytes   int           // about the most bytes of a request; 0: 4 MiB
	Timeout      time.Duration // of one request; 0: 30 s
	RetryMin     time.Duration // before the first repeat; 0: 200 ms
	RetryMax     time.Duration // before a later one; 0: 30 s
	// BreakAfter is how many requests in a row may fail until the circuit is
	// open: then one item is sent as a probe every BreakWait. 0: 5 and 15 s.
	BreakAfter int
	BreakWait  time.Duration
}

func (p Pace) withDefaults() Pace {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	if p.BatchRecords == 0 {
		p.BatchRecords = 1000
	}
	if p.BatchBytes == 0 {
		p.BatchBytes = 4 << 20
	}
	if p.BreakAfter == 0 {
		p.BreakAfter = 5
	}
	set(&p.Timeout, defaultTimeout)
	set(&p.RetryMin, 200*time.Millisecond)
	set(&p.RetryMax, 30*time.Second)
	set(&p.BreakWait, 15*time.Second)
	return p
}

// Config is what a Loop delivers, and how.
type Config struct {
	Name     string // of the sink
	Type     string
	Source   Source
	Receiver Receiver
	Decoder  *siem.Decoder
	// Await makes what is needed to read an Avro record known; nil: nothing is.
	Await  func(value []byte) error
	Filter Filter
	Pace   Pace
	Log    *slog.Logger
	Clock  Clock // nil: the wall clock
}

// Clock is time, which tests bring themselves.
type Clock interface {
	Now() time.Time
	// Sleep waits; it returns false if ctx ended first.
	Sleep(ctx context.Context, d time.Duration) bool
}

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func (wallClock) Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Loop delivers events to one receiver: at least once, in the order of their
// partitions as far as the receiver takes them, and nothing is passed over
// except into the dead letters.
type Loop struct {
	Config
	rng      *rand.Rand
	failures int       // requests in a row that failed
	settling []settled // done, but not committed yet

	mu     sync.Mutex
	status Status
}

// settled are offsets that a receiver without acknowledgements has been sent.
type settled struct {
	at   time.Time
	next Offsets
}

// NewLoop returns a Loop that has yet to run.
func NewLoop(c Config) *Loop {
	c.Pace = c.Pace.withDefaults()
	if c.Clock == nil {
		c.Clock = wallClock{}
	}
	l := &Loop{Config: c, rng: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
	l.status = Status{Name: c.Name, Type: c.Type}
	return l
}

// defaultTimeout is how long a request may take.
const defaultTimeout = 30 * time.Second

// closeTime is how long a receiver may take to end.
const closeTime = 5 * time.Second

// Run delivers until ctx ends, which is a good end, or something fails that no
// repeat mends.
func (l *Loop) Run(ctx context.Context) error {
	err := l.run(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	closed := l.Receiver.Close(last)
	if closed != nil {
		// What may not have arrived is not committed, so it is sent again.
		l.Log.Warn("a receiver did not end well", "sink", l.Name, "error", closed)
	} else {
		err = errors.Join(err, l.commitSettled(last, l.Clock.Now().Add(100*365*24*time.Hour)))
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (l *Loop) run(ctx context.Context) error {
	for ctx.Err() == nil {
		records, err := l.poll(ctx)
		if err != nil {
			return err
		}
		next := Offsets{}
		items := make([]*Item, 0, len(records))
		for _, r := range records {
			it, err := l.item(ctx, r)
			if err != nil {
				return err
			}
			if it != nil {
				items = append(items, it)
			}
			next.behind(r)
		}
		l.begin(records)
		if err := l.deliver(ctx, items); err != nil {
			return err
		}
		if err := l.finish(ctx, next); err != nil {
			return err
		}
		l.begin(nil)
	}
	return nil
}

// poll waits for records, but no longer than until something is to be committed.
func (l *Loop) poll(ctx context.Context) ([]*kgo.Record, error) {
	if len(l.settling) > 0 {
		short, cancel := context.WithTimeout(ctx, max(l.due(), time.Millisecond))
		defer cancel()
		ctx = short
	}
	return l.Source.Poll(ctx, l.Pace.BatchRecords)
}

// item returns the item of a record, nil for one that is not delivered: it is
// filtered out, or cannot be read and is in the dead letters.
func (l *Loop) item(ctx context.Context, r *kgo.Record) (*Item, error) {
	if l.Await != nil {
		if err := l.Await(r.Value); err != nil {
			return nil, err
		}
	}
	e, err := l.Decoder.Decode(&siem.Record{
		Topic: r.Topic, Key: r.Key, Value: r.Value, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(),
	})
	if bad := (*schemas.Bad)(nil); errors.As(err, &bad) {
		l.count(func(s *Status) { s.Bad++ })
		return nil, l.Source.Dead(ctx, r, bad.Reason)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s[%d] at offset %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	if !l.Filter.wants(e) {
		l.count(func(s *Status) { s.Filtered++ })
		return nil, nil
	}
	it := &Item{Event: e, Record: r}
	l.Receiver.Prepare(it)
	return it, nil
}

// deliver sends items until each is done, had, or in the dead letters.
func (l *Loop) deliver(ctx context.Context, items []*Item) error {
	for len(items) > 0 {
		n := l.fit(items)
		if err := l.batch(ctx, items[:n]); err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}

// fit returns how many of the first items one request takes.
func (l *Loop) fit(items []*Item) int {
	size := 0
	for i, it := range items {
		if size += len(it.Body); i > 0 && size > l.Pace.BatchBytes || i == l.Pace.BatchRecords {
			return i
		}
	}
	return len(items)
}

// batch sends items that fit into a request, until each is judged for good.
func (l *Loop) batch(ctx context.Context, items []*Item) error {
	for waits := 0; len(items) > 0; {
		attempt := items
		if l.open() {
			attempt = items[:1] // a probe
		}
		judge(attempt, unjudged, "")
		err := l.send(ctx, attempt)
		if err != nil && ctx.Err() != nil {
			return ctx.Err() // nobody knows what the receiver has
		}
		var refused *Refused
		switch {
		case errors.As(err, &refused) && len(attempt) == 1:
			attempt[0].Verdict = Verdict{Never, refused.Reason}
			l.succeeded()
		case errors.As(err, &refused):
			l.succeeded() // it answers
			half := len(attempt) / 2
			if err := l.batch(ctx, attempt[:half]); err != nil {
				return err
			}
			items = items[half:]
			continue
		case err != nil:
			l.failed(err)
			if !l.wait(ctx, waits, err) {
				return ctx.Err()
			}
			waits++
			continue
		default:
			l.succeeded()
		}
		again, err := l.settle(ctx, attempt)
		if err != nil {
			return err
		}
		if len(again) < len(attempt) {
			waits = 0
		}
		items = append(again, items[len(attempt):]...)
		if len(again) > 0 {
			if !l.wait(ctx, waits, nil) {
				return ctx.Err()
			}
			waits++
		}
	}
	return nil
}

func (l *Loop) send(ctx context.Context, items []*Item) error {
	limit, cancel := context.WithTimeout(ctx, l.Pace.Timeout)
	defer cancel()
	l.count(func(s *Status) { s.Requests++ })
	return l.Receiver.Deliver(limit, items)
}

// settle counts the verdicts of an attempt, puts what is never taken into the
// dead letters, and returns what is to be sent again.
func (l *Loop) settle(ctx context.Context, attempt []*Item) (again []*Item, err error) {
	// What was answered counts, even if the end has come meanwhile.
	ctx, cancel := outlast(ctx)
	defer cancel()
	for _, it := range attempt {
		switch it.Outcome {
		case Done:
			l.count(func(s *Status) { s.Delivered++ })
		case Had:
			l.count(func(s *Status) { s.Had++ })
		case Never:
			if err := l.Source.Dead(ctx, it.Record, it.Reason); err != nil {
				return nil, err
			}
			l.count(func(s *Status) { s.Never++ })
			l.Log.Warn("a receiver will not take an event, which is in the dead letters", "sink", l.Name, "topic", it.Record.Topic,
				"partition", it.Record.Partition, "offset", it.Record.Offset, "reason", it.Reason)
		default:
			l.count(func(s *Status) { s.Again++; s.LastError = it.Reason })
			again = append(again, it)
		}
	}
	return again, nil
}

// outlast returns a context that ends closeTime after ctx.
func outlast(ctx context.Context) (longer context.Context, cancel func()) {
	longer, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(closeTime, end) })
	return longer, func() { stop(); end() }
}

// finish commits what is done, now or when it has settled.
func (l *Loop) finish(ctx context.Context, next Offsets) error {
	// What is done is committed even if the end has come meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	s, slow := l.Receiver.(settler)
	if !slow || s.Settle() == 0 {
		if len(next) == 0 {
			return nil
		}
		return l.Source.Commit(ctx, next)
	}
	if len(next) > 0 {
		l.settling = append(l.settling, settled{l.Clock.Now(), next})
	}
	if len(l.settling) == 0 || l.due() > 0 {
		return nil
	}
	restarted, err := s.Refresh(ctx)
	if err != nil {
		l.failed(err)
		restarted = l.Clock.Now() // and try again when that has settled
	}
	for i := range l.settling {
		if l.settling[i].at.Before(restarted) {
			l.settling[i].at = restarted
		}
	}
	return l.commitSettled(ctx, l.Clock.Now().Add(-s.Settle()))
}

// due is the time until the oldest of what is done has settled.
func (l *Loop) due() time.Duration {
	return l.settling[0].at.Add(l.Receiver.(settler).Settle()).Sub(l.Clock.Now())
}

// commitSettled commits what was sent at or before a time.
func (l *Loop) commitSettled(ctx context.Context, before time.Time) error {
	n, next := 0, Offsets{}
	for n < len(l.settling) && !l.settling[n].at.After(before) {
		for topic, partitions := range l.settling[n].next {
			for p, at := range partitions {
				if next[topic] == nil {
					next[topic] = map[int32]kgo.EpochOffset{}
				}
				next[topic][p] = at
			}
		}
		n++
	}
	if n == 0 {
		return nil
	}
	l.settling = l.settling[n:]
	return l.Source.Commit(ctx, next)
}
