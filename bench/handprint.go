package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/processor"
	"handprint/state"
	"handprint/topology"
)

// drain is handprint: it runs the topology until the backlog and all that
// followed from it is processed and committed.
func (j *job) drain(ctx context.Context, m *meter) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := state.Open(j.Dir, state.Options{Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	rest := topology.NewRest(j.Names)
	for topic, partitions := range j.Until {
		for p, end := range partitions {
			rest.Expect(topic, p, end-1)
		}
	}
	counters := new(engine.Counters)
	p, err := topology.Config{
		Names:  j.Names,
		Engine: engine.Config{Thresholds: attribution.DefaultThresholds(), Counters: counters},
		Runtime: processor.Config{
			ApplicationID: j.Group, InstanceID: "bench",
			Client:     []kgo.Opt{kgo.SeedBrokers(j.Brokers...), kgo.WithHooks(m)},
			Partitions: j.Partitions, Threads: j.Threads, Store: store, Logger: log,
			OnCommit: func(c processor.Commit) {
				m.committed(c)
				rest.OnCommit(c)
			},
		},
	}.Processor()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	idle := make(chan error, 1)
	if !j.Hold {
		go func() { idle <- rest.Wait(ctx) }()
	}
	select {
	case err = <-ended:
		return err
	case err = <-idle:
	}
	m.done()
	stop()
	err = errors.Join(err, <-ended)
	m.report.Transitions = counters.Transitions.Load()
	m.report.StoreBytes = sizeOf(j.Dir)
	return err
}

// sizeOf is how many bytes the files of a directory are.
func sizeOf(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}
