package admin

import (
	"fmt"
	"time"

	"handprint/internal/metrics"
	"handprint/processor"
	"handprint/siem/deliver"
)

// Health is whether a process is as it should be, and what keeps it from that.
type Health struct {
	// Live is false if a task has something to do and does not get on: a
	// restart may mend that.
	Live bool `json:"live"`
	// Ready is true if the workers are members of the group, which has answered each
	// of them within its session timeout, and every task that is owned here runs. A
	// member without tasks is ready.
	Ready bool `json:"ready"`
	// Stuck and Waiting are the reasons, a line for each.
	Stuck   []string `json:"stuck,omitempty"`   // why it is not live
	Waiting []string `json:"waiting,omitempty"` // why it is not ready
	// Notes are what a caller should know of a process that is ready, a line for each.
	Notes []string `json:"notes,omitempty"`
}

// Judge returns the health of a process with this status. A standby copy that
// does not get on makes it neither: nothing waits for a copy.
func Judge(s *processor.Status) Health {
	h := Health{Live: true, Ready: true}
	for _, t := range s.Tasks {
		if t.Stuck != "" {
			h.Live = false
			h.Stuck = append(h.Stuck, fmt.Sprintf("task %d is stuck: %s", t.Partition, t.Stuck))
		}
		if t.State != processor.TaskRunning {
			h.Ready = false
			h.Waiting = append(h.Waiting, waitingFor(&t))
		}
	}
	for _, m := range s.Members {
		switch {
		case m.MemberID == "" && m.Refused != "":
			h.Ready = false
			h.Waiting = append(h.Waiting, fmt.Sprintf("worker %d is joining the group, which refuses it: %s", m.Worker, m.Refused))
		case m.MemberID == "":
			h.Ready = false
			h.Waiting = append(h.Waiting, fmt.Sprintf("worker %d is joining the group", m.Worker))
		case m.Unheard != "":
			h.Ready = false
			h.Waiting = append(h.Waiting, fmt.Sprintf("worker %d: %s", m.Worker, m.Unheard))
		}
	}
	return h
}

// judgeSinks adds what keeps sinks from delivering. A process whose receiver does
// not answer is live: a restart would mend nothing.
func judgeSinks(h *Health, sinks []deliver.Status) {
	for _, s := range sinks {
		if s.Open {
			h.Ready = false
			h.Waiting = append(h.Waiting, "sink "+s.Name+": its receiver has failed too often and is only probed: "+s.LastError)
		}
	}
}

// judgeReading adds what keeps a read side from getting on, and its catalogue from
// being complete.
func judgeReading(h *Health, r *metrics.Reading) {
	if len(r.Stuck) > 0 {
		h.Live = false
		h.Stuck = append(h.Stuck, r.Stuck...)
	}
	if r.Waiting != "" {
		h.Ready = false
		h.Waiting = append(h.Waiting, r.Waiting)
	}
	if r.Alone != "" {
		h.Notes = append(h.Notes, r.Alone)
	}
	if r.LeavesOut {
		h.Notes = append(h.Notes, "lists leave out primitives that are not registered: there are too many")
	}
	for _, topic := range r.MissingTopics {
		h.Notes = append(h.Notes, "topic "+topic+" is not there: what it said is shown as it was")
	}
}

// waitingFor says how far a task is that does not run yet.
func waitingFor(t *processor.TaskStatus) string {
	p := t.Restore
	if t.State != processor.TaskRestoring || p == nil || p.Total <= 0 {
		return fmt.Sprintf("task %d is %s", t.Partition, t.State)
	}
	line := fmt.Sprintf("task %d is restoring: %d of %d offsets (%d %%), %.0f a second", t.Partition, p.Done, p.Total, 100*p.Done/p.Total, p.Rate)
	if p.Left > 0 {
		line += ", " + p.Left.Round(time.Second).String() + " left"
	}
	return line
}
