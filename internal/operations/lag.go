package operations

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
)

// Lag is how far an application is behind.
type Lag struct {
	Group   string    `json:"group"`
	State   string    `json:"state"` // of the group, in Kafka's words
	Members int       `json:"members"`
	Total   int64     `json:"total"`   // input records or offsets not processed
	Lost    int64     `json:"lost"`    // offsets that were deleted before they were read, and are not reported by a task yet
	HeldUp  int64     `json:"held_up"` // offsets of the input behind open transactions, without those of the commands
	Unowned int       `json:"unowned"` // tasks that no member has
	Tasks   []TaskLag `json:"tasks"`
}

// TaskLag is how far one task is behind.
type TaskLag struct {
	Task  int32  `json:"task"`
	Owner string `json:"owner"` // instance id of the member, or its member id; empty for none
	Host  string `json:"host"`  // from where the owner is connected
	Total int64  `json:"total"`
	// Changelog is the offsets that a rebuild from nothing reads.
	Changelog int64      `json:"changelog"`
	Inputs    []InputLag `json:"inputs"`
}

// InputLag is how far a task is behind in one topic.
type InputLag struct {
	Topic     string `json:"topic"`
	Committed int64  `json:"committed"` // the next offset to read; -1 if nothing was committed yet
	End       int64  `json:"end"`       // offset behind the last committed transaction
	Lag       int64  `json:"lag"`
	Lost      int64  `json:"lost"` // offsets that were deleted before they were read
	// HeldUp is how many offsets lie behind the first record of an open transaction,
	// which is at End: nobody can read them yet.
	HeldUp int64 `json:"held_up"`
}

// countedLag is up to which lag the records themselves are counted. Offsets are
// no records: the markers of transactions have some, and stand behind the last
// record of nearly every partition of the commands.
const countedLag = 1000

// MeasureLag asks the cluster. The group and the ends of the topics are asked
// one after the other, so a busy application looks a little more behind than
// it is.
func MeasureLag(ctx context.Context, cl *kgo.Client, a *Application) (*Lag, error) {
	adm := kadm.NewClient(cl)
	group, err := describeGroup(ctx, adm, a.ID)
	if err != nil {
		return nil, err
	}
	committed, err := adm.FetchOffsets(ctx, a.ID)
	if err == nil {
		err = committed.Error()
	}
	if err != nil && !isNoGroup(err) {
		return nil, fmt.Errorf("asking for the offsets of group %s: %w", a.ID, err)
	}
	topics := append(a.read(0), a.Names.Changelog)
	ends, err := adm.ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the newest offsets: %w", err)
	}
	starts, err := adm.ListStartOffsets(ctx, topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the oldest offsets: %w", err)
	}
	tops, err := adm.ListEndOffsets(ctx, topics...)
	if err == nil {
		err = tops.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the ends of the topics: %w", err)
	}
	lag := &Lag{Group: a.ID, State: group.State, Members: len(group.Members), Tasks: []TaskLag{}}
	owners := ownersOf(&group, a.Names.Observations)
	for p := range a.Layout.Partitions {
		t := TaskLag{Task: p}
		if m, ok := owners[p]; ok {
			t.Owner, t.Host = memberName(m), m.ClientHost
		} else {
			lag.Unowned++
		}
		for _, topic := range a.read(p) {
			end, ok := ends.Lookup(topic, p)
			if !ok {
				return nil, fmt.Errorf("topic %s has no partition %d: it has to have %d (handprint topics check)", topic, p, a.Layout.Partitions)
			}
			start, _ := starts.Lookup(topic, p)
			in := InputLag{Topic: topic, Committed: -1, End: end.Offset}
			from := start.Offset
			if o, ok := committed.Lookup(topic, p); ok && o.At >= 0 {
				in.Committed = o.At
				from = max(from, o.At)
				in.Lost = max(0, start.Offset-o.At)
			}
			in.Lag = max(0, end.Offset-from)
			if top, ok := tops.Lookup(topic, p); ok {
				in.HeldUp = max(0, top.Offset-end.Offset)
			}
			if topic != a.Names.Commands { // the application's own transactions are open there all the time
				lag.HeldUp += in.HeldUp
			}
			if in.Lag > 0 && in.Lag <= countedLag {
				if in.Lag, err = broker.CountFrom(ctx, cl, topic, p, from); err != nil {
					return nil, fmt.Errorf("counting the records of %s[%d] from %d on: %w", topic, p, from, err)
				}
			}
			t.Total += in.Lag
			lag.Lost += in.Lost
			t.Inputs = append(t.Inputs, in)
		}
		if end, ok := ends.Lookup(a.Names.Changelog, p); ok {
			start, _ := starts.Lookup(a.Names.Changelog, p)
			t.Changelog = end.Offset - start.Offset
		}
		lag.Total += t.Total
		lag.Tasks = append(lag.Tasks, t)
	}
	return lag, nil
}

// deadGroup is the state of a group that does not exist, in Kafka's words.
const deadGroup = "Dead"

// describeGroup returns a group; one that does not exist is "Dead" and has no
// members.
func describeGroup(ctx context.Context, adm *kadm.Client, name string) (kadm.DescribedGroup, error) {
	groups, err := adm.DescribeGroups(ctx, name)
	if err != nil {
		return kadm.DescribedGroup{}, fmt.Errorf("asking for group %s: %w", name, err)
	}
	g := groups[name]
	if g.Err != nil && !isNoGroup(g.Err) {
		return g, fmt.Errorf("asking for group %s: %w", name, g.Err)
	}
	if g.State == "" {
		g.State = deadGroup
	}
	return g, nil
}

// ownersOf returns which member has which task.
func ownersOf(g *kadm.DescribedGroup, topic string) map[int32]*kadm.DescribedGroupMember {
	owners := make(map[int32]*kadm.DescribedGroupMember)
	for i := range g.Members {
		m := &g.Members[i]
		assigned, ok := m.Assigned.AsConsumer()
		if !ok {
			continue
		}
		for _, t := range assigned.Topics {
			if t.Topic != topic {
				continue
			}
			for _, p := range t.Partitions {
				owners[p] = m
			}
		}
	}
	return owners
}

func memberName(m *kadm.DescribedGroupMember) string {
	if m.InstanceID != nil && *m.InstanceID != "" {
		return *m.InstanceID
	}
	return m.MemberID
}
