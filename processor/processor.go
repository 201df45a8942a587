package processor

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"handprint/internal/unpack"
	"handprint/processor/assignor"
)

// Processor runs the tasks that the group gives to this process.
type Processor struct {
	cfg      Config
	log      *slog.Logger
	counters counters
	workers  []*worker
	leases   leases
	standbys *standbys
	watch    *watch
	unowned  unowned
	job      atomic.Pointer[assignor.Job] // set before the workers start
	refused  atomic.Pointer[string]       // how the job differs from the group's, if its leader says so
	differ   atomic.Pointer[[]string]     // by which rules other members work
	losses   losses
	early    chan int32         // tasks that ask for a tick before it is time
	departed singleflight.Group // of endDeparted
	first    chan struct{}      // closed when the first worker has begun to join the group
	joinOnce sync.Once          // closes it
	fetched  *fetchPools
	side     *kgo.Client         // for what is outside of transactions, while Run runs
	restores *semaphore.Weighted // bounds the restores that run at the same time
	once     sync.Once
}

// restoresAtOnce bounds memory and load while many tasks restore.
const restoresAtOnce = 4

// New returns a processor for cfg. The error names the first thing that is
// wrong with cfg. Nothing is connected to before Run.
func New(cfg Config) (*Processor, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	var err error
	if cfg.unpack, err = unpack.Options(cfg.MaxBatchUnpacked, nil); err != nil {
		return nil, fmt.Errorf("processor: %w", err)
	}
	p := &Processor{
		cfg: cfg, log: cfg.Logger, leases: newLeases(cfg.Partitions),
		restores: semaphore.NewWeighted(restoresAtOnce), first: make(chan struct{}),
		fetched: newFetchPools(min(cfg.MaxBatchBytes, 1<<30), cfg.Threads),
	}
	p.losses.offsets = make(map[string]int64)
	p.early = make(chan int32, cfg.Partitions)
	for _, topic := range p.cfg.consumed() {
		p.losses.offsets[topic] = 0
	}
	p.watch = newWatch(&p.cfg)
	p.standbys = newStandbys(&p.cfg, p.leases, &p.counters, func() { p.lookAgain() })
	for n := range cfg.Threads {
		p.workers = append(p.workers, newWorker(p, n))
	}
	p.watch.workers, p.watch.compare = p.workers, p.compareRules
	p.job.Store(&assignor.Job{Should: cfg.Rules})
	return p, nil
}

// Run works until ctx ends or the control topic says stop, which are no errors,
// or until something goes wrong that trying again does not mend. By the time it
// returns, running batches are committed or aborted, the group has been
// left and every goroutine has ended. Run may be called
// once.
func (p *Processor) Run(ctx context.Context) error {
	first := false
	p.once.Do(func() { first = true })
	if !first {
		return fmt.Errorf("processor %s: Run was called twice", p.cfg.InstanceID)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	side, err := kgo.NewClient(append(p.cfg.clientOptions(""), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return fmt.Errorf("processor %s: %w", p.cfg.InstanceID, err)
	}
	defer side.Close()
	p.side = side
	if err := p.checkCluster(ctx, side); err != nil {
		return unlessStopped(ctx, err)
	}
	var messages *kgo.Client // on the control topic
	if p.cfg.Control != "" {
		if messages, err = p.controlClient(ctx, kadm.NewClient(side)); err != nil {
			return unlessStopped(ctx, err)
		}
		defer messages.Close()
	}

	group, ctx := errgroup.WithContext(ctx)
	if messages != nil {
		group.Go(func() error { p.listen(ctx, messages, stop); return nil })
	}
	if p.cfg.Health != "" {
		group.Go(func() error { p.heartbeat(ctx, side); return nil })
	}
	if p.cfg.CommandRetention > 0 {
		group.Go(func() error { p.trimCommands(ctx); return nil })
	}
	if p.cfg.TickInterval > 0 {
		group.Go(func() error { p.tick(ctx, side); return nil })
	}
	if p.cfg.StallTimeout > 0 {
		group.Go(func() error { return p.watch.run(ctx, side) })
	}
	if p.cfg.StaticMembership {
		group.Go(func() error { p.watchOwners(ctx); return nil })
	}
	group.Go(func() error { return p.standbys.run(ctx) })
	for _, w := range p.workers {
		group.Go(func() error { return w.run(ctx) })
	}
	return group.Wait()
}

// unlessStopped returns err, or nil if ctx has ended: what fails then fails for
// the stop.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Status returns what the processor is doing now. It may be called at any time,
// from any goroutine.
func (p *Processor) Status() Status {
	s := Status{Instance: p.cfg.InstanceID, Workers: len(p.workers), Tasks: []TaskStatus{}, Standbys: p.standbys.status(p.cfg.Clock.Now()), Counters: p.counters.snapshot()}
	for _, w := range p.workers {
		s.Members = append(s.Members, w.member())
		s.Tasks = append(s.Tasks, w.status()...)
	}
	s.LostOffsets, s.Losses = p.losses.status()
	s.HeldUp = p.watch.held()
	s.Faults = p.watch.found()
	if differ := p.differ.Load(); differ != nil {
		s.Differ = *differ
	}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		t.Stuck = p.watch.why(t.Partition)
		if p.cfg.Blocked != nil && p.cfg.StallTimeout > 0 && t.State == TaskRunning {
			t.Blocked = p.cfg.Blocked(t.Partition, p.cfg.Clock.Now(), p.cfg.StallTimeout)
		}
		if lag, ok := p.watch.lag(t.Partition); ok {
			t.Lag = &lag
		}
	}
	slices.SortFunc(s.Tasks, func(a, b TaskStatus) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Worker, b.Worker))
	})
	return s
}

// lookAgain asks the group to look again who gets what, and reports whether there
// is a worker that can.
func (p *Processor) lookAgain() bool {
	return slices.ContainsFunc(p.workers, (*worker).askRebalance)
}
