package processor

import (
	"fmt"
	"runtime/debug"

	"github.com/twmb/franz-go/pkg/kgo"
)

// processRecord gives one record to its handler. If the handler panics, nothing
// of the record remains and the handler may say what to do with it.
func (b *batch) processRecord(t *task, r *kgo.Record) error {
	c := &t.context
	c.txn.Savepoint()
	outputs := len(c.out)
	panicked, err := t.process(r)
	if panicked == nil {
		return err
	}
	b.w.p.counters.panics.Add(1)
	b.w.log.Error("the handler panicked, its record is set aside", "task", t.partition,
		"topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", panicked.cause, "stack", string(panicked.stack))
	c.txn.RollbackToSavepoint()
	clear(c.out[outputs:])
	c.out = c.out[:outputs]
	poisoner, ok := t.handler.(Poisoner)
	if !ok {
		return nil
	}
	return guard(func() error { return poisoner.Poisoned(c, r, panicked) })
}

// process calls the handler and catches a panic.
func (t *task) process(r *kgo.Record) (panicked *panicError, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			panicked = &panicError{cause: cause, stack: debug.Stack()}
		}
	}()
	return nil, t.handler.Process(&t.context, r)
}

// panicError is a panic as an error.
type panicError struct {
	cause any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.cause) }

// guard turns a panic of f into an error.
func guard(f func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w\n%s", &panicError{cause: cause}, debug.Stack())
		}
	}()
	return f()
}
