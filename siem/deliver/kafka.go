package deliver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/schemas"
)

// KafkaConfig says what a sink reads, and as whom.
type KafkaConfig struct {
	Sink       string
	Group      string
	Topics     []string
	DeadLetter string // topic
	// FromNow begins at the end of the topics if the group has no offsets yet;
	// else at their beginning.
	FromNow bool
	Options []kgo.Opt // of the cluster
	// DeadLetterValue brings a dead letter into the form of its topic; nil: it
	// stays as it is.
	DeadLetterValue func(original []byte, headers []kgo.RecordHeader) []byte
}

// Kafka is the Source of a sink: a consumer group of its own.
type Kafka struct {
	config KafkaConfig
	client *kgo.Client

	mu    sync.Mutex
	owned map[string]map[int32]bool
}

// sessionTimeout is how long a process that was killed keeps its partitions from
// the one that comes after it.
const sessionTimeout = 10 * time.Second

// NewKafka joins the group. The caller closes it.
func NewKafka(c KafkaConfig) (*Kafka, error) {
	k := &Kafka{config: c, owned: map[string]map[int32]bool{}}
	start := kgo.NewOffset().AtStart()
	if c.FromNow {
		start = kgo.NewOffset().AtEnd()
	}
	client, err := kgo.NewClient(append(append([]kgo.Opt{}, c.Options...),
		kgo.ConsumerGroup(c.Group), kgo.ConsumeTopics(c.Topics...), kgo.ConsumeResetOffset(start),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DisableAutoCommit(), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(sessionTimeout), kgo.HeartbeatInterval(sessionTimeout/5), kgo.RebalanceTimeout(2*sessionTimeout),
		kgo.FetchMaxBytes(8<<20), kgo.OnPartitionsAssigned(k.assigned), kgo.OnPartitionsRevoked(k.lost), kgo.OnPartitionsLost(k.lost),
	)...)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	k.client = client
	return k, nil
}

func (k *Kafka) assigned(_ context.Context, _ *kgo.Client, given map[string][]int32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for topic, partitions := range given {
		if k.owned[topic] == nil {
			k.owned[topic] = map[int32]bool{}
		}
		for _, p := range partitions {
			k.owned[topic][p] = true
		}
	}
}

func (k *Kafka) lost(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for topic, partitions := range taken {
		for _, p := range partitions {
			delete(k.owned[topic], p)
		}
	}
}

// Poll implements Source.
func (k *Kafka) Poll(ctx context.Context, limit int) ([]*kgo.Record, error) {
	fetches := k.client.PollRecords(ctx, limit)
	if err := fetchError(fetches); err != nil {
		return nil, err
	}
	return fetches.Records(), nil
}

// Commit implements Source. Offsets of partitions that another member has by now
// are left to that one.
func (k *Kafka) Commit(ctx context.Context, next Offsets) error {
	mine := Offsets{}
	k.mu.Lock()
	for topic, partitions := range next {
		for p, at := range partitions {
			if k.owned[topic][p] {
				if mine[topic] == nil {
					mine[topic] = map[int32]kgo.EpochOffset{}
				}
				mine[topic][p] = at
			}
		}
	}
	k.mu.Unlock()
	if len(mine) == 0 {
		return nil
	}
	var failed error
	k.client.CommitOffsetsSync(ctx, mine, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if failed = err; err != nil || resp == nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil && failed == nil {
					failed = fmt.Errorf("%s[%d]: %w", t.Topic, p.Partition, err)
				}
			}
		}
	})
	switch {
	case failed == nil:
		return nil
	case errors.Is(failed, kerr.IllegalGeneration), errors.Is(failed, kerr.UnknownMemberID), errors.Is(failed, kerr.RebalanceInProgress), errors.Is(failed, context.Canceled):
		return nil // whoever has the partitions next delivers this again
	}
	return fmt.Errorf("committing offsets: %w", failed)
}

// Dead implements Source.
func (k *Kafka) Dead(ctx context.Context, r *kgo.Record, reason string) error {
	headers := schemas.DeadLetterHeaders(r, "sink "+k.config.Sink, reason)
	value := r.Value
	if k.config.DeadLetterValue != nil {
		value = k.config.DeadLetterValue(value, headers)
	}
	dead := &kgo.Record{Topic: k.config.DeadLetter, Key: r.Key, Value: value, Headers: headers}
	if err := k.client.ProduceSync(ctx, dead).FirstErr(); err != nil {
		return fmt.Errorf("writing a dead letter to %s: %w", k.config.DeadLetter, err)
	}
	return nil
}

// Close leaves the group.
func (k *Kafka) Close() { k.client.Close() }
