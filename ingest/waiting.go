package ingest

import (
	"context"
	"io"
)

// waitingReader reads an input that may keep its reader waiting, such as a
// pipe, and gives up waiting when the context ends. A read of the system
// cannot be taken back, so the goroutine that waits in it then goes on until
// the input says something or the process ends; it touches nothing else.
type waitingReader struct {
	ctx   context.Context
	reads chan []byte // what was read, in order; closed after the last
	err   error       // why it was the last; set before reads is closed
	left  []byte
}

func newWaitingReader(ctx context.Context, r io.Reader) *waitingReader {
	w := &waitingReader{ctx: ctx, reads: make(chan []byte)}
	go func() {
		defer close(w.reads)
		for {
			p := make([]byte, 64<<10)
			n, err := r.Read(p)
			if n > 0 {
				select {
				case w.reads <- p[:n]:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				w.err = err
				return
			}
		}
	}()
	return w
}

// Read implements io.Reader.
func (w *waitingReader) Read(p []byte) (int, error) {
	if len(w.left) == 0 {
		if err := w.ctx.Err(); err != nil {
			return 0, err
		}
		select {
		case b, more := <-w.reads:
			if !more {
				if w.err == nil {
					return 0, w.ctx.Err()
				}
				return 0, w.err
			}
			w.left = b
		case <-w.ctx.Done():
			return 0, w.ctx.Err()
		}
	}
	n := copy(p, w.left)
	w.left = w.left[n:]
	return n, nil
}
