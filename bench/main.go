package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"handprint/internal/load"
)

// plan is what the flags say.
type plan struct {
	observations int64
	load         load.Config
	contenders   []contender
	threads      int
	rounds       int
	warmup       bool // begin with a round that is not counted
	brokers      []string
	real         bool
	static       bool
	seen         bool          // every attacker has shown each of its primitives before
	flood        int           // observations a second that one attacker sends to be expensive, while latency is measured once more
	memory       int           // MiB that each contender may take; 0: as much as there is
	retention    time.Duration // of handprint
	transaction  int           // records of a transaction of handprint, at most; 0: as the program has it
	caches       [2]int        // record cache and store cache of handprint, MiB; 0: as the program has them
	commit       time.Duration
	rate         int
	hold, warm   time.Duration
	restarts     bool
	audit        bool
	profiles     string
	registry     string
	dir          string
	json         bool
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
	debug.SetMemoryLimit(math.MaxInt64) // GOMEMLIMIT is for the contenders, not for the backlog
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
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
	f.BoolVar(&p.load.Even, "even", false, "attackers take turns, rather than that the busiest do most: one changelog record an observation, whatever their number")
	f.IntVar(&p.transaction, "transaction", 0, "records of a transaction of "+contenderHandprint+", at most; 0: as the program has it. What one changes several times is one changelog record")
	f.IntVar(&p.load.Breadth, "breadth", load.DefaultBreadth, "primitives that an attacker ever shows")
	f.Float64Var(&p.load.Change, "change", 0.1, "share of values that are not the attacker's usual one")
	f.Float64Var(&p.load.Linked, "linked", 0.02, "share of attackers that a clusterer has linked")
	f.Float64Var(&p.load.Misrouted, "misrouted", 0.01, "share of records in another partition than their key's")
	f.Uint64Var(&p.load.Seed, "seed", 1, "seed of the load")
	f.BoolVar(&p.seen, "seen", false, "before what is measured, take in one observation of every attacker for each of its primitives; one contender, one round, without -audit")
	f.IntVar(&p.flood, "flood", 0, "measure latency of the other partitions twice more, while one attacker sends so many observations a second, made to be expensive, to partition 0: of a topic that nobody reads, then of the one that is read")
	f.IntVar(&p.memory, "memory", 0, "MiB that each contender may take, in a control group of its own; 0: as much as there is")
	f.IntVar(&p.caches[0], "record-cache", 0, "record cache of handprint, MiB; 0: what follows the memory limit, as in the program")
	f.IntVar(&p.caches[1], "store-cache", 0, "likewise its store cache")
	f.DurationVar(&p.retention, "retention", 0, "identity-retention of handprint; 0: none")
	names := f.String("contenders", "handprint,copy,copymuch", "who runs, separated by commas; the first is the one that the others are compared with")
	f.IntVar(&p.threads, "threads", 1, "workers of handprint, and of the copies")
	f.IntVar(&p.rounds, "rounds", 1, "how often everything is run; the table shows medians")
	warmup := f.String("warmup", "auto", "whether to begin with a warm-up round, which is not counted: yes, no or auto. auto: yes if there are several rounds on a real broker, which compiles its code in the first")
	brokers := f.String("brokers", "", "brokers, separated by commas; default: one in a process of its own")
	f.BoolVar(&p.real, "real", false, "start a real Kafka broker (needs Java and Maven) rather than the embedded one")
	f.BoolVar(&p.static, "static", false, "contenders that can are static members of their group")
	f.DurationVar(&p.commit, "commit", 100*time.Millisecond, "commit interval of Kafka Streams")
	f.IntVar(&p.rate, "rate", 2000, "observations a second while latency is measured")
	f.DurationVar(&p.hold, "hold", 5*time.Second, "how long latency is measured; 0: not at all")
	f.DurationVar(&p.warm, "warm", 3*time.Second, "how long the rate is held before latency is measured")
	f.BoolVar(&p.restarts, "restarts", false, "restart the contenders with state: state kept, killed, state wiped")
	f.BoolVar(&p.audit, "audit", true, "read back what was written, and compare it")
	f.BoolVar(&p.json, "json", false, "print all results as JSON instead of the table")
	f.StringVar(&p.profiles, "profiles", "", "directory for CPU and allocation profiles of handprint; default: none are taken")
	f.StringVar(&p.registry, "registry", "", "schema registry of "+contenderAvro+"; default: one inside this process")
	f.StringVar(&p.dir, "dir", "", "directory for stores and logs; default: a temporary one, which is removed unless something went wrong")
	if err := f.Parse(args); err != nil {
		return p, err
	}
	p.load.Partitions = int32(*partitions)
	if p.contenders, err = choose(*names); err != nil {
		return p, err
	}
	switch *warmup {
	case "yes", "no":
		p.warmup = *warmup == "yes"
	case "auto":
		p.warmup = p.rounds > 1 && (p.real || *brokers != "")
	default:
		return p, fmt.Errorf("-warmup %q: yes, no or auto", *warmup)
	}
	if *brokers != "" {
		p.brokers = strings.Split(*brokers, ",")
	}
	switch {
	case f.NArg() > 0:
		return p, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case p.seen && (p.audit || len(p.contenders) != 1 || p.rounds != 1 || p.warmup):
		return p, errors.New("-seen is for one contender, one round, none before it, and -audit=false")
	case p.observations < 1 || p.threads < 1 || p.rounds < 1 || p.rate < 1 || p.transaction < 0:
		return p, errors.New("-n, -threads, -rounds and -rate must be at least 1, -transaction at least 0")
	}
	return p, nil
}

func run(ctx context.Context, p plan) (err error) {
	if p.dir == "" {
		if p.dir, err = os.MkdirTemp("", "handprint-bench-"); err != nil {
			return err
		}
		defer func() {
			if err == nil || ctx.Err() != nil { // else the logs are worth a look
				err = errors.Join(err, os.RemoveAll(p.dir))
			}
		}()
	} else if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	b := &rig{plan: p, prefix: fmt.Sprintf("bench-%d-", time.Now().UnixMilli()), built: map[string]bool{}, limit: newLimit(p.memory)}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.open(ctx); err != nil {
		return err
	}
	if err := b.fill(ctx); err != nil {
		return err
	}
	if p.warmup {
		if err := b.warmUp(ctx); err != nil {
			return fmt.Errorf("warm-up round: %w", err)
		}
	}
	results := map[string][]result{}
	for round := range p.rounds {
		if err := b.round(ctx, round, results); err != nil {
			return err
		}
	}
	if p.restarts {
		if err := b.restartAll(ctx, results); err != nil {
			return err
		}
	}
	if p.json {
		return json.NewEncoder(os.Stdout).Encode(results)
	}
	printTable(os.Stdout, &p, results)
	return nil
}

// warmUp has every contender drain the backlog once, and forgets it.
func (b *rig) warmUp(ctx context.Context) error {
	var done []result
	for i := range b.contenders {
		c := &b.contenders[i]
		j, err := b.job(ctx, c.name+"-warmup", c, false)
		if err != nil {
			return err
		}
		if c.name == contenderMuch {
			if err := b.much(j, done); err != nil {
				return err
			}
		}
		res, err := b.drain(ctx, c, j)
		if err != nil {
			return err
		}
		done = append(done, res)
		if err := os.RemoveAll(j.Dir); err != nil {
			return err
		}
	}
	return nil
}

// round runs every contender once: all drain the backlog, then each is held at
// the rate.
func (b *rig) round(ctx context.Context, round int, results map[string][]result) error {
	var done []result
	for i := range b.contenders {
		c := &b.contenders[i]
		j, err := b.job(ctx, fmt.Sprintf("%s-%d", c.name, round), c, false)
		if err != nil {
			return err
		}
		switch c.name {
		case contenderHandprint:
			j.Profiles = b.profiles
		case contenderAvro:
			if b.profiles != "" {
				j.Profiles = filepath.Join(b.profiles, "avro")
			}
		case contenderMuch:
			if err := b.much(j, done); err != nil {
				return err
			}
		}
		if b.seen { // it has the first part; the second one is measured
			if _, err := b.drain(ctx, c, j); err != nil {
				return err
			}
			if err := b.fill(ctx); err != nil {
				return err
			}
		}
		res, err := b.drain(ctx, c, j)
		if err != nil {
			return err
		}
		if b.audit {
			if res.Audit, err = b.auditOf(ctx, c, j); err != nil {
				return fmt.Errorf("reading what %s has written: %w", c.name, err)
			}
		}
		done = append(done, res)
	}
	for i := range done {
		c, res := &b.contenders[i], &done[i]
		if c.concludes && b.hold > 0 {
			alone, err := b.latency(ctx, c, fmt.Sprintf("%s-%d", c.name, round), flood{})
			if err != nil {
				return err
			}
			res.Latency = alone.Others
			if b.flood > 0 {
				if res.Beside, err = b.latency(ctx, c, fmt.Sprintf("%s-%d-beside", c.name, round), flood{rate: b.flood, elsewhere: true}); err != nil {
					return err
				}
				if res.Flooded, err = b.latency(ctx, c, fmt.Sprintf("%s-%d-flood", c.name, round), flood{rate: b.flood}); err != nil {
					return err
				}
			}
			if len(res.Latency) == 0 {
				fmt.Fprintf(os.Stderr, "bench: %s wrote no transition that was due while latency was measured: -warm and -hold are too short for it\n", c.name)
			}
		}
	}
	for i := range done {
		c := &b.contenders[i]
		if round < b.rounds-1 || !b.restarts {
			if err := os.RemoveAll(done[i].Job.Dir); err != nil {
				return err
			}
		}
		results[c.name] = append(results[c.name], done[i])
	}
	return nil
}

// restartAll restarts the contenders with state, as often as there were rounds, on
// the state of the last round. It comes last, because it adds to the backlog.
func (b *rig) restartAll(ctx context.Context, results map[string][]result) (err error) {
	for round := range b.rounds {
		for i := range b.contenders {
			c := &b.contenders[i]
			if !c.keeps {
				continue
			}
			res := results[c.name]
			j := res[len(res)-1].Job
			j.Profiles = ""
			if res[round].Restarts, err = b.restart(ctx, c, &j); err != nil {
				return fmt.Errorf("restarting %s: %w (see %s)", c.name, err, b.dir)
			}
		}
	}
	return nil
}

// much makes the job of the contender that copies as much as handprint wrote.
func (b *rig) much(j *job, done []result) error {
	for i := range done {
		if r := done[i].Report; done[i].Name == contenderHandprint && r != nil {
			j.Copies = float64(r.Produced) / float64(b.observations)
			j.Bytes = int(r.Uncompressed / max(1, r.Produced))
			return nil
		}
	}
	return fmt.Errorf("%s copies as much as handprint wrote: name handprint before it", contenderMuch)
}
