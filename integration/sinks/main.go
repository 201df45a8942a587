// Command sinks delivers to real receivers, and counts what they have: each is
// given the same events by `handprint sink run`, which is killed at random, while
// the receiver is killed too and comes back. make sinks-check calls it.
//
// A receiver that is not there is left out, with a word.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/schemas"
	"handprint/siem/siemtest"
	"handprint/topology"
)

func main() {
	n := flag.Int("n", 10_000, "Events.")
	only := flag.String("only", "", "Only this receiver.")
	binary := flag.String("handprint", "bin/handprint", "The binary to check.")
	dir := flag.String("dir", "out/sinks", "Folder for what receivers keep.")
	tools := flag.String("tools", "out/sinks-tools", "Folder with the receivers.")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *n, *only, *binary, *dir, *tools); err != nil {
		fmt.Fprintln(os.Stderr, "sinks:", err)
		os.Exit(1)
	}
}

// receiver is a real receiver.
type receiver struct {
	name    string
	needs   string // the file without which it is left out
	most    int    // events, at most; 0: all
	sink    string // its entry in the file of sinks, without its name
	start   func(ctx context.Context) (*exec.Cmd, error)
	count   func(ctx context.Context) (distinct int, err error)
	forgets bool // it keeps nothing on disk, so it is not killed
	early   bool // it answers before events are on disk, so it is asked to end
}

func run(ctx context.Context, n int, only, binary, dir, tools string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if tools, err = filepath.Abs(tools); err != nil {
		return err
	}
	var failed error
	for _, r := range receivers(dir, tools) {
		if only != "" && r.name != only {
			continue
		}
		if _, err := os.Stat(r.needs); err != nil {
			fmt.Printf("%-14s left out: there is no %s\n", r.name, filepath.Base(r.needs))
			continue
		}
		events := n
		if r.most > 0 {
			events = min(events, r.most)
		}
		if err := check(ctx, &r, events, binary, dir); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", r.name, err))
			fmt.Printf("%-14s FAILED: %v\n", r.name, err)
		}
	}
	return failed
}

// freePort returns a port that nobody listens on.
func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// shortRounds is how often the sink is killed.
const shortRounds = 6

// check delivers events to one receiver and compares.
func check(ctx context.Context, r *receiver, events int, binary, dir string) (err error) {
	e, err := broker.Start(broker.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := produce(ctx, e, events); err != nil {
		return err
	}
	file := filepath.Join(dir, r.name+".yaml")
	if err := os.WriteFile(file, []byte("sinks:\n  - {name: "+r.name+", "+r.sink+"}\n"), 0o600); err != nil {
		return err
	}
	server, err := r.start(ctx)
	if err != nil {
		return err
	}
	defer func() { end(server) }()
	began, kills, restarts := time.Now(), 0, 0
	rng := rand.New(rand.NewPCG(1, uint64(events)))
	var sink *exec.Cmd
	defer func() { end(sink) }()
	for round := 0; ; round++ {
		if sink, err = startSink(ctx, binary, file, e.Addrs()[0], filepath.Join(dir, r.name+".log")); err != nil {
			return err
		}
		// The first rounds are cut short: the sink is killed, and twice the
		// receiver with it.
		wait := time.Duration(400+rng.IntN(600)) * time.Millisecond
		if round >= shortRounds {
			wait = 2 * time.Minute
		}
		got, err := await(ctx, r, events, wait)
		if err != nil || got >= events {
			end(sink)
			if err == nil && got > events {
				err = fmt.Errorf("%d events, %d were sent", got, events)
			}
			if err == nil {
				fmt.Printf("%-14s %d events arrived, none is missing; the sink was killed %d times, the receiver %d times; %s\n", r.name, got, kills, restarts, time.Since(began).Round(time.Second))
			}
			return err
		}
		if round >= shortRounds {
			lag, _ := exec.CommandContext(ctx, binary, "sink", "lag", "--sinks", file, "--brokers", e.Addrs()[0]).CombinedOutput()
			_, why := r.count(ctx)
			return fmt.Errorf("%d of %d events arrived in time (counting: %v); %s", got, events, why, strings.TrimSpace(string(lag)))
		}
		_ = sink.Process.Kill()
		_ = sink.Wait()
		kills++
		if !r.forgets && (round == 1 || round == 4) {
			if r.early {
				_ = server.Process.Signal(syscall.SIGTERM)
				_ = server.Wait()
			}
			end(server)
			restarts++
			if server, err = r.start(ctx); err != nil {
				return err
			}
		}
	}
}

// await waits until all events are there, or the time is over.
func await(ctx context.Context, r *receiver, events int, wait time.Duration) (got int, err error) {
	for until := time.Now().Add(wait); time.Now().Before(until); {
		if ctx.Err() != nil {
			return got, ctx.Err()
		}
		if n, err := r.count(ctx); err == nil {
			if got = n; got >= events {
				return got, nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return got, nil
}

func startSink(ctx context.Context, binary, file, addr, logName string) (*exec.Cmd, error) {
	log, err := os.OpenFile(logName, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, binary, "sink", "run", "--sinks", file, "--brokers", addr)
	cmd.Stdout, cmd.Stderr = log, log
	return cmd, cmd.Start()
}

// end kills a process that may have ended.
func end(cmd *exec.Cmd) {
	if cmd != nil && cmd.Process != nil && cmd.ProcessState == nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// produce fills the topic of transitions with hostile events of the last days.
func produce(ctx context.Context, e *broker.Embedded, events int) error {
	names := topology.DefaultNames("", "handprint")
	client, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := broker.Ensure(ctx, client, names.Specs(topology.Layout{Partitions: 4, Replication: 1})); err != nil {
		return err
	}
	r := siemtest.New(9)
	now := float64(time.Now().Unix())
	var failed error
	for i := range events {
		t := r.Transition()
		t.TS = now - float64(i%100_000)/10
		client.Produce(ctx, &kgo.Record{Topic: names.StateChanged, Key: []byte(strconv.Itoa(i)), Value: schemas.AppendTransitionJSON(nil, t)}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	return errors.Join(client.Flush(ctx), failed)
}

// startServer starts a receiver and waits until it listens.
func startServer(ctx context.Context, dir, name string, port int, env []string, args ...string) (*exec.Cmd, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+"-server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = log, log, dir, append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for range 600 {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return cmd, conn.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	end(cmd)
	return nil, fmt.Errorf("it does not listen: see %s", strings.TrimPrefix(log.Name(), dir+"/"))
}
