package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"handprint/integration/instance"
	"handprint/integration/lab"
	"handprint/integration/traffic"
)

// epoch is the life of one application, some rounds long.
type epoch struct {
	app     *lab.App
	members []int // the numbers of the instances that it has now, in order
	sum     *summary
	down    sync.RWMutex // held while no instance may run

	mu      sync.Mutex
	rnd     [most]*rand.Rand // of the choice between the binaries, at each start of an instance
	damaged map[int]bool     // stores that hold what nobody may have read yet
	full    map[int]bool     // instances whose disk was; a store writes seconds after a commit, and says so then
	excused map[int]bool     // instances that may end by themselves this round
	broken  int64            // requests that the proxies have broken this round
	points  []string         // at which instances died this round
}

// most is how many instances an application may have.
const most = 5

// runEpoch runs the rounds from first to last with an application of their own.
// If it fails it returns the round that did.
func runEpoch(ctx context.Context, l *lab.Lab, o *options, first, last int, sum *summary) (round int, err error) {
	r := source(o.seed, -first)
	e := &epoch{sum: sum, damaged: make(map[int]bool), full: make(map[int]bool)}
	e.members = upTo(2 + r.IntN(3))
	for n := range e.rnd {
		e.rnd[n] = rand.New(rand.NewPCG(r.Uint64(), uint64(n)))
	}
	partitions := []int{1, 3, 4, 6}[r.IntN(4)]
	name := fmt.Sprintf("%schaos-%d-%d", o.prefix, o.seed, first)
	e.app, err = l.NewApp(ctx, lab.AppOptions{
		Name: name, Partitions: partitions, MaxUnpacked: maxUnpacked, Traffic: traffic.Config{Seed: r.Uint64(), Attackers: 50 + r.IntN(300)},
		Flags: []string{
			"--threads", fmt.Sprint(1 + r.IntN(2)), "--sweep-interval", "5s", "--transaction-timeout", "5s",
			"--batch-records", fmt.Sprint([]int{50, 500, 10_000}[r.IntN(3)]), "--connect-timeout", "60s",
		},
	})
	if err != nil {
		return first, err
	}
	defer e.app.Close()
	for _, n := range e.members {
		if err := e.start(n); err != nil {
			return first, err
		}
	}
	fmt.Printf("application %s: %d instances, %d partitions\n", name, len(e.members), partitions)
	for round := first; round <= last; round++ {
		if err := e.round(ctx, o, round); err != nil {
			return round, err
		}
		sum.rounds++
	}
	return last, e.end(ctx, o, first)
}

// start starts an instance: now and then the binary that is released, else the
// one with faults.
func (e *epoch) start(n int) error {
	c := e.app.Config(n)
	e.mu.Lock()
	if e.rnd[n].IntN(4) == 0 {
		c.Binary = e.app.Lab.Binaries.Plain
	}
	e.mu.Unlock()
	return e.startAs(c, n)
}

// startAgain starts an instance that has ended by itself as it was: when that
// happens is not the seed's to say, so it draws nothing.
func (e *epoch) startAgain(n int) error { return e.startAs(e.app.Instance(n).Config, n) }

func (e *epoch) startAs(c instance.Config, n int) error {
	e.down.RLock()
	defer e.down.RUnlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.full, n)
	_, err := e.app.StartAs(c, n)
	return err
}

// add starts an instance more.
func (e *epoch) add(n int) error {
	e.members = append(e.members, n)
	slices.Sort(e.members)
	return e.start(n)
}

// remove takes note that an instance has ended for good. Its state stays: it
// may be added again.
func (e *epoch) remove(n int) {
	e.members = slices.DeleteFunc(e.members, func(m int) bool { return m == n })
}

func (e *epoch) damage(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.damaged[n], e.excused[n] = true, true
}

func (e *epoch) excuse(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.excused[n] = true
}

// stop stops an instance cleanly. One whose disk was full may end with an error
// instead: its store has failed to write since.
func (e *epoch) stop(ctx context.Context, n int) error {
	i := e.app.Instance(n)
	if !i.Running() {
		return nil
	}
	err := e.app.Stop(ctx, n)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.full[n] && !i.Running() && i.ExitCode() == 1 {
		return nil
	}
	return err
}

// stopAll stops all instances at once.
func (e *epoch) stopAll(ctx context.Context) error {
	var stopping sync.WaitGroup
	errs := make([]error, len(e.members))
	for i, n := range e.members {
		stopping.Go(func() { errs[i] = e.stop(ctx, n) })
	}
	stopping.Wait()
	return errors.Join(errs...)
}

func (e *epoch) filled(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.full[n] = true
}

func (e *epoch) broke(n int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken += n
}

func (e *epoch) crashed(point string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.points = append(e.points, point)
}

// round feeds the application while faults happen, heals, waits for rest and
// audits.
func (e *epoch) round(ctx context.Context, o *options, round int) error {
	began := time.Now()
	e.excused, e.broken, e.points = make(map[int]bool), 0, nil
	r := source(o.seed, round)
	busy, err := e.app.Busy(ctx)
	if err != nil {
		return err
	}
	faults := plan(r, possible(o.only, e.app.Lab.Cluster.Ours()), func(on target) []int { return e.candidates(on, busy) }, o.load)
	var done, fed sync.WaitGroup // fed are the faults that need input to happen
	errs := make([]error, len(faults))
	more := 0
	for i := range faults {
		f, group := &faults[i], &done
		if f.kind.on == onFaulty {
			group, more = &fed, o.records/2
		}
		group.Go(func() {
			wait(ctx, f.after)
			if ctx.Err() == nil {
				err := f.fault.do(ctx, e, f.target)
				if !errors.As(err, &f.left) && err != nil {
					errs[i] = fmt.Errorf("%s: %w", f, err)
				}
			}
		})
	}
	e.app.FeedFor(ctx, o.records, o.load)
	e.feedOn(ctx, more, &fed)
	fed.Wait()
	done.Wait()
	said := false
	defer func() {
		if !said {
			fmt.Printf("round %d: %s | not finished\n", round, texts(faults))
		}
	}()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	hurt := time.Since(began)
	ended, err := e.heal(ctx)
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, o.patience)
	defer cancel()
	rested := e.restart(limit)
	if err := e.app.Sweep(limit); err != nil {
		return err
	}
	ended = append(ended, rested()...)
	atRest := time.Since(began)
	report, err := e.app.Audit(ctx)
	for _, f := range faults {
		if f.left == "" {
			e.sum.fault(f.kind.name)
		} else {
			e.sum.left++
		}
	}
	for _, p := range e.points {
		e.sum.crash(p)
	}
	e.sum.broken += e.broken
	e.sum.ended += int64(len(ended))
	result := "ok"
	if err != nil {
		result = "FAILED: " + err.Error()
	}
	said = true
	fmt.Printf("round %d: %s | %s | %s%s | hurt %.1fs, at rest %.1fs, audited %.1fs\n", round, texts(faults), report, result,
		notes(ended, e.broken), hurt.Seconds(), atRest.Seconds(), time.Since(began).Seconds())
	e.sum.checked(report)
	return err
}

// feedOn feeds n records in small bursts as long as somebody waits for a batch,
// and what is left at once: how many they are does not depend on the time.
func (e *epoch) feedOn(ctx context.Context, n int, waiting *sync.WaitGroup) {
	over := make(chan struct{})
	go func() {
		waiting.Wait()
		close(over)
	}()
	burst := time.NewTicker(100 * time.Millisecond)
	defer burst.Stop()
	const few = 25
	for n > 0 {
		select {
		case <-burst.C:
			e.app.Feed(ctx, min(n, few))
			n -= few
		case <-over:
			e.app.Feed(ctx, n)
			return
		case <-ctx.Done():
			return
		}
	}
}

func notes(ended []string, broken int64) string {
	text := ""
	if broken > 0 {
		text += fmt.Sprintf(" | %d requests broken", broken)
	}
	if len(ended) > 0 {
		text += " | ended by themselves: " + strings.Join(ended, ", ")
	}
	return text
}

// end stops the application and compares its stores as well, but for those of
// instances that have been removed, which are behind.
func (e *epoch) end(ctx context.Context, o *options, first int) error {
	if err := e.stopAtRest(ctx, o); err != nil {
		return err
	}
	if e.regrows(o, first) {
		fmt.Printf("application %s: the cluster is put back, and the changelog grows again past the stores\n", e.app.Name)
		if err := e.regrow(ctx, o); err != nil {
			return err
		}
		e.sum.fault("cut and regrow the changelog")
	}
	limit, cancel := context.WithTimeout(ctx, o.patience)
	defer cancel()
	var dirs []string
	for _, n := range e.members {
		if dir := e.app.Config(n).StateDir(); !e.damaged[n] {
			dirs = append(dirs, dir)
		}
	}
	report, err := e.app.AuditAll(limit, dirs...)
	fmt.Printf("application %s stopped, what %d stores have of it compared as well: %s\n", e.app.Name, len(dirs), report)
	if err == nil && !o.keep {
		err = e.app.Remove(limit)
	}
	return err
}
