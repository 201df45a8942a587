package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

// ErrOtherTopic means that an input topic is not the one that was processed: it was
// deleted and made anew.
var ErrOtherTopic = errors.New("the topic is not the one that was processed")

// processed returns ErrOtherTopic if the state says that it has read another topic
// than the one that is there under its name, now or before it was made anew, or further
// than that goes.
func (a *Auditor) processed(ctx context.Context) error {
	n := &a.o.Topics
	topics, err := a.adm.ListTopics(ctx, n.Observations, n.IdentityEvents)
	if err != nil {
		return fmt.Errorf("asking for the input topics: %w", err)
	}
	found, err := a.list(ctx, a.adm.ListEndOffsets, n.Observations, n.IdentityEvents)
	if err != nil {
		return err
	}
	all, err := a.readPositions(ctx)
	if err != nil {
		return err
	}
	for task, read := range all {
		for _, in := range read.Inputs {
			is, ok := topics[in.Topic]
			if !ok || is.Err != nil {
				continue // the commands, or a topic that the application reads no longer
			}
			none := kadm.TopicID{}
			if n := len(in.Earlier); n > 0 {
				e := in.Earlier[n-1]
				if e.ID == in.ID {
					return fmt.Errorf("%w: %s[%d] was read to offset %d before it was cut or put back from a backup, and what was read beyond cannot be checked", ErrOtherTopic, in.Topic, task, e.Next)
				}
				return fmt.Errorf("%w: %s[%d] was read to offset %d as the topic with id %s before it was made anew, and what was read then cannot be checked",
					ErrOtherTopic, in.Topic, task, e.Next, kadm.TopicID(e.ID))
			}
			switch end := found[in.Topic][task]; {
			case is.ID != none && in.ID != none && is.ID != kadm.TopicID(in.ID):
				return fmt.Errorf("%w: %s[%d] was read to offset %d as the topic with id %s, and the topic there now has id %s: it was deleted and made anew, and what was read before cannot be checked",
					ErrOtherTopic, in.Topic, task, in.Next, kadm.TopicID(in.ID), is.ID)
			case in.Next > end:
				return fmt.Errorf("%w: %s[%d] was read to offset %d, and ends at %d: it was cut or put back from a backup, and what was read beyond cannot be checked",
					ErrOtherTopic, in.Topic, task, in.Next, end)
			}
		}
	}
	return nil
}
