// Command merge measures what the merge of a large identity does to everybody
// else: an identity of many attackers, each with contributions to many rows,
// merges into another while unrelated attackers are observed at a fixed rate,
// and while a backlog of theirs is drained. It prints the time that the merge
// takes, and the latency and the throughput of the others as ratios to what
// they were before it, measured in the same run.
//
// Broker, application and probe share one process. Nothing here fails because
// something is slow.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/broker"
	"handprint/processor"
	"handprint/schemas"
	"handprint/state"
	"handprint/topology"
)

type plan struct {
	attackers, rows, rate, backlog int
	partitions                     int
	hold                           time.Duration
	brokers, profile               string
}

func main() {
	var p plan
	flag.IntVar(&p.attackers, "attackers", 10_000, "attackers of the identity that merges")
	flag.IntVar(&p.rows, "rows", 50, "primitives of each, at most the registry's")
	flag.IntVar(&p.rate, "rate", 500, "observations a second of unrelated attackers")
	flag.IntVar(&p.backlog, "backlog", 200_000, "observations of unrelated attackers that are drained, once without and once with a merge")
	flag.IntVar(&p.partitions, "partitions", 8, "partitions of the topics")
	flag.DurationVar(&p.hold, "hold", 5*time.Second, "how long the usual latency is measured")
	flag.StringVar(&p.profile, "profile", "", "file for a CPU profile of the whole run")
	flag.StringVar(&p.brokers, "brokers", "", "brokers, separated by commas; default: an embedded one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := profiled(ctx, p); err != nil {
		fmt.Fprintln(os.Stderr, "merge:", err)
		os.Exit(1)
	}
}

// profiled runs the benchmark, under a CPU profile if one is asked for.
func profiled(ctx context.Context, p plan) (err error) {
	if p.profile == "" {
		return run(ctx, p, os.Stdout)
	}
	f, err := os.Create(p.profile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return run(ctx, p, os.Stdout)
}

// bench is the application under way, and what puts records into it.
type bench struct {
	plan
	names  topology.Names
	rest   *topology.Rest
	client *kgo.Client
	opts   []kgo.Opt
	sent   int // observations of unrelated attackers so far: their ts
	out    io.Writer
}

func run(ctx context.Context, p plan, out io.Writer) (err error) {
	p.rows = min(p.rows, len(attribution.DefaultRegistry().Names()))
	b := &bench{plan: p, names: topology.DefaultNames(fmt.Sprintf("merge-%d-", time.Now().UnixMilli()), "bench"), out: out}
	b.rest = topology.NewRest(b.names)
	if p.brokers == "" {
		embedded, err := broker.Start(broker.Options{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, embedded.Close()) }()
		b.opts = embedded.ClientOpts()
	} else {
		b.opts = []kgo.Opt{kgo.SeedBrokers(strings.Split(p.brokers, ",")...)}
	}
	if b.client, err = kgo.NewClient(append(slices.Clone(b.opts), kgo.RecordPartitioner(b.names.Partitioner()), kgo.WithHooks(b.rest), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(1<<17))...); err != nil {
		return err
	}
	defer b.client.Close()
	if _, err := broker.Ensure(ctx, b.client, b.names.Specs(topology.Layout{Partitions: int32(p.partitions), Replication: -1})); err != nil {
		return err
	}
	end, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	return b.measure(ctx)
}

// start runs the application; the function that it returns ends it.
func (b *bench) start(ctx context.Context) (end func() error, err error) {
	dir, err := os.MkdirTemp("", "handprint-merge-")
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := state.Open(dir, state.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	p, err := topology.Config{
		Names:  b.names,
		Engine: engine.Config{Thresholds: attribution.DefaultThresholds()},
		Runtime: processor.Config{
			ApplicationID: b.names.Changelog, InstanceID: "bench", Client: b.opts, Partitions: int32(b.partitions), Threads: 2,
			Store: store, OnCommit: b.rest.OnCommit, Logger: log, FetchMaxWait: 20 * time.Millisecond,
		},
	}.Processor()
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	return func() error {
		cancel()
		return errors.Join(<-done, store.Close(), os.RemoveAll(dir))
	}, nil
}

func (b *bench) measure(ctx context.Context) error {
	began := time.Now()
	if err := b.fill(ctx); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%d attackers with %d rows each formed one identity in %s\n", b.attackers, b.rows, time.Since(began).Round(time.Millisecond))

	usual, err := b.holdRate(ctx, time.Now().Add(b.hold), nil)
	if err != nil {
		return err
	}
	merged, took, during, err := b.mergeWhile(ctx, "large", "winner")
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "merged in %s: %.0f attackers and %.0f contributions a second\n", took.Round(time.Millisecond),
		float64(b.attackers)/took.Seconds(), float64(merged)/took.Seconds())
	fmt.Fprintf(b.out, "\nlatency of others   %10s %10s %10s\n", "p50", "p99", "longest")
	show := func(name string, l []time.Duration) {
		fmt.Fprintf(b.out, "%-18s %11s %10s %10s   (%d)\n", name, at(l, 0.5), at(l, 0.99), at(l, 1), len(l))
	}
	show("usual", usual)
	show("while merging", during)
	fmt.Fprintf(b.out, "%-18s %10.1fx %9.1fx %9.1fx\n", "ratio", ratio(during, usual, 0.5), ratio(during, usual, 0.99), ratio(during, usual, 1))
	fmt.Fprintf(b.out, "longest stall while merging, to the usual median: %.1fx\n", float64(at(during, 1))/float64(at(usual, 0.5)))

	plain, err := b.drain(ctx)
	if err != nil {
		return err
	}
	if _, err := b.send(ctx, &attribution.IdentityEvent{Type: attribution.Merged, Identity: "another winner", Loser: "winner"}); err != nil {
		return err
	}
	with, err := b.drain(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\n%d observations of others drained at %.0f/s; together with the merge at %.0f/s: %.2f of it\n", b.backlog, plain, with, with/plain)
	return nil
}

// fill makes the large identity.
func (b *bench) fill(ctx context.Context) error {
	primitives := attribution.DefaultRegistry().Names()[:b.rows]
	for i := range b.attackers {
		for _, name := range primitives {
			b.observe(ctx, fmt.Sprintf("member-%d", i), name, i%3, float64(i))
		}
	}
	const listed = 5000
	for from := 0; from < b.attackers; from += listed {
		e := &attribution.IdentityEvent{Type: attribution.Formed, Identity: "large"}
		for i := from; i < min(from+listed, b.attackers); i++ {
			e.Attackers = append(e.Attackers, fmt.Sprintf("member-%d", i))
		}
		if _, err := b.send(ctx, e); err != nil {
			return err
		}
	}
	if err := b.client.Flush(ctx); err != nil {
		return err
	}
	return b.rest.Wait(ctx)
}

// observe sends an observation that fits the primitive.
func (b *bench) observe(ctx context.Context, attacker, primitive string, variant int, ts float64) {
	value := fmt.Sprintf(`"v%d"`, variant)
	switch attribution.DefaultRegistry().Kind([]byte(primitive)) {
	case attribution.Numeric:
		value = fmt.Sprint(variant)
	case attribution.Bool:
		value = fmt.Sprint(variant == 0)
	case attribution.Array:
		value = fmt.Sprintf("[%d]", variant)
	}
	b.client.Produce(ctx, &kgo.Record{
		Topic: b.names.Observations, Key: []byte(attacker),
		Value: fmt.Appendf(nil, `{"attacker_uuid":%q,"primitive":%q,"value":%s,"ts":%v,"evidence_ref":"e%v","confidence":0.9}`, attacker, primitive, value, ts, ts),
	}, nil)
}

func (b *bench) send(ctx context.Context, e *attribution.IdentityEvent) (int64, error) {
	r, err := b.client.ProduceSync(ctx, &kgo.Record{Topic: b.names.IdentityEvents, Key: []byte(e.Identity), Value: schemas.AppendIdentityEvent(nil, e)}).First()
	if err != nil {
		return 0, err
	}
	return r.Offset, nil
}

const probe = "motor.input_modality"

// holdRate observes unrelated attackers at the rate until the time, or until
// `until` is closed, and returns how long each row took to be readable.
func (b *bench) holdRate(ctx context.Context, end time.Time, until <-chan struct{}) ([]time.Duration, error) {
	reader, err := kgo.NewClient(append(slices.Clone(b.opts), kgo.ConsumeTopics(b.names.State), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))...)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	// The first poll finds the ends.
	warm, stop := context.WithTimeout(ctx, time.Second)
	reader.PollFetches(warm)
	stop()

	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	first := b.sent
	sent := make([]time.Time, 0, 1<<20)
	arrived := make(chan []time.Duration, 1)
	times := make(chan time.Time, 1<<20)
	go func() { // ends when sending is over and the last rows are in
		var l []time.Duration
		for {
			poll, stop := context.WithTimeout(sending, 2*time.Second)
			fetches := reader.PollFetches(poll)
			stop()
			now := time.Now()
		drained:
			for {
				select {
				case t := <-times:
					sent = append(sent, t)
				default:
					break drained
				}
			}
			fetches.EachRecord(func(r *kgo.Record) {
				row, err := schemas.DecodeStateRowJSON(r.Value)
				if err != nil || row.Primitive != probe || row.Row.LastObservationTS < probeStart {
					return
				}
				// A row may stand for several observations of one transaction:
				// it is the newest that it shows.
				if i := int(row.Row.LastObservationTS-probeStart) - first; i >= 0 && i < len(sent) {
					l = append(l, now.Sub(sent[i]))
				}
			})
			if sending.Err() != nil {
				arrived <- l
				return
			}
		}
	}()
	tick := time.NewTicker(time.Second / time.Duration(b.rate))
	defer tick.Stop()
loop:
	for end.IsZero() || time.Now().Before(end) {
		select {
		case <-tick.C:
		case <-until:
			break loop
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		times <- time.Now()
		b.observe(ctx, fmt.Sprintf("other-%d", b.sent%200), probe, b.sent%2, probeStart+float64(b.sent))
		b.sent++
	}
	if err := b.client.Flush(ctx); err != nil {
		return nil, err
	}
	if until == nil {
		if err := b.rest.Wait(ctx); err != nil {
			return nil, err
		}
	}
	time.Sleep(100 * time.Millisecond) // the last rows are on their way to the reader
	cancel()
	l := <-arrived
	slices.Sort(l)
	return l, nil
}

// probeStart is the ts of the first unrelated observation; those of the large
// identity are far below.
const probeStart = 1e9

// mergeWhile merges while others are observed. It is over when the winner has
// all rows and the loser none.
func (b *bench) mergeWhile(ctx context.Context, loser, winner string) (contributions int, took time.Duration, during []time.Duration, err error) {
	reader, err := kgo.NewClient(append(slices.Clone(b.opts), kgo.ConsumeTopics(b.names.State), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))...)
	if err != nil {
		return 0, 0, nil, err
	}
	defer reader.Close()
	warm, stop := context.WithTimeout(ctx, time.Second)
	reader.PollFetches(warm)
	stop()
	over := make(chan struct{})
	began := time.Now()
	if _, err := b.send(ctx, &attribution.IdentityEvent{Type: attribution.Merged, Identity: winner, Loser: loser}); err != nil {
		return 0, 0, nil, err
	}
	go func() { // ends with the merge, or with ctx
		defer close(over)
		came, went := map[string]bool{}, map[string]bool{}
		for (len(came) < b.rows || len(went) < b.rows) && ctx.Err() == nil {
			reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				identity, primitive, _ := schemas.SplitStateRowKey(r.Key)
				if identity == winner {
					came[primitive] = true
				}
				if identity == loser && r.Value == nil {
					went[primitive] = true
				}
			})
		}
		took = time.Since(began)
	}()
	during, err = b.holdRate(ctx, time.Time{}, over)
	if err == nil {
		err = b.rest.Wait(ctx)
	}
	return b.attackers * b.rows, took, during, err
}

// drain puts a backlog in and returns how many observations a second are
// processed, from the first to the last commit of them.
func (b *bench) drain(ctx context.Context) (perSecond float64, err error) {
	names := attribution.DefaultRegistry().Names()
	began := time.Now()
	for i := range b.backlog {
		b.observe(ctx, fmt.Sprintf("drain-%d", i%5000), names[i%len(names)], i%2, probeStart+float64(b.sent))
		b.sent++
	}
	if err := b.client.Flush(ctx); err != nil {
		return 0, err
	}
	if err := b.rest.Wait(ctx); err != nil {
		return 0, err
	}
	return float64(b.backlog) / time.Since(began).Seconds(), nil
}

func at(l []time.Duration, share float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(len(l)-1, int(share*float64(len(l))))].Round(10 * time.Microsecond)
}

func ratio(a, b []time.Duration, share float64) float64 {
	return float64(at(a, share)) / max(1, float64(at(b, share)))
}
