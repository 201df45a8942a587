package assignor

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"sort"
	"time"
)

// What a member tells the group's leader travels in the user data of its join
// request. All numbers are uvarints, texts have their length before them:
//
//	byte     version, 1
//	text     process: workers with the same one share a store
//	text     rack; may be empty
//	number   how much all members must have alike; for each, by ascending name:
//	text     name
//	text     value
//	number   how much they should have alike; for each, by ascending name:
//	text     name
//	text     value
//	number   how many changelogs the copies are of; for each:
//	text     topic id
//	number   how many copies
//	for each, by ascending task:
//	number   task
//	number   changelog offset that the copy has reached
//	number   how far that is from the end, plus 1; 0 if it is not known
//	byte     flags; bit 0: the copy is kept up to date, as a standby
//	number   which of the changelogs it is of, from 1; 0: not known
//	number   its age in seconds, rounded down
//
// What a leader answers is the user data of an assignment:
//
//	byte     version, 1
//	number   how many standby copies the member is to keep
//	for each, by ascending task:
//	number   task
//	byte     flags; bit 0: a warm-up, the task is to move to this process
//	text     why the member gets no task, as it does another job; empty: it does not
const (
	memberVersion   = 1
	decisionVersion = 1

	flagStandby = 1
	flagWarmUp  = 1
)

// ChangelogID is the name, in Job.Must, of the changelog's topic id, as copies have it.
const ChangelogID = "changelog id"

// MaxAge is the age of a copy whose age is not known.
const MaxAge = time.Duration(math.MaxInt32) * time.Second

// Bounds of a member's data, and so of what a broken member can make the leader
// allocate.
const (
	maxCopies = 1 << 20
	maxName   = 1 << 10
	maxTopics = 16
)

// MemberData is what a member tells the group.
type MemberData struct {
	Process string
	Rack    string
	Job     Job
	Copies  map[int32]CopyData
}

// CopyData is one task's copy in a process's store.
type CopyData struct {
	Position int64         // the changelog offset that it has reached
	Lag      int64         // how far that is from the end; -1 if not known
	Standby  bool          // it is kept up to date
	Topic    string        // id of the changelog that it was made from; "" if not known
	Age      time.Duration // since it was known to lack no deletion; seconds are told
}

// mustBeRebuilt reports whether a process that got the task would have to throw the
// copy away: it is of another changelog, or may lack deletions that are kept no longer.
func (c *CopyData) mustBeRebuilt(changelog string, maxAge time.Duration) bool {
	return changelog != "" && c.Topic != "" && c.Topic != changelog || maxAge > 0 && c.Age >= maxAge
}

// Bound leaves copies out until what the data say of them has at most the given
// number of bytes: first copies that are not kept up to date, then the ones
// that are furthest behind.
func (d *MemberData) Bound(bytes int) {
	without := MemberData{Process: d.Process, Rack: d.Rack, Job: d.Job}
	base := len(without.Append(nil))
	if len(d.Append(nil))-base <= bytes {
		return
	}
	tasks := slices.SortedFunc(maps.Keys(d.Copies), func(a, b int32) int {
		x, y := d.Copies[a], d.Copies[b]
		return cmp.Or(trueFirst(x.Lag >= 0, y.Lag >= 0), cmp.Compare(x.Lag, y.Lag), cmp.Compare(x.Age, y.Age), cmp.Compare(a, b))
	})
	keep := sort.Search(len(tasks), func(n int) bool {
		without.Copies = make(map[int32]CopyData)
		for _, task := range tasks[:n+1] {
			without.Copies[task] = d.Copies[task]
		}
		return len(without.Append(nil))-base > bytes
	})
	for _, task := range tasks[keep:] {
		delete(d.Copies, task)
	}
}

var errMemberData = errors.New("broken or unknown member data")

// Append appends the data in the wire format to b.
func (d MemberData) Append(b []byte) []byte {
	tasks := make([]int32, 0, len(d.Copies))
	for p, c := range d.Copies {
		if p >= 0 && c.Position >= 0 {
			tasks = append(tasks, p)
		}
	}
	slices.Sort(tasks)
	b = append(b, memberVersion)
	b = appendText(b, d.Process)
	b = appendText(b, d.Rack)
	b = appendPairs(b, d.Job.Must)
	b = appendPairs(b, d.Job.Should)
	topics := d.topics()
	b = binary.AppendUvarint(b, uint64(len(topics)))
	for _, topic := range topics {
		b = appendText(b, topic)
	}
	b = binary.AppendUvarint(b, uint64(len(tasks)))
	for _, p := range tasks {
		c := d.Copies[p]
		b = binary.AppendUvarint(b, uint64(p))
		b = binary.AppendUvarint(b, uint64(c.Position))
		b = binary.AppendUvarint(b, uint64(max(c.Lag, -1)+1))
		b = append(b, flag(c.Standby, flagStandby))
		b = binary.AppendUvarint(b, uint64(slices.Index(topics, c.Topic)+1))
		b = binary.AppendUvarint(b, uint64(min(max(c.Age, 0), MaxAge)/time.Second))
	}
	return b
}

// topics returns the changelogs that the copies are of, ascending.
func (d *MemberData) topics() []string {
	of := make(map[string]bool)
	for _, c := range d.Copies {
		if c.Topic != "" {
			of[c.Topic] = true
		}
	}
	topics := slices.Sorted(maps.Keys(of))
	return topics[:min(len(topics), maxTopics)]
}

func appendPairs(b []byte, pairs map[string]string) []byte {
	names := slices.Sorted(maps.Keys(pairs))
	names = names[:min(len(names), maxPairs)]
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, name := range names {
		v := pairs[name]
		b = appendText(appendText(b, name), v[:min(len(v), maxValue)])
	}
	return b
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), maxName)]
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func flag(is bool, f byte) byte {
	if is {
		return f
	}
	return 0
}

// DecodeMemberData returns what [MemberData.Append] wrote. The error is of broken data
// and of a version that this release does not know.
func DecodeMemberData(b []byte) (MemberData, error) {
	if len(b) == 0 || b[0] != memberVersion {
		return MemberData{}, errMemberData
	}
	r := wireReader{rest: b[1:]}
	d := MemberData{Process: r.text(), Rack: r.text(), Job: Job{Must: r.pairs(), Should: r.pairs()}}
	topics := make([]string, 1, 1+maxTopics)
	for range r.number(maxTopics) {
		topics = append(topics, r.text())
	}
	n := r.count(6)
	d.Copies = make(map[int32]CopyData, n)
	for range n {
		p := r.task()
		d.Copies[p] = CopyData{
			Position: r.offset(), Lag: r.offset() - 1, Standby: r.byte()&flagStandby != 0,
			Topic: topics[r.number(uint64(len(topics)-1))], Age: time.Duration(r.number(uint64(MaxAge/time.Second))) * time.Second,
		}
	}
	if !r.done() {
		return MemberData{}, errMemberData
	}
	return d, nil
}

// appendDecision appends the standby copies that a member is to keep, true for a
// warm-up, and why it is refused, empty if it is not.
func appendDecision(b []byte, standbys map[int32]bool, refused string) []byte {
	tasks := make([]int32, 0, len(standbys))
	for p := range standbys {
		tasks = append(tasks, p)
	}
	slices.Sort(tasks)
	b = append(b, decisionVersion)
	b = binary.AppendUvarint(b, uint64(len(tasks)))
	for _, p := range tasks {
		b = binary.AppendUvarint(b, uint64(p))
		b = append(b, flag(standbys[p], flagWarmUp))
	}
	return appendText(b, refused)
}

// decodeDecision returns what appendDecision wrote, and an error otherwise: a
// leader of a newer release may write another version.
func decodeDecision(b []byte) (standbys map[int32]bool, refused string, err error) {
	if len(b) == 0 || b[0] != decisionVersion {
		return nil, "", errMemberData
	}
	r := wireReader{rest: b[1:]}
	n := r.count(2)
	standbys = make(map[int32]bool, n)
	for range n {
		p := r.task()
		standbys[p] = r.byte()&flagWarmUp != 0
	}
	refused = r.text()
	if !r.done() {
		return nil, "", errMemberData
	}
	return standbys, refused, nil
}

// wireReader reads numbers and texts until something is wrong, and gives zeros
// from then on.
type wireReader struct {
	rest   []byte
	broken bool
}

func (r *wireReader) number(limit uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > limit || r.broken {
		r.broken, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *wireReader) task() int32   { return int32(r.number(1<<31 - 1)) }
func (r *wireReader) offset() int64 { return int64(r.number(1<<63 - 1)) }

// count reads how many things of at least size bytes follow.
func (r *wireReader) count(size int) int {
	n := r.number(maxCopies)
	if n*uint64(size) > uint64(len(r.rest)) {
		r.broken = true
		return 0
	}
	return int(n)
}

func (r *wireReader) byte() byte {
	if len(r.rest) == 0 {
		r.broken = true
		return 0
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}

func (r *wireReader) text() string {
	n := r.number(maxName)
	if n > uint64(len(r.rest)) {
		r.broken = true
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

// pairs reads texts by name; nil if there are none.
func (r *wireReader) pairs() map[string]string {
	n := r.number(maxPairs)
	if n == 0 || 2*n > uint64(len(r.rest)) {
		r.broken = r.broken || n > 0
		return nil
	}
	pairs := make(map[string]string, n)
	for range n {
		name := r.text()
		pairs[name] = r.text()
	}
	return pairs
}

func (r *wireReader) done() bool { return !r.broken && len(r.rest) == 0 }
