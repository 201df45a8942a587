package assignor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Job is what a process works on and by which rules, as texts by name.
type Job struct {
	// Must is what all members of a group have alike: the topics, the changelog's id,
	// the number of tasks. A member that has another one gets no task.
	Must map[string]string
	// Should is what they should have alike, such as thresholds. Only names that two
	// members both have are compared: a newer release may have more.
	Should map[string]string
}

const (
	maxPairs = 256 // names of a job that are believed
	maxValue = 128 // bytes of a value; a longer one is cut
)

// differs returns what theirs has otherwise, a line for each name; both leaves out
// names that one of them does not have.
func differs(mine, theirs map[string]string, both bool) []string {
	var lines []string
	names := maps.Clone(mine)
	if !both {
		maps.Copy(names, theirs)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		here, has := mine[name]
		there, known := theirs[name]
		if here == there || both && !(has && known) {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s is %q there and %q here", name, there, here))
	}
	return lines
}

// MustDiffer returns how another job is not this one, in a line, or "".
func (j Job) MustDiffer(other Job) string {
	return strings.Join(differs(j.Must, other.Must, false), "; ")
}

// ShouldDiffer returns what of another job's rules is not as in this one, a line for
// each.
func (j Job) ShouldDiffer(other Job) []string { return differs(j.Should, other.Should, true) }

// job returns the key by which members with the same Must are told from others.
func (m *balanceMember) job() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m.must)) {
		fmt.Fprintf(&b, "%q=%q ", name, m.must[name])
	}
	return b.String()
}

// rightJob returns the index of a member that does the job of the group: the one
// whose tasks are owned, and if none are, the one that processes have copies of. Of
// equals it is the one of more members. The leader's own job does not count for
// more. It returns -1 if no member says what its job is.
func rightJob(members []balanceMember) int {
	type votes struct{ owned, copies, members, first int }
	count := make(map[string]*votes)
	for i := range members {
		m := &members[i]
		if m.must == nil {
			continue
		}
		key := m.job()
		v := count[key]
		if v == nil {
			v = &votes{first: i}
			count[key] = v
		}
		v.owned += len(m.owned)
		v.copies += len(m.copies)
		v.members++
	}
	best := -1
	var most votes
	for _, key := range slices.Sorted(maps.Keys(count)) {
		v := count[key]
		if best < 0 || slices.Compare([]int{v.owned, v.copies, v.members}, []int{most.owned, most.copies, most.members}) > 0 {
			best, most = v.first, *v
		}
	}
	return best
}
