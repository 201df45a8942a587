package processor

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// pieceRecords is how many records share a piece of memory.
	pieceRecords = 2000
	// mostPieces is how many pieces the client of a session may have.
	mostPieces = 6
)

// pieces is the memory of the records that changes of the store lead to, in a
// session. A piece is used again when the brokers have acknowledged all of its
// records, which may be long before the transaction ends; a worker that is faster
// than that waits.
type pieces struct {
	promise func(*kgo.Record, error)
	now     *piece      // in hand; nil: none
	made    int         // how many there are
	free    chan *piece // that can be used again
}

type piece struct {
	batchMemory
	pending atomic.Int64 // records that the client has, and one for who fills it
	promise func(*kgo.Record, error)
}

func newPieces(promise func(*kgo.Record, error)) pieces {
	return pieces{promise: promise, free: make(chan *piece, mostPieces)}
}

// next returns the piece that has room for a record.
func (p *pieces) next(ctx, lifetime context.Context) (*piece, error) {
	if p.now != nil && p.now.used < pieceRecords {
		return p.now, nil
	}
	p.close()
	select {
	case p.now = <-p.free:
	default:
		if p.made < mostPieces {
			p.made++
			p.now = p.make()
			break
		}
		select {
		case p.now = <-p.free:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-lifetime.Done():
			return nil, errors.New("the client was closed")
		}
	}
	p.now.reset()
	p.now.pending.Store(1)
	return p.now, nil
}

func (p *pieces) make() *piece {
	m, free, promise := new(piece), p.free, p.promise
	m.promise = func(r *kgo.Record, err error) {
		promise(r, err)
		m.done(free)
	}
	return m
}

// close lets go of the piece in hand.
func (p *pieces) close() {
	if p.now != nil {
		p.now.done(p.free)
		p.now = nil
	}
}

func (m *piece) done(free chan<- *piece) {
	if m.pending.Add(-1) == 0 {
		free <- m // has room for all that there are
	}
}
