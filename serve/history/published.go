package history

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// Beside what happened, the store has two things that are looked up by a key:
// 'r' identity's digest (16): the last record that a topic has of the identity.
// 'o' offset (8) timestamp (8): the identity event of that offset, and of that time of its
// record in milliseconds, is over. It goes with its entry. A topic that was made anew has
// other events at the offsets of the one before.
const (
	byPublished = 'r'
	byEvent     = 'o'
)

// Published is the last record that a topic has of an identity; nil bytes: a tombstone.
type Published struct {
	Identity string
	Record   []byte
}

func publishedKey(identity string) []byte {
	sum := sha256.Sum256([]byte(identity))
	return append([]byte{byPublished}, sum[:digestLen]...)
}

// Publish keeps records, the later of one identity behind the earlier, and what the
// caller says of how far it has come, in one step. It may be called beside Add.
func (h *History) Publish(records []Published, marks map[string][]byte) error {
	b := h.db.NewBatch()
	defer b.Close()
	for i := range records {
		key := publishedKey(records[i].Identity)
		err := b.Delete(key, nil)
		if records[i].Record != nil {
			err = b.Set(key, records[i].Record, nil)
		}
		if err != nil {
			return fmt.Errorf("keeping records of identities: %w", err)
		}
	}
	if err := putMarks(b, marks); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("keeping %d records of identities: %w", len(records), err)
	}
	return nil
}

// Unpublish drops all records: the topic that they came from was made anew.
func (h *History) Unpublish() error {
	if err := h.db.DeleteRange([]byte{byPublished}, []byte{byPublished + 1}, pebble.NoSync); err != nil {
		return fmt.Errorf("dropping the records of identities: %w", err)
	}
	return nil
}

// PublishedOf returns the last record of an identity; nil: there is none.
func (h *History) PublishedOf(identity string) ([]byte, error) {
	v, err := h.get(publishedKey(identity))
	if err != nil {
		return nil, fmt.Errorf("reading the record of an identity: %w", err)
	}
	return v, nil
}

func eventKey(offset, millis int64) []byte {
	key := binary.BigEndian.AppendUint64([]byte{byEvent}, uint64(offset))
	return binary.BigEndian.AppendUint64(key, uint64(millis))
}

// eventMillis is the timestamp of the record of an identity event, of the entry that says
// that it is over.
func eventMillis(e *Entry) int64 { return int64(math.Round(e.TS * 1000)) }

// IsOver reports whether the history has that the identity event of an offset is over;
// millis is the timestamp of its record. Below 0 any event of that offset will do.
func (h *History) IsOver(offset, millis int64) (over bool, err error) {
	if millis < 0 {
		it, err := h.db.NewIter(&pebble.IterOptions{LowerBound: eventKey(offset, 0), UpperBound: eventKey(offset+1, 0)})
		if err != nil {
			return false, fmt.Errorf("reading whether an identity event is over: %w", err)
		}
		over = it.First()
		if err := it.Close(); err != nil {
			return false, fmt.Errorf("reading whether an identity event is over: %w", err)
		}
		return over, nil
	}
	v, err := h.get(eventKey(offset, millis))
	if err != nil {
		return false, fmt.Errorf("reading whether an identity event is over: %w", err)
	}
	return v != nil, nil
}

// get returns a copy of the value of a key, nil if there is none.
func (h *History) get(key []byte) ([]byte, error) {
	v, closer, err := h.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return append([]byte{}, v...), closer.Close()
}

// putMarks adds what a caller keeps to a batch.
func putMarks(b *pebble.Batch, marks map[string][]byte) error {
	for name, value := range marks {
		if err := b.Set(append([]byte{mark}, name...), value, nil); err != nil {
			return fmt.Errorf("keeping a position: %w", err)
		}
	}
	return nil
}
