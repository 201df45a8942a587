//go:build integration

package integration

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// The changelog ends in what a restore is not given: records of a transaction
// that was aborted, or markers of one that has none. The restore comes to its
// end all the same, and takes nothing of them.
func TestChangelogTails(t *testing.T) {
	for _, test := range []struct {
		name string
		tail func(*trial)
	}{
		{"aborted records", (*trial).abortedTail},
		{"markers", (*trial).markerTail},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTrial(t, 2)
			a.run(0)
			a.feed(400)
			a.rest()
			if err := a.Stop(a.ctx, 0); err != nil {
				t.Fatal(err)
			}
			test.tail(a)
			a.run(0) // from its store
			a.feed(100)
			a.rest()
			if err := a.Stop(a.ctx, 0); err != nil {
				t.Fatal(err)
			}
			test.tail(a)
			if err := a.Forget(0); err != nil {
				t.Fatal(err)
			}
			a.run(0) // from the changelog alone
			a.feed(100)
			a.finish()
		})
	}
}

// abortedTail ends every partition of the changelog in records of an aborted
// transaction.
func (a *trial) abortedTail() {
	a.t.Helper()
	cl, err := kgo.NewClient(append(a.Lab.Direct(), kgo.TransactionalID(a.Name+"-stranger"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		a.t.Fatal(err)
	}
	defer cl.Close()
	for range 3 {
		if err := cl.BeginTransaction(); err != nil {
			a.t.Fatal(err)
		}
		for p := range a.Partitions {
			for range 20 {
				r := &kgo.Record{Topic: a.Names.Changelog, Partition: int32(p), Key: []byte("\xffstranger"), Value: []byte("x")}
				if err := cl.ProduceSync(a.ctx, r).FirstErr(); err != nil {
					a.t.Fatal(err)
				}
			}
		}
		if err := cl.EndTransaction(a.ctx, kgo.TryAbort); err != nil {
			a.t.Fatal(err)
		}
	}
}

// markerTail ends every partition of the changelog in markers of transactions
// that wrote nothing there. Only clients of before transaction version 2 can
// bring that about.
func (a *trial) markerTail() {
	a.t.Helper()
	cl, err := kgo.NewClient(append(a.Lab.Direct(), kgo.MaxVersions(kversion.V3_7_0()))...)
	if err != nil {
		a.t.Fatal(err)
	}
	defer cl.Close()
	name := a.Name + "-old-stranger"
	for i := range 4 {
		begin := kmsg.NewPtrInitProducerIDRequest()
		begin.TransactionalID, begin.TransactionTimeoutMillis = &name, 10_000
		var id int64
		var epoch int16
		a.onceConcluded(func() error {
			begun, err := begin.RequestWith(a.ctx, cl)
			if err != nil {
				return err
			}
			id, epoch = begun.ProducerID, begun.ProducerEpoch
			return kerr.ErrorForCode(begun.ErrorCode)
		})
		add := kmsg.NewPtrAddPartitionsToTxnRequest()
		add.TransactionalID, add.ProducerID, add.ProducerEpoch = name, id, epoch
		topic := kmsg.NewAddPartitionsToTxnRequestTopic()
		topic.Topic = a.Names.Changelog
		for p := range a.Partitions {
			topic.Partitions = append(topic.Partitions, int32(p))
		}
		add.Topics = append(add.Topics, topic)
		a.onceConcluded(func() error {
			added, err := add.RequestWith(a.ctx, cl)
			if err != nil {
				return err
			}
			for _, t := range added.Topics {
				for _, p := range t.Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
						return err
					}
				}
			}
			return nil
		})
		end := kmsg.NewPtrEndTxnRequest()
		end.TransactionalID, end.ProducerID, end.ProducerEpoch, end.Commit = name, id, epoch, i%2 == 0
		a.onceConcluded(func() error {
			ended, err := end.RequestWith(a.ctx, cl)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(ended.ErrorCode)
		})
	}
}

// onceConcluded asks again for as long as the coordinator is still writing the
// markers of the last transaction. It does so after it has answered that the
// transaction ends, and the requests here are raw: no client waits for it.
func (a *trial) onceConcluded(ask func() error) {
	a.t.Helper()
	for {
		err := ask()
		if err == nil {
			return
		}
		if !errors.Is(err, kerr.ConcurrentTransactions) {
			a.t.Fatal(err)
		}
		select {
		case <-a.ctx.Done():
			a.t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
