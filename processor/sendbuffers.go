package processor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// A send buffer holds turnRecords/buffersPerTurn records, and more of one turn
	// that puts out more.
	buffersPerTurn = 4
	// sendBufferBytes is how many bytes it holds, likewise.
	sendBufferBytes = 1 << 20
	// maxSendBuffers bounds the send buffers of a session.
	maxSendBuffers = 4
)

// sendBuffers is the memory of the records that a session sends. A buffer is used
// again when the brokers have acknowledged all of its records, which may be long
// before the transaction ends; a worker that is faster than that waits.
type sendBuffers struct {
	promise func(*kgo.Record, error)
	records int              // that a buffer has room for
	current *sendBuffer      // being filled; nil: none
	made    int              // how many there are
	free    chan *sendBuffer // that can be used again
	pool    *memoryPool      // what they are made of
}

// sendBuffer is the memory of some of them.
type sendBuffer struct {
	memory
	pending atomic.Int64 // records that the client has, and one while it is filled
	promise func(*kgo.Record, error)
}

func newSendBuffers(turnRecords int, promise func(*kgo.Record, error)) sendBuffers {
	return sendBuffers{promise: promise, records: max(1, turnRecords/buffersPerTurn), free: make(chan *sendBuffer, maxSendBuffers), pool: new(memoryPool)}
}

// full reports whether the current buffer has no room.
func (p *sendBuffers) full() bool {
	return p.current != nil && (p.current.used+p.current.others >= p.records || p.current.bytes >= sendBufferBytes)
}

// next returns a buffer that has room for a record, the current one if it has. The
// client must have all of the current one already.
func (p *sendBuffers) next(ctx, lifetime context.Context) (*sendBuffer, error) {
	if p.full() {
		p.close()
	}
	return p.ensure(ctx, lifetime)
}

// ensure returns the current buffer, however full it is, or a new one if there is
// none.
func (p *sendBuffers) ensure(ctx, lifetime context.Context) (*sendBuffer, error) {
	if p.current != nil {
		return p.current, nil
	}
	next, err := p.take(ctx, lifetime)
	if err != nil {
		return nil, fmt.Errorf("waiting for records to be acknowledged: %w", err)
	}
	next.pending.Store(1)
	p.current = next
	return next, nil
}

// take returns a free buffer.
func (p *sendBuffers) take(ctx, lifetime context.Context) (*sendBuffer, error) {
	select {
	case m := <-p.free:
		return m, nil
	default:
	}
	if p.made < maxSendBuffers {
		p.made++
		return p.make(), nil
	}
	select {
	case m := <-p.free:
		return m, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-lifetime.Done():
		return nil, errors.New("the client was closed")
	}
}

func (p *sendBuffers) make() *sendBuffer {
	m, free, promise := new(sendBuffer), p.free, p.promise
	m.pool = p.pool
	m.promise = func(r *kgo.Record, err error) {
		promise(r, err)
		m.done(free)
	}
	return m
}

// close ends the filling of the current buffer.
func (p *sendBuffers) close() {
	if p.current != nil {
		p.current.done(p.free)
		p.current = nil
	}
}

func (m *sendBuffer) done(free chan<- *sendBuffer) {
	if m.pending.Add(-1) == 0 {
		m.reset()
		free <- m // has room for all that there are
	}
}
