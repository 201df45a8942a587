package processor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

// errOtherHistory is returned when a store was written from another history of the
// changelog than the one that the topic has now: the log was cut, by an unclean
// election or because the cluster came back from a backup, and has grown again.
var errOtherHistory = errors.New("the store belongs to another history of the changelog")

// history is which history of the changelog a store belongs to: the last record of
// positions that was applied to it, and where that was. It stands in the note of
// the checkpoint.
//
// Two things are compared with what the changelog has. The record itself, if it is
// still there: compaction removes it as soon as there is a newer one, so that it is
// gone says nothing. And the terms of the newest record of positions, which
// compaction keeps: the store's last term must be among them, and the term after
// it must have begun behind the store's last record. Like the leader epochs of
// KIP-320 they show where two histories part; unlike them they tell a cluster that
// came back from a backup from the one that it was copied from, and the writer knows
// them at once. A cut that is more than 12 starts of the task ago is seen only by its
// leader epoch, which is compared as well, or if the record is still there; by then a
// store that was away is mostly older than the tombstones, and is rebuilt for that.
type history struct {
	at        int64 // offset of the record of positions; -1: there is none
	value     []byte
	positions Positions // what value says
	// epoch is the leader epoch of the record of positions at epochAt; -1 if no
	// record has been read back from the changelog yet.
	epoch   int32
	epochAt int64
}

var noHistory = history{at: -1, epoch: -1, epochAt: -1}

const noteVersion = 1

// note returns what the checkpoint says of h.
func (h *history) note() string {
	if h.at < 0 {
		return ""
	}
	b := make([]byte, 0, len(h.value)+32)
	b = append(b, noteVersion)
	b = binary.AppendVarint(b, h.at)
	b = binary.AppendVarint(b, h.epochAt)
	b = binary.AppendVarint(b, int64(h.epoch))
	return string(append(b, h.value...))
}

// historyOf returns what a checkpoint says of its history.
func historyOf(cp state.Checkpoint) (history, error) {
	h := noHistory
	if cp.Note == "" {
		return h, nil
	}
	b := []byte(cp.Note)
	if b[0] != noteVersion {
		return h, fmt.Errorf("the checkpoint has a note of version %d", b[0])
	}
	b = b[1:]
	var numbers [3]int64
	for i := range numbers {
		v, n := binary.Varint(b)
		if n <= 0 {
			return h, fmt.Errorf("the checkpoint has a note of %d bytes", len(cp.Note))
		}
		numbers[i], b = v, b[n:]
	}
	p, err := DecodePositions(b)
	if err != nil {
		return h, fmt.Errorf("the note of the checkpoint: %w", err)
	}
	return history{at: numbers[0], epochAt: numbers[1], epoch: int32(numbers[2]), value: b, positions: p}, nil
}

// StoredPositions returns how far a task had read when its store wrote a checkpoint,
// and false if the task had written nothing by then.
func StoredPositions(cp state.Checkpoint) (p Positions, known bool, err error) {
	h, err := historyOf(cp)
	return h.positions, h.at >= 0, err
}

// take goes on with records of the changelog, in order, from h.at on or from
// behind it. The error is errOtherHistory, wrapped in a reason, if they do not
// follow on h.
func (h *history) take(records []*kgo.Record) error {
	var last *kgo.Record
	for _, r := range records {
		switch {
		case r.Offset < h.at:
		case r.Offset == h.at:
			if !IsPositions(r.Key) || !bytes.Equal(r.Value, h.value) {
				return fmt.Errorf("%w: the record at offset %d is another one", errOtherHistory, r.Offset)
			}
		case IsPositions(r.Key):
			last = r
		}
	}
	if last == nil {
		return nil
	}
	p, err := DecodePositions(last.Value)
	if err != nil {
		return fatal(fmt.Errorf("the record at offset %d: %w", last.Offset, err))
	}
	if err := h.precedes(&p); err != nil {
		return err
	}
	*h = history{at: last.Offset, value: bytes.Clone(last.Value), positions: p, epoch: last.LeaderEpoch, epochAt: last.Offset}
	return nil
}

// precedes returns errOtherHistory unless what newer says comes after h in one
// history.
func (h *history) precedes(newer *Positions) error {
	if h.at < 0 {
		return nil
	}
	if h.positions.Reset != newer.Reset {
		return fmt.Errorf("%w: the application was reset", errOtherHistory)
	}
	if len(h.positions.Terms) == 0 {
		return nil // the record of a reset, which all terms follow
	}
	mine := h.positions.Terms[len(h.positions.Terms)-1].ID
	for i, t := range newer.Terms {
		if t.ID != mine {
			continue
		}
		if i+1 < len(newer.Terms) && newer.Terms[i+1].Start <= h.at {
			return fmt.Errorf("%w: it parts from it at offset %d, the store has offset %d", errOtherHistory, newer.Terms[i+1].Start, h.at)
		}
		return nil
	}
	if newer.OlderTerms > 0 && len(newer.Terms) > 0 && newer.Terms[0].Start > h.at {
		return nil // older than the oldest term that is listed
	}
	return fmt.Errorf("%w: nothing of what wrote offset %d has part in it", errOtherHistory, h.at)
}
