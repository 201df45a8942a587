package ingest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/schemas"
)

// Stage is the stage that the headers of dead letters sent from here name.
const Stage = "ingest"

// The headers by which a dead letter from a file says where its line stood. A
// line of a topic is located as any record is ([schemas.DeadLetterHeaders]).
const (
	HeaderFile   = schemas.HeaderFile
	HeaderLine   = schemas.HeaderLine
	HeaderLength = schemas.HeaderLength
	HeaderDigest = schemas.HeaderDigest
)

// ProducerConfig says where a Producer sends to.
type ProducerConfig struct {
	Brokers []string // bootstrap servers, host:port

	Observations string // topic of the observations
	DeadLetters  string // topic of the lines that could not be used
	Profiles     string // topic of the attackers' addresses; empty: none is written

	// Format is how observations and dead letters are written; nil: JSON.
	Format *schemas.Format

	// Warn, if set, is told when the brokers do not answer, and when they do
	// again. It is called from a goroutine of the producer's own.
	Warn func(text string)

	// MaxInFlight bounds the records that are sent and not acknowledged;
	// sending waits beyond it. DefaultMaxInFlight if 0.
	MaxInFlight int
}

// DefaultMaxInFlight is how many records may wait for their acknowledgement.
const DefaultMaxInFlight = 20_000

// Producer sends observations and dead letters to Kafka: keyed, by the default
// partitioner, idempotently, acknowledged by all replicas. It is for one
// goroutine at a time, its batches for one each; the methods that send return as
// soon as a record is queued. The first record that fails makes every later
// call fail: nothing is skipped over silently.
type Producer struct {
	client *kgo.Client
	done   context.Context
	writer

	sent, acked atomic.Int64
	stop        func() // ends the watch
	watch       sync.WaitGroup

	mu     sync.Mutex
	failed int
	err    error
}

// writer makes the records of observations and dead letters.
type writer struct {
	observations string
	deadLetters  string
	profileTopic string // empty: no addresses are written
	profiles     profiles
	format       *schemas.Format

	buffer  []byte
	decoder schemas.ObservationDecoder
	decoded attribution.Observation
}

// NewProducer returns a producer of a client of its own, with opts (security,
// client id and the like) added to its configuration. It does not wait for a
// broker. When ctx ends, what is waiting to be sent fails.
func NewProducer(ctx context.Context, config ProducerConfig, opts ...kgo.Opt) (*Producer, error) {
	inFlight := config.MaxInFlight
	if inFlight <= 0 {
		inFlight = DefaultMaxInFlight
	}
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(config.Brokers...),
		// The task that owns an attacker is found by this partitioner: any
		// other would cost each record a detour (docs/attribution.md, "Stub
		// ids").
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.MaxBufferedRecords(inFlight),
	}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("making a producer for %s: %w", strings.Join(config.Brokers, ","), err)
	}
	p := &Producer{client: client, writer: writer{observations: config.Observations, deadLetters: config.DeadLetters, profileTopic: config.Profiles, format: config.Format}, done: ctx}
	p.stop = func() {}
	if config.Warn != nil {
		done := make(chan struct{})
		p.stop = sync.OnceFunc(func() { close(done) })
		p.watch.Go(func() { p.watchBrokers(done, config.Warn) })
	}
	return p, nil
}

// Observation sends an observation, keyed by its attacker, and before it the
// attacker's address if that is due.
func (p *Producer) Observation(o Observation) error {
	if profile := p.profile(&o); profile != nil {
		if err := p.send(profile); err != nil {
			return err
		}
	}
	return p.send(p.observation(o))
}

func (w *writer) observation(o Observation) *kgo.Record {
	w.buffer = o.AppendJSON(w.buffer[:0])
	return &kgo.Record{Topic: w.observations, Key: []byte(o.Attacker), Value: w.formatted(w.buffer)}
}

// profile returns the record of an attacker's address, nil unless it is due: at
// most once for an attacker, a sensor and an hour.
func (w *writer) profile(o *Observation) *kgo.Record {
	if w.profileTopic == "" {
		return nil
	}
	profile, due := w.profiles.of(o)
	if !due {
		return nil
	}
	return &kgo.Record{
		Topic: w.profileTopic, Key: schemas.AppendProfileKey(nil, profile.Attacker, profile.Sensor), Value: w.format.AppendProfile(nil, &profile),
	}
}

// formatted returns a copy of an observation that is JSON in the format of the
// producer. One that is no good observation stays as it is: the pipeline says
// why.
func (w *writer) formatted(observation []byte) []byte {
	if w.format == nil || w.decoder.Decode(observation, &w.decoded) != nil {
		return append([]byte{}, observation...)
	}
	return w.format.AppendObservation(nil, &w.decoded)
}

// Record sends an observation that is made already, as JSON. A nil key goes to
// any partition.
func (p *Producer) Record(key, value []byte) error { return p.send(p.record(key, value)) }

func (w *writer) record(key, value []byte) *kgo.Record {
	return &kgo.Record{Topic: w.observations, Key: append([]byte(nil), key...), Value: w.formatted(value)}
}

// Dead sends a dead letter: in the headers why the line could not be used,
// where it stood and how long it is, of a private one its digest; and the line
// as it was read, of a private one what may be told of it.
func (p *Producer) Dead(d DeadLetter) error { return p.send(p.dead(d)) }

func (w *writer) dead(d DeadLetter) *kgo.Record {
	letter := &kgo.Record{Topic: w.deadLetters, Value: append([]byte{}, d.Line...)}
	more := func() {
		if d.Length > int64(len(d.Line)) {
			letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: HeaderLength, Value: strconv.AppendInt(nil, d.Length, 10)})
		}
		if d.Digest != "" {
			letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: HeaderDigest, Value: []byte(d.Digest)})
		}
	}
	if d.Batch != nil {
		letter.Headers = schemas.BatchDeadLetterHeaders(*d.Batch, Stage, d.Reason)
		letter.Value = w.format.DeadLetterValue(nil, letter.Headers)
		return letter
	}
	if original := d.Record; original != nil {
		letter.Key = append([]byte(nil), original.Key...)
		letter.Headers = schemas.DeadLetterHeaders(original, Stage, d.Reason)
		more()
		letter.Value = w.format.DeadLetterValue(letter.Value, letter.Headers)
		return letter
	}
	letter.Headers = []kgo.RecordHeader{
		{Key: schemas.HeaderReason, Value: []byte(d.Reason)},
		{Key: schemas.HeaderStage, Value: []byte(Stage)},
		{Key: HeaderFile, Value: []byte(d.File)},
		{Key: HeaderLine, Value: strconv.AppendInt(nil, d.Number, 10)},
	}
	more()
	letter.Value = w.format.DeadLetterValue(letter.Value, letter.Headers)
	return letter
}

func (p *Producer) send(r *kgo.Record) error {
	if err := p.failure(); err != nil {
		return err
	}
	p.sent.Add(1)
	p.client.Produce(p.done, r, p.acknowledged)
	return nil
}

// acknowledged is called by the client for each record, from its own
// goroutine.
func (p *Producer) acknowledged(r *kgo.Record, err error) {
	if err == nil {
		p.acked.Add(1)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed++
	if p.err == nil {
		p.err = fmt.Errorf("sending to %s, key %q: %w", r.Topic, r.Key, err)
	}
}

func (p *Producer) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.failed == 0:
		return nil
	case p.failed == 1:
		return p.err
	}
	return fmt.Errorf("%d records failed, the first: %w", p.failed, p.err)
}

// Flush waits until every record is acknowledged or has failed, and returns
// the failures as one error.
func (p *Producer) Flush(ctx context.Context) error {
	if err := p.client.Flush(ctx); err != nil {
		return errors.Join(fmt.Errorf("waiting for acknowledgements (%d of %d are there); running it again does no harm: %w", p.acked.Load(), p.sent.Load(), err), p.failure())
	}
	return p.failure()
}

// Close lets go of the connections. What has not been flushed is lost.
func (p *Producer) Close() {
	p.stop()
	p.watch.Wait()
	p.client.Close()
}

// stalledAfter is how long the brokers may take before that is said.
const stalledAfter = 4 * time.Second

// watchBrokers says when records wait and none is acknowledged.
func (p *Producer) watchBrokers(done <-chan struct{}, warn func(string)) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	s := stall{since: time.Now()}
	for {
		select {
		case now := <-tick.C:
			if text := s.look(now, p.sent.Load(), p.acked.Load()); text != "" {
				warn(text)
			}
		case <-done:
			return
		}
	}
}

// stall finds out whether the brokers have stopped answering.
type stall struct {
	acked int64
	since time.Time // of the last answer, or of the time when nothing waited
	said  bool
}

// look takes the numbers of records sent and acknowledged, and returns what is
// to be said, empty if nothing.
func (s *stall) look(now time.Time, sent, acked int64) string {
	if acked != s.acked || acked == sent {
		s.acked, s.since = acked, now
		if s.said {
			s.said = false
			return fmt.Sprintf("the brokers answer again: %d of %d records are safe", acked, sent)
		}
		return ""
	}
	if s.said || now.Sub(s.since) < stalledAfter {
		return ""
	}
	s.said = true
	return fmt.Sprintf("the brokers do not answer: %d of %d records are safe, the others wait; ending this and running it again does no harm, for observations keep their ids", acked, sent)
}

// Batch is a sink whose records are sent together. It is for one goroutine.
type Batch struct {
	producer *Producer
	writer
	records []*kgo.Record
}

// NewBatch returns an empty batch. Several may be filled and sent at once.
func (p *Producer) NewBatch() *Batch {
	return &Batch{producer: p, writer: writer{
		observations: p.observations, deadLetters: p.deadLetters, profileTopic: p.profileTopic, format: p.format,
	}}
}

// Observation adds an observation.
func (b *Batch) Observation(o Observation) error {
	if profile := b.profile(&o); profile != nil {
		b.records = append(b.records, profile)
	}
	b.records = append(b.records, b.observation(o))
	return nil
}

// Record adds an observation that is made already.
func (b *Batch) Record(key, value []byte) error {
	b.records = append(b.records, b.record(key, value))
	return nil
}

// Dead adds a dead letter.
func (b *Batch) Dead(d DeadLetter) error {
	b.records = append(b.records, b.dead(d))
	return nil
}

// Send sends the records and waits until the brokers have all of them. After an
// error some may have arrived; their ids make sending them again harmless.
func (b *Batch) Send(ctx context.Context) error {
	if len(b.records) == 0 {
		return nil
	}
	if err := b.producer.client.ProduceSync(ctx, b.records...).FirstErr(); err != nil {
		return fmt.Errorf("sending %d records: %w", len(b.records), err)
	}
	return nil
}
