package processor

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lanes decides to which partition a record goes: commands and changelog records to
// the one that they name, all others to that which Kafka's default partitioner takes. A
// session has one.
//
// It also tells the worker in advance, so that records are given to the client partition
// by partition. The client sends what it has as soon as it can, one batch for each
// partition. So records of all partitions in turn make many small batches, which cost
// brokers more than the records in them: with a million attackers the state topic had
// 107 records a batch.
type lanes struct {
	commands, changelog string

	mu     sync.Mutex
	topics []*topicLanes
}

// topicLanes is a topic of lanes.
type topicLanes struct {
	kgo.TopicPartitioner
	topic  string
	manual bool         // records name their partition
	count  atomic.Int32 // partitions of the topic; 0: not known yet
}

// keyedLanes is a topic whose records without a key stay in one partition until a batch
// is full.
type keyedLanes struct {
	*topicLanes
	kgo.TopicPartitionerOnNewBatch
}

func newLanes(commands, changelog string) *lanes {
	return &lanes{commands: commands, changelog: changelog}
}

// ForTopic implements kgo.Partitioner.
func (l *lanes) ForTopic(topic string) kgo.TopicPartitioner {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &topicLanes{topic: topic, manual: topic == l.commands || topic == l.changelog}
	l.topics = append(slices.DeleteFunc(l.topics, func(t *topicLanes) bool { return t.topic == topic }), t)
	if t.manual {
		t.TopicPartitioner = kgo.ManualPartitioner().ForTopic(topic)
		return t
	}
	t.TopicPartitioner = kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	if sticky, ok := t.TopicPartitioner.(kgo.TopicPartitionerOnNewBatch); ok {
		return &keyedLanes{t, sticky}
	}
	return t
}

// of returns what is known of the partitions of a topic; nil: nothing yet.
func (l *lanes) of(topic string) *topicLanes {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.topics {
		if t.topic == topic {
			return t
		}
	}
	return nil
}

// Partition implements kgo.TopicPartitioner. A record whose partition was worked out
// in advance names it, unless the topic has other partitions by now.
func (t *topicLanes) Partition(r *kgo.Record, n int) int {
	if t.manual {
		t.count.Store(int32(n))
		return t.TopicPartitioner.Partition(r, n)
	}
	if r.Key == nil {
		r.Partition = 0
		return t.TopicPartitioner.Partition(r, n)
	}
	t.count.Store(int32(n))
	p, ok := hinted(r, n)
	if !ok {
		p = t.TopicPartitioner.Partition(r, n)
	}
	r.Partition = int32(p)
	return p
}

// A hint is what r.Partition is of a record that was not given to the client yet, if
// its partition was worked out: below 0, of the partition and how many there were.
const (
	hintBits   = 15
	maxHinted  = 1<<hintBits - 1 // partitions
	hintedPart = 1<<hintBits - 1
)

// hint returns 0 if there is none: the partitioner works it out.
func hint(partition, n int) int32 {
	if n == 0 || n > maxHinted {
		return 0
	}
	return ^int32(n<<hintBits | partition)
}

// hinted returns the partition of n that r was found to be for, if it was.
func hinted(r *kgo.Record, n int) (partition int, ok bool) {
	if r.Partition >= 0 || int(^r.Partition)>>hintBits != n {
		return 0, false
	}
	return int(^r.Partition) & hintedPart, true
}

// laneSort brings records, or places of changes, into the order of their topics and
// partitions. What is of one partition keeps its order. Nobody knows in advance where a
// record without a key goes, so a topic that has both kinds keeps the order of all its
// records: dead letters have the keys of what they are about, and some have none. It is
// scratch, for one goroutine.
type laneSort struct {
	lanes  *lanes
	topics []laneTopic
	lane   []int32 // of each that was added
	hints  []int32 // likewise
	next   []int32 // by lane: where the next one of it goes
	order  []int32
	key    kgo.Record // whose partition is asked for
}

// laneTopic is a topic of a laneSort.
type laneTopic struct {
	name  string
	topic *topicLanes // nil: the client has not asked for it yet
	first int32       // of its lanes
	count int32
	keys  bool // has records with keys
	bare  bool // has records without
}

// begin forgets what was added.
func (s *laneSort) begin(l *lanes) {
	clear(s.topics)
	s.lanes, s.topics, s.lane, s.hints, s.next = l, s.topics[:0], s.lane[:0], s.hints[:0], s.next[:0]
}

// add adds a record of a topic, and returns which partition it is for, of how many. n
// is 0 if that is not known: it has no key, or nothing was sent to the topic yet.
func (s *laneSort) add(topic string, key []byte, partition int32) (p, n int) {
	var t *laneTopic
	for i := range s.topics {
		if s.topics[i].name == topic {
			t = &s.topics[i]
			break
		}
	}
	if t == nil {
		of := s.lanes.of(topic)
		count := int32(1)
		if of != nil {
			count = max(1, of.count.Load())
		}
		s.topics = append(s.topics, laneTopic{name: topic, topic: of, first: int32(len(s.next)), count: count})
		t = &s.topics[len(s.topics)-1]
		s.next = append(s.next, make([]int32, count)...)
	}
	switch {
	case t.topic == nil || t.count == 1:
	case t.topic.manual:
		p = int(uint32(partition) % uint32(t.count))
	case key != nil:
		s.key.Key = key
		p, n = t.topic.TopicPartitioner.Partition(&s.key, int(t.count)), int(t.count)
		s.key.Key = nil
		t.keys = true
	default:
		t.bare = true
	}
	lane := t.first + int32(p)
	s.next[lane]++
	s.lane, s.hints = append(s.lane, lane), append(s.hints, hint(p, n))
	return p, n
}

// hint returns that of what was added as number i.
func (s *laneSort) hint(i int32) int32 { return s.hints[i] }

// sorted returns the numbers of what was added, from 0 on, in the order in which to
// send it. The slice is valid until the next call of s.
func (s *laneSort) sorted() []int32 {
	for i := range s.topics {
		if t := &s.topics[i]; t.keys && t.bare {
			s.join(t)
		}
	}
	at := int32(0)
	for i, n := range s.next {
		s.next[i] = at
		at += n
	}
	s.order = slices.Grow(s.order[:0], len(s.lane))[:len(s.lane)]
	for i, lane := range s.lane {
		s.order[s.next[lane]] = int32(i)
		s.next[lane]++
	}
	return s.order
}

// join makes one lane of those of a topic.
func (s *laneSort) join(t *laneTopic) {
	lanes := s.next[t.first : t.first+t.count]
	clear(lanes)
	for i, lane := range s.lane {
		if lane >= t.first && lane < t.first+t.count {
			s.lane[i] = t.first
			lanes[0]++
		}
	}
}
