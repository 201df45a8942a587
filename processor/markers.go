package processor

import (
	"context"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// markersFirst is how long after a transaction a batch looks for the first
	// time whether its markers are written.
	markersFirst = time.Millisecond
	// minMarkersAgain and maxMarkersAgain bound how long after an answer it looks again. In
	// between, that is a part of the time since the transaction, one in markersShare:
	// brokers that are busy are not asked all the time.
	minMarkersAgain = 500 * time.Microsecond
	maxMarkersAgain = 10 * time.Millisecond
	markersShare    = 4
	// defaultMaxMarkersWait is how long after a transaction it no longer waits, or a part of
	// the session timeout, one in markersSessionShare: a rebalance takes several batches.
	defaultMaxMarkersWait = 2 * time.Second
	markersSessionShare   = 10
	// markersTake is how long it waits where it cannot look.
	markersTake = 3 * time.Millisecond
)

// settleMarkers waits until the transaction before this one is over for the
// brokers. They answer the end of a transaction when that is decided, and write
// its markers then; a produce of the next transaction that comes too early is
// held by the broker for add.partitions.to.txn.retry.backoff.ms, 20 ms, and again
// if that was not enough, which is far longer than markers take. After
// add.partitions.to.txn.retry.timeout.ms, 100 ms, it is refused, and the client asks for
// the metadata of all topics before it sends the records again. Records that
// arrive meanwhile are in the next turn or batch. The wait counts as part of producing.
//
// Nothing depends on it: a broker that cannot or may not say (before Kafka 3.0)
// is given a fixed time.
func (b *batch) settleMarkers(ctx context.Context) {
	until, cancel := context.WithDeadline(ctx, b.lastTxnEnd.Add(b.w.cfg.maxMarkersWait))
	defer cancel()
	clock := b.w.cfg.Clock
	if b.cannotDescribeTxn {
		_ = wait(until, clock, time.Until(b.lastTxnEnd.Add(markersTake)))
		return
	}
	_ = wait(until, clock, time.Until(b.lastTxnEnd.Add(markersFirst)))
	for until.Err() == nil {
		open, err := b.endsStill(until)
		if err != nil && until.Err() == nil {
			b.cannotDescribeTxn = !kerr.IsRetriable(err)
			_ = wait(until, clock, time.Until(b.lastTxnEnd.Add(markersTake)))
			return
		}
		if !open {
			return
		}
		_ = wait(until, clock, min(max(time.Since(b.lastTxnEnd)/markersShare, minMarkersAgain), maxMarkersAgain))
	}
}

// endsStill asks whether the transaction of the batch's session is decided and
// not over yet.
func (b *batch) endsStill(ctx context.Context) (bool, error) {
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{b.w.transactionalID()}
	resp, err := req.RequestWith(ctx, b.session.Client())
	if err != nil {
		return false, err
	}
	for _, t := range resp.TransactionStates {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return false, err
		}
		if strings.HasPrefix(t.State, "Prepare") { // PrepareCommit, PrepareAbort
			return true, nil
		}
	}
	return false, nil
}
