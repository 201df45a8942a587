package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"handprint/bench/load"
)

// plan is what the flags say.
type plan struct {
	observations int64
	load         load.Config
	threads      int
	rounds       int
	brokers      []string
	rate         int
	hold         time.Duration
	profiles     string
	dir          string
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == childArg {
		if err := child(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	p, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, p); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (p plan, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Int64Var(&p.observations, "n", 500_000, "observations of the backlog")
	f.IntVar(&p.load.Attackers, "attackers", 20_000, "attackers")
	partitions := f.Int("partitions", 8, "partitions of the topics")
	f.Float64Var(&p.load.Skew, "skew", load.DefaultSkew, "how much the busiest attackers do, above 1")
	f.Float64Var(&p.load.Change, "change", 0.1, "share of values that are not the attacker's usual one")
	f.Float64Var(&p.load.Linked, "linked", 0.02, "share of attackers that a clusterer has linked")
	f.Float64Var(&p.load.Misrouted, "misrouted", 0.01, "share of records in another partition than their key's")
	f.Uint64Var(&p.load.Seed, "seed", 1, "seed of the load")
	f.IntVar(&p.threads, "threads", 1, "workers of handprint, and of the copies")
	f.IntVar(&p.rounds, "rounds", 1, "how often everything is run; the table shows medians")
	brokers := f.String("brokers", "", "brokers, separated by commas; default: an embedded one in a process of its own")
	f.IntVar(&p.rate, "rate", 2000, "observations a second while latency is measured")
	f.DurationVar(&p.hold, "hold", 5*time.Second, "how long latency is measured; 0: not at all")
	f.StringVar(&p.profiles, "profiles", "", "directory for CPU and allocation profiles of handprint; default: none are taken")
	f.StringVar(&p.dir, "dir", "", "directory for stores; default: a temporary one")
	if err := f.Parse(args); err != nil {
		return p, err
	}
	p.load.Partitions = int32(*partitions)
	if *brokers != "" {
		p.brokers = strings.Split(*brokers, ",")
	}
	switch {
	case f.NArg() > 0:
		return p, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case p.observations < 1 || p.threads < 1 || p.rounds < 1 || p.rate < 1:
		return p, errors.New("-n, -threads, -rounds and -rate must be at least 1")
	}
	return p, nil
}

func run(ctx context.Context, p plan) (err error) {
	if p.dir == "" {
		if p.dir, err = os.MkdirTemp("", "handprint-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(p.dir)) }()
	}
	b := &rig{plan: p, prefix: fmt.Sprintf("bench-%d-", time.Now().UnixMilli())}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.open(ctx); err != nil {
		return err
	}
	if err := b.fill(ctx); err != nil {
		return err
	}
	var t table
	for round := range p.rounds {
		hand, err := b.contend(ctx, round, contenderHandprint, job{})
		if err != nil {
			return err
		}
		one, err := b.contend(ctx, round, contenderCopy, job{Copies: 1})
		if err != nil {
			return err
		}
		same, err := b.contend(ctx, round, contenderCopy, job{
			Copies: float64(hand.Produced) / float64(p.observations),
			Bytes:  int(hand.Uncompressed / max(1, hand.Produced)),
		})
		if err != nil {
			return err
		}
		t.add(hand, one, same)
	}
	if p.hold > 0 {
		if t.latency, err = b.latency(ctx); err != nil {
			return err
		}
	}
	t.print(os.Stdout, p)
	return nil
}

func (p *plan) store(name string) string { return filepath.Join(p.dir, name) }
