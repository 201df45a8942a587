package guard

import (
	"sync"

	"golang.org/x/time/rate"
)

// limiters are token buckets by name.
type limiters struct {
	limit rate.Limit
	burst int

	mu  sync.Mutex
	all map[string]*rate.Limiter
}

// maxLimiters bounds how many names are remembered; beyond it all begin anew.
const maxLimiters = 10_000

func newLimiters(perSecond float64, burst int) *limiters {
	return &limiters{limit: rate.Limit(perSecond), burst: max(burst, 1), all: make(map[string]*rate.Limiter)}
}

func (l *limiters) of(name string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.all[name]
	if at == nil {
		if len(l.all) >= maxLimiters {
			clear(l.all)
		}
		at = rate.NewLimiter(l.limit, l.burst)
		l.all[name] = at
	}
	return at
}

// take takes a token and reports whether there was one.
func (l *limiters) take(name string) bool { return l.of(name).Allow() }

// has reports whether there is a token.
func (l *limiters) has(name string) bool { return l.of(name).Tokens() >= 1 }
