package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/integration/faults"
	"handprint/integration/instance"
	"handprint/integration/wireproxy"
)

// kind is a kind of fault: plan decides what exactly, from random numbers only,
// and target is the instance or broker that is hit.
type kind struct {
	name   string
	weight int
	on     target
	plan   func(*rand.Rand) fault
}

type target int

const (
	onInstance target = iota
	onBroker
	onWire
)

// fault is one that is planned: what says it, and do does it and heals it, but
// for instances that have ended, which the round starts again.
type fault struct {
	what string
	do   func(ctx context.Context, e *epoch, target int) error
}

// kinds are all there are. Weights make those that take long rarer.
var kinds = []kind{
	{"kill instance", 4, onInstance, func(r *rand.Rand) fault {
		down := between(r, 0, 1500)
		if r.IntN(4) == 0 { // others take its tasks over
			down += instance.SessionTimeout
		}
		return fault{fmt.Sprintf("for %v", down), func(ctx context.Context, e *epoch, n int) error {
			e.app.Instance(n).Kill()
			return restart(ctx, e, n, down)
		}}
	}},
	{"crash instance", 8, onInstance, func(r *rand.Rand) fault {
		points := faults.Points()
		point, batch := points[r.IntN(len(points))], 1+r.IntN(8)
		return fault{fmt.Sprintf("%s of batch %d", point, batch), func(ctx context.Context, e *epoch, n int) error {
			return crash(ctx, e, n, point, batch)
		}}
	}},
	{"stop instance", 3, onInstance, func(r *rand.Rand) fault {
		down := between(r, 0, 1500)
		return fault{fmt.Sprintf("cleanly, for %v", down), func(ctx context.Context, e *epoch, n int) error {
			if err := e.stop(ctx, n); err != nil {
				return err
			}
			return restart(ctx, e, n, down)
		}}
	}},
	{"stall instance", 2, onInstance, func(r *rand.Rand) fault {
		stalled := between(r, 500, 2500)
		if r.IntN(3) == 0 {
			stalled = instance.SessionTimeout + between(r, 500, 1500)
		}
		return fault{fmt.Sprintf("for %v", stalled), func(ctx context.Context, e *epoch, n int) error {
			i := e.app.Instance(n)
			if err := i.Pause(); err != nil {
				return err
			}
			wait(ctx, stalled)
			return i.Resume()
		}}
	}},
	{"lose state", 2, onInstance, func(*rand.Rand) fault {
		return fault{"kill it and delete its state", func(ctx context.Context, e *epoch, n int) error {
			e.app.Instance(n).Kill()
			if err := e.app.Forget(n); err != nil {
				return err
			}
			return restart(ctx, e, n, 0)
		}}
	}},
	{"damage state", 2, onInstance, func(r *rand.Rand) fault {
		how, seed := damages[r.IntN(len(damages))], r.Uint64()
		return fault{"kill it and " + how.name, func(ctx context.Context, e *epoch, n int) error {
			e.app.Instance(n).Kill()
			e.damage(n)
			err := how.do(e.app.StoreFiles(n), rand.New(rand.NewPCG(seed, 0)))
			if _, left := err.(leftOut); err != nil && !left {
				return err
			}
			return cmp.Or(restart(ctx, e, n, 0), err)
		}}
	}},
	{"fill disk", 1, onInstance, func(r *rand.Rand) fault {
		full := between(r, 300, 1500)
		return fault{fmt.Sprintf("for %v", full), func(ctx context.Context, e *epoch, n int) error {
			i := e.app.Instance(n)
			if i.Config.Binary != e.app.Lab.Binaries.Faulty {
				return plainBinary
			}
			if err := i.Tell(faults.DiskLine(true)); err != nil {
				return err
			}
			e.excuse(n)
			e.filled(n)
			wait(ctx, full)
			if i.Running() {
				return i.Tell(faults.DiskLine(false))
			}
			return restart(ctx, e, n, 0)
		}}
	}},
	{"kill broker", 2, onBroker, func(r *rand.Rand) fault {
		down := between(r, 0, 2000)
		return fault{fmt.Sprintf("for %v", down), func(ctx context.Context, e *epoch, n int) error {
			if err := e.app.Lab.Cluster.Kill(ctx, n); err != nil {
				return err
			}
			wait(ctx, down)
			return e.app.Lab.Cluster.Start(ctx, n)
		}}
	}},
	{"restart broker", 1, onBroker, func(*rand.Rand) fault {
		return fault{"cleanly", func(ctx context.Context, e *epoch, n int) error {
			if err := e.app.Lab.Cluster.Stop(ctx, n); err != nil {
				return err
			}
			return e.app.Lab.Cluster.Start(ctx, n)
		}}
	}},
	{"pause broker", 2, onBroker, func(r *rand.Rand) fault {
		paused := between(r, 500, 5000)
		return fault{fmt.Sprintf("for %v", paused), func(ctx context.Context, e *epoch, n int) error {
			if err := e.app.Lab.Cluster.Pause(ctx, n); err != nil {
				return err
			}
			wait(ctx, paused)
			return e.app.Lab.Cluster.Resume(context.WithoutCancel(ctx), n)
		}}
	}},
	{"cut off broker", 2, onWire, func(r *rand.Rand) fault {
		broker, off := r.IntN(3), between(r, 300, 2500)
		return fault{fmt.Sprintf("%d for %v", broker+1, off), func(ctx context.Context, e *epoch, _ int) error {
			p := e.app.Lab.Proxies[broker]
			p.Shut()
			wait(ctx, off)
			p.Open()
			return nil
		}}
	}},
	{"break requests", 8, onWire, func(r *rand.Rand) fault {
		rules := []wireproxy.Rule{wireRule(r)}
		if r.IntN(3) == 0 {
			rules = append(rules, wireRule(r))
		}
		var what []string
		for _, rule := range rules {
			what = append(what, ruleText(rule))
		}
		held := between(r, 1000, 2500)
		return fault{strings.Join(what, ", "), func(ctx context.Context, e *epoch, _ int) error {
			e.app.Lab.Rules(rules...)
			wait(ctx, held)
			e.broke(e.app.Lab.ClearRules())
			return nil
		}}
	}},
}

// wireKeys are the requests that are broken, with errors that a broker may
// give in their answers.
var wireKeys = []struct {
	key    kmsg.Key
	errors []*kerr.Error
}{
	{kmsg.Produce, []*kerr.Error{kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend}},
	{kmsg.Fetch, []*kerr.Error{kerr.NotLeaderForPartition, kerr.FencedLeaderEpoch, kerr.UnknownServerError}},
	{kmsg.AddOffsetsToTxn, []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.ConcurrentTransactions}},
	{kmsg.TxnOffsetCommit, []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.RequestTimedOut}},
	{kmsg.EndTxn, []*kerr.Error{kerr.RequestTimedOut, kerr.UnknownServerError, kerr.NotCoordinator, kerr.CoordinatorNotAvailable}},
	{kmsg.InitProducerID, []*kerr.Error{kerr.ConcurrentTransactions, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress}},
	{kmsg.JoinGroup, []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.UnknownMemberID}},
	{kmsg.SyncGroup, []*kerr.Error{kerr.NotCoordinator, kerr.RebalanceInProgress}},
	{kmsg.Heartbeat, []*kerr.Error{kerr.NotCoordinator, kerr.RebalanceInProgress, kerr.UnknownMemberID, kerr.IllegalGeneration}},
	{kmsg.OffsetFetch, []*kerr.Error{kerr.NotCoordinator, kerr.UnstableOffsetCommit}},
	{kmsg.Metadata, []*kerr.Error{kerr.LeaderNotAvailable}},
	{kmsg.FindCoordinator, []*kerr.Error{kerr.CoordinatorNotAvailable}},
	{kmsg.ListOffsets, []*kerr.Error{kerr.NotLeaderForPartition}},
}

// wireActions leaves out the one that holds a client up for its longest
// timeout; a fault test has it.
var wireActions = []wireproxy.Action{
	wireproxy.Refuse, wireproxy.Deny, wireproxy.CutRequest, wireproxy.CutAnswer, wireproxy.Delay, wireproxy.Duplicate,
}

func wireRule(r *rand.Rand) wireproxy.Rule {
	k := wireKeys[r.IntN(len(wireKeys))]
	return wireproxy.Rule{
		Key: k.key, Action: wireActions[r.IntN(len(wireActions))], Error: k.errors[r.IntN(len(k.errors))],
		Skip: r.IntN(3), Times: 1 + r.IntN(4), Wait: between(r, 20, 700),
	}
}

func ruleText(r wireproxy.Rule) string {
	text := fmt.Sprintf("%s of %d %s", r.Action, r.Times, r.Key.Name())
	switch r.Action {
	case wireproxy.Refuse, wireproxy.Deny:
		text += " with " + r.Error.Message
	case wireproxy.Delay:
		text += fmt.Sprint(" by ", r.Wait)
	}
	return text
}

// damages are ways to damage a store. None of them leaves a store that is whole
// and wrong: a log of writes that is cut off is an earlier state, and everything
// else fails a checksum.
var damages = []struct {
	name string
	do   func(files []string, r *rand.Rand) error
}{
	{"cut off its log", func(files []string, r *rand.Rand) error {
		return onFile(files, ".log", true, func(name string, size int64) error { return os.Truncate(name, size*int64(r.IntN(100))/100) })
	}},
	{"cut off a table", func(files []string, r *rand.Rand) error {
		return onFile(files, ".sst", false, func(name string, size int64) error { return os.Truncate(name, size*int64(r.IntN(100))/100) })
	}},
	{"change a byte of a table", func(files []string, r *rand.Rand) error {
		return onFile(files, ".sst", false, func(name string, size int64) error { return flip(name, r.Int64N(max(1, size))) })
	}},
	{"remove a table", func(files []string, r *rand.Rand) error {
		return onFile(files, ".sst", false, func(name string, _ int64) error { return os.Remove(name) })
	}},
	{"cut off its format", func(files []string, r *rand.Rand) error {
		return onFile(files, "FORMAT", false, func(name string, size int64) error { return os.Truncate(name, size/2) })
	}},
}

// onFile does something with the first or last file of a kind, if there is one.
func onFile(files []string, suffix string, last bool, do func(string, int64) error) error {
	var found string
	for _, f := range files {
		if strings.HasSuffix(filepath.Base(f), suffix) && (last || found == "") {
			found = f
		}
	}
	if found == "" {
		return leftOut("the store has no such file yet")
	}
	info, err := os.Stat(found)
	if err != nil {
		return err
	}
	return do(found, info.Size())
}

func flip(name string, at int64) error {
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	b := make([]byte, 1)
	if _, err := file.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 0x55
	_, err = file.WriteAt(b, at)
	return err
}

func restart(ctx context.Context, e *epoch, n int, down time.Duration) error {
	wait(ctx, down)
	return e.start(n)
}

// crash lets an instance die at a point. If it does not come there in time, or
// cannot, it is killed as it is.
func crash(ctx context.Context, e *epoch, n int, point string, batch int) error {
	i := e.app.Instance(n)
	left := plainBinary + ", killed"
	if i.Config.Binary == e.app.Lab.Binaries.Faulty {
		if err := i.Tell(faults.CrashLine(point, batch)); err != nil {
			return err
		}
		const patience = 3 * time.Second
		late := time.NewTimer(patience)
		defer late.Stop()
		left = "it did not come there, killed"
		select {
		case <-i.Ended():
			if i.Killed() {
				left = ""
				e.crashed(point)
			}
		case <-late.C:
		case <-ctx.Done():
		}
	}
	i.Kill()
	if err := e.start(n); err != nil || left == "" {
		return err
	}
	return left
}

// plainBinary is why an instance has no fault of its own: it is the binary that
// is released.
const plainBinary leftOut = "the released binary"

func between(r *rand.Rand, lo, hi int) time.Duration {
	return time.Duration(lo+r.IntN(hi-lo+1)) * time.Millisecond
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
