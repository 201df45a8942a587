package unpack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Batch is a batch that unpacks to more than the limit, as its header describes it.
type Batch struct {
	Topic     string
	Partition int32
	First     int64     // offset
	Last      int64     // offset
	Epoch     int32     // of the leader that took it
	Records   int64     // at least 1
	Bytes     int       // compressed, with the header
	Timestamp time.Time // of the first record
	// Aborted is true if the batch belongs to a transaction that was aborted: its
	// records are nobody's input.
	Aborted bool
}

// String describes the batch in a log or an error.
func (b Batch) String() string {
	return fmt.Sprintf("the batch of %s[%d] at offsets %d to %d, %d records in %d bytes", b.Topic, b.Partition, b.First, b.Last, b.Records, b.Bytes)
}

// TooLarge returns the error that stands for a batch of a reader that does not step
// over it.
func (b Batch) TooLarge() error {
	return fmt.Errorf("%v, unpacks to more than max-batch-unpacked; to read it all the same, raise that setting", b)
}

// headerMaxWait is how long a broker may wait with its answer; it has it already.
const headerMaxWait = 500

// Describe asks the brokers for the header of a batch that a client has refused.
func Describe(ctx context.Context, client *kgo.Client, refused *kgo.ErrDecompressTooLarge) (Batch, error) {
	b, err := describe(ctx, client, refused)
	if err != nil {
		return Batch{}, fmt.Errorf("asking for the header of the batch at offset %d of %s[%d]: %w", refused.Offset, refused.Topic, refused.Partition, err)
	}
	return b, nil
}

func describe(ctx context.Context, client *kgo.Client, refused *kgo.ErrDecompressTooLarge) (Batch, error) {
	meta := kmsg.NewPtrMetadataRequest()
	named := kmsg.NewMetadataRequestTopic()
	named.Topic = kmsg.StringPtr(refused.Topic)
	meta.Topics = append(meta.Topics, named)
	found, err := meta.RequestWith(ctx, client)
	if err != nil {
		return Batch{}, err
	}
	for _, t := range found.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return Batch{}, err
		}
		for _, p := range t.Partitions {
			if p.Partition == refused.Partition {
				return fetchHeader(ctx, client, refused, t.TopicID, p.Leader)
			}
		}
	}
	return Batch{}, kerr.UnknownTopicOrPartition
}

func fetchHeader(ctx context.Context, client *kgo.Client, refused *kgo.ErrDecompressTooLarge, id [16]byte, leader int32) (Batch, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = headerMaxWait, 1, 1, 1 // the first batch comes whole
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = refused.Topic, id
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = refused.Partition, refused.Offset, 1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	answer, err := client.Broker(int(leader)).Request(ctx, req)
	if err != nil {
		return Batch{}, err
	}
	resp, ok := answer.(*kmsg.FetchResponse)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return Batch{}, errors.New("the answer has not the partition that was asked for")
	}
	part := &resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(part.ErrorCode); err != nil {
		return Batch{}, err
	}
	b, ok := Find(refused, part)
	if !ok {
		return Batch{}, errors.New("the answer has not the batch that was asked for")
	}
	return b, nil
}

// Find describes a refused batch from the answer to a fetch that has it, and
// returns false if it has not.
func Find(refused *kgo.ErrDecompressTooLarge, part *kmsg.FetchResponseTopicPartition) (Batch, bool) {
	const beforeLength = 12 // offset and length
	for in := part.RecordBatches; len(in) > beforeLength; {
		size := int64(int32(binary.BigEndian.Uint32(in[8:]))) + beforeLength
		if size <= beforeLength || size > int64(len(in)) {
			break
		}
		var r kmsg.RecordBatch
		if int64(binary.BigEndian.Uint64(in)) == refused.Offset {
			b := Batch{
				Topic: refused.Topic, Partition: refused.Partition, First: refused.Offset, Last: refused.NextOffset - 1,
				Epoch: refused.Epoch, Records: refused.NextOffset - refused.Offset, Bytes: int(size),
			}
			if r.ReadFrom(in[:size]) == nil && r.Magic == 2 {
				b.Records, b.Timestamp = max(int64(r.NumRecords), 1), time.UnixMilli(r.FirstTimestamp)
				b.Aborted = r.Attributes&transactional != 0 && isAborted(part, r.ProducerID, refused.Offset)
			}
			return b, true
		}
		in = in[size:]
	}
	return Batch{}, false
}

// transactional is the attribute of a batch that belongs to a transaction.
const transactional = 0x10

// isAborted reports whether a producer's batch at an offset is of an aborted
// transaction. The answer to a fetch names the aborted transactions that reach to
// its offsets, and a producer has one transaction at a time.
func isAborted(part *kmsg.FetchResponseTopicPartition, producer, offset int64) bool {
	for _, a := range part.AbortedTransactions {
		if a.ProducerID == producer && a.FirstOffset <= offset {
			return true
		}
	}
	return false
}
