package state

import (
	"sync"
	"time"
)

// writeBack is the write-back cache of a transaction: commits stay in memory and
// reach Pebble every 5 s or when the share of memory is full. A key that is written
// again and again is written to Pebble once, and one that is read again is not read
// from it.
//
// The database stays a prefix of the commits: a flush writes all that is held, with
// the checkpoint of the last commit, all or nothing. What a crash takes away is read
// from the changelog again.
//
// A flush is written by a goroutine of its own (flight). The transaction works on
// with its entries, which stay as they are until the flush has landed: they can be
// read and changed, but not evicted, and one that is changed meanwhile is held for
// the next flush. There is one at a time, so the database gets them in their order.
// It has landed when the transaction takes note of that, at a commit or by Land.
//
// When the table and the rows of flushes have grown to its budget, entries that were not
// read lately are evicted; if most of the table is held, it is flushed first.
type writeBack struct {
	last  Checkpoint // of the last commit
	saved Checkpoint // of the last flush: the database has it, or gets it
	ahead bool       // there was a commit since

	flight *flight // nil: no flush is under way
	failed error   // of a flush: what it was to write is not written, so nothing is any more

	budget int // how large the table may grow with the rows of flushes, in bytes
	lent   int // and how much larger while a flush is under way

	hits, misses int64 // reads that did not, and did, have to ask the database

	busy    bool  // see Wake
	resting bool  // all that is remembered is forgotten as soon as the database has it
	written bool  // a flush was begun since Rest
	reads   int64 // since it last was
	groups  int64 // likewise, groups of keys that were read from the database
}

const (
	// maxWriteBackDelay is how long a commit is held, measured by the times of the
	// checkpoints, so that a crash leaves only so much to restore.
	maxWriteBackDelay = 5 * time.Second
	// CheckpointMaxAge is how old a checkpoint that stands still may grow
	// before it is written again: its age says how long ago the share was
	// known to lack nothing.
	CheckpointMaxAge = 10 * time.Minute
	// restGroup is how many keys cost as much to read as a group does besides its keys. A
	// key costs a tenth of what is done between two reads, so a transaction that
	// has had as many reads as it has keys, and restGroup times as many as it has read
	// groups, has done ten times the work of reading all of it.
	restGroup = 20
	// minRestBytes is how much a transaction remembers for Rest to do anything, in bytes, and
	// minDoneBytes likewise if it is not expected to have much to do soon.
	minRestBytes = 12 << 20
	minDoneBytes = 4 << 20
)

// WriteBack returns an empty transaction that holds back what it commits, within
// [Options].HoldBytes for all of the store together, for five seconds at most as
// far as there are commits. Nobody but t sees what it holds, so a share that is
// held has no other transaction, and is not restored, reset or read until t is
// closed.
func (p *Partition) WriteBack() *Txn {
	t := p.Begin()
	t.writeBack = &writeBack{budget: p.s.writeBacks.share()}
	p.s.writeBacks.add(t)
	return t
}

// Close drops the changes of a transaction that holds, writes what it has
// committed, and gives up its memory; t must not be used any more. Of one that
// does not hold it is Discard.
func (t *Txn) Close() error {
	t.Discard()
	if t.writeBack == nil || !t.p.s.writeBacks.remove(t) {
		return nil
	}
	h := t.writeBack
	err := h.wait(t)
	if err == nil {
		err = t.p.s.usable()
	}
	if err == nil {
		err = h.flush(t)
	}
	if err == nil {
		err = h.wait(t)
	}
	h.report(t)
	t.reset()
	if err != nil {
		return t.p.wrap("writing", err)
	}
	return nil
}

// Abandon gives a transaction up as a crash does: what it holds is lost. It waits for
// a flush that is under way, as nothing else may write to the share meanwhile.
func (t *Txn) Abandon() {
	t.Discard()
	if t.writeBack != nil && t.p.s.writeBacks.remove(t) {
		// Whether that flush was in time makes no difference.
		_ = t.writeBack.wait(t)
		t.reset()
	}
}

// Land takes note of a flush that is over and gives back the memory that was lent for it,
// as the next commit would do. It is for a transaction that has none for a while, and does
// nothing if something is changed. No scan may be under way. An error is that of the flush.
func (t *Txn) Land() error {
	h := t.writeBack
	if h == nil || t.edits.len() > 0 || !h.flight.landed() && (h.flight != nil || !h.resting) {
		return nil
	}
	t.unread()
	if err := h.wait(t); err != nil {
		return t.p.wrap("writing", err)
	}
	if h.resting {
		if err := h.rest(t); err != nil {
			return t.p.wrap("writing", err)
		}
		return nil
	}
	h.fit(t)
	t.compact()
	return nil
}

// Rest is for a transaction that has little to do until Wake, as others have their turn. It
// begins to write what t holds, unless that is little. When that is done, Land or Commit
// forget what t remembers, but for what is held: others need the memory. If most of it was
// changed meanwhile, t does not rest. After Wake, what is forgotten is read again, group by
// group. So Rest does nothing if there is little, or if that would cost more than about a
// tenth of what t has done since it was forgotten the last time. done says that t has come
// to the end of what it had to do: it may not need most of it soon, so less is not little.
// No scan may be under way. An error is that of a flush.
func (t *Txn) Rest(done bool) error {
	h := t.writeBack
	if h == nil {
		return nil
	}
	h.busy = false
	least := minRestBytes
	if done {
		least = minDoneBytes
	}
	if h.resting || t.size() < least || h.reads < int64(t.live)+restGroup*h.groups {
		return nil
	}
	h.resting, h.written = true, false
	return t.Land()
}

// Remembered returns how much memory what t remembers takes, in bytes.
func (t *Txn) Remembered() int { return t.size() }

// Wake ends what Rest has begun. busy says that t will have much to do, for which
// GetGrouped reads groups of keys.
func (t *Txn) Wake(busy bool) {
	if h := t.writeBack; h != nil {
		h.resting, h.busy = false, busy
	}
}

// rest forgets all that t remembers, but for what is held, or writes that first if it is
// most of it. No flush is under way.
func (h *writeBack) rest(t *Txn) error {
	if 2*len(t.held) > t.live {
		if h.written {
			h.resting = false
			return nil
		}
		h.written = true
		return h.flush(t)
	}
	t.forgetClean()
	h.resting, h.reads, h.groups = false, 0, 0
	return nil
}

// hasRoom reports whether there is room to remember what is only read.
func (t *Txn) hasRoom() bool {
	if t.writeBack != nil {
		return t.takes() < t.writeBack.budget+cacheLimit
	}
	return t.arena.size < cacheLimit
}

func (h *writeBack) count(hit bool) {
	h.reads++
	if hit {
		h.hits++
	} else {
		h.misses++
	}
}

func (h *writeBack) commit(t *Txn, cp Checkpoint) error {
	if err := cp.valid(); err != nil {
		return err
	}
	t.unread()
	t.commitEdits()
	if h.last == (Checkpoint{}) {
		// Tasks that began together are not to be written out together.
		h.saved.At = cp.At.Add(-maxWriteBackDelay / 8 * time.Duration(t.p.number%8))
	}
	if cp.Offset != h.last.Offset || cp.Identity != h.last.Identity {
		h.ahead = true
	}
	h.last = cp
	h.report(t)
	h.budget = t.p.s.writeBacks.share()
	landed := h.flight.landed() || h.flight != nil && h.due(t, cp)
	if landed {
		if err := h.wait(t); err != nil {
			return err
		}
	}
	if landed && h.resting {
		if err := h.rest(t); err != nil || h.flight != nil {
			return err
		}
	} else if landed || 2*(len(t.held)+len(t.flying)) < t.live {
		h.fit(t) // the database has most of it, so enough can go
	}
	t.compact()
	if !h.due(t, cp) {
		return nil
	}
	if err := h.flush(t); err != nil {
		return err
	}
	if h.flight == nil {
		return nil // there was nothing to write
	}
	// What is flying cannot be evicted, so the table stays larger than it may be.
	if h.lent = max(0, t.takes()-h.budget) + h.budget/16; t.p.s.writeBacks.lend(h.lent) {
		return nil
	}
	h.lent = 0
	if err := h.wait(t); err != nil {
		return err
	}
	h.fit(t)
	t.compact()
	return nil
}

// takes is how much the transaction takes of its budget: what it remembers, and the rows
// that have to be written of it.
func (t *Txn) takes() int { return t.size() + t.toWrite() }

// fit evicts an eighth of the budget if there is no room left in it.
func (h *writeBack) fit(t *Txn) {
	if t.takes() >= h.budget {
		t.evict(h.budget - h.budget/8 - t.toWrite())
	}
}

// due reports whether what is held has to be written.
func (h *writeBack) due(t *Txn, cp Checkpoint) bool {
	age := cp.At.Sub(h.saved.At)
	return t.takes() >= h.budget+h.lent || age < 0 || age >= CheckpointMaxAge || h.ahead && age >= maxWriteBackDelay
}

// report tells the store how many reads there were since it was told last.
func (h *writeBack) report(t *Txn) {
	t.p.s.recordHits.Add(h.hits)
	t.p.s.recordMisses.Add(h.misses)
	h.hits, h.misses = 0, 0
}

// flush begins to bring what is held to the database, when the flush before has
// landed. Nothing may be changed.
func (h *writeBack) flush(t *Txn) error {
	if err := h.wait(t); err != nil {
		return err
	}
	if h.last == h.saved {
		return nil // nothing was ever committed, or nothing since
	}
	f, err := t.p.takeOff(h.last, t.takeOff())
	if err != nil {
		return err
	}
	h.flight = f
	h.saved, h.ahead = h.last, false
	return nil
}

// wait waits until the flush that is under way has landed, if there is one, and
// returns its error, or that of one before. Nothing may be changed.
func (h *writeBack) wait(t *Txn) error {
	if h.flight == nil {
		return h.failed
	}
	err := h.flight.wait()
	h.flight = nil
	t.p.s.writeBacks.lend(-h.lent)
	h.lent = 0
	if err != nil {
		h.failed = err
		return err
	}
	t.land()
	return nil
}

// writeBacks are the transactions of a store that hold.
type writeBacks struct {
	mu    sync.Mutex
	txns  map[*Txn]bool
	bytes int // for all of them
	lent  int // and above that, while flushes are under way
}

// lend lends a transaction memory above its share, or takes it back if n is negative,
// and reports whether there was as much: an eighth of what all have.
func (s *writeBacks) lend(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > 0 && s.lent+n > s.bytes/8 {
		return false
	}
	s.lent += n
	return true
}

func (s *writeBacks) add(t *Txn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.txns == nil {
		s.txns = make(map[*Txn]bool)
	}
	s.txns[t] = true
}

// remove reports whether t was among them.
func (s *writeBacks) remove(t *Txn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.txns[t]
	delete(s.txns, t)
	return was
}

// share is how much memory each of them may have.
func (s *writeBacks) share() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes / max(1, len(s.txns))
}
