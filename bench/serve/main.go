package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// plan is what the flags say.
type plan struct {
	identities int
	templates  int
	partitions int
	dir        string
	build      bool
	sqlite     bool
	only       []string
	records    int
	backlog    int
	hold       time.Duration
	share      float64
	rounds     int
	clients    int
	live       time.Duration
	liveRate   int
}

// measurements are what -only may name, in the order in which they run.
var measurements = []string{"start", "follow", "queries", "sqlite", "clients", "slow", "pages"}

func main() {
	if len(os.Args) == 3 && os.Args[1] == childArg {
		if err := child(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "bench/serve:", err)
			os.Exit(1)
		}
		return
	}
	p, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/serve:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, p); err != nil {
		fmt.Fprintln(os.Stderr, "bench/serve:", err)
		os.Exit(1)
	}
}

func parse(args []string) (p plan, err error) {
	f := flag.NewFlagSet("bench/serve", flag.ContinueOnError)
	f.IntVar(&p.identities, "identities", 1_000_000, "identities of the state, each with a row of 13 primitives, of three observations")
	f.IntVar(&p.templates, "templates", 5_000, "identities that the engine works out itself; the others are made like them")
	f.IntVar(&p.partitions, "partitions", 8, "partitions of the topics")
	f.StringVar(&p.dir, "dir", "", "folder of the state (required)")
	f.BoolVar(&p.build, "build", false, "make the state, measure nothing")
	f.BoolVar(&p.sqlite, "sqlite", false, "with -build: make the SQLite database from the copy that is there")
	only := f.String("only", "", "what to measure, separated by commas: "+strings.Join(measurements, ", ")+"; default: all")
	f.IntVar(&p.records, "records", 1_000_000, "changelog records that the follower is timed with")
	f.IntVar(&p.backlog, "backlog", 200_000, "observations that the engine's best rate is measured with")
	f.DurationVar(&p.hold, "hold", 40*time.Second, "how long questions are asked while the engine works")
	f.Float64Var(&p.share, "share", 0.5, "share of the best rate that the engine is held at meanwhile")
	f.IntVar(&p.rounds, "rounds", 5, "rounds of the measurement with live clients")
	f.IntVar(&p.clients, "clients", 50, "live clients")
	f.DurationVar(&p.live, "live", 2*time.Minute, "how long slow and stuck clients are served")
	f.IntVar(&p.liveRate, "live-rate", 5000, "transitions a second meanwhile")
	if err := f.Parse(args); err != nil {
		return p, err
	}
	p.only = measurements[:len(measurements)-1] // pages need a browser
	if *only != "" {
		p.only = strings.Split(*only, ",")
	}
	for _, name := range p.only {
		if !slices.Contains(measurements, name) {
			return p, fmt.Errorf("-only: there is no measurement %q", name)
		}
	}
	switch {
	case f.NArg() > 0:
		return p, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case p.dir == "":
		return p, errors.New("-dir: name a folder for the state; a million identities take 10 GB")
	case p.identities < 1 || p.templates < 1 || p.partitions < 1 || p.rounds < 1:
		return p, errors.New("-identities, -templates, -partitions and -rounds must be at least 1")
	}
	p.templates = min(p.templates, p.identities)
	return p, nil
}

func run(ctx context.Context, p plan) (err error) {
	if p.build {
		if p.sqlite {
			return buildSQLite(ctx, &p)
		}
		return build(ctx, &p)
	}
	r, err := openRig(ctx, &p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	measures := map[string]func(context.Context) error{
		"start": r.measureStart, "follow": r.measureFollow, "queries": r.measureQueries, "sqlite": r.measureSQLite, "clients": r.measureClients, "slow": r.measureSlow, "pages": r.measurePages,
	}
	for _, name := range measurements {
		if !slices.Contains(p.only, name) {
			continue
		}
		if err := measures[name](ctx); err != nil {
			return fmt.Errorf("measuring %s: %w", name, err)
		}
	}
	return nil
}
