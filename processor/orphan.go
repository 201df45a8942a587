package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/processor/assignor"
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
// An orphan over a task is found by its changelog, or by the offsets that it was to
// commit. One whose process died between the turns of its transaction has neither,
// only outputs and commands, which their readers wait for. It is found by the
// commands, where transactions of processes that live are open as well: so it is
// one only if its process is not a member of the group. A transaction without commands
// is left to the brokers: other applications may write to the same outputs, and the
// id does not say whose it is where one is named soc and another soc-eu.

const (
	// orphanPatience is how long a task waits before it looks for orphans, and
	// orphanAgain the time between two looks.
	orphanPatience = time.Second
	orphanAgain    = 5 * time.Second
	// brokersLook is how often the brokers look for transactions that are over
	// their time (transaction.abort.timed.out.transaction.cleanup.interval.ms).
	brokersLook = 10 * time.Second
)

// endOrphans ends the transactions of other processes of the application that
// are open in the changelog of a task that has been given to this one.
func (p *Processor) endOrphans(ctx context.Context, task int32) error {
	limit, cancel := context.WithTimeout(ctx, sideTimeout)
	defer cancel()
	ids, err := p.foreign(limit, p.cfg.Changelog, task)
	if err != nil {
		return err
	}
	return p.endTransactions(limit, ids)
}

// endDeparted ends the transactions of processes that are no members of the group
// any more that are open in the commands. Tasks that are given to this process at
// once share one look.
func (p *Processor) endDeparted(ctx context.Context) error {
	_, err, _ := p.departed.Do("", func() (any, error) {
		limit, cancel := context.WithTimeout(ctx, sideTimeout)
		defer cancel()
		tasks := make([]int32, p.cfg.Partitions)
		for i := range tasks {
			tasks[i] = int32(i)
		}
		ids, err := p.foreign(limit, p.cfg.Commands, tasks...)
		if err != nil || len(ids) == 0 {
			return nil, err
		}
		// Whoever has a transaction open was a member when it began it, and is
		// now unless it has departed.
		members, err := p.memberProcesses(limit)
		if err != nil {
			return nil, err
		}
		ids = slices.DeleteFunc(ids, func(id string) bool {
			process := p.processOf(id)
			return members[process] && process != p.cfg.InstanceID
		})
		return nil, p.endTransactions(limit, ids)
	})
	return err
}

// foreign returns the transactional ids that none of this process's workers has, and
// that have a transaction open in partitions of a topic that only the application
// writes to. This process may have had more workers before.
func (p *Processor) foreign(ctx context.Context, topic string, partitions ...int32) ([]string, error) {
	admin := kadm.NewClient(p.side)
	where := make(kadm.TopicsSet)
	where.Add(topic, partitions...)
	described, err := admin.DescribeProducers(ctx, where)
	if err != nil {
		return nil, fmt.Errorf("asking who writes to %s%v: %w", topic, partitions, err)
	}
	var open []int64
	described.EachProducer(func(d kadm.DescribedProducer) {
		if d.CurrentTxnStartOffset >= 0 {
			open = append(open, d.ProducerID)
		}
	})
	if len(open) == 0 {
		return nil, nil
	}
	listed, err := admin.ListTransactions(ctx, open, nil)
	if err != nil {
		return nil, fmt.Errorf("asking for open transactions: %w", err)
	}
	var ids []string
	for _, t := range listed.Sorted() {
		if p.processOf(t.TxnID) != "" && !p.isWorker(t.TxnID) {
			ids = append(ids, t.TxnID)
		}
	}
	return ids, nil
}

// processOf returns the process that a transactional id belongs to; "" if it is
// none of the application's. See worker.transactionalID.
func (p *Processor) processOf(id string) string {
	name, ours := strings.CutPrefix(id, p.cfg.ApplicationID+"-")
	end := strings.LastIndexByte(name, '-')
	if !ours || end < 0 {
		return ""
	}
	return name[:end]
}

// isWorker reports whether a transactional id is of one of this process's workers.
func (p *Processor) isWorker(id string) bool {
	return slices.ContainsFunc(p.workers, func(w *worker) bool { return w.transactionalID() == id })
}

// memberProcesses returns the processes that are members of the group.
func (p *Processor) memberProcesses(ctx context.Context) (map[string]bool, error) {
	group, err := p.group(ctx)
	if err == nil && group.State != "Stable" { // it says who they are only then
		err = fmt.Errorf("it is %s", group.State)
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the members of group %s: %w", p.cfg.ApplicationID, err)
	}
	members := make(map[string]bool)
	for _, m := range group.Members {
		join, ok := m.Join.AsConsumer()
		if !ok {
			return nil, fmt.Errorf("member %s of group %s does not say which process it is", m.MemberID, p.cfg.ApplicationID)
		}
		d, err := assignor.DecodeMemberData(join.UserData)
		if err != nil {
			return nil, fmt.Errorf("member %s of group %s: %w", m.MemberID, p.cfg.ApplicationID, err)
		}
		members[d.Process] = true
	}
	return members, nil
}

func (p *Processor) endTransactions(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if err := p.endTransaction(ctx, id); err != nil {
			return fmt.Errorf("ending the transaction of %s: %w", id, err)
		}
		p.log.Info("ended a transaction that a former member of the group left open", "transactional_id", id)
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

// awaitSettled runs while a task waits for the offsets of its former owner, until
// ctx ends, and ends what they may wait for. Then it ends what nobody's offsets
// wait for.
func (w *worker) awaitSettled(ctx context.Context, task int32) {
	w.unblockOffsets(ctx, task)
	limit, cancel := context.WithTimeout(w.lifetime, w.cfg.TransactionTimeout+brokersLook)
	defer cancel()
	for limit.Err() == nil {
		err := w.p.endDeparted(limit)
		if err == nil {
			return
		}
		if limit.Err() == nil {
			w.log.Debug("looking for open transactions of former members of the group", "task", task, "error", err)
		}
		_ = wait(limit, w.cfg.Clock, orphanAgain)
	}
}

func (w *worker) unblockOffsets(ctx context.Context, task int32) {
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
