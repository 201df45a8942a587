package processor

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A transaction begins when brokers say that the one before is over, or do not
// say so for long enough, or cannot say.
func TestATransactionWaitsForTheMarkersOfTheLast(t *testing.T) {
	for name, test := range map[string]struct {
		open   int   // how often each transaction is said to be not over yet; -1: always
		fault  int16 // instead of an answer
		asking int   // the most looks after a transaction; 0: any number
	}{
		"over at once":                {0, 0, 1},
		"over at the third look":      {2, 0, 3},
		"never over":                  {-1, 0, 0},
		"a broker that may not say":   {0, kerr.TransactionalIDAuthorizationFailed.Code, 1},
		"a broker that does not know": {0, kerr.TransactionalIDNotFound.Code, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			const keys, n = 1, 20
			c.feed(testInput, keys, n)
			cfg := c.config(newStore(t))
			cfg.MaxBatchRecords = 2 // of many transactions
			if cfg.maxMarkersWait = testPatience; test.open < 0 {
				cfg.maxMarkersWait = 10 * time.Millisecond
			}
			id := cfg.ApplicationID + "-" + cfg.InstanceID + "-0"

			var mu sync.Mutex
			var looks, asked, early int
			over := true
			c.ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				mu.Lock()
				defer mu.Unlock()
				if r.(*kmsg.EndTxnRequest).TransactionalID == id {
					looks, over = 0, test.fault != 0 || test.open < 0
				}
				return nil, nil, false
			})
			c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				mu.Lock()
				defer mu.Unlock()
				if own := r.(*kmsg.ProduceRequest).TransactionID; own != nil && *own == id && !over {
					early++
				}
				return nil, nil, false
			})
			c.ControlKey(int16(kmsg.DescribeTransactions), func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				mu.Lock()
				defer mu.Unlock()
				asked++
				looks++
				if test.asking > 0 && looks > test.asking {
					t.Errorf("look %d", looks)
				}
				req := r.(*kmsg.DescribeTransactionsRequest)
				resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
				for _, id := range req.TransactionalIDs {
					s := kmsg.NewDescribeTransactionsResponseTransactionState()
					s.TransactionalID, s.ErrorCode, s.State = id, test.fault, "PrepareCommit"
					if test.open >= 0 && looks > test.open {
						s.State, over = "CompleteCommit", true
					}
					resp.TransactionStates = append(resp.TransactionStates, s)
				}
				return resp, nil, true
			})
			p := start(t, cfg)
			c.await(testOutput, keys*n*2)
			p.halt()
			c.checkCounts(keys, n, testInput, testCommands)
			mu.Lock()
			defer mu.Unlock()
			if asked == 0 && test.open >= 0 {
				t.Error("nobody asked")
			}
			if test.fault != 0 && asked > 1 {
				t.Errorf("asked %d times, though the answer is a refusal", asked)
			}
			if early > 0 {
				t.Errorf("%d requests before the transaction was over", early)
			}
		})
	}
}

// Records that a broker refuses for now, as the transaction before is not over, are sent
// again after metadata has been asked for. The client's default leaves a worker without
// an answer for 5 s.
func TestAWorkerAsksForMetadataSoon(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	cfg.Client = []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}
	c.feed(testInput, 1, 1)
	p := start(t, cfg)
	c.await(testOutput, 2)
	defer p.halt()
	for _, w := range p.workers {
		w.mu.Lock()
		client := w.client
		w.mu.Unlock()
		if age := client.OptValue(kgo.MetadataMinAge).(time.Duration); age != metadataMinAge {
			t.Errorf("worker %d: metadata is asked for after %s, want %s", w.n, age, metadataMinAge)
		}
	}
}
