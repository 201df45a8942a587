package ingest_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/ingest"
	"handprint/ingest/cowrie"
	"handprint/ingest/cowrie/lab"
)

const observationTopic, deadTopic, logTopic = "attacker.observation", "attribution.dead-letter", "cowrie"

func cluster(t *testing.T, logPartitions int32) []string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, observationTopic), kfake.SeedTopics(1, deadTopic), kfake.SeedTopics(logPartitions, logTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func producer(t *testing.T, brokers []string) *ingest.Producer {
	t.Helper()
	p, err := ingest.NewProducer(within(t), ingest.ProducerConfig{Brokers: brokers, Observations: observationTopic, DeadLetters: deadTopic, MaxInFlight: 50})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// all reads every record of a topic.
func all(t *testing.T, brokers []string, topic string) []*kgo.Record {
	t.Helper()
	ctx := within(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	want := int64(0)
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	var records []*kgo.Record
	for int64(len(records)) < want {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// fill writes lines to the log topic, each to the partition that at says.
func fill(t *testing.T, brokers []string, lines []string, at func(i int) int32) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	records := make([]*kgo.Record, len(lines))
	for i, l := range lines {
		records[i] = &kgo.Record{Topic: logTopic, Partition: at(i), Value: []byte(l)}
	}
	if err := client.ProduceSync(within(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func onePartition(int) int32 { return 0 }

func labText(t *testing.T) []string {
	var text bytes.Buffer
	if _, err := text.ReadFrom(lab.Log()); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
}

func headersOf(r *kgo.Record) string {
	var b strings.Builder
	for _, h := range r.Headers {
		if h.Key != "handprint.source.timestamp" {
			fmt.Fprintf(&b, "%s=%s;", h.Key, h.Value)
		}
	}
	return b.String()
}

func TestProducerSendsByTheDefaultPartitioner(t *testing.T) {
	brokers := cluster(t, 1)
	p := producer(t, brokers)
	var sink kept
	files := ingest.Files{Names: []string{write(t, "log", lab.Packed())}}
	if _, err := files.Run(within(t), &sink, cowrieAdapter); err != nil {
		t.Fatal(err)
	}
	amounts, err := files.Run(within(t), p, cowrieAdapter)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Record(nil, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	records := all(t, brokers, observationTopic)
	if int64(len(records)) != amounts.Observations+1 {
		t.Fatalf("%d records, want %d", len(records), amounts.Observations+1)
	}
	// Java's murmur2 of these keys, modulo 3.
	partitioner := kgo.StickyKeyPartitioner(nil).ForTopic(observationTopic)
	sent := []string{}
	for _, r := range records {
		if r.Key == nil {
			continue
		}
		sent = append(sent, string(r.Value))
		if want := partitioner.Partition(r, 3); int32(want) != r.Partition {
			t.Fatalf("key %s went to partition %d, want %d", r.Key, r.Partition, want)
		}
	}
	slices.Sort(sent)
	if !slices.Equal(sent, slices.Sorted(slices.Values(sink.observations))) {
		t.Error("the records are not the observations")
	}
}

func TestDeadLettersCarryTheirPlace(t *testing.T) {
	brokers := cluster(t, 1)
	p := producer(t, brokers)
	for _, d := range []ingest.DeadLetter{
		{Reason: "r", Line: []byte("bad"), Length: 3, File: "f", Number: 7},
		{Reason: "r", Line: []byte("ba"), Length: 300, File: "f", Number: 8},
		{Reason: "r", Line: []byte("bad"), Length: 3, Record: &kgo.Record{Key: []byte("k"), Topic: "t", Partition: 2, Offset: 9, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}}},
	} {
		if err := p.Dead(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range all(t, brokers, deadTopic) {
		got[headersOf(r)] = fmt.Sprintf("%s %s", r.Key, r.Value)
	}
	want := map[string]string{
		"handprint.reason=r;handprint.stage=ingest;handprint.source.file=f;handprint.source.line=7;":                                     " bad",
		"handprint.reason=r;handprint.stage=ingest;handprint.source.file=f;handprint.source.line=8;handprint.source.length=300;":         " ba",
		"h=v;handprint.reason=r;handprint.stage=ingest;handprint.source.topic=t;handprint.source.partition=2;handprint.source.offset=9;": "k bad",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestProducerSaysWhatFailed(t *testing.T) {
	brokers := cluster(t, 1)
	p := producer(t, brokers)
	if err := p.Record([]byte("k"), make([]byte, 2<<20)); err != nil {
		t.Fatal(err)
	}
	err := p.Flush(within(t))
	if err == nil || !strings.Contains(err.Error(), observationTopic) || !strings.Contains(err.Error(), `"k"`) {
		t.Errorf("flushing: %v", err)
	}
	if err := p.Record(nil, []byte("{}")); err == nil {
		t.Error("after a failure, a record is taken")
	}
}

func topic(brokers []string) *ingest.Topic {
	return &ingest.Topic{Brokers: brokers, Name: logTopic, Group: "g", UntilEnd: true}
}

func positioned(s ingest.Sink) (ingest.Positioned, error) {
	return cowrie.New(cowrie.DefaultSettings(), s.Observation, s.Dead)
}

func TestATopicReadInPiecesGivesWhatAFileGives(t *testing.T) {
	brokers := cluster(t, 1)
	lines := labText(t)
	var want kept
	files := ingest.Files{Names: []string{write(t, "log", []byte(strings.Join(lines, "\n")+"\nbad"))}}
	if _, err := files.Run(within(t), &want, cowrieAdapter); err != nil {
		t.Fatal(err)
	}

	got := map[string]int{}
	var dead []string
	for _, piece := range [][]string{lines[:300], lines[300:301], nil, lines[301:900], append(slices.Clone(lines[900:]), "bad")} {
		fill(t, brokers, piece, onePartition)
		for range 2 { // the second run finds nothing new to say
			var sink kept
			if _, err := topic(brokers).Run(within(t), &sink, positioned); err != nil {
				t.Fatal(err)
			}
			for _, o := range sink.observations {
				got[o]++
			}
			dead = append(dead, sink.dead...)
		}
	}
	for _, o := range want.observations {
		if got[o] == 0 {
			t.Errorf("missing %s", o)
		}
		delete(got, o)
	}
	for o := range got {
		t.Errorf("unexpected %s", o)
	}
	if text := strings.Join(dead, "|"); text != "cowrie[0]@1135  of 3: not a JSON object" {
		t.Errorf("dead letters %s", text)
	}
}

func TestATopicsOpenSessionsCanBeEnded(t *testing.T) {
	brokers := cluster(t, 2)
	lines := labText(t)[:100]
	// A session's lines must stay in one partition.
	at := func(i int) int32 {
		_, session, _ := strings.Cut(lines[i], `"session":"`)
		return int32(session[0] & 1)
	}
	fill(t, brokers, lines, at)
	var sink, again kept
	in := topic(brokers)
	in.CloseAtEnd = true
	amounts, err := in.Run(within(t), &sink, positioned)
	if err != nil {
		t.Fatal(err)
	}
	if amounts.Lines != 100 || len(sink.observations) == 0 {
		t.Errorf("%+v", amounts)
	}
	if amounts, err = in.Run(within(t), &again, positioned); err != nil || len(again.observations) != 0 {
		t.Errorf("the second run: %+v, %v", amounts, err)
	}
}

func TestATopicThatIsNotThere(t *testing.T) {
	in := topic(cluster(t, 1))
	in.Name = "none"
	var sink kept
	if _, err := in.Run(within(t), &sink, positioned); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("%v", err)
	}
}

func TestATopicIsReadUntilTheContextEnds(t *testing.T) {
	brokers := cluster(t, 1)
	fill(t, brokers, labText(t), onePartition)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	in := topic(brokers)
	in.UntilEnd = false
	sink := &cancelling{cancel: cancel, after: 100}
	if _, err := in.Run(ctx, sink, positioned); err != nil {
		t.Fatal(err)
	}
	if len(sink.observations) < 100 {
		t.Errorf("%d observations", len(sink.observations))
	}
	var rest kept
	if _, err := topic(brokers).Run(within(t), &rest, positioned); err != nil {
		t.Fatal(err)
	}
	if len(rest.observations) != 0 {
		t.Errorf("%d observations are sent again after a clean end", len(rest.observations))
	}
}

// cancelling ends the run once it has been given enough.
type cancelling struct {
	kept
	cancel context.CancelFunc
	after  int
}

func (c *cancelling) Observation(o ingest.Observation) error {
	if c.after--; c.after == 0 {
		c.cancel()
	}
	return c.kept.Observation(o)
}
