// Command chaos proves that nothing is lost, doubled or different whatever dies:
// rounds of random faults on a real cluster while input flows, each round ended
// by rest and an audit.
//
//	go run ./integration/chaos -rounds 200 -seed 1
//
// It prints a line for each round: what it injected, what it checked, what came
// of it. The seed decides the input, the faults and their order, not the
// machine's timing. It stops at the first difference, keeps everything, and
// prints how to run the same again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"handprint/integration/lab"
)

type options struct {
	rounds, from, epoch int
	seed                uint64
	records             int
	load                time.Duration
	patience            time.Duration
	dir                 string
	only, prefix        string
	keep, regrow        bool
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 20, "how many rounds")
	flag.IntVar(&o.from, "from", 1, "first round; the application that it belongs to starts anew")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of input and faults")
	flag.IntVar(&o.epoch, "epoch", 10, "rounds that one application lives")
	flag.IntVar(&o.records, "records", 2000, "records of input in a round")
	flag.DurationVar(&o.load, "load", 2*time.Second, "how long the input of a round flows")
	flag.DurationVar(&o.patience, "patience", 2*time.Minute, "how long an application may take to come to rest")
	flag.StringVar(&o.dir, "dir", "", "folder for states and logs; default: a temporary one, removed at the end if nothing was found")
	flag.StringVar(&o.only, "only", "", "only faults whose name begins with this, or one of these, parted by commas")
	flag.StringVar(&o.prefix, "prefix", "", "before the names of applications, for brokers that others use too")
	flag.BoolVar(&o.regrow, "regrow", false, "cut and regrow the changelog of each application that can be, not of one in four")
	flag.BoolVar(&o.keep, "keep", false, "keep the states and logs of applications without a difference, too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// check says what is wrong with the flags.
func (o *options) check() error {
	switch {
	case o.rounds < 1 || o.from < 1 || o.epoch < 1 || o.records < 1:
		return errors.New("-rounds, -from, -epoch and -records must be 1 or more")
	case o.load <= 0 || o.patience <= 0:
		return errors.New("-load and -patience must be longer than 0")
	case len(possible(o.only, true)) == 0:
		return fmt.Errorf("-only: there is no fault whose name begins with %q", o.only)
	}
	return nil
}

func run(ctx context.Context, o options) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	temporary := o.dir == ""
	if temporary {
		if o.dir, err = os.MkdirTemp("", "handprint-chaos-"); err != nil {
			return err
		}
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	// Rounds belong to applications by their number, so that the same round is
	// always preceded by the same.
	first := (o.from-1)/o.epoch*o.epoch + 1
	l, err := lab.Open(ctx, lab.Options{Dir: o.dir})
	if err != nil {
		return err
	}
	if !l.Cluster.Ours() {
		fmt.Println("chaos: the brokers are somebody else's: only instances are hurt")
	}
	fmt.Printf("chaos: seed %d, rounds %d to %d, files in %s\n", o.seed, first, o.from+o.rounds-1, o.dir)
	sum := newSummary()
	began := time.Now()
	failed := 0
	for round := first; round < o.from+o.rounds && err == nil; {
		last := min((round-1)/o.epoch*o.epoch+o.epoch, o.from+o.rounds-1)
		failed, err = runEpoch(ctx, l, &o, round, last, sum)
		round = last + 1
	}
	sum.print(os.Stdout, time.Since(began))
	if err == nil && temporary {
		return errors.Join(l.Close(), os.RemoveAll(o.dir))
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("round %d: %w\nEverything is kept in %s. Again: make chaos SEED=%d FROM=%d ROUNDS=%d", failed, err, o.dir, o.seed,
			(failed-1)/o.epoch*o.epoch+1, failed-(failed-1)/o.epoch*o.epoch)
	}
	return errors.Join(err, l.Close())
}

// source returns the random numbers of one round.
func source(seed uint64, round int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 0x6368616f73<<16|uint64(round)))
}
