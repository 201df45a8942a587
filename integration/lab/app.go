package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/integration/instance"
	"handprint/integration/rest"
	"handprint/integration/traffic"
	"handprint/internal/broker"
	"handprint/internal/unpack"
	"handprint/topology"
)

// AppOptions says what an application is like.
type AppOptions struct {
	Name       string // unique on the cluster
	Partitions int    // default 6
	Traffic    traffic.Config
	// Flags are given to every instance besides.
	Flags []string
	// MaxUnpacked is the application's max-batch-unpacked, in bytes; 0: the default.
	MaxUnpacked int
	// Topics, if set, changes the topics before they are created.
	Topics func(*broker.TopicSpec)
}

// App is an application: its topics, its input and its instances.
type App struct {
	Lab        *Lab
	Name       string
	Dir        string
	Names      topology.Names
	Partitions int
	Source     *traffic.Source
	Client     *kgo.Client // for input, past the proxies

	flags     []string
	traffic   traffic.Config
	unpack    []kgo.Opt // of clients that read the input as the application does
	watch     *rest.Watch
	mu        sync.Mutex
	instances map[int]*instance.Instance

	auditing
}

// NewApp creates an application's topics. No instance of it runs yet.
func (l *Lab) NewApp(ctx context.Context, o AppOptions) (_ *App, err error) {
	if o.Partitions == 0 {
		o.Partitions = 6
	}
	prefix := o.Name + "."
	a := &App{
		Lab: l, Name: o.Name, Dir: filepath.Join(l.Dir, o.Name), Names: topology.DefaultNames(prefix, o.Name), Partitions: o.Partitions,
		flags: o.Flags, instances: make(map[int]*instance.Instance),
	}
	if o.MaxUnpacked > 0 {
		a.flags = append(slices.Clone(o.Flags), "--max-batch-unpacked", fmt.Sprint(o.MaxUnpacked))
		if a.unpack, err = unpack.Options(o.MaxUnpacked, nil); err != nil {
			return nil, err
		}
	}
	a.traffic = o.Traffic
	a.Source = traffic.New(o.Traffic, a.Names)
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	if err := a.connect(); err != nil {
		return nil, err
	}
	specs := a.Names.Specs(topology.Layout{Partitions: int32(o.Partitions), Replication: int16(l.Cluster.Replication())})
	for i := range specs {
		if o.Topics != nil {
			o.Topics(&specs[i])
		}
	}
	if _, err := broker.Ensure(ctx, a.Client, specs); err != nil {
		return nil, err
	}
	a.watch, err = rest.New(l.Direct(), a.Name, a.Names)
	return a, err
}

// connect makes the client that feeds the application.
func (a *App) connect() (err error) {
	// What is fed while no broker can take it waits for one that can.
	a.Client, err = kgo.NewClient(append(a.Lab.Direct(), kgo.RecordPartitioner(a.Names.Partitioner()), kgo.ProducerLinger(5*time.Millisecond),
		kgo.MaxBufferedRecords(1<<20), kgo.ProduceRequestTimeout(5*time.Second))...)
	return err
}

// Reopen forgets what is known of the topics: the cluster is not what it was.
func (a *App) Reopen() (err error) {
	a.watch.Close()
	a.Client.Close()
	a.auditing.mu.Lock()
	defer a.auditing.mu.Unlock()
	a.auditing.close()
	a.auditor = nil
	if err := a.connect(); err != nil {
		return err
	}
	a.watch, err = rest.New(a.Lab.Direct(), a.Name, a.Names)
	return err
}

// Close kills what still runs and lets go of the application. Topics and state
// directories stay.
func (a *App) Close() {
	for _, i := range a.instances {
		i.Kill()
	}
	if a.watch != nil {
		a.watch.Close()
	}
	if a.Client != nil {
		a.Client.Close()
	}
	a.auditing.close()
}

// Config is that of the instance with a number.
func (a *App) Config(n int) instance.Config {
	return instance.Config{
		Binary: a.Lab.Binaries.Faulty, Dir: filepath.Join(a.Dir, fmt.Sprint("instance-", n)), Brokers: a.Lab.addrs(),
		Application: a.Name, Prefix: a.Name + ".", Partitions: a.Partitions, Replication: a.Lab.Cluster.Replication(), Flags: a.flags,
	}
}

// Start starts the instance with this number, unless it runs. Its state
// directory is what a former one has left.
func (a *App) Start(n int) (*instance.Instance, error) { return a.StartAs(a.Config(n), n) }

// StartAs is Start with a configuration of the caller's.
func (a *App) StartAs(c instance.Config, n int) (*instance.Instance, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := a.instances[n]; i != nil && i.Running() {
		return i, nil
	}
	i, err := instance.Start(c)
	if err != nil {
		return nil, err
	}
	a.instances[n] = i
	return i, nil
}

// Instance is the one with this number, which may have ended; nil if it was
// never started.
func (a *App) Instance(n int) *instance.Instance {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.instances[n]
}

// Stop ends an instance cleanly.
func (a *App) Stop(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return a.Instance(n).Stop(ctx)
}

// StopAll ends all instances that run, cleanly and at once.
func (a *App) StopAll(ctx context.Context) error {
	errs := make(chan error, len(a.instances))
	stopping := 0
	for n, i := range a.instances {
		if i.Running() {
			stopping++
			go func() { errs <- a.Stop(ctx, n) }()
		}
	}
	var err error
	for range stopping {
		err = errors.Join(err, <-errs)
	}
	return err
}

// StateDirs are the state directories there are.
func (a *App) StateDirs() []string {
	dirs, _ := filepath.Glob(filepath.Join(a.Dir, "instance-*", "state"))
	return dirs
}

// Feed hands n records of input to the client. It does not wait until they are
// written.
func (a *App) Feed(ctx context.Context, n int) {
	for range n {
		a.Client.Produce(ctx, a.Source.Next(), nil)
	}
}

// FeedFor spreads n records over a time, in small bursts.
func (a *App) FeedFor(ctx context.Context, n int, d time.Duration) {
	const every = 200 * time.Millisecond
	bursts := max(1, int(d/every))
	burst := time.NewTicker(every)
	defer burst.Stop()
	for i := range bursts {
		a.Feed(ctx, n*(i+1)/bursts-n*i/bursts)
		select {
		case <-burst.C:
		case <-ctx.Done():
			return
		}
	}
}

// Sweep comes to rest, has every task sweep, and comes to rest again: then every
// suspicion that is due has been sent.
func (a *App) Sweep(ctx context.Context) error {
	if err := a.Rest(ctx); err != nil {
		return err
	}
	for _, r := range a.Names.Ticks(int32(a.Partitions), time.Now()) {
		if err := a.Client.ProduceSync(ctx, r).FirstErr(); err != nil {
			return fmt.Errorf("writing a tick to %s[%d]: %w", r.Topic, r.Partition, err)
		}
	}
	return a.Rest(ctx)
}

// Rest waits until everything that was fed is written and processed.
func (a *App) Rest(ctx context.Context) error {
	if err := a.Client.Flush(ctx); err != nil {
		return fmt.Errorf("writing the input of %s: %w", a.Name, err)
	}
	return a.watch.Wait(ctx)
}

// Committed waits until the group has committed an offset of n records or more,
// all partitions together: something has been processed.
func (a *App) Committed(ctx context.Context, n int64) error {
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		sum, err := a.CommittedOffsets(ctx)
		if err == nil && sum >= n {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s has processed %d records, it has %d: %w", a.Name, n, sum, context.Cause(ctx))
		}
	}
}

// CommittedOffsets is the sum of the offsets that the group has committed.
func (a *App) CommittedOffsets(ctx context.Context) (sum int64, err error) {
	offsets, err := kadm.NewClient(a.Client).FetchOffsets(ctx, a.Name)
	if err != nil {
		return 0, err
	}
	offsets.Each(func(o kadm.OffsetResponse) { sum += max(0, o.At) })
	return sum, nil
}

// Busy tells which instances have tasks, as the group says. It names none as
// long as there is no group, it rebalances, or its broker cannot say. They must
// be static members.
func (a *App) Busy(ctx context.Context) (map[int]bool, error) {
	groups, err := kadm.NewClient(a.Client).DescribeGroups(ctx, a.Name)
	if err == nil {
		err = groups.Error()
	}
	// What is no answer of a broker, an end of the connection for instance, is none.
	var answer *kerr.Error
	if ctx.Err() != nil || errors.As(err, &answer) && !errors.Is(err, kerr.GroupIDNotFound) && !answer.Retriable {
		return nil, fmt.Errorf("asking who has tasks in group %s: %w", a.Name, err)
	}
	names := make(map[string]bool)
	for _, m := range groups[a.Name].Members {
		if tasks, ok := m.Assigned.AsConsumer(); ok && len(tasks.Topics) > 0 && m.InstanceID != nil {
			process, _, _ := strings.Cut(*m.InstanceID, "-")
			names[process] = true
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	busy := make(map[int]bool)
	for n := range a.instances {
		process, err := os.ReadFile(filepath.Join(a.Config(n).StateDir(), "instance-id"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the name of instance %d: %w", n+1, err)
		}
		busy[n] = names[strings.TrimSpace(string(process))]
	}
	return busy, nil
}

// Topics returns the names of all topics of the application.
func (a *App) Topics() []string {
	n := a.Names
	return []string{n.Observations, n.IdentityEvents, n.Commands, n.Changelog, n.StateChanged, n.MultiActorSuspects, n.IdentityChanged, n.Identities, n.Profiles, n.State, n.DeadLetter, n.Health, n.Control}
}

// Remove deletes the topics of an application that has ended, and its folder.
// Brokers that keep them grow slower and slower.
func (a *App) Remove(ctx context.Context) error {
	answers, err := kadm.NewClient(a.Client).DeleteTopics(ctx, a.Topics()...)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		return fmt.Errorf("deleting the topics of %s: %w", a.Name, err)
	}
	return os.RemoveAll(a.Dir)
}

// Forget removes the state directory of an instance that does not run.
func (a *App) Forget(n int) error { return os.RemoveAll(a.Config(n).StateDir()) }

// StoreFiles are the files of an instance's store.
func (a *App) StoreFiles(n int) []string {
	files, _ := filepath.Glob(filepath.Join(a.Config(n).StateDir(), "store", "*"))
	return files
}
