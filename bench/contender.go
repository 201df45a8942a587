package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/processor"
	"handprint/topology"
)

// The kinds of processes that this one starts of itself.
const (
	contenderBroker    = "embedded broker"
	contenderHandprint = "handprint"
	contenderCopy      = "copy"
)

// childArg is the first argument of such a process; the second is its job.
const childArg = "-child"

// job is what a contender has to do.
type job struct {
	Contender  string
	Brokers    []string
	Names      topology.Names
	Group      string
	Partitions int32
	Threads    int
	Dir        string // of the store
	Profiles   string // directory; empty: none
	Until      map[string]map[int32]int64
	Hold       bool // go on until the standard input ends

	Copies float64 // records written for each one read
	Bytes  int     // of each; 0: as large as what was read
}

// report is what a contender tells when it is done.
type report struct {
	Wall         time.Duration
	FirstCommit  time.Duration // since the start
	Used         usage         // between start and end of the work
	Mallocs      uint64
	GCs          uint32
	Commits      int64
	Produced     int64
	Uncompressed int64 // bytes of what was produced
	Compressed   int64 // the same on the wire
	Changelog    int64 // bytes on the wire
	ChangelogRaw int64
	Changes      int64 // records in the changelog
	Transitions  int64
	StoreBytes   int64
	Broker       time.Duration // CPU time of the broker meanwhile
}

func childCommand(j job) (*exec.Cmd, error) {
	arg, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, childArg, string(arg))
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// child is the main function of a process that this one has started.
func child(arg string) error {
	var j job
	if err := json.Unmarshal([]byte(arg), &j); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	if j.Contender == contenderBroker {
		return serve()
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	r, err := j.run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", j.Contender, err)
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// run works, and measures it.
func (j *job) run(ctx context.Context) (r report, err error) {
	m := &meter{changelog: j.Names.Changelog, start: time.Now()}
	stop, err := j.profile()
	if err != nil {
		return r, err
	}
	before := used()
	var memory, after runtime.MemStats
	runtime.ReadMemStats(&memory)
	work := j.drain
	if j.Contender == contenderCopy {
		work = j.copy
	}
	if err := work(ctx, m); err != nil {
		return r, err
	}
	u := used()
	r = m.report
	r.Used = usage{CPU: u.CPU - before.CPU, Memory: u.Memory}
	runtime.ReadMemStats(&after)
	r.Mallocs, r.GCs = after.Mallocs-memory.Mallocs, after.NumGC-memory.NumGC
	return r, stop()
}

// profile begins to profile, if that was asked for.
func (j *job) profile() (stop func() error, err error) {
	if j.Profiles == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(j.Profiles, 0o755); err != nil {
		return nil, err
	}
	cpu, err := os.Create(j.Profiles + "/cpu.pprof")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		if err := cpu.Close(); err != nil {
			return err
		}
		allocs, err := os.Create(j.Profiles + "/allocs.pprof")
		if err != nil {
			return err
		}
		if err := pprof.Lookup("allocs").WriteTo(allocs, 0); err != nil {
			return err
		}
		return allocs.Close()
	}, nil
}

// contend runs a contender over the backlog.
func (b *rig) contend(ctx context.Context, round int, contender string, j job) (r report, err error) {
	if j, err = b.prepare(ctx, fmt.Sprintf("%s-%d-%v", contender, round, j.Copies), contender, j); err != nil {
		return r, err
	}
	cmd, err := childCommand(j)
	if err != nil {
		return r, err
	}
	in, err := cmd.StdinPipe() // closed when this process ends, whatever way
	if err != nil {
		return r, err
	}
	defer in.Close()
	before, err := b.brokerCPU()
	if err != nil {
		return r, err
	}
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("%s: %w", contender, err)
	}
	after, err := b.brokerCPU()
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("report of %s: %w", contender, err)
	}
	r.Broker = after - before
	return r, os.RemoveAll(j.Dir)
}

// prepare makes the topics that a contender writes to, and says where its input
// ends.
func (b *rig) prepare(ctx context.Context, name, contender string, j job) (job, error) {
	j.Contender, j.Brokers, j.Partitions, j.Threads = contender, b.brokers, b.load.Partitions, b.threads
	j.Group, j.Dir = b.prefix+name, b.store(name)
	if contender == contenderHandprint {
		j.Profiles = b.profiles
	}
	j.Names = topology.DefaultNames(b.prefix+name+"-", "app")
	j.Names.Health, j.Names.Control = b.input.Health, b.input.Control
	if !j.Hold {
		j.Names.Observations, j.Names.IdentityEvents = b.input.Observations, b.input.IdentityEvents
	}
	if err := b.topics(ctx, j.Names); err != nil {
		return j, err
	}
	j.Until = make(map[string]map[int32]int64)
	ends, err := kadm.NewClient(b.client).ListEndOffsets(ctx, j.Names.Observations, j.Names.IdentityEvents)
	if err != nil {
		return j, fmt.Errorf("asking for the end of the backlog: %w", err)
	}
	ends.Each(func(o kadm.ListedOffset) {
		if j.Until[o.Topic] == nil {
			j.Until[o.Topic] = make(map[int32]int64)
		}
		j.Until[o.Topic][o.Partition] = o.Offset
	})
	return j, nil
}

// meter gathers what a contender does. It is also a hook of its client.
type meter struct {
	changelog string
	start     time.Time

	mu     sync.Mutex
	report report
}

// OnProduceBatchWritten implements kgo.HookProduceBatchWritten.
func (m *meter) OnProduceBatchWritten(_ kgo.BrokerMetadata, topic string, _ int32, batch kgo.ProduceBatchMetrics) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &m.report
	r.Produced += int64(batch.NumRecords)
	r.Uncompressed += int64(batch.UncompressedBytes)
	r.Compressed += int64(batch.CompressedBytes)
	if topic == m.changelog {
		r.Changes += int64(batch.NumRecords)
		r.ChangelogRaw += int64(batch.UncompressedBytes)
		r.Changelog += int64(batch.CompressedBytes)
	}
}

// committed counts a transaction.
func (m *meter) committed(processor.Commit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.report.Commits++; m.report.Commits == 1 {
		m.report.FirstCommit = time.Since(m.start)
	}
}

// done takes the time.
func (m *meter) done() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report.Wall = time.Since(m.start)
}
