package schemas

import "handprint/canonical"

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
}

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
	return append(dst, '}')
}

// ActionStop is the one action of the control topic: shut down cleanly.
const ActionStop = "stop"

// DecodeControl reads a record of the control topic. action is never empty but
// may be one that nobody knows; requestedBy may be empty. A record of more than
// DefaultMaxBytes is refused. The error is always a *Bad.
func DecodeControl(record []byte) (action, requestedBy string, err error) {
	var act, by field
	err = readObject(record, 0, func(s *canonical.Scanner, key string) (bool, error) {
		switch key {
		case "action":
			return true, act.scan(s)
		case "requested_by":
			return true, by.scan(s)
		}
		return false, s.Skip()
	})
	if err != nil {
		return "", "", err
	}
	if action, err = act.requiredString("action"); err != nil {
		return "", "", err
	}
	if requestedBy, err = by.optionalString("requested_by"); err != nil {
		return "", "", err
	}
	return action, requestedBy, nil
}
