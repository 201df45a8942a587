package processor

import (
	"bytes"
	"cmp"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Tasks of a worker share its transactions, so what one has to do holds up the
// others' commits. While a task keeps up with its input, a batch with records of
// other tasks works for a slice of time only: what comes for the task in the meantime
// waits for a slice, not for a full transaction. Kafka keeps the order within a
// partition, so of its own partition a flood costs what it costs.

const (
	// fairSlice is how long the handlers of a batch work while tasks that keep up
	// wait for its commit.
	fairSlice = 10 * time.Millisecond
	// maxSlices is how many slices the tasks may work together that are not flooded.
	maxSlices = 5
	// keepsUpFor is how long a task with less than a turn of its input left counts as
	// one that keeps up.
	keepsUpFor = time.Second
	// maxMarkers is how many offsets may be left to a task that has come to the end of its
	// input: the markers of transactions have offsets and are never polled.
	maxMarkers = 64
	// wholeFetch is how many bytes of a partition a fetch brings, compressed, while no
	// task is flooded: the client's default.
	wholeFetch = 1 << 20
	// minFetch is the least where transactions are small, and recordFetch what it brings
	// for each record that a transaction may have: a client hands out what it has of one
	// partition before it turns to another, and with a record a transaction a whole fetch
	// of one takes seconds.
	minFetch    = 16 << 10
	recordFetch = 1 << 10
	// minFairFetch is the least while one is. Records of a partition that gets few
	// come in small batches, which compress badly.
	minFairFetch = 64 << 10
	// loadWindow is over how long the load of a task is counted.
	loadWindow = 5 * time.Second
	// sampled is the share of the records whose cost is counted by key: one in so
	// many.
	sampled = 13
	// maxCostly is how many keys of a task have their cost counted.
	maxCostly = 16
	// maxShownKey bounds the bytes of a key that Status shows.
	maxShownKey = 128
)

// Load is what a task does to its worker, over the last seconds.
type Load struct {
	Records float64 `json:"records_per_second"`
	Busy    float64 `json:"busy"` // share of the time that its handler works, from 0 to 1
	// Costliest is the key of input records, as a rule an attacker, that takes most
	// of the task's time, cut to 128 bytes; Share is its part of it, estimated from
	// a sample, from 0 to 1.
	Costliest string  `json:"costliest,omitempty"`
	Share     float64 `json:"costliest_share"`
}

// taskLoad counts the load of a task. Only the worker's goroutine uses it, but for
// shown.
type taskLoad struct {
	since   time.Time // the beginning of the window
	records int64
	busy    time.Duration
	sample  int
	keys    []costlyKey
	// caughtUp: it had come to the end of its input, and was not a turn behind since.
	caughtUp bool
	behind   bool      // a turn of its input or more was left
	backlog  bool      // and it has not come to the end of its input since
	began    bool      // the last batch has found that it has a backlog
	done     bool      // or that it is at its end
	rest     int64     // of its input, commands aside, that was left when it last had some
	served   time.Time // when that was
	missed   int       // transactions since that had nothing of it, though it was read
	keptUp   time.Time // when it last processed input, commands aside, and had caught up before
	flooded  bool      // a turn of its input was left, or more, after the last batch, or it was ended early
	shown    atomic.Pointer[Load]
}

type costlyKey struct {
	key  []byte
	cost time.Duration
}

// spent notes that a record took so long. Keys that are new take the place, and the
// cost, of the cheapest, as the space-saving algorithm has it: no key that costs
// more than a sixteenth of all is missed.
func (l *taskLoad) spent(key []byte, cost time.Duration) {
	l.records++
	l.busy += cost
	if l.sample++; l.sample < sampled {
		return
	}
	l.sample = 0
	least := 0
	for i := range l.keys {
		if bytes.Equal(l.keys[i].key, key) {
			l.keys[i].cost += cost
			return
		}
		if l.keys[i].cost < l.keys[least].cost {
			least = i
		}
	}
	if len(l.keys) < maxCostly {
		l.keys = append(l.keys, costlyKey{bytes.Clone(key), cost})
		return
	}
	k := &l.keys[least]
	k.key, k.cost = append(k.key[:0], key...), k.cost+cost
}

// show makes what Status shows if the window is over, and begins another.
func (l *taskLoad) show(now time.Time) {
	if l.since.IsZero() {
		l.since = now
	}
	took := now.Sub(l.since)
	if took < loadWindow {
		return
	}
	s := &Load{Records: float64(l.records) / took.Seconds(), Busy: min(1, l.busy.Seconds()/took.Seconds())}
	total, most := time.Duration(0), time.Duration(0)
	for i := range l.keys {
		k := &l.keys[i]
		if total += k.cost; k.cost > most {
			most, s.Costliest = k.cost, shownKey(k.key)
		}
	}
	if total > 0 {
		s.Share = most.Seconds() / total.Seconds()
	}
	l.shown.Store(s)
	l.since, l.records, l.busy, l.keys = now, 0, 0, l.keys[:0]
}

// shownKey is a key as text of a bounded length: keys are what anybody sends.
func shownKey(key []byte) string {
	return string(bytes.ToValidUTF8(key[:min(len(key), maxShownKey)], []byte(string(utf8.RuneError))))
}

// othersWait reports whether a task of the worker that keeps up with its input
// waits, or may soon, for the commit of a batch that has records of others.
func (b *batch) othersWait() bool {
	if len(b.w.tasks) < 2 || len(b.tasks) == 0 {
		return false
	}
	now := b.w.cfg.Clock.Now()
	for _, t := range b.w.tasks {
		if t.running() && now.Sub(t.load.keptUp) < keepsUpFor && (len(b.tasks) > 1 || b.tasks[0] != t) {
			return true
		}
	}
	return false
}

// behindOf is how many offsets of a task's input could have been polled besides
// what the batch has, which is of the task.
func (b *batch) behindOf(t *task) (n int64) {
	for i := range t.inputs.list {
		tp := TopicPartition{t.inputs.list[i].Topic, t.partition}
		if next, ok := b.consumed[tp]; ok {
			n += max(0, b.ends[tp]-next)
		}
	}
	return n
}

// inputLeft is behindOf without commands.
func (b *batch) inputLeft(t *task) (n int64) {
	for _, topic := range b.w.cfg.Inputs {
		tp := TopicPartition{topic, t.partition}
		if next, ok := b.consumed[tp]; ok {
			n += max(0, b.ends[tp]-next)
		}
	}
	return n
}

// hasInput reports whether the batch has records of a task besides commands.
func (b *batch) hasInput(t *task) bool {
	for i := range t.inputs.list {
		if topic := t.inputs.list[i].Topic; topic != b.w.cfg.Commands {
			if _, ok := b.consumed[TopicPartition{topic, t.partition}]; ok {
				return true
			}
		}
	}
	return false
}

// fetchBytes is how many bytes of each partition a fetch brings. A flooded partition
// would fill every fetch, and the others' records would come only when the worker is
// through with it. So while there is a flood, each of the tasks has an equal part of
// what a fetch brings at most.
func fetchBytes(flooded bool, whole int32, fetch, tasks int) int32 {
	if !flooded {
		return whole
	}
	return int32(min(int(whole)-1, max(minFairFetch, fetch/max(1, tasks))))
}

// fetchFor is how many bytes of a partition a fetch brings while there is no flood, if
// a transaction has at most this number of records.
func fetchFor(records int) int32 {
	return int32(min(wholeFetch, max(minFetch, records*recordFetch)))
}

// fitFetches has the client fetch what suits the worker after a batch. A task is flooded
// that has a turn of its input left or more while another keeps up.
func (b *batch) fitFetches() {
	flooded := false
	for _, t := range b.tasks {
		flooded = flooded || t.load.behind
	}
	fetch := min(b.w.cfg.MaxBatchBytes, 1<<30)
	if bytes := fetchBytes(flooded && b.othersWait(), fetchFor(b.w.cfg.MaxBatchRecords), fetch, len(b.w.tasks)); bytes != b.fetch {
		b.fetch = bytes
		b.session.Client().UpdateFetchMaxBytes(int32(fetch), bytes)
	}
}

// floodShares deals a slice of time out to the tasks of a batch that are flooded. The
// slice begins when the tasks that keep up are done: what those have taken is not of it,
// or a flooded task would get one record of each batch.
type floodShares struct {
	tasks int // that have no share yet
	begun bool
	end   time.Duration // of the slice, since the processing of the turn began
}

// next returns until when the next task may be processed: an equal part of what is left
// of the slice. used is how long the turn has been processed, earlier how long earlier
// turns of the batch were, and most when the turn has to end.
func (s *floodShares) next(used, earlier, most time.Duration) (until time.Duration) {
	if !s.begun {
		s.begun, s.end = true, min(most, used+max(0, fairSlice-earlier))
	}
	until = used + max(0, s.end-used)/time.Duration(s.tasks)
	s.tasks--
	return until
}

// floodsLast puts the records of the tasks that are flooded last, and of those the ones
// with the fewest records first, so that what they do not need of the slice is there for
// the others. It returns how many flooded tasks have records in this turn, which share the
// slice. The order of what a task has stays as it is.
func (b *batch) floodsLast() (flooded int) {
	size := make(map[*task]int, len(b.tasks)) // of the flooded ones, plus 1
	for _, t := range b.tasks {
		if t.load.flooded || b.behindOf(t) >= int64(b.w.cfg.TurnRecords) {
			size[t] = 1
		}
	}
	for i := range b.turn.parts {
		f := &b.turn.parts[i]
		if n := size[f.task]; n > 0 {
			f.flooded = true
			size[f.task] = n + len(f.records)
		}
	}
	slices.SortStableFunc(b.turn.parts, func(x, y fetched) int {
		return cmp.Or(cmp.Compare(size[x.task], size[y.task]), cmp.Compare(x.task.partition, y.task.partition))
	})
	for i := range b.turn.parts {
		if f := &b.turn.parts[i]; f.flooded && (i == 0 || f.task != b.turn.parts[i-1].task) {
			flooded++
		}
	}
	return flooded
}

// noteLoads is told that the batch was committed.
func (b *batch) noteLoads() {
	now := b.w.cfg.Clock.Now()
	cut := make(map[int32]bool, len(b.back))
	for tp := range b.back {
		cut[tp.Partition] = true
	}
	for _, t := range b.tasks {
		left := b.behindOf(t)
		if b.hasPaused(t) {
			t.load.rest, t.load.served = b.inputLeft(t), now
		} else {
			left = max(left, t.load.rest) // commands say nothing of it
		}
		t.load.behind = left >= int64(b.w.cfg.TurnRecords)
		t.load.flooded = t.load.behind || cut[t.partition]
		switch {
		case t.load.behind:
			t.load.began = !t.load.backlog
			t.load.caughtUp, t.load.backlog, t.load.keptUp = false, true, time.Time{}
		case t.load.caughtUp && b.hasInput(t):
			// It has had input since. A task that has only just come to the end of a
			// backlog may have no more, and then nobody waits.
			t.load.keptUp = now
		case t.load.caughtUp:
			// Commands only. They may well come from the tasks that are behind, whose
			// transactions would be cut into slices by what they send themselves.
		default:
			t.load.caughtUp = left <= maxMarkers && !cut[t.partition]
			if t.load.caughtUp {
				t.load.done, t.load.backlog = t.load.backlog, false
			}
		}
		t.load.show(now)
	}
	b.fitFetches()
}
