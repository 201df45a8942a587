package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"handprint/integration/lab"
	"handprint/integration/traffic"
)

// epoch is the life of one application, some rounds long.
type epoch struct {
	app       *lab.App
	rnd       *rand.Rand // of the choice between the binaries, at each start
	instances int
	sum       *summary

	mu      sync.Mutex
	damaged map[int]bool // stores that hold what nobody may have read yet
	full    map[int]bool // instances whose disk was; a store writes seconds after a commit, and says so then
	excused map[int]bool // instances that may end by themselves this round
	broken  int64        // requests that the proxies have broken this round
	points  []string     // at which instances died this round
}

// runEpoch runs the rounds from first to last with an application of their own.
// If it fails it returns the round that did.
func runEpoch(ctx context.Context, l *lab.Lab, o *options, first, last int, sum *summary) (round int, err error) {
	r := source(o.seed, -first)
	e := &epoch{rnd: r, instances: 2 + r.IntN(3), sum: sum, damaged: make(map[int]bool), full: make(map[int]bool)}
	partitions := []int{1, 3, 4, 6}[r.IntN(4)]
	name := fmt.Sprintf("%schaos-%d-%d", o.prefix, o.seed, first)
	e.app, err = l.NewApp(ctx, lab.AppOptions{
		Name: name, Partitions: partitions, Traffic: traffic.Config{Seed: r.Uint64(), Attackers: 50 + r.IntN(300)},
		Flags: []string{
			"--threads", fmt.Sprint(1 + r.IntN(2)), "--sweep-interval", "5s", "--transaction-timeout", "5s",
			"--batch-records", fmt.Sprint([]int{50, 500, 10_000}[r.IntN(3)]), "--connect-timeout", "60s",
		},
	})
	if err != nil {
		return first, err
	}
	defer e.app.Close()
	for n := range e.instances {
		if err := e.start(n); err != nil {
			return first, err
		}
	}
	fmt.Printf("application %s: %d instances, %d partitions\n", name, e.instances, partitions)
	for round := first; round <= last; round++ {
		if err := e.round(ctx, o, round); err != nil {
			return round, err
		}
		sum.rounds++
	}
	return last, e.end(ctx, o)
}

// start starts an instance: now and then the binary that is released, else the
// one with faults.
func (e *epoch) start(n int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.full, n)
	c := e.app.Config(n)
	if e.rnd.IntN(4) == 0 {
		c.Binary = e.app.Lab.Binaries.Plain
	}
	_, err := e.app.StartAs(c, n)
	return err
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
	errs := make([]error, e.instances)
	for n := range e.instances {
		stopping.Go(func() { errs[n] = e.stop(ctx, n) })
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

// planned is a fault and when and whom it hits.
type planned struct {
	kind   *kind
	fault  fault
	target int
	after  time.Duration
	left   leftOut // why it was not done after all
}

// leftOut is why a fault could not be done as planned.
type leftOut string

// Error returns the reason.
func (l leftOut) Error() string { return string(l) }

func (p *planned) String() string {
	text := p.kind.name
	if p.kind.on != onWire {
		text += fmt.Sprint(" ", p.target+1)
	}
	text += " " + p.fault.what
	if p.left != "" {
		text += " (not done: " + string(p.left) + ")"
	}
	return text
}

// possible are the kinds of faults whose names begin with only; those of
// brokers are possible where the brokers are ours.
func possible(only string, ours bool) []kind {
	var list []kind
	for _, k := range kinds {
		if strings.HasPrefix(k.name, only) && (ours || k.on == onInstance) {
			list = append(list, k)
		}
	}
	return list
}

// plan draws the faults of a round: one to three, of which no two hit the same
// instance, one at most the brokers, and one the wire. Now and then two brokers
// are hit, and with them the majority.
func plan(r *rand.Rand, kinds []kind, instances, brokers int, load time.Duration) []planned {
	var list []planned
	hit := make(map[target][]int)
	limit := map[target]int{onInstance: instances, onBroker: 1, onWire: 1}
	if r.IntN(12) == 0 {
		limit[onBroker] = 2
	}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	for want, tries := 1+r.IntN(3), 0; total > 0 && len(list) < want && tries < 20; tries++ {
		n := r.IntN(total)
		var k *kind
		for i := range kinds {
			if k = &kinds[i]; n < k.weight {
				break
			}
			n -= k.weight
		}
		p := planned{kind: k, fault: k.plan(r), after: time.Duration(r.Int64N(int64(load*2/3) + 1))}
		if len(hit[k.on]) >= limit[k.on] {
			continue
		}
		among := instances
		if k.on == onBroker {
			among = brokers
		}
		for p.target = r.IntN(among); contains(hit[k.on], p.target); {
			p.target = (p.target + 1) % among
		}
		hit[k.on] = append(hit[k.on], p.target)
		list = append(list, p)
	}
	return list
}

func contains(list []int, n int) bool {
	for _, have := range list {
		if have == n {
			return true
		}
	}
	return false
}

// round feeds the application while faults happen, heals, waits for rest and
// audits.
func (e *epoch) round(ctx context.Context, o *options, round int) error {
	began := time.Now()
	e.excused, e.broken, e.points = make(map[int]bool), 0, nil
	r := source(o.seed, round)
	faults := plan(r, possible(o.only, e.app.Lab.Cluster.Ours()), e.instances, e.app.Lab.Cluster.Size(), o.load)
	var done sync.WaitGroup
	errs := make([]error, len(faults))
	for i := range faults {
		f := &faults[i]
		done.Go(func() {
			wait(ctx, f.after)
			if ctx.Err() == nil {
				err := f.fault.do(ctx, e, f.target)
				if f.left, _ = err.(leftOut); err != nil && f.left == "" {
					errs[i] = fmt.Errorf("%s: %w", f, err)
				}
			}
		})
	}
	e.app.FeedFor(ctx, o.records, o.load)
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

func texts(faults []planned) string {
	var list []string
	for i := range faults {
		list = append(list, faults[i].String())
	}
	return strings.Join(list, "; ")
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

// heal makes everything run again. It returns which instances have ended by
// themselves.
func (e *epoch) heal(ctx context.Context) (ended []string, err error) {
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := e.app.Lab.Heal(limit); err != nil {
		return nil, err
	}
	return e.revive()
}

// revive starts the instances that have ended.
func (e *epoch) revive() (ended []string, err error) {
	for n := range e.instances {
		i := e.app.Instance(n)
		if i.Running() {
			continue
		}
		e.mu.Lock()
		excused := e.excused[n]
		e.mu.Unlock()
		if !excused {
			ended = append(ended, fmt.Sprintf("instance %d, exit code %d: %s", n+1, i.ExitCode(), lastLine(i.Config.LogFile())))
		}
		if err := e.start(n); err != nil {
			return ended, err
		}
	}
	return ended, nil
}

// restart starts instances that end while the application comes to rest, as the
// supervisor of an operator would. The function that it returns ends that, and
// tells which.
func (e *epoch) restart(ctx context.Context) func() []string {
	ctx, cancel := context.WithCancel(ctx)
	var ended []string
	var done sync.WaitGroup
	done.Go(func() {
		look := time.NewTicker(500 * time.Millisecond)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				again, err := e.revive()
				ended = append(ended, again...)
				if err != nil {
					ended = append(ended, err.Error())
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return func() []string {
		cancel()
		done.Wait()
		return ended
	}
}

func lastLine(name string) string {
	text, _ := os.ReadFile(name)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// stopAtRest stops the application with nothing left to read. A tick may have
// been written at the last moment: then it is started once more.
func (e *epoch) stopAtRest(ctx context.Context, o *options) error {
	for {
		if err := e.stopAll(ctx); err != nil {
			return err
		}
		limit, cancel := context.WithTimeout(ctx, leftOver)
		err := e.app.Rest(limit)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if _, err := e.app.Start(0); err != nil {
			return err
		}
		limit, cancel = context.WithTimeout(ctx, o.patience)
		err = e.app.Rest(limit)
		cancel()
		if err != nil {
			return err
		}
	}
}

// leftOver is how long a stopped application may have something left to read
// before that is taken to stay so.
const leftOver = 3 * time.Second

// end stops the application and compares its stores as well.
func (e *epoch) end(ctx context.Context, o *options) error {
	if err := e.stopAtRest(ctx, o); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, o.patience)
	defer cancel()
	var dirs []string
	for n := range e.instances {
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
