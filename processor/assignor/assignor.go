package assignor

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Assignor is the group's assignor. It gives out tasks, not partitions:
// whoever gets task p gets partition p of every topic that has one, which for
// task 0 includes the topics of a single partition. It is cooperative: what
// does not move is not interrupted. Who gets what, and where standby copies go,
// is decided in placement.go; what members tell each other for it is in
// metadata.go.
//
// Each client has its own, because it also remembers the assignment that its
// client was given last.
type Assignor struct {
	Rules Rules
	// Partitions returns how many partitions a topic is to have. Further partitions
	// are assigned to nobody; the watch ends the processor over them.
	Partitions func(topic string) int32
	// Describe returns what the group is to know of this process. May be
	// nil.
	Describe func() MemberData
	// Decided is called with the standby copies that a rebalance has given
	// to this member; nil if the leader's answer cannot be read.
	Decided func(standbys map[int32]bool, refused string)

	mu   sync.Mutex
	last map[string][]int32
	// from is the generation that the client leaves when it joins, or left when it
	// last joined, with what it owned there; 0: it owned nothing, or has not joined
	// yet. missed is set when the group has had a generation since then without this
	// member, though it remains the same member: brokers keep a static member that
	// misses a rebalance, and others may get what it did not claim at its last join.
	from   int32
	missed bool
	joined chan struct{} // not nil while joining; closed when that is over
}

var _ kgo.GroupBalancer = (*Assignor)(nil)

// ProtocolName names the protocol. It stays the same as the format of what
// members tell each other grows: that has a version of its own, and members of
// several versions work in one group.
func (*Assignor) ProtocolName() string { return "handprint-tasks-1" }

// IsCooperative returns true.
func (*Assignor) IsCooperative() bool { return true }

// JoinGroupMetadata tells the group's leader what this member owns and which
// tasks it has copies of.
func (b *Assignor) JoinGroupMetadata(topics []string, owned map[string][]int32, generation int32) []byte {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version = 3
	meta.Topics = topics
	meta.Generation = generation
	for topic, partitions := range owned {
		o := kmsg.NewConsumerMemberMetadataOwnedPartition()
		o.Topic, o.Partitions = topic, partitions
		meta.OwnedPartitions = append(meta.OwnedPartitions, o)
	}
	slices.SortFunc(meta.OwnedPartitions, func(a, b kmsg.ConsumerMemberMetadataOwnedPartition) int {
		return cmp.Compare(a.Topic, b.Topic)
	})
	b.Join()
	b.joinsFrom(generation, len(owned) > 0)
	if b.Describe != nil {
		meta.UserData = b.Describe().Append(nil)
	}
	return meta.AppendTo(nil)
}

// ParseSyncAssignment remembers the whole assignment; the client's callbacks
// only say what has changed.
func (b *Assignor) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	parsed, err := kgo.ParseConsumerSyncAssignment(assignment)
	if err != nil {
		return nil, err
	}
	keep := make(map[string][]int32, len(parsed))
	for topic, partitions := range parsed {
		keep[topic] = slices.Clone(partitions)
	}
	if b.Decided != nil {
		var full kmsg.ConsumerMemberAssignment
		if err := full.ReadFrom(assignment); err != nil {
			return nil, err
		}
		standbys, refused, _ := decodeDecision(full.UserData)
		b.Decided(standbys, refused)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = keep
	if b.joined != nil {
		close(b.joined)
		b.joined = nil
	}
	return parsed, nil
}

// Join notes that the client joins, or is about to.
func (b *Assignor) Join() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.joined == nil {
		b.joined = make(chan struct{})
	}
}

// AwaitJoined returns true when the client is not between asking to join a
// generation of the group and having joined it, and false if that does not end
// within the time given. Offsets that are committed in between carry the
// generation before and are refused: the client looks up the generation first
// and waits for the end of the join then.
func (b *Assignor) AwaitJoined(ctx context.Context, limit time.Duration) bool {
	b.mu.Lock()
	joined := b.joined
	b.mu.Unlock()
	if joined == nil {
		return true
	}
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case <-joined:
		return true
	case <-timeout.C:
	case <-ctx.Done():
	}
	return false
}

// joinsFrom notes which generation the client joins out of.
func (b *Assignor) joinsFrom(generation int32, owns bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !owns { // what it has lost, whoever had it since, is not given back but anew
		b.from, b.missed = 0, false
		return
	}
	b.missed = b.missed || !b.follows(generation)
	b.from = generation
}

// HasContinuousMembership reports whether this member has missed no generation, up to
// this one, since it has owned its tasks.
func (b *Assignor) HasContinuousMembership(generation int32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.missed && b.follows(generation)
}

// follows is called with mu held. A leader whose join is answered to nobody joins
// twice, which looks like a generation missed; its tasks begin anew for nothing then.
func (b *Assignor) follows(generation int32) bool {
	return b.from == 0 || generation == b.from || generation == b.from+1
}

// Assigned returns the assignment of the last rebalance. It must not be
// changed.
func (b *Assignor) Assigned() map[string][]int32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// MemberBalancer returns a balancer for members.
func (b *Assignor) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	cb, err := kgo.NewConsumerBalancer(b, members)
	if err != nil {
		return nil, nil, err
	}
	return cb, cb.MemberTopics(), nil
}

// Balance plans who gets what. The client calls it on the leader. A member that does
// another job than the group gets nothing, and is told so.
func (t *Assignor) Balance(b *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	all := make([]balanceMember, 0, len(b.Members()))
	var subscribed [][]string
	b.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		all = append(all, newBalanceMember(m.MemberID, meta.Generation, ownedTasks(meta), meta.UserData))
		subscribed = append(subscribed, meta.Topics)
	})
	right := rightJob(all)
	refused := make(map[int]string)
	var members []balanceMember
	var at []int // by member with the right job: its index in all
	read := make(map[string]bool)
	for i, m := range all {
		if right >= 0 && m.must != nil && m.job() != all[right].job() {
			refused[i] = strings.Join(differs(m.must, all[right].must, false), "; ")
			continue
		}
		members, at = append(members, m), append(at, i)
		for _, topic := range subscribed[i] {
			read[topic] = true
		}
	}
	var tasks int32
	topics = maps.Clone(topics)
	maps.DeleteFunc(topics, func(topic string, _ int32) bool { return !read[topic] })
	for topic, n := range topics {
		topics[topic] = min(n, t.Partitions(topic))
		tasks = max(tasks, topics[topic])
	}
	rules := t.Rules
	if right >= 0 {
		rules.Changelog = all[right].must[ChangelogID]
	}
	placed := place(members, tasks, rules)
	plan := b.NewPlan()
	for p, m := range placed.active {
		if m < 0 {
			continue
		}
		member, _ := b.MemberAt(at[m])
		for topic, n := range topics {
			if int32(p) < n {
				plan.AddPartition(member, topic, int32(p))
			}
		}
	}
	plan.AdjustCooperative(b)
	whole := &wholePlan{BalancePlan: plan, decisions: make(map[string][]byte, len(all))}
	for i, standbys := range placed.standbys {
		if member, _ := b.MemberAt(at[i]); members[i].warms {
			whole.decisions[member.MemberID] = appendDecision(nil, standbys, "")
		}
	}
	for i, why := range refused {
		member, _ := b.MemberAt(i)
		whole.decisions[member.MemberID] = appendDecision(nil, nil, why)
	}
	return whole
}

// wholePlan is a plan with the standby copies in it.
type wholePlan struct {
	*kgo.BalancePlan
	decisions map[string][]byte // by member id
}

// IntoSyncAssignment implements kgo.IntoSyncAssignment.
func (p *wholePlan) IntoSyncAssignment() []kmsg.SyncGroupRequestGroupAssignment {
	all := p.BalancePlan.IntoSyncAssignment()
	for i := range all {
		decision := p.decisions[all[i].MemberID]
		var a kmsg.ConsumerMemberAssignment
		if decision == nil || a.ReadFrom(all[i].MemberAssignment) != nil {
			continue
		}
		a.UserData = decision
		all[i].MemberAssignment = a.AppendTo(nil)
	}
	return all
}

func ownedTasks(meta *kmsg.ConsumerMemberMetadata) map[int32]int {
	owned := make(map[int32]int)
	for _, t := range meta.OwnedPartitions {
		for _, p := range t.Partitions {
			owned[p]++
		}
	}
	return owned
}
