package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/ingest"
	"handprint/ingest/behave"
	"handprint/ingest/cowrie"
	"handprint/internal/broker"
	"handprint/topology"
)

// embedded is the whole application on a broker inside this process: the same
// topics, tasks and transactions as on a cluster.
type embedded struct {
	app    *app
	config topology.Config
	broker *broker.Embedded
	rest   *topology.Rest
	client *kgo.Client

	dir  string // of broker and store, removed at the end
	stop context.CancelFunc
	done chan error // the processor's end
}

// startEmbedded starts it. Broker and store live in a temporary folder. In a
// replay it sweeps in the time of the observations.
func (a *app) startEmbedded(ctx context.Context, replay bool) (_ *embedded, err error) {
	if a.cfg.Logging.Level == "info" {
		// What a server tells of its work would stand between the results.
		a.cfg.Logging.Level = "warn"
		a.log = a.newLogger()
	}
	e := &embedded{app: a, rest: topology.NewRest(a.cfg.Topics)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.dir, err = os.MkdirTemp("", "handprint-"); err != nil {
		return nil, fmt.Errorf("making a folder for the embedded broker: %w", err)
	}
	if e.broker, err = broker.Start(broker.Options{Dir: filepath.Join(e.dir, "broker"), Logger: a.log}); err != nil {
		return nil, err
	}
	a.cfg.Connection.Brokers = e.broker.Addrs()
	a.cfg.Layout.Replication = 1
	if err := a.prepareTopics(ctx); err != nil {
		return nil, err
	}
	e.client, err = kgo.NewClient(append(e.broker.ClientOpts(), kgo.RecordPartitioner(a.cfg.Topics.Partitioner()), kgo.WithHooks(e.rest))...)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	if e.config, err = a.application(e.broker.ClientOpts()); err != nil {
		return nil, err
	}
	if err := a.openStore(&e.config, e.dir); err != nil {
		return nil, err
	}
	if replay {
		e.config.Engine.ReplayInterval, e.config.SweepInterval = e.config.SweepInterval.Seconds(), 0
	}
	e.config.Runtime.OnCommit = e.rest.OnCommit
	e.config.Runtime.FetchMaxWait = 20 * time.Millisecond
	p, err := e.config.Processor()
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop, e.done = stop, make(chan error, 1)
	go func() { e.done <- p.Run(running) }()
	return e, nil
}

// settle waits until everything that was put in is processed.
func (e *embedded) settle(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waited := make(chan error, 1)
	go func() { waited <- e.rest.Wait(ctx) }()
	select {
	case err := <-waited:
		return err
	case err := <-e.done:
		if err == nil {
			err = errors.New("it was told to stop")
		}
		err = fmt.Errorf("the processor ended: %w", err)
		e.done <- err
		cancel(err)
		<-waited
		return err
	}
}

// sweep makes every task look for identities that several actors may share: now,
// or in a replay at the multiple of the interval behind the newest observation.
func (e *embedded) sweep(ctx context.Context) error {
	n := e.app.cfg.Layout.Partitions
	ticks := e.app.cfg.Topics.Ticks(n, time.Now())
	if c := &e.config.Engine; c.ReplayInterval > 0 {
		ticks = e.app.cfg.Topics.TicksAt(n, c.ReplayEnd(math.Float64frombits(c.Counters.Newest.Load())))
	}
	if err := e.client.ProduceSync(ctx, ticks...).FirstErr(); err != nil {
		return fmt.Errorf("starting a sweep: %w", err)
	}
	return e.settle(ctx)
}

// ingest sends what an adapter makes of files into the application.
func (e *embedded) ingest(ctx context.Context, adapt func(ingest.Sink) (ingest.Adapter, error), files *ingest.Files) (ingest.Result, error) {
	p, err := ingest.NewProducer(ctx, ingest.ProducerConfig{
		Brokers: e.broker.Addrs(), Observations: e.app.cfg.Topics.Observations, DeadLetters: e.app.cfg.Topics.DeadLetter,
		Profiles: e.app.profileTopic(true),
	}, append(e.broker.ClientOpts(), kgo.WithHooks(e.rest))...)
	if err != nil {
		return ingest.Result{}, err
	}
	defer p.Close()
	result, err := files.Run(ctx, p, adapt)
	return result, errors.Join(err, p.Flush(ctx))
}

// adapter returns what makes the adapter of a sensor's log.
func (a *app) adapter(sensor string) func(ingest.Sink) (ingest.Adapter, error) {
	return func(s ingest.Sink) (ingest.Adapter, error) {
		if sensor == "behave" {
			return behave.New(s.Record, s.Dead), nil
		}
		settings := a.cowrie
		settings.OpaqueSource, settings.MaxAhead = a.warnOpaque, a.cfg.Values.MaxAhead
		return cowrie.New(settings, s.Observation, s.Dead)
	}
}

// close ends everything and removes the folder.
func (e *embedded) close() (err error) {
	if e.stop != nil {
		e.stop()
		err = <-e.done
	}
	if e.client != nil {
		e.client.Close()
	}
	if e.config.Runtime.Store != nil {
		err = errors.Join(err, e.config.Runtime.Store.Close())
	}
	if e.broker != nil {
		err = errors.Join(err, e.broker.Close())
	}
	if e.dir != "" {
		err = errors.Join(err, os.RemoveAll(e.dir))
	}
	return err
}
