// Command large measures what an observation costs the engine and the local store
// when there are many identities: all tasks of one process, without Kafka.
//
// Observations are those of the benchmark (internal/load). They are processed in
// turns, committed together and written to a store on the disk, as a worker that is
// behind does it. Commands go from task to task at once.
//
//	go run -pgo=cmd/handprint/release.pgo ./bench/large -attackers 1000000 -n 1000000 -seen -breadth 2
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/load"
	"handprint/internal/memory"
	"handprint/state"
)

const tasks = 8

type rig struct {
	ctx     context.Context // ends what is being measured
	store   *state.Store
	tasks   [tasks]task
	queue   []command
	commits int64
	changes int64
	waited  time.Duration // for the store to take commits
}

type command struct {
	to    int32
	value []byte
}

// task is one task, and its engine's outbox.
type task struct {
	rig    *rig
	number int32
	engine *engine.Engine
	txn    *state.Txn
	offset int64
}

func main() {
	attackers := flag.Int("attackers", 1_000_000, "attackers")
	n := flag.Int("n", 1_000_000, "observations that are measured")
	breadth := flag.Int("breadth", load.DefaultBreadth, "primitives that an attacker shows")
	seen := flag.Bool("seen", false, "every attacker has shown each of its primitives before")
	even := flag.Bool("even", false, "attackers take turns, rather than that the busiest do most")
	linked := flag.Float64("linked", 0.02, "share of the attackers that are linked, before what is measured")
	batch := flag.Int("batch", 160_000, "observations of a transaction")
	retention := flag.Duration("retention", 0, "identity-retention; 0: never")
	record := flag.Int("record-cache", 0, "MiB; 0: as the program has it without a limit")
	block := flag.Int("store-cache", 0, "MiB; likewise")
	profile := flag.String("profile", "", "file for a CPU profile")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *attackers, *n, *breadth, *seen, *even, *linked, *batch, *record, *block, *retention, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "large:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, attackers, n, breadth int, seen, even bool, linked float64, batch, record, block int, retention time.Duration, profile string) (err error) {
	dir, err := os.MkdirTemp("", "handprint-large-")
	if err != nil {
		return err
	}
	r := &rig{ctx: ctx}
	defer func() {
		if r.store != nil {
			for i := range r.tasks {
				if t := r.tasks[i].txn; t != nil {
					err = errors.Join(err, t.Close())
				}
			}
			err = errors.Join(err, r.store.Close())
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	hold, cache := memory.Read().Caches()
	if record > 0 {
		hold = record << 20
	}
	if block > 0 {
		cache = block << 20
	}
	if r.store, err = state.Open(filepath.Join(dir, "state"), state.Options{HoldBytes: hold, CacheBytes: int64(cache)}); err != nil {
		return err
	}
	for i := range r.tasks {
		t := &r.tasks[i]
		*t = task{rig: r, number: int32(i), txn: r.store.Partition(int32(i)).WriteBack()}
		if t.engine, err = engine.New(engine.Config{Thresholds: attribution.DefaultThresholds(), Partitions: tasks, Retention: retention}, t.number, t.txn); err != nil {
			return err
		}
	}
	g, err := load.New(load.Config{Seed: 1, Attackers: attackers, Partitions: tasks, Breadth: breadth, Change: 0.1, Linked: linked, Even: even})
	if err != nil {
		return err
	}
	began := time.Now()
	if seen {
		if err := r.take(g.Each, batch); err != nil {
			return err
		}
	}
	fmt.Printf("before: %.1f s\n", time.Since(began).Seconds())
	events := func(yield func(*load.Record) bool) {
		for _, value := range g.Events {
			if !yield(&load.Record{Value: value, Partition: -1}) {
				return
			}
		}
	}
	began, was := time.Now(), cpu()
	if err := r.take(events, 256); err != nil {
		return err
	}
	fmt.Printf("events: %.1f s, CPU %.1f s\n", time.Since(began).Seconds(), (cpu() - was).Seconds())
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	changes := r.changes
	began, was = time.Now(), cpu()
	r.waited = 0
	left := n
	if err := r.take(func(yield func(*load.Record) bool) {
		for ; left > 0; left-- {
			if !yield(g.Next()) {
				return
			}
		}
	}, batch); err != nil {
		return err
	}
	used := cpu() - was
	m := r.store.Metrics()
	fmt.Printf("measured: %.2f us CPU an observation (the load's own included), %.2f us wall, %.2f of it in the store's commits, %.2f changelog records; %s\n",
		used.Seconds()*1e6/float64(n), time.Since(began).Seconds()*1e6/float64(n), r.waited.Seconds()*1e6/float64(n), float64(r.changes-changes)/float64(n), show(m))
	return nil
}

func show(m state.Metrics) string {
	runtime.GC()
	return fmt.Sprintf("%+v", m)
}

func (r *rig) take(each func(yield func(*load.Record) bool), batch int) (err error) {
	i := 0
	each(func(rec *load.Record) bool {
		i++
		if rec.Partition < 0 {
			err = r.process(0, &engine.Record{Source: engine.IdentityEvents, Value: rec.Value})
		} else {
			err = r.process(rec.Partition, &engine.Record{Source: engine.Observations, Partition: rec.Partition, Key: rec.Key, Value: rec.Value})
		}
		if err == nil && i%batch == 0 {
			err = r.commit()
		}
		return err == nil
	})
	if err == nil {
		err = r.commit()
	}
	return err
}

func (r *rig) process(to int32, rec *engine.Record) error {
	if err := r.tasks[to].process(rec); err != nil {
		return err
	}
	for at := 0; at < len(r.queue); at++ {
		c := r.queue[at]
		if err := r.tasks[c.to].process(&engine.Record{Source: engine.Commands, Partition: c.to, Value: c.value}); err != nil {
			return err
		}
	}
	r.queue = r.queue[:0]
	return nil
}

func (r *rig) commit() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	r.commits++
	for i := range r.tasks {
		r.changes += int64(r.tasks[i].txn.Len())
		for range r.tasks[i].txn.Changes {
		}
		began := time.Now()
		if err := r.tasks[i].txn.Commit(state.Checkpoint{Offset: r.commits, Identity: "large", At: began}); err != nil {
			return err
		}
		r.waited += time.Since(began)
	}
	return nil
}

func (t *task) process(r *engine.Record) error {
	t.offset++
	r.Offset, r.Time = t.offset, 1_800_000_000_000+t.offset
	t.txn.Savepoint()
	return t.engine.Process(r, t.txn, t)
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (t *task) StateChanged(_, _ []byte)    {}
func (t *task) Suspected(_, _ []byte)       {}
func (t *task) RowChanged(key []byte)       { t.txn.Mark(key) }
func (t *task) StateRow(_, _ []byte)        {}
func (t *task) Identity(_, _ []byte)        {}
func (t *task) IdentityChanged(_, _ []byte) {}
func (t *task) DeadLetter(stage, reason string) {
	panic(stage + ": " + reason)
}
func (t *task) Send(to int32, _, value []byte) {
	t.rig.queue = append(t.rig.queue, command{to, append([]byte(nil), value...)})
}
func (t *task) Now() float64 { return 1_800_000_000 + float64(t.offset)/1000 }
