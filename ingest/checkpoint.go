package ingest

// Checkpoint says how far one partition of a sensor's topic has been read, so
// that a later run goes on without losing or cutting short a session:
//
//	From ......... Emit ............ Next
//	  |  read again, |  read again and |  never read
//	  |  send nothing|  sent, if ended |
//
// A session that was open when the run ended began at Emit or later, so it is
// read again from its first line. What began before Emit has been sent; it is
// read again from From only to be recognised, so that its last lines are not
// taken for a session of their own.
type Checkpoint struct {
	From int64 // offset to read from
	Emit int64 // offset from which a session that begins is sent when it ends
	Next int64 // offset after the last line read; dead letters below it were sent
}

// Positioned is an adapter that can take the lines of a topic and say from
// where to go on.
type Positioned interface {
	Adapter
	// Resume tells the adapter, before its first line, where an earlier run
	// ended: one checkpoint for each partition, zero for one never read.
	Resume(partitions []Checkpoint)
	// LineAt takes the line at an offset of a partition, counted from 0.
	LineAt(partition int, offset int64, line []byte) error
	// Checkpoints says, for each partition given to Resume, where a run that
	// ended now would go on. It holds once everything sent is acknowledged.
	Checkpoints() []Checkpoint
}
