package processor

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// Records are brought together by topic and partition, and those of one partition keep
// their order, whatever is known of the topics; and each goes where the client would
// have put it.
func TestRecordsOfAPartitionAreTogetherAndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lanes := newLanes("commands", "changelog")
		partitions := map[string]int{"commands": 4, "a": 1, "b": 7, "c": 40_000}
		partitioners := map[string]kgo.TopicPartitioner{}
		usual := kgo.StickyKeyPartitioner(nil).ForTopic("")
		for topic := range partitions {
			partitioners[topic] = lanes.ForTopic(topic)
		}
		known := rapid.Bool().Draw(t, "partitions known")
		if known {
			for topic, p := range partitioners {
				p.Partition(&kgo.Record{Key: []byte("k")}, partitions[topic])
			}
			if rapid.Bool().Draw(t, "partitions added") {
				partitions["b"] = 9
			}
		}
		var s laneSort
		var records []*kgo.Record
		s.begin(lanes)
		for i := range rapid.IntRange(0, 200).Draw(t, "records") {
			r := &kgo.Record{Topic: rapid.SampledFrom([]string{"commands", "a", "b", "c", "never sent to"}).Draw(t, "topic"), Offset: int64(i)}
			if rapid.IntRange(0, 9).Draw(t, "key") > 0 {
				r.Key = fmt.Append(nil, rapid.IntRange(0, 20).Draw(t, "key"))
			}
			if r.Topic == "commands" {
				r.Partition = int32(rapid.IntRange(0, 3).Draw(t, "partition"))
			}
			if _, n := s.add(r.Topic, r.Key, r.Partition); n > 0 {
				r.Partition = s.hint(int32(i))
			}
			records = append(records, r)
		}
		order := s.sorted()
		if len(order) != len(records) {
			t.Fatalf("%d records in order, of %d", len(order), len(records))
		}
		both := map[string]bool{} // topics with records that have a key and such that have none
		for _, r := range records {
			for _, other := range records {
				both[r.Topic] = both[r.Topic] || r.Topic == other.Topic && r.Topic != "commands" && r.Key == nil && other.Key != nil
			}
		}
		newest := map[string]int64{} // of a topic that has both
		for _, i := range order {
			if r := records[i]; both[r.Topic] {
				if r.Offset < newest[r.Topic] {
					t.Fatalf("%s: record %d comes after %d, and may be of the same partition", r.Topic, r.Offset, newest[r.Topic])
				}
				newest[r.Topic] = r.Offset
			}
		}
		type lane struct {
			topic     string
			partition int
		}
		last := map[lane]int64{}
		ended := map[lane]bool{}
		var before *lane
		for _, i := range order {
			r := records[i]
			partitioner := partitioners[r.Topic]
			if partitioner == nil || r.Key == nil && r.Topic != "commands" {
				continue
			}
			n := partitions[r.Topic]
			want := int(r.Partition)
			if r.Topic != "commands" {
				want = usual.Partition(&kgo.Record{Key: r.Key}, n)
			}
			if got := partitioner.Partition(r, n); got != want {
				t.Fatalf("key %s of %s goes to partition %d of %d, want %d", r.Key, r.Topic, got, n, want)
			}
			at := lane{r.Topic, want}
			if seen, ok := last[at]; ok && seen > r.Offset && !(r.Topic == "b" && n == 9) {
				t.Fatalf("%v: record %d comes after %d", at, r.Offset, seen)
			}
			last[at] = r.Offset
			if before != nil && *before != at {
				ended[*before] = true
			}
			if known && ended[at] && !both[r.Topic] && !(r.Topic == "b" && n == 9) {
				t.Fatalf("%v is not together", at)
			}
			before = &at
		}
		// With other partitions by now those of a key still keep their order.
		keys := map[string]int64{}
		for _, i := range order {
			key := records[i].Topic + "/" + string(records[i].Key)
			if records[i].Topic == "commands" {
				continue
			}
			if seen, ok := keys[key]; ok && seen > records[i].Offset {
				t.Fatalf("%s: record %d comes after %d", key, records[i].Offset, seen)
			}
			keys[key] = records[i].Offset
		}
		if !slices.IsSorted(slices.Sorted(slices.Values(order))) || len(slices.Compact(slices.Sorted(slices.Values(order)))) != len(order) {
			t.Fatalf("not each once: %v", order)
		}
	})
}
