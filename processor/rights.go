package processor

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// rightPatience is how long a right may be away before the processor ends over it.
// Access lists are changed in steps, and reach one broker after the other.
const rightPatience = 5 * time.Second

// denialPeriod is after how long without a denial the next one counts as the first.
const denialPeriod = 30 * time.Second

// denial notes since when brokers deny something.
type denial struct{ first, last time.Time }

// judge returns err, fatal if it is a right that has been denied for rightPatience.
func (d *denial) judge(now time.Time, err error) error {
	if !unauthorized(err) {
		return err
	}
	if now.Sub(d.last) >= denialPeriod {
		d.first = now
	}
	d.last = now
	if now.Sub(d.first) >= rightPatience {
		return fatal(err)
	}
	return err
}

// granted notes that what was denied is allowed again.
func (d *denial) granted() { *d = denial{} }

// unauthorized reports whether err says that the principal lacks a right.
func unauthorized(err error) bool {
	for _, denied := range []error{
		kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed,
	} {
		if errors.Is(err, denied) {
			return true
		}
	}
	return false
}
