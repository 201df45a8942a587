package state

import (
	"sync"
	"time"
)

// hold is how a transaction keeps what it committed in memory, and what it read
// beside it, and brings it to the database in larger pieces. A key that is
// written again and again reaches the database once a piece, and one that is
// read again is not read from it.
//
// The database stays a prefix of the commits all the same: a piece is all that
// was held, and the checkpoint of the last commit. What a crash takes away is
// read from the changelog again.
//
// When the table has grown to its share of the memory, what was not asked for
// lately is forgotten, and before that, if most of it is held, written out.
type hold struct {
	last  Checkpoint // of the last commit
	saved Checkpoint // that the database has
	ahead bool       // there was a commit since

	room int // how large the table may grow, in bytes

	hits, misses int64 // reads that did not, and did, have to ask the database
}

const (
	// holdFor is how long a commit is held, measured by the times of the
	// checkpoints, so that a crash leaves only so much to restore.
	holdFor = 5 * time.Second
	// CheckpointMaxAge is how old a checkpoint that stands still may grow
	// before it is written again: its age says how long ago the share was
	// known to lack nothing.
	CheckpointMaxAge = 10 * time.Minute
)

// Hold returns an empty transaction that holds back what it commits, within
// [Options].HoldBytes for all of the store together, for five seconds at most as
// far as there are commits. Nobody but t sees what it holds, so a share that is
// held has no other transaction, and is not restored, reset or read until t is
// closed.
func (p *Partition) Hold() *Txn {
	t := p.Begin()
	t.hold = &hold{room: p.s.holders.share()}
	p.s.holders.add(t)
	return t
}

// Close drops the changes of a transaction that holds, writes what it has
// committed, and gives up its memory; t must not be used any more. Of one that
// does not hold it is Discard.
func (t *Txn) Close() error {
	t.Discard()
	if t.hold == nil || !t.p.s.holders.remove(t) {
		return nil
	}
	err := t.p.s.usable()
	if err == nil {
		err = t.hold.flush(t)
	}
	t.hold.report(t)
	t.reset()
	if err != nil {
		return t.p.wrap("writing", err)
	}
	return nil
}

// Abandon gives a transaction up as a crash does: what it holds is lost.
func (t *Txn) Abandon() {
	t.Discard()
	if t.hold != nil && t.p.s.holders.remove(t) {
		t.reset()
	}
}

// roomy reports whether there is room to remember what is only read.
func (t *Txn) roomy() bool {
	if t.hold != nil {
		return t.size() < t.hold.room+cacheLimit
	}
	return t.arena.size < cacheLimit
}

func (h *hold) count(hit bool) {
	if hit {
		h.hits++
	} else {
		h.misses++
	}
}

func (h *hold) commit(t *Txn, cp Checkpoint) error {
	if err := cp.valid(); err != nil {
		return err
	}
	t.unread()
	t.settle()
	if h.last == (Checkpoint{}) {
		// Tasks that began together are not to be written out together.
		h.saved.At = cp.At.Add(-holdFor / 8 * time.Duration(t.p.number%8))
	}
	if cp.Offset != h.last.Offset || cp.Identity != h.last.Identity {
		h.ahead = true
	}
	h.last = cp
	h.report(t)
	h.room = t.p.s.holders.share()
	full := t.size() >= h.room
	if full && 2*len(t.held) < t.live {
		// Most of it the database has, of which enough can go.
		t.evict(h.room - h.room/8)
	}
	age := cp.At.Sub(h.saved.At)
	if t.size() >= h.room || age < 0 || age >= CheckpointMaxAge || h.ahead && age >= holdFor {
		if err := h.flush(t); err != nil {
			return err
		}
		if full {
			t.evict(h.room - h.room/8)
		}
	}
	t.compact()
	return nil
}

// report tells the store how many reads there were since it was told last.
func (h *hold) report(t *Txn) {
	t.p.s.recordHits.Add(h.hits)
	t.p.s.recordMisses.Add(h.misses)
	h.hits, h.misses = 0, 0
}

// flush brings what is held to the database.
func (h *hold) flush(t *Txn) error {
	if h.last == h.saved {
		return nil // nothing was ever committed, or nothing since
	}
	if err := t.write(h.last, t.eachHeld); err != nil {
		return err
	}
	t.written()
	h.saved, h.ahead = h.last, false
	return nil
}

// holders are the transactions of a store that hold.
type holders struct {
	mu    sync.Mutex
	txns  map[*Txn]bool
	bytes int // for all of them
}

func (s *holders) add(t *Txn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.txns == nil {
		s.txns = make(map[*Txn]bool)
	}
	s.txns[t] = true
}

// remove tells whether t was among them.
func (s *holders) remove(t *Txn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.txns[t]
	delete(s.txns, t)
	return was
}

// share is how much memory each of them may have.
func (s *holders) share() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes / max(1, len(s.txns))
}
