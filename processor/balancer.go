package processor

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// taskBalancer is the group's assignor. It gives out tasks, not partitions:
// whoever gets task p gets partition p of every topic that has one, which for
// task 0 includes the topics of a single partition. It is cooperative (what
// does not move is not interrupted), sticky (as few tasks move as balance
// within one allows), and gives a task that has no owner to the member with
// the freshest copy of its store.
//
// Each client has its own, because it also remembers the assignment that its
// client was given last.
type taskBalancer struct {
	// copies returns the tasks that have a copy in this process's store,
	// with the changelog offset that each has reached. May be nil.
	copies func() map[int32]int64

	mu     sync.Mutex
	last   map[string][]int32
	joined chan struct{} // not nil while joining; closed when that is over
}

var _ kgo.GroupBalancer = (*taskBalancer)(nil)

// ProtocolName names the protocol. Its members must agree on the format of
// memberCopies and on Balance, so change the name when either changes.
func (*taskBalancer) ProtocolName() string { return "handprint-tasks-1" }

// IsCooperative returns true.
func (*taskBalancer) IsCooperative() bool { return true }

// JoinGroupMetadata tells the group's leader what this member owns and which
// tasks it has copies of.
func (b *taskBalancer) JoinGroupMetadata(topics []string, owned map[string][]int32, generation int32) []byte {
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
	b.join()
	if b.copies != nil {
		meta.UserData = appendCopies(nil, b.copies())
	}
	return meta.AppendTo(nil)
}

// ParseSyncAssignment remembers the whole assignment, of which the client's
// callbacks only tell the changes.
func (b *taskBalancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	parsed, err := kgo.ParseConsumerSyncAssignment(assignment)
	if err != nil {
		return nil, err
	}
	keep := make(map[string][]int32, len(parsed))
	for topic, partitions := range parsed {
		keep[topic] = slices.Clone(partitions)
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

// join notes that the client joins, or is about to.
func (b *taskBalancer) join() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.joined == nil {
		b.joined = make(chan struct{})
	}
}

// awaitJoined returns true when the client is not between asking to join a
// generation of the group and having joined it, and false if that does not end
// within the time given. Offsets that are committed in between carry the
// generation before and are refused: the client looks up the generation first
// and waits for the end of the join then.
func (b *taskBalancer) awaitJoined(ctx context.Context, most time.Duration) bool {
	b.mu.Lock()
	joined := b.joined
	b.mu.Unlock()
	if joined == nil {
		return true
	}
	timeout := time.NewTimer(most)
	defer timeout.Stop()
	select {
	case <-joined:
		return true
	case <-timeout.C:
	case <-ctx.Done():
	}
	return false
}

// assigned returns the assignment of the last rebalance. It must not be
// changed.
func (b *taskBalancer) assigned() map[string][]int32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// MemberBalancer returns a balancer for members.
func (b *taskBalancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	cb, err := kgo.NewConsumerBalancer(b, members)
	if err != nil {
		return nil, nil, err
	}
	return cb, cb.MemberTopics(), nil
}

// Balance plans who gets what. The client calls it on the leader.
func (*taskBalancer) Balance(b *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	var tasks int32
	for _, n := range topics {
		tasks = max(tasks, n)
	}
	members := make([]balanceMember, 0, len(b.Members()))
	b.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		members = append(members, balanceMember{
			generation: meta.Generation, owned: ownedTasks(meta), copies: parseCopies(meta.UserData),
		})
	})
	plan := b.NewPlan()
	for p, m := range assignTasks(members, tasks) {
		member, _ := b.MemberAt(m)
		for topic, n := range topics {
			if int32(p) < n {
				plan.AddPartition(member, topic, int32(p))
			}
		}
	}
	plan.AdjustCooperative(b)
	return plan
}

// balanceMember is what the leader knows of a member.
type balanceMember struct {
	generation int32
	owned      map[int32]int   // tasks it owns, with the number of partitions it claims of each
	copies     map[int32]int64 // tasks it has a copy of, with the changelog offset reached
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

// assignTasks returns for each task the index of the member that gets it. It
// depends on nothing but its arguments, members' order included.
func assignTasks(members []balanceMember, tasks int32) []int {
	plan := currentOwners(members, tasks)
	if len(members) == 0 {
		return nil
	}

	// Give every member its share, the larger shares to those who would
	// otherwise have to give away most: that moves the fewest tasks.
	counts := make([]int, len(members))
	for _, m := range plan {
		if m >= 0 {
			counts[m]++
		}
	}
	order := make([]int, len(members))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(len(members[b].copies), len(members[a].copies)))
	})
	room := make([]int, len(members))
	for i, m := range order {
		room[m] = int(tasks) / len(members)
		if i < int(tasks)%len(members) {
			room[m]++
		}
	}

	for p, m := range plan {
		switch {
		case m < 0:
		case room[m] > 0:
			room[m]--
		default:
			plan[p] = -1
		}
	}
	assignByCopies(members, plan, room)
	for p, m := range plan {
		if m >= 0 {
			continue
		}
		most := 0
		for i := range room {
			if room[i] > room[most] {
				most = i
			}
		}
		plan[p] = most
		room[most]--
	}
	return plan
}

// currentOwners returns who owns each task now, -1 for nobody. Of several that
// claim one, the one that joined the latest generation is right; a member that
// missed a rebalance claims what it had before.
func currentOwners(members []balanceMember, tasks int32) []int {
	owners := make([]int, tasks)
	for p := range owners {
		owners[p] = -1
		for i, m := range members {
			n := m.owned[int32(p)]
			if n == 0 {
				continue
			}
			if best := owners[p]; best < 0 || m.generation > members[best].generation ||
				m.generation == members[best].generation && n > members[best].owned[int32(p)] {
				owners[p] = i
			}
		}
	}
	return owners
}

// assignByCopies gives tasks that nobody owns to members that have a copy and
// room, the freshest copies first.
func assignByCopies(members []balanceMember, plan, room []int) {
	type candidate struct {
		task   int32
		member int
		offset int64
	}
	var candidates []candidate
	for i, m := range members {
		for p, offset := range m.copies {
			if int(p) < len(plan) && plan[p] < 0 {
				candidates = append(candidates, candidate{p, i, offset})
			}
		}
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.task, b.task), cmp.Compare(b.offset, a.offset), cmp.Compare(a.member, b.member))
	})
	for _, c := range candidates {
		if plan[c.task] < 0 && room[c.member] > 0 {
			plan[c.task] = c.member
			room[c.member]--
		}
	}
}

// A member's copies travel in the user data of its join request:
//
//	byte     version, 1
//	uvarint  number of tasks
//	for each, by ascending number:
//	uvarint  task
//	uvarint  changelog offset reached
const copiesVersion = 1

// maxCopies bounds what is believed of a member, and so what a broken one can
// make the leader allocate.
const maxCopies = 1 << 20

func appendCopies(b []byte, copies map[int32]int64) []byte {
	tasks := make([]int32, 0, len(copies))
	for p, offset := range copies {
		if p >= 0 && offset >= 0 {
			tasks = append(tasks, p)
		}
	}
	slices.Sort(tasks)
	b = append(b, copiesVersion)
	b = binary.AppendUvarint(b, uint64(len(tasks)))
	for _, p := range tasks {
		b = binary.AppendUvarint(b, uint64(p))
		b = binary.AppendUvarint(b, uint64(copies[p]))
	}
	return b
}

var errCopies = errors.New("broken list of copies")

// parseCopies returns what appendCopies wrote, and nothing for what it did not:
// copies are a hint, and a hint that cannot be read is none.
func parseCopies(b []byte) map[int32]int64 {
	copies, err := decodeCopies(b)
	if err != nil {
		return nil
	}
	return copies
}

func decodeCopies(b []byte) (map[int32]int64, error) {
	if len(b) == 0 || b[0] != copiesVersion {
		return nil, errCopies
	}
	b = b[1:]
	next := func() (uint64, bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	n, ok := next()
	if !ok || n > maxCopies || n*2 > uint64(len(b)) {
		return nil, errCopies
	}
	copies := make(map[int32]int64, n)
	for range n {
		p, ok1 := next()
		offset, ok2 := next()
		if !ok1 || !ok2 || p > 1<<31-1 || offset > 1<<63-1 {
			return nil, errCopies
		}
		copies[int32(p)] = int64(offset)
	}
	if len(b) > 0 {
		return nil, errCopies
	}
	return copies, nil
}
