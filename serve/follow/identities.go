package follow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/schemas"
	"handprint/serve/history"
)

const identitiesMark = "identities"

// identitiesRead is how far the topic of identities is in the history.
type identitiesRead struct {
	Topic string          `json:"topic"` // its id: one that was made anew has another
	Next  map[int32]int64 `json:"next"`  // by partition
}

// identities follows attribution.identity: what the engine has told others that an
// identity is. The catalogue needs none of it, since the changelog says the same; it is
// shown as it was told. So a topic that is not there, or may not be read, costs only that.
func (f *Follower) identities(ctx context.Context) error {
	select {
	case <-f.checked: // the history is of these topics
	case <-ctx.Done():
		return nil
	}
	wait, told := time.Second, false
	for ctx.Err() == nil {
		partitions, id, err := f.identitiesTopic(ctx)
		if err == nil {
			wait, told = time.Second, false
			f.withheld.Store(false)
			if err = f.followIdentities(ctx, partitions, id); err == nil {
				return nil
			}
		}
		if !topicTrouble(err) {
			return err
		}
		if errors.Is(err, errNotThere) || errors.Is(err, kerr.TopicAuthorizationFailed) {
			f.withheld.Store(true)
		}
		if ctx.Err() == nil && !told && !f.Alone() {
			told = true
			shown := "they are shown as they were"
			if f.withheld.Load() {
				shown = "they are not shown until they can; everything else is"
			}
			f.cfg.Logger.Warn("the records of identities cannot be followed: "+shown, "topic", f.cfg.Names.Identities, "error", err)
		}
		if err := f.cfg.pause(ctx, wait); err != nil {
			return nil
		}
		wait = min(2*wait, 30*time.Second)
	}
	return nil
}

// topicTrouble reports whether an error is of the topic or of the brokers, and may pass.
func topicTrouble(err error) bool {
	var trouble *topicError
	return errors.As(err, &trouble)
}

// notReadable reports whether an error says that a topic is not there, or may not be read:
// what was read of it before may have been told otherwise since, and nobody learns of it.
func notReadable(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.TopicAuthorizationFailed)
}

// IdentitiesWithheld reports whether the topic of identities is not there, or may not be
// read: what is known of it is not shown then.
func (f *Follower) IdentitiesWithheld() bool { return f.withheld.Load() }

// topicError is an error of an event topic or of that of identities: it is not there, was
// made anew, may not be read, or no broker answers.
type topicError struct{ cause error }

func (e *topicError) Error() string { return e.cause.Error() }
func (e *topicError) Unwrap() error { return e.cause }

// errNotThere says that brokers agree that a topic is not there.
var errNotThere = errors.New("the topic is not there")

// identitiesTopic returns the partitions and the id of the topic. That it is another than
// the one that was read, or is not there, has to be confirmed: what was read is dropped then.
func (f *Follower) identitiesTopic(ctx context.Context) ([]int32, kadm.TopicID, error) {
	topic := f.cfg.Names.Identities
	there, err := askTopics(ctx, f.client, topic)
	t, ok := there[topic]
	switch {
	case err != nil:
	case !ok:
		err = fmt.Errorf("asking for %s: %w", topic, kerr.UnknownTopicOrPartition)
		if f.isConfirmed(ctx, []string{topic}, func(ids map[string]kadm.TopicID) bool { return len(ids) == 0 }) {
			err = fmt.Errorf("asking for %s: %w", topic, errNotThere)
		}
	default:
		read, merr := f.identitiesMark()
		if merr != nil {
			return nil, kadm.TopicID{}, merr
		}
		if !f.isAgreed(ctx, []string{topic}, map[string]string{topic: read.Topic}, map[string]kadm.TopicID{topic: t.TopicID}) {
			err = fmt.Errorf("asking for %s: %w", topic, errDoubt)
		}
	}
	if err != nil {
		return nil, kadm.TopicID{}, &topicError{err}
	}
	var partitions []int32
	for _, p := range t.Partitions {
		partitions = append(partitions, p.Partition)
	}
	return partitions, t.TopicID, nil
}

// identitiesMark returns how far the topic is in the history.
func (f *Follower) identitiesMark() (read identitiesRead, err error) {
	mark, err := f.cfg.History.Mark(identitiesMark)
	if err == nil && mark != nil {
		err = json.Unmarshal(mark, &read)
	}
	if err != nil {
		return read, fmt.Errorf("reading how far the records of identities are: %w", err)
	}
	return read, nil
}

// followIdentities reads until ctx ends, then it returns nil, or until the topic is in
// trouble.
func (f *Follower) followIdentities(ctx context.Context, partitions []int32, id kadm.TopicID) error {
	topic, h := f.cfg.Names.Identities, f.cfg.History
	read, err := f.identitiesMark()
	if err != nil {
		return err
	}
	if read.Topic != id.String() {
		if read.Topic != "" {
			f.cfg.Logger.Warn("the topic of identities was made anew: its records are read from its beginning", "topic", topic)
		}
		if err := h.Unpublish(); err != nil {
			return err
		}
		read = identitiesRead{Topic: id.String()}
	}
	if read.Next == nil {
		read.Next = make(map[int32]int64)
	}
	from := make(map[int32]kgo.Offset)
	for _, p := range partitions {
		from[p] = kgo.NewOffset().AtStart()
		if next, ok := read.Next[p]; ok {
			from[p] = kgo.NewOffset().At(next)
		}
	}
	client, err := kgo.NewClient(append(f.cfg.Client[:len(f.cfg.Client):len(f.cfg.Client)], kgo.ClientID(f.cfg.ApplicationID+"-serve-identities"),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxBytes(8<<20), kgo.FetchMaxPartitionBytes(2<<20))...)
	if err != nil {
		return fmt.Errorf("following %s: %w", topic, err)
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	var looking sync.WaitGroup
	defer looking.Wait()
	defer cancel(nil)
	ids := map[string]kadm.TopicID{topic: id}
	look := &topicLook{f: f, all: []string{topic}, ids: ids, cancel: cancel}
	looking.Go(func() { look.watch(ctx) })
	failing := false
	for {
		fetches := client.PollRecords(ctx, 5000)
		if ctx.Err() != nil {
			if cause := context.Cause(ctx); topicTrouble(cause) {
				return cause
			}
			return nil
		}
		if err := ofTopics(fetches, ids); err != nil {
			return err
		}
		var trouble error
		for _, e := range fetches.Errors() {
			trouble = e.Err
			if notReadable(e.Err) {
				return &topicError{fmt.Errorf("following %s[%d]: %w", e.Topic, e.Partition, e.Err)}
			}
			if !failing {
				f.cfg.Logger.Warn("following the records of identities is interrupted, trying again", "topic", e.Topic, "partition", e.Partition, "error", e.Err)
			}
		}
		failing = trouble != nil
		if err := f.takeIdentities(ctx, fetches, &read); err != nil {
			return err
		}
	}
}

// takeIdentities puts what was fetched into the history. One that cannot be read is left
// out: the record before it stays.
func (f *Follower) takeIdentities(ctx context.Context, fetches kgo.Fetches, read *identitiesRead) error {
	var records []history.Published
	n := 0
	for r := range fetches.RecordsAll() {
		n++
		if r.Value != nil && f.cfg.Schemas != nil {
			if err := f.cfg.Schemas.Await(ctx, r.Value); err != nil {
				return nil // the context has ended
			}
		}
		read.Next[r.Partition] = r.Offset + 1
		p := history.Published{Identity: string(r.Key)}
		if r.Value != nil {
			m, err := f.cfg.Writers.Membership(r.Value)
			if err == nil && m.Identity != p.Identity {
				err = errors.New("its key names another identity")
			}
			if err != nil {
				if f.bad.Add(1) <= 10 {
					f.cfg.Logger.Warn("the record of an identity cannot be read and is left out", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
				}
				continue
			}
			p.Record = schemas.AppendMembershipJSON(nil, &m)
		}
		records = append(records, p)
	}
	if n == 0 {
		return nil
	}
	mark, err := json.Marshal(read)
	if err != nil {
		return err
	}
	return f.cfg.History.Publish(records, map[string][]byte{identitiesMark: mark})
}
