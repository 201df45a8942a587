package follow

import (
	"context"
	"sync"
)

// doneEvents are the offsets of identity events that are over, the newest of them.
type doneEvents struct {
	mu    sync.Mutex
	order []int64
	set   map[int64]struct{}
	woken chan struct{}
}

const maxDoneEvents = 10_000

func newDoneEvents() doneEvents {
	return doneEvents{set: make(map[int64]struct{}), woken: make(chan struct{})}
}

func (d *doneEvents) add(offset int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.set[offset]; ok {
		return
	}
	d.set[offset] = struct{}{}
	if d.order = append(d.order, offset); len(d.order) > maxDoneEvents {
		delete(d.set, d.order[0])
		d.order = d.order[1:]
	}
	close(d.woken)
	d.woken = make(chan struct{})
}

func (d *doneEvents) has(offset int64) (ok bool, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok = d.set[offset]
	return ok, d.woken
}

// AwaitEvent returns when the identity event at an offset is over and what it did is
// applied, or ctx ends. An event that was over before this process started is known as
// long as the history has it; an older one waits in vain.
func (f *Follower) AwaitEvent(ctx context.Context, offset int64) error {
	for {
		ok, changed := f.done.has(offset)
		if !ok {
			var err error
			if ok, err = f.cfg.History.IsOver(offset); err != nil {
				return err
			}
		}
		if ok {
			return f.Caught(ctx)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}
