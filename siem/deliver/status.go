package deliver

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Status is what a sink has done since it started, and how it is.
type Status struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Delivered int64  `json:"delivered"` // events that the receiver took
	Had       int64  `json:"had"`       // events that it had already
	Again     int64  `json:"again"`     // events that it judged to be sent again
	Never     int64  `json:"never"`     // events that it will not take: dead letters
	Bad       int64  `json:"bad"`       // records that could not be read: dead letters
	Filtered  int64  `json:"filtered"`  // events that the sink does not want
	Requests  int64  `json:"requests"`
	Failures  int64  `json:"failures"` // requests that failed as a whole
	Open      bool   `json:"open"`     // the circuit is open
	LastError string `json:"last_error,omitempty"`
	// Oldest is the timestamp of the oldest record that is being delivered; zero
	// if there is none.
	Oldest time.Time `json:"oldest"`
}

// Status returns what the loop has done so far. It may be called at any time.
func (l *Loop) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

func (l *Loop) count(change func(*Status)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.status)
}

// begin notes the records that are being delivered now.
func (l *Loop) begin(records []*kgo.Record) {
	var oldest time.Time
	for _, r := range records {
		if oldest.IsZero() || r.Timestamp.Before(oldest) {
			oldest = r.Timestamp
		}
	}
	l.count(func(s *Status) { s.Oldest = oldest })
}
