package processor

import (
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// gate holds the first error of the records of a batch.
type gate struct {
	closed atomic.Bool
	mu     sync.Mutex
	err    error
}

// promise returns what the client calls for each record when its fate is known.
func promise(g *gate, a *acks) func(*kgo.Record, error) {
	return func(r *kgo.Record, err error) {
		if err == nil {
			a.note(r)
			return
		}
		g.refused(r, err)
	}
}

// refused shuts the gate because of a record.
func (g *gate) refused(r *kgo.Record, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		r.Partition = max(0, r.Partition) // or it has failed before it had one
		g.err = produceError(r, err)
		g.closed.Store(true)
	}
}

func (g *gate) shut() bool { return g.closed.Load() }

func (g *gate) error() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = nil
	g.closed.Store(false)
}
