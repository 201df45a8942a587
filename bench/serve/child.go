package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/bench/internal/proc"
	"handprint/engine"
	"handprint/internal/memory"
	"handprint/processor"
	"handprint/serve"
	"handprint/serve/guard"
	"handprint/state"
	"handprint/topology"
)

// application is the id of the application that is measured.
const application = "bench"

// childArg is the first argument of a process that this one starts; the second is
// its job.
const childArg = "-child"

// job says what such a process does, until its standard input ends.
type job struct {
	Role       string // engine or serve
	Brokers    []string
	Dir        string
	Partitions int
	Profile    string // file of a CPU profile; empty: none
}

// status is what a read side answers for each line of its standard input.
type status struct {
	URL     string
	Applied int64
	Bad     int64
	Lag     int64
	Ready   bool
	Clients int
	Missed  int64
	Cut     int64
	Heap    uint64 // bytes in use
	Catalog int64  // bytes, by the catalogue's own account
}

func child(arg string) error {
	var j job
	if err := json.Unmarshal([]byte(arg), &j); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(memory.GCPercent) // as the program does
	}
	if j.Profile != "" {
		f, err := os.Create(j.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if j.Role == "engine" {
		go func() { // ends with the process
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
		return j.engine(ctx)
	}
	return j.serve(ctx, stop)
}

func (j *job) engine(ctx context.Context) (err error) {
	store, err := state.Open(j.Dir, state.Options{Logger: newLogger()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	p, err := topology.Config{
		Names:  topology.DefaultNames("", application),
		Engine: engine.Config{Thresholds: attribution.DefaultThresholds(), Registry: attribution.DefaultRegistry(), Counters: new(engine.Counters)},
		Runtime: processor.Config{
			ApplicationID: application, InstanceID: "bench", StaticMembership: true, Client: []kgo.Opt{kgo.SeedBrokers(j.Brokers...)},
			Partitions: int32(j.Partitions), Threads: 1, Store: store, Logger: newLogger(),
		},
	}.Processor()
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

func (j *job) serve(ctx context.Context, stop func()) (err error) {
	side, err := serve.Open(serve.Config{
		Dir: j.Dir, Client: []kgo.Opt{kgo.SeedBrokers(j.Brokers...)}, Names: topology.DefaultNames("", application), Partitions: int32(j.Partitions), ApplicationID: application,
		Registry: attribution.DefaultRegistry(), Thresholds: attribution.DefaultThresholds(), ChangelogRetention: 24 * time.Hour, ProfileRetention: 90 * 24 * time.Hour,
		CatalogMemory: 8 << 30, StoreCache: 64 << 20, HistoryAge: 90 * 24 * time.Hour, HistoryBytes: 10 << 30, Logger: newLogger(),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, side.Close()) }()
	audit, err := guard.OpenAudit(filepath.Join(j.Dir, "audit.log"), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, audit.Close()) }()
	web, err := side.Listen(serve.WebConfig{
		Guard:       guard.Config{Listen: "127.0.0.1:0", LocalRole: guard.Read, OpenLoopback: true, Audit: audit, Now: time.Now, Logger: newLogger()},
		LiveClients: 500, LivePerSubject: 500, Version: "bench", Pages: serve.Pages(nil),
	})
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- side.Run(ctx) }()
	go func() { ended <- web.Run(ctx) }()
	answer := json.NewEncoder(os.Stdout)
	asked := bufio.NewScanner(os.Stdin)
	for asked.Scan() {
		catalog, phase := side.Follower.Catalog()
		s := status{URL: "http://" + web.Addr(), Lag: side.Follower.Freshness(-1).ReadLag, Ready: phase.Ready, Catalog: catalog.Bytes()}
		s.Applied, s.Bad = side.Follower.Applied()
		s.Clients, s.Missed, s.Cut = web.Stream.Clients()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		s.Heap = m.HeapInuse
		if err := answer.Encode(&s); err != nil {
			break
		}
	}
	stop()
	return errors.Join(<-ended, <-ended)
}

// process is a child that runs.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	began time.Time
}

func start(j job) (*process, error) {
	arg, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startCommand(exec.Command(self, childArg, string(arg)))
}

func startCommand(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, began: time.Now()}
	cmd.Stderr = os.Stderr
	proc.DieWithParent(cmd)
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReaderSize(out, 1<<16)
	return p, cmd.Start()
}

func (p *process) used() proc.Usage { return proc.Used(p.cmd.Process.Pid) }

// ask has a read side answer.
func (p *process) ask() (s status, err error) {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		return s, err
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return s, fmt.Errorf("the read side has ended: %w", err)
	}
	return s, json.Unmarshal(line, &s)
}

// stop ends the process and waits for it.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	return errors.Join(p.in.Close(), p.cmd.Wait())
}
