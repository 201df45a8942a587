package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/integration/cluster"
	"handprint/integration/instance"
	"handprint/integration/wireproxy"
	"handprint/internal/faults"
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
	onFaulty          // an instance with faults built in, and with tasks if there is such a one
	onLeaving         // an instance that is not the only one
	onAbsent          // an instance that is not there yet
	onBroker
	onBrokers // several, which the fault names
	onWire
	onGroup // all instances at once, and their group
	onInput // what is in the topics that the application reads
)

// instance reports whether it is one, and not the brokers or what goes to them.
func (t target) instance() bool { return t < onBroker }

// once names what a round hits at most once; empty for what it may hit again.
func (t target) once() string {
	switch t {
	case onLeaving, onAbsent, onGroup:
		return "group"
	case onInput:
		return "input"
	case onBroker, onBrokers:
		return "brokers"
	case onWire:
		return "wire"
	}
	return ""
}

// fault is one that is planned: what says it, and do does it and heals it, but
// for instances that have ended, which the round starts again.
type fault struct {
	what string
	do   func(ctx context.Context, e *epoch, target int) error
}

// kinds are all there are. Weights make the slow ones rarer.
var kinds = append(kindsOfProcesses, kindsOfInput...)

var kindsOfProcesses = []kind{
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
	{"crash instance", 8, onFaulty, func(r *rand.Rand) fault {
		points := faults.Points()
		point, count := points[r.IntN(len(points))], 1+r.IntN(8)
		return fault{fmt.Sprintf("%s number %d", point, count), func(ctx context.Context, e *epoch, n int) error {
			return crash(ctx, e, n, point, count)
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
	{"add instance", 2, onAbsent, func(*rand.Rand) fault {
		return fault{"to the others", func(_ context.Context, e *epoch, n int) error { return e.add(n) }}
	}},
	{"remove instance", 2, onLeaving, func(r *rand.Rand) fault {
		if r.IntN(3) == 0 {
			return fault{"for good, by kill", func(_ context.Context, e *epoch, n int) error {
				e.app.Instance(n).Kill()
				e.remove(n)
				return nil
			}}
		}
		return fault{"for good, cleanly", func(ctx context.Context, e *epoch, n int) error {
			e.remove(n)
			return e.stop(ctx, n)
		}}
	}},
	{"stall instance", 2, onInstance, func(r *rand.Rand) fault {
		stalled := between(r, 500, 2500)
		if r.IntN(3) == 0 {
			stalled = instance.SessionTimeout + between(r, 500, 1500)
		}
		return fault{fmt.Sprintf("for %v", stalled), func(ctx context.Context, e *epoch, n int) error {
			i := e.app.Instance(n)
			if err := pause(i); err != nil {
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
			if left := leftOut(""); err != nil && !errors.As(err, &left) {
				return err
			}
			return cmp.Or(restart(ctx, e, n, 0), err)
		}}
	}},
	{"fill disk", 1, onFaulty, func(r *rand.Rand) fault {
		full := between(r, 300, 1500)
		return fault{fmt.Sprintf("for %v", full), func(ctx context.Context, e *epoch, n int) error {
			i := e.app.Instance(n)
			_ = i.Tell(faults.DiskLine(true)) // fails only if it has ended
			e.excuse(n)
			e.filled(n)
			wait(ctx, full)
			if i.Tell(faults.DiskLine(false)) == nil {
				return nil
			}
			<-i.Ended()
			return e.startAgain(n)
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
	{"lose majority", 1, onBrokers, func(r *rand.Rand) fault {
		stays, down := r.IntN(3), between(r, 500, 4000)
		how, end, again := "killed", (*cluster.Cluster).Kill, (*cluster.Cluster).Start
		if r.IntN(3) == 0 {
			how, end, again = "paused", (*cluster.Cluster).Pause, (*cluster.Cluster).Resume
		}
		return fault{fmt.Sprintf("all brokers but %d %s for %v", stays+1, how, down), func(ctx context.Context, e *epoch, _ int) error {
			each := func(do func(*cluster.Cluster, context.Context, int) error) (err error) {
				for b := range e.app.Lab.Cluster.Size() {
					if b != stays {
						err = cmp.Or(err, do(e.app.Lab.Cluster, context.WithoutCancel(ctx), b))
					}
				}
				return err
			}
			if err := each(end); err != nil {
				return err
			}
			wait(ctx, down)
			return each(again)
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

// How long an instance may take to come to the point at which it is to die: a
// step of a transaction, or a write or sync of its store, which are rare while
// it works.
const (
	stepPatience  = 5 * time.Second
	storePatience = 1500 * time.Millisecond
)

// crash lets an instance die at a point, when it comes there for the count-th
// time, and starts it again. One that does not come to it is killed as it is.
func crash(ctx context.Context, e *epoch, n int, point string, count int) error {
	patience, inStore := stepPatience, point == faults.StoreWrite || point == faults.StoreSync
	if inStore {
		patience = storePatience
	}
	died, when := dies(ctx, e.app.Instance(n), patience, point, count), ""
	// A store is written and synced when its process ends and starts, if not
	// before.
	if inStore && !died && e.app.Instance(n).Running() {
		when = " while it ended"
		err := e.stop(ctx, n)
		died = err != nil && e.app.Instance(n).Killed() && !errors.Is(err, context.DeadlineExceeded)
		if err != nil && !died {
			return err
		}
	}
	if inStore && !died && when != "" {
		when = " while it started"
		if err := e.startAgain(n); err != nil {
			return err
		}
		died = dies(ctx, e.app.Instance(n), patience, point, count)
	}
	i := e.app.Instance(n)
	var left error
	switch {
	case died:
		e.crashed(point + when)
	case i.Running():
		left = leftOut("it did not come there, killed")
	default:
		left = leftOut("it ended before that: " + lastLine(i.Config.LogFile()))
	}
	i.Kill()
	return cmp.Or(e.start(n), left)
}

// dies tells an instance to die at a point, and whether it has done so in time.
func dies(ctx context.Context, i *instance.Instance, patience time.Duration, point string, count int) bool {
	_ = i.Tell(faults.CrashLine(point, count)) // fails only if it has ended
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-i.Ended():
		return i.Killed()
	case <-late.C:
	case <-ctx.Done():
	}
	return false
}

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
