package api

import (
	"crypto/sha256"
	"sync"
	"time"
)

// idempotency remembers, for a day, what was answered to a request that has a key, so
// that it can be sent again without being done again.
type idempotency struct {
	now func() time.Time
	mu  sync.Mutex
	all map[string]*kept
}

type kept struct {
	body   [32]byte
	at     time.Time
	done   chan struct{} // closed when the first request is over
	answer any           // nil: it failed, and may be tried again
}

const (
	keptFor = 24 * time.Hour
	maxKept = 10_000
)

// do calls f, unless a request with the key was answered before: then it returns that
// answer. other is true where the key was used with another body. A request that comes
// while the first is under way waits for it.
func (i *idempotency) do(key, body string, f func() (any, error)) (answer any, other bool, err error) {
	if key == "" {
		answer, err = f()
		return answer, false, err
	}
	sum := sha256.Sum256([]byte(body))
	for {
		i.mu.Lock()
		now := i.now()
		k := i.all[key]
		if k != nil && now.Sub(k.at) >= keptFor {
			k = nil
		}
		if k == nil {
			k = &kept{body: sum, at: now, done: make(chan struct{})}
			if i.all == nil || len(i.all) >= maxKept {
				i.all = make(map[string]*kept)
			}
			i.all[key] = k
			i.mu.Unlock()
			answer, err = f()
			i.mu.Lock()
			if err == nil {
				k.answer = answer
			} else {
				delete(i.all, key)
			}
			close(k.done)
			i.mu.Unlock()
			return answer, false, err
		}
		i.mu.Unlock()
		if k.body != sum {
			return nil, true, nil
		}
		<-k.done
		if k.answer != nil {
			return k.answer, false, nil
		}
	}
}
