package processor

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// acks records the offsets of the batch's acknowledged records.
type acks struct {
	changelog string

	mu     sync.Mutex
	topics []topicAcks // few
}

type topicAcks struct {
	topic string
	next  []int64 // by partition: the offset after the last record; 0: there is none
}

// note takes a record that the brokers have acknowledged.
func (a *acks) note(r *kgo.Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var t *topicAcks
	for i := range a.topics {
		if a.topics[i].topic == r.Topic {
			t = &a.topics[i]
			break
		}
	}
	if t == nil {
		a.topics = append(a.topics, topicAcks{topic: r.Topic})
		t = &a.topics[len(a.topics)-1]
	}
	for int(r.Partition) >= len(t.next) {
		t.next = append(t.next, 0)
	}
	t.next[r.Partition] = max(t.next[r.Partition], r.Offset+1)
}

// changelogEnd returns the offset after the last changelog record of a task, or
// 0 if the batch has none of it.
func (a *acks) changelogEnd(task int32) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.topics {
		if t.topic == a.changelog && int(task) < len(t.next) {
			return t.next[task]
		}
	}
	return 0
}

// produced returns the offset after the last record of each partition that the
// batch has written to.
func (a *acks) produced() map[TopicPartition]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	ends := make(map[TopicPartition]int64)
	for _, t := range a.topics {
		for p, next := range t.next {
			if next > 0 {
				ends[TopicPartition{t.topic, int32(p)}] = next
			}
		}
	}
	return ends
}

func (a *acks) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.topics {
		clear(a.topics[i].next)
	}
}
