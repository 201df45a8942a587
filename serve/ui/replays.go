package ui

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// replays remembers which dead letters were sent again from a page, so that a second
// press does not send one twice. It may be used by several goroutines.
type replays struct {
	mu  sync.Mutex
	all map[place]*replay
}

// place is where a dead letter lies.
type place struct {
	partition int32
	offset    int64
}

func (p place) String() string { return fmt.Sprintf("%d.%d", p.partition, p.offset) }

type replay struct {
	ts   time.Time     // when it was begun
	done chan struct{} // closed when it is over
	at   string        // where the copy lies; empty: it is under way, or failed
}

const (
	replayKept = time.Hour // how long a dead letter is not sent again from a page
	maxReplays = 10_000
)

// once sends a dead letter by send, unless that was done within the last hour. One that
// failed may be sent again. Who comes while it is under way waits for its end.
func (s *replays) once(ctx context.Context, letter place, now func() time.Time, send func() (string, error)) error {
	for {
		s.mu.Lock()
		r := s.all[letter]
		if r == nil || now().Sub(r.ts) >= replayKept {
			break
		}
		s.mu.Unlock()
		select {
		case <-r.done:
		case <-ctx.Done():
			return fmt.Errorf("waiting for dead letter %s to be sent: %w", letter, ctx.Err())
		}
		s.mu.Lock()
		sent := r.at != ""
		s.mu.Unlock()
		if sent {
			return nil
		}
	}
	r := &replay{ts: now(), done: make(chan struct{})}
	if s.all == nil || len(s.all) >= maxReplays {
		s.all = map[place]*replay{}
	}
	s.all[letter] = r
	s.mu.Unlock()
	at, err := send()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		r.at = at
	} else if s.all[letter] == r {
		delete(s.all, letter)
	}
	close(r.done)
	return err
}

// at returns where the copy of a dead letter lies that was sent within the last hour;
// empty: it was not.
func (s *replays) at(letter place, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.all[letter]; r != nil && now.Sub(r.ts) < replayKept {
		return r.at
	}
	return ""
}

// named is at for a dead letter as a URL names it. A URL alone says nothing: it has to
// name one that was sent.
func (s *replays) named(name string, now time.Time) string {
	var letter place
	if _, err := fmt.Sscanf(name, "%d.%d", &letter.partition, &letter.offset); err != nil {
		return ""
	}
	return s.at(letter, now)
}
