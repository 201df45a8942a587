package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/memory"
	"handprint/processor"
)

// The contenders that are this program itself, and the broker.
const (
	contenderBroker    = "embedded broker"
	contenderHandprint = "handprint"
)

// childArg is the first argument of such a process; the second is its job.
const childArg = "-child"

// report is what such a process tells at its end.
type report struct {
	Mallocs      uint64
	GCs          uint32
	Commits      int64
	Produced     int64
	Changes      int64 // of Produced, records of the changelog
	Uncompressed int64 // bytes of what was produced
	Compressed   int64 // the same on the wire
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

// run works until ctx ends, and counts.
func (j *job) run(ctx context.Context) (r report, err error) {
	m := new(meter)
	stop, err := j.profile()
	if err != nil {
		return r, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	work := j.copy
	if j.Contender == contenderHandprint || j.Contender == contenderAvro {
		work = j.handprint
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(memory.Read().RunGCPercent()) // as the program does
		}
	}
	if err := work(ctx, m); err != nil {
		return r, err
	}
	m.mu.Lock()
	r = m.report
	m.mu.Unlock()
	runtime.ReadMemStats(&after)
	r.Mallocs, r.GCs = after.Mallocs-before.Mallocs, after.NumGC-before.NumGC
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

// meter counts what this process does. It is also a hook of its client.
type meter struct {
	mu     sync.Mutex
	report report
}

// OnProduceBatchWritten implements kgo.HookProduceBatchWritten.
func (m *meter) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, batch kgo.ProduceBatchMetrics) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report.Produced += int64(batch.NumRecords)
	m.report.Uncompressed += int64(batch.UncompressedBytes)
	m.report.Compressed += int64(batch.CompressedBytes)
}

// batch counts what a transaction has for the changelog.
func (m *meter) batch(r processor.BatchReport) {
	if r.Outcome != processor.Committed {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report.Changes += r.Changes
}

// committed counts a transaction.
func (m *meter) committed(processor.Commit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report.Commits++
}
