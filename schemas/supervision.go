package schemas

import (
	"encoding/json"
	"unicode/utf8"

	"handprint/internal/canonical"
	"handprint/schemas/avro"
)

// Heartbeat is what a worker says of itself on the health topic, every 30 s by
// default.
type Heartbeat struct {
	Worker      string  // the worker's instance id, never empty
	TS          float64 // Unix seconds, wall clock
	Version     string  // of the program; may be empty
	Running     int64   // tasks that process records
	Restoring   int64   // tasks that wait for their state
	Records     int64   // input records processed since the start
	Commits     int64   // transactions committed since the start
	Aborts      int64   // transactions not committed since the start
	DeadLetters int64   // records sent to the dead letters since the start

	// What the tasks did since the start; records of transactions that were
	// not committed are among them.
	Observations int64 // taken into a series
	Replaced     int64 // of these: another record of known evidence
	Beyond       int64 // of these: older than all that is kept
	OutOfRange   int64 // of these: outside the registry's list or minimum
	Misrouted    int64 // came to another partition than their attacker's
	Forwarded    int64 // went on to the identity that their attacker is linked to
	Transitions  int64
	Suspicions   int64
	Events       int64 // identity events taken
	Moves        int64 // attackers that came to an identity

	Tasks []TaskBeat // owned here, then the copies that are kept here
}

// TaskBeat is what a worker says of a task that it owns, or of a copy of one that it
// keeps.
type TaskBeat struct {
	Task  int32   `json:"task"`
	Phase string  `json:"phase"` // of a task that is owned: its state; of a copy: standby or warming up
	Done  int64   `json:"done"`  // changelog offsets of a restore that are read
	Total int64   `json:"total"` // changelog offsets of a restore; 0: none is under way
	Left  float64 `json:"left"`  // seconds that the restore takes yet, an estimate; 0: not known
	Lag   int64   `json:"lag"`   // offsets not processed of a task, not read of a copy; -1: not known
	Stuck string  `json:"stuck"` // why it does not get on; empty: it does
}

// maxStuck bounds the reason in a heartbeat, in bytes.
const maxStuck = 300

// AppendHeartbeat appends h as JSON.
func AppendHeartbeat(dst []byte, h *Heartbeat) []byte {
	dst = append(dst, '{')
	dst = appendString(dst, "worker", h.Worker)
	dst = appendNumber(dst, "ts", h.TS)
	dst = appendString(dst, "version", h.Version)
	dst = appendCount(dst, "tasks_running", h.Running)
	dst = appendCount(dst, "tasks_restoring", h.Restoring)
	dst = appendCount(dst, "records", h.Records)
	dst = appendCount(dst, "commits", h.Commits)
	dst = appendCount(dst, "aborts", h.Aborts)
	dst = appendCount(dst, "dead_letters", h.DeadLetters)
	dst = appendCount(dst, "observations", h.Observations)
	dst = appendCount(dst, "replaced", h.Replaced)
	dst = appendCount(dst, "beyond", h.Beyond)
	dst = appendCount(dst, "odd", h.OutOfRange)
	dst = appendCount(dst, "misrouted", h.Misrouted)
	dst = appendCount(dst, "forwarded", h.Forwarded)
	dst = appendCount(dst, "transitions", h.Transitions)
	dst = appendCount(dst, "suspicions", h.Suspicions)
	dst = appendCount(dst, "identity_events", h.Events)
	dst = appendCount(dst, "moves", h.Moves)
	dst = append(appendMember(dst, "tasks"), '[')
	for i := range h.Tasks {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendTaskBeat(dst, &h.Tasks[i])
	}
	return append(dst, "]}"...)
}

func appendTaskBeat(dst []byte, t *TaskBeat) []byte {
	dst = append(dst, '{')
	dst = appendCount(dst, "task", int64(t.Task))
	dst = appendString(dst, "phase", t.Phase)
	dst = appendCount(dst, "done", t.Done)
	dst = appendCount(dst, "total", t.Total)
	dst = appendNumber(dst, "left", t.Left)
	dst = appendCount(dst, "lag", t.Lag)
	dst = canonical.AppendString(appendMember(dst, "stuck"), shortened(t.Stuck))
	return append(dst, '}')
}

// shortened returns the beginning of a reason that is too long, whole characters of it.
func shortened(s string) string {
	if len(s) <= maxStuck {
		return s
	}
	n := maxStuck
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// appendTaskBeats appends tasks as an Avro array of records.
func appendTaskBeats(dst []byte, tasks []TaskBeat) []byte {
	if len(tasks) > 0 {
		dst = avro.AppendLong(dst, int64(len(tasks)))
	}
	for i := range tasks {
		t := &tasks[i]
		dst = avro.AppendLong(dst, int64(t.Task))
		dst = avro.AppendText(dst, valid(t.Phase))
		dst = avro.AppendLong(dst, t.Done)
		dst = avro.AppendLong(dst, t.Total)
		dst = avro.AppendDouble(dst, t.Left)
		dst = avro.AppendLong(dst, t.Lag)
		dst = avro.AppendText(dst, valid(shortened(t.Stuck)))
	}
	return avro.AppendLong(dst, 0)
}

// Heartbeat reads who sent a record of system.attribution.health, when, and what it says
// of its tasks; the counts are left out. The error is always a *Bad.
func (w *Writers) Heartbeat(record []byte) (h Heartbeat, err error) {
	if !IsAvro(record) {
		var read struct {
			Worker    string     `json:"worker"`
			TS        float64    `json:"ts"`
			Version   string     `json:"version"`
			Running   int64      `json:"tasks_running"`
			Restoring int64      `json:"tasks_restoring"`
			Tasks     []TaskBeat `json:"tasks"`
		}
		if err := json.Unmarshal(record, &read); err != nil {
			return h, bad("not a heartbeat: " + err.Error())
		}
		return Heartbeat{Worker: read.Worker, TS: read.TS, Version: read.Version, Running: read.Running, Restoring: read.Restoring, Tasks: read.Tasks}, nil
	}
	slots, err := w.avroRecord(record, HeartbeatContract, nil)
	if err != nil {
		return h, err
	}
	h = Heartbeat{Worker: string(slots[0].Raw), Version: string(slots[2].Raw), Running: slots[3].Long, Restoring: slots[4].Long}
	h.TS, _ = slots[1].Number()
	for _, t := range slots[len(slots)-1].Records {
		left, _ := t[4].Number()
		h.Tasks = append(h.Tasks, TaskBeat{
			Task: int32(t[0].Long), Phase: string(t[1].Raw), Done: t[2].Long, Total: t[3].Long, Left: left, Lag: t[5].Long, Stuck: string(t[6].Raw),
		})
	}
	return h, nil
}
