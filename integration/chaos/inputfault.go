package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"handprint/integration/instance"
	"handprint/internal/faults"
)

// maxUnpacked is max-batch-unpacked of the applications: bombs are small.
const maxUnpacked = 1 << 20

// kindsOfInput are the faults of what an application finds on the brokers, and of
// the time that it has.
var kindsOfInput = []kind{
	{"delete group", 3, onGroup, func(r *rand.Rand) fault {
		kill, down := r.IntN(2) == 0, between(r, 0, 1000)
		return fault{fmt.Sprintf("with all instances %s for %v", ending(kill), down), func(ctx context.Context, e *epoch, _ int) error {
			return e.whileDown(ctx, kill, down, func() error { return e.app.DeleteGroup(ctx) })
		}}
	}},
	{"move group", 3, onGroup, func(r *rand.Rand) fault {
		seed := r.Uint64()
		random := func() *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
		if r.IntN(2) == 0 {
			return fault{"while it runs", func(ctx context.Context, e *epoch, _ int) error {
				return unlessBusy(e.app.MoveGroup(ctx, random(), true))
			}}
		}
		kill, down := r.IntN(2) == 0, between(r, 0, 1000)
		return fault{fmt.Sprintf("with all instances %s for %v", ending(kill), down), func(ctx context.Context, e *epoch, _ int) error {
			return e.whileDown(ctx, kill, down, func() error { return e.app.MoveGroup(ctx, random(), false) })
		}}
	}},
	{"truncate input", 3, onInput, func(r *rand.Rand) fault {
		seed := r.Uint64()
		return fault{"while it runs", func(ctx context.Context, e *epoch, _ int) error { return e.truncate(ctx, seed, true) }}
	}},
	{"truncate unread input", 3, onGroup, func(r *rand.Rand) fault {
		kill, down, seed := r.IntN(2) == 0, between(r, 200, 1500), r.Uint64()
		return fault{fmt.Sprintf("with all instances %s for %v", ending(kill), down), func(ctx context.Context, e *epoch, _ int) error {
			return e.whileDown(ctx, kill, down, func() error { return e.truncate(ctx, seed, false) })
		}}
	}},
	{"truncate commands", 2, onInput, func(*rand.Rand) fault {
		return fault{"up to what was read", func(ctx context.Context, e *epoch, _ int) error {
			return unlessBusy(e.app.TruncateCommands(ctx))
		}}
	}},
	{"open transaction", 3, onInput, func(r *rand.Rand) fault {
		n, open, commit := 1+r.IntN(200), between(r, 200, 5000), r.IntN(2) == 0
		how := map[bool]string{true: "committed", false: "aborted"}[commit]
		return fault{fmt.Sprintf("of a sensor, %d observations, %s after %v", n, how, open), func(ctx context.Context, e *epoch, _ int) error {
			end, err := e.app.OpenTransaction(ctx, n)
			if err != nil {
				return unlessBusy(err)
			}
			wait(ctx, open)
			return unlessBusy(end(context.WithoutCancel(ctx), commit))
		}}
	}},
	{"send bomb", 2, onInput, func(r *rand.Rand) fault {
		topic, records, partition := r.IntN(4), 1+r.IntN(20), r.IntN(1<<20)
		return fault{fmt.Sprintf("of %d records", records), func(ctx context.Context, e *epoch, _ int) error {
			name, p := e.app.Names.Observations, int32(partition%e.app.Partitions)
			if topic == 0 {
				name, p = e.app.Names.IdentityEvents, 0
			}
			return unlessBusy(e.app.Bomb(ctx, name, p, records, maxUnpacked))
		}}
	}},
	{"slow records", 3, onFaulty, func(r *rand.Rand) fault {
		n := 5 + r.IntN(40)
		return fault{fmt.Sprintf("%d of 100 ms", n), func(ctx context.Context, e *epoch, i int) error {
			if !e.runs(ctx, i) || e.app.Instance(i).Tell(faults.SlowLine(100*time.Millisecond, n)) != nil {
				return leftOut("it does not run")
			}
			return nil
		}}
	}},
	{"half the CPU", 3, onInstance, func(r *rand.Rand) fault {
		lasts := between(r, 1000, 4000)
		return fault{fmt.Sprintf("for %v", lasts), func(ctx context.Context, e *epoch, n int) error {
			const share = 40 * time.Millisecond
			if !e.runs(ctx, n) {
				return leftOut("it does not run")
			}
			i := e.app.Instance(n)
			for began := time.Now(); time.Since(began) < lasts && ctx.Err() == nil; {
				if err := pause(i); err != nil {
					return err
				}
				wait(ctx, share)
				if err := i.Resume(); err != nil {
					return err
				}
				wait(ctx, share)
			}
			return nil
		}}
	}},
}

// runs waits a while for an instance that another fault has ended, and reports
// whether it runs.
func (e *epoch) runs(ctx context.Context, n int) bool {
	patience, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for !e.app.Instance(n).Running() {
		if wait(patience, 100*time.Millisecond); patience.Err() != nil {
			return false
		}
	}
	return true
}

func ending(kill bool) string {
	if kill {
		return "killed"
	}
	return "stopped"
}

// pause stops a process, unless it has ended.
func pause(i *instance.Instance) error {
	err := i.Pause()
	if errors.Is(err, os.ErrProcessDone) {
		return leftOut("it does not run")
	}
	return err
}

// unlessBusy makes an answer of a broker that cannot do it now, because it is hurt
// as well, a fault that was left out.
func unlessBusy(err error) error {
	var answer *kerr.Error
	if err == nil || errors.As(err, &answer) && !answer.Retriable && !errors.Is(err, kerr.ConcurrentTransactions) {
		return err
	}
	return leftOut("the brokers could not: " + err.Error())
}

// whileDown does something while no instance runs.
func (e *epoch) whileDown(ctx context.Context, kill bool, down time.Duration, do func() error) error {
	e.down.Lock() // nobody starts one
	err := e.endAll(ctx, kill)
	if err == nil {
		wait(ctx, down)
		err = e.whenEmpty(ctx, do)
	}
	e.down.Unlock()
	for _, n := range e.members {
		if started := e.start(n); err == nil {
			err = started
		}
	}
	return err
}

func (e *epoch) endAll(ctx context.Context, kill bool) error {
	if !kill {
		if err := e.stopAll(ctx); err != nil {
			killed := func(n int) bool { i := e.app.Instance(n); return !i.Running() && i.Killed() }
			if !slices.ContainsFunc(e.members, killed) { // another fault's
				return err
			}
		}
	}
	for _, n := range e.members {
		e.app.Instance(n).Kill()
	}
	return nil
}

// whenEmpty does something as soon as the group has no member: the group waits for
// the session of one that was killed.
func (e *epoch) whenEmpty(ctx context.Context, do func() error) error {
	patience, cancel := context.WithTimeout(ctx, 3*instance.SessionTimeout)
	defer cancel()
	for {
		err := do()
		switch {
		case errors.Is(err, kerr.GroupIDNotFound):
			return leftOut("there is no group")
		case !errors.Is(err, kerr.NonEmptyGroup) && !errors.Is(err, kerr.UnknownMemberID):
			return unlessBusy(err)
		}
		wait(patience, 200*time.Millisecond)
		if patience.Err() != nil {
			return leftOut("the group has members: " + err.Error())
		}
	}
}

// truncate deletes the beginning of the input.
func (e *epoch) truncate(ctx context.Context, seed uint64, running bool) error {
	_, err := e.app.TruncateInput(ctx, rand.New(rand.NewPCG(seed, 0)), running)
	return unlessBusy(err)
}
