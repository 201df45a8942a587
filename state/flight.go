package state

// flight is a flush under way: rows and a checkpoint that a goroutine writes. Who
// began it waits for it, and until then neither releases nor moves the rows' buffers.
type flight struct {
	done chan struct{} // closed when err is there
	err  error
}

// takeOff begins to write rows and a checkpoint. It takes the rows over. The store is
// not closed before they are written.
func (p *Partition) takeOff(cp Checkpoint, r rows) (*flight, error) {
	if !p.s.enter() {
		r.free()
		return nil, ErrClosed
	}
	f := &flight{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		defer p.s.leave()
		defer r.free()
		f.err = p.write(cp, &r)
		p.s.fitBlocks()
	}()
	return f, nil
}

// landed reports whether the flight is over, so that wait does not wait.
func (f *flight) landed() bool {
	if f == nil {
		return false
	}
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// wait returns the error of the flight, when it is over.
func (f *flight) wait() error {
	<-f.done
	return f.err
}
