// Package unpacktest makes batches that unpack to far more than they are, for tests
// of readers.
package unpacktest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Send writes a batch of records of size zeros each to a partition, compressed by
// gzip, and returns its first offset.
func Send(ctx context.Context, client *kgo.Client, topic string, partition int32, records, size int) (int64, error) {
	raw, err := batch(records, size)
	if err != nil {
		return 0, err
	}
	meta := kmsg.NewPtrMetadataRequest()
	named := kmsg.NewMetadataRequestTopic()
	named.Topic = kmsg.StringPtr(topic)
	meta.Topics = append(meta.Topics, named)
	found, err := meta.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = topic, found.Topics[0].TopicID
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, raw
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return 0, fmt.Errorf("sending a batch of %d bytes to %s[%d]: %w", len(raw), topic, partition, err)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			return p.BaseOffset, kerr.ErrorForCode(p.ErrorCode)
		}
	}
	return 0, errors.New("the answer has no partition")
}

// batch returns a record batch in the wire format.
func batch(records, size int) ([]byte, error) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	zeros := make([]byte, size)
	for i := range records {
		body := binary.AppendVarint([]byte{0, 0}, int64(i)) // attributes, timestamp, offset
		body = binary.AppendVarint(body, -1)                // no key
		body = binary.AppendVarint(body, int64(size))
		length := binary.AppendVarint(nil, int64(len(body)+size+1))
		for _, part := range [][]byte{length, body, zeros, {0}} { // no headers
			if _, err := w.Write(part); err != nil {
				return nil, err
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	b := kmsg.NewRecordBatch()
	b.PartitionLeaderEpoch, b.Magic, b.Attributes = -1, 2, 1
	b.LastOffsetDelta, b.NumRecords = int32(records-1), int32(records)
	b.FirstTimestamp, b.MaxTimestamp = 1_795_396_673_000, 1_795_396_673_000
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = -1, -1, -1
	b.Records = packed.Bytes()
	raw := b.AppendTo(nil)
	const beforeLength, beforeCRC, afterCRC = 12, 17, 21
	binary.BigEndian.PutUint32(raw[beforeLength-4:], uint32(len(raw)-beforeLength))
	binary.BigEndian.PutUint32(raw[beforeCRC:], crc32.Checksum(raw[afterCRC:], crc32.MakeTable(crc32.Castagnoli)))
	return raw, nil
}
