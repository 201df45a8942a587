package follow

import (
	"context"
	"slices"
	"sync"
)

// doneEvent is an identity event that is over. A topic that was made anew has other
// events at the offsets of the one before.
type doneEvent struct {
	offset int64
	millis int64 // timestamp of its record; below 0 in a question: any
}

// doneEvents are the identity events that are over, the newest of them.
type doneEvents struct {
	mu    sync.Mutex
	order []doneEvent
	set   map[doneEvent]struct{}
	woken chan struct{}
}

const maxDoneEvents = 10_000

func newDoneEvents() doneEvents {
	return doneEvents{set: make(map[doneEvent]struct{}), woken: make(chan struct{})}
}

func (d *doneEvents) add(e doneEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.set[e]; ok {
		return
	}
	d.set[e] = struct{}{}
	if d.order = append(d.order, e); len(d.order) > maxDoneEvents {
		delete(d.set, d.order[0])
		d.order = d.order[1:]
	}
	close(d.woken)
	d.woken = make(chan struct{})
}

func (d *doneEvents) has(e doneEvent) (ok bool, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.millis < 0 {
		return slices.ContainsFunc(d.order, func(o doneEvent) bool { return o.offset == e.offset }), d.woken
	}
	_, ok = d.set[e]
	return ok, d.woken
}

// AwaitEvent returns when the identity event at an offset is over and what it did is
// applied, or ctx ends. millis is the timestamp of its record; below 0 it is not known, and
// any event of that offset will do. An event that was over before this process started is known as
// long as the history has it; an older one waits in vain.
func (f *Follower) AwaitEvent(ctx context.Context, offset, millis int64) error {
	for {
		ok, changed := f.done.has(doneEvent{offset, millis})
		if !ok {
			var err error
			if ok, err = f.cfg.History.IsOver(offset, millis); err != nil {
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
