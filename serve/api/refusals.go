package api

import (
	"context"
	"sync"
	"time"
)

// refusals finds out why the engine refused an identity event. All requests share one
// reading of the dead letters, since everybody who may read can ask.
type refusals struct {
	mu      sync.Mutex // held while the brokers are asked, at most for refusalTime
	ts      time.Time  // when they were asked last
	letters []DeadLetter
	stands  map[int64]string // reasons of events that were looked at, by offset
}

const (
	refusalKept = time.Second // how long the dead letters that were read are used: a client is told to come again after it
	refusalTime = time.Second // bounds the questions of one request to the brokers
	maxRefusals = 200         // dead letters that are looked at, the newest
)

// reason returns why the engine refused the identity event of an offset, if that stands
// among the newest dead letters; empty: nothing says that it did. The refused event has
// to be the one that the topic has: a topic that was made anew has the offsets of the
// one before.
func (r *refusals) reason(ctx context.Context, c *Config, offset int64) string {
	if c.Operations == nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalTime) // the answer is for others too
	defer cancel()
	if now := c.Now(); r.stands == nil || now.Sub(r.ts) >= refusalKept {
		r.letters, _ = c.Operations.DeadLetters(ctx, maxRefusals) // nobody knows: it is not there yet
		r.ts, r.stands = now, map[int64]string{}
	}
	if reason, looked := r.stands[offset]; looked {
		return reason
	}
	reason, millis := "", int64(-1)
	for i := range r.letters {
		l := &r.letters[i]
		if l.Topic != c.IdentityEvents || l.At != offset {
			continue
		}
		if millis < 0 {
			var err error
			if millis, err = c.Operations.EventMillis(ctx, offset); err != nil {
				break
			}
		}
		if l.SourceMillis == millis {
			reason = l.Reason
			break
		}
	}
	if millis >= 0 {
		r.stands[offset] = reason
	}
	return reason
}
