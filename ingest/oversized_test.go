package ingest_test

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/ingest"
	"handprint/internal/unpack"
	"handprint/internal/unpack/unpacktest"
)

// batches keeps the first offsets of batches that were dropped.
type batches struct {
	kept
	at []int64
}

func (b *batches) Dead(d ingest.DeadLetter) error {
	if d.Batch != nil {
		b.at = append(b.at, d.Batch.First)
		return nil
	}
	return b.kept.Dead(d)
}

// A batch of a sensor's topic that unpacks to too much is a dead letter with its
// place, wherever it stands, and the lines around it are read. A second run does
// not say so again, but for one that no line follows: what was read is remembered by
// lines.
func TestTooLargeBatchOfASensorsTopic(t *testing.T) {
	brokers := cluster(t, 1)
	lines := labText(t)
	limited, err := unpack.Options(1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var places []int64
	bomb := func(records int) {
		at, err := unpacktest.Send(within(t), client, logTopic, 0, records, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, at)
	}
	bomb(1)
	fill(t, brokers, lines[:300], onePartition)
	bomb(3)
	bomb(1)
	fill(t, brokers, lines[300:], onePartition)
	bomb(2)

	read := func() *batches {
		sink := new(batches)
		from := topic(brokers)
		from.Options = limited
		if _, err := from.Run(within(t), sink, positioned); err != nil {
			t.Fatal(err)
		}
		return sink
	}
	got := read()
	if !slices.Equal(got.at, places) {
		t.Errorf("dead letters of batches at %v, want %v", got.at, places)
	}
	if len(got.observations) == 0 {
		t.Error("no line was read")
	}
	if again := read(); !slices.Equal(again.at, places[len(places)-1:]) {
		t.Errorf("a second run has dead letters of the batches at %v, want %v", again.at, places[len(places)-1:])
	}
}
