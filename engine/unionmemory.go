package engine

import (
	"runtime"
	"sync/atomic"
)

// UnionMemory is the memory that the unions of rows with several attackers may take, of
// all tasks of a process together. When they take more, each task that takes more than
// an equal share drops some at its next record; above that and a quarter the task that
// asks for more does. So one task may have nearly all of it, as long as the others have
// no use for it. A task that asks for none of its unions for five minutes gives all of
// them up at a tick, if more than half of the memory is taken.
//
// Its methods may be called from several goroutines.
type UnionMemory struct {
	limit int64
	taken atomic.Int64 // bytes
	users atomic.Int64 // tasks that take some
}

// NewUnionMemory returns room for so many bytes.
func NewUnionMemory(bytes int) *UnionMemory { return &UnionMemory{limit: int64(bytes)} }

// defaultUnionMemory is what a task has for itself if nothing is said.
const defaultUnionMemory = 256 << 20

// Taken returns how many bytes the unions take, about.
func (m *UnionMemory) Taken() int64 { return m.taken.Load() }

// unionShare is what one task takes of a UnionMemory. It is for one goroutine.
type unionShare struct {
	of *UnionMemory
	// held is apart, so that what is held can be given back when the share is garbage.
	held *atomic.Int64
}

func (m *UnionMemory) share() *unionShare {
	s := &unionShare{of: m, held: new(atomic.Int64)}
	// A task that moves to another process is dropped as it stands.
	runtime.AddCleanup(s, m.release, s.held)
	return s
}

// add is told that the unions of the task take more bytes, or less.
func (s *unionShare) add(bytes int) {
	if bytes == 0 {
		return
	}
	n := int64(bytes)
	s.of.taken.Add(n)
	held := s.held.Add(n)
	switch {
	case held > 0 && held == n:
		s.of.users.Add(1)
	case held == 0:
		s.of.users.Add(-1)
	}
}

// maxExcess is the part of the limit, one in maxExcess, that the tasks may take beyond it
// together. So much more is taken while tasks that take more than their share have no
// records, and so do not drop any.
const maxExcess = 4

// over reports whether the unions of the task have to take less.
func (s *unionShare) over() bool {
	taken, limit := s.of.taken.Load(), s.of.limit
	if taken <= limit {
		return false
	}
	return taken > limit+limit/maxExcess || s.held.Load() > limit/max(s.of.users.Load(), 1)
}

// crowded reports whether more than half of the memory is taken, so that other tasks
// might do with what this one does not use.
func (s *unionShare) crowded() bool { return s.of.taken.Load() > s.of.limit/2 }

// full reports whether the memory is used up, or nearly.
func (s *unionShare) full() bool { return s.of.taken.Load() >= s.of.limit-s.of.limit/16 }

// release gives back what a task held.
func (m *UnionMemory) release(held *atomic.Int64) {
	if n := held.Swap(0); n > 0 {
		m.taken.Add(-n)
		m.users.Add(-1)
	}
}

// close gives back what the task holds.
func (s *unionShare) close() { s.of.release(s.held) }
