package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/internal/unpack"
	"handprint/processor/assignor"
)

// leaveTimeout bounds the last request of a session.
const leaveTimeout = 5 * time.Second

const (
	// metadataMinAge is how long the client waits between two requests for the metadata of
	// topics. Before it sends records again that a broker has refused, it asks for that:
	// with its own default of 5 s a worker stood still for as long.
	metadataMinAge = 250 * time.Millisecond
	// maxRecordRetries bounds how often the client sends a record again that a broker
	// does not take, such as one with too few replicas in sync, for six to eight seconds:
	// then the session ends with what the broker has said, and the next one tries again.
	// A broker that does not know the topic has as long: it may only have started. With
	// the client's own default of 4 that would be a second.
	maxRecordRetries = 25
)

// open makes the session's client. It does not join the group yet.
func (w *worker) open() error {
	cfg := w.cfg
	balancer := &assignor.Assignor{
		Rules:    assignor.Rules{Standbys: cfg.Standbys, AcceptableLag: cfg.AcceptableLag, MaxAge: cfg.ChangelogRetention},
		Describe: w.describe,

		Partitions: cfg.partitionsOf,

		Decided: func(standbys map[int32]bool, refused string) {
			w.p.standbys.decide(w.n, standbys)
			w.refuse(refused)
		},
	}
	w.ownership, w.seen = newOwnership(cfg, balancer, w.p.watch, w.wake, func() { w.p.unowned.joins.Add(1) }), 0
	w.lifetime, w.kill = context.WithCancel(context.Background())

	unpacking, err := unpack.Options(cfg.MaxBatchUnpacked, func() { w.refused.Store(true) }, w.p.fetched)
	if err != nil {
		return err
	}
	name, lanes := w.transactionalID(), newLanes(cfg.Commands, cfg.Changelog)
	opts := []kgo.Opt{
		kgo.ProducerBatchCompression(kgo.SnappyCompression(), kgo.NoCompression()),
		kgo.MaxBufferedRecords(1 << 18),
		kgo.MetadataMinAge(metadataMinAge),
	}
	opts = append(opts, cfg.Client...)
	opts = append(opts,
		kgo.WithContext(w.lifetime),
		kgo.ClientID(name),

		kgo.TransactionalID(name),
		kgo.TransactionTimeout(cfg.TransactionTimeout),
		kgo.ProducerLinger(0),
		kgo.RecordRetries(maxRecordRetries),
		kgo.UnknownTopicRetries(maxRecordRetries),
		kgo.RecordPartitioner(lanes),

		kgo.ConsumerGroup(cfg.ApplicationID),
		kgo.Balancers(balancer),
		kgo.SessionTimeout(cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(time.Second, cfg.SessionTimeout/6)),
		kgo.RebalanceTimeout(cfg.RebalanceTimeout),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(w.ownership.onAssigned),
		kgo.OnPartitionsRevoked(w.ownership.onRevoked),
		kgo.OnPartitionsLost(w.ownership.onLost),
		kgo.AdjustFetchOffsetsFn(w.ownership.onOffsets),

		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		// What is gone is for the start of the task to find; see openInputs.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(cfg.FetchMaxWait),
		kgo.FetchMaxBytes(int32(min(cfg.MaxBatchBytes, 1<<30))),
		kgo.FetchMaxPartitionBytes(fetchFor(cfg.MaxBatchRecords)),
	)
	opts = append(opts, unpacking...)
	if cfg.StaticMembership {
		opts = append(opts, kgo.InstanceID(w.name()))
	}
	opts = append(opts, kgo.WithHooks(&w.contact))
	if cfg.Fault != nil {
		opts = append(opts, kgo.WithHooks(&w.batch))
	}
	session, err := kgo.NewGroupTransactSession(opts...)
	if err != nil {
		w.kill()
		return err
	}
	w.session, w.joined = session, false
	w.refused.Store(false)
	w.clearSessionRequest()
	w.setClient(session.Client())
	w.batch.begin(session, lanes)
	return nil
}

// join obtains a producer epoch, which ends whatever transaction a former
// session or process under the same transactional id has left open, and only
// then joins the group: so every task that the group gives to this session
// comes after the epoch.
func (w *worker) join(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, w.cfg.TransactionTimeout+w.cfg.StartTimeout)
	defer cancel()
	if _, _, err := w.session.Client().ProducerID(limit); err != nil {
		err = fmt.Errorf("worker %d: obtaining a producer id for transactional id %s-%s: %w", w.n, w.cfg.ApplicationID, w.name(), err)
		if errors.Is(err, kerr.InvalidTransactionTimeout) {
			return fatal(err)
		}
		return err
	}
	w.p.awaitFirst(ctx, w.n)
	w.joined = true
	w.tells.Store(true)
	if w.n == 0 {
		w.p.firstJoins()
	}
	w.session.Client().AddConsumeTopics(w.cfg.consumed()...)
	return nil
}

// close ends the session. At a clean stop the group is told, so that others
// take over at once; so is it by a dynamic member after an error. A static
// member that is about to join again says nothing: its tasks wait for it, and the
// brokers give it the same ones without asking anybody. That would be wrong for one
// that was replaced, which may have been told to give something up. After
// a simulated crash nothing is sent any more, as if the process had been killed.
func (w *worker) close(ctx context.Context, crashed, replaced bool) {
	for _, t := range w.tasks {
		if t.done != nil {
			t.cancel()
		}
	}
	// A join may be in flight, which the broker holds until all members have
	// come, and until it ends the client would neither end nor leave. So the
	// client ends first and another one leaves in its name.
	w.tells.Store(false)
	w.kill()
	w.setClient(nil)
	w.session.AllowRebalance()
	w.session.Close()
	if !crashed && w.joined && (ctx.Err() != nil || replaced || !w.cfg.StaticMembership) {
		if err := w.leave(replaced); err != nil {
			w.log.Warn("leaving the group failed, the tasks stay here until the session times out", "error", err)
		}
	}
	// Only now has the client let go of the records that it had been given.
	for _, t := range w.tasks {
		if crashed && t.context.txn != nil {
			t.context.txn.Abandon()
		}
		w.drop(t, "the worker's session has ended")
	}
	w.waits.Wait()
}

// leave takes this session's member out of the group. The client does not do
// it for static members. One without an id is named by its place, in which a join
// of it may be in flight, but not if somebody else may be there.
func (w *worker) leave(replaced bool) error {
	limit, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = w.cfg.ApplicationID
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID, _ = w.session.Client().GroupMetadata()
	m.Reason = kmsg.StringPtr("stopped")
	if m.MemberID == "" && (replaced || !w.cfg.StaticMembership) {
		return nil // the group has never heard of it, or no longer
	}
	if w.cfg.StaticMembership {
		m.InstanceID = kmsg.StringPtr(w.name())
	}
	req.MemberID = m.MemberID // for old brokers
	req.Members = append(req.Members, m)
	resp, err := req.RequestWith(limit, w.p.side)
	if err != nil {
		return err
	}
	err = kerr.ErrorForCode(resp.ErrorCode)
	for _, answer := range resp.Members {
		err = cmp.Or(err, kerr.ErrorForCode(answer.ErrorCode))
	}
	if errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.GroupIDNotFound) || errors.Is(err, kerr.FencedInstanceID) {
		return nil // it is out already or has never been in, or somebody else is in its place
	}
	return err
}

// alive reports whether the session's client has not been killed.
func (w *worker) alive() bool { return w.lifetime.Err() == nil }
