package topology

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/engine"
	"handprint/internal/unpack"
	"handprint/processor"
	"handprint/schemas"
)

// Config is an application: its topics, what its tasks compute, and how they
// run.
type Config struct {
	Names  Names
	Engine engine.Config // Partitions is set from Runtime
	// Runtime is how the tasks run. What the topology decides is set by
	// Processor: topics, handlers, ticks.
	Runtime       processor.Config
	SweepInterval time.Duration // 0: no ticks of its own
	// Schemas finds the schemas of Avro input for Engine.Writers before it is
	// processed; nil: there is no registry.
	Schemas SchemaFinder
	// Wrap puts something between the runtime and a task's handler; nil: nothing.
	// Faults of tagged builds do.
	Wrap func(processor.Handler) processor.Handler
}

// SchemaFinder makes the schema known by which a record was written.
type SchemaFinder interface {
	// Await returns nil at once for a record that can be decoded, or refused
	// for good. Otherwise it asks the registry until it has an answer, and
	// returns an error only when ctx ends.
	Await(ctx context.Context, record []byte) error
}

// Processor puts the application together.
func (c Config) Processor() (*processor.Processor, error) {
	r := c.Runtime
	r.Inputs = []string{c.Names.Observations}
	r.Singles = []string{c.Names.IdentityEvents}
	r.Commands, r.Changelog = c.Names.Commands, c.Names.Changelog
	r.Health, r.Control = c.Names.Health, c.Names.Control
	r.Outputs = []string{c.Names.StateChanged, c.Names.MultiActorSuspects, c.Names.IdentityChanged, c.Names.State, c.Names.Identities, c.Names.DeadLetter}
	r.TickInterval = c.SweepInterval
	r.Tick = func(now time.Time) (key, value []byte) { return nil, engine.TickCommand(seconds(now)) }
	c.Engine.Partitions = r.Partitions
	if c.Engine.Counters == nil {
		c.Engine.Counters = new(engine.Counters)
	}
	r.Client = append(slices.Clone(r.Client), kgo.ProducerBatchMaxBytes(MaxBatchBytes))
	if c.Schemas != nil {
		r.Prepare = func(ctx context.Context, in *kgo.Record) error {
			if in.Topic != c.Names.Observations && in.Topic != c.Names.IdentityEvents {
				return nil
			}
			return c.Schemas.Await(ctx, in.Value)
		}
	}
	counters, format := c.Engine.Counters, c.Engine.Format
	letters := &letterLog{log: r.Logger}
	r.HeartbeatValue = func(now time.Time, s processor.Status) []byte {
		letters.tell(now, counters)
		return heartbeat(now, &s, counters, format)
	}
	r.Blocked = func(task int32, now time.Time, patience time.Duration) string {
		if task != engine.CoordinatorTask {
			return ""
		}
		return counters.Changes.Stuck(now, patience)
	}
	r.NewHandler = func(t processor.Task) (processor.Handler, error) {
		h := &task{
			names: &c.Names, cfg: c.Engine, number: t.Partition, shown: engine.NewStateRows(c.Engine.Format),
			latest: make(map[uint64]int),
		}
		if c.Wrap != nil {
			return c.Wrap(h), nil
		}
		return h, nil
	}
	return processor.New(r)
}

// heartbeat says what this process does.
func heartbeat(now time.Time, s *processor.Status, c *engine.Counters, format *schemas.Format) []byte {
	h := schemas.Heartbeat{
		Worker: s.Instance, TS: seconds(now),
		Records: s.Counters.Records, Commits: s.Counters.Commits, Aborts: s.Counters.Aborts,
		DeadLetters: c.DeadLetters.Load(), Observations: c.Observations.Load(), Replaced: c.Replaced.Load(),
		Beyond: c.Beyond.Load(), OutOfRange: c.OutOfRange.Load(), Misrouted: c.Misrouted.Load(), Forwarded: c.Forwarded.Load(),
		Transitions: c.Transitions.Load(), Suspicions: c.Suspicions.Load(), Events: c.Events.Load(), Moves: c.Moves.Load(),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		h.Version = info.Main.Version
	}
	for _, t := range s.Tasks {
		if t.State == processor.TaskRunning {
			h.Running++
		} else {
			h.Restoring++
		}
		h.Tasks = append(h.Tasks, taskBeat(&t))
	}
	for _, copied := range s.Standbys {
		phase := "standby"
		if copied.WarmUp {
			phase = "warming up"
		}
		h.Tasks = append(h.Tasks, schemas.TaskBeat{Task: copied.Partition, Phase: phase, Lag: copied.Lag, Stuck: copied.Stuck})
	}
	return format.AppendHeartbeat(nil, &h)
}

// taskBeat says how a task that is owned here does.
func taskBeat(t *processor.TaskStatus) schemas.TaskBeat {
	b := schemas.TaskBeat{Task: t.Partition, Phase: string(t.State), Lag: -1, Stuck: t.Stuck}
	if t.Lag != nil {
		b.Lag = *t.Lag
	}
	if b.Stuck == "" {
		b.Stuck = t.Blocked
	}
	if r := t.Restore; r != nil {
		b.Done, b.Total, b.Left = r.Done, r.Total, r.Left.Seconds()
	}
	return b
}

// task gives the records of one task to its engine, and what the engine has to
// say to the transaction.
type task struct {
	names  *Names
	cfg    engine.Config
	number int32
	engine *engine.Engine
	shown  *engine.StateRows

	ctx     *processor.Context
	now     *kgo.Record    // being processed
	in      engine.Record  // the same for the engine
	wrote   []stateRow     // by the record being processed
	rows    []stateRow     // by the batch, the last of each key
	latest  map[uint64]int // hash of a key to where it stands in rows
	flushed bool           // the batch is complete; its rows are being shown
}

// stateRow is a write to the state topic, of a large value or a tombstone. Of a
// key that a batch writes several times only the last is sent.
type stateRow struct{ key, value []byte }

// Process implements processor.Handler.
func (t *task) Process(c *processor.Context, r *kgo.Record) error {
	if err := t.begin(c, r); err != nil {
		return err
	}
	in := &t.in
	*in = engine.Record{Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
	switch r.Topic {
	case t.names.Observations:
		in.Source = engine.Observations
	case t.names.Commands:
		in.Source = engine.Commands
	case t.names.IdentityEvents:
		in.Source = engine.IdentityEvents
		if typ, ok := schemas.Header(r.Headers, "type"); ok {
			in.Type = string(typ)
		}
	default:
		return fmt.Errorf("record of topic %s, which no task reads", r.Topic)
	}
	if err := t.engine.Process(in, c.Store(), t); err != nil {
		return fmt.Errorf("%s[%d] offset %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	t.keepRows()
	return nil
}

// CommandsLost is called before the first command behind a gap is processed:
// commands from one offset to another were deleted before the task had read
// them.
func (t *task) CommandsLost(c *processor.Context, from, to int64) error {
	if err := t.begin(c, nil); err != nil {
		return err
	}
	if err := t.engine.CommandsLost(c.Store(), t); err != nil {
		return fmt.Errorf("%s[%d]: offsets %d to %d were lost: %w", t.names.Commands, t.number, from, to, err)
	}
	t.keepRows()
	return nil
}

// ReadAhead implements processor.AheadReader.
func (t *task) ReadAhead(r *kgo.Record) (prefix []byte) {
	if t.engine == nil || r.Topic != t.names.Observations {
		return nil
	}
	return t.engine.ReadAhead(r.Key)
}

// begin makes the task ready for a record.
func (t *task) begin(c *processor.Context, r *kgo.Record) (err error) {
	if t.flushed { // the batch before has committed
		t.forget()
	}
	t.ctx, t.now, t.wrote = c, r, t.wrote[:0]
	if t.engine == nil {
		t.engine, err = engine.New(t.cfg, t.number, c.Store())
	}
	return err
}

// keepRows keeps what a record wrote to the state topic for the end of the batch.
func (t *task) keepRows() {
	for _, w := range t.wrote {
		// Of two keys with one hash each may come more than once: they are still
		// sent in order, and so the last one counts.
		hash := xxhash.Sum64(w.key)
		if i, ok := t.latest[hash]; ok && bytes.Equal(t.rows[i].key, w.key) {
			t.rows[i].value = w.value
			continue
		}
		t.latest[hash] = len(t.rows)
		t.rows = append(t.rows, w)
	}
}

// Flush implements processor.Handler.
func (t *task) Flush(c *processor.Context) error {
	for _, w := range t.rows {
		c.EmitTo(t.names.State, w.key, w.value)
	}
	t.flushed = true
	return nil
}

// Project implements processor.Projector: a row of the store is one of the state
// topic, too.
func (t *task) Project(key, value []byte) (topic string, k, v []byte, err error) {
	if k, v, err = t.shown.Of(key, value); k == nil || err != nil {
		return "", nil, nil, err
	}
	return t.names.State, k, v, nil
}

// ProjectKey implements processor.Projector.
func (t *task) ProjectKey(key []byte) (topic string, k []byte, err error) {
	k, err = t.shown.Key(key)
	return t.names.State, k, err
}

// Reset implements processor.Handler.
func (t *task) Reset() {
	t.forget()
	t.engine = nil
}

func (t *task) forget() {
	t.rows, t.wrote = t.rows[:0], t.wrote[:0]
	clear(t.latest)
	t.flushed = false
}

// Poisoned implements processor.Poisoner: a record that made the engine panic
// becomes a dead letter, and what the engine had in memory is read again.
func (t *task) Poisoned(c *processor.Context, r *kgo.Record, cause error) error {
	t.ctx, t.now, t.wrote = c, r, t.wrote[:0]
	t.engine = nil
	t.cfg.Counters.DeadLetter(engine.StageInternal)
	t.DeadLetter(engine.StageInternal, fmt.Sprintf("a fault of the program: %v", cause))
	return nil
}

// Dropped implements processor.Dropper: a batch that nobody can unpack becomes a
// dead letter that says where it stands.
func (t *task) Dropped(c *processor.Context, b unpack.Batch) error {
	t.ctx = c
	t.cfg.Counters.DeadLetters.Add(1)
	letter := &kgo.Record{Topic: t.names.DeadLetter, Headers: schemas.BatchDeadLetterHeaders(b, StageBatch,
		"the batch unpacks to more than max-batch-unpacked, so none of its records was read")}
	letter.Value = t.cfg.Format.DeadLetterValue(nil, letter.Headers)
	c.Emit(letter)
	return nil
}

// StageBatch is where a batch is found bad that unpacks to too much.
const StageBatch = "batch"

// StateChanged implements engine.Outbox.
func (t *task) StateChanged(identity, event []byte) {
	t.ctx.EmitTo(t.names.StateChanged, t.ctx.Copy(identity), t.ctx.Copy(event))
}

// Suspected implements engine.Outbox.
func (t *task) Suspected(identity, event []byte) {
	t.ctx.EmitTo(t.names.MultiActorSuspects, t.ctx.Copy(identity), t.ctx.Copy(event))
}

// Identity implements engine.Outbox.
func (t *task) Identity(identity, record []byte) {
	t.ctx.EmitTo(t.names.Identities, t.ctx.Copy(identity), t.ctx.Copy(record))
}

// IdentityChanged implements engine.Outbox.
func (t *task) IdentityChanged(identity, event []byte) {
	t.ctx.EmitTo(t.names.IdentityChanged, t.ctx.Copy(identity), t.ctx.Copy(event))
}

// RowChanged implements engine.Outbox.
func (t *task) RowChanged(key []byte) { t.ctx.Store().Mark(key) }

// StateRow implements engine.Outbox.
func (t *task) StateRow(key, row []byte) {
	// Sent at the end of the batch, when the memory of Copy has another use.
	t.wrote = append(t.wrote, stateRow{key: bytes.Clone(key), value: bytes.Clone(row)})
}

// DeadLetter implements engine.Outbox. The original goes along as it was, but
// for one that no topic would take: of it the headers of its own are left out,
// and the value is cut, which a header says.
func (t *task) DeadLetter(stage, reason string) {
	r := t.now
	// What r has in it is its own only until it is processed.
	letter := &kgo.Record{Topic: t.names.DeadLetter, Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), Headers: schemas.DeadLetterHeaders(r, stage, reason)}
	if sizeOf(letter) > maxRecord-recordSlack {
		bare := *r
		bare.Headers = nil
		letter.Headers = append(schemas.DeadLetterHeaders(&bare, stage, reason),
			kgo.RecordHeader{Key: schemas.HeaderOriginalSize, Value: strconv.AppendInt(nil, int64(len(r.Value)), 10)})
		letter.Key = letter.Key[:min(len(letter.Key), recordSlack)]
		letter.Value = letter.Value[:min(len(letter.Value), maxRecord-4*recordSlack)]
	}
	letter.Value = t.cfg.Format.DeadLetterValue(letter.Value, letter.Headers)
	t.ctx.Emit(letter)
}

// recordSlack is more than what a batch adds to a record, and a broker to a
// batch.
const recordSlack = 16 << 10

// MaxBatchBytes is the largest batch that an application sends, in bytes. A client that
// writes its topics has to have it, as the client's own default is less than a record
// may be.
const MaxBatchBytes = maxRecord - recordSlack/2

func sizeOf(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value) + 16
	}
	return n
}

// Send implements engine.Outbox.
func (t *task) Send(partition int32, key, command []byte) {
	t.ctx.Send(partition, t.ctx.Copy(key), t.ctx.Copy(command))
}

// Now implements engine.Outbox.
func (t *task) Now() float64 { return seconds(t.ctx.Now()) }

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
