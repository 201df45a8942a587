package processor

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/processor/clocktest"
)

// While another task of the worker keeps up, a task that is flooded has a slice of
// each transaction and no more. The handler moves the clock, so nothing depends on
// how fast the machine is.
func TestAFloodOfOneTaskLeavesTheOthersTheirTurns(t *testing.T) {
	c := newCluster(t)
	byHand := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	send := func(partition int32, key, value string, n int) {
		var records []*kgo.Record
		for i := range n {
			records = append(records, &kgo.Record{Topic: testInput, Partition: partition, Key: []byte(key), Value: fmt.Appendf(nil, "%s %d", value, i)})
		}
		if err := byHand.ProduceSync(c.ctx, records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	const flood, slow = 300, 5 * time.Millisecond
	cfg := c.config(newStore(t))
	cfg.TurnRecords = 0 // the default: all that there is
	clock := clocktest.New(time.Unix(1e9, 0))
	began := clock.Now()
	cfg.Clock = clock
	var mu sync.Mutex
	slices := map[time.Time]time.Duration{} // what the handler took in each batch
	cfg.NewHandler = func(task Task) (Handler, error) {
		return &emitter{counter{task}, func(ctx *Context, r *kgo.Record) error {
			if string(r.Key) == "flood" && r.Topic == testInput {
				clock.Advance(slow)
				mu.Lock()
				slices[ctx.Now()] += slow
				mu.Unlock()
			}
			return nil
		}}, nil
	}
	p := start(t, cfg)
	send(0, "quiet", "q", 1)
	c.await(testOutput, 2) // the record, and the command that it leads to
	send(1, "flood", "f", flood)
	c.await(testOutput, 2+2*flood)
	p.halt()
	c.checkStore(cfg)
	mu.Lock()
	defer mu.Unlock()
	shared := 0
	for at, took := range slices {
		if at.Sub(began) >= keepsUpFor {
			continue
		}
		shared++
		if took > fairSlice+slow {
			t.Errorf("a batch had %s of the flood while another task kept up, want %s at most", took, fairSlice+slow)
		}
	}
	if want := int(keepsUpFor / (fairSlice + slow) / 2); shared < want {
		t.Errorf("the flood was in %d batches while another task kept up, want %d at least", shared, want)
	}
}

// The key that takes most of a task's time is named, with its share of it and
// what the task does, and no longer than keys may be shown.
func TestTheCostliestKeyIsNamed(t *testing.T) {
	var l taskLoad
	at := time.Unix(1e9, 0)
	l.show(at)
	long := make([]byte, 1000)
	for i := range long {
		long[i] = 0xff
	}
	for i := range 13_000 {
		l.spent(fmt.Appendf(nil, "attacker-%d", i), 10*time.Microsecond)
		l.spent(long, 40*time.Microsecond)
	}
	if l.shown.Load() != nil {
		t.Error("a load is shown before it is known")
	}
	at = at.Add(loadWindow)
	l.show(at)
	got := l.shown.Load()
	if got == nil || got.Records != 26_000/loadWindow.Seconds() || got.Busy != 0.13 {
		t.Fatalf("load %+v, want 5200 records a second and 0.13 of the time", got)
	}
	if len(got.Costliest) == 0 || len(got.Costliest) > 3*maxShownKey || got.Share < 0.75 || got.Share > 0.85 {
		t.Errorf("the costliest key is %q with %v of the time, want the long one with 0.8", got.Costliest, got.Share)
	}
}
