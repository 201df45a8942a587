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

// promise is what the client calls for each record when its fate is known.
func (g *gate) promise(r *kgo.Record, err error) {
	if err == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
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
