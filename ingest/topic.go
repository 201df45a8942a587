package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/unpack"
)

// Topic reads a sensor's topic through an adapter, in order, and remembers how
// far it has got, so that a later run goes on there.
//
// What is remembered is not where the reading stopped but where the oldest
// open session began ([Checkpoint]): a run that ends, however it ends, loses
// no session and cuts none short. What was sent after the last commit is sent
// again; observations carry the same ids then. Dead letters of those lines are
// sent again too.
//
// Only one run at a time may read for a group: the group has no members, its
// committed offsets are all there is of it.
type Topic struct {
	Brokers []string // bootstrap servers, host:port
	Name    string   // the topic; Cowrie's own default is "cowrie"
	Group   string   // under which group the checkpoints are committed

	// UntilEnd ends the run at what was the end of the topic when it began. It
	// does not end sessions: the next run reads the open ones again.
	UntilEnd bool
	// CloseAtEnd, with UntilEnd, ends the sessions that are open then.
	CloseAtEnd bool
	// AnyOrder: every line stands for itself, so that any number of partitions
	// will do, keyed by anything.
	AnyOrder bool
	// CommitEvery is the longest time between two commits while there is
	// something to read, DefaultCommitEvery if 0.
	CommitEvery time.Duration
	// LetterText says how much of their lines dead letters tell.
	LetterText LetterText
	// Report, if set, is called every 30 s.
	Report func(Tally)
	// Progress, if set, shows how far it is.
	Progress *Progress
	// Log gets warnings and what a run starts from; slog's default if nil.
	Log *slog.Logger
	// Options are added to the client's configuration (security, client id and
	// the like).
	Options []kgo.Opt

	now func() time.Time
}

// DefaultCommitEvery is how often the checkpoints are committed.
const DefaultCommitEvery = 5 * time.Second

// FlushingSink is a sink that can say when everything it took is safe.
type FlushingSink interface {
	Sink
	// Flush waits until everything taken is acknowledged.
	Flush(ctx context.Context) error
}

// Run reads until ctx ends, which is no error, or until the end. It returns
// what was read and made. If none of the first lines is of any use, it stops
// with an [UnusableError] and commits nothing.
func (t *Topic) Run(ctx context.Context, sink FlushingSink, adapt func(Sink) (Positioned, error)) (Result, error) {
	run := &topicRun{Topic: *t, sink: sink, intake: intake{Sink: sink, text: t.LetterText, report: t.Report, now: t.now, reasons: reasons{}}}
	run.locate = func(d *DeadLetter) { d.Record = run.record }
	if run.Log == nil {
		run.Log = slog.Default()
	}
	if run.intake.now == nil {
		run.intake.now = time.Now
	}
	if run.CommitEvery <= 0 {
		run.CommitEvery = DefaultCommitEvery
	}
	if run.Group == "" {
		return Result{}, fmt.Errorf("reading topic %s: no group to commit to", t.Name)
	}
	adapter, err := adapt(run)
	if err != nil {
		return Result{}, err
	}
	run.intake.adapter, run.positioned = adapter, adapter
	err = run.run(ctx)
	result := Result{Amounts: run.amounts, Tally: run.tally()}
	if err != nil {
		return result, fmt.Errorf("reading topic %s: %w", t.Name, err)
	}
	if run.Progress != nil {
		run.Progress.Finish(run.amounts)
	}
	return result, nil
}

type topicRun struct {
	Topic
	intake
	sink       FlushingSink
	positioned Positioned

	client    *kgo.Client
	admin     *kadm.Client
	ends      []int64 // per partition, where UntilEnd ends
	next      []int64 // per partition, the offset after the last record seen
	committed []Checkpoint
	lastTry   time.Time
	record    *kgo.Record // being read
}

func (r *topicRun) run(ctx context.Context) error {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(r.Brokers...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A record of control ends a transaction; without it the last offset
		// of a topic may never be seen, and the end not be known.
		kgo.KeepControlRecords(),
	}, r.Options...)...)
	if err != nil {
		return fmt.Errorf("making a consumer: %w", err)
	}
	defer client.Close()
	r.client, r.admin = client, kadm.NewClient(client)
	if err := r.start(ctx); err != nil {
		return ignoreEnd(ctx, err)
	}
	if err := r.read(ctx); err != nil {
		return err
	}
	// The context that ended the run must not keep its result from being kept.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	if r.CloseAtEnd && r.atEnd() {
		if err := r.positioned.Close(); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
	}
	if err := r.look(true); err != nil {
		return err
	}
	return r.commit(last)
}

// closingTime is how long the last flush and commit of a run may take.
const closingTime = 30 * time.Second

// ignoreEnd returns err, or nil if it is only the end of ctx.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// start finds the partitions and where to go on, and begins to fetch.
func (r *topicRun) start(ctx context.Context) error {
	starts, err := r.admin.ListStartOffsets(ctx, r.Name)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("listing its first offsets: %w", err)
	}
	ends, err := r.admin.ListCommittedOffsets(ctx, r.Name)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("listing its last offsets: %w", err)
	}
	partitions := len(starts[r.Name])
	if partitions > 1 && !r.AnyOrder {
		r.Log.Warn("a sensor's topic should have one partition, or be keyed by session: sessions whose events overtake each other are cut short",
			"topic", r.Name, "partitions", partitions)
	}
	r.committed, err = r.fetchCheckpoints(ctx, partitions)
	if err != nil {
		return err
	}
	offsets := make(map[int32]kgo.Offset, partitions)
	for p := range partitions {
		first, _ := starts.Lookup(r.Name, int32(p))
		end, _ := ends.Lookup(r.Name, int32(p))
		c := &r.committed[p]
		if c.Next > end.Offset && c.From > end.Offset {
			r.Log.Warn("the topic is shorter than when it was last read: reading it from its beginning", "topic", r.Name, "partition", p)
			*c = Checkpoint{}
		}
		if c.Emit < first.Offset && c.Next > 0 {
			r.Log.Warn("lines of sessions that were open are gone from the topic: those sessions are cut short",
				"topic", r.Name, "partition", p, "wanted", c.From, "first", first.Offset)
		}
		c.From = max(c.From, first.Offset)
		offsets[int32(p)] = kgo.NewOffset().At(c.From)
		r.ends = append(r.ends, end.Offset)
		r.next = append(r.next, c.From)
		if c.Next > 0 {
			r.probation.over = true // an earlier run has found lines of use
			r.Log.Info("going on in the sensor's topic", "topic", r.Name, "partition", p, "from", c.From, "read", c.Next)
		}
	}
	r.positioned.Resume(slices.Clone(r.committed))
	r.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{r.Name: offsets})
	r.lastTry = r.intake.now()
	return nil
}

// read reads until ctx ends or the end is reached.
func (r *topicRun) read(ctx context.Context) error {
	for ctx.Err() == nil && !(r.UntilEnd && r.atEnd()) {
		// Without a bound, what the last lines said would not be committed
		// before the next line comes.
		poll, cancel := context.WithTimeout(ctx, r.CommitEvery)
		fetches := r.client.PollFetches(poll)
		cancel()
		var refused []*kgo.ErrDecompressTooLarge
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) && !errors.Is(e.Err, context.Canceled) {
				var large *kgo.ErrDecompressTooLarge
				if !errors.As(e.Err, &large) {
					return fmt.Errorf("partition %d: %w", e.Partition, e.Err)
				}
				refused = append(refused, large)
			}
		}
		for it := fetches.RecordIter(); !it.Done(); {
			if err := r.take(it.Next()); err != nil {
				return err
			}
		}
		if err := r.drop(ctx, refused); err != nil {
			return err
		}
		r.reportDue()
		if r.Progress != nil {
			r.Progress.Update(r.amounts)
		}
		if r.probation.over && r.intake.now().Sub(r.lastTry) >= r.CommitEvery {
			if err := r.commit(ctx); err != nil {
				return ignoreEnd(ctx, err)
			}
		}
	}
	return nil
}

// drop makes dead letters of batches that unpack to too much, and goes on behind
// them.
func (r *topicRun) drop(ctx context.Context, refused []*kgo.ErrDecompressTooLarge) error {
	if len(refused) == 0 {
		return nil
	}
	for _, large := range refused {
		limit, cancel := context.WithTimeout(ctx, closingTime)
		b, err := unpack.Describe(limit, r.client, large)
		cancel()
		if err != nil {
			return err
		}
		r.next[b.Partition] = b.Last + 1
		if b.Aborted || b.Last < r.committed[b.Partition].Next {
			continue // nobody's line, or said by the run that read the lines behind it
		}
		r.Log.Error("a batch of the topic unpacks to more than max-batch-unpacked and is dropped", "topic", b.Topic, "partition", b.Partition,
			"from", b.First, "to", b.Last, "records", b.Records, "bytes", b.Bytes)
		r.amounts.DeadLetters++
		if err := r.sink.Dead(DeadLetter{Reason: "the batch unpacks to more than max-batch-unpacked, so none of its records was read", Batch: &b}); err != nil {
			return err
		}
	}
	// The client reads none of these partitions until it is told to, and forgets
	// what it has fetched of the others.
	offsets := make(map[int32]kgo.EpochOffset, len(r.next))
	for p, next := range r.next {
		offsets[int32(p)] = kgo.EpochOffset{Epoch: -1, Offset: next}
	}
	r.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{r.Name: offsets})
	return nil
}

func (r *topicRun) take(record *kgo.Record) error {
	r.next[record.Partition] = record.Offset + 1
	if record.Attrs.IsControl() {
		return nil
	}
	r.record = record
	r.amounts.Lines++
	r.amounts.Bytes += int64(len(record.Value))
	if !r.probation.over {
		r.probation.line(record.Value)
	}
	err := r.positioned.LineAt(int(record.Partition), record.Offset, record.Value)
	if err == nil {
		err = r.look(false)
	}
	if err != nil {
		return fmt.Errorf("partition %d, offset %d: %w", record.Partition, record.Offset, err)
	}
	return nil
}

func (r *topicRun) atEnd() bool {
	for p, end := range r.ends {
		if r.next[p] < end {
			return false
		}
	}
	return true
}
