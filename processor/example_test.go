package processor_test

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/processor"
)

// tally counts the records of each key and says the count.
type tally struct{}

// Process reads and writes the task's store and emits; all of it, and the
// offsets of the input, is one transaction.
func (tally) Process(c *processor.Context, r *kgo.Record) error {
	before, err := c.Store().Get(r.Key)
	if err != nil {
		return err
	}
	var n uint64
	if len(before) == 8 {
		n = binary.BigEndian.Uint64(before)
	}
	now := binary.BigEndian.AppendUint64(nil, n+1)
	c.Store().Put(r.Key, now)
	c.Emit(&kgo.Record{Topic: "counts", Key: append([]byte(nil), r.Key...), Value: now})
	return nil
}

// Flush has nothing to write: nothing is kept beside the store.
func (tally) Flush(*processor.Context) error { return nil }

// Reset has nothing to forget.
func (tally) Reset() {}

// A handler is made for each task when it starts, after its store is restored.
func ExampleHandler() {
	cfg := processor.Config{
		ApplicationID: "tally", Partitions: 8, Inputs: []string{"words"}, Commands: "tally-commands", Changelog: "tally-changelog",
		NewHandler: func(processor.Task) (processor.Handler, error) { return tally{}, nil },
	}
	fmt.Println(cfg.ApplicationID, "has", cfg.Partitions, "tasks") // processor.New(cfg), then Run
	// Output: tally has 8 tasks
}
