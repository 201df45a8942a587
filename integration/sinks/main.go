// Command sinks delivers to real receivers, and compares what they have with what
// was written: each is given the same events by `handprint sink run`, which is
// killed at random, through a proxy that makes the receiver fail, while the
// receiver is killed too and comes back. make sinks-check calls it.
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

	"handprint/internal/broker"
)

func main() {
	n := flag.Int("n", 10_000, "Events.")
	only := flag.String("only", "", "Only this receiver.")
	seed := flag.Uint64("seed", 1, "Of the faults.")
	binary := flag.String("handprint", "bin/handprint", "The binary to check.")
	dir := flag.String("dir", "out/sinks", "Folder for what receivers keep.")
	tools := flag.String("tools", "out/sinks-tools", "Folder with the receivers.")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *n, *seed, *only, *binary, *dir, *tools); err != nil {
		fmt.Fprintln(os.Stderr, "sinks:", err)
		os.Exit(1)
	}
}

// receiver is a real receiver.
type receiver struct {
	name  string
	needs string // the file without which it is left out
	most  int    // events, at most; 0: all
	rows  bool   // it keeps rows too
	sink  string // its entry in the file of sinks without its name; ADDRESS is where it is
	port  int
	// front returns what makes it fail; nil: nothing does.
	front   func(ctx context.Context, seed uint64) (proxy, error)
	start   func(ctx context.Context) (*exec.Cmd, error)
	prepare func(ctx context.Context) error // once it listens; may be nil
	// count returns how many distinct events it has, as far as can be seen fast.
	count func(ctx context.Context) (int, error)
	// compare compares all that it has. It returns how often an event is there
	// besides the first time.
	compare func(ctx context.Context, w *wanted) (repeats int, note string, err error)
	unique  bool // it deduplicates: repeats are an error
	forgets bool // it keeps nothing on disk, so it is not killed
	early   bool // it answers before events are on disk, so it is asked to end
	lossy   bool // nothing is promised
}

func (r *receiver) target() string { return "127.0.0.1:" + strconv.Itoa(r.port) }

func run(ctx context.Context, n int, seed uint64, only, binary, dir, tools string) error {
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
	all, err := receivers(dir, tools)
	if err != nil {
		return err
	}
	var failed error
	for _, r := range all {
		if only != "" && r.name != only {
			continue
		}
		if _, err := os.Stat(r.needs); err != nil {
			fmt.Printf("%-18s left out: there is no %s\n", r.name, filepath.Base(r.needs))
			continue
		}
		events := n
		if r.most > 0 {
			events = min(events, r.most)
		}
		if err := check(ctx, &r, events, seed, binary, dir); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", r.name, err))
			fmt.Printf("%-18s FAILED: %v\n", r.name, err)
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

// shortRounds is how often the sink is killed at most.
const shortRounds = 6

// check delivers events to one receiver and compares.
func check(ctx context.Context, r *receiver, events int, seed uint64, binary, dir string) (err error) {
	e, err := broker.Start(broker.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	version, err := versionOf(ctx, binary)
	if err != nil {
		return err
	}
	want, err := produce(ctx, e, events, r.rows, version)
	if err != nil {
		return err
	}
	server, err := r.start(ctx)
	if err != nil {
		return err
	}
	defer func() { end(server) }()
	if r.prepare != nil {
		if err := r.prepare(ctx); err != nil {
			return err
		}
	}
	at, front := r.target(), proxy(nil)
	if r.front != nil {
		if front, err = r.front(ctx, seed); err != nil {
			return err
		}
		defer front.close()
		at = front.address()
	}
	s := sinkUnderTest{binary: binary, file: filepath.Join(dir, r.name+".yaml"), brokers: e.Addrs()[0], log: filepath.Join(dir, r.name+".log")}
	if err := os.WriteFile(s.file, []byte("sinks:\n  - {name: "+r.name+", "+strings.ReplaceAll(r.sink, "ADDRESS", at)+"}\n"), 0o600); err != nil {
		return err
	}
	defer s.end()
	began, kills, restarts := time.Now(), 0, 0
	rng := rand.New(rand.NewPCG(seed, uint64(events)))
	for round := 0; ; round++ {
		if err := s.start(ctx); err != nil {
			return err
		}
		// The first rounds are cut short: the sink is killed, and twice the
		// receiver with it.
		wait := time.Duration(600+rng.IntN(900)) * time.Millisecond
		last := round >= shortRounds || r.lossy
		if last {
			wait = 5 * time.Minute
		}
		done, err := s.await(ctx, wait)
		if err != nil {
			return err
		}
		if done {
			break
		}
		if last {
			got, why := r.count(ctx)
			return fmt.Errorf("the sink is not done in time: %d of %d events arrived (counting: %v)", got, events, why)
		}
		s.end()
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
	took := time.Since(began).Round(time.Second)
	if err := s.stop(); err != nil {
		return err
	}
	repeats, note, err := settled(ctx, r, want)
	if err != nil {
		return err
	}
	if front != nil {
		note = strings.TrimSpace(note + " faults: " + front.report() + ";")
	}
	fmt.Printf("%-18s %d events arrived as they were written, %d repeats; %s the sink was killed %d times, the receiver %d times; %s\n",
		r.name, events, repeats, note+map[bool]string{true: " ", false: ""}[note != ""], kills, restarts, took)
	return nil
}

// settled compares until all is there, as some receivers show events a little
// after they have taken them.
func settled(ctx context.Context, r *receiver, want *wanted) (repeats int, note string, err error) {
	for range 20 {
		repeats, note, err = r.compare(ctx, want)
		if err == nil || r.lossy {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	if err == nil && r.unique && repeats > 0 {
		err = fmt.Errorf("%d events are there more than once", repeats)
	}
	return repeats, note, err
}
