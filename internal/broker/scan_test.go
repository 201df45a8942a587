package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func scanned(ctx context.Context, t *testing.T, cl *kgo.Client, topics ...string) string {
	t.Helper()
	var got []string
	err := Scan(ctx, cl, func(r *kgo.Record) error { got = append(got, string(r.Value)); return nil }, topics...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(got, " ")
}

func TestScanEndsWhereNoRecordIs(t *testing.T) {
	ctx := deadline(t)
	e := start(t, Options{})
	tx, reader := client(t, e, kgo.TransactionalID("tx")), client(t, e)
	if _, err := Ensure(ctx, tx, []TopicSpec{
		{Name: "log", Partitions: 1, ReplicationFactor: -1},
		{Name: "table", Partitions: 2, ReplicationFactor: -1, Configs: map[string]string{cleanupPolicy: "compact"}},
		{Name: "empty", Partitions: 1, ReplicationFactor: -1},
	}); err != nil {
		t.Fatal(err)
	}
	if got := scanned(ctx, t, reader, "empty", "log"); got != "" {
		t.Errorf("empty topics: %s", got)
	}
	transact(ctx, t, tx, "log", kgo.TryCommit, "a", "b")
	transact(ctx, t, tx, "log", kgo.TryAbort, "never")
	if got := scanned(ctx, t, reader, "log"); got != "a b" {
		t.Errorf("after an abort: %s", got)
	}
	transact(ctx, t, tx, "table", kgo.TryCommit, "1", "2")
	transact(ctx, t, tx, "table", kgo.TryCommit, "3")
	e.cluster.Compact()
	if got := scanned(ctx, t, reader, "log", "table"); !strings.HasPrefix(got, "a b ") || !strings.HasSuffix(got, "3") {
		t.Errorf("after compaction: %s", got)
	}
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := tx.ProduceSync(ctx, &kgo.Record{Topic: "log", Value: []byte("open")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := scanned(ctx, t, reader, "log"); got != "a b" {
		t.Errorf("with an open transaction: %s", got)
	}
}

func TestScanReadsEveryPartitionInOrder(t *testing.T) {
	ctx := deadline(t)
	e := start(t, Options{})
	cl := client(t, e, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(1<<10))
	if _, err := Ensure(ctx, cl, []TopicSpec{{Name: "log", Partitions: 3, ReplicationFactor: -1}}); err != nil {
		t.Fatal(err)
	}
	var want []string
	for p := range int32(3) {
		for i := range 200 {
			v := fmt.Sprintf("%d-%03d", p, i)
			want = append(want, v)
			cl.Produce(ctx, &kgo.Record{Topic: "log", Partition: p, Value: []byte(v)}, nil)
		}
	}
	if err := cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(scanned(ctx, t, cl, "log")); !slices.Equal(got, want) {
		t.Errorf("%d records of %d, or in another order", len(got), len(want))
	}
	stop := errors.New("stop")
	if err := Scan(ctx, cl, func(*kgo.Record) error { return stop }, "log"); !errors.Is(err, stop) {
		t.Errorf("an error of the caller's: %v", err)
	}
}

func TestScanSinceBeginsWithATime(t *testing.T) {
	ctx := deadline(t)
	e := start(t, Options{})
	cl := client(t, e)
	if _, err := Ensure(ctx, cl, []TopicSpec{{Name: "log", Partitions: 1, ReplicationFactor: -1}}); err != nil {
		t.Fatal(err)
	}
	begin := time.UnixMilli(1_700_000_000_000)
	for i := range 10 {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "log", Timestamp: begin.Add(time.Duration(i) * time.Minute), Value: []byte{byte('0' + i)}}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for since, want := range map[time.Duration]string{0: "0123456789", 4*time.Minute - time.Second: "456789", time.Hour: ""} {
		got := ""
		err := ScanSince(ctx, cl, func(r *kgo.Record) error { got += string(r.Value); return nil }, begin.Add(since), "log")
		if err != nil || got != want {
			t.Errorf("since %v: %q, %v, want %q", since, got, err, want)
		}
	}
}

func TestScanTriesAgainWhatANewLeaderMayBetter(t *testing.T) {
	ctx := deadline(t)
	e := start(t, Options{})
	cl := client(t, e)
	if _, err := Ensure(ctx, cl, []TopicSpec{{Name: "log", Partitions: 1, ReplicationFactor: -1}}); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "log", Value: []byte("a")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	answer := func(code int16) {
		e.cluster.ControlKey(1, func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			resp := kreq.ResponseKind().(*kmsg.FetchResponse)
			resp.ErrorCode = code
			return resp, nil, true
		})
	}
	answer(kerr.NotLeaderForPartition.Code)
	if got := scanned(ctx, t, cl, "log"); got != "a" {
		t.Errorf("after one failure: %q", got)
	}
	answer(kerr.TopicAuthorizationFailed.Code)
	err := Scan(ctx, cl, func(*kgo.Record) error { return nil }, "log")
	if err == nil || !strings.HasPrefix(err.Error(), "reading log[0] at offset 0: ") || !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("without the right to read: %v", err)
	}
	if err := Scan(ctx, cl, func(*kgo.Record) error { return nil }, "missing"); err == nil {
		t.Error("no error for a missing topic")
	}
}

// What was deleted before it was read is stepped over, also by the answer of a real
// broker, which does not say where the log begins.
func TestScanStepsOverWhatWasDeleted(t *testing.T) {
	ctx := deadline(t)
	e := start(t, Options{})
	cl := client(t, e)
	if _, err := Ensure(ctx, cl, []TopicSpec{{Name: "log", Partitions: 1, ReplicationFactor: -1}}); err != nil {
		t.Fatal(err)
	}
	const n, gone = 10, 6
	for i := range n {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "log", Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	e.cluster.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		e.cluster.KeepControl()
		req := kreq.(*kmsg.FetchRequest)
		p := req.Topics[0].Partitions[0]
		if p.FetchOffset >= gone {
			return nil, nil, false
		}
		resp := kreq.ResponseKind().(*kmsg.FetchResponse)
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic, topic.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
		answer := kmsg.NewFetchResponseTopicPartition()
		answer.Partition, answer.ErrorCode, answer.HighWatermark, answer.LogStartOffset = p.Partition, kerr.OffsetOutOfRange.Code, -1, -1
		topic.Partitions = append(topic.Partitions, answer)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	upTo := make(kadm.Offsets)
	upTo.AddOffset("log", 0, gone, -1)
	if _, err := kadm.NewClient(cl).DeleteRecords(ctx, upTo); err != nil {
		t.Fatal(err)
	}
	for end, want := range map[int64]string{n: "6789", gone + 1: "6", gone - 1: ""} {
		got := ""
		err := ScanRange(ctx, cl, func(r *kgo.Record) error { got += string(r.Value); return nil }, "log", 0, 0, end)
		if err != nil || got != want {
			t.Errorf("up to %d: %q, %v, want %q", end, got, err, want)
		}
	}
}
