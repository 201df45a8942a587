package processor

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a worker logs of a commit whose outcome it cannot know, by what the
// session has answered. An answer (false, error) has the error behind it.
const (
	answeredNothing = "the session ended it otherwise, outcome unknown" // (false, nil)
	answeredError   = "outcome unknown: "                               // (false, error)
)

// The broker commits, and the worker does not hear of it: nothing is done
// twice and nothing is lost, whatever it hears instead.
func TestUnknownCommitOutcome(t *testing.T) {
	instead := func(err *kerr.Error) func([]byte) bool {
		return func(f []byte) bool { setEndTxnError(f, err.Code); return true }
	}
	tests := []struct {
		name   string
		answer func(frame []byte) bool
		form   string // of the unknown outcome; empty if the client asks again and is told
		opts   []kgo.Opt
	}{
		{"an unknown error instead of the answer", instead(kerr.UnknownServerError), answeredNothing, nil},
		{"abortable instead of the answer", instead(kerr.TransactionAbortable), answeredNothing, nil},
		{"an error instead of the answer", instead(kerr.InvalidTxnState), answeredError + kerr.InvalidTxnState.Message, nil},
		{"a broken connection", func([]byte) bool { return false }, "", nil},
		// The session would go on after this one.
		{"a time out instead of the answer", instead(kerr.RequestTimedOut), answeredError + kerr.RequestTimedOut.Message, []kgo.Opt{kgo.RequestRetries(0)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.feed(testInput, 5, 6)
			cfg := c.config(newStore(t))
			cfg.MaxBatchRecords = 8
			var log bytes.Buffer // read when nobody writes any more
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			var ends, hurt atomic.Int64
			cfg.Client = append(append(cfg.Client, test.opts...), kgo.Dialer(tamper(func(key kmsg.Key, version int16, frame []byte) bool {
				if key != kmsg.EndTxn || ends.Add(1)%3 != 2 {
					return true
				}
				if version < 3 {
					t.Errorf("EndTxn has version %d", version)
				}
				hurt.Add(1)
				return test.answer(frame)
			})))
			p := start(t, cfg)
			c.await(testOutput, 5*6*2)
			p.halt()
			c.checkCounts(5, 6, testInput, testCommands)
			if hurt.Load() == 0 {
				t.Error("no answer to a commit was changed")
			}
			if test.form != "" && !strings.Contains(log.String(), test.form) {
				t.Errorf("no outcome was unknown with %q:\n%s", test.form, log.String())
			}
			if test.form == "" && strings.Contains(log.String(), "outcome unknown") {
				t.Errorf("an outcome was unknown:\n%s", log.String())
			}
		})
	}
}

// A record that is too large for good stops the processor at once, with a line
// that says which; nothing of its batch is committed.
func TestOutputTooLarge(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.feed(testInput, 1, 3)
	cfg := c.config(newStore(t))
	cfg.TurnRecords = 100 // all of them in one transaction
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &emitter{counter{task}, func(c *Context, r *kgo.Record) error {
			if string(r.Value) == "2" {
				c.Emit(&kgo.Record{Topic: testOutput, Key: []byte("big"), Value: make([]byte, 2<<20)})
			}
			return nil
		}}, nil
	}
	err := start(t, cfg).wait()
	if err == nil || !errors.Is(err, kerr.MessageTooLarge) {
		t.Fatalf("Run returned %v", err)
	}
	for _, part := range []string{testOutput, `"big"`, fmt.Sprint(2<<20 + 3)} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %s", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than a line", err)
	}
	// The batch has all three records, so none of it may show.
	if got := c.values(testOutput); len(got) != 0 {
		t.Errorf("outputs were committed: %v", got)
	}
	if got := c.values(testChangelog); len(got) != 0 {
		t.Errorf("changes were committed: %v", got)
	}
}

// A produce that fails once, of an output or of the changelog, aborts the
// batch, which is then done again; one that always fails stops the processor.
func TestProduceRefused(t *testing.T) {
	for _, topic := range []string{testOutput, testChangelog, testCommands} {
		t.Run("once, "+topic, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.feed(testInput, 5, 4)
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.InvalidRecord})
			p := start(t, c.config(newStore(t)))
			c.await(testOutput, 5*4*2)
			p.halt()
			c.checkCounts(5, 4, testInput, testCommands)
			if s := p.Status(); s.Counters.Aborts != 1 {
				t.Errorf("%d batches were aborted, want 1", s.Counters.Aborts)
			}
		})
	}
	t.Run("always", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t)
		c.feed(testInput, 5, 4)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testOutput, Err: kerr.InvalidRecord, Count: -1})
		p := start(t, c.config(newStore(t)))
		if err := p.wait(); !errors.Is(err, kerr.InvalidRecord) || !strings.Contains(err.Error(), testOutput) {
			t.Errorf("Run returned %v", err)
		}
		if s := p.Status(); s.Counters.Aborts != 2 {
			t.Errorf("%d batches were aborted, want 2", s.Counters.Aborts)
		}
		if got := c.values(testOutput); len(got) != 0 {
			t.Errorf("outputs were committed: %v", got)
		}
	})
}

// Records that a broker does not take for now are sent again and again before the session
// is given up, also by a broker that does not know their topic, as it has only started.
func TestRecordsAreSentAgain(t *testing.T) {
	for _, refusal := range []*kerr.Error{kerr.NotEnoughReplicas, kerr.ConcurrentTransactions, kerr.NotLeaderForPartition, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID} {
		t.Run(refusal.Message, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.feed(testInput, 1, 2)
			refused := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testOutput, Err: refusal, Count: maxRecordRetries})
			p := start(t, c.config(newStore(t)))
			c.await(testOutput, 1*2*2)
			p.halt()
			c.checkCounts(1, 2, testInput, testCommands)
			if s := p.Status(); s.Counters.Aborts > 0 {
				t.Errorf("%d batches were aborted", s.Counters.Aborts)
			}
			if err := refused.Wait(c.ctx, maxRecordRetries); err != nil {
				t.Errorf("the broker refused fewer: %v", err)
			}
		})
	}
}

// emitter is a counter that does something first.
type emitter struct {
	counter
	before func(c *Context, r *kgo.Record) error
}

func (h *emitter) Process(c *Context, r *kgo.Record) error {
	if err := h.before(c, r); err != nil {
		return err
	}
	return h.counter.Process(c, r)
}

// poisoned is an emitter that sets records aside.
type poisoned struct{ emitter }

func (h *poisoned) Poisoned(c *Context, r *kgo.Record, cause error) error {
	c.Emit(&kgo.Record{Topic: testOutput, Key: []byte("dead"), Value: fmt.Appendf(nil, "%s %v", r.Value, cause)})
	return nil
}

// A panic undoes what its record has done, and nothing else.
func TestPanicIsOneRecord(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.feed(testInput, 1, 4)
	cfg := c.config(newStore(t))
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &poisoned{emitter{counter{task}, func(c *Context, r *kgo.Record) error {
			if r.Topic == testInput && string(r.Value) == "1" {
				c.Store().Put([]byte("trace"), []byte("trace"))
				c.Emit(&kgo.Record{Topic: testOutput, Key: []byte("trace")})
				c.Send(0, []byte("trace"), nil)
				panic("poison")
			}
			return nil
		}}}, nil
	}
	p := start(t, cfg)
	c.await(testOutput, 3*2+1)
	p.halt()
	got := c.values(testOutput)
	if g := strings.Join(got["dead"], ","); g != "1 panic: poison" {
		t.Errorf("set aside: %q", g)
	}
	delete(got, "dead")
	if len(got) != 2 || len(got["in/key0"]) != 3 || len(got[testCommands+"/key0"]) != 3 {
		t.Errorf("outputs are %v", got)
	}
	for _, records := range c.committed(testChangelog) {
		for _, r := range records {
			if bytes.Contains(r.Key, []byte("trace")) {
				t.Errorf("the panicked record left %s", r.Key)
			}
		}
	}
	if s := p.Status(); s.Counters.Panics != 1 {
		t.Errorf("%d panics were counted", s.Counters.Panics)
	}
}

// An error of the handler rolls back the batch, and what is tried again is half as
// large. An error that comes again with the same record stops.
func TestHandlerError(t *testing.T) {
	const always = 1 << 30
	for _, failures := range []int{1, always} {
		t.Run(fmt.Sprint(failures), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.feed(testInput, 3, 3)
			var resets resetCount
			cfg := c.config(newStore(t))
			cfg.TurnRecords = 100 // what fails is in one transaction
			left := failures
			cfg.NewHandler = func(task Task) (Handler, error) {
				return &resetting{emitter{counter{task}, func(_ *Context, r *kgo.Record) error {
					if left > 0 && string(r.Value) == "2" {
						left--
						return errTest
					}
					return nil
				}}, &resets}, nil
			}
			p := start(t, cfg)
			if failures == always {
				if err := p.wait(); !errors.Is(err, errTest) {
					t.Errorf("Run returned %v", err)
				}
			} else {
				c.await(testOutput, 3*3*2)
				p.halt()
				c.checkCounts(3, 3, testInput, testCommands)
			}
			if resets.get() == 0 {
				t.Error("no handler was reset")
			}
		})
	}
}

type resetting struct {
	emitter
	resets *resetCount
}

func (h *resetting) Reset() { h.resets.add() }

type resetCount struct {
	mu sync.Mutex
	n  int
}

func (c *resetCount) add()     { c.mu.Lock(); c.n++; c.mu.Unlock() }
func (c *resetCount) get() int { c.mu.Lock(); defer c.mu.Unlock(); return c.n }
