package engine

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Counters count what the tasks of a process did, in records whose transaction
// may yet abort: they are for people, not for accounts.
type Counters struct {
	Observations atomic.Int64 // taken into a series
	Replaced     atomic.Int64 // of these: another record of known evidence
	Beyond       atomic.Int64 // of these: older than all that is kept
	OutOfRange   atomic.Int64 // of these: outside the registry's list or minimum
	Misrouted    atomic.Int64 // forwarded to their attacker's home
	Forwarded    atomic.Int64 // forwarded to the identity their attacker is linked to
	Waiting      atomic.Int64 // held back until their attacker's move is over
	OtherKind    atomic.Int64 // rows concluded otherwise: the registry changed a kind
	DeadLetters  atomic.Int64 // in all stages
	Transitions  atomic.Int64
	Suspicions   atomic.Int64
	Events       atomic.Int64  // identity events taken
	Newest       atomic.Uint64 // in a replay: the newest ts of an observation, its bits as a double
	Moves        atomic.Int64  // attackers that came to an identity
	Rounds       atomic.Int64  // identity changes that began anew because commands were lost
	Forgotten    atomic.Int64  // stubs that identity-retention has ended

	letters [len(stages)]atomic.Int64 // dead letters by stage

	// Changes is what the coordinator is doing now. It is set in the process
	// that runs task 0, and stays as it was when the task moves away.
	Changes Changes
}

// stages are the stages that a task's dead letters name. Counters.letters has
// the same order.
var stages = [...]string{StageObservation, StageIdentityEvent, StageCommand, StageInternal}

// Stages returns the stages that a task's dead letters name.
func Stages() []string { return stages[:] }

// DeadLetter counts a dead letter of a stage.
func (c *Counters) DeadLetter(stage string) {
	c.DeadLetters.Add(1)
	for i, s := range stages {
		if s == stage {
			c.letters[i].Add(1)
		}
	}
}

// DeadLettersOf returns how many dead letters a stage has, by its place in
// Stages.
func (c *Counters) DeadLettersOf(stage int) int64 { return c.letters[stage].Load() }

// Changes are the identity events, and claims, that are not over.
type Changes struct {
	Waiting    atomic.Int64 // for their turn
	InProgress atomic.Int64
	Oldest     atomic.Int64 // record timestamp of the oldest in progress, Unix ms; 0: none
	Progress   atomic.Int64 // when the coordinator last got an answer or began a change, Unix ms
}

// Stuck says why the coordinator makes no progress at the time now, for longer
// than patience; empty: it does, or has nothing to do. It is asked of the process
// that runs task 0.
func (c *Changes) Stuck(now time.Time, patience time.Duration) string {
	since := c.Progress.Load()
	n := c.InProgress.Load()
	if n == 0 || since == 0 || now.Sub(time.UnixMilli(since)) < patience {
		return ""
	}
	return fmt.Sprintf("%d identity changes are in progress and %d wait, the oldest since %s: no task has answered for %s; look for another task that is stuck, restoring or unowned",
		n, c.Waiting.Load(), time.UnixMilli(c.Oldest.Load()).UTC().Format(time.RFC3339), now.Sub(time.UnixMilli(since)).Round(time.Second))
}
