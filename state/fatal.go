package state

import (
	"fmt"
	"runtime"
)

// guard does a write of Pebble's. When it cannot be done (the disk is full, say),
// Pebble may panic with the error rather than return it, since it does not know
// any more what it holds. That is no bug, so it ends the process with a line
// instead of a stack, as pebbleLogger.Fatalf does. The locks that Pebble held
// then are never given back, so there is no other way out. Most of these errors
// logFS has seen before.
func (s *Store) guard(write func() error) error {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		err, isError := cause.(error)
		if _, bug := cause.(runtime.Error); bug || !isError {
			panic(cause)
		}
		s.cannotWrite(err)
	}()
	return write()
}

// logFailed ends the process while the store is in use. At its opening and its
// closing Pebble returns such errors.
func (s *Store) logFailed(err error) {
	if s.inUse.Load() {
		s.cannotWrite(err)
	}
}

// cannotWrite ends the process.
func (s *Store) cannotWrite(err error) {
	pebbleLogger{s.logger}.Fatalf("%s", oneLine(fmt.Errorf("writing to %s: %w", s.dir, err)))
}
