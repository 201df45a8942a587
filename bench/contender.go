package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"handprint/bench/internal/proc"
	"handprint/topology"
)

// contender is one who does the job, or a part of it, as a process that works
// until its standard input ends.
type contender struct {
	name  string
	about string
	// concludes: it writes transitions and rows, so its outputs are compared,
	// and it is held at the rate.
	concludes bool
	// keeps: it has state that outlives it, so it is restarted.
	keeps bool
	// avro: what it reads and writes is Avro.
	avro bool
	// changelog names its changelog topic; nil: it has none.
	changelog func(j *job) string
	// stateful names the topic that those of its tasks read that have state; nil:
	// the observations. Tasks before them, without state, need not wait for it.
	stateful func(j *job) string
	// commits of the group cover all its work; otherwise the outputs tell
	// when it is done.
	command func(ctx context.Context, b *rig, j *job) (*exec.Cmd, error)
}

// own is a contender that is this program itself.
func own(_ context.Context, _ *rig, j *job) (*exec.Cmd, error) { return childCommand(*j) }

// contenders are all there are, in the order of the table's columns.
var contenders = []contender{
	{name: contenderHandprint, about: "the whole pipeline", concludes: true, keeps: true, command: own,
		changelog: func(j *job) string { return j.Names.Changelog }},
	{name: contenderAvro, about: "the whole pipeline, every topic in Avro", concludes: true, keeps: true, avro: true, command: own,
		changelog: func(j *job) string { return j.Names.Changelog }},
	{name: "streams", about: "Kafka Streams: the same job, exactly once", concludes: true, keeps: true, command: streamsCommand,
		changelog: func(j *job) string { return j.Group + "-rows-changelog" },
		stateful:  func(j *job) string { return j.Group + "-by-identity-repartition" }},
	{name: "group", about: "a consumer group with a map in Go: at least once, no durable state", concludes: true, command: groupCommand},
	{name: "python", about: "a loop with a dict in Python: at least once, no durable state", concludes: true, command: pythonCommand},
	{name: "copy", about: "each record copied in transactions", command: copier(1)},
	{name: "copy2", about: "each record copied twice, over a topic between", command: copier(2)},
	{name: contenderMuch, about: "as many and as large records as handprint wrote", command: own},
}

// contenderMuch needs what handprint has measured before.
const contenderMuch = "copymuch"

func copier(hops int) func(context.Context, *rig, *job) (*exec.Cmd, error) {
	return func(ctx context.Context, b *rig, j *job) (*exec.Cmd, error) {
		j.Copies, j.Hops = 1, hops
		return own(ctx, b, j)
	}
}

// choose finds contenders by their names.
func choose(names string) (chosen []contender, err error) {
	for _, name := range strings.Split(names, ",") {
		found := false
		for _, c := range contenders {
			if c.name == name {
				chosen, found = append(chosen, c), true
			}
		}
		if !found {
			all := make([]string, len(contenders))
			for i := range contenders {
				all[i] = contenders[i].name
			}
			return nil, fmt.Errorf("no contender %q: there are %s", name, strings.Join(all, ", "))
		}
	}
	return chosen, nil
}

// running is a contender at work.
type running struct {
	cmd   *exec.Cmd
	in    io.Closer
	out   *strings.Builder
	ended chan error
}

// start starts a contender.
func (b *rig) start(ctx context.Context, c *contender, j *job) (*running, error) {
	cmd, err := c.command(ctx, b, j)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	r := &running{cmd: cmd, out: new(strings.Builder), ended: make(chan error, 1)}
	cmd.Stdout = r.out
	if cmd.Stderr == nil {
		log, err := os.OpenFile(filepath.Join(b.dir, c.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, err
		}
		defer log.Close()
		cmd.Stderr = log
	}
	if r.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	proc.DieWithParent(cmd)
	if err := b.limit.apply(cmd); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	go func() { r.ended <- cmd.Wait() }() // stop and kill wait for it
	return r, nil
}

// stop lets it end, and returns what it said.
func (r *running) stop() (string, error) {
	err := errors.Join(r.in.Close(), <-r.ended)
	return r.out.String(), err
}

// kill ends it at once, as a crash does.
func (r *running) kill() {
	_ = r.cmd.Process.Signal(syscall.SIGKILL)
	<-r.ended
}

// job is what a contender has to do.
type job struct {
	Contender  string
	Brokers    []string
	Names      topology.Names
	Group      string
	Partitions int32
	Threads    int
	Dir        string        // of the store
	Profiles   string        // directory; empty: none
	Registry   string        // of schemas; empty: JSON
	Retention  time.Duration // identity-retention of handprint
	Batch      int           // records of a transaction of handprint, at most; 0: as the program has it
	Caches     [2]int        // record cache and store cache of handprint, MiB; 0: as the program has them
	Static     bool          // be a static member, where that is a choice

	Copies float64 // records written for each one read
	Bytes  int     // of each; 0: as large as what was read
	Hops   int     // 2: by way of the commands topic
}

// arguments are the job as peers outside this program take it: prefix and
// name, "=", value.
func (j *job) arguments(prefix string) []string {
	args := []string{}
	for _, a := range [][2]string{
		{"brokers", strings.Join(j.Brokers, ",")}, {"application", j.Group},
		{"observations", j.Names.Observations}, {"identity-events", j.Names.IdentityEvents},
		{"state-changed", j.Names.StateChanged}, {"state", j.Names.State}, {"dead-letter", j.Names.DeadLetter},
		{"dir", j.Dir}, {"threads", strconv.Itoa(j.Threads)},
	} {
		args = append(args, prefix+a[0]+"="+a[1])
	}
	return args
}
