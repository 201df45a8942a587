package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/internal/unpack"
)

const (
	scanFetchBytes = 8 << 20
	scanMaxWait    = 500 * time.Millisecond
	scanRetry      = 200 * time.Millisecond // after an answer that a new leader may better
	scanRetries    = 25
)

// Scan gives every committed record that the topics hold now to each, topic by
// topic and partition by partition in order, and returns. What is added
// meanwhile is left out, and so is what belongs to transactions that are open.
// An error of each ends it and is returned as it is. Records are each's to
// keep.
//
// It speaks the fetch protocol itself. A consuming client cannot tell how far
// it has read: where a log ends with the marker of a transaction, with an
// aborted one or with a batch that compaction has emptied, it returns nothing,
// and whoever waits for the last offset waits without end.
func Scan(ctx context.Context, cl *kgo.Client, each func(*kgo.Record) error, topics ...string) error {
	return scanSome(ctx, cl, each, time.Time{}, func(int32) bool { return true }, topics...)
}

// ScanSince is [Scan] of what each partition has from the first record on whose
// timestamp is not before since.
func ScanSince(ctx context.Context, cl *kgo.Client, each func(*kgo.Record) error, since time.Time, topics ...string) error {
	return scanSome(ctx, cl, each, since, func(int32) bool { return true }, topics...)
}

// ScanPartition is [Scan] of one partition of a topic.
func ScanPartition(ctx context.Context, cl *kgo.Client, each func(*kgo.Record) error, topic string, partition int32) error {
	return scanSome(ctx, cl, each, time.Time{}, func(p int32) bool { return p == partition }, topic)
}

// ScanRange is [Scan] of the offsets of one partition that lie in [from, to).
func ScanRange(ctx context.Context, cl *kgo.Client, each func(*kgo.Record) error, topic string, partition int32, from, to int64) error {
	return ScanInput(ctx, cl, each, nil, topic, partition, from, to)
}

// ScanInput is [ScanRange] of a topic that others write to: batches that unpack to
// more than the client's limit, which are an error to the other scans, are given to
// skipped and stepped over.
func ScanInput(ctx context.Context, cl *kgo.Client, each func(*kgo.Record) error, skipped func(unpack.Batch), topic string, partition int32, from, to int64) error {
	return (&scan{cl: cl, topic: topic, partition: partition, position: from, end: to, skipped: skipped}).run(ctx, each)
}

func scanSome(ctx context.Context, cl *kgo.Client, each func(*kgo.Record) error, since time.Time, wanted func(int32) bool, topics ...string) error {
	adm := kadm.NewClient(cl)
	ends, err := adm.ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the newest offsets: %w", err)
	}
	list := adm.ListStartOffsets
	if !since.IsZero() {
		list = func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return adm.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topics...)
		}
	}
	starts, err := list(ctx, topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the oldest offsets: %w", err)
	}
	for _, topic := range topics {
		for _, p := range slices.Sorted(maps.Keys(ends[topic])) {
			if !wanted(p) {
				continue
			}
			start, _ := starts.Lookup(topic, p)
			s := &scan{cl: cl, topic: topic, partition: p, position: start.Offset, end: ends[topic][p].Offset}
			if err := s.run(ctx, each); err != nil {
				return err
			}
		}
	}
	return nil
}

// scan reads one partition.
type scan struct {
	cl        *kgo.Client
	topic     string
	partition int32
	position  int64 // the next offset to read
	end       int64 // where to stop
	id        [16]byte
	leader    int32
	located   bool
	skipped   func(unpack.Batch) // told of batches that are too large; nil: they are an error
	skipTo    int64              // where to go on behind one
}

// errTooLarge wraps the error of a batch that the scan does not step over.
var errTooLarge = errors.New("a batch is too large")

// refused returns the error for one that reading an answer gave, nil if it is of a
// batch that is stepped over, to s.skipTo.
func (s *scan) refused(err error, resp *kmsg.FetchResponseTopicPartition) error {
	var large *kgo.ErrDecompressTooLarge
	if !errors.As(err, &large) {
		return err
	}
	b, ok := unpack.Find(large, resp)
	switch {
	case !ok:
		return err
	case s.skipped == nil && !b.Aborted:
		return fmt.Errorf("%w: %w", errTooLarge, b.TooLarge())
	case !b.Aborted:
		s.skipped(b)
	}
	s.skipTo = large.NextOffset
	return nil
}

func (s *scan) run(ctx context.Context, each func(*kgo.Record) error) error {
	decompressor := unpack.Of(s.cl)
	failures := 0
	for s.position < s.end {
		resp, err := s.fetch(ctx)
		if err == nil {
			var fp kgo.FetchPartition
			before := s.position
			fp, s.position = kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
				Offset: s.position, IsolationLevel: kgo.ReadCommitted(), Topic: s.topic, Partition: s.partition,
			}, resp, decompressor, nil)
			for _, r := range fp.Records {
				if r.Offset >= s.end {
					break
				}
				if err := each(r); err != nil {
					return err
				}
			}
			if errors.Is(fp.Err, kerr.OffsetOutOfRange) {
				start, asked := s.start(ctx)
				if asked == nil && start > before { // retention was quicker
					s.position, failures = start, 0
					continue
				}
				err = asked
			}
			switch {
			case err != nil:
			case fp.Err != nil:
				if err = s.refused(fp.Err, resp); err == nil {
					s.position, failures = s.skipTo, 0
					continue
				}
			case s.position > before:
				failures = 0
				continue
			case resp.HighWatermark < s.end:
				err = fmt.Errorf("the log now ends at %d", resp.HighWatermark)
			}
		}
		if err == nil {
			err = errors.New("no progress")
		}
		failures++
		if ctx.Err() != nil || failures > scanRetries || !s.again(err) {
			return fmt.Errorf("reading %s[%d] at offset %d: %w", s.topic, s.partition, s.position, err)
		}
		select {
		case <-time.After(scanRetry):
		case <-ctx.Done():
		}
	}
	return nil
}

// again reports whether to try again after err, which then begins by asking
// for the leader.
func (s *scan) again(err error) bool {
	s.located = false
	var k *kerr.Error
	return !errors.Is(err, errTooLarge) && (!errors.As(err, &k) || k.Retriable)
}

// start asks where the log begins now. Brokers do not say it with the error that
// the offset is out of range.
func (s *scan) start(ctx context.Context) (int64, error) {
	starts, err := kadm.NewClient(s.cl).ListStartOffsets(ctx, s.topic)
	if err != nil {
		return 0, err
	}
	start, ok := starts.Lookup(s.topic, s.partition)
	if !ok {
		return 0, errors.New("nobody knows where the log begins")
	}
	return start.Offset, start.Err
}

func (s *scan) fetch(ctx context.Context) (*kmsg.FetchResponseTopicPartition, error) {
	if err := s.locate(ctx); err != nil {
		return nil, err
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(scanMaxWait.Milliseconds())
	req.MinBytes, req.MaxBytes, req.IsolationLevel = 1, scanFetchBytes, 1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = s.topic, s.id
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = s.partition, s.position, scanFetchBytes
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, s.cl.Broker(int(s.leader)))
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if p := &resp.Topics[i].Partitions[j]; p.Partition == s.partition {
				return p, nil
			}
		}
	}
	return nil, errors.New("a fetch was answered without the partition that it asked for")
}

// locate finds the partition's leader and the topic's id.
func (s *scan) locate(ctx context.Context) error {
	if s.located {
		return nil
	}
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(s.topic)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, s.cl)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return err
		}
		for _, p := range t.Partitions {
			if p.Partition != s.partition {
				continue
			}
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
			s.id, s.leader, s.located = t.TopicID, p.Leader, true
			return nil
		}
	}
	return kerr.UnknownTopicOrPartition
}

// CountFrom returns how many committed records a partition holds at the offset
// from and behind it. Markers of transactions count as offsets, not as records.
func CountFrom(ctx context.Context, cl *kgo.Client, topic string, partition int32, from int64) (int64, error) {
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("asking for the newest offsets: %w", err)
	}
	end, _ := ends.Lookup(topic, partition)
	var n int64
	s := &scan{cl: cl, topic: topic, partition: partition, position: from, end: end.Offset}
	err = s.run(ctx, func(r *kgo.Record) error {
		if r.Offset >= from { // a batch may begin before it
			n++
		}
		return nil
	})
	return n, err
}
