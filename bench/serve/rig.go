package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/broker"
	"handprint/topology"
)

// rig is the broker, and what runs beside it.
type rig struct {
	*plan
	broker     *broker.Embedded
	names      topology.Names
	client     *kgo.Client
	identity   string // of the changelog
	primitives []*attribution.Primitive
	random     *rand.Rand
	sent       int64 // observations
	ts         float64
	best       float64 // observations a second

	side, engine *process
}

func openRig(ctx context.Context, p *plan) (_ *rig, err error) {
	text, err := os.ReadFile(filepath.Join(p.dir, "state.json"))
	if err != nil {
		return nil, fmt.Errorf("there is no state, make it with -build: %w", err)
	}
	var note stateNote
	if err := json.Unmarshal(text, &note); err != nil {
		return nil, err
	}
	p.identities, p.templates, p.partitions = note.Identities, note.Templates, note.Partitions
	r := &rig{plan: p, names: topology.DefaultNames("", application), primitives: primitives(), random: rand.New(rand.NewPCG(1, 2)), ts: float64(time.Now().Unix())}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.broker, err = broker.Start(broker.Options{}); err != nil {
		return nil, err
	}
	if r.client, err = kgo.NewClient(append(r.broker.ClientOpts(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(1<<16))...); err != nil {
		return nil, err
	}
	if _, err := broker.Ensure(ctx, r.client, r.names.Specs(topology.Layout{Partitions: int32(p.partitions), Replication: 1})); err != nil {
		return nil, err
	}
	topics, err := kadm.NewClient(r.client).ListTopics(ctx, r.names.Changelog)
	if err != nil {
		return nil, err
	}
	id := topics[r.names.Changelog].ID
	r.identity = hex.EncodeToString(id[:])
	// What former measurements left: the changelog that they read is gone.
	err = errors.Join(os.RemoveAll(filepath.Join(p.serveDir(), "history")), os.RemoveAll(r.snapshot()),
		adopt(p.engineDir(), p.partitions, r.identity), adopt(filepath.Join(p.serveDir(), "copy"), p.partitions, r.identity))
	return r, err
}

func (r *rig) snapshot() string { return filepath.Join(r.serveDir(), "catalog.snapshot") }

func (r *rig) close() error {
	err := errors.Join(r.side.stop(), r.engine.stop())
	if r.client != nil {
		r.client.Close()
	}
	if r.broker != nil {
		err = errors.Join(err, r.broker.Close())
	}
	return err
}

func (r *rig) startSide() (err error) {
	if r.side != nil {
		return nil
	}
	r.side, err = start(job{Role: "serve", Brokers: r.broker.Addrs(), Dir: r.serveDir(), Partitions: r.partitions, Profile: os.Getenv("BENCH_SERVE_PROFILE")})
	return err
}

func (r *rig) stopSide() error {
	err := r.side.stop()
	r.side = nil
	return err
}

func (r *rig) startEngine() (err error) {
	if r.engine != nil {
		return nil
	}
	r.engine, err = start(job{Role: "engine", Brokers: r.broker.Addrs(), Dir: r.engineDir(), Partitions: r.partitions})
	return err
}

func (r *rig) stopEngine() error {
	err := r.engine.stop()
	r.engine = nil
	return err
}

// await asks the read side until f holds.
func (r *rig) await(ctx context.Context, f func(status) bool) (status, error) {
	for {
		s, err := r.side.ask()
		if err != nil || f(s) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// observe sends an observation of a random attacker: mostly of what it has shown
// before.
func (r *rig) observe(ctx context.Context) {
	n := r.random.IntN(r.identities)
	p := r.primitives[r.random.IntN(len(r.primitives))]
	variant := 0
	if r.random.IntN(5) == 0 {
		variant = 1 + r.random.IntN(3)
	}
	r.ts += 1. / 4096
	r.sent++
	r.client.Produce(ctx, observation(&r.names, attackerOf(n), p, valueOf(p, n%r.templates, variant), r.ts, r.partitions), nil)
}

// pace sends observations at a rate until ctx ends.
func (r *rig) pace(ctx context.Context, rate float64) {
	began, sent := time.Now(), 0
	for ctx.Err() == nil {
		due := int(time.Since(began).Seconds() * rate)
		for ; sent < due; sent++ {
			r.observe(context.WithoutCancel(ctx))
		}
		time.Sleep(5 * time.Millisecond)
	}
	_ = r.client.Flush(context.WithoutCancel(ctx))
}

// committed returns how many observations the engine is over with.
func (r *rig) committed(ctx context.Context) (n int64, err error) {
	offsets, err := kadm.NewClient(r.client).FetchOffsets(ctx, application)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == r.names.Observations && o.At > 0 {
			n += o.At
		}
	})
	return n, nil
}

// drain waits until the engine has taken all that was sent, and returns its rate
// between its first commit and its last.
func (r *rig) drain(ctx context.Context) (float64, error) {
	base, err := r.committed(ctx)
	if err != nil {
		return 0, err
	}
	var began time.Time
	first := base
	for {
		n, err := r.committed(ctx)
		if err != nil {
			return 0, err
		}
		if n > base && began.IsZero() {
			began, first = time.Now(), n
		}
		if n >= r.sent {
			return float64(n-first) / time.Since(began).Seconds(), nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// backlogOf sends observations at once.
func (r *rig) backlogOf(ctx context.Context, n int) error {
	for range n {
		r.observe(ctx)
	}
	return r.client.Flush(ctx)
}

// get asks the read side a question and returns how long it took.
func get(ctx context.Context, url string) (time.Duration, int, []byte, error) {
	began := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, 0, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return time.Since(began), response.StatusCode, body, err
}
