// Command scale shows on a real cluster that four instances come to the same
// rows as one, that memory does not grow with the rows, what a restart costs,
// and for how long tasks pause when the instance that has them ends under load.
// It prints numbers, and fails if rows differ or memory is exceeded.
//
//	go run ./integration/scale -records 2000000 -rows 5000000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"handprint/integration/instance"
	"handprint/integration/lab"
	"handprint/internal/load"
)

type options struct {
	records, rows int
	takeover      int // observations that are there before
	rate          int // of observations a second, while instances end
	partitions    int
	threads       int
	memory        int64 // MiB of resident memory that are allowed
	dir           string
}

func main() {
	var o options
	flag.IntVar(&o.records, "records", 2_000_000, "observations that one, two and four instances drain; 0: leave that out")
	flag.IntVar(&o.rows, "rows", 5_000_000, "rows that one instance holds; 0: leave that out")
	flag.IntVar(&o.takeover, "takeover", 500_000, "observations that two instances hold before one of them ends under load; 0: leave that out")
	flag.IntVar(&o.rate, "rate", 2000, "observations a second of that load")
	flag.IntVar(&o.partitions, "partitions", 32, "partitions of the observations")
	flag.IntVar(&o.threads, "threads", 2, "workers of each instance")
	flag.Int64Var(&o.memory, "memory", 1024, "MiB of resident memory that an instance may take")
	flag.StringVar(&o.dir, "dir", "", "folder for states and logs; default: a temporary one, removed at the end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "handprint-scale-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	// One broker: the subject is the instances, and there is one disk anyway.
	l, err := lab.Open(ctx, lab.Options{Dir: o.dir, Brokers: 1, BrokerConfig: map[string]string{"log.segment.bytes": "1073741824"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if o.records > 0 {
		if err := sameRows(ctx, l, &o); err != nil {
			return err
		}
	}
	if o.takeover > 0 {
		if err := takeOver(ctx, l, &o); err != nil {
			return err
		}
	}
	if o.rows > 0 {
		return manyRows(ctx, l, &o)
	}
	return nil
}

// open creates an application whose name no other run has.
func open(ctx context.Context, l *lab.Lab, o *options, name string) (*lab.App, error) {
	return l.NewApp(ctx, lab.AppOptions{
		Name: fmt.Sprintf("scale-%d-%s", os.Getpid(), name), Partitions: o.partitions,
		Flags: []string{"--threads", fmt.Sprint(o.threads), "--sweep-interval", "24h", "--connect-timeout", "60s"},
	})
}

// released is an instance of the program as it is released, connected to the brokers
// themselves. One with faults has tiny turns and tables, and the proxies take their
// share of the cores.
func released(app *lab.App, n int) instance.Config {
	c := app.Config(n)
	c.Binary, c.Brokers = app.Lab.Binaries.Plain, app.Lab.Cluster.Addrs()
	return c
}

// sameRows drains the same input with one, two and four instances.
func sameRows(ctx context.Context, l *lab.Lab, o *options) error {
	var want digest
	for _, instances := range []int{1, 2, 4} {
		app, err := open(ctx, l, o, fmt.Sprint(instances))
		if err != nil {
			return err
		}
		got, err := drain(ctx, app, o, instances)
		app.Close()
		if err != nil {
			return err
		}
		if instances == 1 {
			want = got
		} else if got != want {
			return fmt.Errorf("%d instances came to %v, one to %v", instances, got, want)
		}
	}
	return nil
}

func drain(ctx context.Context, app *lab.App, o *options, instances int) (digest, error) {
	g, err := load.New(load.Config{
		Seed: 1, Attackers: max(1, o.records/50), Partitions: int32(o.partitions), Change: 0.02, Linked: 0.01, Misrouted: 0.01,
	})
	if err != nil {
		return digest{}, err
	}
	ordered, err := feedLoad(ctx, app, g, o.records)
	if err != nil {
		return digest{}, err
	}
	began := time.Now()
	for n := range instances {
		if _, err := app.StartAs(released(app, n), n); err != nil {
			return digest{}, err
		}
	}
	if err := app.Rest(ctx); err != nil {
		return digest{}, err
	}
	took := time.Since(began)
	rows, err := rowsOf(ctx, app, ordered)
	if err != nil {
		return rows, err
	}
	fmt.Printf("%d instance(s): %d observations in %d partitions drained in %.1f s, %.0f records/s; %v\n",
		instances, o.records, o.partitions, took.Seconds(), float64(o.records)/took.Seconds(), rows)
	return rows, app.StopAll(ctx)
}
