package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// UnreachableError says that no broker of a cluster answered.
type UnreachableError struct {
	Brokers []string // the seeds that were tried, as host:port
	Cause   error    // why the last try failed
}

// Error returns one line that names the brokers and the cause.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach any broker of %s: %v", strings.Join(e.Brokers, ","), e.Cause)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Cause }

// Reach asks the cluster for its brokers and returns nil as soon as one
// answers. If none does within timeout, or if all refuse (connection, TLS or
// credentials), the error is an [*UnreachableError]. If ctx ends first, its
// error is returned.
func Reach(ctx context.Context, cl *kgo.Client, timeout time.Duration) error {
	seeds, _ := cl.OptValue(kgo.SeedBrokers).([]string)
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// The client looks at a context between the steps of connecting, not
	// within: on a broker that accepts and says nothing it would sit out its
	// own timeouts. The goroutine ends with those, or when cl is closed.
	answer := make(chan error, 1)
	go func() { answer <- cl.Ping(limited) }()
	var err error
	select {
	case err = <-answer:
	case <-limited.Done():
		err = limited.Err()
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		err = silence(timeout)
	default:
		err = dialCause(err)
	}
	return &UnreachableError{Brokers: seeds, Cause: err}
}

// silence is the cause when no broker answered within a time, as it is when a firewall
// drops packets. It is a [net.Error].
type silence time.Duration

// Error returns how long nobody answered.
func (s silence) Error() string { return fmt.Sprintf("no answer within %s", time.Duration(s)) }

// Timeout implements [net.Error].
func (silence) Timeout() bool { return true }

// Temporary implements [net.Error].
func (silence) Temporary() bool { return true }

// Away reports whether err says that no broker is there: none answers, or all refuse
// the connection. An error of a certificate or credentials is none of these.
func Away(err error) bool {
	unreachable := (*UnreachableError)(nil)
	return errors.As(err, &unreachable) && mayPass(unreachable.Cause)
}

// How long Await and Persist wait before they try again.
const (
	awaitFirst = 100 * time.Millisecond
	awaitMost  = 2 * time.Second
)

// Await is Reach for somebody who would rather wait than fail: brokers that
// refuse connections, or whose names are not known, may be about to start, and
// are tried again until timeout is over. Before it waits it calls waiting, once.
// Brokers that do not like a certificate or credentials are not tried again.
func Await(ctx context.Context, cl *kgo.Client, timeout time.Duration, waiting func(error)) error {
	end, told := time.Now().Add(timeout), false
	var last error
	return again(ctx, end, func() (passes bool, err error) {
		left := time.Until(end)
		if told && left <= 0 {
			return false, last
		}
		err = Reach(ctx, cl, left)
		last = err
		passes = Away(err)
		if passes && !told && time.Until(end) > 0 {
			told = true
			waiting(err)
		}
		return passes, err
	})
}

// Persist calls f until it succeeds, fails for good, or timeout is over, and
// returns its last error. What a broker calls retriable is not for good (it has
// lost its leader for a moment, say), nor is one that has gone away, as others
// may answer. If ctx ends first, its cause is returned.
func Persist(ctx context.Context, timeout time.Duration, f func() error) error {
	return again(ctx, time.Now().Add(timeout), func() (passes bool, err error) {
		err = f()
		k := (*kerr.Error)(nil)
		return errors.As(err, &k) && k.Retriable || err != nil && k == nil && mayPass(err), err
	})
}

// again calls f, with longer and longer pauses, until it says that its error
// does not pass, or until end.
func again(ctx context.Context, end time.Time, f func() (passes bool, err error)) error {
	for pause := awaitFirst; ; pause = min(2*pause, awaitMost) {
		passes, err := f()
		left := time.Until(end)
		if !passes || left <= 0 {
			return err
		}
		timer := time.NewTimer(min(pause, left))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// mayPass reports whether the network says that no broker is there, rather than a
// broker that it wants nothing of the client.
func mayPass(err error) bool {
	var network net.Error
	return errors.As(err, &network) || kgo.IsRetryableBrokerErr(err)
}

// dialCause shortens the client's dial error to what the operating system or
// the resolver said.
func dialCause(err error) error {
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
		return dns
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op
	}
	return err
}
