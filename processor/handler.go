package processor

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

// Task names a task: partition Partition of Partitions, 0 <= Partition <
// Partitions.
type Task struct {
	Partition, Partitions int32
}

// Handler is what a task does with its records. A handler belongs to one task
// and is used by one goroutine at a time. A new one is made each time the task
// starts, after its store has been restored.
type Handler interface {
	// Process takes one record. It reads and writes only through c, and
	// keeps neither c nor r beyond the call, nor anything that r refers to:
	// the memory of r, its key, its value and its headers is used again for
	// other records. An error is fatal to the whole
	// batch (a bug, or the store): the batch is rolled back and tried once
	// more, and if it fails again the processor stops. Bad input is no
	// error: the handler sends it to a dead-letter topic itself, by c.Emit.
	Process(c *Context, r *kgo.Record) error
	// Flush is called once after the last record of a batch that had a
	// record for this task. A handler that
	// keeps decoded records in memory writes them to the store here.
	Flush(c *Context) error
	// Reset is called when a batch did not commit: whatever the handler
	// keeps in memory beyond the store is void. As a rule the task is then
	// restored and gets a new handler; but the records of a batch that
	// went back as a whole may come again, to this one.
	Reset()
}

// Poisoner is implemented by a handler that can do something about a record
// whose processing panicked, usually to send it to a dead-letter topic. By then
// the store and the outputs are as they were before the record; what the
// handler keeps in memory is not rolled back, so such a handler must either
// change its memory last or load it again from the store. Like Process it
// keeps nothing of r. An error is as fatal as one from Process. Without this
// interface the record is logged, counted and dropped.
type Poisoner interface {
	Poisoned(c *Context, r *kgo.Record, cause error) error
}

// Repairer is implemented by a handler that can go on although commands to its task
// were deleted before they were read. Without it the processor stops when that has
// happened.
type Repairer interface {
	// CommandsLost is called in the first batch after the loss, before the first
	// record of the task, with the offsets of the task's partition of the commands
	// that are gone: from <= offset < to. What it writes and sends is in the
	// transaction that steps over the loss. So it is called again if that does not
	// commit, and not any more when it has. An error is as fatal as one of Process.
	CommandsLost(c *Context, from, to int64) error
}

// Projector is implemented by a handler whose store has records that are outputs
// as well.
type Projector interface {
	// Project returns what a changed key of the store is as an output; value is
	// nil if it was deleted. It is called after Flush, once for each key that
	// was marked ([state.Txn.Mark]) and goes to the changelog (one that was put
	// and deleted, and that the handler knew to be absent before, does not), and
	// its outputs are sent after those of Process and Flush. It must not use the
	// store. An empty topic: the key is no output. What it returns is copied. An
	// error is as fatal as one from Process.
	Project(key, value []byte) (topic string, k, v []byte, err error)
	// ProjectKey returns the topic and the key of what Project would return of a key,
	// by which outputs are brought into the order of their partitions. It may be called
	// of a key that turns out to be no output.
	ProjectKey(key []byte) (topic string, k []byte, err error)
}

// AheadReader is implemented by a handler that knows which keys of the store a record
// will have it read.
type AheadReader interface {
	// ReadAhead returns what the keys begin with that Process of r is likely to read
	// together ([state.Txn.GetPrefetch]), or nil. It is called before the turn of r is
	// processed, and not always. It must change nothing but caches. What it returns is
	// copied, and nothing of r is kept.
	ReadAhead(r *kgo.Record) (prefix []byte)
}

// Context is through what a handler reaches its task's store and outputs. It
// belongs to one task and must not be used outside of the handler's methods.
type Context struct {
	task     Task
	txn      *state.Txn
	now      time.Time
	log      *slog.Logger
	commands string
	memory   *memory       // of what is put out now
	out      []*kgo.Record // outputs and commands that were not sent yet, in order
}

// clear forgets what was put out.
func (c *Context) clear() {
	clear(c.out)
	c.out = c.out[:0]
}

// Task returns the task that the handler serves.
func (c *Context) Task() Task { return c.task }

// Store returns the task's store as it is after everything that the batch has
// done so far. It is written to disk only if the batch commits.
func (c *Context) Store() *state.Txn { return c.txn }

// Emit adds r to the outputs of the batch. Topic must be set; the partition
// follows from the key as in Kafka's default partitioner (murmur2), and any
// partition for a nil key. Emit takes over r, so do not change or reuse it, and
// nothing of it may be of the current record, whose memory is not the handler's. A
// record that the broker refuses for good stops the processor, so keep records
// below the topic's max.message.bytes.
//
// The commands topic and the changelog are not for Emit; see [Context.Send].
func (c *Context) Emit(r *kgo.Record) {
	c.memory.others++
	c.memory.bytes += len(r.Key) + len(r.Value)
	c.out = append(c.out, r)
}

// EmitTo is Emit for a record of a topic, a key and a value. The slices are not
// copied and must not change any more; see [Context.Copy].
func (c *Context) EmitTo(topic string, key, value []byte) {
	r := c.memory.record()
	r.Topic, r.Key, r.Value = topic, key, value
	c.out = append(c.out, r)
}

// Copy returns a copy of b, nil for nil, that is valid just long
// enough for what is emitted or sent by the same call of the handler.
func (c *Context) Copy(b []byte) []byte { return c.memory.copy(b) }

// Send adds a command to task partition, 0 <= partition < Task().Partitions, to
// the outputs of the batch. It is read by that task after the batch has
// committed; commands from one task to another keep their order. Key and value
// are not copied and must not change any more.
func (c *Context) Send(partition int32, key, value []byte) {
	r := c.memory.record()
	r.Topic, r.Partition, r.Key, r.Value = c.commands, partition, key, value
	c.out = append(c.out, r)
}

// Now returns the time at which the batch began.
func (c *Context) Now() time.Time { return c.now }

// Log returns the logger of the task.
func (c *Context) Log() *slog.Logger { return c.log }
