package processor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A process that dies in the middle of a transaction leaves it open, and with it
// the end of its tasks' changelogs and the offsets that it was to commit. The
// brokers abort it when it is over its time, which they look at only every 10 s.
// Whoever gets such a task ends the transaction itself instead, as an
// administrator would: by taking a new epoch for its transactional id. Nothing
// is lost by it: a task is given to somebody only when its former owner has
// given it up between two transactions or has been thrown out of the group, so
// an open transaction over it can no longer commit its offsets; and one that has
// begun to commit goes on to.
//
// An orphan is found by the task's changelog, or by the offsets that it was to
// commit. One whose process died between its turns has neither, only outputs and
// commands: nobody's task waits for it, but who reads those topics, the tasks their
// commands among them, waits for the brokers, up to 20 s, unless the process is back
// before that.

const (
	// orphanPatience is how long a task waits before it looks for orphans, and
	// orphanAgain the time between two looks.
	orphanPatience = time.Second
	orphanAgain    = 5 * time.Second
)

// endOrphans ends the transactions of other processes of the application that
// are open in the changelog of a task that has been given to this one.
func (p *Processor) endOrphans(ctx context.Context, task int32) error {
	limit, cancel := context.WithTimeout(ctx, sideTimeout)
	defer cancel()
	admin := kadm.NewClient(p.side)
	where := make(kadm.TopicsSet)
	where.Add(p.cfg.Changelog, task)
	described, err := admin.DescribeProducers(limit, where)
	if err != nil {
		return fmt.Errorf("asking who writes to %s[%d]: %w", p.cfg.Changelog, task, err)
	}
	var open []int64
	described.EachProducer(func(d kadm.DescribedProducer) {
		if d.CurrentTxnStartOffset >= 0 {
			open = append(open, d.ProducerID)
		}
	})
	if len(open) == 0 {
		return nil
	}
	listed, err := admin.ListTransactions(limit, open, nil)
	if err != nil {
		return fmt.Errorf("asking for open transactions: %w", err)
	}
	own := p.cfg.ApplicationID + "-" + p.cfg.InstanceID + "-"
	for _, t := range listed.Sorted() {
		if !strings.HasPrefix(t.TxnID, p.cfg.ApplicationID+"-") || strings.HasPrefix(t.TxnID, own) {
			continue
		}
		if err := p.endTransaction(limit, t.TxnID); err != nil {
			return fmt.Errorf("ending the transaction of %s: %w", t.TxnID, err)
		}
		p.log.Info("ended a transaction that the task's former owner left open", "task", task, "transactional_id", t.TxnID)
	}
	return nil
}

func (p *Processor) endTransaction(ctx context.Context, id string) error {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = kmsg.StringPtr(id)
	req.TransactionTimeoutMillis = int32(p.cfg.TransactionTimeout.Milliseconds())
	resp, err := req.RequestWith(ctx, p.side)
	if err != nil {
		return err
	}
	// The answer while it is being ended, by this or by somebody else.
	if err := kerr.ErrorForCode(resp.ErrorCode); !errors.Is(err, kerr.ConcurrentTransactions) {
		return err
	}
	return nil
}

// awaitSettled runs while a task waits for the offsets of its former owner, and
// ends what they may wait for.
func (w *worker) awaitSettled(ctx context.Context, task int32) {
	timer := time.NewTimer(orphanPatience)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := w.p.endOrphans(ctx, task); err != nil && ctx.Err() == nil {
			w.log.Warn("a task waits for its former owner", "task", task, "error", err)
		}
		timer.Reset(orphanAgain)
	}
}
