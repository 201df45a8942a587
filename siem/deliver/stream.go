package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/schemas"
	"handprint/siem"
)

// StreamConfig says what a Stream formats.
type StreamConfig struct {
	Group string // and beginning of the transactional id
	// Instance tells this process's transactional id from those of others of the
	// group.
	Instance   string
	Topics     []string // input
	Output     string   // topic
	DeadLetter string   // topic
	FromNow    bool     // begin at the end if the group has no offsets yet
	Decoder    *siem.Decoder
	Await      func(value []byte) error // nil: nothing has to be known first
	Formatter  *siem.Formatter
	Filter     Filter
	Options    []kgo.Opt
	Timeout    time.Duration // of a transaction; 0: 10 s
	Log        *slog.Logger
	// DeadLetterValue brings a dead letter into the form of its topic; nil: it
	// stays as it is.
	DeadLetterValue func(original []byte, headers []kgo.RecordHeader) []byte
}

// Stream formats events from topics into a topic, exactly once: what it writes
// and how far it has read are committed in one transaction.
type Stream struct {
	StreamConfig
	formatted, dead, filtered atomic.Int64
}

// HeaderEventID and HeaderEventCode are the headers of a formatted record.
const (
	HeaderEventID   = "handprint.event.id"
	HeaderEventCode = "handprint.event.code"
)

// maxFormatted is the most bytes of a formatted record: no topic takes more. A
// longer one is a dead letter.
const maxFormatted = 4<<20 - 8<<10

// NewStream returns a Stream that has yet to run.
func NewStream(c StreamConfig) *Stream {
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	return &Stream{StreamConfig: c}
}

// Counts returns how many events were formatted, were dead letters, and were not
// wanted.
func (s *Stream) Counts() (formatted, dead, filtered int64) {
	return s.formatted.Load(), s.dead.Load(), s.filtered.Load()
}

// Run formats until ctx ends, which is a good end.
func (s *Stream) Run(ctx context.Context) error {
	start := kgo.NewOffset().AtStart()
	if s.FromNow {
		start = kgo.NewOffset().AtEnd()
	}
	session, err := kgo.NewGroupTransactSession(append(append([]kgo.Opt{}, s.Options...),
		kgo.ConsumerGroup(s.Group), kgo.ConsumeTopics(s.Topics...), kgo.ConsumeResetOffset(start),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(sessionTimeout), kgo.HeartbeatInterval(sessionTimeout/5), kgo.RebalanceTimeout(2*sessionTimeout),
		kgo.TransactionalID(s.Group+"-"+s.Instance), kgo.TransactionTimeout(s.Timeout), kgo.FetchMaxBytes(8<<20), kgo.ProducerBatchMaxBytes(maxFormatted+4<<10),
	)...)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	defer session.Close()
	for ctx.Err() == nil {
		if err := s.turn(ctx, session); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// turn formats what there is in one transaction.
func (s *Stream) turn(ctx context.Context, session *kgo.GroupTransactSession) error {
	fetches := session.PollRecords(ctx, 10_000)
	if ctx.Err() != nil {
		return nil
	}
	if err := fetchError(fetches); err != nil {
		return err
	}
	records := fetches.Records()
	if len(records) == 0 {
		return nil
	}
	if err := session.Begin(); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	// A turn that has begun is ended, even if the end of the process has come.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Timeout)
	defer cancel()
	var failed atomic.Pointer[error]
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	var formatted, dead, filtered int64
	for _, r := range records {
		out, err := s.format(r)
		switch {
		case err != nil:
			_, _ = session.End(last, kgo.TryAbort)
			return err
		case out == nil:
			filtered++
			continue
		case out.Topic == s.DeadLetter:
			dead++
		default:
			formatted++
		}
		session.Produce(last, out, done)
	}
	err := session.Client().Flush(last)
	if p := failed.Load(); p != nil {
		err = errors.Join(err, *p)
	}
	committed, ended := session.End(last, kgo.TransactionEndTry(err == nil))
	switch {
	case ended != nil:
		return fmt.Errorf("ending a transaction: %w", ended)
	case err != nil && !transient(err):
		return fmt.Errorf("writing formatted events to %s: %w", s.Output, err)
	case committed:
		s.formatted.Add(formatted)
		s.dead.Add(dead)
		s.filtered.Add(filtered)
	default:
		s.Log.Warn("a transaction was aborted; its events are formatted again", "records", len(records), "error", err)
	}
	return nil
}

func transient(err error) bool {
	return kerr.IsRetriable(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrRecordTimeout) || errors.Is(err, kgo.ErrAborting)
}

// fetchError returns the first error of fetches that the client does not mend by
// itself.
func fetchError(fetches kgo.Fetches) (failed error) {
	fetches.EachError(func(topic string, partition int32, err error) {
		var lost *kgo.ErrDataLoss
		var session *kgo.ErrGroupSession
		switch {
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), kerr.IsRetriable(err), errors.As(err, &lost), errors.As(err, &session):
		case failed == nil:
			failed = fmt.Errorf("reading %s[%d]: %w", topic, partition, err)
		}
	})
	return failed
}

// format returns the record that r becomes: a formatted event under r's key, a
// dead letter, or nil for an event that is not wanted.
func (s *Stream) format(r *kgo.Record) (*kgo.Record, error) {
	if s.Await != nil {
		if err := s.Await(r.Value); err != nil {
			return nil, err
		}
	}
	e, err := s.Decoder.Decode(&siem.Record{
		Topic: r.Topic, Key: r.Key, Value: r.Value, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(),
	})
	if bad := (*schemas.Bad)(nil); errors.As(err, &bad) {
		return s.deadLetter(r, bad.Reason), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s[%d] at offset %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	if !s.Filter.wants(e) {
		return nil, nil
	}
	line := s.Formatter.Append(nil, e)
	if len(line)+len(r.Key) > maxFormatted {
		return s.deadLetter(r, fmt.Sprintf("formatted it has %d bytes, more than a topic takes", len(line))), nil
	}
	return &kgo.Record{Topic: s.Output, Key: r.Key, Value: line, Headers: []kgo.RecordHeader{
		{Key: HeaderEventID, Value: []byte(e.ID)}, {Key: HeaderEventCode, Value: []byte(siem.Code(e))},
	}}, nil
}

func (s *Stream) deadLetter(r *kgo.Record, reason string) *kgo.Record {
	headers := schemas.DeadLetterHeaders(r, "format", reason)
	value := r.Value
	if s.DeadLetterValue != nil {
		value = s.DeadLetterValue(value, headers)
	}
	return &kgo.Record{Topic: s.DeadLetter, Key: r.Key, Value: value, Headers: headers}
}
