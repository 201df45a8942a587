//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"handprint/integration/lab"
	"handprint/integration/traffic"
	"handprint/internal/faults"
)

// shared is the lab of all tests. The first that needs it opens it.
var shared struct {
	sync.Mutex
	lab  *lab.Lab
	dir  string
	apps int
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.lab != nil {
		if err := shared.lab.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		if code == 0 {
			_ = os.RemoveAll(shared.dir) // a temporary folder
		} else {
			fmt.Fprintln(os.Stderr, "states and logs are kept in", shared.dir)
		}
	}
	os.Exit(code)
}

// patience bounds every wait of a test; none is expected to come near it. A
// whole test has many of them, one after each of its faults.
const (
	patience = 3 * time.Minute
	lifetime = 25 * time.Minute
)

// openLab returns the lab.
func openLab(t *testing.T) *lab.Lab {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.lab == nil {
		dir, err := os.MkdirTemp("", "handprint-integration-")
		if err != nil {
			t.Fatal(err)
		}
		if shared.lab, err = lab.Open(context.Background(), lab.Options{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		shared.dir = dir
	}
	return shared.lab
}

// brokersOurs ends a test that hurts brokers, or what goes to them, where they
// are somebody else's.
func brokersOurs(t *testing.T) *lab.Lab {
	t.Helper()
	l := openLab(t)
	if !l.Cluster.Ours() {
		t.Skip("not run on brokers of somebody else: make integration HANDPRINT_CLUSTER=docker (or process) runs it")
	}
	return l
}

// trial is an application in a test.
type trial struct {
	*lab.App
	t   *testing.T
	ctx context.Context
}

// newTrial creates an application. Its instances log fast sweeps, and have small
// batches so that there are many transactions.
func newTrial(t *testing.T, partitions int, flags ...string) *trial {
	t.Helper()
	l := openLab(t)
	shared.Lock()
	shared.apps++
	name := fmt.Sprintf("test-%d-%d", os.Getpid(), shared.apps)
	seed := uint64(shared.apps)
	shared.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), lifetime)
	t.Cleanup(cancel)
	flags = append([]string{
		"--sweep-interval", "3s", "--transaction-timeout", "5s", "--connect-timeout", "60s", "--batch-records", "100",
	}, flags...)
	app, err := l.NewApp(ctx, lab.AppOptions{Name: name, Partitions: partitions, Flags: flags, Traffic: traffic.Config{Seed: seed, Attackers: 80}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	return &trial{app, t, ctx}
}

// run starts an instance.
func (a *trial) run(n int) {
	a.t.Helper()
	if _, err := a.Start(n); err != nil {
		a.t.Fatal(err)
	}
}

// tell writes a line of package faults to an instance.
func (a *trial) tell(n int, line string) {
	a.t.Helper()
	if err := a.Instance(n).Tell(line); err != nil {
		a.t.Fatal(err)
	}
}

// feed puts in n records and waits until they are written, not processed.
func (a *trial) feed(n int) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	a.Feed(a.ctx, n)
	if err := a.Client.Flush(ctx); err != nil {
		a.t.Fatal(err)
	}
}

// rest waits until there is nothing left to do, nor to suspect.
func (a *trial) rest() {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	if err := a.Sweep(ctx); err != nil {
		a.t.Fatal(err)
	}
}

// audit waits for rest, and finds no difference in what was published.
func (a *trial) audit() {
	a.t.Helper()
	a.rest()
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	checked, err := a.Audit(ctx)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Log(checked)
	if checked.Observations == 0 {
		a.t.Error("the audit had nothing new to look at")
	}
}

// finish waits for rest, stops the instances and audits everything, the stores
// with it, except those of the instances named.
func (a *trial) finish(except ...int) {
	a.t.Helper()
	a.rest()
	if err := a.StopAll(a.ctx); err != nil {
		a.t.Error(err)
	}
	var dirs []string
	for _, dir := range a.StateDirs() {
		keep := true
		for _, n := range except {
			keep = keep && dir != a.Config(n).StateDir()
		}
		if keep {
			dirs = append(dirs, dir)
		}
	}
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	checked, err := a.AuditAll(ctx, dirs...)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Log(checked)
	if checked.Observations == 0 || checked.Rows == 0 || checked.Exact+checked.Chained == 0 {
		a.t.Error("the audit had nothing to look at")
	}
	if len(dirs) > 0 && checked.Stored == 0 {
		a.t.Errorf("nothing of the stores in %q was compared", dirs)
	}
}

// awaitDeath waits until an instance has ended.
func (a *trial) awaitDeath(n int) {
	a.t.Helper()
	i := a.Instance(n)
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	select {
	case <-i.Ended():
	case <-ctx.Done():
		a.t.Fatalf("instance %d has not ended; see %s", n, i.Config.LogFile())
	}
}

// log is what an instance has logged, in all its starts.
func (a *trial) log(n int) string {
	a.t.Helper()
	log, err := os.ReadFile(a.Config(n).LogFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		a.t.Fatal(err)
	}
	return string(log)
}

// logged waits until an instance's log has text in it.
func (a *trial) logged(n int, text string) {
	a.t.Helper()
	a.await(func() bool { return strings.Contains(a.log(n), text) }, "instance %d never logged %q; see %s", n, text, a.Config(n).LogFile())
}

// await waits until something is so. If it never is, the test ends and says what
// is missing.
func (a *trial) await(so func() bool, missing string, args ...any) {
	a.t.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	for !so() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			a.t.Fatalf(missing, args...)
		}
	}
}

// feedUntilEnd puts in records, n in each d, until an instance has ended.
func (a *trial) feedUntilEnd(instance, n int, d time.Duration) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	for i := a.Instance(instance); i.Running(); {
		if ctx.Err() != nil {
			a.t.Fatalf("instance %d has not ended; see %s", instance, i.Config.LogFile())
		}
		a.FeedFor(a.ctx, n, d)
	}
}

// crashAt lets an instance die at a point while there is input, and starts it
// again.
func (a *trial) crashAt(n int, point string, batch int) {
	a.t.Helper()
	a.tell(n, faults.CrashLine(point, batch))
	a.feedUntilEnd(n, 100, 300*time.Millisecond)
	if i := a.Instance(n); !i.Killed() {
		a.t.Fatalf("instance %d ended otherwise than by the crash %s; see %s", n, point, i.Config.LogFile())
	}
	a.run(n)
}
