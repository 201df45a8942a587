package processor

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

// Copies of changelogs whose batches do not all fit one fetch come to their ends, all
// of them: the broker leaves out of an answer what has no room in it.
func TestCopiesOfLargeBatches(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	client := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0))
	random := rand.New(rand.NewPCG(1, 2))
	var records []*kgo.Record
	for task := range int32(testTasks) {
		for n := range 2 * standbyFetchBytes / testTasks / (900 << 10) {
			value := make([]byte, 900<<10)
			for i := range value {
				value[i] = byte(random.Uint32())
			}
			records = append(records, &kgo.Record{Topic: testChangelog, Partition: task, Key: []byte{byte(n)}, Value: value})
		}
	}
	if err := client.ProduceSync(c.ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	copies := NewCopies(CopiesConfig{
		Client: cfg.Client, Name: "copies", Changelog: testChangelog, Partitions: testTasks, Store: cfg.Store, Logger: cfg.Logger,
		Watcher: CopyWatcher{Applied: func(int32, []*kgo.Record, state.Checkpoint) {}, Emptied: func(int32) {}},
	})
	ctx, stop := context.WithCancel(c.ctx)
	done := make(chan error, 1)
	go func() { done <- copies.Run(ctx) }()
	patient, cancel := context.WithTimeout(c.ctx, testPatience)
	defer cancel()
	err := until(patient, func() (bool, error) {
		caught := 0
		for _, s := range copies.Status() {
			if s.Lag == 0 {
				caught++
			}
		}
		return caught == testTasks, nil
	})
	if err != nil {
		t.Fatalf("the copies are at %+v: %v", copies.Status(), err)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for task := range int32(testTasks) {
		if got := contents(t, cfg.Store, task); len(got) == 0 {
			t.Errorf("the copy of task %d is empty", task)
		}
	}
}

// Who asks how far copies are does not wait for what is made of their records.
func TestTheStatusOfCopiesWaitsForNobody(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(newStore(t))
	client := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := client.ProduceSync(c.ctx, &kgo.Record{Topic: testChangelog, Key: []byte("k"), Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	applying, asked := make(chan struct{}, 100), make(chan struct{})
	copies := NewCopies(CopiesConfig{
		Client: cfg.Client, Name: "copies", Changelog: testChangelog, Partitions: testTasks, Store: cfg.Store, Logger: cfg.Logger,
		Watcher: CopyWatcher{Emptied: func(int32) {}, Applied: func(int32, []*kgo.Record, state.Checkpoint) {
			applying <- struct{}{}
			<-asked
		}},
	})
	ctx, stop := context.WithCancel(c.ctx)
	done := make(chan error, 1)
	go func() { done <- copies.Run(ctx) }()
	<-applying
	status := make(chan int, 1)
	go func() { status <- len(copies.Status()) }()
	patient, cancel := context.WithTimeout(c.ctx, testPatience)
	defer cancel()
	select {
	case n := <-status:
		if n != testTasks {
			t.Errorf("%d copies, want %d", n, testTasks)
		}
	case <-patient.Done():
		t.Error("the status is not told")
	}
	close(asked)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
