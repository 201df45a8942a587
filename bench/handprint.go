package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/memory"
	"handprint/processor"
	"handprint/state"
	"handprint/topology"
)

// handprint runs the topology until ctx ends.
func (j *job) handprint(ctx context.Context, m *meter) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	record, blocks := memory.Read().Caches()
	if j.Caches[0] > 0 {
		record = j.Caches[0] << 20
	}
	if j.Caches[1] > 0 {
		blocks = j.Caches[1] << 20
	}
	store, err := state.Open(j.Dir, state.Options{Logger: log, HoldBytes: record, CacheBytes: int64(blocks)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	config := topology.Config{
		Names:  j.Names,
		Engine: engine.Config{Thresholds: attribution.DefaultThresholds(), Counters: new(engine.Counters), Retention: j.Retention},
		Runtime: processor.Config{
			ApplicationID: j.Group, InstanceID: "bench", StaticMembership: true, // as it is by default
			Client:     []kgo.Opt{kgo.SeedBrokers(j.Brokers...), kgo.WithHooks(m)},
			Partitions: j.Partitions, Threads: j.Threads, Store: store, Logger: log, MaxBatchRecords: j.Batch,
			OnCommit: m.committed, Hooks: processor.Hooks{Batch: m.batch},
		},
	}
	if j.Registry != "" {
		client, format, err := avroFormat(ctx, j.Registry)
		if err != nil {
			return err
		}
		config.Schemas, config.Engine.Writers, config.Engine.Format = client, client.Writers(), format
	}
	p, err := config.Processor()
	if err != nil {
		return err
	}
	return p.Run(ctx)
}
