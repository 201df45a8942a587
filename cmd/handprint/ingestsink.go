package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/ingest"
	"handprint/schemas"
)

// flushTime is how long the last records may take after the work has ended or
// was interrupted.
const flushTime = 30 * time.Second

// profileTopic returns the topic that attackers' addresses are written to, empty
// if none are: the sensor knows none, or they are not wanted.
func (a *app) profileTopic(known bool) string {
	if !known || !a.cfg.Values.Addresses {
		return ""
	}
	return a.cfg.Topics.Profiles
}

// progress returns a display on standard error, nil where that is no file.
func (a *app) progress(total int64) *ingest.Progress {
	if f, ok := a.err.(*os.File); ok {
		return ingest.NewProgress(f, total)
	}
	return nil
}

// sink returns where observations go, and what to call once they are all
// taken.
func (a *app) sink(ctx context.Context, q *ingestQuery) (ingest.FlushingSink, func(context.Context) error, error) {
	if q.stdout {
		s := &printingSink{out: bufio.NewWriterSize(a.out, 64<<10), log: a.log}
		return s, s.end, nil
	}
	opts, err := a.clientOpts()
	if err != nil {
		return nil, nil, err
	}
	cl, err := a.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	topics := []string{a.cfg.Topics.Observations, a.cfg.Topics.DeadLetter}
	contracts := []schemas.Contract{schemas.ObservationContract, schemas.DeadLetterContract}
	profiles := a.profileTopic(q.addresses)
	if profiles != "" {
		topics, contracts = append(topics, profiles), append(contracts, schemas.AttackerProfileContract)
	}
	err = a.requireTopics(ctx, cl, false, topics...)
	cl.Close()
	if err != nil {
		return nil, nil, err
	}
	format, err := a.inputFormat(ctx, cmp.Or(q.format, a.cfg.Schemas.OutputFormat), contracts...)
	if err != nil {
		return nil, nil, err
	}
	// An interrupt ends the reading; what has been read is still sent.
	p, err := ingest.NewProducer(context.WithoutCancel(ctx), ingest.ProducerConfig{
		Brokers: a.cfg.Connection.Brokers, Observations: a.cfg.Topics.Observations, DeadLetters: a.cfg.Topics.DeadLetter,
		Profiles: profiles, Warn: a.warn, Format: format,
	}, append(opts, kgo.RecordDeliveryTimeout(2*time.Minute))...)
	if err != nil {
		return nil, nil, err
	}
	return p, func(ctx context.Context) error {
		defer p.Close()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
		defer cancel()
		return p.Flush(last)
	}, nil
}

// printingSink prints observations instead of sending them.
type printingSink struct {
	out    *bufio.Writer
	log    *slog.Logger
	buf    []byte
	dead   int
	atOnce bool // every line is written as soon as it is there
}

// Observation implements ingest.Sink.
func (s *printingSink) Observation(o ingest.Observation) error {
	s.buf = append(o.AppendJSON(s.buf[:0]), '\n')
	return s.write()
}

func (s *printingSink) write() error {
	_, err := s.out.Write(s.buf)
	if err == nil && s.atOnce {
		err = s.out.Flush()
	}
	return err
}

// Record implements ingest.Sink.
func (s *printingSink) Record(_, value []byte) error {
	s.buf = append(append(s.buf[:0], value...), '\n')
	return s.write()
}

// deadLogged is how many dead letters are logged one by one.
const deadLogged = 10

// Dead implements ingest.Sink.
func (s *printingSink) Dead(d ingest.DeadLetter) error {
	s.dead++
	if s.dead <= deadLogged {
		s.log.Warn("a line cannot be used", "reason", d.Reason, "file", d.File, "line", d.Number, "bytes", d.Length)
	}
	return nil
}

// Flush implements ingest.FlushingSink.
func (s *printingSink) Flush(context.Context) error { return s.out.Flush() }

func (s *printingSink) end(ctx context.Context) error {
	if s.dead > deadLogged {
		s.log.Warn("more lines cannot be used", "lines", s.dead-deadLogged)
	}
	if err := s.Flush(ctx); err != nil {
		return fmt.Errorf("writing to standard output: %w", err)
	}
	return nil
}
