package schemas

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
	return append(dst, '}')
}
