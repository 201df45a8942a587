package engine

import (
	"fmt"
	"time"

	"handprint/attribution"
	"handprint/schemas"
)

// Source is the input topic that a record is from.
type Source uint8

// The sources of a task.
const (
	Observations Source = iota + 1
	Commands
	IdentityEvents
)

// Record is one input record.
type Record struct {
	Source    Source
	Partition int32
	Offset    int64
	Time      int64 // the record's timestamp, Unix milliseconds
	Key       []byte
	Value     []byte
	Type      string // the `type` header of an identity event, empty if absent
}

func (r *Record) arrival() attribution.Arrival {
	return attribution.Arrival{Time: r.Time, Partition: r.Partition, Offset: r.Offset}
}

// Store is the task's own part of the store: what it reads it has written.
type Store interface {
	// Get returns the value of key, nil if there is none. The slice is valid
	// until the next call.
	Get(key []byte) ([]byte, error)
	Put(key, value []byte)
	Delete(key []byte)
	// Scan calls yield for each key that begins with prefix, in order, from
	// `from` on (nil: from the first), as they are when it is called.
	Scan(prefix, from []byte, yield func(key, value []byte) bool) error
}

// nearStore is a Store that can read keys with the same first n bytes together,
// and is quicker with a key that is not there if it is told that it may not be.
type nearStore interface {
	GetPrefetch(key []byte, n int) ([]byte, error)
	GetGrouped(key []byte, n int) ([]byte, error)
	GetRare(key []byte) ([]byte, error)
}

// Outbox takes what a record causes. Slices belong to the engine: an Outbox
// copies what it keeps.
type Outbox interface {
	// StateChanged and Suspected send an event, keyed by its identity.
	StateChanged(identity, event []byte)
	Suspected(identity, event []byte)
	// RowChanged says that the row at this key of the store, which the current
	// record has written, has to be written to the compacted topic when the
	// transaction is complete; see StateRows.
	RowChanged(key []byte)
	// StateRow writes to the compacted topic, before what RowChanged leads to:
	// a row whose value is a large one, or a tombstone, which is nil.
	StateRow(key, row []byte)
	// Identity writes what an identity is now to the compacted topic.
	Identity(identity, record []byte)
	// IdentityChanged sends what an identity event has changed, keyed by its
	// identity.
	IdentityChanged(identity, event []byte)
	// DeadLetter sends the current record to the dead letters.
	DeadLetter(stage, reason string)
	// Send gives a command to a task, this one included.
	Send(partition int32, key, command []byte)
	// Now is the wall clock, Unix seconds.
	Now() float64
}

// Config is what all tasks of an application share. It must be the same in
// every instance.
type Config struct {
	Thresholds  attribution.Thresholds
	Registry    *attribution.Registry
	RecordLimit int           // bytes of a record's value; 0: the default, 256 KiB
	Strict      bool          // a value outside the registry's list or minimum is a bad record
	MaxAhead    time.Duration // how far ts may lie ahead of its record's timestamp; 0: any
	HistoryKept int           // identity events remembered per identity; 0: the default
	Retention   time.Duration // after which a stub that no event has named is forgotten; 0: never
	Partitions  int32
	Counters    *Counters // may be shared by all tasks; nil: not counted

	// Unions is the memory for unions of rows with several attackers, of all tasks
	// together; nil: each task has 256 MiB.
	Unions *UnionMemory

	// ReplayInterval sweeps in the time of the observations, at the multiples of
	// this many seconds, and takes a tick for one of that time. 0: live.
	ReplayInterval float64

	// RecordVersion is the version of rows and contributions that is written,
	// in the store and to other tasks; 0: the newest. It alone may differ
	// between instances, which all read what any of them writes.
	RecordVersion int

	// Format is how events and rows are written; nil: JSON.
	Format *schemas.Format
	// Writers are the schemas of Avro input. What it does not know is a bad
	// record, so whoever reads the input adds it first. Nil: JSON alone.
	Writers *schemas.Writers
}

// The stages that dead letters name.
const (
	StageObservation   = "observation"
	StageIdentityEvent = "identity-event"
	StageCommand       = "command"
	StageInternal      = "internal" // a fault of the program
)

const defaultHistory = 100

// Engine is one task. It is for one goroutine.
type Engine struct {
	cfg    Config
	task   int32
	store  Store
	out    Outbox
	now    *Record // the record that Process was given
	merger *attribution.Merger

	decoder schemas.ObservationDecoder
	obs     attribution.Observation

	// unsettled holds the identities whose rows wait for the end of an identity
	// event. It mirrors the store, so that the common case costs no read.
	unsettled map[string]unsettled
	ofEvent   map[uint64]*unsettledIDs // by the version of the event
	// claimed: observations may wait at this home for an answer to a claim. As a
	// rule none does, and then nobody has to ask the store.
	claimed bool
	// unions holds the merged series of rows with many attackers, by row key.
	unions unions
	// rowsOf says, of an identity that attackers leave, which rows are whose.
	rowsOf rowsOf
	// stubs holds what is known of the attackers that were observed lately.
	stubs    stubCaches
	catalog  catalog
	evidence evidence

	gone    goneBuffers
	touched []touched // by the observation that is being taken

	indexed index // what the index of suspects was made for; zero: not known yet

	added   int    // contributions added up in this step
	written uint64 // rows written or deleted in this step, see moved

	replay replayClock
	due    sweepDue

	retention  retention
	forgetting map[string]forgetting // mirrors the store, as unsettled does

	coordinator *coordinator // of task 0; nil in any other task

	// row is the row that loadRow, stubRow or noRow filled last. takeInline,
	// publish and saveRow work on it, so nothing between may load another.
	row row
	// contrib lends its slices to whoever reads contributions, one at a time.
	contrib attribution.Series
	keys    keyBuffers
	buf     buffers
	long    longWriter
}

// New returns task number task. The store must be the one that Process will be
// given: what a task keeps in memory is read from it.
func New(cfg Config, task int32, store Store) (*Engine, error) {
	if cfg.Partitions < 1 || task < 0 || task >= cfg.Partitions {
		return nil, fmt.Errorf("task %d of %d partitions", task, cfg.Partitions)
	}
	if err := cfg.Thresholds.Validate(); err != nil {
		return nil, err
	}
	if cfg.RecordVersion < 0 || cfg.RecordVersion > RecordVersion {
		return nil, fmt.Errorf("records of version %d, the newest is %d", cfg.RecordVersion, RecordVersion)
	}
	if cfg.RecordVersion == 0 {
		cfg.RecordVersion = RecordVersion
	}
	if cfg.Registry == nil {
		cfg.Registry = attribution.DefaultRegistry()
	}
	if cfg.HistoryKept == 0 {
		cfg.HistoryKept = defaultHistory
	}
	if cfg.Counters == nil {
		cfg.Counters = new(Counters)
	}
	if cfg.Unions == nil {
		cfg.Unions = NewUnionMemory(defaultUnionMemory)
	}
	e := &Engine{cfg: cfg, task: task}
	e.merger = attribution.NewMerger(&e.cfg.Thresholds)
	e.decoder.MaxBytes, e.decoder.Writers = cfg.RecordLimit, cfg.Writers
	e.catalog = newCatalog(cfg.Registry)
	if task == CoordinatorTask {
		e.coordinator = newCoordinator(&e.cfg)
	}
	if err := e.Reload(store); err != nil {
		return nil, err
	}
	return e, nil
}

// Reload forgets what the task keeps in memory and reads it from the store
// again: after a transaction that did not commit, or a record that was undone.
func (e *Engine) Reload(store Store) error {
	e.store = store
	if e.unions.share != nil {
		e.unions.share.close()
	}
	e.unions = newUnions(e.cfg.Unions)
	e.rowsOf.forget()
	e.indexed = index{}
	e.stubs.reset()
	if err := e.loadUnsettled(); err != nil {
		return err
	}
	if err := e.loadClaimed(); err != nil {
		return err
	}
	e.due.reset()
	if err := e.loadRetention(); err != nil {
		return fmt.Errorf("task %d: %w", e.task, err)
	}
	if e.cfg.ReplayInterval > 0 {
		if err := e.replay.load(store); err != nil {
			return fmt.Errorf("task %d: %w", e.task, err)
		}
	}
	if e.coordinator != nil {
		return e.coordinator.reload(store)
	}
	return nil
}

// Process takes one record. A record that cannot be used becomes a dead
// letter; an error is a fault of the store or of this package, and the task
// must not go on.
func (e *Engine) Process(r *Record, store Store, out Outbox) error {
	e.now, e.store, e.out = r, store, out
	e.stubs.here = nil
	if e.retention.keptUp && e.cfg.Retention == 0 {
		e.stopRetention()
	}
	if e.coordinator != nil {
		e.coordinator.begin(r, store, out)
	}
	if e.unions.share.over() {
		e.unions.grew(0) // others have use for it
	}
	var err error
	switch r.Source {
	case Observations:
		err = e.observation()
	case Commands:
		err = e.command()
	case IdentityEvents:
		err = e.identityEvent()
	default:
		err = fmt.Errorf("record of an unknown source %d", r.Source)
	}
	if err != nil {
		return fmt.Errorf("task %d: %w", e.task, err)
	}
	return nil
}

// identityEvent hands a record of the identity events to the coordinator.
func (e *Engine) identityEvent() error {
	if e.coordinator == nil || e.now.Partition != 0 {
		return fmt.Errorf("identity event in partition %d read by task %d: identity events must have exactly one partition, or they have no order", e.now.Partition, e.task)
	}
	defer e.coordinator.progressed()
	return e.coordinator.identityEvent()
}

func (e *Engine) deadLetter(stage, reason string) {
	e.cfg.Counters.DeadLetter(stage)
	e.out.DeadLetter(stage, reason)
}

func (e *Engine) attackerHome(attacker []byte) int32 {
	return attribution.AttackerPartition(attacker, e.cfg.Partitions)
}

func (e *Engine) identityHome(identity []byte) int32 {
	return attribution.IdentityPartition(identity, e.cfg.Partitions)
}
