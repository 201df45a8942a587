package processor

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fatalError stops the processor: trying again would fail again.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

func fatal(err error) error { return &fatalError{err} }

// crashError is a crash that Config.Fault asked for.
type crashError struct {
	step Step
	err  error
}

func (e *crashError) Error() string { return fmt.Sprintf("simulated crash %s: %v", e.step, e.err) }
func (e *crashError) Unwrap() error { return e.err }

// batchError is a batch that failed in a way that will likely repeat: from a
// handler, or from a broker that refused a record. It is tried once more.
type batchError struct{ err error }

func (e *batchError) Error() string { return e.err.Error() }
func (e *batchError) Unwrap() error { return e.err }

// produceError says which record could not be produced.
func produceError(r *kgo.Record, err error) error {
	err = fmt.Errorf("producing to %s[%d] a record with key %s of %d bytes: %w",
		r.Topic, r.Partition, shortKey(r.Key), len(r.Key)+len(r.Value), err)
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return fatal(err)
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("%w: %w", &missingTopic{r.Topic}, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("this principal may not write to topic %s (allow WRITE on it; docs/operations.md, ACLs): %w", r.Topic, err)
	case transient(err), unauthorized(err):
		return err
	default:
		return &batchError{err}
	}
}

// transient reports whether an error says something about the session (fenced,
// timed out, broker gone), so that a new session may do better, and not about the
// record.
func transient(err error) bool {
	for _, session := range []error{
		kgo.ErrAborting, kgo.ErrClientClosed, kgo.ErrRecordTimeout, kgo.ErrRecordRetries,
		kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidProducerIDMapping, kerr.UnknownProducerID,
		kerr.OutOfOrderSequenceNumber, kerr.InvalidTxnState, kerr.TransactionAbortable, kerr.ConcurrentTransactions,
		kerr.OperationNotAttempted, kerr.TransactionCoordinatorFenced,
	} {
		if errors.Is(err, session) {
			return true
		}
	}
	if k := (*kerr.Error)(nil); errors.As(err, &k) {
		return k.Retriable
	}
	return true // no broker said so: the network, or the client
}

// shortKey returns a key as a quoted string that fits into a line of log.
func shortKey(key []byte) string {
	const most = 80
	if len(key) > most {
		return strconv.Quote(string(key[:most])) + "..."
	}
	return strconv.Quote(string(key))
}
