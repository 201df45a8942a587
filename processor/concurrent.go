package processor

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// How long to wait before asking again whether the last transaction is over.
const (
	minConcurrentDelay = time.Millisecond
	maxConcurrentDelay = 50 * time.Millisecond
)

// awaitPrior waits until the transaction before this one is over for the
// brokers, in a batch that has only offsets to commit.
//
// A broker answers the end of a transaction when that is decided, and writes
// its markers afterwards. What comes for the next transaction in between is
// refused with CONCURRENT_TRANSACTIONS. The client asks again when it produces,
// but with version 2 of transactions not when it commits offsets: it aborts
// (franz-go v1.22.2, isAbortableCommitErr), and the worker would have to take
// that for an unknown outcome and begin a new session, after nearly every batch
// that says nothing, such as a tick. So the offsets are first put into the
// transaction here, as often as it takes; that the client does the same again
// changes nothing. Every other answer is left to the client to judge.
func (b *batch) awaitPrior(ctx context.Context, req *kmsg.TxnOffsetCommitRequest) {
	if b.produced > 0 || !b.w.p.transactionV2 {
		return
	}
	first := *req
	first.Topics = slices.Clone(req.Topics)
	for delay := minConcurrentDelay; ; delay = min(2*delay, maxConcurrentDelay) {
		resp, err := first.RequestWith(ctx, b.session.Client())
		if err != nil || !concurrent(resp) {
			return
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func concurrent(resp *kmsg.TxnOffsetCommitResponse) bool {
	return slices.ContainsFunc(resp.Topics, func(t kmsg.TxnOffsetCommitResponseTopic) bool {
		return slices.ContainsFunc(t.Partitions, func(p kmsg.TxnOffsetCommitResponseTopicPartition) bool {
			return errors.Is(kerr.ErrorForCode(p.ErrorCode), kerr.ConcurrentTransactions)
		})
	})
}
