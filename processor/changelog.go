package processor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/internal/unpack"
)

// errOutOfRange is returned for an offset that is not in the changelog.
var errOutOfRange = errors.New("offset out of range")

// errOtherTopic is returned when the changelog was deleted and made anew while
// it was read.
var errOtherTopic = errors.New("the topic has been recreated")

// noTopicID is what brokers before topic ids (Kafka 2.8) have.
var noTopicID [16]byte

// changelogReader reads one partition of the changelog, committed records only,
// and knows at every moment which offset it has reached. It speaks the fetch
// protocol itself, because a consuming client cannot tell its position: where
// the log ends with the marker of a transaction, with an aborted one or with
// batches that compaction has emptied, the client returns no record, and a
// restore that waits for a record never ends.
type changelogReader struct {
	client    *kgo.Client
	topic     string
	partition int32
	maxWait   time.Duration
	maxBytes  int32

	id       [16]byte
	leader   int32
	position int64 // the next offset to read

	decompressor kgo.Decompressor
}

func newChangelogReader(client *kgo.Client, topic string, partition int32, maxWait time.Duration, maxBytes int32) *changelogReader {
	return &changelogReader{
		client: client, topic: topic, partition: partition, maxWait: maxWait, maxBytes: maxBytes,
		decompressor: unpack.Of(client),
	}
}

// bounds are the ends of a changelog partition.
type bounds struct {
	identity string // the topic's id
	start    int64  // the first offset that is kept
	end      int64  // the high watermark
}

// bounds asks the cluster for the ends of the partition. The end is the high
// watermark, not the last stable offset: a transaction of the former owner that
// is not over yet may still turn out to be committed.
func (r *changelogReader) bounds(ctx context.Context) (bounds, error) {
	if err := r.locate(ctx); err != nil {
		return bounds{}, err
	}
	adm := kadm.NewClient(r.client)
	start, err := listed(adm.ListStartOffsets(ctx, r.topic))(r.topic, r.partition)
	if err != nil {
		return bounds{}, fmt.Errorf("asking for the start of the log: %w", err)
	}
	end, err := listed(adm.ListEndOffsets(ctx, r.topic))(r.topic, r.partition)
	if err != nil {
		return bounds{}, fmt.Errorf("asking for the end of the log: %w", err)
	}
	return bounds{identity: hex.EncodeToString(r.id[:]), start: start, end: end}, nil
}

// listed picks one partition out of a listing.
func listed(offsets kadm.ListedOffsets, err error) func(topic string, partition int32) (int64, error) {
	return func(topic string, partition int32) (int64, error) {
		o, ok := offsets.Lookup(topic, partition)
		switch {
		case ok && o.Err != nil:
			return 0, o.Err
		case ok:
			return o.Offset, nil
		case err != nil:
			return 0, err
		default:
			return 0, kerr.UnknownTopicOrPartition
		}
	}
}

// locate finds the partition's leader and the topic's id. It asks the broker
// and not the client's cache, which may be from before the error that led here.
func (r *changelogReader) locate(ctx context.Context) error {
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(r.topic)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, r.client)
	if err != nil {
		return fmt.Errorf("asking for the leader: %w", err)
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("asking for the leader: %w", err)
		}
		if r.id != noTopicID && r.id != t.TopicID {
			return errOtherTopic
		}
		for _, p := range t.Partitions {
			if p.Partition != r.partition {
				continue
			}
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("asking for the leader: %w", err)
			}
			r.id, r.leader = t.TopicID, p.Leader
			return nil
		}
	}
	return fmt.Errorf("asking for the leader: %w", kerr.UnknownTopicOrPartition)
}

// read returns the committed records that one fetch brings from the position
// on, in order and without control records, and moves the position past all
// that it has seen. No records and no error means that nothing could be read
// now: the log ends here, or at a transaction that is still open.
func (r *changelogReader) read(ctx context.Context) ([]*kgo.Record, error) {
	answers, err := fetchAll(ctx, r.client, r.leader, []*changelogReader{r}, r.maxWait, r.maxBytes, r.maxBytes)
	if err != nil {
		return nil, err
	}
	if answers[0] == nil {
		return nil, fmt.Errorf("a fetch was answered without partition %d, which it asked for", r.partition)
	}
	records, err := r.process(answers[0])
	if errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.InconsistentTopicID) {
		if err := r.locate(ctx); errors.Is(err, errOtherTopic) {
			return nil, err
		}
	}
	return records, err
}

// process is the second half of read: it takes the answer to a fetch.
func (r *changelogReader) process(resp *kmsg.FetchResponseTopicPartition) ([]*kgo.Record, error) {
	fp, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: r.position, IsolationLevel: kgo.ReadCommitted(), Topic: r.topic, Partition: r.partition,
	}, resp, r.decompressor, nil)
	switch {
	case fp.Err == nil:
		r.position = next
		return fp.Records, nil
	case errors.Is(fp.Err, kerr.OffsetOutOfRange):
		return nil, errOutOfRange
	}
	var large *kgo.ErrDecompressTooLarge
	if errors.As(fp.Err, &large) {
		if b, ok := unpack.Find(large, resp); ok && b.Aborted {
			r.position = large.NextOffset
			return nil, nil
		} else if ok {
			return nil, fmt.Errorf("%w: %w", kgo.ErrMaxDecompress, b.TooLarge())
		}
	}
	return nil, fp.Err
}

// fetchAll fetches for several readers of one topic, whose partitions leader
// leads, in one request, and returns an answer for each. At most bytes are
// fetched altogether and partBytes of each partition; the broker waits up to
// wait for there to be something. Where bytes is reached a broker may leave the
// other partitions out, as the embedded one does: their answer is nil.
func fetchAll(ctx context.Context, client *kgo.Client, leader int32, readers []*changelogReader, wait time.Duration, bytes, partBytes int32) ([]*kmsg.FetchResponseTopicPartition, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(wait.Milliseconds())
	req.MinBytes = 1
	req.MaxBytes = bytes
	req.IsolationLevel = 1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = readers[0].topic, readers[0].id
	for _, r := range readers {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = r.partition, r.position, partBytes
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)

	kresp, err := client.Broker(int(leader)).Request(ctx, req)
	if err != nil {
		return nil, err
	}
	resp, ok := kresp.(*kmsg.FetchResponse)
	if !ok {
		return nil, fmt.Errorf("a fetch was answered with %T", kresp)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	answers := make([]*kmsg.FetchResponseTopicPartition, len(readers))
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			for n, r := range readers {
				if r.partition == p.Partition {
					answers[n] = p
				}
			}
		}
	}
	return answers, nil
}
