package processor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// inputs is how far a running task has read its input. The state is the truth
// about that, not the group: a group expires, is deleted, reset or moved, and each
// transaction writes the state's positions with everything else.
type inputs struct {
	list    []input
	history history // of the store, up to the last transaction
	terms   []Term
	older   uint64
	reset   int64
	value   []byte // the record of positions of the batch
	told    bool   // the handler has heard in this batch of the commands that are lost
}

// input is one partition that a task reads.
type input struct {
	Position       // what is committed
	next     int64 // what the batch has reached
	epoch    int32
	// stale is set while the group has another offset than the state; the next
	// transaction of the task puts it right.
	stale bool
	// lost is what the log no longer had when the task started, and what the next
	// transaction of the task steps over; nil: nothing.
	lost *Loss
}

// of returns the input with this topic, nil if the task does not read it.
func (in *inputs) of(topic string) *input {
	for i := range in.list {
		if in.list[i].Topic == topic {
			return &in.list[i]
		}
	}
	return nil
}

// reached returns the position that the batch has reached.
func (in *input) reached() Position {
	at := in.Position
	at.Next, at.Epoch = in.next, in.epoch
	if in.lost != nil {
		at = at.lose(Range{in.lost.From, in.lost.To})
	}
	return at
}

// rollback goes back to what is committed.
func (in *inputs) rollback() {
	in.told = false
	for i := range in.list {
		in.list[i].next, in.list[i].epoch = in.list[i].Next, in.list[i].Epoch
	}
}

// record returns the record of positions of a transaction.
func (in *inputs) record() []byte {
	p := Positions{Nonce: rand.Uint64(), Reset: in.reset, Terms: in.terms, OlderTerms: in.older, Inputs: in.history.positions.Inputs[:0]}
	for i := range in.list {
		p.Inputs = append(p.Inputs, in.list[i].reached())
	}
	in.value = AppendPositions(in.value[:0], &p)
	in.history.positions = p
	return in.value
}

// committed makes what the batch has reached the committed positions: its record
// is in the changelog at offset at.
func (in *inputs) committed(at int64) {
	in.history.at = at
	in.history.value = in.value
	in.told = false
	for i := range in.list {
		p := &in.list[i]
		p.Position, p.stale, p.lost = p.reached(), false, nil
	}
}

// begin starts a term at offset start of the changelog.
func (in *inputs) begin(h *history, start int64) {
	in.history = *h
	in.reset, in.older = h.positions.Reset, h.positions.OlderTerms
	in.terms = append(in.terms, h.positions.Terms...)
	in.terms = append(in.terms, Term{ID: rand.Uint64(), Start: start})
	if n := len(in.terms) - maxTerms; n > 0 {
		in.older += uint64(n)
		in.terms = in.terms[n:]
	}
	in.history.positions.Inputs = nil
}

// opening is what is found out about a task's input before it is read.
type opening struct {
	cfg    *Config
	task   int32
	p      *Processor
	topics map[string]topicEnds
	group  map[string]kadm.Offset // what the group has; asked for only where it is further on than the state
}

// topicEnds is what the brokers say of a partition of the input.
type topicEnds struct {
	id         [16]byte
	start, end int64
	// cut is where the leader epoch of the last record that was read ends; end if
	// that is not known.
	cut int64
}

// openInputs returns where a task begins to read: where its state says, whatever
// the group says, or at the start of the log where that is gone. It asks again as
// long as brokers do not answer. The history is that of the restored store, whose
// changelog ends at start; group has the group's offsets, -1 for none.
func (p *Processor) openInputs(ctx context.Context, task int32, h *history, start int64, group map[string]int64) (inputs, error) {
	o := &opening{cfg: &p.cfg, task: task, p: p}
	retry := backoff{clock: p.cfg.Clock, max: restoreRetryMax}
	for {
		err := o.ask(ctx, h)
		if err == nil {
			break
		}
		err = fmt.Errorf("task %d: asking how far its input goes: %w", task, err)
		switch {
		case ctx.Err() != nil:
			return inputs{}, ctx.Err()
		case unauthorized(err):
			return inputs{}, err
		}
		if retry.next == retry.max || retry.next == 0 {
			p.log.Warn("a task cannot begin to read yet, trying again", "task", task, "error", err)
		}
		if err := retry.wait(ctx); err != nil {
			return inputs{}, err
		}
	}
	var in inputs
	if err := o.askGroup(ctx, h, group); err != nil {
		return inputs{}, err
	}
	if err := o.compare(&in, h, group); err != nil {
		return inputs{}, err
	}
	in.begin(h, start)
	return in, nil
}

// askGroup asks who has committed what the group has, if that is further on than
// the state.
func (o *opening) askGroup(ctx context.Context, h *history, group map[string]int64) error {
	ahead := slices.ContainsFunc(h.positions.Inputs, func(s Position) bool { return group[s.Topic] > s.Next })
	retry := backoff{clock: o.cfg.Clock, max: restoreRetryMax}
	for ahead {
		offsets, err := o.fetchGroup(ctx)
		if err == nil {
			o.group = offsets
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		o.p.log.Debug("asking for the group's offsets failed, trying again", "task", o.task, "error", err)
		if err := retry.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fetchGroup returns the group's offsets of the task's input, by topic.
func (o *opening) fetchGroup(ctx context.Context) (map[string]kadm.Offset, error) {
	ctx, cancel := context.WithTimeout(ctx, sideTimeout)
	defer cancel()
	answer, err := kadm.NewClient(o.p.side).FetchOffsetsForTopics(ctx, o.cfg.ApplicationID, o.cfg.topicsOf(o.task)...)
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the offsets of group %s: %w", o.cfg.ApplicationID, err)
	}
	offsets := make(map[string]kadm.Offset)
	answer.Each(func(a kadm.OffsetResponse) {
		if a.Partition == o.task {
			offsets[a.Topic] = a.Offset
		}
	})
	return offsets, nil
}

// offsetMark is in the metadata of the offsets that the application itself commits.
const offsetMark = "handprint task"

// refuseYounger returns an error if the group has read further than the state, and a
// transaction of the application itself has said so: that transaction is no longer
// in the changelog. Offsets that somebody else has moved are no such sign.
func (o *opening) refuseYounger(s *Position, has int64) error {
	g, known := o.group[s.Topic]
	if !known || has <= s.Next || g.At != has || g.Metadata != offsetMark || s.ID != o.topics[s.Topic].id {
		return nil
	}
	return fatal(fmt.Errorf("task %d: group %s has read %s[%d] to offset %d by its own transactions, but changelog %s[%d] knows of %d only: it was put back, cut or made anew; "+
		"put the right one back; or go on from what the changelog has, after deleting the group; or begin from nothing with: handprint reset",
		o.task, o.cfg.ApplicationID, s.Topic, o.task, has, o.cfg.Changelog, o.task, s.Next))
}

// ask asks the brokers.
func (o *opening) ask(ctx context.Context, h *history) error {
	ctx, cancel := context.WithTimeout(ctx, sideTimeout)
	defer cancel()
	topics := o.cfg.topicsOf(o.task)
	admin := kadm.NewClient(o.p.side)
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	ends, err := admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	o.topics = make(map[string]topicEnds)
	for _, topic := range topics {
		r := newChangelogReader(o.p.side, topic, o.task, 0, 0)
		if err := r.locate(ctx); err != nil {
			return fmt.Errorf("%s[%d]: %w", topic, o.task, err)
		}
		t := topicEnds{id: r.id}
		if t.start, err = listed(starts, nil)(topic, o.task); err == nil {
			t.end, err = listed(ends, nil)(topic, o.task)
		}
		if err != nil {
			return fmt.Errorf("%s[%d]: %w", topic, o.task, err)
		}
		t.cut = t.end
		if s := h.positions.of(topic); s != nil && s.ID == t.id && s.Epoch >= 0 {
			end, known, err := r.endOfEpoch(ctx, s.Epoch)
			if err != nil {
				return fmt.Errorf("%s[%d]: %w", topic, o.task, err)
			}
			if known {
				t.cut = min(end, t.end)
			}
		}
		o.topics[topic] = t
	}
	return nil
}

// compare works out where to begin.
func (o *opening) compare(in *inputs, h *history, group map[string]int64) error {
	var moved []string
	for _, topic := range o.cfg.topicsOf(o.task) {
		ends := o.topics[topic]
		at := input{Position: Position{Topic: topic, ID: ends.id, First: ends.start, Next: ends.start, Epoch: -1}}
		has := group[topic]
		if s := h.positions.of(topic); s != nil {
			if err := o.from(&at, s); err != nil {
				return err
			}
			if err := o.refuseYounger(s, has); err != nil {
				return err
			}
			if has != s.Next && (has >= 0 || s.Next > 0) {
				moved = append(moved, fmt.Sprintf("%s[%d]: group %d, state %d", topic, o.task, has, s.Next))
			}
		} else if has > ends.start && h.at < 0 {
			return fatal(fmt.Errorf("task %d: group %s has read %s[%d] to offset %d, but changelog %s[%d] has nothing of that: it was deleted or made anew; "+
				"put it back, or begin from nothing with: handprint reset", o.task, o.cfg.ApplicationID, topic, o.task, has, o.cfg.Changelog, o.task))
		}
		at.next, at.epoch = at.Next, at.Epoch
		at.stale = has != at.Next && (has >= 0 || at.Next > 0)
		in.list = append(in.list, at)
	}
	if len(moved) > 0 {
		// A task that starts again before it has committed is no news.
		differs := strings.Join(moved, "; ")
		o.p.losses.once(differs, func() {
			o.p.counters.movedOffsets.Add(1)
			o.p.log.Warn("the group's offsets are not where the state has read to; reading goes on where the state says, and the group is put right",
				"task", o.task, "differs", differs)
		})
	}
	return nil
}

// from begins where the state says, or where the log goes on.
func (o *opening) from(at *input, s *Position) error {
	ends := o.topics[s.Topic]
	if s.ID == ends.id {
		at.First, at.Lost, at.OlderLost, at.Earlier = s.First, s.Lost, s.OlderLost, s.Earlier
	}
	switch {
	case s.ID != ends.id && s.ID != noTopicID && ends.id != noTopicID:
		o.p.losses.once(fmt.Sprintf("%s[%d] is not topic %x", s.Topic, o.task, s.ID), func() {
			o.p.log.Warn("an input topic was made anew, and is read from its start", "topic", s.Topic, "partition", o.task, "had_read_to", s.Next)
		})
		o.p.watch.noteFault(TopicMadeAnew, s.Topic, "the input topic was made anew, and is read from its start")
		at.had(s)
		return nil
	case s.Next > ends.cut:
		// What was read is no longer there, and what comes next is new.
		o.p.log.Warn("the input was cut behind what has been read, and is read from where it was cut",
			"topic", s.Topic, "partition", o.task, "had_read_to", s.Next, "log_end", ends.cut)
		at.Next = max(ends.cut, ends.start)
		at.had(s)
		return nil
	case s.Next >= ends.start:
		at.Next, at.Epoch = s.Next, s.Epoch
		return nil
	}
	at.lost = &Loss{Topic: s.Topic, Partition: o.task, From: s.Next, To: ends.start}
	return o.p.foundLoss(at.lost)
}

// endOfEpoch returns where a leader epoch of the partition ends, and false if the
// broker does not know.
func (r *changelogReader) endOfEpoch(ctx context.Context, epoch int32) (end int64, known bool, err error) {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = -1
	t := kmsg.NewOffsetForLeaderEpochRequestTopic()
	t.Topic = r.topic
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = r.partition, -1, epoch
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	kresp, err := r.client.Broker(int(r.leader)).Request(ctx, req)
	if err != nil {
		return 0, false, err
	}
	resp, ok := kresp.(*kmsg.OffsetForLeaderEpochResponse)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, false, nil
	}
	answer := resp.Topics[0].Partitions[0]
	err = kerr.ErrorForCode(answer.ErrorCode)
	switch {
	case kerr.IsRetriable(err):
		return 0, false, err
	case err != nil:
		return 0, false, nil // other checks have to do
	}
	return answer.EndOffset, answer.EndOffset >= 0, nil
}
