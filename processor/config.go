package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/unpack"
	"handprint/state"
)

// Config is what a [Processor] needs to know. Fields without a default must be
// set.
type Config struct {
	// ApplicationID is the name of the consumer group and the beginning of
	// every transactional id. All processes of one application share it.
	ApplicationID string
	// InstanceID names this process among those of the application. It must
	// stay the same as long as the state directory does, and no two
	// processes may have the same: they would fence each other off.
	InstanceID string
	// StaticMembership makes the workers static members of the group, named
	// by InstanceID and worker number: a process that was killed and is back
	// within SessionTimeout goes on with its tasks at once, and none moves. A
	// clean stop leaves the group either way.
	StaticMembership bool
	// ConfirmInstance, if set, says that InstanceID may have been copied from
	// another process. The start is then refused while the group has a member
	// of that name; otherwise it is called, and an error of it ends the start.
	ConfirmInstance func() error

	// Standbys is how many copies of each task other processes keep up to
	// date, as far as there are processes. The group's leader decides, so all
	// processes should have the same. Default 0.
	Standbys int
	// AcceptableLag is how many changelog offsets a copy may lack and still
	// count as caught up. Default 10000.
	AcceptableLag int64
	// Rack is where this process runs; copies of a task are put into another
	// rack if there is one. May be empty.
	Rack string

	// Client holds the options that every client of the process needs: seed
	// brokers, TLS, SASL, dialer, logger. It may also set the compression
	// of produced records (default snappy).
	Client []kgo.Opt

	// Inputs are co-partitioned topics, with Partitions partitions each,
	// read from their start.
	Inputs []string
	// Singles are topics of one partition, read from their start by task 0.
	Singles []string
	// Commands is the internal topic through which tasks write to each
	// other; Changelog the internal, compacted one that holds every write to
	// the store. Both have Partitions partitions.
	Commands, Changelog string
	// Health gets the heartbeats and Control is listened to for stop
	// messages; an empty name turns that off.
	Health, Control string

	// Partitions is the number of tasks, at least 1.
	Partitions int32
	// Rules are the settings by which records are processed, by name. Processes of
	// one application should have the same; Status says if they have not.
	Rules map[string]string
	// Threads is the number of workers. Default 1.
	Threads int
	// Store is the local store. The processor does not close it.
	Store *state.Store
	// Outputs are the topics that handlers write to. The watch says when one was made
	// anew. May be empty.
	Outputs []string
	// NewHandler is called each time a task starts, after its restore. An
	// error stops the processor.
	NewHandler func(Task) (Handler, error)

	// Prepare, if set, is called with each record that was polled, before any
	// of them is processed, and may wait for what processing needs from
	// outside. While it waits the group cannot move tasks, so ctx ends after a
	// quarter of RebalanceTimeout, or of TransactionTimeout if that is less and
	// the batch has a transaction already, or when the processor stops. After
	// an error nothing is processed: the records are polled again. Workers call
	// it concurrently.
	Prepare func(ctx context.Context, r *kgo.Record) error

	// TickInterval is how often Tick is asked for a record to write into
	// the commands partition of every task that runs here. 0: no ticks.
	TickInterval time.Duration
	// Tick returns the key and value of a tick record.
	Tick func(now time.Time) (key, value []byte)
	// HeartbeatInterval is the time between heartbeats. Default 30 s.
	HeartbeatInterval time.Duration
	// HeartbeatValue returns the value of a heartbeat. Default: Status as
	// JSON.
	HeartbeatValue func(now time.Time, s Status) []byte

	// MaxBatchRecords bounds the records of one transaction. Default 160000.
	MaxBatchRecords int
	// TurnRecords is how many records are polled and processed at once, and so
	// how many of the input have to fit into memory. A worker
	// that is further behind adds turns to its transactions, to each up to twice
	// as many as to the one before, until MaxBatchRecords are reached or a
	// second and a half is over. A turn whose records take long ends early, and
	// the next ones are smaller. Default 4000.
	TurnRecords int
	// MaxBatchBytes bounds what one fetch from one broker brings, compressed.
	// Default 256 KiB.
	MaxBatchBytes int
	// MaxBatchUnpacked bounds what a batch may unpack to, in bytes, the memory for
	// its records included. A larger one of an input topic is dropped, see
	// [Dropper]; in the commands or the changelog it ends the processor. Default
	// 128 MiB.
	MaxBatchUnpacked int

	// TransactionTimeout is how long a transaction that nobody ends stays
	// open and keeps readers waiting. Default 10 s.
	TransactionTimeout time.Duration
	// SessionTimeout is how long after its last heartbeat a worker is taken
	// for dead. Default 10 s.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long the group waits for a worker to finish
	// its batch when tasks move. Default 60 s.
	RebalanceTimeout time.Duration
	// StartTimeout is how long Run tries to reach a broker before it gives
	// up. Default 10 s.
	StartTimeout time.Duration
	// FetchMaxWait is how long a broker may wait for records before it
	// answers a fetch with none. It delays no record, but a task that starts
	// running may wait this long for its first. Default 100 ms.
	FetchMaxWait time.Duration
	// ChangelogRetention is the changelog's delete.retention.ms. A store
	// that is older may have missed deletions and is rebuilt. 0: never.
	ChangelogRetention time.Duration

	// StopOnLostInput has the processor stop, with an error, when input was deleted
	// before it was read; otherwise that is logged and counted. Lost commands are
	// for the handler: see [Repairer].
	StopOnLostInput bool
	// CommandRetention is how long commands are kept that the task has read and
	// committed. Older ones are deleted. 0: all are kept.
	CommandRetention time.Duration

	// Clock is where the time comes from. Default [SystemClock].
	Clock Clock
	// Logger gets the processor's log. Default: slog.Default().
	Logger *slog.Logger

	// StallTimeout is how long a task may have input, or a restore something
	// left to read, without getting on before Status calls it stuck. After half
	// of it, at least 10 s, the session of a worker that does not get what the
	// watch can read is replaced. 0 turns both off.
	StallTimeout time.Duration

	// Blocked, if set, says why a running task makes no progress although it has
	// read all of its input, because of another task; empty: it does. It is
	// called with StallTimeout as patience, concurrently with everything else.
	Blocked func(task int32, now time.Time, patience time.Duration) string

	// Hooks are told what happens.
	Hooks Hooks
	// OnCommit, if set, is called by a worker after each batch that was
	// committed and applied. Workers call it concurrently.
	OnCommit func(Commit)
	// Fault, for tests, is called by a worker at every arrow between two
	// steps, with the tasks that have records in the batch. An error
	// simulates a crash there: the worker drops everything as a killed
	// process would, and Run returns an error that wraps it. Workers call
	// it concurrently.
	Fault func(step Step, tasks []int32) error

	unpack []kgo.Opt // of clients, for MaxBatchUnpacked

	maxMarkersWait time.Duration // see markers.go; other than its default in tests

	// expendable says that the stores are copies that may be made again at any time,
	// also from a changelog that knows less than they do.
	expendable bool
}

// TopicPartition names a partition of a topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// Commit is one committed batch. What it refers to is valid until OnCommit
// returns.
type Commit struct {
	Worker   int
	Consumed map[TopicPartition]int64 // the next offset to read, of each partition read
	Produced map[TopicPartition]int64 // the offset after the last record, of each partition written
}

// Step is an arrow between two steps of a worker.
type Step int

// The arrows, in the order in which a batch passes them.
const (
	AfterPoll    Step = iota // the batch has its records
	AfterProcess             // handlers are done; only what the first turns put out has been sent
	AfterProduce             // everything has been handed to the client
	AfterFlush               // everything has been acknowledged
	AfterOffsets             // the offsets are in the transaction, which is still open
	AfterEnd                 // the transaction is committed; the store does not know
	AfterApply               // the store knows
)

var stepNames = [...]string{"poll", "process", "produce", "flush", "offsets", "end", "apply"}

// String returns "after" and the name of the step before the arrow.
func (s Step) String() string {
	if s < 0 || int(s) >= len(stepNames) {
		return fmt.Sprintf("step %d", int(s))
	}
	return "after " + stepNames[s]
}

// Steps returns every step, in order.
func Steps() []Step {
	return []Step{AfterPoll, AfterProcess, AfterProduce, AfterFlush, AfterOffsets, AfterEnd, AfterApply}
}

// clientOptions returns the options of a client of this process. By its id brokers
// and their operators tell it from others.
func (c *Config) clientOptions(suffix string) []kgo.Opt {
	return append(slices.Concat(c.Client, c.unpack), kgo.ClientID(c.ApplicationID+"-"+c.InstanceID+suffix))
}

// withDefaults fills in the defaults.
func (c Config) withDefaults() Config {
	setDefault(&c.Threads, 1)
	setDefault(&c.HeartbeatInterval, 30*time.Second)
	setDefault(&c.MaxBatchRecords, 160_000)
	setDefault(&c.TurnRecords, 4000)
	setDefault(&c.MaxBatchBytes, 1<<18)
	setDefault(&c.MaxBatchUnpacked, unpack.Default)
	setDefault(&c.TransactionTimeout, 10*time.Second)
	setDefault(&c.SessionTimeout, 10*time.Second)
	setDefault(&c.maxMarkersWait, min(defaultMaxMarkersWait, c.SessionTimeout/markersSessionShare))
	setDefault(&c.AcceptableLag, 10_000)
	setDefault(&c.RebalanceTimeout, 60*time.Second)
	setDefault(&c.StartTimeout, 10*time.Second)
	setDefault(&c.FetchMaxWait, 100*time.Millisecond)
	if c.Clock == nil {
		c.Clock = SystemClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.HeartbeatValue == nil {
		c.HeartbeatValue = statusJSON
	}
	return c
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// validate returns the first thing that is wrong, as one line.
func (c *Config) validate() error {
	for _, required := range []struct{ name, value string }{
		{"application id", c.ApplicationID},
		{"instance id", c.InstanceID},
		{"commands topic", c.Commands},
		{"changelog topic", c.Changelog},
	} {
		if required.value == "" {
			return fmt.Errorf("processor: no %s", required.name)
		}
	}
	topics := append(c.consumed(), c.Changelog)
	for i, t := range topics {
		if t == "" {
			return errors.New("processor: an input topic has no name")
		}
		if slices.Contains(topics[:i], t) {
			return fmt.Errorf("processor: topic %s is named twice", t)
		}
	}
	switch {
	case len(c.Inputs)+len(c.Singles) == 0:
		return errors.New("processor: no input topics")
	case c.Partitions < 1:
		return fmt.Errorf("processor: %d partitions, must be at least 1", c.Partitions)
	case c.Threads < 1:
		return fmt.Errorf("processor: %d threads, must be at least 1", c.Threads)
	case c.MaxBatchRecords < 1 || c.TurnRecords < 1 || c.MaxBatchBytes < 1:
		return errors.New("processor: a batch must have room for a record")
	case c.Standbys < 0 || c.AcceptableLag < 0:
		return errors.New("processor: standby copies and their lag cannot be below zero")
	case c.Store == nil:
		return errors.New("processor: no store")
	case c.NewHandler == nil:
		return errors.New("processor: no handler")
	case c.TickInterval < 0 || c.HeartbeatInterval < 0 || c.TransactionTimeout < time.Millisecond ||
		c.SessionTimeout < time.Millisecond || c.RebalanceTimeout < time.Millisecond:
		return errors.New("processor: intervals and timeouts must be above zero")
	case c.TickInterval > 0 && c.Tick == nil:
		return errors.New("processor: a tick interval but no tick")
	}
	return nil
}

// consumed returns the topics that the group reads.
func (c *Config) consumed() []string {
	return slices.Concat(c.Inputs, c.Singles, []string{c.Commands})
}

// topicsOf returns the input topics of task p, which reads partition p of each.
func (c *Config) topicsOf(p int32) []string {
	if p == 0 {
		return c.consumed()
	}
	return append(slices.Clone(c.Inputs), c.Commands)
}

// partitionsOf returns how many partitions a topic that tasks read must have.
func (c *Config) partitionsOf(topic string) int32 {
	if slices.Contains(c.Singles, topic) {
		return 1
	}
	return c.Partitions
}
