package processor

import (
	"encoding/json"
	"sync/atomic"
	"time"
)

// Status is what a processor is doing at one moment.
type Status struct {
	Instance string          `json:"instance"`
	Workers  int             `json:"workers"`
	Members  []MemberStatus  `json:"members"` // of the group, by worker
	Tasks    []TaskStatus    `json:"tasks"`   // those owned here, by partition
	Standbys []StandbyStatus `json:"standbys"`
	Counters Counters        `json:"counters"`
	// LostOffsets is how many offsets of each topic could not be read, since the
	// processor was made: they were deleted before, or their batch is too large to
	// unpack. Losses are the newest of the deletions.
	LostOffsets map[string]int64 `json:"lost_offsets,omitempty"`
	Losses      []Loss           `json:"losses,omitempty"`
	// HeldUp are the partitions of tasks that run here which an open transaction has
	// held up for longer than StallTimeout.
	HeldUp []HeldUp `json:"held_up,omitempty"`
	// Differ says which other members of the group work by other rules, a line for
	// each difference.
	Differ []string `json:"differ,omitempty"`
	// Faults are what others have done to the topics or the state directory while the
	// process ran, and what an operator has to look at.
	Faults []Fault `json:"faults,omitempty"`
}

// MemberStatus is one worker's membership of the group.
type MemberStatus struct {
	Worker     int    `json:"worker"`
	MemberID   string `json:"member_id"`             // empty until it has joined
	InstanceID string `json:"instance_id,omitempty"` // of a static member
	Generation int32  `json:"generation"`            // -1 until it has joined
	// Unheard says that the group has answered no join or heartbeat of the worker for
	// the session timeout, and why; empty if it has.
	Unheard string `json:"unheard,omitempty"`
	// Refused is the error with which the group does not let the worker in.
	Refused string `json:"refused,omitempty"`
}

// StandbyStatus is a copy of a task that is active elsewhere, kept up to date
// in this process's store.
type StandbyStatus struct {
	Partition int32 `json:"partition"`
	Position  int64 `json:"position"` // the next changelog offset to read
	Lag       int64 `json:"lag"`      // changelog offsets to the end; -1 if not known yet
	WarmUp    bool  `json:"warm_up"`  // the task is to move here as soon as the copy has caught up
	// MovedAt is when it last got on, or had nothing to read: with a lag of 0 it
	// lacks nothing that was committed until then.
	MovedAt time.Time `json:"-"`
	Stuck   string    `json:"stuck,omitempty"` // why, if it makes no progress
}

// TaskState is how far a task has come.
type TaskState string

// The states of a task that is owned here.
const (
	TaskWaiting   TaskState = "waiting"   // for the offsets of its former owner to settle
	TaskRestoring TaskState = "restoring" // reading its changelog
	TaskRunning   TaskState = "running"
	// TaskStandby is a copy of a task that is active elsewhere, and
	// TaskClosed a task or copy that has just been given up; only hooks see
	// these two.
	TaskStandby TaskState = "standby"
	TaskClosed  TaskState = "closed"
)

// TaskStatus is the status of one task that is owned here.
type TaskStatus struct {
	Partition int32     `json:"partition"`
	Worker    int       `json:"worker"`
	State     TaskState `json:"state"`
	Restore   *Progress `json:"restore,omitempty"` // nil unless restoring
	// Lag is how many offsets of the task's input have not been processed,
	// as of the last time the brokers were heard; nil if not known. Markers
	// of transactions count until the watch has looked what is there.
	Lag *int64 `json:"lag,omitempty"`
	// Load is what the task does to its worker, over some seconds; nil if it had
	// nothing to do lately.
	Load *Load `json:"load,omitempty"`
	// LastProgress is when the task last made progress: took a batch, read some of
	// its changelog, or changed its phase.
	LastProgress time.Time `json:"last_progress"`
	// Stuck says why the task is taken to be stuck: it has something to do
	// and has made no progress for StallTimeout. Empty if it is not.
	Stuck string `json:"stuck,omitempty"`
	// Blocked says why the task waits for another task, see Config.Blocked. A
	// restart of this process does not help. Empty if it does not wait.
	Blocked string `json:"blocked,omitempty"`
}

// Progress is how far a restore has come. Done and Total count changelog
// offsets; compaction may have left few records at them.
type Progress struct {
	Done    int64         `json:"done"`
	Total   int64         `json:"total"`
	Records int64         `json:"records"`    // records applied
	Rate    float64       `json:"rate"`       // offsets a second, since the restore began
	Left    time.Duration `json:"left_nanos"` // estimate; 0 if it cannot be told
}

// Counters count since the processor was made.
type Counters struct {
	Records         int64 `json:"records"` // processed and committed
	Produced        int64 `json:"produced"`
	Commits         int64 `json:"commits"`
	Aborts          int64 `json:"aborts"`  // batches that were rolled back
	Rejoins         int64 `json:"rejoins"` // sessions closed and opened again
	Panics          int64 `json:"panics"`
	Restores        int64 `json:"restores"` // tasks restored
	RestoredRecords int64 `json:"restored_records"`
	Rebuilds        int64 `json:"rebuilds"` // stores rebuilt from nothing
	Ticks           int64 `json:"ticks"`
	TickFailures    int64 `json:"tick_failures"`
	Heartbeats      int64 `json:"heartbeats"`
	HeartbeatErrors int64 `json:"heartbeat_errors"`
	ControlIgnored  int64 `json:"control_ignored"` // control messages that were not understood
	FetchErrors     int64 `json:"fetch_errors"`
	// MovedOffsets counts starts of tasks where the group had another offset than
	// the state.
	MovedOffsets int64 `json:"moved_offsets"`
}

// counters is Counters while they count.
type counters struct {
	records, produced, commits, aborts, rejoins, panics, restores, restoredRecords, rebuilds,
	ticks, tickFailures, heartbeats, heartbeatErrors, controlIgnored, fetchErrors, movedOffsets atomic.Int64
}

func (c *counters) snapshot() Counters {
	return Counters{
		Records: c.records.Load(), Produced: c.produced.Load(), Commits: c.commits.Load(),
		Aborts: c.aborts.Load(), Rejoins: c.rejoins.Load(), Panics: c.panics.Load(),
		Restores: c.restores.Load(), RestoredRecords: c.restoredRecords.Load(), Rebuilds: c.rebuilds.Load(),
		Ticks: c.ticks.Load(), TickFailures: c.tickFailures.Load(),
		Heartbeats: c.heartbeats.Load(), HeartbeatErrors: c.heartbeatErrors.Load(),
		ControlIgnored: c.controlIgnored.Load(), FetchErrors: c.fetchErrors.Load(), MovedOffsets: c.movedOffsets.Load(),
	}
}

// statusJSON is the default heartbeat.
func statusJSON(now time.Time, s Status) []byte {
	b, err := json.Marshal(struct {
		Worker string  `json:"worker"`
		TS     float64 `json:"ts"` // Unix seconds
		Status
	}{s.Instance, float64(now.UnixNano()) / 1e9, s})
	if err != nil {
		return nil // no field of Status can fail to encode
	}
	return b
}

// progress is Progress while a restore runs.
type progress struct {
	start                   time.Time
	from, to, at, recordsIn atomic.Int64
	moved                   atomic.Int64 // when it last made progress, in Unix nanoseconds
}

func (p *progress) snapshot(now time.Time) *Progress {
	done, total := p.at.Load()-p.from.Load(), p.to.Load()-p.from.Load()
	s := &Progress{Done: done, Total: total, Records: p.recordsIn.Load()}
	if elapsed := now.Sub(p.start).Seconds(); elapsed > 0 && done > 0 {
		s.Rate = float64(done) / elapsed
		s.Left = time.Duration(float64(max(total-done, 0)) / s.Rate * float64(time.Second))
	}
	return s
}
