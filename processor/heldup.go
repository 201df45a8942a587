package processor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A transaction that nobody ends, of a sensor that died or of a producer that hangs,
// holds back everything behind it: readers of committed records stop at its first
// record, and by the stable offset nothing is left to read. The watch finds such
// partitions and says who is to blame and how it is ended. It ends nothing itself:
// the transaction is somebody else's.

// HeldUp is a partition of the input that an open transaction has held up for longer
// than StallTimeout.
type HeldUp struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"` // where the transaction begins
	Behind    int64  `json:"behind"` // offsets from there to the end of the log
	// ProducerID is the transaction's producer, -1 if the brokers do not say; and
	// TransactionalID its name, empty likewise.
	ProducerID      int64     `json:"producer_id"`
	TransactionalID string    `json:"transactional_id,omitempty"`
	Since           time.Time `json:"since"` // when this process first saw it

	named bool // it is in the log
}

// lookForHeldUp compares the ends of what can be read of the partitions of running
// tasks with those of their logs.
func (w *watch) lookForHeldUp(ctx context.Context, admin *kadm.Client, stable kadm.ListedOffsets, running map[int32]TaskStatus) error {
	tops, err := admin.ListEndOffsets(ctx, w.cfg.consumed()...)
	if err != nil {
		return fmt.Errorf("asking for the ends of the input: %w", err)
	}
	now := w.cfg.Clock.Now()
	var ask []HeldUp
	w.mu.Lock()
	before := w.heldUp
	w.heldUp = make(map[TopicPartition]*HeldUp)
	tops.Each(func(top kadm.ListedOffset) {
		tp := TopicPartition{top.Topic, top.Partition}
		at, ok := stable.Lookup(top.Topic, top.Partition)
		if _, here := running[top.Partition]; !here || !ok || at.Err != nil || top.Err != nil || at.Offset >= top.Offset {
			return
		}
		h := before[tp]
		if h == nil || h.Offset != at.Offset {
			h = &HeldUp{Topic: tp.Topic, Partition: tp.Partition, Offset: at.Offset, ProducerID: -1, Since: now}
		}
		h.Behind = top.Offset - at.Offset
		w.heldUp[tp] = h
		if !h.named && now.Sub(h.Since) >= w.cfg.StallTimeout {
			h.named = true
			ask = append(ask, *h)
		}
	})
	for tp, h := range before {
		if after := w.heldUp[tp]; h.named && (after == nil || after.Offset != h.Offset) {
			w.log.Info("a partition of the input is no longer held up", "topic", h.Topic, "partition", h.Partition, "offset", h.Offset)
		}
	}
	w.mu.Unlock()
	for _, h := range ask {
		w.blame(ctx, admin, &h)
		w.log.Warn("an open transaction holds up a partition of the input", "topic", h.Topic, "partition", h.Partition,
			"offset", h.Offset, "behind", h.Behind, "producer_id", h.ProducerID, "transactional_id", h.TransactionalID,
			"for", now.Sub(h.Since).Round(time.Second).String(),
			"end_it", fmt.Sprintf("kafka-transactions.sh abort --topic %s --partition %d --start-offset %d", h.Topic, h.Partition, h.Offset))
		w.mu.Lock()
		if known := w.heldUp[TopicPartition{h.Topic, h.Partition}]; known != nil && known.Offset == h.Offset {
			known.ProducerID, known.TransactionalID = h.ProducerID, h.TransactionalID
		}
		w.mu.Unlock()
	}
	return nil
}

// blame finds out whose transaction it is, as far as the brokers say.
func (w *watch) blame(ctx context.Context, admin *kadm.Client, h *HeldUp) {
	where := make(kadm.TopicsSet)
	where.Add(h.Topic, h.Partition)
	described, err := admin.DescribeProducers(ctx, where)
	if err != nil {
		w.log.Debug("asking whose transaction is open failed", "topic", h.Topic, "partition", h.Partition, "error", err)
		return
	}
	described.EachProducer(func(d kadm.DescribedProducer) {
		if d.CurrentTxnStartOffset == h.Offset {
			h.ProducerID = d.ProducerID
		}
	})
	if h.ProducerID < 0 {
		return
	}
	listed, err := admin.ListTransactions(ctx, []int64{h.ProducerID}, nil)
	if err != nil {
		w.log.Debug("asking for the name of an open transaction failed", "producer_id", h.ProducerID, "error", err)
	}
	for _, t := range listed {
		if t.ProducerID == h.ProducerID {
			h.TransactionalID = shortKey([]byte(t.TxnID))
		}
	}
}

// held returns the partitions that have been held up for the stall timeout.
func (w *watch) held() []HeldUp {
	w.mu.Lock()
	defer w.mu.Unlock()
	var held []HeldUp
	for _, h := range slices.Collect(maps.Values(w.heldUp)) {
		if h.named {
			held = append(held, *h)
		}
	}
	slices.SortFunc(held, func(a, b HeldUp) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return held
}
