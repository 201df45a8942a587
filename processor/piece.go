package processor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// piecesOfTurn is the part of a turn's records, one in so many, for as many
	// of which a piece of memory has room, as a rule: what one turn puts out
	// shares one, however much it is.
	piecesOfTurn = 4
	// pieceBytes is for how many bytes it has room, likewise.
	pieceBytes = 1 << 20
	// mostPieces is how many pieces the client of a session may have.
	mostPieces = 4
)

// pieces is the memory of the records that a session sends. A piece is used again
// when the brokers have acknowledged all of its records, which may be long before
// the transaction ends; a worker that is faster than that waits.
type pieces struct {
	promise func(*kgo.Record, error)
	records int         // that a piece has room for
	now     *piece      // in hand; nil: none
	made    int         // how many there are
	free    chan *piece // that can be used again
}

type piece struct {
	memory
	pending atomic.Int64 // records that the client has, and one for who fills it
	promise func(*kgo.Record, error)
}

func newPieces(turnRecords int, promise func(*kgo.Record, error)) pieces {
	return pieces{promise: promise, records: max(1, turnRecords/piecesOfTurn), free: make(chan *piece, mostPieces)}
}

// full reports whether the piece in hand has no room.
func (p *pieces) full() bool {
	return p.now != nil && (p.now.used+p.now.others >= p.records || p.now.bytes >= pieceBytes)
}

// next returns a piece that has room for a record, the one in hand if it has. What
// is in that must be the client's already.
func (p *pieces) next(ctx, lifetime context.Context) (*piece, error) {
	if p.full() {
		p.close()
	}
	return p.inHand(ctx, lifetime)
}

// inHand returns the piece in hand, however full it is, or else another.
func (p *pieces) inHand(ctx, lifetime context.Context) (*piece, error) {
	if p.now != nil {
		return p.now, nil
	}
	next, err := p.take(ctx, lifetime)
	if err != nil {
		return nil, fmt.Errorf("waiting for records to be acknowledged: %w", err)
	}
	next.pending.Store(1)
	p.now = next
	return next, nil
}

// take returns a piece that nobody has.
func (p *pieces) take(ctx, lifetime context.Context) (*piece, error) {
	select {
	case m := <-p.free:
		return m, nil
	default:
	}
	if p.made < mostPieces {
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
		m.reset()
		free <- m // has room for all that there are
	}
}
